//! Bessel functions and the Airy function. Near zero they are polynomials, far out an exponential or an oscillation with slowly changing
//! amplitudes; see Abramowitz and Stegun, chapters 9 and 10.
use super::super::unary::formula;
use super::helpers::Fit;
use super::tables as fits;
use crate::pytorch::lift::cx::{Cx, Out, R, V};
use std::f64::consts::PI;

pub(in super::super) const TABLE: super::super::Table = &[
    ("i0", |cx| formula(cx, |cx, x| i_n(cx, x, 0, false))),
    ("special_i0", |cx| formula(cx, |cx, x| i_n(cx, x, 0, false))),
    ("special_i0e", |cx| formula(cx, |cx, x| i_n(cx, x, 0, true))),
    ("special_i1", |cx| formula(cx, |cx, x| i_n(cx, x, 1, false))),
    ("special_i1e", |cx| formula(cx, |cx, x| i_n(cx, x, 1, true))),
    ("special_modified_bessel_i0", |cx| formula(cx, |cx, x| i_n(cx, x, 0, false))),
    ("special_modified_bessel_i1", |cx| formula(cx, |cx, x| i_n(cx, x, 1, false))),
    ("special_modified_bessel_k0", |cx| formula(cx, |cx, x| k_n(cx, x, 0, false))),
    ("special_modified_bessel_k1", |cx| formula(cx, |cx, x| k_n(cx, x, 1, false))),
    ("special_scaled_modified_bessel_k0", |cx| scaled(cx, 0)),
    ("special_scaled_modified_bessel_k1", |cx| scaled(cx, 1)),
    ("special_bessel_j0", |cx| formula(cx, |cx, x| j_n(cx, x, 0))),
    ("special_bessel_j1", |cx| formula(cx, |cx, x| j_n(cx, x, 1))),
    ("special_bessel_y0", |cx| formula(cx, |cx, x| y_n(cx, x, 0))),
    ("special_bessel_y1", |cx| formula(cx, |cx, x| y_n(cx, x, 1))),
    ("special_spherical_bessel_j0", |cx| formula_of_x(cx, spherical)),
    ("special_airy_ai", |cx| formula_of_x(cx, airy)),
];

