//! Normalizations.
use super::{Row, none, same};
use crate::keras::kx::{Kx, Tv, number};
use crate::tensorflow::lift::cx::{R, V};
use hoist_ir::dtype::DType;
use hoist_ir::ops::norm::batch_normalization::BatchNormalization;
use hoist_ir::ops::norm::group::GroupNormalization;
use hoist_ir::ops::norm::layer_normalization::LayerNormalization;
use hoist_ir::ops::norm::rms_normalization::RmsNormalization;
use hoist_ir::ops::reduce::reductions::{ReduceMean, ReduceSumSquare};
use hoist_ir::ops::words::Layout;
use hoist_ir::tensor::Tensor;
use serde_json::Value as Json;

pub(super) const TABLE: &[Row] = &[
    ("BatchNormalization", same, batch),
    ("LayerNormalization", same, layer),
    ("GroupNormalization", same, group),
    ("RMSNormalization", none, rms),
    ("UnitNormalization", same, unit),
    ("LayerScale", none, scaled),
    ("Normalization", none, feature),
    ("Rescaling", same, rescaling),
    ("SpectralNormalization", none, super::wrap::inner),
];

/// Least divisor of `Normalization`.
const EPSILON: f64 = 1e-7;

/// The axes of `key`, from the start and in order.
fn axes(kx: &Kx<'_, '_, '_>, x: V) -> R<Vec<usize>> {
    let list = kx.list("axis")?.unwrap_or_else(|| vec![-1]);
    let mut all = list.into_iter().map(|a| kx.axis(x, a)).collect::<R<Vec<usize>>>()?;
    all.sort_unstable();
    all.dedup();
    if all.is_empty() { Err(kx.bad("no axis")) } else { Ok(all) }
}

fn sizes(kx: &Kx<'_, '_, '_>, x: V, axes: &[usize]) -> Vec<Option<i64>> {
    axes.iter().map(|a| kx.size(x, *a).map(|n| n as i64)).collect()
}

/// Runs `f` on data of 32 bits, as Keras normalizes shorter numbers.
fn wide(kx: &mut Kx<'_, '_, '_>, f: fn(&mut Kx<'_, '_, '_>, V) -> R<V>) -> R<Vec<Tv>> {
    let x = kx.x()?;
    let dtype = kx.dtype(x)?;
    if !matches!(dtype, DType::F16 | DType::BF16) {
        return Ok(vec![f(kx, x)?.into()]);
    }
    let long = kx.cast(x, DType::F32)?;
    let y = f(kx, long)?;
    Ok(vec![kx.cast(y, dtype)?.into()])
}

/// A weight of one number per element of `axes` of `x`, in the element type of `x`; `value` where there is none.
fn parameter(kx: &mut Kx<'_, '_, '_>, (key, name): (&str, &str), x: V, axes: &[usize], value: f32) -> R<V> {
    let sizes = sizes(kx, x, axes);
    let dtype = kx.dtype(x)?;
    let t = if key.is_empty() || kx.flag(key, true)? {
        kx.shaped(name, &sizes)?
    } else {
        let all: Option<Vec<usize>> = sizes.iter().map(|s| s.map(|n| n as usize)).collect();
        let all = all.ok_or_else(|| kx.unsupported("axes of unknown size"))?;
        Tensor::splat(&Tensor::scalar(value), &all).map_err(|e| kx.bad(e))?
    };
    let v = kx.konst(t);
    kx.cast(v, dtype)
}

/// `v`, which has the sizes of `axes`, in a shape that spreads over `x`.
fn spread(kx: &mut Kx<'_, '_, '_>, v: V, x: V, axes: &[usize]) -> R<V> {
    let rank = kx.rank(x)?;
    if axes.iter().copied().eq(rank - axes.len()..rank) {
        return Ok(v);
    }
    let own = kx.sizes(v).unwrap_or_default();
    let mut sizes = vec![1i64; rank];
    for (a, n) in axes.iter().zip(own) {
        sizes[*a] = n as i64;
    }
    kx.reshape(v, &sizes)
}

fn batch(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    wide(kx, |kx, x| {
        let rank = kx.rank(x)?;
        let [axis] = axes(kx, x)?[..] else { return Err(kx.unsupported("several axes")) };
        let epsilon = kx.float("epsilon", 1e-3)?;
        let scale = parameter(kx, ("scale", "gamma"), x, &[axis], 1.0)?;
        let shift = parameter(kx, ("center", "beta"), x, &[axis], 0.0)?;
        let mean = parameter(kx, ("", "moving_mean"), x, &[axis], 0.0)?;
        let variance = parameter(kx, ("", "moving_variance"), x, &[axis], 0.0)?;
        let layout = match axis {
            a if a + 1 == rank => Some(Layout::ChannelsLast),
            1 => Some(Layout::ChannelsFirst),
            _ => None,
        };
        if let Some(layout) = layout.filter(|_| rank > 1) {
            let op = BatchNormalization { epsilon: epsilon as f32, layout, ..BatchNormalization::default() };
            return kx.op(op, &[x, scale, shift, mean, variance]);
        }
        let [scale, shift, mean, variance] = [
            spread(kx, scale, x, &[axis])?,
            spread(kx, shift, x, &[axis])?,
            spread(kx, mean, x, &[axis])?,
            spread(kx, variance, x, &[axis])?,
        ];
        let y = kx.named("sub", &[x, mean])?;
        let root = root_of(kx, variance, epsilon)?;
        let y = kx.named("div", &[y, root])?;
        let y = kx.named("mul", &[y, scale])?;
        kx.named("add", &[y, shift])
    })
}

