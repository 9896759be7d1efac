//! Special functions, as formulas of the IR's operators. Polynomials are those of `tables.rs`; half precision is computed in single
//! precision, what iterates over data in double precision.
mod bessel;
mod bits;
mod double;
mod erf;
mod gamma;
mod helpers;
mod igamma;
mod polynomial;
mod tables;

use super::unary::formula;
use crate::pytorch::lift::cx::{Cx, R, V};
pub(super) use double::activation;
pub(in crate::pytorch::lift) use double::{COMPOSED, composed};
pub(super) use erf::erf;

/// Rows of this family by part.
pub(super) const TABLES: [super::Table; 7] = [
    bessel::TABLE,
    bits::TABLE,
    erf::TABLE,
    gamma::TABLE,
    igamma::TABLE,
    polynomial::TABLE,
    &[("special_entr", |cx| formula(cx, entr))],
];

/// `-x log x`, 0 at 0, minus infinity below.
fn entr(cx: &mut Cx, x: V) -> R<V> {
    let l = cx.u("log", x)?;
    let p = cx.b("mul", x, l)?;
    let p = cx.u("neg", p)?;
    let (zero, below) = (cx.bn("equal", x, 0.0)?, cx.bn("less", x, 0.0)?);
    let p = cx.put(zero, 0.0, p)?;
    cx.put(below, f64::NEG_INFINITY, p)
}
