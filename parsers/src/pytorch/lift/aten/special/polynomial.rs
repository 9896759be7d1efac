//! Orthogonal polynomials, whose degree is data: three-term recurrences, as many steps as the highest degree.
use super::gamma::most;
use super::helpers::formula2;
use crate::pytorch::lift::cx::{Cx, R, V};
use hoist_ir::dtype::DType;

pub(in super::super) const TABLE: super::super::Table = &[
    ("special_chebyshev_polynomial_t", |cx| chebyshev(cx, 1.0, 0.0, false)),
    ("special_chebyshev_polynomial_u", |cx| chebyshev(cx, 2.0, 0.0, false)),
    ("special_chebyshev_polynomial_v", |cx| chebyshev(cx, 2.0, -1.0, false)),
    ("special_chebyshev_polynomial_w", |cx| chebyshev(cx, 2.0, 1.0, false)),
    ("special_shifted_chebyshev_polynomial_t", |cx| chebyshev(cx, 1.0, 0.0, true)),
    ("special_shifted_chebyshev_polynomial_u", |cx| chebyshev(cx, 2.0, 0.0, true)),
    ("special_shifted_chebyshev_polynomial_v", |cx| chebyshev(cx, 2.0, -1.0, true)),
    ("special_shifted_chebyshev_polynomial_w", |cx| chebyshev(cx, 2.0, 1.0, true)),
    ("special_hermite_polynomial_h", |cx| hermite(cx, 2.0)),
    ("special_hermite_polynomial_he", |cx| hermite(cx, 1.0)),
    ("special_laguerre_polynomial_l", laguerre),
    ("special_legendre_polynomial_p", legendre),
];

type Out = crate::pytorch::lift::cx::Out;
/// The next polynomial from the number of the step (0 leads from degree 1 to 2), `x`, the last one and the one before.
type Step = fn(&mut Cx, V, V, V, V) -> R<V>;