/// The root of `v + epsilon`.
fn root_of(kx: &mut Kx<'_, '_, '_>, v: V, epsilon: f64) -> R<V> {
    let e = kx.number(epsilon, v)?;
    let sum = kx.named("add", &[v, e])?;
    kx.named("sqrt", &[sum])
}

fn layer(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    wide(kx, |kx, x| {
        let (rank, axes) = (kx.rank(x)?, axes(kx, x)?);
        let epsilon = kx.float("epsilon", 1e-3)?;
        let by_root = kx.flag("rms_scaling", false)?;
        let key = if by_root { "" } else { "scale" };
        let scale = parameter(kx, (key, "gamma"), x, &axes, 1.0)?;
        let shift = if !by_root && kx.flag("center", true)? {
            Some(parameter(kx, ("center", "beta"), x, &axes, 0.0)?)
        } else {
            None
        };
        if !by_root && axes.iter().copied().eq(rank - axes.len()..rank) {
            let op = LayerNormalization {
                axis: axes[0] as i64,
                epsilon: epsilon as f32,
                ..LayerNormalization::default()
            };
            return kx.op_opt(op, &[Some(x), Some(scale), shift]);
        }
        let list: Vec<i64> = axes.iter().map(|a| *a as i64).collect();
        let list = kx.int_list(&list);
        let mean = kx.op(ReduceMean::default(), &[x, list])?;
        let centered = kx.named("sub", &[x, mean])?;
        let squares = kx.named("mul", &[centered, centered])?;
        let variance = kx.op(ReduceMean::default(), &[squares, list])?;
        let root = root_of(kx, variance, epsilon)?;
        let y = kx.named("div", &[if by_root { x } else { centered }, root])?;
        let scale = spread(kx, scale, x, &axes)?;
        let y = kx.named("mul", &[y, scale])?;
        let Some(shift) = shift else { return Ok(y) };
        let shift = spread(kx, shift, x, &axes)?;
        kx.named("add", &[y, shift])
    })
}

fn group(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    wide(kx, |kx, x| {
        let rank = kx.rank(x)?;
        let [axis] = axes(kx, x)?[..] else { return Err(kx.unsupported("several axes")) };
        let layout = match axis {
            a if a + 1 == rank => Layout::ChannelsLast,
            1 => Layout::ChannelsFirst,
            _ => return Err(kx.unsupported("channels between other axes")),
        };
        if rank < 3 {
            return Err(kx.unsupported("data of two axes"));
        }
        let scale = parameter(kx, ("scale", "gamma"), x, &[axis], 1.0)?;
        let shift = parameter(kx, ("center", "beta"), x, &[axis], 0.0)?;
        let channels = kx.size(x, axis).ok_or_else(|| kx.unsupported("an unknown number of channels"))?;
        let num_groups = match kx.int_opt("groups")?.unwrap_or(32) {
            -1 => channels as i64,
            n if n > 0 && channels as i64 % n == 0 => n,
            n => return Err(kx.bad(format!("{n} groups of {channels} channels"))),
        };
        let epsilon = kx.float("epsilon", 1e-3)? as f32;
        let op = GroupNormalization { epsilon, num_groups, layout, ..GroupNormalization::default() };
        kx.op(op, &[x, scale, shift])
    })
}

fn rms(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    wide(kx, |kx, x| {
        let (rank, axes) = (kx.rank(x)?, axes(kx, x)?);
        let epsilon = kx.float("epsilon", 1e-6)?;
        let scale = parameter(kx, ("", "scale"), x, &axes, 1.0)?;
        if axes.iter().copied().eq(rank - axes.len()..rank) {
            let op = RmsNormalization {
                axis: axes[0] as i64,
                epsilon: epsilon as f32,
                ..RmsNormalization::default()
            };
            return kx.op(op, &[x, scale]);
        }
        let list: Vec<i64> = axes.iter().map(|a| *a as i64).collect();
        let list = kx.int_list(&list);
        let squares = kx.named("mul", &[x, x])?;
        let mean = kx.op(ReduceMean::default(), &[squares, list])?;
        let root = root_of(kx, mean, epsilon)?;
        let y = kx.named("div", &[x, root])?;
        let scale = spread(kx, scale, x, &axes)?;
        kx.named("mul", &[y, scale])
    })
}

/// One factor for each element of the last axis.
fn scaled(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    let x = kx.x()?;
    let size = kx.int_of("projection_dim")?;
    let gamma = kx.weight("gamma", &[Some(size)])?;
    Ok(vec![kx.named("mul", &[x, gamma])?.into()])
}

