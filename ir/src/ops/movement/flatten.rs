//! `flatten`
use super::lists::product;
use crate::dim::Dim;
use crate::dtype::ANY;
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::tensor::{Tensor, element_count};
use crate::types::{TensorType, Type};

crate::op! {
    /// A matrix of the elements: axes before `axis` become its rows, the others its columns. Negative `axis` counts from the end.
    flatten Flatten(input: One<T>) -> (output: One<T>) {
        /// First axis that goes into the columns, up to and including the rank.
        axis: i64 = 1,
    } where T: ANY;
}

impl Flatten {
    fn position(&self, rank: usize) -> Result<usize, OpError> {
        // `axis` may point behind the last one.
        if usize::try_from(self.axis) == Ok(rank) {
            return Ok(rank);
        }
        crate::infer::resolve_axis(self.axis, rank)
    }
    fn flat(&self, x: &Tensor) -> Result<Tensor, OpError> {
        let (rows, columns) = x.shape().split_at(self.position(x.rank())?);
        let count = |s: &[usize]| element_count(s).ok_or_else(|| OpError::shape("too many elements"));
        Ok(x.reshape(&[count(rows)?, count(columns)?])?)
    }
}

impl Semantics for Flatten {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let x = cx.tensor(0)?;
        let dims = match &x.shape {
            Some(shape) => {
                let (rows, columns) = shape.split_at(self.position(shape.len())?);
                vec![product(rows), product(columns)]
            }
            None => vec![Dim::Unknown; 2],
        };
        Ok(vec![TensorType::new(x.dtype, dims).into()])
    }
    fn eval(&self, mut cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        one(self.flat(&cx.take(0)?)?)
    }
    fn lazy(&self, inputs: &[Option<&Tensor>]) -> Option<Tensor> {
        self.flat(inputs.first().copied().flatten()?).ok()
    }
}
