//! Attention: products of projections, softmax, products again.
use super::{Row, none};
use crate::keras::config::Layer;
use crate::keras::kx::{Kx, Mask, Tv, Value};
use crate::keras::weights::{Content, Part};
use crate::tensorflow::lift::cx::{R, V};
use hoist_ir::dtype::DType;
use hoist_ir::ops::movement::reshape::Reshape;
use hoist_ir::ops::movement::trilu::Trilu;
use hoist_ir::ops::reduce::reductions::ReduceSum;
use hoist_ir::ops::reduce::softmax::Softmax;
use hoist_ir::ops::shape::constant_of_shape::ConstantOfShape;
use hoist_ir::tensor::Tensor;
use serde_json::Value as Json;

pub(super) const TABLE: &[Row] = &[
    ("MultiHeadAttention", none, multi_head),
    ("GroupQueryAttention", none, grouped),
    ("Attention", none, dot_attention),
    ("AdditiveAttention", none, additive),
];

/// What scores become that are masked, as a part of the largest number.
const MASKED: f64 = -0.7 * 3.402_823_4e38;

/// The products of an attention layer.
pub(super) fn projections(layer: &Layer) -> Vec<Part<'_>> {
    let bias = layer.config.get("use_bias").and_then(Json::as_bool).unwrap_or(true);
    let own = || {
        let names = ["kernel"].into_iter().chain(bias.then_some("bias"));
        Content::Weights(names.map(|n| (n, true)).collect())
    };
    ["query_dense", "key_dense", "value_dense", "output_dense"]
        .into_iter()
        .map(|name| Part::attribute(name, own()))
        .collect()
}

/// `x` with its last axis split into heads, which come before the steps.
fn split(kx: &mut Kx<'_, '_, '_>, x: V, heads: i64, width: i64) -> R<V> {
    let sizes = kx.int_list(&[0, 0, heads, width]);
    let y = kx.op(Reshape { allowzero: false }, &[x, sizes])?;
    kx.transpose(y, &[0, 2, 1, 3])
}

/// The projection `name` of `x` to `heads` of `width`.
fn projected(kx: &mut Kx<'_, '_, '_>, name: &str, x: V, heads: i64, width: i64) -> R<V> {
    let inputs = kx.size(x, 2).map(|n| n as i64);
    let kernel = kx.shaped(&format!("{name}/kernel"), &[inputs, Some(heads), Some(width)])?;
    let kernel = kernel.reshape(&[kernel.shape()[0], (heads * width) as usize]).map_err(|e| kx.bad(e))?;
    let kernel = kx.konst(kernel);
    let mut y = kx.named("mat_mul", &[x, kernel])?;
    if kx.flag("use_bias", true)? {
        let bias = kx.shaped(&format!("{name}/bias"), &[Some(heads), Some(width)])?;
        let bias = bias.reshape(&[(heads * width) as usize]).map_err(|e| kx.bad(e))?;
        let bias = kx.konst(bias);
        y = kx.named("add", &[y, bias])?;
    }
    split(kx, y, heads, width)
}

/// A size of the configuration that is at least 1.
fn count(kx: &Kx<'_, '_, '_>, key: &str) -> R<i64> {
    let n = kx.int_of(key)?;
    if (1..1 << 20).contains(&n) { Ok(n) } else { Err(kx.bad(format!("`{key}` is {n}"))) }
}

fn refuse_special(kx: &Kx<'_, '_, '_>) -> R<()> {
    for key in ["use_gate", "use_rope"] {
        if kx.flag(key, false)? {
            return Err(kx.unsupported(format!("`{key}`")));
        }
    }
    for key in ["sliding_window", "logit_softcap"] {
        if kx.cfg(key).is_some() {
            return Err(kx.unsupported(format!("`{key}`")));
        }
    }
    Ok(())
}

