//! `gather_elements`
use super::gather::position;
use crate::dim::Dim;
use crate::dtype::{ANY, INDEX};
use crate::eval::{EvalCx, Value, one};
use crate::infer::{InferCx, resolve_axis};
use crate::op::{OpError, Semantics};
use crate::ops::movement::pick::pick_blocks;
use crate::tensor::{Tensor, strides};
use crate::types::{TensorType, Type};

crate::op! {
    /// For each position of `indices` the element of `data` at the same position, with the coordinate of `axis` replaced by the
    /// index. Negative indices count from the end.
    gather_elements GatherElements(data: One<T>, indices: One<I>) -> (output: One<T>) {
        /// Axis whose coordinate the indices are; negative counts from the end.
        axis: i64 = 0,
    } where T: ANY, I: INDEX;
}

/// Flat position in `x` that each index means.
///
/// # Errors
/// When one is out of range, or `indices` reach beyond `x` along another axis.
pub fn flat_positions(x: &Tensor, indices: &Tensor, axis: usize) -> Result<Vec<usize>, OpError> {
    let fits = |i: usize| i == axis || indices.shape()[i] <= x.shape()[i];
    if indices.rank() != x.rank() || !(0..x.rank()).all(fits) {
        return Err(OpError::shape(format!("indices {} do not fit data {}", indices.ty(), x.ty())));
    }
    let (own, of) = (strides(x.shape()), strides(indices.shape()));
    let mut out = Vec::with_capacity(indices.len());
    for (k, v) in indices.to_i64s()?.into_iter().enumerate() {
        let mut at = position(v, x.shape()[axis])? * own[axis];
        for i in (0..x.rank()).filter(|i| *i != axis) {
            at += k / of[i] % indices.shape()[i] * own[i];
        }
        out.push(at);
    }
    Ok(out)
}

/// Checks what is known of the shapes of data and indices of one rank; the axis, when the rank is known.
///
/// # Errors
/// When they cannot fit.
pub fn check(data: &TensorType, indices: &TensorType, axis: i64) -> Result<Option<usize>, OpError> {
    let rank = data.rank().or(indices.rank());
    let axis = rank.map(|r| resolve_axis(axis, r)).transpose()?;
    let (Some(d), Some(i)) = (&data.shape, &indices.shape) else { return Ok(axis) };
    let beyond = |k: usize| matches!((d[k].known(), i[k].known()), (Some(d), Some(i)) if i > d);
    if d.len() != i.len() || (0..d.len()).any(|k| Some(k) != axis && beyond(k)) {
        return Err(OpError::shape(format!("indices {indices} do not fit data {data}")));
    }
    Ok(axis)
}

impl Semantics for GatherElements {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let (x, indices) = (cx.tensor(0)?, cx.tensor(1)?);
        check(x, indices, self.axis)?;
        let unknown = || x.rank().map(|r| vec![Dim::Unknown; r]);
        Ok(vec![TensorType::new(x.dtype, indices.shape.clone().or_else(unknown)).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (x, indices) = (cx.tensor(0)?, cx.tensor(1)?);
        let from = flat_positions(x, indices, resolve_axis(self.axis, x.rank())?)?;
        one(pick_blocks(x, &from, 1, indices.shape())?)
    }
}
