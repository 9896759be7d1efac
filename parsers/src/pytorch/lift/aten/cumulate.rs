//! Running sums, products and extrema, and differences.
use super::reduce::{at_least_1d, back};
use crate::pytorch::lift::cx::{Cx, Out, R, V, unsupported};
use crate::pytorch::lift::emit::wrap;
use hoist_ir::dtype::DType;

pub(super) const TABLE: super::Table = &[
    ("cumsum", cumsum),
    ("cumprod", cumprod),
    ("cummax", |cx| cumulative_extremum(cx, "max")),
    ("cummin", |cx| cumulative_extremum(cx, "min")),
    ("logcumsumexp", logcumsumexp),
    ("_logcumsumexp", logcumsumexp),
    ("diff", diff),
    ("trapezoid", |cx| trapezoid(cx, false)),
    ("trapz", |cx| trapezoid(cx, false)),
    ("cumulative_trapezoid", |cx| trapezoid(cx, true)),
];

/// Longest axis along which a scan is unrolled into steps.
const MAX_UNROLLED: i64 = 4096;

/// `self` in the type of its sum, with the axis.
fn input(cx: &mut Cx) -> R<(V, usize, bool)> {
    let x = cx.t("self")?;
    let now = cx.dtype(x)?;
    let to =
        cx.opt_dtype("dtype")?.unwrap_or(if now.is_float() || now.is_complex() { now } else { DType::I64 });
    let x = cx.cast(x, to)?;
    let axis = wrap(cx.int("dim")?, cx.rank(x)?)?;
    let (x, scalar) = at_least_1d(cx, x)?;
    Ok((x, axis, scalar))
}
/// Running sum along an axis.
pub(super) fn running_sum(cx: &mut Cx, x: V, axis: usize) -> R<V> {
    let dtype = cx.dtype(x)?;
    let narrow = !dtype.is_float() && !dtype.is_complex() && !matches!(dtype, DType::I32 | DType::I64);
    let x = if narrow { cx.cast(x, DType::I64)? } else { x };
    let at = cx.constant(hoist_ir::tensor::Tensor::scalar(axis as i64));
    let y = cx.b("cum_sum", x, at)?;
    cx.cast(y, dtype)
}
fn cumsum(cx: &mut Cx) -> R<Out> {
    let (x, axis, scalar) = input(cx)?;
    let y = running_sum(cx, x, axis)?;
    Ok(Out::Fresh(back(cx, y, scalar)?))
}
/// Combines what stands earlier with what stands later, for several values at once.
type Combine<'f> = dyn Fn(&mut Cx, &[V], &[V]) -> R<Vec<V>> + 'f;