/// 0 below degree 0, 1 at 0, `first` at 1, and what `step` gives above. Degrees are rounded towards zero.
fn recurrence(cx: &mut Cx, x: V, n: V, first: V, step: Step) -> R<V> {
    let n = super::super::unary::trunc(cx, n)?;
    // What is no number, as the smallest integer, which PyTorch makes of it.
    let (nan, inf) = (cx.u("is_nan", n)?, cx.u("is_inf", n)?);
    let none = cx.b("or", nan, inf)?;
    let n = cx.put(none, -1.0, n)?;
    let one = cx.num(x, 1.0)?;
    let one = cx.expand_like(one, x)?;
    let trips = cx.bn("sub", n, 1.0)?;
    let trips = most(cx, trips)?;
    let out = cx.repeat(trips, &[one, first], &[x, n], |cx, k, carried, seen| {
        let dtype = cx.dtype(seen[1])?;
        let k = cx.cast(k, dtype)?;
        let next = step(cx, k, seen[0], carried[1], carried[0])?;
        let degree = cx.bn("add", k, 2.0)?;
        let done = cx.b("less", seen[1], degree)?;
        let (p, q) = (cx.choose(done, carried[0], carried[1])?, cx.choose(done, carried[1], next)?);
        Ok((None, vec![p, q]))
    })?;
    let (below, none) = (cx.bn("less", n, 0.0)?, cx.bn("equal", n, 0.0)?);
    let y = cx.put(none, 1.0, out[1])?;
    cx.put(below, 0.0, y)
}
/// Which polynomial `name` is of, with its degree, both in the sizes they broadcast to.
fn with_degree(cx: &mut Cx, f: impl FnOnce(&mut Cx, V, V) -> R<V>) -> R<Out> {
    formula2(cx, ["x", "n"], false, |cx, x, n| {
        let (x, n) = cx.broadcast(x, n)?;
        f(cx, x, n)
    })
}
/// Kinds differ in degree 1, which is `slope x + shift`; the shifted ones are of `2 x - 1`. `2 x q - p` leads on.
fn chebyshev(cx: &mut Cx, slope: f64, shift: f64, shifted: bool) -> R<Out> {
    with_degree(cx, |cx, x, n| {
        let x = if shifted {
            let two = cx.b("add", x, x)?;
            cx.bn("sub", two, 1.0)?
        } else {
            x
        };
        let first = if slope == 1.0 { x } else { cx.bn("mul", x, slope)? };
        let first = if shift == 0.0 { first } else { cx.bn("add", first, shift)? };
        let y = recurrence(cx, x, n, first, |cx, _, x, q, p| {
            let two = cx.b("add", x, x)?;
            let y = cx.b("mul", two, q)?;
            cx.b("sub", y, p)
        })?;
        if slope == 1.0 { oscillating(cx, x, n, y) } else { Ok(y) }
    })
}
/// `cos(n acos(x))` inside of -1 to 1 above degree 6, in single precision.
fn oscillating(cx: &mut Cx, x: V, n: V, y: V) -> R<V> {
    if cx.dtype(x)? == DType::F64 {
        return Ok(y);
    }
    let size = cx.u("abs", x)?;
    let (inside, high) = (cx.bn("less", size, 1.0)?, cx.bn("greater", n, 6.0)?);
    let own = cx.b("and", inside, high)?;
    let angle = cx.u("acos", x)?;
    let n = super::super::unary::trunc(cx, n)?;
    let angle = cx.b("mul", n, angle)?;
    let c = cx.u("cos", angle)?;
    cx.choose(own, c, y)
}
/// Degree 1 is `slope x`, and `slope (x q - k p)` leads on. PyTorch gives nothing above a degree that the type can hold.
fn hermite(cx: &mut Cx, slope: f64) -> R<Out> {
    with_degree(cx, |cx, x, n| {
        let limit = if cx.dtype(x)? == DType::F64 { 512.0 } else { 128.0 };
        let first = if slope == 1.0 { x } else { cx.b("add", x, x)? };
        let over = cx.bn("greater", n, limit)?;
        let one = cx.num(n, 1.0)?;
        let bounded = cx.choose(over, one, n)?;
        let step: Step = if slope == 1.0 {
            |cx, k, x, q, p| {
                let (k, a) = (cx.bn("add", k, 1.0)?, cx.b("mul", x, q)?);
                let b = cx.b("mul", k, p)?;
                cx.b("sub", a, b)
            }
        } else {
            |cx, k, x, q, p| {
                let k = cx.bn("add", k, 1.0)?;
                let (k, x) = (cx.b("add", k, k)?, cx.b("add", x, x)?);
                let (a, b) = (cx.b("mul", x, q)?, cx.b("mul", k, p)?);
                cx.b("sub", a, b)
            }
        };
        let y = recurrence(cx, x, bounded, first, step)?;
        cx.put(over, f64::NAN, y)
    })
}
/// `((2 k + 1 - x) q - k p) / (k + 1)`.
fn laguerre(cx: &mut Cx) -> R<Out> {
    with_degree(cx, |cx, x, n| {
        let first = cx.nb("sub", 1.0, x)?;
        let y = recurrence(cx, x, n, first, |cx, k, x, q, p| {
            let k = cx.bn("add", k, 1.0)?;
            let next = cx.bn("add", k, 1.0)?;
            let (two, rest) = (cx.b("add", k, k)?, cx.nb("sub", 1.0, x)?);
            let a = cx.b("add", two, rest)?;
            let (a, b) = (cx.b("mul", a, q)?, cx.b("mul", k, p)?);
            let y = cx.b("sub", a, b)?;
            cx.b("div", y, next)
        })?;
        let (zero, degree) = (cx.bn("equal", x, 0.0)?, cx.bn("greater_or_equal", n, 0.0)?);
        let own = cx.b("and", zero, degree)?;
        cx.put(own, 1.0, y)
    })
}
/// `((2 k + 1) x q - k p) / (k + 1)`.
fn legendre(cx: &mut Cx) -> R<Out> {
    with_degree(cx, |cx, x, n| {
        recurrence(cx, x, n, x, |cx, k, x, q, p| {
            let k = cx.bn("add", k, 1.0)?;
            let next = cx.bn("add", k, 1.0)?;
            let odd = cx.b("add", k, next)?;
            let a = cx.b("mul", odd, x)?;
            let (a, b) = (cx.b("mul", a, q)?, cx.b("mul", k, p)?);
            let y = cx.b("sub", a, b)?;
            cx.b("div", y, next)
        })
    })
}
