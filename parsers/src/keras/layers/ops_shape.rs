//! Operations that reduce, move or pick elements.
use super::ops::{arg_of, first, flag_of, list, operand_of, setting_of, whole_of, wholes};
use crate::keras::kx::{Kx, Tv, Value, dtype_of, integer, number};
use crate::tensorflow::lift::bridge::Arg;
use crate::tensorflow::lift::cx::{R, V};
use hoist_ir::dtype::DType;
use hoist_ir::ops::linear::einsum::Einsum;
use hoist_ir::ops::movement::pad::{Pad, PadMode};
use hoist_ir::ops::movement::slice::Slice;
use hoist_ir::ops::reduce::reductions::{
    ReduceL2, ReduceLogSumExp, ReduceMax, ReduceMean, ReduceMin, ReduceProd, ReduceSum,
};
use hoist_ir::ops::shape::one_hot::OneHot;
use hoist_ir::tensor::Tensor;
use serde_json::Value as Json;

const AXIS: &[&str] = &["axis", "axes", "dim"];
const KEEP: &[&str] = &["keepdims", "keep_dims"];

/// A reduction of the first operand.
pub(super) fn reduced(kx: &mut Kx<'_, '_, '_>, name: &str) -> R<V> {
    let x = first(kx)?;
    let rank = kx.rank(x)? as i64;
    let axes = wholes(kx, AXIS)?.unwrap_or_else(|| (0..rank).collect());
    let keepdims = flag_of(kx, KEEP);
    for key in [&["initial"][..], &["dtype"]] {
        if setting_of(kx, key).is_some() {
            return Err(kx.unsupported(format!("`{}`", key[0])));
        }
    }
    let dtype = kx.dtype(x)?;
    let axes = kx.int_list(&axes);
    let logical = matches!(name, "any" | "all");
    let x = match dtype {
        DType::Bool => kx.cast(x, DType::I32)?,
        _ if logical => return Err(kx.unsupported(format!("elements of type {dtype}"))),
        _ if !dtype.is_float() && !matches!(name, "sum" | "max" | "min" | "prod") => {
            kx.cast(x, DType::F32)?
        }
        _ => x,
    };
    let y = match name {
        "sum" => kx.op(ReduceSum { keepdims, ..ReduceSum::default() }, &[x, axes])?,
        "mean" => kx.op(ReduceMean { keepdims, ..ReduceMean::default() }, &[x, axes])?,
        "max" | "any" => kx.op(ReduceMax { keepdims, ..ReduceMax::default() }, &[x, axes])?,
        "min" | "all" => kx.op(ReduceMin { keepdims, ..ReduceMin::default() }, &[x, axes])?,
        "prod" => kx.op(ReduceProd { keepdims, ..ReduceProd::default() }, &[x, axes])?,
        "logsumexp" => kx.op(ReduceLogSumExp { keepdims, ..ReduceLogSumExp::default() }, &[x, axes])?,
        "norm" => match setting_of(kx, &["ord", "order"]) {
            None => kx.op(ReduceL2 { keepdims, ..ReduceL2::default() }, &[x, axes])?,
            Some(j) if number(&j) == Some(2.0) && wholes(kx, AXIS)?.is_some_and(|a| a.len() == 1) => {
                kx.op(ReduceL2 { keepdims, ..ReduceL2::default() }, &[x, axes])?
            }
            Some(j) if j == "euclidean" => kx.op(ReduceL2 { keepdims, ..ReduceL2::default() }, &[x, axes])?,
            Some(j) => return Err(kx.unsupported(format!("order {j}"))),
        },
        _ => {
            let mean = kx.op(ReduceMean::default(), &[x, axes])?;
            let d = kx.named("sub", &[x, mean])?;
            let d = kx.named("mul", &[d, d])?;
            let y = kx.op(ReduceMean { keepdims, ..ReduceMean::default() }, &[d, axes])?;
            if name == "std" { kx.named("sqrt", &[y])? } else { y }
        }
    };
    if logical { kx.cast(y, DType::Bool) } else { Ok(y) }
}

