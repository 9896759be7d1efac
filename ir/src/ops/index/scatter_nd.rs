//! `scatter_nd`
use super::gather_nd::{blocks, gathered};
use super::scatter::{Reduction, scatter};
use super::scatter_elements::fits;
use crate::dtype::{ANY, I64_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::types::{TensorType, Type};

crate::op! {
    /// `data` with each block of `updates` put where its tuple along the last axis of `indices` says. Negative indices count from the end.
    scatter_nd ScatterNd(data: One<T>, indices: One<I>, updates: One<T>) -> (output: One<T>) {
        /// How an update meets what is there.
        reduction: Reduction = Reduction::Replace,
    } where T: ANY, I: I64_ONLY;
}

impl Semantics for ScatterNd {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let updates = cx.tensor(2)?;
        let want = TensorType::new(updates.dtype, gathered(cx.shape(0)?, cx.shape(1)?, 0)?);
        if !fits(&want, updates) {
            return Err(OpError::shape(format!("the updates must be {want}, are {updates}")));
        }
        Ok(vec![cx.ty(0)?.clone()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (x, indices, updates) = (cx.tensor(0)?, cx.tensor(1)?, cx.tensor(2)?);
        if updates.is_empty() {
            return one(x.clone());
        }
        let (to, block) = blocks(x.shape(), indices, 0)?;
        if to.len().checked_mul(block) != Some(updates.len()) {
            return Err(OpError::shape(format!(
                "{} updates for {} blocks of {block}",
                updates.len(),
                to.len()
            )));
        }
        one(scatter(x, &to, updates, block, self.reduction)?)
    }
}
