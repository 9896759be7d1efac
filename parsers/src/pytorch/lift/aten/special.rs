//! Special functions that have closed forms in the IR's operators.
use super::unary::formula;
use crate::pytorch::lift::cx::{Cx, R, V};

pub(super) const TABLE: super::Table = &[
    ("erfc", |cx| formula(cx, erfc)),
    ("special_erfc", |cx| formula(cx, erfc)),
    ("special_ndtr", |cx| formula(cx, ndtr)),
    ("special_entr", |cx| formula(cx, entr)),
];

fn erfc(cx: &mut Cx, x: V) -> R<V> {
    let e = cx.u("erf", x)?;
    cx.nb("sub", 1.0, e)
}
/// `(1 + erf(x / sqrt 2)) / 2`.
fn ndtr(cx: &mut Cx, x: V) -> R<V> {
    let z = cx.bn("div", x, std::f64::consts::SQRT_2)?;
    let e = cx.u("erf", z)?;
    let e = cx.bn("add", e, 1.0)?;
    cx.bn("mul", e, 0.5)
}
/// `-x log x`, 0 at 0, minus infinity below.
fn entr(cx: &mut Cx, x: V) -> R<V> {
    let l = cx.u("log", x)?;
    let p = cx.b("mul", x, l)?;
    let p = cx.u("neg", p)?;
    let (zero, below) = (cx.bn("equal", x, 0.0)?, cx.bn("less", x, 0.0)?);
    let (none, never) = (cx.num(x, 0.0)?, cx.num(x, f64::NEG_INFINITY)?);
    let p = cx.choose(zero, none, p)?;
    cx.choose(below, never, p)
}