/// Query, value and key of a call, which are of three axes, each with the mask of its steps; without a key, values serve as keys, and their mask
/// for both.
fn operands(kx: &Kx<'_, '_, '_>) -> R<[Tv; 3]> {
    let tensor = |i: usize, name: &str| match kx.given(i, name) {
        Some(Value::Tensor(t)) => {
            let stated = kx.named.iter().find(|(k, _)| k.strip_suffix("_mask") == Some(name)).map(|(_, v)| v);
            let mask = match stated {
                Some(Value::Tensor(m)) => Mask::Some(m.v),
                Some(v) if !v.is_null() => Mask::Odd,
                _ => t.mask,
            };
            // Whether masks of steps count depends on the version before Keras 3.
            if mask == Mask::Odd || (mask != Mask::None && kx.weights.is_old()) {
                return Err(kx.unsupported("operands with masks of steps"));
            }
            Ok(Some(Tv { v: t.v, mask }))
        }
        None => Ok(None),
        Some(_) => Err(kx.bad(format!("`{name}` is no tensor"))),
    };
    let query = tensor(0, "query")?.ok_or_else(|| kx.bad("`query` is left out"))?;
    let value = tensor(1, "value")?.ok_or_else(|| kx.bad("`value` is left out"))?;
    let key = tensor(2, "key")?.unwrap_or(value);
    for t in [query, value, key] {
        if kx.rank(t.v)? != 3 {
            return Err(kx.unsupported("operands of other than three axes"));
        }
    }
    Ok([query, value, key])
}

fn switched(kx: &Kx<'_, '_, '_>, name: &str) -> R<bool> {
    match kx.named.iter().find(|(k, _)| k == name).map(|(_, v)| v) {
        None => Ok(false),
        Some(Value::Json(Json::Bool(b))) => Ok(*b),
        Some(v) if v.is_null() => Ok(false),
        Some(_) => Err(kx.unsupported(format!("`{name}` that is computed"))),
    }
}

/// True where step `s` of the values is not behind step `t` of the query: `[t, s]`.
fn causal(kx: &mut Kx<'_, '_, '_>, query: V, value: V) -> R<V> {
    let (rows, columns) = (kx.size_of(query, 1)?, kx.size_of(value, 1)?);
    let sizes = kx.concat(&[rows, columns], 0)?;
    let ones = kx.op(ConstantOfShape { value: Some(Tensor::from_vec(&[1], vec![1i64])) }, &[sizes])?;
    let lower = kx.op(Trilu { upper: false }, &[ones])?;
    kx.cast(lower, DType::Bool)
}

/// The mask that the call and its operands give, as `[batch, 1, query, value]`.
fn masks(kx: &mut Kx<'_, '_, '_>, [query, value, key]: [Tv; 3]) -> R<Option<V>> {
    let mut found = vec![];
    match kx.given(6, "attention_mask").cloned() {
        None => {}
        Some(Value::Tensor(t)) => {
            let mask = kx.cast(t.v, DType::Bool)?;
            found.push(match kx.rank(mask)? {
                2 | 4 => mask,
                3 => kx.unsqueeze(mask, &[1])?,
                n => return Err(kx.unsupported(format!("an attention mask of {n} axes"))),
            });
        }
        Some(_) => return Err(kx.unsupported("an attention mask that is a constant")),
    }
    for (t, axes) in [(query, [1, 3]), (value, [1, 2]), (key, [1, 2])] {
        let Mask::Some(mask) = t.mask else { continue };
        let mask = kx.cast(mask, DType::Bool)?;
        found.push(kx.unsqueeze(mask, &axes)?);
    }
    if switched(kx, "use_causal_mask")? {
        found.push(causal(kx, query.v, value.v)?);
    }
    let mut all = found.into_iter();
    let Some(first) = all.next() else { return Ok(None) };
    all.try_fold(first, |a, b| kx.named("and", &[a, b])).map(Some)
}

/// `softmax` of scores, where the mask is true.
fn shares(kx: &mut Kx<'_, '_, '_>, scores: V, mask: Option<V>, zero: bool) -> R<V> {
    let Some(mask) = mask else { return kx.op(Softmax { axis: -1 }, &[scores]) };
    let least = if kx.dtype(scores)? == DType::F16 { -3e4 } else { MASKED };
    let least = kx.number(least, scores)?;
    let kept = kx.named("where", &[mask, scores, least])?;
    let y = kx.op(Softmax { axis: -1 }, &[kept])?;
    if !zero {
        return Ok(y);
    }
    let nothing = kx.number(0.0, y)?;
    kx.named("where", &[mask, y, nothing])
}

