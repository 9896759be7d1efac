//! `gather`, and how indices are read.
use crate::dtype::{ANY, INDEX};
use crate::eval::{EvalCx, Value, one};
use crate::infer::{Content, InferCx, resolve_axis};
use crate::op::{OpError, Semantics};
use crate::ops::movement::lists::elements;
use crate::ops::movement::{mover, tables};
use crate::tensor::{Tensor, element_count};
use crate::types::{TensorType, Type};

crate::op! {
    /// Picks positions along an axis: the axis is replaced by those of `indices`. Negative indices count from the end; an index out
    /// of range is an error.
    gather Gather(data: One<T>, indices: One<I>) -> (output: One<T>) {
        /// Axis that is picked from; negative counts from the end.
        axis: i64 = 0,
    } where T: ANY, I: INDEX;
}

/// `index` counted from the front of an axis of `size` positions.
///
/// # Errors
/// When it is out of range.
pub fn position(index: i64, size: usize) -> Result<usize, OpError> {
    let n = size as i64;
    let at = if index < 0 { index.saturating_add(n) } else { index };
    if (0..n).contains(&at) {
        Ok(at as usize)
    } else {
        Err(OpError::eval(format!("index {index} is outside an axis of size {size}")))
    }
}

/// Elements of axes that an operator treats as one.
///
/// # Errors
/// When they do not fit the address space.
pub fn count(shape: &[usize]) -> Result<usize, OpError> {
    element_count(shape).ok_or_else(|| OpError::shape(format!("shape {shape:?} has too many elements")))
}

fn gather(x: &Tensor, indices: &Tensor, axis: usize) -> Result<Tensor, OpError> {
    let size = x.shape()[axis];
    let shape: Vec<usize> = [&x.shape()[..axis], indices.shape(), &x.shape()[axis + 1..]]
        .into_iter()
        .flatten()
        .copied()
        .collect();
    if mover::check_size(x.dtype(), &shape)? == 0 {
        // Indices are checked even where nothing is picked, unless there is nothing to index.
        return mover::empty(x.dtype(), &shape);
    }
    let (outer, inner) = (count(&x.shape()[..axis])?, count(&x.shape()[axis + 1..])?);
    let at: Result<Vec<usize>, OpError> =
        indices.to_i64s()?.into_iter().map(|i| Ok(position(i, size)? * inner)).collect();
    let mut all = vec![(0..outer).map(|o| o * size * inner).collect(), at?];
    if inner > 1 {
        all.push((0..inner).collect());
    }
    Ok(tables::copy_by_tables(x, &all, None)?.reshape(&shape)?)
}

impl Semantics for Gather {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let x = cx.tensor(0)?;
        let axis = x.rank().map(|r| resolve_axis(self.axis, r)).transpose()?;
        let (Some(s), Some(i), Some(axis)) = (&x.shape, cx.shape(1)?, axis) else {
            return Ok(vec![TensorType::unranked(x.dtype).into()]);
        };
        let dims: Vec<_> = [&s[..axis], i, &s[axis + 1..]].into_iter().flatten().cloned().collect();
        Ok(vec![TensorType::new(x.dtype, dims).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        one(gather(x, cx.tensor(1)?, resolve_axis(self.axis, x.rank())?)?)
    }
    fn contents(&self, cx: &InferCx<'_>) -> Vec<Option<Content>> {
        let content = || {
            let (all, at) = (elements(cx, 0)?, elements(cx, 1)?);
            if cx.tensor(0).ok()?.rank() != Some(1) {
                return None;
            }
            let pick = |i: &Option<crate::dim::SymInt>| {
                let i = i.as_ref()?.as_const()?;
                all.get(position(i, all.len()).ok()?).cloned().flatten()
            };
            Some(at.iter().map(pick).collect())
        };
        vec![content()]
    }
}
