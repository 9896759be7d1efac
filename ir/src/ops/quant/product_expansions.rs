//! Quantized products and dynamic quantization in terms of integer products and arithmetic.
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dtype::DType;
use crate::expand::{Expanded, dtype_of, narrowed, operand, rank_of, widened};
use crate::graph::ValueId;
use crate::ops::elementwise::arithmetic::{Add, Div, Mul, Sub};
use crate::ops::elementwise::compare::Equal;
use crate::ops::elementwise::select::Where;
use crate::ops::elementwise::unary::Round;
use crate::ops::elementwise::variadic::{Max, Min};
use crate::ops::linear::mat_mul_integer::MatMulInteger;
use crate::ops::movement::unsqueeze::Unsqueeze;
use crate::ops::quant::quantize_linear::QuantizeLinear;
use crate::ops::reduce::reductions::{ReduceMax, ReduceMin};

/// `v`, of which there is one for each row where it has one axis, as a column then.
fn column(b: &mut Builder<'_>, v: ValueId, rows: bool) -> Result<Option<ValueId>, Diag> {
    let v = widened(b, v)?;
    let shape = b.graph().ty(v).as_tensor().and_then(|t| t.shape.clone());
    let Some(shape) = shape else { return Ok(None) };
    if shape.len() != 1 || !rows {
        return Ok(Some(v));
    }
    match shape[0].known() {
        None => Ok(None),
        Some(1) => Ok(Some(v)),
        Some(_) => {
            let axis = b.ints(&[-1]);
            b.unsqueeze(Unsqueeze {}, v, axis).map(Some)
        }
    }
}

/// `v` rounded, moved by `zero` and cut to the range of bytes.
fn to_byte(b: &mut Builder<'_>, v: ValueId, zero: ValueId, dtype: DType) -> Result<ValueId, Diag> {
    let (low, high) = if dtype == DType::I8 { (-128f32, 127f32) } else { (0f32, 255f32) };
    let v = b.round(Round {}, v)?;
    let moved = b.plus(Add {}, v, zero)?;
    let (low, high) = (b.scalar(low), b.scalar(high));
    let v = b.max(Max {}, &[moved, low])?;
    let v = b.min(Min {}, &[v, high])?;
    narrowed(b, v, dtype)
}

/// Expansion of `q_linear_mat_mul`; none for 8-bit floats.
pub(super) fn q_linear_mat_mul(b: &mut Builder<'_>, inputs: &[Option<ValueId>]) -> Expanded {
    if let Some(y) = super::products::mat_mul(b, inputs)? {
        return Ok(Some(vec![y]));
    }
    let all = (0..8).map(|i| operand(inputs, i)).collect::<Result<Vec<_>, _>>()?;
    let [a, a_scale, a_zero, w, w_scale, w_zero, y_scale, y_zero] = all.as_slice() else { return Ok(None) };
    let bytes = [a, w, y_zero].map(|v| dtype_of(b, *v));
    let byte = |d: &Option<DType>| matches!(d, Some(DType::I8 | DType::U8));
    let (true, Some(dtype), Some(rank)) = (bytes.iter().all(byte), bytes[2], rank_of(b, *a)) else {
        return Ok(None);
    };
    let rows = rank > 1;
    let zero = narrowed(b, *y_zero, DType::F32)?;
    let (Some(sa), Some(sw), Some(sy), Some(zero)) = (
        column(b, *a_scale, rows)?,
        column(b, *w_scale, false)?,
        column(b, *y_scale, rows)?,
        column(b, zero, rows)?,
    ) else {
        return Ok(None);
    };
    let sums = b.mat_mul_integer(MatMulInteger {}, *a, *w, Some(*a_zero), Some(*w_zero))?;
    let sums = narrowed(b, sums, DType::F32)?;
    let scale = b.mul(Mul {}, sa, sw)?;
    let scale = b.div(Div {}, scale, sy)?;
    let real = b.mul(Mul {}, sums, scale)?;
    Ok(Some(vec![to_byte(b, real, zero, dtype)?]))
}

/// Expansion of `dynamic_quantize_linear`.
pub(super) fn dynamic_quantize_linear(b: &mut Builder<'_>, inputs: &[Option<ValueId>]) -> Expanded {
    let x = operand(inputs, 0)?;
    let zero = b.scalar(0f32);
    let largest = b.reduce_max(ReduceMax { keepdims: false, ..ReduceMax::default() }, x, None)?;
    let smallest = b.reduce_min(ReduceMin { keepdims: false, ..ReduceMin::default() }, x, None)?;
    let (high, low) = (b.max(Max {}, &[largest, zero])?, b.min(Min {}, &[smallest, zero])?);
    let (range, steps) = (b.sub(Sub {}, high, low)?, b.scalar(255f32));
    let (none, one) = (b.equal(Equal {}, range, zero)?, b.scalar(1f32));
    let range = b.r#where(Where {}, none, one, range)?;
    let scale = b.div(Div {}, range, steps)?;
    let from = b.sub(Sub {}, zero, low)?;
    let point = b.div(Div {}, from, scale)?;
    let (top, point) = (b.scalar(255f32), b.max(Max {}, &[point, zero])?);
    let point = b.min(Min {}, &[point, top])?;
    let point = b.round(Round {}, point)?;
    let point = narrowed(b, point, DType::U8)?;
    let y = b.quantize_linear(QuantizeLinear::default(), x, scale, Some(point))?;
    Ok(Some(vec![y, scale, point]))
}