/// Attention over heads `[batch, heads, steps, width]`: result and shares.
fn attend(kx: &mut Kx<'_, '_, '_>, [q, k, v]: [V; 3], width: i64, mask: Option<V>) -> R<(V, V)> {
    let by = kx.number(1.0 / (width as f64).sqrt(), q)?;
    let q = kx.named("mul", &[q, by])?;
    let k = kx.transpose(k, &[0, 1, 3, 2])?;
    let scores = kx.named("mat_mul", &[q, k])?;
    let zero = kx.float("dropout", 0.0)? > 0.0 || switched(kx, "return_attention_scores")?;
    let shares = shares(kx, scores, mask, zero)?;
    Ok((kx.named("mat_mul", &[shares, v])?, shares))
}

/// Heads joined, and the last product.
fn joined(kx: &mut Kx<'_, '_, '_>, y: V, heads: i64, width: i64) -> R<V> {
    let y = kx.transpose(y, &[0, 2, 1, 3])?;
    let sizes = kx.int_list(&[0, 0, heads * width]);
    let y = kx.op(Reshape { allowzero: false }, &[y, sizes])?;
    let kernel = kx.tensor("output_dense/kernel")?;
    if kernel.rank() < 3 || kernel.shape()[..2] != [heads as usize, width as usize] {
        return Err(kx.bad(format!("the last product has sizes {:?}", kernel.shape())));
    }
    if kernel.rank() != 3 {
        return Err(kx.unsupported("results of several axes"));
    }
    let outputs = kernel.shape()[2];
    let kernel = kernel.reshape(&[(heads * width) as usize, outputs]).map_err(|e| kx.bad(e))?;
    let kernel = kx.konst(kernel);
    let mut y = kx.named("mat_mul", &[y, kernel])?;
    if kx.flag("use_bias", true)? {
        let bias = kx.weight("output_dense/bias", &[Some(outputs as i64)])?;
        y = kx.named("add", &[y, bias])?;
    }
    Ok(y)
}

fn multi_head(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    refuse_special(kx)?;
    let [query, value, key] = operands(kx)?;
    if kx.list("attention_axes")?.is_some_and(|a| a != [1] && a != [-2]) {
        return Err(kx.unsupported("attention over other axes than the second"));
    }
    let (heads, width) = (count(kx, "num_heads")?, count(kx, "key_dim")?);
    let own = if kx.cfg("value_dim").is_some() { count(kx, "value_dim")? } else { width };
    let mask = masks(kx, [query, value, key])?;
    let steps = query.mask;
    let [query, value, key] = [query.v, value.v, key.v];
    let q = projected(kx, "query_dense", query, heads, width)?;
    let k = projected(kx, "key_dense", key, heads, width)?;
    let v = projected(kx, "value_dense", value, heads, own)?;
    let (y, shares) = attend(kx, [q, k, v], width, mask)?;
    let mut out = vec![Tv { v: joined(kx, y, heads, own)?, mask: steps }];
    if switched(kx, "return_attention_scores")? {
        out.push(shares.into());
    }
    Ok(out)
}

/// Heads of `x`, each as often as heads of the query share it.
fn repeated(kx: &mut Kx<'_, '_, '_>, x: V, times: i64, heads: i64, width: i64) -> R<V> {
    if times == 1 {
        return Ok(x);
    }
    let y = kx.unsqueeze(x, &[2])?;
    let sizes = kx.int_list(&[1, 1, times, 1, 1]);
    let y = kx.expand(y, sizes)?;
    let steps = kx.size_of(x, 2)?;
    let (batch, heads) = (kx.size_of(x, 0)?, kx.int_list(&[heads]));
    let width = kx.int_list(&[width]);
    let list = kx.concat(&[batch, heads, steps, width], 0)?;
    kx.reshape_to(y, list)
}