/// A formula of the argument `x`, or `self`.
fn formula_of_x(cx: &mut Cx, f: impl FnOnce(&mut Cx, V) -> R<V>) -> R<Out> {
    let x = if cx.names("x") { cx.t("x")? } else { cx.t("self")? };
    let dtype = crate::pytorch::lift::promote::to_float(cx.dtype(x)?);
    let wide = cx.wide(x)?;
    let y = f(cx, wide)?;
    Ok(Out::Fresh(cx.cast(y, dtype)?))
}
fn scaled(cx: &mut Cx, order: usize) -> R<Out> {
    formula_of_x(cx, |cx, x| k_n(cx, x, order, true))
}
/// `c / x`, 0 where that is above 1: the variable far out.
fn inverse(cx: &mut Cx, x: V, c: f64) -> R<V> {
    let r = cx.nb("div", c, x)?;
    cx.only(r, "less_or_equal", 1.0, 0.0)
}
/// Modified, of the first kind; `scaled` by `exp(-|x|)`.
fn i_n(cx: &mut Cx, x: V, order: usize, scaled: bool) -> R<V> {
    let (low, high): (&Fit, &Fit) =
        if order == 0 { (&fits::I0_LOW, &fits::I0_HIGH) } else { (&fits::I1_LOW, &fits::I1_HIGH) };
    let size = cx.u("abs", x)?;
    let near_x = cx.only(size, "less_or_equal", 8.0, 0.0)?;
    let mut near = cx.fit(near_x, low)?;
    if order == 1 {
        near = cx.b("mul", near, size)?;
    }
    let r = inverse(cx, size, 8.0)?;
    let far = cx.fit(r, high)?;
    let root = cx.u("sqrt", size)?;
    let far = cx.b("div", far, root)?;
    let small = cx.bn("less_or_equal", size, 8.0)?;
    let mut y = cx.choose(small, near, far)?;
    if !scaled {
        let e = cx.u("exp", size)?;
        y = cx.b("mul", y, e)?;
    }
    if order == 1 {
        let minus = cx.u("neg", y)?;
        let below = cx.bn("less", x, 0.0)?;
        y = cx.choose(below, minus, y)?;
    }
    let nan = cx.u("is_nan", x)?;
    cx.choose(nan, x, y)
}
/// Modified, of the second kind; `scaled` by `exp(x)`.
fn k_n(cx: &mut Cx, x: V, order: usize, scaled: bool) -> R<V> {
    let (i, low, high): (&Fit, &Fit, &Fit) = if order == 0 {
        (&fits::I0_SQUARE, &fits::K0_LOW, &fits::K0_HIGH)
    } else {
        (&fits::I1_SQUARE, &fits::K1_LOW, &fits::K1_HIGH)
    };
    let near_x = cx.only(x, "less_or_equal", 2.0, 1.0)?;
    let z = cx.b("mul", near_x, near_x)?;
    let half = cx.bn("mul", near_x, 0.5)?;
    let l = cx.u("log", half)?;
    let (i, a) = (cx.fit(z, i)?, cx.fit(z, low)?);
    let p = cx.b("mul", l, i)?;
    let near = if order == 0 {
        cx.b("sub", a, p)?
    } else {
        let p = cx.b("mul", p, near_x)?;
        let a = cx.b("div", a, near_x)?;
        cx.b("add", a, p)?
    };
    let near = if scaled {
        let e = cx.u("exp", near_x)?;
        cx.b("mul", near, e)?
    } else {
        near
    };
    let r = inverse(cx, x, 2.0)?;
    let far = cx.fit(r, high)?;
    let root = cx.u("sqrt", x)?;
    let mut far = cx.b("div", far, root)?;
    if !scaled {
        let minus = cx.u("neg", x)?;
        let e = cx.u("exp", minus)?;
        far = cx.b("mul", far, e)?;
    }
    let small = cx.bn("less_or_equal", x, 2.0)?;
    let y = cx.choose(small, near, far)?;
    at_zero_and_below(cx, x, y, f64::INFINITY)
}
/// `value` at 0, not a number below it and where `x` is none.
fn at_zero_and_below(cx: &mut Cx, x: V, y: V, value: f64) -> R<V> {
    let (zero, below) = (cx.bn("equal", x, 0.0)?, cx.bn("less", x, 0.0)?);
    let y = cx.put(zero, value, y)?;
    let y = cx.put(below, f64::NAN, y)?;
    let nan = cx.u("is_nan", x)?;
    cx.choose(nan, x, y)
}
/// `sqrt(2 / (pi x))` times `P cos c - Q sin c`, or `P sin c + Q cos c`, where `c = x - (2 order + 1) pi / 4`, for `x` above 8.
fn oscillation(cx: &mut Cx, x: V, order: usize, second: bool) -> R<V> {
    let (p, q): (&Fit, &Fit) = if order == 0 { (&fits::P0, &fits::Q0) } else { (&fits::P1, &fits::Q1) };
    let r = inverse(cx, x, 8.0)?;
    let z = cx.b("mul", r, r)?;
    let (p, q) = (cx.fit(z, p)?, cx.fit(z, q)?);
    let q = cx.b("mul", q, r)?;
    let (s, c) = (cx.u("sin", x)?, cx.u("cos", x)?);
    let (sum, difference) = (cx.b("add", s, c)?, cx.b("sub", s, c)?);
    // Both times the root of 2, which is taken back below.
    let (cos, sin) = if order == 0 { (sum, difference) } else { (difference, cx.u("neg", sum)?) };
    let y = if second {
        let (a, b) = (cx.b("mul", p, sin)?, cx.b("mul", q, cos)?);
        cx.b("add", a, b)?
    } else {
        let (a, b) = (cx.b("mul", p, cos)?, cx.b("mul", q, sin)?);
        cx.b("sub", a, b)?
    };
    let scale = cx.bn("mul", x, PI)?;
    let scale = cx.u("sqrt", scale)?;
    cx.b("div", y, scale)
}
/// Of the first kind, for `x` in 0 to 8: a polynomial in the square.
fn j_low(cx: &mut Cx, x: V, order: usize) -> R<V> {
    let z = cx.b("mul", x, x)?;
    if order == 0 {
        return cx.fit(z, &fits::J0_LOW);
    }
    let y = cx.fit(z, &fits::J1_LOW)?;
    cx.b("mul", y, x)
}
fn j_n(cx: &mut Cx, x: V, order: usize) -> R<V> {
    let size = cx.u("abs", x)?;
    let near_x = cx.only(size, "less_or_equal", 8.0, 0.0)?;
    let near = j_low(cx, near_x, order)?;
    let far = oscillation(cx, size, order, false)?;
    let small = cx.bn("less_or_equal", size, 8.0)?;
    let mut y = cx.choose(small, near, far)?;
    if order == 1 {
        let minus = cx.u("neg", y)?;
        let below = cx.bn("less", x, 0.0)?;
        y = cx.choose(below, minus, y)?;
    }
    Ok(y)
}
/// Of the second kind.
fn y_n(cx: &mut Cx, x: V, order: usize) -> R<V> {
    let near_x = cx.only(x, "less_or_equal", 8.0, 1.0)?;
    let z = cx.b("mul", near_x, near_x)?;
    let (l, j) = (cx.u("log", near_x)?, j_low(cx, near_x, order)?);
    let mut p = cx.b("mul", l, j)?;
    let mut rest = cx.fit(z, if order == 0 { &fits::Y0_LOW } else { &fits::Y1_LOW })?;
    if order == 1 {
        let inverse = cx.u("reciprocal", near_x)?;
        p = cx.b("sub", p, inverse)?;
        rest = cx.b("mul", rest, near_x)?;
    }
    let p = cx.bn("mul", p, 2.0 / PI)?;
    let near = cx.b("add", p, rest)?;
    let far = oscillation(cx, x, order, true)?;
    let small = cx.bn("less_or_equal", x, 8.0)?;
    let y = cx.choose(small, near, far)?;
    at_zero_and_below(cx, x, y, f64::NEG_INFINITY)
}
/// `sin(x) / x`.
fn spherical(cx: &mut Cx, x: V) -> R<V> {
    let s = cx.u("sin", x)?;
    let y = cx.b("div", s, x)?;
    let zero = cx.bn("equal", x, 0.0)?;
    let y = cx.put(zero, 1.0, y)?;
    let inf = cx.u("is_inf", x)?;
    cx.put(inf, 0.0, y)
}
/// The Airy function of the first kind; as PyTorch has it, 0 above 103.892 and not a number at infinity.
fn airy(cx: &mut Cx, x: V) -> R<V> {
    let above = cx.only(x, "greater", 2.0, 2.0)?;
    let below = cx.u("neg", x)?;
    let below = cx.only(below, "greater", 4.0, 4.0)?;
    let middle = cx.only(x, "less_or_equal", 2.0, 0.0)?;
    let middle = cx.only(middle, "greater_or_equal", -4.0, 0.0)?;
    let middle = cx.fit(middle, &fits::AIRY_LOW)?;
    let parts = |cx: &mut Cx, v: V| {
        let root = cx.u("sqrt", v)?;
        let z = cx.b("mul", root, v)?;
        Ok((cx.bn("mul", z, 2.0 / 3.0)?, cx.u("sqrt", root)?))
    };
    let (z, fourth) = parts(cx, above)?;
    let r = inverse(cx, z, 1.5)?;
    let a = cx.fit(r, &fits::AIRY_HIGH)?;
    let minus = cx.u("neg", z)?;
    let e = cx.u("exp", minus)?;
    let a = cx.b("mul", a, e)?;
    let high = cx.b("div", a, fourth)?;
    let (z, fourth) = parts(cx, below)?;
    let r = inverse(cx, z, 5.0)?;
    let r = cx.b("mul", r, r)?;
    let (p, q) = (cx.fit(r, &fits::AIRY_P)?, cx.fit(r, &fits::AIRY_Q)?);
    let q = cx.b("div", q, z)?;
    let (s, c) = (cx.u("sin", z)?, cx.u("cos", z)?);
    let (sum, difference) = (cx.b("add", s, c)?, cx.b("sub", s, c)?);
    let (a, b) = (cx.b("mul", p, sum)?, cx.b("mul", q, difference)?);
    let y = cx.b("add", a, b)?;
    let y = cx.bn("mul", y, (0.5 / PI).sqrt())?;
    let low = cx.b("div", y, fourth)?;
    let (up, down) = (cx.bn("greater", x, 2.0)?, cx.bn("less", x, -4.0)?);
    let y = cx.choose(up, high, middle)?;
    let y = cx.choose(down, low, y)?;
    let beyond = cx.bn("greater", x, 103.892)?;
    let y = cx.put(beyond, 0.0, y)?;
    let (inf, nan) = (cx.u("is_inf", x)?, cx.u("is_nan", x)?);
    let none = cx.b("or", inf, nan)?;
    cx.put(none, f64::NAN, y)
}
