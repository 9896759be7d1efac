//! Functions of complex numbers in terms of real and imaginary parts.
//!
//! Branch cuts are those of C99. Inverse functions follow W. Kahan, "Branch Cuts for Complex Elementary Functions" (1987).
use super::binary::is_negative;
use super::unary::{expm1 as real_expm1, log1p as real_log1p};
use crate::pytorch::lift::cx::{Cx, R, V, unsupported};
use hoist_ir::dtype::DType;
use std::f64::consts::{FRAC_PI_2, LN_2, PI};

/// Smallest normal and largest number of a float type.
fn range(cx: &Cx, x: V) -> R<(f64, f64)> {
    match cx.dtype(x)? {
        DType::F32 => Ok((f64::from(f32::MIN_POSITIVE), f64::from(f32::MAX))),
        DType::F64 => Ok((f64::MIN_POSITIVE, f64::MAX)),
        other => Err(unsupported(format!("complex numbers with parts of {other}"))),
    }
}
/// `re^2 + im^2`.
pub(super) fn square_modulus(cx: &mut Cx, z: V) -> R<V> {
    let re = cx.re(z)?;
    let rr = cx.b("mul", re, re)?;
    let Some(im) = cx.some_im(z)? else { return Ok(rr) };
    let ii = cx.b("mul", im, im)?;
    cx.b("add", rr, ii)
}
/// `|z|`, scaled by the larger part so that no square overflows or vanishes.
pub(super) fn modulus(cx: &mut Cx, z: V) -> R<V> {
    let re = cx.re(z)?;
    let re = cx.u("abs", re)?;
    let Some(im) = cx.some_im(z)? else { return Ok(re) };
    let im = cx.u("abs", im)?;
    hypot(cx, re, im)
}
fn hypot(cx: &mut Cx, a: V, b: V) -> R<V> {
    let (tiny, most) = range(cx, a)?;
    let scale = cx.b("max", a, b)?;
    let (low, high) = (cx.num(a, tiny)?, cx.num(a, most)?);
    let scale = cx.op("clip", &[scale, low, high])?;
    let (p, q) = (cx.b("div", a, scale)?, cx.b("div", b, scale)?);
    let (p, q) = (cx.b("mul", p, p)?, cx.b("mul", q, q)?);
    let s = cx.b("add", p, q)?;
    let s = cx.u("sqrt", s)?;
    cx.b("mul", s, scale)
}
/// The angle of `(x, y)`, signs of zeros included.
pub(super) fn atan2(cx: &mut Cx, y: V, x: V) -> R<V> {
    let (tiny, most) = range(cx, x)?;
    let (ax, ay) = (cx.u("abs", x)?, cx.u("abs", y)?);
    let (ax, ay) = (cx.bn("min", ax, most)?, cx.bn("min", ay, most)?);
    let (low, high) = (cx.b("min", ax, ay)?, cx.b("max", ax, ay)?);
    let high = cx.bn("max", high, tiny)?;
    let q = cx.b("div", low, high)?;
    let t = atan_of_quotient(cx, q)?;
    let steep = cx.b("greater", ay, ax)?;
    let other = cx.nb("sub", FRAC_PI_2, t)?;
    let t = cx.choose(steep, other, t)?;
    let left = is_negative(cx, x)?;
    let other = cx.nb("sub", PI, t)?;
    let t = cx.choose(left, other, t)?;
    let below = is_negative(cx, y)?;
    let minus = cx.u("neg", t)?;
    cx.choose(below, minus, t)
}
/// `atan` of a number from 0 to 1. Runtimes lack it in double precision: there, the single-precision value `t` is corrected by
/// `atan((q cos t - sin t) / (cos t + q sin t))`, an argument so small that it is its own arc tangent.
fn atan_of_quotient(cx: &mut Cx, q: V) -> R<V> {
    if cx.dtype(q)? != DType::F64 {
        return cx.u("atan", q);
    }
    let t = cx.cast(q, DType::F32)?;
    let t = cx.u("atan", t)?;
    let t = cx.cast(t, DType::F64)?;
    let (c, s) = (cx.u("cos", t)?, cx.u("sin", t)?);
    let (qc, qs) = (cx.b("mul", q, c)?, cx.b("mul", q, s)?);
    let (above, below) = (cx.b("sub", qc, s)?, cx.b("add", c, qs)?);
    let d = cx.b("div", above, below)?;
    cx.b("add", t, d)
}
/// `sinh x` and `cosh x`; in double precision, which runtimes lack, by `expm1`.
fn hyperbolic(cx: &mut Cx, x: V) -> R<(V, V)> {
    if cx.dtype(x)? != DType::F64 {
        return Ok((cx.u("sinh", x)?, cx.u("cosh", x)?));
    }
    let (up, minus) = (cx.u("exp", x)?, cx.u("neg", x)?);
    let down = cx.u("exp", minus)?;
    let sum = cx.b("add", up, down)?;
    let (p, q) = (real_expm1(cx, x)?, real_expm1(cx, minus)?);
    let difference = cx.b("sub", p, q)?;
    Ok((cx.bn("mul", difference, 0.5)?, cx.bn("mul", sum, 0.5)?))
}
/// `sin(pi z) / (pi z)`, 1 at 0.
pub(super) fn sinc(cx: &mut Cx, z: V) -> R<V> {
    let turned = cx.bn("mul", z, PI)?;
    let s = sin(cx, turned)?;
    let (zero, one) = (cx.num(z, 0.0)?, cx.num(z, 1.0)?);
    let origin = cx.b("equal", z, zero)?;
    let safe = cx.choose(origin, one, turned)?;
    let q = cx.b("div", s, safe)?;
    cx.choose(origin, one, q)
}
pub(super) fn angle(cx: &mut Cx, z: V) -> R<V> {
    let (re, im) = (cx.re(z)?, cx.im(z)?);
    atan2(cx, im, re)
}
/// `z / |z|`, 0 at 0.
pub(super) fn sgn(cx: &mut Cx, z: V) -> R<V> {
    let size = modulus(cx, z)?;
    let zero = cx.bn("equal", size, 0.0)?;
    let one = cx.num(size, 1.0)?;
    let safe = cx.choose(zero, one, size)?;
    cx.each_part(z, &mut |cx, p| cx.b("div", p, safe))
}
pub(super) fn exp(cx: &mut Cx, z: V) -> R<V> {
    let (re, im) = (cx.re(z)?, cx.im(z)?);
    let (size, c, s) = (cx.u("exp", re)?, cx.u("cos", im)?, cx.u("sin", im)?);
    let (re, im) = (cx.b("mul", size, c)?, cx.b("mul", size, s)?);
    cx.complex(re, im)
}
pub(super) fn exp2(cx: &mut Cx, z: V) -> R<V> {
    let z = cx.bn("mul", z, LN_2)?;
    exp(cx, z)
}
/// `expm1(x) cos y - 2 sin^2(y / 2)` and `e^x sin y`.
pub(super) fn expm1(cx: &mut Cx, z: V) -> R<V> {
    let (x, y) = (cx.re(z)?, cx.im(z)?);
    let (e, c, s) = (real_expm1(cx, x)?, cx.u("cos", y)?, cx.u("sin", y)?);
    let half = cx.bn("mul", y, 0.5)?;
    let half = cx.u("sin", half)?;
    let half = cx.b("mul", half, half)?;
    let double = cx.b("add", half, half)?;
    let re = cx.b("mul", e, c)?;
    let re = cx.b("sub", re, double)?;
    let size = cx.u("exp", x)?;
    let im = cx.b("mul", size, s)?;
    cx.complex(re, im)
}
pub(super) fn log(cx: &mut Cx, z: V) -> R<V> {
    let size = modulus(cx, z)?;
    let (re, im) = (cx.u("log", size)?, angle(cx, z)?);
    cx.complex(re, im)
}
pub(super) fn log_base(cx: &mut Cx, z: V, ln_base: f64) -> R<V> {
    let l = log(cx, z)?;
    cx.each_part(l, &mut |cx, p| cx.bn("div", p, ln_base))
}
/// `log(1 + z)`; near 0 by `log1p(x (2 + x) + y^2) / 2`.
pub(super) fn log1p(cx: &mut Cx, z: V) -> R<V> {
    let (x, y) = (cx.re(z)?, cx.im(z)?);
    let moved = cx.bn("add", x, 1.0)?;
    let (ax, ay) = (cx.u("abs", moved)?, cx.u("abs", y)?);
    let size = hypot(cx, ax, ay)?;
    let far = cx.u("log", size)?;
    let p = cx.bn("add", x, 2.0)?;
    let (p, q) = (cx.b("mul", x, p)?, cx.b("mul", y, y)?);
    let p = cx.b("add", p, q)?;
    let near = cx.u("abs", p)?;
    let near = cx.bn("less", near, 0.5)?;
    let l = real_log1p(cx, p)?;
    let l = cx.bn("mul", l, 0.5)?;
    let re = cx.choose(near, l, far)?;
    let im = atan2(cx, y, moved)?;
    cx.complex(re, im)
}
/// The root with a real part that is not negative.
pub(super) fn sqrt(cx: &mut Cx, z: V) -> R<V> {
    let (x, y) = (cx.re(z)?, cx.im(z)?);
    let size = modulus(cx, z)?;
    let ax = cx.u("abs", x)?;
    let t = cx.b("add", ax, size)?;
    let t = cx.bn("mul", t, 0.5)?;
    let t = cx.u("sqrt", t)?;
    let (tiny, _) = range(cx, x)?;
    let double = cx.b("add", t, t)?;
    let double = cx.bn("max", double, tiny)?;
    let ay = cx.u("abs", y)?;
    let u = cx.b("div", ay, double)?;
    let left = cx.bn("less", x, 0.0)?;
    let (re, im) = (cx.choose(left, u, t)?, cx.choose(left, t, u)?);
    let below = is_negative(cx, y)?;
    let minus = cx.u("neg", im)?;
    let im = cx.choose(below, minus, im)?;
    cx.complex(re, im)
}
pub(super) fn rsqrt(cx: &mut Cx, z: V) -> R<V> {
    let r = sqrt(cx, z)?;
    cx.u("reciprocal", r)
}
/// `a b` and `c d` as parts.
fn products(cx: &mut Cx, re: (V, V), im: (V, V)) -> R<V> {
    let (re, im) = (cx.b("mul", re.0, re.1)?, cx.b("mul", im.0, im.1)?);
    cx.complex(re, im)
}
pub(super) fn sin(cx: &mut Cx, z: V) -> R<V> {
    let (x, y) = (cx.re(z)?, cx.im(z)?);
    let ((s, c), (sh, ch)) = ((cx.u("sin", x)?, cx.u("cos", x)?), hyperbolic(cx, y)?);
    products(cx, (s, ch), (c, sh))
}
pub(super) fn cos(cx: &mut Cx, z: V) -> R<V> {
    let (x, y) = (cx.re(z)?, cx.im(z)?);
    let ((s, c), (sh, ch)) = ((cx.u("sin", x)?, cx.u("cos", x)?), hyperbolic(cx, y)?);
    let s = cx.u("neg", s)?;
    products(cx, (c, ch), (s, sh))
}
pub(super) fn sinh(cx: &mut Cx, z: V) -> R<V> {
    let (x, y) = (cx.re(z)?, cx.im(z)?);
    let ((s, c), (sh, ch)) = ((cx.u("sin", y)?, cx.u("cos", y)?), hyperbolic(cx, x)?);
    products(cx, (sh, c), (ch, s))
}
pub(super) fn cosh(cx: &mut Cx, z: V) -> R<V> {
    let (x, y) = (cx.re(z)?, cx.im(z)?);
    let ((s, c), (sh, ch)) = ((cx.u("sin", y)?, cx.u("cos", y)?), hyperbolic(cx, x)?);
    products(cx, (ch, c), (sh, s))
}
/// With `c = cos y`, `s = sin y`, `t = tanh x`: `t / (c^2 + t^2 s^2)` and `s c / (cosh^2 x (c^2 + t^2 s^2))`.
fn tanh_parts(cx: &mut Cx, x: V, y: V) -> R<(V, V)> {
    let (c, s, t) = (cx.u("cos", y)?, cx.u("sin", y)?, cx.u("tanh", x)?);
    let (_, ch) = hyperbolic(cx, x)?;
    let (p, q) = (cx.b("mul", c, c)?, cx.b("mul", t, s)?);
    let q = cx.b("mul", q, q)?;
    let below = cx.b("add", p, q)?;
    let re = cx.b("div", t, below)?;
    let above = cx.b("mul", s, c)?;
    let above = cx.b("div", above, ch)?;
    let above = cx.b("div", above, ch)?;
    Ok((re, cx.b("div", above, below)?))
}
pub(super) fn tanh(cx: &mut Cx, z: V) -> R<V> {
    let (x, y) = (cx.re(z)?, cx.im(z)?);
    let (re, im) = tanh_parts(cx, x, y)?;
    cx.complex(re, im)
}
/// `-i f(i z)`, with `f` on parts.
fn turned(cx: &mut Cx, z: V, f: fn(&mut Cx, V, V) -> R<(V, V)>) -> R<V> {
    let (x, y) = (cx.re(z)?, cx.im(z)?);
    let minus = cx.u("neg", y)?;
    let (a, b) = f(cx, minus, x)?;
    let a = cx.u("neg", a)?;
    cx.complex(b, a)
}
pub(super) fn tan(cx: &mut Cx, z: V) -> R<V> {
    turned(cx, z, tanh_parts)
}
/// `1/4 log1p(4 x / ((1 - x)^2 + y^2))` and `1/2 atan2(2 y, (1 - x) (1 + x) - y^2)`.
fn atanh_parts(cx: &mut Cx, x: V, y: V) -> R<(V, V)> {
    let (less, more) = (cx.nb("sub", 1.0, x)?, cx.nb("add", 1.0, x)?);
    let yy = cx.b("mul", y, y)?;
    let below = cx.b("mul", less, less)?;
    let below = cx.b("add", below, yy)?;
    let q = cx.bn("mul", x, 4.0)?;
    let q = cx.b("div", q, below)?;
    let l = real_log1p(cx, q)?;
    let re = cx.bn("mul", l, 0.25)?;
    let p = cx.b("mul", less, more)?;
    let p = cx.b("sub", p, yy)?;
    let double = cx.b("add", y, y)?;
    let im = atan2(cx, double, p)?;
    Ok((re, cx.bn("mul", im, 0.5)?))
}
pub(super) fn atanh(cx: &mut Cx, z: V) -> R<V> {
    let (x, y) = (cx.re(z)?, cx.im(z)?);
    let (re, im) = atanh_parts(cx, x, y)?;
    cx.complex(re, im)
}
pub(super) fn atan(cx: &mut Cx, z: V) -> R<V> {
    turned(cx, z, atanh_parts)
}
/// Square roots of `a + sign z` for both signs, as parts: of the sum, of the difference.
fn roots(cx: &mut Cx, x: V, y: V) -> R<[(V, V); 2]> {
    let more = cx.nb("add", 1.0, x)?;
    let (less, minus) = (cx.nb("sub", 1.0, x)?, cx.u("neg", y)?);
    let (p, q) = (cx.complex(more, y)?, cx.complex(less, minus)?);
    let (p, q) = (sqrt(cx, p)?, sqrt(cx, q)?);
    Ok([(cx.re(p)?, cx.im(p)?), (cx.re(q)?, cx.im(q)?)])
}
/// `a b - c d`.
fn cross(cx: &mut Cx, ab: (V, V), cd: (V, V)) -> R<V> {
    let (p, q) = (cx.b("mul", ab.0, ab.1)?, cx.b("mul", cd.0, cd.1)?);
    cx.b("sub", p, q)
}
/// `asinh` of real numbers; in double precision, which runtimes lack, `sign(x) log1p(|x| + x^2 / (1 + sqrt(1 + x^2)))`.
fn asinh_real(cx: &mut Cx, x: V) -> R<V> {
    if cx.dtype(x)? != DType::F64 {
        return cx.u("asinh", x);
    }
    let (size, square) = (cx.u("abs", x)?, cx.b("mul", x, x)?);
    let more = cx.bn("add", square, 1.0)?;
    let root = cx.u("sqrt", more)?;
    let below = cx.bn("add", root, 1.0)?;
    let q = cx.b("div", square, below)?;
    let all = cx.b("add", size, q)?;
    let l = real_log1p(cx, all)?;
    let sign = cx.u("sign", x)?;
    cx.b("mul", sign, l)
}
fn asin_parts(cx: &mut Cx, x: V, y: V) -> R<(V, V)> {
    let [(pr, pi), (qr, qi)] = roots(cx, x, y)?;
    // Re(sqrt(1 - z) sqrt(1 + z)) and Im(conj(sqrt(1 - z)) sqrt(1 + z)).
    let below = cross(cx, (pr, qr), (pi, qi))?;
    let re = atan2(cx, x, below)?;
    let im = cross(cx, (qr, pi), (qi, pr))?;
    Ok((re, asinh_real(cx, im)?))
}
pub(super) fn asin(cx: &mut Cx, z: V) -> R<V> {
    let (x, y) = (cx.re(z)?, cx.im(z)?);
    let (re, im) = asin_parts(cx, x, y)?;
    cx.complex(re, im)
}
pub(super) fn asinh(cx: &mut Cx, z: V) -> R<V> {
    turned(cx, z, asin_parts)
}
pub(super) fn acos(cx: &mut Cx, z: V) -> R<V> {
    let (x, y) = (cx.re(z)?, cx.im(z)?);
    let [(pr, pi), (qr, qi)] = roots(cx, x, y)?;
    let re = atan2(cx, qr, pr)?;
    let re = cx.b("add", re, re)?;
    // Im(conj(sqrt(1 + z)) sqrt(1 - z)).
    let im = cross(cx, (pr, qi), (pi, qr))?;
    let im = asinh_real(cx, im)?;
    cx.complex(re, im)
}
pub(super) fn acosh(cx: &mut Cx, z: V) -> R<V> {
    let (less, more) = (cx.bn("sub", z, 1.0)?, cx.bn("add", z, 1.0)?);
    let (p, q) = (sqrt(cx, more)?, sqrt(cx, less)?);
    let (pr, pi, qr, qi) = (cx.re(p)?, cx.im(p)?, cx.re(q)?, cx.im(q)?);
    // asinh(Re(conj(sqrt(z - 1)) sqrt(z + 1))) and 2 atan2(Im sqrt(z - 1), Re sqrt(z + 1)).
    let minus = cx.u("neg", pi)?;
    let re = cross(cx, (pr, qr), (minus, qi))?;
    let re = asinh_real(cx, re)?;
    let im = atan2(cx, qi, pr)?;
    let im = cx.b("add", im, im)?;
    cx.complex(re, im)
}
/// `(1 + tanh(z / 2)) / 2`, which does not overflow.
pub(super) fn sigmoid(cx: &mut Cx, z: V) -> R<V> {
    let half = cx.bn("mul", z, 0.5)?;
    let t = tanh(cx, half)?;
    let t = cx.bn("mul", t, 0.5)?;
    cx.bn("add", t, 0.5)
}
pub(super) fn silu(cx: &mut Cx, z: V) -> R<V> {
    let s = sigmoid(cx, z)?;
    cx.b("mul", z, s)
}
/// `exp(w log z)`; 0 at `z = 0` where the real part of `w` is positive.
pub(super) fn pow(cx: &mut Cx, z: V, w: V) -> R<V> {
    let l = log(cx, z)?;
    let p = cx.b("mul", w, l)?;
    let y = exp(cx, p)?;
    let zero = cx.num(z, 0.0)?;
    let at_zero = cx.b("equal", z, zero)?;
    let up = cx.re(w)?;
    let up = cx.bn("greater", up, 0.0)?;
    let nothing = cx.b("and", at_zero, up)?;
    cx.choose(nothing, zero, y)
}
