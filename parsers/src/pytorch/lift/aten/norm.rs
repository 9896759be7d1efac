//! Normalizations.
use super::conv::{batched, unbatched};
use super::reduce::p_norm;
use crate::pytorch::lift::cx::{Cx, Out, R, Size, V, unsupported};
use crate::pytorch::lift::emit::wrap;
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;

pub(super) const TABLE: super::Table = &[
    ("batch_norm", batch_norm),
    ("native_batch_norm", |cx| native_batch_norm(cx, true)),
    ("_native_batch_norm_legit", |cx| native_batch_norm(cx, true)),
    ("_native_batch_norm_legit_no_training", |cx| native_batch_norm(cx, false)),
    ("_batch_norm_with_update", |cx| native_batch_norm(cx, true)),
    ("_batch_norm_no_update", |cx| native_batch_norm(cx, false)),
    ("layer_norm", layer_norm),
    ("native_layer_norm", native_layer_norm),
    ("group_norm", group_norm),
    ("native_group_norm", native_group_norm),
    ("instance_norm", instance_norm),
    ("rms_norm", rms_norm),
    ("_fused_rms_norm", rms_norm),
    ("renorm", renorm),
    ("embedding_renorm", embedding_renorm),
];

/// A vector per channel in the sizes that broadcast over `rank` axes, channels second.
fn per_channel(cx: &mut Cx, v: V, rank: usize) -> R<V> {
    let mut sizes = vec![1; rank.max(2) - 1];
    sizes[0] = -1;
    cx.reshape_to(v, &sizes)
}
/// Mean and biased variance over these axes, kept.
fn statistics(cx: &mut Cx, x: V, axes: &[usize]) -> R<(V, V)> {
    let mean = cx.reduce("reduce_mean", x, axes, true)?;
    let d = cx.b("sub", x, mean)?;
    let squares = cx.b("mul", d, d)?;
    Ok((mean, cx.reduce("reduce_mean", squares, axes, true)?))
}
/// `1 / sqrt(var + eps)`.
fn inverse_std(cx: &mut Cx, var: V, eps: f64) -> R<V> {
    let v = cx.bn("add", var, eps)?;
    let s = cx.u("sqrt", v)?;
    cx.u("reciprocal", s)
}
fn normalized(cx: &mut Cx, x: V, mean: V, inverse: V) -> R<V> {
    let d = cx.b("sub", x, mean)?;
    cx.b("mul", d, inverse)
}
fn affine(cx: &mut Cx, y: V, w: Option<V>, b: Option<V>) -> R<V> {
    let dtype = cx.dtype(y)?;
    let y = match w {
        Some(w) => {
            let w = cx.cast(w, dtype)?;
            cx.b("mul", y, w)?
        }
        None => y,
    };
    match b {
        Some(b) => {
            let b = cx.cast(b, dtype)?;
            cx.b("add", y, b)
        }
        None => Ok(y),
    }
}
/// A vector of `value`, one per channel of `x`.
fn channel_fill(cx: &mut Cx, x: V, value: f64) -> R<V> {
    let n = cx.dim(x, 1)?;
    fill(cx, x, &[n], value)
}
fn batch_norm(cx: &mut Cx) -> R<Out> {
    let x = cx.t("input")?;
    let (w, b) = (cx.opt_t("weight")?, cx.opt_t("bias")?);
    let eps = cx.float_or("eps", 1e-5)?;
    let training = cx.bool_or("training", false)?;
    cx.float_or("momentum", 0.1)?;
    cx.bool_or("cudnn_enabled", false)?;
    for name in ["running_mean", "running_var"] {
        cx.has(name);
    }
    if cx.known_len(x) == Some(0) && !training {
        return Ok(Out::Fresh(cx.u("identity", x)?));
    }
    if training {
        return Ok(Out::Fresh(batch_statistics(cx, x, w, b, eps, true)?.0));
    }
    let (mean, var) = (cx.t("running_mean")?, cx.t("running_var")?);
    Ok(Out::Fresh(inference(cx, x, [w, b, Some(mean), Some(var)], eps)?))
}
fn inference(cx: &mut Cx, x: V, parts: [Option<V>; 4], eps: f64) -> R<V> {
    let [w, b, mean, var] = parts;
    let w = w.map_or_else(|| channel_fill(cx, x, 1.0), Ok)?;
    let b = b.map_or_else(|| channel_fill(cx, x, 0.0), Ok)?;
    cx.node1(
        "batch_normalization",
        &[Some(x), Some(w), Some(b), mean, var],
        &[("epsilon", Attr::Float(eps as f32))],
    )
}
/// Normalization by the batch's own statistics: result, mean and inverse standard deviation. Running statistics change too.
fn batch_statistics(cx: &mut Cx, x: V, w: Option<V>, b: Option<V>, eps: f64, update: bool) -> R<(V, V, V)> {
    let rank = cx.rank(x)?;
    let axes: Vec<usize> = (0..rank).filter(|a| *a != 1).collect();
    let (mean, var) = statistics(cx, x, &axes)?;
    let inverse = inverse_std(cx, var, eps)?;
    let y = normalized(cx, x, mean, inverse)?;
    let w = w.map(|w| per_channel(cx, w, rank)).transpose()?;
    let b = b.map(|b| per_channel(cx, b, rank)).transpose()?;
    let y = affine(cx, y, w, b)?;
    if update && cx.has("running_mean") {
        update_running(cx, x, mean, var, &axes)?;
    }
    let (mean, inverse) = (cx.reshape_to(mean, &[-1])?, cx.reshape_to(inverse, &[-1])?);
    Ok((y, mean, inverse))
}
/// `running = (1 - momentum) running + momentum new`, the new variance unbiased.
fn update_running(cx: &mut Cx, x: V, mean: V, var: V, axes: &[usize]) -> R<()> {
    let momentum = cx.float_or("momentum", 0.1)?;
    let sizes = axes.iter().map(|a| cx.dim(x, *a)).collect::<R<Vec<_>>>()?;
    let n = cx.size_product(&sizes)?;
    let n = cx.size_scalar(&n)?;
    let dtype = cx.dtype(var)?;
    let n = cx.cast(n, dtype)?;
    let less = cx.bn("sub", n, 1.0)?;
    let k = cx.b("div", n, less)?;
    let unbiased = cx.b("mul", var, k)?;
    for (name, new) in [("running_mean", mean), ("running_var", unbiased)] {
        let old = cx.t(name)?;
        let new = cx.reshape_to(new, &[-1])?;
        let (p, q) = (cx.bn("mul", old, 1.0 - momentum)?, cx.bn("mul", new, momentum)?);
        let value = cx.b("add", p, q)?;
        let id = cx.tensor_id(name)?;
        cx.assign(id, value)?;
    }
    Ok(())
}
fn native_batch_norm(cx: &mut Cx, mut training: bool) -> R<Out> {
    let x = cx.t("input")?;
    let (w, b) = (cx.opt_t("weight")?, cx.opt_t("bias")?);
    let eps = cx.float_or("eps", 1e-5)?;
    cx.float_or("momentum", 0.1)?;
    if cx.names("training") {
        training = cx.bool_or("training", false)?;
    }
    let zero = Size::Known(0);
    let none = cx.num(x, 0.0)?;
    let (y, mean, inverse) = if training {
        batch_statistics(cx, x, w, b, eps, true)?
    } else {
        let (mean, var) = (cx.t("running_mean")?, cx.t("running_var")?);
        let y = inference(cx, x, [w, b, Some(mean), Some(var)], eps)?;
        let empty = cx.full(std::slice::from_ref(&zero), none)?;
        (y, empty, empty)
    };
    let mut outs = vec![Out::Fresh(y), Out::Fresh(mean), Out::Fresh(inverse)];
    if cx.call.outputs > 3 {
        // Space for training only.
        let byte = cx.int_of(DType::U8, 0)?;
        outs.push(Out::Fresh(cx.full(&[zero], byte)?));
    }
    Ok(Out::Many(outs))
}
fn layer_norm(cx: &mut Cx) -> R<Out> {
    cx.bool_or("cudnn_enable", true)?;
    let (x, w, b) = (cx.t("input")?, cx.opt_t("weight")?, cx.opt_t("bias")?);
    let eps = cx.float_or("eps", 1e-5)?;
    Ok(Out::Fresh(layer_normalized(cx, x, w, b, eps)?))
}
/// The operator `layer_normalization` over the axes of `normalized_shape`. It needs a scale.
fn layer_normalized(cx: &mut Cx, x: V, w: Option<V>, b: Option<V>, eps: f64) -> R<V> {
    let sizes = cx.sizes("normalized_shape")?;
    let scale = w.map_or_else(|| fill(cx, x, &sizes, 1.0), Ok)?;
    let attrs = [("axis", Attr::Int(-(sizes.len() as i64))), ("epsilon", Attr::Float(eps as f32))];
    cx.node1("layer_normalization", &[Some(x), Some(scale), b], &attrs)
}
/// A value of these sizes in the type of `x`.
fn fill(cx: &mut Cx, x: V, sizes: &[Size], value: f64) -> R<V> {
    let v = cx.num(x, value)?;
    cx.full(sizes, v)
}
fn native_layer_norm(cx: &mut Cx) -> R<Out> {
    let (x, w, b) = (cx.t("input")?, cx.opt_t("weight")?, cx.opt_t("bias")?);
    let count = cx.sizes("normalized_shape")?.len();
    let eps = cx.float_or("eps", 1e-5)?;
    let dtype = cx.dtype(x)?;
    let rank = cx.rank(x)?;
    let axes: Vec<usize> = (rank.saturating_sub(count)..rank).collect();
    let x = cx.wide(x)?;
    let (mean, var) = statistics(cx, x, &axes)?;
    let inverse = inverse_std(cx, var, eps)?;
    let y = if whole(cx, x, &[w, b])? {
        layer_normalized(cx, x, w, b, eps)?
    } else {
        let y = normalized(cx, x, mean, inverse)?;
        let y = affine(cx, y, w, b)?;
        cx.cast(y, dtype)?
    };
    Ok(Out::Many(vec![Out::Fresh(y), Out::Fresh(mean), Out::Fresh(inverse)]))
}
/// Whether runtimes have the normalizing operators for these operands: all of `f32`, and not empty.
fn whole(cx: &Cx, x: V, parameters: &[Option<V>]) -> R<bool> {
    for v in parameters.iter().flatten().chain([&x]) {
        if cx.dtype(*v)? != DType::F32 {
            return Ok(false);
        }
    }
    Ok(cx.known_len(x) != Some(0))
}
/// Groups as rows `[batch, groups, rest]` normalized by their own statistics: result in the sizes of `x`, mean, inverse deviation.
fn grouped(cx: &mut Cx, x: V, groups: i64, eps: f64) -> R<(V, V, V)> {
    let sizes = cx.shape_of(x)?;
    let empty = cx.known_len(x) == Some(0);
    let rest = if empty { Size::Known(0) } else { Size::Known(-1) };
    let rows = cx.reshape(x, &[sizes[0].clone(), Size::Known(groups), rest])?;
    let (mean, var) = statistics(cx, rows, &[2])?;
    let inverse = inverse_std(cx, var, eps)?;
    let y = normalized(cx, rows, mean, inverse)?;
    Ok((cx.reshape(y, &sizes)?, mean, inverse))
}
fn group_norm(cx: &mut Cx) -> R<Out> {
    cx.bool_or("cudnn_enabled", true)?;
    let (x, groups) = (cx.t("input")?, cx.int("num_groups")?);
    let (w, b) = (cx.opt_t("weight")?, cx.opt_t("bias")?);
    let eps = cx.float_or("eps", 1e-5)?;
    let (dtype, rank) = (cx.dtype(x)?, cx.rank(x)?);
    if rank > 2 && whole(cx, x, &[w, b])? {
        return Ok(Out::Fresh(group_normalized(cx, x, groups, [w, b], eps)?));
    }
    let x = cx.wide(x)?;
    let (y, _, _) = grouped(cx, x, groups, eps)?;
    let w = w.map(|w| per_channel(cx, w, rank)).transpose()?;
    let b = b.map(|b| per_channel(cx, b, rank)).transpose()?;
    let y = affine(cx, y, w, b)?;
    Ok(Out::Fresh(cx.cast(y, dtype)?))
}
/// The operator `group_normalization`, which needs scales and biases.
fn group_normalized(cx: &mut Cx, x: V, groups: i64, parts: [Option<V>; 2], eps: f64) -> R<V> {
    let [w, b] = parts;
    let w = w.map_or_else(|| channel_fill(cx, x, 1.0), Ok)?;
    let b = b.map_or_else(|| channel_fill(cx, x, 0.0), Ok)?;
    let attrs = [("num_groups", Attr::Int(groups)), ("epsilon", Attr::Float(eps as f32))];
    cx.with("group_normalization", &[x, w, b], &attrs)
}
fn native_group_norm(cx: &mut Cx) -> R<Out> {
    let (x, groups) = (cx.t("input")?, cx.int("group")?);
    for name in ["N", "C", "HxW"] {
        cx.size(name)?;
    }
    let (w, b) = (cx.opt_t("weight")?, cx.opt_t("bias")?);
    let eps = cx.float_or("eps", 1e-5)?;
    let (dtype, rank) = (cx.dtype(x)?, cx.rank(x)?);
    let x = cx.wide(x)?;
    let (y, mean, inverse) = grouped(cx, x, groups, eps)?;
    let y = if rank > 2 && whole(cx, x, &[w, b])? && dtype == DType::F32 {
        group_normalized(cx, x, groups, [w, b], eps)?
    } else {
        let w = w.map(|w| per_channel(cx, w, rank)).transpose()?;
        let b = b.map(|b| per_channel(cx, b, rank)).transpose()?;
        let y = affine(cx, y, w, b)?;
        cx.cast(y, dtype)?
    };
    let (mean, inverse) = (cx.squeeze(mean, &[2])?, cx.squeeze(inverse, &[2])?);
    let (mean, inverse) = (cx.cast(mean, dtype)?, cx.cast(inverse, dtype)?);
    Ok(Out::Many(vec![Out::Fresh(y), Out::Fresh(mean), Out::Fresh(inverse)]))
}
fn instance_norm(cx: &mut Cx) -> R<Out> {
    let x = cx.t("input")?;
    let (w, b) = (cx.opt_t("weight")?, cx.opt_t("bias")?);
    let eps = cx.float_or("eps", 1e-5)?;
    let own = cx.bool_or("use_input_stats", true)?;
    cx.float_or("momentum", 0.1)?;
    cx.bool_or("cudnn_enabled", true)?;
    if !own {
        let (mean, var) = (cx.t("running_mean")?, cx.t("running_var")?);
        let (x, bare) = batched(cx, x, 0)?;
        let y = inference(cx, x, [w, b, Some(mean), Some(var)], eps)?;
        return Ok(Out::Fresh(unbatched(cx, y, bare)?));
    }
    let rank = cx.rank(x)?;
    if rank > 2 && !cx.has("running_mean") && whole(cx, x, &[w, b])? {
        let w = w.map_or_else(|| channel_fill(cx, x, 1.0), Ok)?;
        let b = b.map_or_else(|| channel_fill(cx, x, 0.0), Ok)?;
        let attrs = [("epsilon", Attr::Float(eps as f32))];
        return Ok(Out::Fresh(cx.with("instance_normalization", &[x, w, b], &attrs)?));
    }
    let axes: Vec<usize> = (2..rank).collect();
    let (mean, var) = if axes.is_empty() {
        return Err(unsupported("instance normalization without spatial axes"));
    } else {
        statistics(cx, x, &axes)?
    };
    let inverse = inverse_std(cx, var, eps)?;
    let y = normalized(cx, x, mean, inverse)?;
    if cx.has("running_mean") {
        // Each sample is normalized by itself; what is kept is the mean over the samples.
        let (m, v) =
            (cx.reduce("reduce_mean", mean, &[0], true)?, cx.reduce("reduce_mean", var, &[0], true)?);
        update_running(cx, x, m, v, &axes)?;
    }
    let w = w.map(|w| per_channel(cx, w, rank)).transpose()?;
    let b = b.map(|b| per_channel(cx, b, rank)).transpose()?;
    Ok(Out::Fresh(affine(cx, y, w, b)?))
}
/// `x / sqrt(mean(x^2) + eps) * weight`; without `eps`, that of the element type.
fn rms_norm(cx: &mut Cx) -> R<Out> {
    let (x, w) = (cx.t("input")?, cx.opt_t("weight")?);
    let count = cx.sizes("normalized_shape")?.len();
    let dtype = cx.dtype(x)?;
    let rank = cx.rank(x)?;
    let axes: Vec<usize> = (rank.saturating_sub(count)..rank).collect();
    let x = cx.wide(x)?;
    let eps = if cx.has("eps") {
        cx.float("eps")?
    } else if cx.dtype(x)? == DType::F64 {
        f64::EPSILON
    } else {
        f64::from(f32::EPSILON)
    };
    let squares = cx.b("mul", x, x)?;
    let mean = cx.reduce("reduce_mean", squares, &axes, true)?;
    let inverse = inverse_std(cx, mean, eps)?;
    let y = if whole(cx, x, &[w])? && dtype == DType::F32 {
        let sizes = cx.sizes("normalized_shape")?;
        let scale = w.map_or_else(|| fill(cx, x, &sizes, 1.0), Ok)?;
        let attrs = [("axis", Attr::Int(-(count as i64))), ("epsilon", Attr::Float(eps as f32))];
        cx.with("rms_normalization", &[x, scale], &attrs)?
    } else {
        let y = cx.b("mul", x, inverse)?;
        let y = affine(cx, y, w, None)?;
        cx.cast(y, dtype)?
    };
    let y = Out::Fresh(y);
    Ok(if cx.call.outputs == 2 { Out::Many(vec![y, Out::Fresh(inverse)]) } else { y })
}
/// Scales slices of an axis whose p-norm is above a bound down to it.
fn renorm(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let (p, bound) = (cx.float("p")?, cx.float("maxnorm")?);
    let axis = wrap(cx.int("dim")?, cx.rank(x)?)?;
    Ok(Out::Fresh(limited(cx, x, axis, p, bound)?))
}
fn limited(cx: &mut Cx, x: V, axis: usize, p: f64, bound: f64) -> R<V> {
    let axes: Vec<usize> = (0..cx.rank(x)?).filter(|a| *a != axis).collect();
    let n = p_norm(cx, x, p, &axes, true)?;
    let above = cx.bn("greater", n, bound)?;
    let safe = cx.bn("add", n, 1e-7)?;
    let k = cx.nb("div", bound, safe)?;
    let one = cx.num(x, 1.0)?;
    let k = cx.choose(above, k, one)?;
    cx.b("mul", x, k)
}
/// Rows of a table that are looked up, limited in norm.
fn embedding_renorm(cx: &mut Cx) -> R<Out> {
    let (x, at) = (cx.t("self")?, cx.t("indices")?);
    let (bound, p) = (cx.float("max_norm")?, cx.float("norm_type")?);
    let y = limited(cx, x, 0, p, bound)?;
    let rows = cx.dim(x, 0)?;
    let row = cx.iota(&rows)?;
    let row = cx.unsqueeze(row, &[1])?;
    let at = cx.reshape_to(at, &[-1])?;
    let at = cx.cast(at, DType::I64)?;
    let same = cx.b("equal", row, at)?;
    let used = super::compare::any(cx, same, &[1], true)?;
    Ok(Out::Fresh(cx.choose(used, y, x)?))
}
