//! Numbers to numbers in terms of elementwise operators.
use super::linear::LinearRegressor;
use super::scale::{Binarizer, Imputer, Norm, Normalizer, Scaler};
use super::scores::PostTransform;
use crate::builder::Builder;
use crate::dtype::DType;
use crate::expand::{Expanded, dtype_of, narrowed, operand, rank_of};
use crate::graph::ValueId;
use crate::ops::elementwise::activation::Sigmoid;
use crate::ops::elementwise::arithmetic::{Add, Div, Mul, Sub};
use crate::ops::elementwise::compare::{Equal, Greater};

use crate::ops::elementwise::predicate::IsNan;
use crate::ops::elementwise::select::Where;
use crate::ops::elementwise::variadic::Max;
use crate::ops::linear::mat_mul::MatMul;
use crate::ops::movement::reshape::Reshape;
use crate::ops::reduce::reductions::{ReduceL1, ReduceL2, ReduceMax};
use crate::ops::reduce::softmax::Softmax;
use crate::tensor::{Element, Tensor};

/// One number as a scalar, several as a list along the last axis.
fn listed<T: Element + Copy>(b: &mut Builder<'_>, list: &[T]) -> ValueId {
    match list {
        [one] => b.scalar(*one),
        all => b.constant(Tensor::from_vec(&[all.len()], all.to_vec())),
    }
}

/// Integers are compared with the largest integer that is not above the threshold, where `f64` holds that exactly.
pub(super) fn binarizer(
    op: &Binarizer,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    _: usize,
) -> Expanded {
    let x = operand(inputs, 0)?;
    let Some(dtype) = dtype_of(b, x) else { return Ok(None) };
    let threshold = f64::from(op.threshold);
    let threshold = if dtype.is_int() {
        if threshold.is_nan() || threshold.abs() >= f64::from(1 << 30) {
            return Ok(None);
        }
        threshold.floor()
    } else {
        threshold
    };
    let threshold = b.scalar_like(threshold, x)?;
    let above = b.greater(Greater {}, x, threshold)?;
    Ok(Some(vec![narrowed(b, above, dtype)?]))
}

/// Doubles are rounded once, at the end.
pub(super) fn scaler(op: &Scaler, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
    let x = operand(inputs, 0)?;
    let wide = dtype_of(b, x) == Some(DType::F64);
    let x = if wide { x } else { narrowed(b, x, DType::F32)? };
    let dtype = if wide { DType::F64 } else { DType::F32 };
    let (offset, scale) = (listed(b, &op.offset), listed(b, &op.scale));
    let (offset, scale) = (narrowed(b, offset, dtype)?, narrowed(b, scale, dtype)?);
    let moved = b.sub(Sub {}, x, offset)?;
    let scaled = b.mul(Mul {}, moved, scale)?;
    Ok(Some(vec![narrowed(b, scaled, DType::F32)?]))
}

/// Rows of known size that is not 0.
pub(super) fn normalizer(
    op: &Normalizer,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    _: usize,
) -> Expanded {
    let x = operand(inputs, 0)?;
    let shape = b.graph().ty(x).as_tensor().and_then(|t| t.shape.as_ref());
    if shape.and_then(|s| s.last()?.known()).is_none_or(|n| n == 0) {
        return Ok(None);
    }
    let x = narrowed(b, x, DType::F32)?;
    let axis = b.ints(&[-1]);
    let (keepdims, noop_with_empty_axes) = (true, false);
    let norm = match op.norm {
        Norm::Max => {
            // What is no number is not the largest, nor is what is below all numbers.
            let (nan, least) = (b.is_nan(IsNan {}, x)?, b.scalar(f32::MIN));
            let numbers = b.r#where(Where {}, nan, least, x)?;
            let largest = b.reduce_max(ReduceMax { keepdims, noop_with_empty_axes }, numbers, Some(axis))?;
            b.max(Max {}, &[largest, least])?
        }
        Norm::L1 => b.reduce_l1(ReduceL1 { keepdims, noop_with_empty_axes }, x, Some(axis))?,
        Norm::L2 => b.reduce_l2(ReduceL2 { keepdims, noop_with_empty_axes }, x, Some(axis))?,
    };
    let (zero, one) = (b.scalar(0f32), b.scalar(1f32));
    let none = b.equal(Equal {}, norm, zero)?;
    let divisor = b.r#where(Where {}, none, one, norm)?;
    Ok(Some(vec![b.div(Div {}, x, divisor)?]))
}

pub(super) fn imputer(op: &Imputer, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
    let x = operand(inputs, 0)?;
    let (replaced, new) = if dtype_of(b, x) == Some(DType::I64) {
        let old = b.scalar(op.replaced_value_int64);
        (b.equal(Equal {}, x, old)?, listed(b, &op.imputed_value_int64s))
    } else if op.replaced_value_float.is_nan() {
        (b.is_nan(IsNan {}, x)?, listed(b, &op.imputed_value_floats))
    } else {
        let old = b.scalar(op.replaced_value_float);
        (b.equal(Equal {}, x, old)?, listed(b, &op.imputed_value_floats))
    };
    Ok(Some(vec![b.r#where(Where {}, replaced, new, x)?]))
}

/// Without the functions of scores that have no operator.
pub(super) fn linear_regressor(
    op: &LinearRegressor,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    _: usize,
) -> Expanded {
    let x = operand(inputs, 0)?;
    let (Some(rank), Ok(targets)) = (rank_of(b, x), usize::try_from(op.targets)) else { return Ok(None) };
    if targets == 0 || !op.coefficients.len().is_multiple_of(targets) {
        return Ok(None);
    }
    let single = targets == 1 && op.post_transform != PostTransform::Probit;
    if !single && matches!(op.post_transform, PostTransform::SoftmaxZero | PostTransform::Probit) {
        return Ok(None);
    }
    let features = op.coefficients.len() / targets;
    let columns = (0..features).flat_map(|f| (0..targets).map(move |t| t * features + f));
    let weights: Vec<f32> = columns.filter_map(|i| op.coefficients.get(i).copied()).collect();
    let weights = b.constant(Tensor::from_vec(&[features, targets], weights));
    let rows = if rank == 1 {
        let shape = b.ints(&[1, -1]);
        b.reshape(Reshape::default(), x, shape)?
    } else {
        x
    };
    let mut y = b.mat_mul(MatMul {}, rows, weights)?;
    if !op.intercepts.is_empty() {
        let addends = b.constant(Tensor::from_vec(&[op.intercepts.len()], op.intercepts.clone()));
        y = b.plus(Add {}, y, addends)?;
    }
    Ok(Some(vec![match op.post_transform {
        PostTransform::Softmax if !single => b.softmax(Softmax { axis: -1 }, y)?,
        PostTransform::Logistic if !single => b.sigmoid(Sigmoid {}, y)?,
        _ => y,
    }]))
}
