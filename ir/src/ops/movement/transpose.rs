//! `transpose`
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::tensor::{Storage, Tensor};
use crate::types::{TensorType, Type};

crate::op! {
    /// Permutes axes: `y.shape[i] = x.shape[perm[i]]`. Unlike ONNX, `perm` is always written out; the importer expands ONNX's default.
    transpose Transpose(x: One<T>) -> (y: One<T>) {
        /// Input axis of each output axis.
        perm: Vec<i64> = vec![],
    } where T: crate::dtype::ANY;
}

/// `perm` as positions, checked against the rank.
fn positions(perm: &[i64], rank: usize) -> Result<Vec<usize>, OpError> {
    let mut seen = vec![false; rank];
    let valid = |p: &i64| {
        let p = usize::try_from(*p).ok().filter(|p| *p < rank)?;
        (!std::mem::replace(&mut seen[p], true)).then_some(p)
    };
    let all: Option<Vec<usize>> = perm.iter().map(valid).collect();
    all.filter(|p| p.len() == rank)
        .ok_or_else(|| OpError::attr(format!("perm {perm:?} does not permute {rank} axes")))
}

impl Semantics for Transpose {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let x = cx.tensor(0)?;
        let Some(shape) = &x.shape else {
            return Ok(vec![TensorType::of_rank(x.dtype, self.perm.len()).into()]);
        };
        let dims: Vec<_> =
            positions(&self.perm, shape.len())?.into_iter().map(|p| shape[p].clone()).collect();
        Ok(vec![TensorType::new(x.dtype, dims).into()])
    }
    fn eval(&self, mut cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.take(0)?;
        let perm = positions(&self.perm, x.rank())?;
        let shape: Vec<usize> = perm.iter().map(|p| x.shape()[*p]).collect();
        if let Storage::Splat(_) = x.storage() {
            return one(x.reshape(&shape)?);
        }
        let own = super::lists::steps(x.shape());
        let steps: Vec<isize> = perm.iter().map(|p| own[*p]).collect();
        one(super::strided::copy_strided(&x, &shape, &steps, 0)?)
    }
    fn lazy(&self, inputs: &[Option<&Tensor>]) -> Option<Tensor> {
        let x = inputs.first().copied().flatten()?;
        x.permute(&positions(&self.perm, x.rank()).ok()?).ok()
    }
}
