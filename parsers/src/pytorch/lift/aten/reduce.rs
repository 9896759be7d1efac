//! Reductions.
use super::compare::{any, of_two};
use super::linalg::as_matrix_norm;
use crate::pytorch::lift::cx::{Cx, Out, R, V, malformed};
use crate::pytorch::lift::emit::wrap;
use crate::pytorch::lift::promote::to_float;
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;

pub(super) const TABLE: super::Table = &[
    ("sum", sum),
    ("nansum", nansum),
    ("mean", mean),
    ("nanmean", nanmean),
    ("prod", prod),
    ("amax", |cx| amax(cx, "reduce_max")),
    ("amin", |cx| amax(cx, "reduce_min")),
    ("aminmax", aminmax),
    ("max", |cx| max(cx, "max")),
    ("min", |cx| max(cx, "min")),
    ("argmax", |cx| arg(cx, "arg_max")),
    ("argmin", |cx| arg(cx, "arg_min")),
    ("any", |cx| any_all(cx, false)),
    ("all", |cx| any_all(cx, true)),
    ("var", |cx| moments(cx, false, false)),
    ("std", |cx| moments(cx, true, false)),
    ("var_mean", |cx| moments(cx, false, true)),
    ("std_mean", |cx| moments(cx, true, true)),
    ("norm", norm),
    ("linalg_vector_norm", norm),
    ("linalg_norm", norm),
    ("frobenius_norm", norm),
    ("logsumexp", logsumexp),
    ("special_logsumexp", logsumexp),
    ("special_softmax", |cx| softmax(cx, "softmax")),
    ("special_log_softmax", |cx| softmax(cx, "log_softmax")),
    ("_aminmax", aminmax),
    ("native_norm", norm),
    ("count_nonzero", count_nonzero),
    ("softmax", |cx| softmax(cx, "softmax")),
    ("_softmax", |cx| softmax(cx, "softmax")),
    ("_safe_softmax", safe_softmax),
    ("log_softmax", |cx| softmax(cx, "log_softmax")),
    ("_log_softmax", |cx| softmax(cx, "log_softmax")),
    ("dist", dist),
];

