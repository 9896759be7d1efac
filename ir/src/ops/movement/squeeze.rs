//! `squeeze`
use super::lists::{elements, int_list, list_len, resolve_axes, tensor_list};
use crate::dim::Dim;
use crate::dtype::{ANY, I64_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::infer::{Content, InferCx};
use crate::op::{OpError, Semantics};
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

crate::op! {
    /// Removes axes of size 1: those that `axes` lists (negative ones count from the end), else all.
    squeeze Squeeze(data: One<T>, axes: Opt<S>) -> (squeezed: One<T>) {} where T: ANY, S: I64_ONLY;
}

/// The axes that stay.
fn kept(shape: &[Dim], axes: Option<&[i64]>) -> Result<Vec<usize>, OpError> {
    let Some(axes) = axes else {
        return Ok((0..shape.len()).filter(|i| shape[*i] != Dim::Known(1)).collect());
    };
    let axes = resolve_axes(axes, shape.len())?;
    if let Some(a) = axes.iter().find(|a| shape[**a].surely_differs(&Dim::Known(1))) {
        return Err(OpError::shape(format!("axis {a} of size {} cannot be squeezed", shape[*a])));
    }
    let mut gone = vec![false; shape.len()];
    for a in axes {
        gone[a] = true;
    }
    Ok((0..shape.len()).filter(|i| !gone[*i]).collect())
}

fn target(x: &Tensor, axes: Option<&Tensor>) -> Result<Vec<usize>, OpError> {
    let axes = axes.map(tensor_list).transpose()?;
    let shape = super::lists::dims(x.shape());
    Ok(kept(&shape, axes.as_deref())?.into_iter().map(|i| x.shape()[i]).collect())
}

fn infer(cx: &InferCx<'_>) -> Result<TensorType, OpError> {
    let x = cx.tensor(0)?;
    let axes = if cx.has(1) { Some((int_list(cx, 1)?, list_len(cx, 1)?)) } else { None };
    let Some(shape) = x.shape.as_deref() else { return Ok(TensorType::unranked(x.dtype)) };
    let axes = match axes {
        None if shape.iter().any(|d| d.known().is_none()) => return Ok(TensorType::unranked(x.dtype)),
        None => None,
        Some((Some(axes), _)) => Some(axes),
        Some((None, None)) => return Ok(TensorType::unranked(x.dtype)),
        Some((None, Some(n))) => {
            let rank = shape.len().checked_sub(n);
            let rank = rank.ok_or_else(|| OpError::shape(format!("{n} axes cannot be squeezed of {x}")))?;
            return Ok(TensorType::of_rank(x.dtype, rank));
        }
    };
    let dims: Vec<Dim> = kept(shape, axes.as_deref())?.into_iter().map(|i| shape[i].clone()).collect();
    Ok(TensorType::new(x.dtype, dims))
}

impl Semantics for Squeeze {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        Ok(vec![infer(cx)?.into()])
    }
    fn eval(&self, mut cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.take(0)?;
        let target = target(&x, cx.opt(1)?)?;
        one(x.reshape(&target)?)
    }
    fn contents(&self, cx: &InferCx<'_>) -> Vec<Option<Content>> {
        vec![elements(cx, 0).map(Into::into)]
    }
    fn lazy(&self, inputs: &[Option<&Tensor>]) -> Option<Tensor> {
        let x = inputs.first().copied().flatten()?;
        x.reshape(&target(x, inputs.get(1).copied().flatten()).ok()?).ok()
    }
}
