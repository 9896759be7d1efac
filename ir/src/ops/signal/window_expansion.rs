//! Windows of a computed size, in terms of cosines.
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

/// `a + b c` of the cosine `c`.
type Line = (f64, f64);

/// The product of `lines` of `c = cos(2 pi i / N)`.
fn product(
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    (dtype, periodic): (DType, bool),
    lines: &[Line],
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
    let turn = b.scalar(TAU as f32);
    let angle = b.mul(Mul {}, part, turn)?;
    let cos = b.cos(Cos {}, angle)?;
    let mut all = b.scalar(1f32);
    for (constant, factor) in lines {
        let (constant, factor) = (b.scalar(*constant as f32), b.scalar(*factor as f32));
        let term = b.mul(Mul {}, cos, factor)?;
        let line = b.plus(Add {}, constant, term)?;
        all = b.mul(Mul {}, all, line)?;
    }
    Ok(Some(vec![narrowed(b, all, dtype)?]))
}

/// Expansion of `hann_window`.
pub(super) fn hann(op: &HannWindow, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
    product(b, inputs, (op.output_datatype, op.periodic), &[(0.5, -0.5)])
}

/// Expansion of `hamming_window`.
pub(super) fn hamming(
    op: &HammingWindow,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    _: usize,
) -> Expanded {
    product(b, inputs, (op.output_datatype, op.periodic), &[(25.0 / 46.0, -21.0 / 46.0)])
}

/// Expansion of `blackman_window`: with `cos 2a = 2 c^2 - 1` it is `(1 - c) (0.34 - 0.16 c)`, which is exactly 0 at its ends.
pub(super) fn blackman(
    op: &BlackmanWindow,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    _: usize,
) -> Expanded {
    product(b, inputs, (op.output_datatype, op.periodic), &[(1.0, -1.0), (0.34, -0.16)])
}