fn unit(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    let x = kx.x()?;
    let axes = axes(kx, x)?;
    Ok(vec![unit_length(kx, x, &axes)?.into()])
}

/// `x` divided by its length along `axes`; where that is 0, it stays 0.
pub(super) fn unit_length(kx: &mut Kx<'_, '_, '_>, x: V, axes: &[usize]) -> R<V> {
    let list: Vec<i64> = axes.iter().map(|a| *a as i64).collect();
    let list = kx.int_list(&list);
    let squares = kx.op(ReduceSumSquare::default(), &[x, list])?;
    let length = kx.named("sqrt", &[squares])?;
    let length = super::activation::clip(&mut kx.cx, length, Some(1e-12), None)?;
    kx.named("div", &[x, length])
}

/// Numbers of the configuration as a tensor.
pub(super) fn numbers(kx: &Kx<'_, '_, '_>, json: &Json) -> R<Tensor> {
    let mut sizes = vec![];
    let mut all = vec![];
    let found = nested(json, 0, &mut sizes, &mut all);
    let fits = found.is_some() && sizes.iter().product::<usize>() == all.len();
    if fits { Ok(Tensor::from_vec(&sizes, all)) } else { Err(kx.bad("a list of numbers is uneven")) }
}

fn nested(json: &Json, depth: usize, sizes: &mut Vec<usize>, out: &mut Vec<f64>) -> Option<()> {
    if depth > 8 {
        return None;
    }
    match json {
        Json::Array(list) => {
            if depth == sizes.len() {
                sizes.push(list.len());
            }
            if sizes.get(depth) != Some(&list.len()) {
                return None;
            }
            list.iter().try_for_each(|j| nested(j, depth + 1, sizes, out))
        }
        Json::Object(map) => {
            nested(map.get("value").or_else(|| map.get("config")?.get("value"))?, depth, sizes, out)
        }
        one => {
            out.push(number(one)?);
            Some(())
        }
    }
}

fn feature(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    let x = kx.x()?;
    let x = floating(kx, x)?;
    let axes = if kx.layer.config.contains_key("axis") && kx.list("axis")?.is_none_or(|a| a.is_empty()) {
        vec![]
    } else {
        axes(kx, x)?
    };
    let stated = kx.cfg("mean").cloned().zip(kx.cfg("variance").cloned());
    let mut read = |name: &str, json: Option<&Json>| {
        let dtype = kx.dtype(x)?;
        let t = match json {
            Some(json) => numbers(kx, json)?,
            None => kx.tensor(name)?,
        };
        let count = t.len();
        let sizes = sizes(kx, x, &axes);
        let known: Option<i64> = sizes.iter().copied().try_fold(1i64, |p, s| p.checked_mul(s?));
        if count != 1 && known.is_some_and(|k| k != count as i64) {
            return Err(kx.bad(format!("`{name}` has {count} numbers, not {known:?}")));
        }
        let t = if count == 1 {
            t.reshape(&[])
        } else if axes.len() == 1 {
            t.reshape(&[count])
        } else {
            Ok(t)
        };
        let t = t.and_then(|t| t.cast(dtype, false)).map_err(|e| kx.bad(e))?;
        let all_ones = t.rank() != 0;
        let v = kx.konst(t);
        if all_ones && kx.rank(v)? == axes.len() { spread(kx, v, x, &axes) } else { Ok(v) }
    };
    let mean = read("mean", stated.as_ref().map(|s| &s.0))?;
    let variance = read("variance", stated.as_ref().map(|s| &s.1))?;
    let root = kx.named("sqrt", &[variance])?;
    let root = super::activation::clip(&mut kx.cx, root, Some(EPSILON), None)?;
    let y = if kx.flag("invert", false)? {
        let y = kx.named("mul", &[x, root])?;
        kx.named("add", &[y, mean])?
    } else {
        let y = kx.named("sub", &[x, mean])?;
        kx.named("div", &[y, root])?
    };
    Ok(vec![y.into()])
}

/// `x` as real numbers of the layer's type.
pub(super) fn floating(kx: &mut Kx<'_, '_, '_>, x: V) -> R<V> {
    match kx.compute_type()? {
        Some(dtype) => kx.cast(x, dtype),
        None => Ok(x),
    }
}

fn rescaling(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    let x = kx.x()?;
    let x = floating(kx, x)?;
    let dtype = kx.dtype(x)?;
    let mut y = x;
    for (key, op, idle) in [("scale", "mul", 1.0), ("offset", "add", 0.0)] {
        let Some(json) = kx.cfg(key).cloned() else { continue };
        let t = numbers(kx, &json)?;
        if t.rank() == 0 && t.as_f64() == Some(idle) {
            continue;
        }
        let t = t.cast(dtype, false).map_err(|e| kx.bad(e))?;
        let t = kx.konst(t);
        y = kx.named(op, &[y, t])?;
    }
    Ok(vec![y.into()])
}
