//! `scatter_elements`
use super::gather_elements::{check, flat_positions};
use super::scatter::{Reduction, scatter};
use crate::dtype::{ANY, INDEX};
use crate::eval::{EvalCx, Value, one};
use crate::infer::{InferCx, resolve_axis};
use crate::op::{OpError, Semantics};
use crate::types::{TensorType, Type};

crate::op! {
    /// `data` with each update put where its own position is, with the coordinate of `axis` replaced by its index.
    scatter_elements ScatterElements(data: One<T>, indices: One<I>, updates: One<T>) -> (output: One<T>) {
        /// Axis whose coordinate the indices are; negative counts from the end.
        axis: i64 = 0,
        /// How an update meets what is there.
        reduction: Reduction = Reduction::Replace,
    } where T: ANY, I: INDEX;
}

/// Whether two types may have one shape.
pub(super) fn fits(a: &TensorType, b: &TensorType) -> bool {
    let (Some(a), Some(b)) = (&a.shape, &b.shape) else { return true };
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| !x.surely_differs(y))
}

impl Semantics for ScatterElements {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let (x, indices, updates) = (cx.tensor(0)?, cx.tensor(1)?, cx.tensor(2)?);
        check(x, indices, self.axis)?;
        if !fits(indices, updates) {
            return Err(OpError::shape(format!("indices {indices} and updates {updates} differ in shape")));
        }
        Ok(vec![cx.ty(0)?.clone()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (x, indices, updates) = (cx.tensor(0)?, cx.tensor(1)?, cx.tensor(2)?);
        if indices.shape() != updates.shape() {
            return Err(OpError::shape("indices and updates differ in shape"));
        }
        let to = flat_positions(x, indices, resolve_axis(self.axis, x.rank())?)?;
        one(scatter(x, &to, updates, 1, self.reduction)?)
    }
}