/// Lifts operation `name` of those that move elements.
pub(super) fn lift(kx: &mut Kx<'_, '_, '_>, name: &str) -> R<Vec<Tv>> {
    let v = match name {
        "reshape" | "flatten" | "transpose" | "swapaxes" | "moveaxis" | "concatenate" | "stack"
        | "expand_dims" | "squeeze" => arranged(kx, name)?,
        "argmax" | "argmin" => {
            let x = first(kx)?;
            let axis = whole_of(kx, &["axis"], None)?;
            let (dim, keep) = (("dim", Arg::I(axis)), ("keepdim", Arg::B(flag_of(kx, KEEP))));
            let y = kx.aten(name, &[("self", Arg::T(x)), dim, keep])?;
            let to = if kx.weights.is_old() { DType::I64 } else { DType::I32 };
            kx.cast(y, to)?
        }
        "flip" => {
            let x = first(kx)?;
            let rank = kx.rank(x)? as i64;
            let axes = wholes(kx, AXIS)?.unwrap_or_else(|| (0..rank).collect());
            kx.aten("flip", &[("self", Arg::T(x)), ("dims", Arg::Is(axes))])?
        }
        "cumsum" => {
            let x = first(kx)?;
            if flag_of(kx, &["exclusive"])
                || flag_of(kx, &["reverse"])
                || setting_of(kx, &["dtype"]).is_some()
            {
                return Err(kx.unsupported("`exclusive`, `reverse` or `dtype`"));
            }
            let axis = whole_of(kx, AXIS, None)?;
            kx.aten("cumsum", &[("self", Arg::T(x)), ("dim", Arg::I(axis))])?
        }
        "einsum" => {
            let equation = setting_of(kx, &["subscripts", "equation"]);
            let equation = equation.as_ref().and_then(Json::as_str).map(str::to_owned);
            let equation = equation.ok_or_else(|| kx.unsupported("an equation that is not stated"))?;
            let all: Vec<V> = kx.tensors().iter().map(|t| t.v).collect();
            kx.op(Einsum { equation }, &all)?
        }
        "normalize" => normalized(kx)?,
        "pad" => padded(kx)?,
        "tile" => tiled(kx)?,
        "repeat" => repeated(kx)?,
        "one_hot" => one_hot(kx)?,
        "take" | "gather" => taken(kx)?,
        "dot" => {
            let a = operand_of(kx, 0, &["x1"], None)?;
            let b = operand_of(kx, 1, &["x2"], Some(kx.dtype(a)?))?;
            if kx.rank(b)? > 2 || kx.rank(a)? == 0 || kx.rank(b)? == 0 {
                return Err(kx.unsupported("operands of so many axes"));
            }
            kx.named("mat_mul", &[a, b])?
        }
        "get_item" => picked(kx)?,
        "split" | "unstack" => return parts(kx, name),
        other => {
            let m = format!("`{other}`, which is no layer,");
            return Err(kx.unsupported(m).hint("export a SavedModel: model.export(\"folder\")"));
        }
    };
    Ok(vec![v.into()])
}

fn tiled(kx: &mut Kx<'_, '_, '_>) -> R<V> {
    let x = first(kx)?;
    let rank = kx.rank(x)?;
    let by = wholes(kx, &["repeats", "multiples"])?.ok_or_else(|| kx.unsupported("computed repeats"))?;
    let by: Vec<i64> = std::iter::repeat_n(1, rank.saturating_sub(by.len())).chain(by).collect();
    kx.aten("repeat", &[("self", Arg::T(x)), ("repeats", Arg::Is(by))])
}

/// Operations that arrange axes.
fn arranged(kx: &mut Kx<'_, '_, '_>, name: &str) -> R<V> {
    match name {
        "reshape" => {
            let x = first(kx)?;
            let sizes =
                wholes(kx, &["newshape", "shape"])?.ok_or_else(|| kx.unsupported("a computed shape"))?;
            reshaped(kx, x, &sizes)
        }
        "flatten" => {
            let x = first(kx)?;
            kx.reshape(x, &[-1])
        }
        "transpose" => {
            let x = first(kx)?;
            let rank = kx.rank(x)? as i64;
            let perm = wholes(kx, &["axes", "perm"])?.unwrap_or_else(|| (0..rank).rev().collect());
            let perm: Vec<i64> =
                perm.into_iter().map(|p| kx.axis(x, p).map(|a| a as i64)).collect::<R<_>>()?;
            kx.transpose(x, &perm)
        }
        "swapaxes" | "moveaxis" => moved(kx, name),
        "concatenate" | "stack" => {
            let mut all = list(kx, &["xs", "x", "values", "inputs", "tensors"])?;
            let axis = whole_of(kx, AXIS, Some(0))?;
            if name == "stack" {
                all = all.into_iter().map(|v| kx.unsqueeze(v, &[axis])).collect::<R<Vec<V>>>()?;
            }
            let Some(one) = all.first() else { return Err(kx.bad("no operands")) };
            let axis = kx.axis(*one, axis)? as i64;
            kx.concat(&all, axis)
        }
        "expand_dims" => {
            let x = first(kx)?;
            let axes = wholes(kx, AXIS)?.ok_or_else(|| kx.bad("`axis` is missing"))?;
            kx.unsqueeze(x, &axes)
        }
        _ => {
            let x = first(kx)?;
            let axes = wholes(kx, AXIS)?.ok_or_else(|| kx.unsupported("axes that are not named"))?;
            kx.squeeze(x, &axes)
        }
    }
}