/// The axes of list argument `name`; all when absent or empty.
pub(super) fn axes(cx: &Cx, name: &str, x: V) -> R<Vec<usize>> {
    let rank = cx.rank(x)?;
    let list = cx.ints_or_empty(name)?;
    let mut out: Vec<usize> = list.iter().map(|a| wrap(*a, rank)).collect::<R<_>>()?;
    if rank == 0 {
        out.clear();
    } else if out.is_empty() {
        out = (0..rank).collect();
    }
    Ok(out)
}
/// The axis `name`, if given.
pub(super) fn one_axis(cx: &Cx, name: &str, x: V) -> R<Option<usize>> {
    if cx.has(name) { Ok(Some(wrap(cx.int(name)?, cx.rank(x)?)?)) } else { Ok(None) }
}
/// A 0-d tensor as a line of one element; and whether it was one.
pub(super) fn at_least_1d(cx: &mut Cx, x: V) -> R<(V, bool)> {
    let scalar = cx.rank(x)? == 0;
    Ok((if scalar { cx.reshape_to(x, &[1])? } else { x }, scalar))
}
/// Undoes [`at_least_1d`].
pub(super) fn back(cx: &mut Cx, x: V, scalar: bool) -> R<V> {
    if scalar { cx.reshape_to(x, &[]) } else { Ok(x) }
}
/// Sums of truth values and integers are `i64`.
fn sum_input(cx: &mut Cx) -> R<V> {
    let x = cx.t("self")?;
    let now = cx.dtype(x)?;
    let to =
        cx.opt_dtype("dtype")?.unwrap_or(if now.is_float() || now.is_complex() { now } else { DType::I64 });
    cx.cast(x, to)
}
fn sum(cx: &mut Cx) -> R<Out> {
    let x = sum_input(cx)?;
    let (axes, keep) = (axes(cx, "dim", x)?, cx.bool_or("keepdim", false)?);
    Ok(Out::Fresh(total(cx, x, &axes, keep)?))
}
/// A sum in any type; small integers and truth values are widened and narrowed again.
fn total(cx: &mut Cx, x: V, axes: &[usize], keep: bool) -> R<V> {
    wide_reduce(cx, "reduce_sum", x, axes, keep)
}
fn wide_reduce(cx: &mut Cx, op: &str, x: V, axes: &[usize], keep: bool) -> R<V> {
    let dtype = cx.dtype(x)?;
    let narrow = matches!(dtype, DType::Bool | DType::I8 | DType::I16 | DType::U8 | DType::U16);
    let x = if narrow { cx.cast(x, DType::I32)? } else { x };
    let y = cx.reduce(op, x, axes, keep)?;
    cx.cast(y, dtype)
}
fn without_nan(cx: &mut Cx, x: V) -> R<(V, V)> {
    let nan = cx.u("is_nan", x)?;
    let zero = cx.num(x, 0.0)?;
    Ok((cx.choose(nan, zero, x)?, nan))
}
fn nansum(cx: &mut Cx) -> R<Out> {
    let x = sum_input(cx)?;
    let (axes, keep) = (axes(cx, "dim", x)?, cx.bool_or("keepdim", false)?);
    let x = if cx.dtype(x)?.is_float() { without_nan(cx, x)?.0 } else { x };
    Ok(Out::Fresh(total(cx, x, &axes, keep)?))
}
fn mean(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let to = cx.opt_dtype("dtype")?.unwrap_or(cx.dtype(x)?);
    if !to.is_float() && !to.is_complex() {
        return Err(malformed("the mean of integers needs a floating-point `dtype`"));
    }
    let x = cx.cast(x, to)?;
    let (axes, keep) = (axes(cx, "dim", x)?, cx.bool_or("keepdim", false)?);
    Ok(Out::Fresh(mean_of(cx, x, &axes, keep)?))
}
/// The mean; that of nothing is not a number.
pub(super) fn mean_of(cx: &mut Cx, x: V, axes: &[usize], keep: bool) -> R<V> {
    if cx.known_len(x) != Some(0) {
        return cx.reduce("reduce_mean", x, axes, keep);
    }
    let s = cx.reduce("reduce_sum", x, axes, keep)?;
    let n = count(cx, x, axes)?;
    cx.b("div", s, n)
}
fn nanmean(cx: &mut Cx) -> R<Out> {
    let x = cx.float_t("self")?;
    let to = cx.opt_dtype("dtype")?.unwrap_or(cx.dtype(x)?);
    let x = cx.cast(x, to)?;
    let (axes, keep) = (axes(cx, "dim", x)?, cx.bool_or("keepdim", false)?);
    let (x, nan) = without_nan(cx, x)?;
    let there = cx.u("not", nan)?;
    let there = cx.cast(there, to)?;
    let (s, n) = (cx.reduce("reduce_sum", x, &axes, keep)?, cx.reduce("reduce_sum", there, &axes, keep)?);
    Ok(Out::Fresh(cx.b("div", s, n)?))
}
fn prod(cx: &mut Cx) -> R<Out> {
    let x = sum_input(cx)?;
    let axis = one_axis(cx, "dim", x)?;
    let axes: Vec<usize> = if cx.rank(x)? == 0 { vec![] } else { axis.into_iter().collect() };
    let keep = cx.bool_or("keepdim", false)?;
    Ok(Out::Fresh(wide_reduce(cx, "reduce_prod", x, &axes, keep)?))
}
fn amax(cx: &mut Cx, op: &str) -> R<Out> {
    let x = cx.t("self")?;
    let (axes, keep) = (axes(cx, "dim", x)?, cx.bool_or("keepdim", false)?);
    Ok(Out::Fresh(wide_reduce(cx, op, x, &axes, keep)?))
}
fn aminmax(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let axis = one_axis(cx, "dim", x)?;
    let axes: Vec<usize> = if cx.rank(x)? == 0 { vec![] } else { axis.into_iter().collect() };
    let keep = cx.bool_or("keepdim", false)?;
    let low = wide_reduce(cx, "reduce_min", x, &axes, keep)?;
    let high = wide_reduce(cx, "reduce_max", x, &axes, keep)?;
    Ok(Out::Many(vec![Out::Fresh(low), Out::Fresh(high)]))
}
/// `max` in its three forms: of two tensors, of all elements, along one axis with positions.
fn max(cx: &mut Cx, op: &str) -> R<Out> {
    if let Some(y) = of_two(cx, op)? {
        return Ok(Out::Fresh(y));
    }
    let x = cx.t("self")?;
    let reduction = if op == "max" { "reduce_max" } else { "reduce_min" };
    let Some(axis) = one_axis(cx, "dim", x)? else {
        return Ok(Out::Fresh(wide_reduce(cx, reduction, x, &[], false)?));
    };
    let keep = cx.bool_or("keepdim", false)?;
    let (x, scalar) = at_least_1d(cx, x)?;
    let y = wide_reduce(cx, reduction, x, &[axis], keep)?;
    let at = position(cx, if op == "max" { "arg_max" } else { "arg_min" }, x, axis, keep)?;
    let (y, at) = (back(cx, y, scalar)?, back(cx, at, scalar)?);
    Ok(Out::Many(vec![Out::Fresh(y), Out::Fresh(at)]))
}
/// First position of an extremum; the first NaN where there is one.
fn position(cx: &mut Cx, op: &str, x: V, axis: usize, keep: bool) -> R<V> {
    let attrs = [("axis", Attr::Int(axis as i64)), ("keepdims", Attr::Bool(keep))];
    match cx.dtype(x)? {
        DType::Bool => {
            let x = cx.cast(x, DType::I32)?;
            cx.with(op, &[x], &attrs)
        }
        d if d.is_float() => {
            let nan = cx.u("is_nan", x)?;
            let zero = cx.num(x, 0.0)?;
            let numbers = cx.choose(nan, zero, x)?;
            let plain = cx.with(op, &[numbers], &attrs)?;
            let nan = cx.cast(nan, DType::I32)?;
            let first = cx.with("arg_max", &[nan], &attrs)?;
            let any = cx.reduce("reduce_max", nan, &[axis], keep)?;
            let any = cx.cast(any, DType::Bool)?;
            cx.choose(any, first, plain)
        }
        _ => cx.with(op, &[x], &attrs),
    }
}
fn arg(cx: &mut Cx, op: &str) -> R<Out> {
    let x = cx.t("self")?;
    let keep = cx.bool_or("keepdim", false)?;
    if let Some(axis) = one_axis(cx, "dim", x)? {
        let (x, scalar) = at_least_1d(cx, x)?;
        let at = position(cx, op, x, axis, keep)?;
        return Ok(Out::Fresh(back(cx, at, scalar)?));
    }
    let rank = cx.rank(x)?;
    let flat = cx.reshape_to(x, &[-1])?;
    let at = position(cx, op, flat, 0, false)?;
    Ok(Out::Fresh(if keep { cx.reshape_to(at, &vec![1; rank])? } else { at }))
}
fn any_all(cx: &mut Cx, all: bool) -> R<Out> {
    let x = cx.t("self")?;
    // For u8 the result is u8 as well.
    let to = if cx.dtype(x)? == DType::U8 { DType::U8 } else { DType::Bool };
    let (axes, keep) = (axes(cx, "dim", x)?, cx.bool_or("keepdim", false)?);
    let x = cx.cast(x, DType::Bool)?;
    let y = if all {
        let no = cx.u("not", x)?;
        let some = any(cx, no, &axes, keep)?;
        cx.u("not", some)?
    } else {
        any(cx, x, &axes, keep)?
    };
    Ok(Out::Fresh(cx.cast(y, to)?))
}
/// Number of elements along `axes`, in the type of `x`.
pub(super) fn count(cx: &mut Cx, x: V, axes: &[usize]) -> R<V> {
    let sizes = axes.iter().map(|a| cx.dim(x, *a)).collect::<R<Vec<_>>>()?;
    let n = cx.size_product(&sizes)?;
    let n = cx.size_scalar(&n)?;
    let dtype = cx.dtype(x)?;
    cx.cast(n, dtype)
}
/// Variance by the two-pass formula, divided by `max(n - correction, 0)`.
fn moments(cx: &mut Cx, root: bool, with_mean: bool) -> R<Out> {
    let x = cx.t("self")?;
    let dtype = cx.dtype(x)?;
    let (axes, keep) = (axes(cx, "dim", x)?, cx.bool_or("keepdim", false)?);
    let correction = if cx.bool_or("unbiased", true)? { cx.float_or("correction", 1.0)? } else { 0.0 };
    let x = cx.wide(x)?;
    let (x, scalar) = at_least_1d(cx, x)?;
    let axes = if scalar { vec![0] } else { axes };
    let mean = mean_of(cx, x, &axes, true)?;
    let d = cx.b("sub", x, mean)?;
    let squares = cx.b("mul", d, d)?;
    let s = cx.reduce("reduce_sum", squares, &axes, keep && !scalar)?;
    let n = count(cx, x, &axes)?;
    let n = cx.bn("sub", n, correction)?;
    let n = cx.u("relu", n)?;
    let mut y = cx.b("div", s, n)?;
    if root {
        y = cx.u("sqrt", y)?;
    }
    let y = cx.cast(y, dtype)?;
    if !with_mean {
        return Ok(Out::Fresh(y));
    }
    let mean = if keep && !scalar {
        mean
    } else {
        cx.squeeze(mean, &axes.iter().map(|a| *a as i64).collect::<Vec<_>>())?
    };
    let mean = cx.cast(mean, dtype)?;
    Ok(Out::Many(vec![Out::Fresh(y), Out::Fresh(mean)]))
}
fn norm(cx: &mut Cx) -> R<Out> {
    if cx.target().contains("linalg_norm")
        && let Some(matrix) = as_matrix_norm(cx)?
    {
        return Ok(matrix);
    }
    let p = match (cx.has("p"), cx.has("ord")) {
        (true, _) => cx.float("p")?,
        (_, true) => cx.float("ord")?,
        _ => 2.0,
    };
    let x = cx.t("self")?;
    let to = cx.opt_dtype("dtype")?.unwrap_or(to_float(cx.dtype(x)?));
    let x = cx.cast(x, to)?;
    let (axes, keep) = (axes(cx, "dim", x)?, cx.bool_or("keepdim", false)?);
    let x = cx.wide(x)?;
    let y = p_norm(cx, x, p, &axes, keep)?;
    Ok(Out::Fresh(cx.cast(y, to)?))
}
/// The p-norm along `axes`; 0 counts, infinities are extrema.
pub(super) fn p_norm(cx: &mut Cx, x: V, p: f64, axes: &[usize], keep: bool) -> R<V> {
    if p == 2.0 {
        let squares = cx.b("mul", x, x)?;
        let s = cx.reduce("reduce_sum", squares, axes, keep)?;
        return cx.u("sqrt", s);
    }
    let size = cx.u("abs", x)?;
    if p == f64::INFINITY {
        return cx.reduce("reduce_max", size, axes, keep);
    }
    if p == f64::NEG_INFINITY {
        return cx.reduce("reduce_min", size, axes, keep);
    }
    if p == 1.0 {
        return cx.reduce("reduce_sum", size, axes, keep);
    }
    if p == 0.0 {
        let dtype = cx.dtype(x)?;
        let zero = cx.bn("equal", x, 0.0)?;
        let some = cx.u("not", zero)?;
        let some = cx.cast(some, dtype)?;
        return cx.reduce("reduce_sum", some, axes, keep);
    }
    let powers = cx.bn("pow", size, p)?;
    let s = cx.reduce("reduce_sum", powers, axes, keep)?;
    cx.bn("pow", s, 1.0 / p)
}
fn dist(cx: &mut Cx) -> R<Out> {
    let p = cx.float_or("p", 2.0)?;
    let (a, b) = cx.float_pair("self", "other")?;
    let d = cx.b("sub", a, b)?;
    Ok(Out::Fresh(p_norm(cx, d, p, &[], false)?))
}
fn logsumexp(cx: &mut Cx) -> R<Out> {
    let x = cx.float_t("self")?;
    let dtype = cx.dtype(x)?;
    let (axes, keep) = (axes(cx, "dim", x)?, cx.bool_or("keepdim", false)?);
    let x = cx.wide(x)?;
    let (x, scalar) = at_least_1d(cx, x)?;
    let axes = if scalar { vec![0] } else { axes };
    let y = log_sum_exp(cx, x, &axes, keep && !scalar)?;
    Ok(Out::Fresh(cx.cast(y, dtype)?))
}
/// `m + log(sum(exp(x - m)))` with the maximum `m`, 0 where that is infinite.
pub(super) fn log_sum_exp(cx: &mut Cx, x: V, axes: &[usize], keep: bool) -> R<V> {
    let m = cx.reduce("reduce_max", x, axes, true)?;
    let inf = cx.u("is_inf", m)?;
    let zero = cx.num(x, 0.0)?;
    let m = cx.choose(inf, zero, m)?;
    let d = cx.b("sub", x, m)?;
    let e = cx.u("exp", d)?;
    let s = cx.reduce("reduce_sum", e, axes, true)?;
    let l = cx.u("log", s)?;
    let y = cx.b("add", m, l)?;
    if keep { Ok(y) } else { cx.squeeze(y, &axes.iter().map(|a| *a as i64).collect::<Vec<_>>()) }
}
fn count_nonzero(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let axes = axes(cx, "dim", x)?;
    let x = cx.cast(x, DType::Bool)?;
    let x = cx.cast(x, DType::I64)?;
    Ok(Out::Fresh(cx.reduce("reduce_sum", x, &axes, false)?))
}
fn softmax(cx: &mut Cx, op: &str) -> R<Out> {
    let x = cx.t("self")?;
    cx.bool_or("half_to_float", false)?;
    let to = cx.opt_dtype("dtype")?.unwrap_or(to_float(cx.dtype(x)?));
    let x = cx.cast(x, to)?;
    let axis = wrap(cx.int("dim")?, cx.rank(x)?)?;
    let (x, scalar) = at_least_1d(cx, x)?;
    let y = cx.with(op, &[x], &[("axis", Attr::Int(axis as i64))])?;
    Ok(Out::Fresh(back(cx, y, scalar)?))
}
/// 0 where a whole row is minus infinity.
fn safe_softmax(cx: &mut Cx) -> R<Out> {
    let x = cx.float_t("self")?;
    let axis = wrap(cx.int("dim")?, cx.rank(x)?)?;
    cx.opt_dtype("dtype")?;
    let y = softmax_or_zero(cx, x, axis)?;
    Ok(Out::Fresh(y))
}
/// Softmax along `axis`, 0 in rows that are minus infinity throughout.
pub(super) fn softmax_or_zero(cx: &mut Cx, x: V, axis: usize) -> R<V> {
    let y = cx.with("softmax", &[x], &[("axis", Attr::Int(axis as i64))])?;
    let m = cx.reduce("reduce_max", x, &[axis], true)?;
    let empty = cx.bn("equal", m, f64::NEG_INFINITY)?;
    let zero = cx.num(y, 0.0)?;
    cx.choose(empty, zero, y)
}
