//! Quantization in terms of arithmetic, for integers of up to 16 bits and scales of `f32`: all steps are exact but those of the
//! definition.
use super::dequantize_linear::DequantizeLinear;
use super::quantize_linear::QuantizeLinear;
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dtype::DType;
use crate::expand::{Expanded, dtype_of, narrowed, operand, rank_of};
use crate::graph::ValueId;
use crate::infer::resolve_axis;
use crate::ops::elementwise::arithmetic::{Add, Div, Mul, Sub};
use crate::ops::elementwise::unary::Round;
use crate::ops::elementwise::variadic::{Max, Min};
use crate::ops::movement::reshape::Reshape;
use crate::ops::movement::unsqueeze::Unsqueeze;

/// How a parameter of rank 0 or 1 is laid along `axis` of `x`.
enum Along {
    One,
    Axes(Vec<i64>),
}

fn along(b: &Builder<'_>, x: ValueId, scale: ValueId, axis: i64) -> Option<Along> {
    let single = b.graph().ty(scale).as_tensor()?.sizes().is_some_and(|s| s == [1]);
    match rank_of(b, scale)? {
        0 => Some(Along::One),
        1 if single => Some(Along::One),
        1 => {
            let rank = rank_of(b, x)?;
            let axis = resolve_axis(axis, rank).ok()?;
            Some(Along::Axes((1..(rank - axis) as i64).collect()))
        }
        _ => None,
    }
}

impl Along {
    fn lay(&self, b: &mut Builder<'_>, v: ValueId) -> Result<ValueId, Diag> {
        match self {
            Self::One => {
                let scalar = b.ints(&[]);
                b.reshape(Reshape::default(), v, scalar)
            }
            Self::Axes(axes) if axes.is_empty() => Ok(v),
            Self::Axes(axes) => {
                let axes = b.ints(axes);
                b.unsqueeze(Unsqueeze {}, v, axes)
            }
        }
    }
}

fn is_small(dtype: DType) -> bool {
    matches!(dtype, DType::I8 | DType::U8 | DType::I16 | DType::U16)
}

/// The rounded quotient is cut to what fits less the zero point, then moved by it.
pub(super) fn quantize_linear(
    op: &QuantizeLinear,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    _: usize,
) -> Expanded {
    let (x, scale) = (operand(inputs, 0)?, operand(inputs, 1)?);
    let zero = inputs.get(2).copied().flatten();
    let target = zero.and_then(|z| dtype_of(b, z)).or(op.output_dtype).unwrap_or(DType::U8);
    let plain = [x, scale].iter().all(|v| dtype_of(b, *v) == Some(DType::F32));
    if !plain || op.block_size != 0 || !is_small(target) || op.precision.is_some_and(|p| p != DType::F32) {
        return Ok(None);
    }
    let (Some(place), Some((low, high))) = (along(b, x, scale, op.axis), target.int_range()) else {
        return Ok(None);
    };
    let (scale, zero) = (place.lay(b, scale)?, zero.map(|z| place.lay(b, z)).transpose()?);
    let quotient = b.div(Div {}, x, scale)?;
    let whole = b.round(Round {}, quotient)?;
    let (mut low, mut high) = (b.scalar(low as f32), b.scalar(high as f32));
    if let Some(zero) = zero {
        let zero = narrowed(b, zero, DType::F32)?;
        (low, high) = (b.sub(Sub {}, low, zero)?, b.sub(Sub {}, high, zero)?);
    }
    let whole = b.max(Max {}, &[whole, low])?;
    let whole = b.min(Min {}, &[whole, high])?;
    let mut whole = narrowed(b, whole, DType::I32)?;
    if let Some(zero) = zero {
        let zero = narrowed(b, zero, DType::I32)?;
        whole = b.plus(Add {}, whole, zero)?;
    }
    Ok(Some(vec![narrowed(b, whole, target)?]))
}

/// The difference to the zero point, in 32 bits, times the scale.
pub(super) fn dequantize_linear(
    op: &DequantizeLinear,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    _: usize,
) -> Expanded {
    let (x, scale) = (operand(inputs, 0)?, operand(inputs, 1)?);
    let zero = inputs.get(2).copied().flatten();
    let (Some(dtype), Some(mut target)) = (dtype_of(b, x), dtype_of(b, scale)) else { return Ok(None) };
    target = op.output_dtype.unwrap_or(target);
    let source = is_small(dtype) || dtype == DType::I32 && zero.is_none();
    let floats = |d: DType| matches!(d, DType::F32 | DType::F16 | DType::BF16);
    if !source || op.block_size != 0 || !floats(target) || !dtype_of(b, scale).is_some_and(floats) {
        return Ok(None);
    }
    let Some(place) = along(b, x, scale, op.axis) else { return Ok(None) };
    let scale = place.lay(b, scale)?;
    let mut value = narrowed(b, x, DType::F32)?;
    if let Some(zero) = zero {
        let zero = place.lay(b, zero)?;
        let zero = narrowed(b, zero, DType::F32)?;
        value = b.sub(Sub {}, value, zero)?;
    }
    let scale = narrowed(b, scale, DType::F32)?;
    let y = b.mul(Mul {}, value, scale)?;
    Ok(Some(vec![narrowed(b, y, target)?]))
}
