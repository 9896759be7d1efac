//! The gamma function's logarithm and its derivatives, and the Hurwitz zeta function.
use super::super::unary::formula;
use super::helpers::{formula2, in_double};
use super::tables as fits;
use crate::pytorch::lift::cx::{Cx, Out, R, V, malformed};
use hoist_ir::dtype::DType;
use std::f64::consts::PI;

pub(in super::super) const TABLE: super::super::Table = &[
    ("lgamma", |cx| formula(cx, lgamma)),
    ("special_gammaln", |cx| formula(cx, lgamma)),
    ("mvlgamma", mvlgamma),
    ("special_multigammaln", mvlgamma),
    ("digamma", |cx| formula(cx, digamma)),
    ("special_digamma", |cx| formula(cx, digamma)),
    ("special_psi", |cx| formula(cx, digamma)),
    ("polygamma", polygamma),
    ("special_polygamma", polygamma),
    ("special_zeta", |cx| formula2(cx, ["self", "other"], true, zeta)),
];

const LOG_SQRT_TWO_PI: f64 = 0.918_938_533_204_672_8;

/// `(x - 1/2) log(x) - x + log(2 pi) / 2 + r / x` for `x` above 8.
fn stirling(cx: &mut Cx, x: V) -> R<V> {
    let r = cx.nb("div", 8.0, x)?;
    let z = cx.b("mul", r, r)?;
    let rest = cx.fit(z, &fits::STIRLING)?;
    let rest = cx.b("div", rest, x)?;
    let l = cx.u("log", x)?;
    // x (log(x) - 1) is as large as the result, where x log(x) alone is larger.
    let main = cx.bn("sub", l, 1.0)?;
    let main = cx.b("mul", main, x)?;
    let half = cx.bn("mul", l, 0.5)?;
    let y = cx.b("sub", main, half)?;
    let y = cx.bn("add", y, LOG_SQRT_TWO_PI)?;
    cx.b("add", y, rest)
}
/// `log gamma(x)` for `x` not below 0: next to 2 a polynomial, which steps lead to from 0.5 on; Stirling's series beyond 2.5, shifted by
/// 6 below 8.
pub(super) fn lgamma_positive(cx: &mut Cx, x: V) -> R<V> {
    let low = cx.only(x, "less", 2.5, 2.0)?;
    // Up to 1.5 by the factor x, up to 0.5 by x (x + 1).
    let (first, second) = (cx.bn("less", low, 1.5)?, cx.bn("less", low, 0.5)?);
    let next = cx.bn("add", low, 1.0)?;
    let product = cx.b("mul", low, next)?;
    let one = cx.num(x, 1.0)?;
    let factor = cx.choose(first, low, one)?;
    let factor = cx.choose(second, product, factor)?;
    let dtype = cx.dtype(x)?;
    let (first, second) = (cx.cast(first, dtype)?, cx.cast(second, dtype)?);
    let steps = cx.b("add", first, second)?;
    let moved = cx.bn("sub", low, 2.0)?;
    let v = cx.b("add", moved, steps)?;
    let near = cx.fit(v, &fits::LGAMMA_TWO)?;
    let near = cx.b("mul", near, v)?;
    let l = cx.u("log", factor)?;
    let near = cx.b("sub", near, l)?;
    // x (x + 1) .. (x + 5) and the series at x + 6.
    let high = cx.only(x, "greater_or_equal", 2.5, 3.0)?;
    let short = cx.bn("less", high, 8.0)?;
    let mut factor = high;
    for k in 1..6 {
        let next = cx.bn("add", high, f64::from(k))?;
        factor = cx.b("mul", factor, next)?;
    }
    let factor = cx.choose(short, factor, one)?;
    let moved = cx.bn("add", high, 6.0)?;
    let high = cx.choose(short, moved, high)?;
    let far = stirling(cx, high)?;
    let l = cx.u("log", factor)?;
    let far = cx.b("sub", far, l)?;
    let below = cx.bn("less", x, 2.5)?;
    let y = cx.choose(below, near, far)?;
    // Infinity less itself.
    let inf = cx.u("is_inf", x)?;
    cx.put(inf, f64::INFINITY, y)
}
/// `sin(pi x)` with the distance to the nearest whole number as argument.
fn sin_pi(cx: &mut Cx, x: V) -> R<V> {
    let near = cx.u("round", x)?;
    let d = cx.b("sub", x, near)?;
    let d = cx.bn("mul", d, PI)?;
    cx.u("sin", d)
}
/// Below 0 by reflection: `log(pi / |x sin(pi x)|) - lgamma(-x)`.
pub(super) fn lgamma(cx: &mut Cx, x: V) -> R<V> {
    let size = cx.u("abs", x)?;
    let up = lgamma_positive(cx, size)?;
    let s = sin_pi(cx, x)?;
    let s = cx.b("mul", s, x)?;
    let s = cx.u("abs", s)?;
    let q = cx.nb("div", PI, s)?;
    let l = cx.u("log", q)?;
    let down = cx.b("sub", l, up)?;
    let below = cx.bn("less", x, 0.0)?;
    let y = cx.choose(below, down, up)?;
    let whole = cx.is_whole_number(x)?;
    let pole = cx.bn("less_or_equal", x, 0.0)?;
    let pole = cx.b("and", pole, whole)?;
    let inf = cx.u("is_inf", x)?;
    let pole = cx.b("or", pole, inf)?;
    let y = cx.put(pole, f64::INFINITY, y)?;
    let nan = cx.u("is_nan", x)?;
    cx.choose(nan, x, y)
}
/// `sum over j < p of lgamma(x - j / 2) + p (p - 1) / 4 log(pi)`.
fn mvlgamma(cx: &mut Cx) -> R<Out> {
    let p = cx.int("p")?;
    if !(1..=1000).contains(&p) {
        return Err(malformed(format!("a gamma function of {p} variables")));
    }
    formula(cx, |cx, x| {
        let last = cx.rank(x)? as i64;
        let wide = cx.unsqueeze(x, &[last])?;
        let shifts: Vec<f64> = (0..p).map(|j| j as f64 / -2.0).collect();
        let t = hoist_ir::tensor::Tensor::from_vec(&[shifts.len()], shifts);
        let t = t.cast(cx.dtype(x)?, false).map_err(|e| malformed(e.to_string()))?;
        let t = cx.constant(t);
        let args = cx.b("add", wide, t)?;
        let l = lgamma(cx, args)?;
        let s = cx.reduce("reduce_sum", l, &[last as usize], false)?;
        cx.bn("add", s, (p * (p - 1)) as f64 / 4.0 * PI.ln())
    })
}
/// Below 0 by reflection; above by the asymptotic series, shifted by 8 where `x` is below that.
fn digamma(cx: &mut Cx, x: V) -> R<V> {
    let below = cx.bn("less", x, 0.0)?;
    let mirrored = cx.nb("sub", 1.0, x)?;
    let up = cx.choose(below, mirrored, x)?;
    let mut sum = None;
    for k in 0..8 {
        let v = if k == 0 { up } else { cx.bn("add", up, f64::from(k))? };
        let v = cx.u("reciprocal", v)?;
        sum = Some(match sum {
            None => v,
            Some(s) => cx.b("add", s, v)?,
        });
    }
    let sum = sum.ok_or_else(|| malformed("no terms"))?;
    let short = cx.bn("less", up, 8.0)?;
    let moved = cx.bn("add", up, 8.0)?;
    let far = cx.choose(short, moved, up)?;
    let r = cx.nb("div", 8.0, far)?;
    let z = cx.b("mul", r, r)?;
    let rest = cx.fit(z, &fits::DIGAMMA_FAR)?;
    let inverse = cx.u("reciprocal", far)?;
    let rest = cx.b("mul", rest, inverse)?;
    let rest = cx.bn("sub", rest, 0.5)?;
    let rest = cx.b("mul", rest, inverse)?;
    let l = cx.u("log", far)?;
    let series = cx.b("add", l, rest)?;
    let less = cx.b("sub", series, sum)?;
    let y = cx.choose(short, less, series)?;
    // pi / tan(pi x), from the distance to the nearest whole number.
    let near = cx.u("round", x)?;
    let d = cx.b("sub", x, near)?;
    let d = cx.bn("mul", d, PI)?;
    let (s, c) = (cx.u("sin", d)?, cx.u("cos", d)?);
    let cot = cx.b("div", c, s)?;
    let cot = cx.bn("mul", cot, PI)?;
    let down = cx.b("sub", y, cot)?;
    let y = cx.choose(below, down, y)?;
    let whole = cx.is_whole_number(x)?;
    let pole = cx.b("and", below, whole)?;
    let y = cx.put(pole, f64::NAN, y)?;
    // At zero infinite, of the sign that x has not.
    let zero = cx.bn("equal", x, 0.0)?;
    let inverse = cx.u("reciprocal", x)?;
    let inverse = cx.u("neg", inverse)?;
    cx.choose(zero, inverse, y)
}
/// As PyTorch reflects it: below 1/2 as `pi^2 / sin^2(pi x) - trigamma(1 - x)`.
fn trigamma(cx: &mut Cx, x: V) -> R<V> {
    let below = cx.bn("less", x, 0.5)?;
    let mirrored = cx.nb("sub", 1.0, x)?;
    let up = cx.choose(below, mirrored, x)?;
    let mut sum = None;
    for k in 0..8 {
        let v = if k == 0 { up } else { cx.bn("add", up, f64::from(k))? };
        let v = cx.b("mul", v, v)?;
        let v = cx.u("reciprocal", v)?;
        sum = Some(match sum {
            None => v,
            Some(s) => cx.b("add", s, v)?,
        });
    }
    let sum = sum.ok_or_else(|| malformed("no terms"))?;
    let far = cx.bn("add", up, 8.0)?;
    let r = cx.nb("div", 8.0, far)?;
    let z = cx.b("mul", r, r)?;
    let rest = cx.fit(z, &fits::TRIGAMMA_FAR)?;
    let inverse = cx.u("reciprocal", far)?;
    let rest = cx.b("mul", rest, inverse)?;
    let rest = cx.bn("add", rest, 0.5)?;
    let rest = cx.b("mul", rest, inverse)?;
    let rest = cx.bn("add", rest, 1.0)?;
    let rest = cx.b("mul", rest, inverse)?;
    let y = cx.b("add", sum, rest)?;
    let s = cx.bn("mul", x, PI)?;
    let s = cx.u("sin", s)?;
    let square = cx.b("mul", s, s)?;
    let q = cx.nb("div", PI * PI, square)?;
    let down = cx.b("sub", q, y)?;
    cx.choose(below, down, y)
}
/// `(-1)^(n + 1) n! zeta(n + 1, x)`.
fn polygamma(cx: &mut Cx) -> R<Out> {
    let n = cx.int("n")?;
    match n {
        0 => formula(cx, digamma),
        1 => formula(cx, trigamma),
        2..=1000 => {
            let factorial: f64 = (1..=n).map(|k| k as f64).product();
            let sign = if n % 2 == 0 { -1.0 } else { 1.0 };
            in_double(cx, |cx, x| {
                let order = cx.num(x, (n + 1) as f64)?;
                let z = zeta(cx, order, x)?;
                // PyTorch rounds the sum before the factor.
                cx.bn("mul", z, sign * factorial)
            })
        }
        _ => Err(malformed(format!("polygamma of order {n}"))),
    }
}
/// Factors `(2 k)! / B_2k` of the Euler-Maclaurin series.
const EULER_MACLAURIN: [f64; 12] = [
    12.0,
    -720.0,
    30240.0,
    -1_209_600.0,
    47_900_160.0,
    -1.892_437_580_318_379e9,
    7.472_424_96e10,
    -2.950_130_727_918_164e12,
    1.164_678_281_435_006_7e14,
    -4.597_978_722_407_473e15,
    1.815_210_540_194_354_7e17,
    -7.166_165_256_175_667e18,
];
/// `sum over k of (q + k)^-x`, by 9 terms and the Euler-Maclaurin series; terms of negative `q` one by one. Double precision.
fn zeta(cx: &mut Cx, x: V, q: V) -> R<V> {
    let (x, q) = cx.broadcast(x, q)?;
    let whole_q = cx.is_whole_number(q)?;
    let whole_x = cx.is_whole_number(x)?;
    let minus = cx.u("neg", x)?;
    // Steps up to a positive q; none from a pole or where nothing is defined.
    let down = cx.u("neg", q)?;
    let steps = cx.u("ceil", down)?;
    let steps = cx.u("relu", steps)?;
    let open = cx.u("not", whole_q)?;
    let counts = cx.b("and", open, whole_x)?;
    let (below, finite) = (cx.bn("less", q, 0.0)?, cx.bn("greater", q, f64::NEG_INFINITY)?);
    let counts = cx.b("and", counts, below)?;
    let counts = cx.b("and", counts, finite)?;
    let zero = cx.num(q, 0.0)?;
    let steps = cx.choose(counts, steps, zero)?;
    let none = cx.bn("mul", steps, 0.0)?;
    let trips = most(cx, steps)?;
    let early = cx.repeat(trips, &[none], &[q, minus, steps], |cx, k, carried, seen| {
        let k = cx.cast(k, DType::F64)?;
        let a = cx.b("add", seen[0], k)?;
        let term = cx.b("pow", a, seen[1])?;
        let own = cx.b("less", k, seen[2])?;
        let zero = cx.num(term, 0.0)?;
        let term = cx.choose(own, term, zero)?;
        Ok((None, vec![cx.b("add", carried[0], term)?]))
    })?;
    let start = cx.b("add", q, steps)?;
    let mut sum = early[0];
    let mut b = start;
    for k in 0..10 {
        let a = if k == 0 { start } else { cx.bn("add", start, f64::from(k))? };
        b = cx.b("pow", a, minus)?;
        sum = cx.b("add", sum, b)?;
    }
    let w = cx.bn("add", start, 9.0)?;
    let less = cx.bn("sub", x, 1.0)?;
    let tail = cx.b("mul", b, w)?;
    let tail = cx.b("div", tail, less)?;
    sum = cx.b("add", sum, tail)?;
    let half = cx.bn("mul", b, 0.5)?;
    sum = cx.b("sub", sum, half)?;
    // Rising powers of x over powers of w; each next one by two more factors.
    let first = cx.b("div", x, w)?;
    let mut t = cx.b("mul", b, first)?;
    for (i, divisor) in EULER_MACLAURIN.iter().enumerate() {
        if i > 0 {
            for k in [2 * i - 1, 2 * i] {
                let f = cx.bn("add", x, k as f64)?;
                let f = cx.b("div", f, w)?;
                t = cx.b("mul", t, f)?;
            }
        }
        let term = cx.bn("div", t, *divisor)?;
        sum = cx.b("add", sum, term)?;
    }
    let at_zero = cx.bn("less_or_equal", q, 0.0)?;
    let pole = cx.b("and", at_zero, whole_q)?;
    let fraction = cx.u("not", whole_x)?;
    let undefined = cx.b("and", at_zero, fraction)?;
    let inf = cx.u("is_inf", q)?;
    let y = cx.put(inf, f64::NAN, sum)?;
    let y = cx.put(undefined, f64::NAN, y)?;
    let y = cx.put(pole, f64::INFINITY, y)?;
    let (below, one) = (cx.bn("less", x, 1.0)?, cx.bn("equal", x, 1.0)?);
    let y = cx.put(below, f64::NAN, y)?;
    let y = cx.put(one, f64::INFINITY, y)?;
    let nan = cx.u("is_nan", x)?;
    cx.choose(nan, x, y)
}
/// The largest element as a 0-d `i64`; 0 of none.
pub(super) fn most(cx: &mut Cx, x: V) -> R<V> {
    let flat = cx.reshape_to(x, &[-1])?;
    let dtype = cx.dtype(x)?;
    let zero = cx.num_of(dtype, 0.0)?;
    let zero = cx.reshape_to(zero, &[1])?;
    let all = cx.concat(&[flat, zero], 0)?;
    let top = cx.reduce("reduce_max", all, &[0], false)?;
    cx.cast(top, DType::I64)
}
