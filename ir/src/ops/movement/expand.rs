//! `expand`
use super::lists::{dims, elements, sizes, steps, sym_list, syms, tensor_list};
use super::strided::copy_strided;
use crate::dim::{Dim, SymInt};
use crate::dtype::{ANY, I64_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::infer::{Content, InferCx, broadcast};
use crate::op::{OpError, Semantics};
use crate::tensor::Tensor;
use crate::types::{Shape, TensorType, Type};

crate::op! {
    /// `input` broadcast against the sizes `shape`: either side may be stretched.
    expand Expand(input: One<T>, shape: One<S>) -> (output: One<T>) {} where T: ANY, S: I64_ONLY;
}

fn result(x: &[Dim], list: Vec<Option<SymInt>>) -> Result<Shape, OpError> {
    if let Some(c) = list.iter().flatten().filter_map(SymInt::as_const).find(|c| *c < 0) {
        return Err(OpError::shape(format!("{c} is no size to expand to")));
    }
    broadcast(x, &list.into_iter().map(Dim::from_sym).collect::<Vec<_>>())
}

/// `x` stretched to `shape`, which it broadcasts to.
///
/// # Errors
/// When the result is too large.
pub fn stretch(x: &Tensor, shape: &[usize]) -> Result<Tensor, OpError> {
    if x.shape() == shape {
        return Ok(x.clone());
    }
    if x.len() == 1 && x.dtype() != crate::dtype::DType::String {
        return Ok(Tensor::splat(x, shape)?);
    }
    let own = steps(x.shape());
    let mut all = vec![0; shape.len() - x.rank()];
    all.extend(x.shape().iter().zip(own).map(|(n, s)| if *n == 1 { 0 } else { s }));
    copy_strided(x, shape, &all, 0)
}

impl Semantics for Expand {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let x = cx.tensor(0)?;
        let shape = match (&x.shape, sym_list(cx, 1)?) {
            (Some(s), Some(list)) => Some(result(s, list)?),
            _ => None,
        };
        Ok(vec![TensorType::new(x.dtype, shape).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        let target = sizes(&result(&dims(x.shape()), syms(&tensor_list(cx.tensor(1)?)?))?)?;
        one(stretch(x, &target)?)
    }
    fn contents(&self, cx: &InferCx<'_>) -> Vec<Option<Content>> {
        let content = || {
            let x = elements(cx, 0)?;
            let n = match sym_list(cx, 1).ok()??.as_slice() {
                [] => x.len(),
                [Some(n)] => usize::try_from(n.as_const()?).ok()?,
                _ => return None,
            };
            match x.as_slice() {
                [v] if n <= crate::infer::MAX_CONTENT => Some(vec![v.clone(); n].into()),
                _ if n == x.len() || n == 1 => Some(x.into()),
                _ => None,
            }
        };
        vec![content()]
    }
}