/// `x` with other sizes, of which at most one is -1.
fn reshaped(kx: &mut Kx<'_, '_, '_>, x: V, sizes: &[i64]) -> R<V> {
    if sizes.iter().any(|s| *s < -1) || sizes.iter().filter(|s| **s == -1).count() > 1 {
        return Err(kx.bad(format!("the shape {sizes:?}")));
    }
    kx.reshape(x, sizes)
}

fn moved(kx: &mut Kx<'_, '_, '_>, name: &str) -> R<V> {
    let x = first(kx)?;
    let rank = kx.rank(x)?;
    let names: [&[&str]; 2] =
        if name == "swapaxes" { [&["axis1"], &["axis2"]] } else { [&["source"], &["destination"]] };
    let from = wholes(kx, names[0])?.unwrap_or_default();
    let to = wholes(kx, names[1])?.unwrap_or_default();
    let ([from], [to]) = (&from[..], &to[..]) else { return Err(kx.unsupported("several axes at once")) };
    let (from, to) = (kx.axis(x, *from)?, kx.axis(x, *to)?);
    let mut perm: Vec<i64> = (0..rank as i64).collect();
    if name == "swapaxes" {
        perm.swap(from, to);
    } else {
        let moved = perm.remove(from);
        perm.insert(to, moved);
    }
    kx.transpose(x, &perm)
}

fn normalized(kx: &mut Kx<'_, '_, '_>) -> R<V> {
    let x = first(kx)?;
    if setting_of(kx, &["order"]).is_some_and(|j| integer(&j) != Some(2)) {
        return Err(kx.unsupported("another order than 2"));
    }
    let axes = wholes(kx, AXIS)?.unwrap_or_else(|| vec![-1]);
    let axes = kx.int_list(&axes);
    let length = kx.op(ReduceL2::default(), &[x, axes])?;
    // TensorFlow bounds the square, by another number.
    let least = if kx.weights.is_old() { 1e-6 } else { 1e-7 };
    let least = match setting_of(kx, &["epsilon"]).as_ref().and_then(number) {
        Some(e) if kx.weights.is_old() => e.sqrt(),
        Some(e) => e,
        None => least,
    };
    let length = super::activation::clip(&mut kx.cx, length, Some(least), None)?;
    kx.named("div", &[x, length])
}

fn padded(kx: &mut Kx<'_, '_, '_>) -> R<V> {
    let x = first(kx)?;
    let rank = kx.rank(x)?;
    let json = setting_of(kx, &["pad_width", "paddings"]);
    let pairs: Option<Vec<(i64, i64)>> = json.as_ref().and_then(Json::as_array).and_then(|rows| {
        let pair = |row: &Json| crate::keras::kx::spread(row, 2).map(|p| (p[0], p[1]));
        rows.iter().map(pair).collect()
    });
    let pairs =
        pairs.filter(|p| p.len() == rank).ok_or_else(|| kx.unsupported("borders that are not listed"))?;
    let mode = setting_of(kx, &["mode"]).and_then(|j| j.as_str().map(str::to_lowercase));
    let mode = match mode.as_deref() {
        None | Some("constant") => PadMode::Constant,
        Some("reflect") => PadMode::Reflect,
        Some(other) => return Err(kx.unsupported(format!("mode `{other}`"))),
    };
    let fill = match arg_of(kx, usize::MAX, &["constant_values"]) {
        None => None,
        Some(v) => {
            let n = v.json().as_ref().and_then(number).ok_or_else(|| kx.unsupported("a computed border"))?;
            Some(kx.number(n, x)?)
        }
    };
    if pairs.iter().any(|(a, b)| *a < 0 || *b < 0) {
        return Err(kx.bad("negative borders"));
    }
    let pads: Vec<i64> = pairs.iter().map(|p| p.0).chain(pairs.iter().map(|p| p.1)).collect();
    let pads = kx.int_list(&pads);
    kx.op_opt(Pad { mode }, &[Some(x), Some(pads), fill, None])
}

