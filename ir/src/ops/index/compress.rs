//! `compress`
use crate::dim::Dim;
use crate::dtype::{ANY, BOOL_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::infer::{InferCx, resolve_axis};
use crate::op::{OpError, Semantics};
use crate::ops::movement::tables;
use crate::types::{TensorType, Type};

crate::op! {
    /// Keeps the positions along an axis whose condition is true; those behind the end of the condition go. Without `axis` the
    /// tensor is flattened first.
    compress Compress(input: One<T>, condition: One<B>) -> (output: One<T>) {
        /// Axis whose positions are chosen; negative counts from the end.
        axis: Option<i64> = None,
    } where T: ANY, B: BOOL_ONLY;
}

impl Semantics for Compress {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let x = cx.tensor(0)?;
        if cx.shape(1)?.is_some_and(|s| s.len() != 1) {
            return Err(OpError::operand(format!("the condition must be a list, is {}", cx.tensor(1)?)));
        }
        let Some(axis) = self.axis else { return Ok(vec![TensorType::of_rank(x.dtype, 1).into()]) };
        let Some(shape) = &x.shape else { return Ok(vec![TensorType::unranked(x.dtype).into()]) };
        let mut out = shape.clone();
        out[resolve_axis(axis, shape.len())?] = Dim::Unknown;
        Ok(vec![TensorType::new(x.dtype, out).into()])
    }
    fn eval(&self, mut cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.take(0)?;
        let x = if self.axis.is_none() { x.reshape(&[x.len()])? } else { x };
        let axis = resolve_axis(self.axis.unwrap_or(0), x.rank())?;
        let kept = cx.tensor(1)?.to_bools()?;
        if kept.iter().skip(x.shape()[axis]).any(|k| *k) {
            return Err(OpError::eval("the condition keeps positions that the axis does not have"));
        }
        let mut shape = x.shape().to_vec();
        shape[axis] = kept.iter().filter(|k| **k).count();
        if crate::ops::movement::mover::check_size(x.dtype(), &shape)? == 0 {
            return one(crate::ops::movement::mover::empty(x.dtype(), &shape)?);
        }
        let own = crate::tensor::strides(x.shape());
        let all = |i: usize| {
            (0..x.shape()[i])
                .filter(|p| i != axis || kept.get(*p) == Some(&true))
                .map(|p| p * own[i])
                .collect()
        };
        let tables: Vec<Vec<usize>> = (0..x.rank()).map(all).collect();
        one(tables::copy_by_tables(&x, &tables, None)?)
    }
}
