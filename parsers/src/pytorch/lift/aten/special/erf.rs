//! The error function and what follows from it.
use super::super::unary::{formula, log1p};
use super::tables as fits;
use crate::pytorch::lift::cx::{Cx, R, V};
use hoist_ir::dtype::DType;
use std::f64::consts::SQRT_2;

pub(in super::super) const TABLE: super::super::Table = &[
    ("erf", |cx| formula(cx, erf)),
    ("special_erf", |cx| formula(cx, erf)),
    ("erfc", |cx| formula(cx, erfc)),
    ("special_erfc", |cx| formula(cx, erfc)),
    ("special_erfcx", |cx| formula(cx, erfcx)),
    ("erfinv", |cx| formula(cx, erfinv)),
    ("special_erfinv", |cx| formula(cx, erfinv)),
    ("special_ndtr", |cx| formula(cx, ndtr)),
    ("special_ndtri", |cx| formula(cx, ndtri)),
    ("special_log_ndtr", |cx| formula(cx, log_ndtr)),
];

/// In single precision the operator; in double precision a polynomial up to 1 and the complement beyond.
pub(in super::super) fn erf(cx: &mut Cx, x: V) -> R<V> {
    if cx.dtype(x)? != DType::F64 {
        return cx.u("erf", x);
    }
    let size = cx.u("abs", x)?;
    let small = cx.bn("less_or_equal", size, 1.0)?;
    let near = cx.only(size, "less_or_equal", 1.0, 0.0)?;
    let z = cx.b("mul", near, near)?;
    let y = cx.fit(z, &fits::ERF)?;
    let near = cx.b("mul", y, x)?;
    let tail = upper(cx, size)?;
    let far = cx.nb("sub", 1.0, tail)?;
    let sign = cx.u("sign", x)?;
    let far = cx.b("mul", far, sign)?;
    cx.choose(small, near, far)
}
/// `exp(x^2) erfc(x)` for `x` not below 0.
fn upper_scaled(cx: &mut Cx, x: V) -> R<V> {
    let t = cx.bn("add", x, 3.0)?;
    let t = cx.nb("div", 3.0, t)?;
    let y = cx.fit(t, &fits::ERFCX)?;
    cx.b("mul", y, t)
}
/// `erfc(x)` for `x` not below 0.
fn upper(cx: &mut Cx, x: V) -> R<V> {
    let y = upper_scaled(cx, x)?;
    let e = cx.exp_square(x, -1.0)?;
    cx.b("mul", y, e)
}
pub(super) fn erfc(cx: &mut Cx, x: V) -> R<V> {
    let size = cx.u("abs", x)?;
    let tail = upper(cx, size)?;
    let rest = cx.nb("sub", 2.0, tail)?;
    let below = cx.bn("less", x, 0.0)?;
    cx.choose(below, rest, tail)
}
fn erfcx(cx: &mut Cx, x: V) -> R<V> {
    let size = cx.u("abs", x)?;
    let tail = upper_scaled(cx, size)?;
    let e = cx.exp_square(x, 1.0)?;
    let e = cx.bn("mul", e, 2.0)?;
    let rest = cx.b("sub", e, tail)?;
    let below = cx.bn("less", x, 0.0)?;
    cx.choose(below, rest, tail)
}
/// `(1 + erf(x / sqrt 2)) / 2`, far below as `erfc(-x / sqrt 2) / 2`.
fn ndtr(cx: &mut Cx, x: V) -> R<V> {
    let z = cx.bn("mul", x, -1.0 / SQRT_2)?;
    let y = erfc(cx, z)?;
    cx.bn("mul", y, 0.5)
}
fn log_ndtr(cx: &mut Cx, x: V) -> R<V> {
    let z = cx.bn("div", x, SQRT_2)?;
    let low = cx.only(z, "less", -0.7, -1.0)?;
    let minus = cx.u("neg", low)?;
    let tail = upper_scaled(cx, minus)?;
    let tail = cx.bn("mul", tail, 0.5)?;
    let l = cx.u("log", tail)?;
    let square = cx.b("mul", low, low)?;
    let low = cx.b("sub", l, square)?;
    let rest = erfc(cx, z)?;
    let rest = cx.bn("mul", rest, -0.5)?;
    let high = log1p(cx, rest)?;
    let below = cx.bn("less", z, -0.7)?;
    let y = cx.choose(below, low, high)?;
    let nan = cx.u("is_nan", x)?;
    cx.choose(nan, x, y)
}
/// The positive number that the normal distribution exceeds with probability `p`, for `p` up to 0.2.
fn quantile_tail(cx: &mut Cx, p: V) -> R<V> {
    let l = cx.u("log", p)?;
    let l = cx.bn("mul", l, -2.0)?;
    let s = cx.u("sqrt", l)?;
    let r = cx.u("reciprocal", s)?;
    let (near, far) = (cx.fit(r, &fits::TAIL_NEAR)?, cx.fit(r, &fits::TAIL_FAR)?);
    let close = cx.bn("less", s, 6.0)?;
    let rest = cx.choose(close, near, far)?;
    let l = cx.u("log", s)?;
    let l = cx.b("add", l, rest)?;
    let l = cx.b("mul", l, r)?;
    cx.b("sub", s, l)
}
/// `erfinv(u)` for `u` between -0.6 and 0.6.
fn erfinv_middle(cx: &mut Cx, u: V) -> R<V> {
    let z = cx.b("mul", u, u)?;
    let y = cx.fit(z, &fits::ERFINV)?;
    cx.b("mul", y, u)
}
/// What is nearest: `middle` for `|u|` up to 0.6, else `tail` with the sign of `u`; infinite at 1, nothing beyond.
fn joined(cx: &mut Cx, u: V, size: V, middle: V, tail: V) -> R<V> {
    let one = cx.bn("greater_or_equal", size, 1.0)?;
    let tail = cx.put(one, f64::INFINITY, tail)?;
    let minus = cx.u("neg", tail)?;
    let below = cx.bn("less", u, 0.0)?;
    let tail = cx.choose(below, minus, tail)?;
    let inner = cx.bn("less_or_equal", size, 0.6)?;
    let y = cx.choose(inner, middle, tail)?;
    let beyond = cx.bn("greater", size, 1.0)?;
    let y = cx.put(beyond, f64::NAN, y)?;
    let nan = cx.u("is_nan", u)?;
    cx.choose(nan, u, y)
}
fn erfinv(cx: &mut Cx, u: V) -> R<V> {
    let size = cx.u("abs", u)?;
    let middle = erfinv_middle(cx, u)?;
    let p = cx.nb("sub", 1.0, size)?;
    let p = cx.bn("mul", p, 0.5)?;
    let tail = quantile_tail(cx, p)?;
    let tail = cx.bn("div", tail, SQRT_2)?;
    joined(cx, u, size, middle, tail)
}
fn ndtri(cx: &mut Cx, p: V) -> R<V> {
    let u = cx.bn("mul", p, 2.0)?;
    let u = cx.bn("sub", u, 1.0)?;
    let middle = erfinv_middle(cx, u)?;
    let middle = cx.bn("mul", middle, SQRT_2)?;
    let other = cx.nb("sub", 1.0, p)?;
    let tail = cx.b("min", p, other)?;
    let tail = quantile_tail(cx, tail)?;
    let (low, high) = (cx.bn("equal", p, 0.0)?, cx.bn("equal", p, 1.0)?);
    let size = cx.u("abs", u)?;
    // Next to 0 and 1 rounding must not make it infinite.
    let inside = cx.bn("min", size, 0.9999)?;
    let ends = cx.b("or", low, high)?;
    let (out, over) = (cx.bn("less", p, 0.0)?, cx.bn("greater", p, 1.0)?);
    let out = cx.b("or", out, over)?;
    let inside = cx.put(ends, 1.0, inside)?;
    let size = cx.put(out, 2.0, inside)?;
    joined(cx, u, size, middle, tail)
}