fn repeated(kx: &mut Kx<'_, '_, '_>) -> R<V> {
    let x = first(kx)?;
    let (by, axis) = (whole_of(kx, &["repeats"], None)?, whole_of(kx, &["axis"], None)?);
    let axis = kx.axis(x, axis)?;
    let size = kx.size(x, axis).and_then(|n| i64::try_from(n).ok());
    let Some(total) = size.and_then(|n| n.checked_mul(by)).filter(|_| (1..1 << 30).contains(&by)) else {
        return Err(kx.unsupported("an axis of unknown size"));
    };
    let ids: Vec<i64> = (0..total.min(1 << 24)).map(|i| i / by).collect();
    if ids.len() as i64 != total {
        return Err(kx.unsupported("so many repetitions"));
    }
    let ids = kx.int_list(&ids);
    kx.gather(x, ids, axis as i64)
}

fn one_hot(kx: &mut Kx<'_, '_, '_>) -> R<V> {
    let x = first(kx).or_else(|_| operand_of(kx, 0, &["indices"], None))?;
    let depth = whole_of(kx, &["num_classes", "depth"], None)?;
    if flag_of(kx, &["sparse"])
        || setting_of(kx, &["on_value"]).is_some()
        || setting_of(kx, &["off_value"]).is_some()
    {
        return Err(kx.unsupported("`sparse`, `on_value` or `off_value`"));
    }
    if !(1..1 << 30).contains(&depth) {
        return Err(kx.bad(format!("{depth} classes")));
    }
    let axis = whole_of(kx, AXIS, Some(-1))?;
    let name = setting_of(kx, &["dtype"]);
    let to = name.as_ref().and_then(Json::as_str).map_or(Some(DType::F32), dtype_of);
    let to = to.ok_or_else(|| kx.bad("an unknown type"))?;
    let values = Tensor::from_vec(&[2], vec![0f32, 1.0]).cast(to, false).map_err(|e| kx.bad(e))?;
    // A negative number is no class, not one from the end.
    let ids = kx.cast(x, DType::I64)?;
    let (depth, values) = (kx.konst(Tensor::scalar(depth)), kx.konst(values));
    kx.op(OneHot { axis }, &[ids, depth, values])
}

fn taken(kx: &mut Kx<'_, '_, '_>) -> R<V> {
    let x = first(kx)?;
    if setting_of(kx, &["batch_dims"]).is_some_and(|j| integer(&j) != Some(0)) {
        return Err(kx.unsupported("`batch_dims`"));
    }
    let axis = whole_of(kx, &["axis"], Some(0))?;
    let ids = operand_of(kx, 1, &["indices"], Some(DType::I32))?;
    let axis = kx.axis(x, axis)? as i64;
    kx.gather(x, ids, axis)
}

fn parts(kx: &mut Kx<'_, '_, '_>, name: &str) -> R<Vec<Tv>> {
    let x = first(kx)?;
    let axis = whole_of(kx, AXIS, Some(0))?;
    let axis = kx.axis(x, axis)?;
    let size = kx.size(x, axis).and_then(|n| i64::try_from(n).ok());
    let size = size.ok_or_else(|| kx.unsupported("an axis of unknown size"))?;
    let stated = if name == "unstack" {
        vec![size]
    } else {
        let all = wholes(kx, &["indices_or_sections", "num_or_size_splits"])?;
        all.ok_or_else(|| kx.unsupported("parts that are not stated"))?
    };
    let listed = setting_of(kx, &["indices_or_sections", "num_or_size_splits"]).is_some_and(|j| j.is_array());
    let bounds: Vec<i64> = match (&stated[..], listed) {
        ([n], false) if *n > 0 && *n <= 1 << 16 && size % n == 0 => (1..*n).map(|i| i * (size / n)).collect(),
        (_, false) => return Err(kx.bad(format!("{stated:?} parts of {size}"))),
        // TensorFlow lists sizes, Keras 3 the places between parts.
        (all, true) if kx.weights.is_old() => all[..all.len().saturating_sub(1)]
            .iter()
            .scan(0i64, |at, n| {
                *at = at.checked_add(*n)?;
                Some(*at)
            })
            .collect(),
        (all, true) => all.to_vec(),
    };
    let mut out = vec![];
    let mut from = 0;
    for to in bounds.into_iter().chain([size]) {
        if to < from || to > size {
            return Err(kx.bad(format!("{stated:?} parts of {size}")));
        }
        let part = kx.slice(x, axis as i64, from, to)?;
        let part = if name == "unstack" { kx.squeeze(part, &[axis as i64])? } else { part };
        out.push(part.into());
        from = to;
    }
    Ok(out)
}

