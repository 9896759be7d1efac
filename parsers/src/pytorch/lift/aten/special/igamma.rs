//! Regularized incomplete gamma functions.
use super::gamma::lgamma_positive;
use super::helpers::formula2;
use crate::pytorch::lift::cx::{Cx, R, V};
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;

pub(in super::super) const TABLE: super::super::Table = &[
    ("igamma", |cx| formula2(cx, ["self", "other"], true, lower)),
    ("special_gammainc", |cx| formula2(cx, ["self", "other"], true, lower)),
    ("igammac", |cx| formula2(cx, ["self", "other"], true, upper)),
    ("special_gammaincc", |cx| formula2(cx, ["self", "other"], true, upper)),
];

/// Most terms; so many that `a` of 1e9 converges.
const MAX_TERMS: i64 = 1 << 18;
/// Relative size of a term that no longer counts.
const ENOUGH: f64 = 1e-16;

fn lower(cx: &mut Cx, a: V, x: V) -> R<V> {
    let (low, high) = both(cx, a, x)?;
    edges(cx, a, x, low, high, true)
}
fn upper(cx: &mut Cx, a: V, x: V) -> R<V> {
    let (low, high) = both(cx, a, x)?;
    edges(cx, a, x, high, low, false)
}
/// The function where one of both branches computes it and the other one's complement elsewhere, and its values on the boundary.
fn edges(cx: &mut Cx, a: V, x: V, own: V, other: V, is_lower: bool) -> R<V> {
    let (at_x0, at_a0) = if is_lower { (0.0, 1.0) } else { (1.0, 0.0) };
    let series = takes_series(cx, a, x)?;
    let rest = cx.nb("sub", 1.0, other)?;
    let y = if is_lower { cx.choose(series, own, rest)? } else { cx.choose(series, rest, own)? };
    let (x_inf, a_inf) = (cx.u("is_inf", x)?, cx.u("is_inf", a)?);
    let y = cx.put(x_inf, at_a0, y)?;
    let y = cx.put(a_inf, at_x0, y)?;
    let both = cx.b("and", x_inf, a_inf)?;
    let y = cx.put(both, f64::NAN, y)?;
    let (x0, a0) = (cx.bn("equal", x, 0.0)?, cx.bn("equal", a, 0.0)?);
    let y = cx.put(x0, at_x0, y)?;
    let y = cx.put(a0, at_a0, y)?;
    let both = cx.b("and", x0, a0)?;
    let y = cx.put(both, f64::NAN, y)?;
    let (x_low, a_low) = (cx.bn("less", x, 0.0)?, cx.bn("less", a, 0.0)?);
    let (x_nan, a_nan) = (cx.u("is_nan", x)?, cx.u("is_nan", a)?);
    let mut none = cx.b("or", x_low, a_low)?;
    for v in [x_nan, a_nan] {
        none = cx.b("or", none, v)?;
    }
    cx.put(none, f64::NAN, y)
}
/// Whether the series of the lower function is what converges: `x` up to 1 or up to `a`.
fn takes_series(cx: &mut Cx, a: V, x: V) -> R<V> {
    let (small, before) = (cx.bn("less_or_equal", x, 1.0)?, cx.b("less_or_equal", x, a)?);
    cx.b("or", small, before)
}
/// The lower function by its series and the upper one by its continued fraction, each where it is to be taken.
fn both(cx: &mut Cx, a: V, x: V) -> R<(V, V)> {
    let (a, x) = cx.broadcast(a, x)?;
    let series = takes_series(cx, a, x)?;
    let (a0, x0) = (cx.bn("greater", a, 0.0)?, cx.bn("greater", x, 0.0)?);
    let (a_inf, x_inf) = (cx.u("is_inf", a)?, cx.u("is_inf", x)?);
    let inf = cx.b("or", a_inf, x_inf)?;
    let finite = cx.u("not", inf)?;
    let inside = cx.b("and", a0, x0)?;
    let inside = cx.b("and", inside, finite)?;
    let fraction = cx.u("not", series)?;
    let (by_series, by_fraction) = (cx.b("and", inside, series)?, cx.b("and", inside, fraction)?);
    // x^a e^-x / gamma(a)
    let (one, one_x) = (cx.num(a, 1.0)?, cx.num(x, 1.0)?);
    let (safe_a, safe_x) = (cx.choose(inside, a, one)?, cx.choose(inside, x, one_x)?);
    let l = cx.u("log", safe_x)?;
    let p = cx.b("mul", safe_a, l)?;
    let g = lgamma_positive(cx, safe_a)?;
    let p = cx.b("sub", p, safe_x)?;
    let p = cx.b("sub", p, g)?;
    let scale = cx.u("exp", p)?;
    let s = series_sum(cx, safe_a, safe_x, by_series)?;
    let s = cx.b("mul", s, scale)?;
    let low = cx.b("div", s, safe_a)?;
    let f = fraction_value(cx, safe_a, safe_x, by_fraction)?;
    let high = cx.b("mul", f, scale)?;
    Ok((low, high))
}
fn trips(cx: &mut Cx) -> V {
    cx.constant(Tensor::scalar(MAX_TERMS))
}
/// Whether any of these holds, as a 0-d truth value.
fn some(cx: &mut Cx, x: V) -> R<V> {
    let n = cx.cast(x, DType::F64)?;
    let n = super::gamma::most(cx, n)?;
    cx.bn("greater", n, 0.0)
}
/// `1 + x / (a + 1) + x^2 / ((a + 1) (a + 2)) + ..`
fn series_sum(cx: &mut Cx, a: V, x: V, own: V) -> R<V> {
    let zero = cx.num(x, 0.0)?;
    let x = cx.choose(own, x, zero)?;
    let one = cx.bn("mul", a, 0.0)?;
    let one = cx.bn("add", one, 1.0)?;
    let trips = trips(cx);
    let out = cx.repeat(trips, &[one, one], &[a, x], |cx, k, carried, seen| {
        let k = cx.cast(k, DType::F64)?;
        let k = cx.bn("add", k, 1.0)?;
        let d = cx.b("add", seen[0], k)?;
        let r = cx.b("div", seen[1], d)?;
        let term = cx.b("mul", carried[0], r)?;
        let sum = cx.b("add", carried[1], term)?;
        let least = cx.bn("mul", sum, ENOUGH)?;
        let more = cx.b("greater", term, least)?;
        Ok((Some(some(cx, more)?), vec![term, sum]))
    })?;
    Ok(out[1])
}
/// `1 / (x + 1 - a - 1 (1 - a) / (x + 3 - a - ..))` by the modified Lentz method.
fn fraction_value(cx: &mut Cx, a: V, x: V, own: V) -> R<V> {
    let one = cx.num(x, 1.0)?;
    // Elsewhere a = 1, where the fraction ends at once.
    let (a, x) = (cx.choose(own, a, one)?, cx.choose(own, x, one)?);
    let b = cx.b("sub", x, a)?;
    let b = cx.bn("add", b, 1.0)?;
    let d = cx.u("reciprocal", b)?;
    let c = cx.bn("mul", b, 0.0)?;
    let c = cx.bn("add", c, 1e300)?;
    let trips = trips(cx);
    let out = cx.repeat(trips, &[c, d, d], &[a, b], |cx, k, carried, seen| {
        let k = cx.cast(k, DType::F64)?;
        let i = cx.bn("add", k, 1.0)?;
        let numerator = cx.b("sub", seen[0], i)?;
        let numerator = cx.b("mul", numerator, i)?;
        let two = cx.bn("mul", i, 2.0)?;
        let b = cx.b("add", seen[1], two)?;
        let d = cx.b("mul", numerator, carried[1])?;
        let d = cx.b("add", d, b)?;
        let d = nonzero(cx, d)?;
        let c = cx.b("div", numerator, carried[0])?;
        let c = cx.b("add", b, c)?;
        let c = nonzero(cx, c)?;
        let d = cx.u("reciprocal", d)?;
        let delta = cx.b("mul", d, c)?;
        let h = cx.b("mul", carried[2], delta)?;
        let off = cx.bn("sub", delta, 1.0)?;
        let off = cx.u("abs", off)?;
        let more = cx.bn("greater", off, 4.0 * ENOUGH)?;
        Ok((Some(some(cx, more)?), vec![c, d, h]))
    })?;
    Ok(out[2])
}
fn nonzero(cx: &mut Cx, x: V) -> R<V> {
    let zero = cx.bn("equal", x, 0.0)?;
    cx.put(zero, 1e-300, x)
}