fn grouped(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    refuse_special(kx)?;
    let [query, value, key] = operands(kx)?;
    let (width, heads, shared) =
        (count(kx, "head_dim")?, count(kx, "num_query_heads")?, count(kx, "num_key_value_heads")?);
    if heads % shared != 0 {
        return Err(kx.bad(format!("{heads} heads share {shared}")));
    }
    let mask = masks(kx, [query, value, key])?;
    let steps = query.mask;
    let [query, value, key] = [query.v, value.v, key.v];
    let q = projected(kx, "query_dense", query, heads, width)?;
    let k = projected(kx, "key_dense", key, shared, width)?;
    let v = projected(kx, "value_dense", value, shared, width)?;
    let k = repeated(kx, k, heads / shared, heads, width)?;
    let v = repeated(kx, v, heads / shared, heads, width)?;
    let (y, shares) = attend(kx, [q, k, v], width, mask)?;
    let mut out = vec![Tv { v: joined(kx, y, heads, width)?, mask: steps }];
    if switched(kx, "return_attention_scores")? {
        out.push(shares.into());
    }
    Ok(out)
}

/// Query, value and key of a layer that takes them as one list.
fn listed(kx: &Kx<'_, '_, '_>) -> R<[V; 3]> {
    let Some(first) = kx.args.first() else { return Err(kx.bad("no operands")) };
    let all = first.tensors();
    if all.iter().any(|t| t.mask != Mask::None) || kx.given(1, "mask").is_some() {
        return Err(kx.unsupported("operands with masks of steps"));
    }
    match all[..] {
        [q, v] => Ok([q.v, v.v, v.v]),
        [q, v, k] => Ok([q.v, v.v, k.v]),
        _ => Err(kx.bad(format!("{} operands", all.len()))),
    }
}

fn finished(kx: &mut Kx<'_, '_, '_>, scores: V, query: V, value: V) -> R<Vec<Tv>> {
    let mask = if switched(kx, "use_causal_mask")? { Some(causal(kx, query, value)?) } else { None };
    let shares = shares(kx, scores, mask, false)?;
    let mut out = vec![Tv::from(kx.named("mat_mul", &[shares, value])?)];
    if switched(kx, "return_attention_scores")? {
        out.push(shares.into());
    }
    Ok(out)
}

/// Sums over the last axis of `tanh` of each query step plus each key step.
fn summed(kx: &mut Kx<'_, '_, '_>, query: V, key: V, scale: (Option<V>, Option<V>)) -> R<V> {
    let query = kx.unsqueeze(query, &[2])?;
    let key = kx.unsqueeze(key, &[1])?;
    let mut y = kx.named("add", &[query, key])?;
    if let Some(inside) = scale.0 {
        y = kx.named("mul", &[y, inside])?;
    }
    y = kx.named("tanh", &[y])?;
    if let Some(outside) = scale.1 {
        y = kx.named("mul", &[y, outside])?;
    }
    let axis = kx.int_list(&[-1]);
    kx.op(ReduceSum { keepdims: false, ..ReduceSum::default() }, &[y, axis])
}

fn dot_attention(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    let [query, value, key] = listed(kx)?;
    let scale = if kx.flag("use_scale", false)? { Some(kx.weight("scale", &[])?) } else { None };
    let scores = match &*kx.text("score_mode", "dot")? {
        "dot" => {
            let n = kx.rank(key)? as i64;
            if n != 3 {
                return Err(kx.unsupported("operands of other than three axes"));
            }
            let turned = kx.transpose(key, &[0, 2, 1])?;
            let y = kx.named("mat_mul", &[query, turned])?;
            match scale {
                Some(scale) => kx.named("mul", &[y, scale])?,
                None => y,
            }
        }
        "concat" => {
            let weight = kx.weight("concat_score_weight", &[])?;
            let y = summed(kx, query, key, (scale, None))?;
            kx.named("mul", &[y, weight])?
        }
        other => return Err(kx.bad(format!("score mode `{other}`"))),
    };
    finished(kx, scores, query, value)
}

fn additive(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    let [query, value, key] = listed(kx)?;
    let scale = if kx.flag("use_scale", true)? {
        let rank = kx.rank(query)?;
        let n = kx.size(query, rank - 1).map(|n| n as i64);
        Some(kx.weight("scale", &[n])?)
    } else {
        None
    };
    let scores = summed(kx, query, key, (None, scale))?;
    finished(kx, scores, query, value)
}
