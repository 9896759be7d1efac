//! Windows of a computed size, as sums of cosines.
use super::window::{BlackmanWindow, HammingWindow, HannWindow};
use crate::builder::Builder;
use crate::dtype::DType;
use crate::expand::{Expanded, narrowed, operand};
use crate::graph::ValueId;
use crate::ops::elementwise::arithmetic::{Add, Div, Mul, Sub};
use crate::ops::elementwise::unary::Cos;
use crate::ops::movement::reshape::Reshape;
use crate::ops::shape::range::Range;
use std::f64::consts::TAU;

/// `sum_k factors[k] cos(2 pi k i / N)`.
fn cosines(
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    (dtype, periodic): (DType, bool),
    factors: &[f64],
) -> Expanded {
    if dtype.is_int() || dtype == DType::F64 {
        return Ok(None);
    }
    let size = narrowed(b, operand(inputs, 0)?, DType::I64)?;
    let scalar = b.ints(&[]);
    let size = b.reshape(Reshape::default(), size, scalar)?;
    let (zero, one) = (b.scalar(0i64), b.scalar(1i64));
    let at = b.range(Range::default(), zero, size, one)?;
    let at = narrowed(b, at, DType::F32)?;
    let period = if periodic { size } else { b.sub(Sub {}, size, one)? };
    let period = narrowed(b, period, DType::F32)?;
    let part = b.div(Div {}, at, period)?;
    let mut sum = b.scalar(factors[0] as f32);
    for (k, factor) in factors.iter().enumerate().skip(1) {
        let turn = b.scalar((TAU * k as f64) as f32);
        let angle = b.mul(Mul {}, part, turn)?;
        let cos = b.cos(Cos {}, angle)?;
        let factor = b.scalar(*factor as f32);
        let term = b.mul(Mul {}, cos, factor)?;
        sum = b.plus(Add {}, sum, term)?;
    }
    Ok(Some(vec![narrowed(b, sum, dtype)?]))
}

/// Expansion of `hann_window`.
pub(super) fn hann(op: &HannWindow, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
    cosines(b, inputs, (op.output_datatype, op.periodic), &[0.5, -0.5])
}

/// Expansion of `hamming_window`.
pub(super) fn hamming(op: &HammingWindow, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
    cosines(b, inputs, (op.output_datatype, op.periodic), &[25.0 / 46.0, -21.0 / 46.0])
}

/// Expansion of `blackman_window`.
pub(super) fn blackman(op: &BlackmanWindow, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
    cosines(b, inputs, (op.output_datatype, op.periodic), &[0.42, -0.5, 0.08])
}
