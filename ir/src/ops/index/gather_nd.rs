//! `gather_nd`, and the blocks that index tuples name.
use super::gather::{count, position};
use crate::dim::Dim;
use crate::dtype::{ANY, I64_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::ops::movement::lists::{dims, sizes};
use crate::ops::movement::mover;
use crate::ops::movement::pick::pick_blocks;
use crate::tensor::{Tensor, strides};
use crate::types::{Shape, TensorType, Type};

crate::op! {
    /// Each tuple along the last axis of `indices` names a block of `data` by its first coordinates, behind `batch_dims` axes that
    /// both have in common. Negative indices count from the end.
    gather_nd GatherNd(data: One<T>, indices: One<I>) -> (output: One<T>) {
        /// Number of leading axes that correspond.
        batch_dims: i64 = 0,
    } where T: ANY, I: I64_ONLY;
}

/// The block of `data` each tuple names, and the elements of a block.
///
/// # Errors
/// When shapes do not fit or an index is out of range.
pub fn blocks(data: &[usize], indices: &Tensor, batch: usize) -> Result<(Vec<usize>, usize), OpError> {
    let bad = || OpError::shape(format!("indices {} do not fit data of shape {data:?}", indices.ty()));
    let (tuple, lead) = indices.shape().split_last().ok_or_else(bad)?;
    let end =
        batch.checked_add(*tuple).filter(|e| *e <= data.len() && batch <= lead.len()).ok_or_else(bad)?;
    if data[..batch] != lead[..batch] {
        return Err(bad());
    }
    let block = count(&data[end..])?;
    let tuples = count(lead)?;
    if tuples == 0 || block == 0 {
        return Ok((vec![], block));
    }
    let own = strides(&data[..end]);
    let per_batch = count(&lead[batch..])?;
    let base: usize = count(&data[batch..end])?;
    let values = indices.to_i64s()?;
    let mut out = Vec::with_capacity(tuples);
    for t in 0..tuples {
        let mut at = t / per_batch * base;
        for (k, v) in values[t * tuple..(t + 1) * tuple].iter().enumerate() {
            at += position(*v, data[batch + k])? * own[batch + k];
        }
        out.push(at);
    }
    Ok((out, block))
}

/// Result shape: the indices' without the tuples, then the block's. `None` where the length of a tuple or a rank is not known.
///
/// # Errors
/// When tuples are longer than the data has axes, or batch axes differ.
pub fn gathered(
    data: Option<&Shape>,
    indices: Option<&Shape>,
    batch: usize,
) -> Result<Option<Shape>, OpError> {
    let (Some(data), Some(indices)) = (data, indices) else { return Ok(None) };
    let bad = || OpError::shape("the indices do not fit the data's rank");
    let (tuple, lead) = indices.split_last().ok_or_else(bad)?;
    if batch > lead.len() || batch >= data.len() {
        return Err(bad());
    }
    if let Some((a, b)) = data.iter().zip(lead).take(batch).find(|(a, b)| a.surely_differs(b)) {
        return Err(OpError::shape(format!("batch axes of sizes {a} and {b} do not correspond")));
    }
    let Some(tuple) = tuple.known() else { return Ok(None) };
    let end = usize::try_from(tuple).ok().and_then(|t| t.checked_add(batch));
    let end = end.filter(|e| *e <= data.len()).ok_or_else(bad)?;
    Ok(Some(lead.iter().chain(&data[end..]).cloned().collect()))
}

impl GatherNd {
    fn batch(&self) -> Result<usize, OpError> {
        usize::try_from(self.batch_dims).map_err(|_| OpError::attr("batch_dims is negative"))
    }
}

impl Semantics for GatherNd {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let shape: Option<Vec<Dim>> = gathered(cx.shape(0)?, cx.shape(1)?, self.batch()?)?;
        Ok(vec![TensorType::new(cx.dtype(0)?, shape).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (x, indices) = (cx.tensor(0)?, cx.tensor(1)?);
        let batch = self.batch()?;
        let known = gathered(Some(&dims(x.shape())), Some(&dims(indices.shape())), batch)?;
        let shape = sizes(&known.unwrap_or_default())?;
        if mover::check_size(x.dtype(), &shape)? == 0 {
            return one(mover::empty(x.dtype(), &shape)?);
        }
        let (from, block) = blocks(x.shape(), indices, batch)?;
        one(pick_blocks(x, &from, block, &shape)?)
    }
}