/// Doubling scan: after step k each position holds the combination of the last 2^k ones.
fn scan(cx: &mut Cx, xs: Vec<V>, axis: usize, f: &Combine<'_>) -> R<Vec<V>> {
    let n = match xs.first().map(|x| cx.known(*x, axis)) {
        Some(Some(n)) if n <= MAX_UNROLLED => n,
        Some(Some(_)) => return Err(unsupported(format!("a scan over more than {MAX_UNROLLED} elements"))),
        _ => return Err(unsupported("a scan over an axis of dynamic size")),
    };
    let (mut xs, mut width) = (xs, 1);
    while width < n {
        let part = |cx: &mut Cx, from: i64, to: i64| {
            xs.iter().map(|x| cx.slice_known(*x, axis, from, to)).collect::<R<Vec<V>>>()
        };
        let (head, earlier, later) = (part(cx, 0, width)?, part(cx, 0, n - width)?, part(cx, width, n)?);
        let joined = f(cx, &earlier, &later)?;
        xs = head.into_iter().zip(joined).map(|(h, t)| cx.concat(&[h, t], axis)).collect::<R<_>>()?;
        width *= 2;
    }
    Ok(xs)
}
fn cumprod(cx: &mut Cx) -> R<Out> {
    let (x, axis, scalar) = input(cx)?;
    let y = scan(cx, vec![x], axis, &|cx, a, b| Ok(vec![cx.b("mul", a[0], b[0])?]))?;
    Ok(Out::Fresh(back(cx, y[0], scalar)?))
}
/// Extremum so far with its last position.
fn cumulative_extremum(cx: &mut Cx, op: &str) -> R<Out> {
    let x = cx.t("self")?;
    let dtype = cx.dtype(x)?;
    let axis = wrap(cx.int("dim")?, cx.rank(x)?)?;
    let (x, scalar) = at_least_1d(cx, x)?;
    let x = if dtype == DType::Bool { cx.cast(x, DType::I32)? } else { x };
    let n = cx.dim(x, axis)?;
    let at = cx.iota(&n)?;
    let mut line = vec![1; cx.rank(x)?];
    line[axis] = -1;
    let at = cx.reshape_to(at, &line)?;
    let at = cx.expand_like(at, x)?;
    let test = if op == "max" { "greater_or_equal" } else { "less_or_equal" };
    let y = scan(cx, vec![x, at], axis, &|cx, a, b| {
        // The later one wins ties; NaN stays.
        let mut later = cx.b(test, b[0], a[0])?;
        if cx.dtype(a[0])?.is_float() {
            let (nan_a, nan_b) = (cx.u("is_nan", a[0])?, cx.u("is_nan", b[0])?);
            let number = cx.u("not", nan_a)?;
            later = cx.b("and", later, number)?;
            later = cx.b("or", later, nan_b)?;
        }
        Ok(vec![cx.choose(later, b[0], a[0])?, cx.choose(later, b[1], a[1])?])
    })?;
    let value = cx.cast(y[0], dtype)?;
    let (value, at) = (back(cx, value, scalar)?, back(cx, y[1], scalar)?);
    Ok(Out::Many(vec![Out::Fresh(value), Out::Fresh(at)]))
}
fn logcumsumexp(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let dtype = cx.dtype(x)?;
    let axis = wrap(cx.int("dim")?, cx.rank(x)?)?;
    let (x, scalar) = at_least_1d(cx, x)?;
    let x = cx.wide(x)?;
    let y = scan(cx, vec![x], axis, &|cx, a, b| Ok(vec![super::binary::log_add(cx, a[0], b[0], 1.0)?]))?;
    let y = cx.cast(y[0], dtype)?;
    Ok(Out::Fresh(back(cx, y, scalar)?))
}
fn diff(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let axis = wrap(cx.int_or("dim", -1)?, cx.rank(x)?)?;
    let mut parts = vec![x];
    if let Some(p) = cx.opt_t("prepend")? {
        parts.insert(0, p);
    }
    if let Some(a) = cx.opt_t("append")? {
        parts.push(a);
    }
    let mut x = cx.concat(&parts, axis)?;
    let times = cx.int_or("n", 1)?;
    for _ in 0..times.min(MAX_UNROLLED) {
        if cx.known(x, axis) == Some(0) {
            break;
        }
        let (a, b) = (slice_from(cx, x, axis, 1)?, slice_until(cx, x, axis, -1)?);
        x = if cx.dtype(x)? == DType::Bool { cx.b("xor", a, b)? } else { cx.b("sub", a, b)? };
    }
    Ok(Out::Fresh(if times == 0 { cx.u("identity", x)? } else { x }))
}
pub(super) fn slice_from(cx: &mut Cx, x: V, axis: usize, start: i64) -> R<V> {
    cx.slice(x, axis, &start.into(), &i64::MAX.into(), 1)
}
pub(super) fn slice_until(cx: &mut Cx, x: V, axis: usize, end: i64) -> R<V> {
    cx.slice(x, axis, &0.into(), &end.into(), 1)
}
/// Integral by trapezoids over `dx` or over positions `x`.
fn trapezoid(cx: &mut Cx, running: bool) -> R<Out> {
    let y = cx.t("y")?;
    let rank = cx.rank(y)?;
    let axis = wrap(cx.int_or("dim", -1)?, rank)?;
    let dtype = crate::pytorch::lift::promote::to_float(cx.dtype(y)?);
    let (a, b) = (slice_from(cx, y, axis, 1)?, slice_until(cx, y, axis, -1)?);
    let (a, b) = (cx.cast(a, dtype)?, cx.cast(b, dtype)?);
    let pairs = cx.b("add", a, b)?;
    let mut areas = match cx.opt_t("x")? {
        None => {
            let dx = cx.float_or("dx", 1.0)?;
            cx.bn("mul", pairs, dx)?
        }
        Some(x) => {
            let x = cx.cast(x, dtype)?;
            // A line of positions lies along the axis.
            let x = if cx.rank(x)? == 1 && rank != 1 {
                let mut line = vec![1; rank];
                line[axis] = -1;
                cx.reshape_to(x, &line)?
            } else {
                x
            };
            let x_axis = axis + cx.rank(x)? - rank;
            let (p, q) = (slice_from(cx, x, x_axis, 1)?, slice_until(cx, x, x_axis, -1)?);
            let width = cx.b("sub", p, q)?;
            cx.b("mul", pairs, width)?
        }
    };
    areas = cx.bn("div", areas, 2.0)?;
    Ok(Out::Fresh(if running {
        running_sum(cx, areas, axis)?
    } else {
        cx.reduce("reduce_sum", areas, &[axis], false)?
    }))
}
