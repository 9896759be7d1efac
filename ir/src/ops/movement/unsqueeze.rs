//! `unsqueeze`
use super::lists::{elements, int_list, list_len, resolve_axes, tensor_list};
use crate::dim::Dim;
use crate::dtype::{ANY, I64_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::infer::{Content, InferCx};
use crate::op::{OpError, Semantics};
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

crate::op! {
    /// Inserts axes of size 1 at the positions `axes` of the result (negative ones count from its end).
    unsqueeze Unsqueeze(data: One<T>, axes: One<S>) -> (expanded: One<T>) {} where T: ANY, S: I64_ONLY;
}

fn inserted<D: Clone>(shape: &[D], axes: &[i64], one: &D) -> Result<Vec<D>, OpError> {
    let rank = shape.len() + axes.len();
    let mut new = vec![false; rank];
    resolve_axes(axes, rank)?.into_iter().for_each(|a| new[a] = true);
    let mut old = shape.iter();
    let pick = |is_new: &bool| if *is_new { one.clone() } else { old.next().unwrap_or(one).clone() };
    Ok(new.iter().map(pick).collect())
}

impl Semantics for Unsqueeze {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let x = cx.tensor(0)?;
        let (axes, count) = (int_list(cx, 1)?, list_len(cx, 1)?);
        let Some(shape) = &x.shape else { return Ok(vec![TensorType::unranked(x.dtype).into()]) };
        Ok(vec![match (axes, count) {
            (Some(axes), _) => TensorType::new(x.dtype, inserted(shape, &axes, &Dim::Known(1))?).into(),
            (None, Some(n)) => TensorType::of_rank(x.dtype, shape.len() + n).into(),
            (None, None) => TensorType::unranked(x.dtype).into(),
        }])
    }
    fn eval(&self, mut cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.take(0)?;
        let target = inserted(x.shape(), &tensor_list(cx.tensor(1)?)?, &1)?;
        one(x.reshape(&target)?)
    }
    fn contents(&self, cx: &InferCx<'_>) -> Vec<Option<Content>> {
        let scalar = cx.tensor(0).is_ok_and(|t| t.rank() == Some(0));
        let flat = scalar && matches!(list_len(cx, 1), Ok(Some(0 | 1)));
        vec![elements(cx, 0).filter(|_| flat).map(Into::into)]
    }
    fn lazy(&self, inputs: &[Option<&Tensor>]) -> Option<Tensor> {
        let [Some(x), Some(axes)] = inputs else { return None };
        x.reshape(&inserted(x.shape(), &tensor_list(axes).ok()?, &1).ok()?).ok()
    }
}