/// One entry of an index.
enum Index {
    One(i64),
    Range(Option<i64>, Option<i64>, i64),
    New,
    Rest,
}

fn index(json: &Json) -> Option<Index> {
    if json.is_null() {
        return Some(Index::New);
    }
    if let Some(i) = integer(json) {
        return Some(Index::One(i));
    }
    let class = json.get("class_name").and_then(Json::as_str);
    if class == Some("__ellipsis__") || json.as_str() == Some("Ellipsis") {
        return Some(Index::Rest);
    }
    let map = if class == Some("__slice__") { json.get("config")? } else { json };
    let bound = |key: &str| match map.get(key) {
        None | Some(Json::Null) => Some(None),
        Some(j) => integer(j).map(Some),
    };
    map.as_object()?;
    Some(Index::Range(bound("start")?, bound("stop")?, bound("step")?.unwrap_or(1)))
}

/// `x[key]` with numbers, ranges, new axes and an ellipsis.
fn picked(kx: &mut Kx<'_, '_, '_>) -> R<V> {
    let x = first(kx)?;
    let key =
        arg_of(kx, 1, &["key", "slice_spec"]).ok_or_else(|| kx.unsupported("an index that is left out"))?;
    let json = match &key {
        Value::Json(j) => j.clone(),
        other => other.json().ok_or_else(|| kx.unsupported("an index that is computed"))?,
    };
    let entries = match json {
        Json::Array(list) => list,
        one => vec![one],
    };
    let entries: Option<Vec<Index>> = entries.iter().map(index).collect();
    let entries =
        entries.ok_or_else(|| kx.unsupported(format!("the index {}", key.json().unwrap_or_default())))?;
    let rank = kx.rank(x)?;
    let used = entries.iter().filter(|e| matches!(e, Index::One(_) | Index::Range(..))).count();
    if used > rank || entries.iter().filter(|e| matches!(e, Index::Rest)).count() > 1 {
        return Err(kx.bad("more indices than axes"));
    }
    let (mut starts, mut ends, mut axes, mut steps) = (vec![], vec![], vec![], vec![]);
    let (mut gone, mut new) = (vec![], vec![]);
    let (mut axis, mut place) = (0usize, 0usize);
    for entry in entries {
        match entry {
            Index::New => {
                new.push(place as i64);
                place += 1;
            }
            Index::Rest => {
                axis += rank - used;
                place += rank - used;
            }
            Index::One(i) => {
                starts.push(i);
                ends.push(if i == -1 { i64::MAX } else { i.saturating_add(1) });
                axes.push(axis as i64);
                steps.push(1);
                gone.push(axis as i64);
                axis += 1;
            }
            Index::Range(start, stop, step) => {
                if step == 0 {
                    return Err(kx.bad("a step of 0"));
                }
                if start.is_some() || stop.is_some() || step != 1 {
                    starts.push(start.unwrap_or(if step > 0 { 0 } else { i64::MAX }));
                    ends.push(stop.unwrap_or(if step > 0 { i64::MAX } else { i64::MIN }));
                    axes.push(axis as i64);
                    steps.push(step);
                }
                axis += 1;
                place += 1;
            }
        }
    }
    let mut y = x;
    if !axes.is_empty() {
        let [starts, ends, axes, steps] = [starts, ends, axes, steps].map(|l| kx.int_list(&l));
        y = kx.op_opt(Slice::default(), &[Some(y), Some(starts), Some(ends), Some(axes), Some(steps)])?;
    }
    y = kx.squeeze(y, &gone)?;
    kx.unsqueeze(y, &new)
}
