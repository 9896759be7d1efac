//! `concat`
use super::lists::elements;
use super::pick::join;
use crate::dim::{Dim, SymInt};
use crate::dtype::{ANY, DType};
use crate::eval::{EvalCx, Value, one};
use crate::infer::{Content, InferCx, resolve_axis};
use crate::op::{OpError, Semantics};
use crate::tensor::Tensor;
use crate::types::{Shape, TensorType, Type};

crate::op! {
    /// Joins tensors along one axis; all other sizes agree. Unlike ONNX, `axis` has a default.
    concat Concat(inputs: Many<T>) -> (concat_result: One<T>) {
        /// Axis they are joined along; negative counts from the end.
        axis: i64 = 0,
    } where T: ANY;
}

/// Takes into `shape` what `other` knows more of the axes but `axis`, and adds up along `axis`.
fn merge(shape: &mut Shape, other: &[Dim], axis: usize) -> Result<(), OpError> {
    if shape.len() != other.len() {
        return Err(OpError::shape(format!(
            "tensors of rank {} and {} do not join",
            shape.len(),
            other.len()
        )));
    }
    for (i, (a, b)) in shape.iter_mut().zip(other).enumerate() {
        if i == axis {
            *a = a.combine(b, SymInt::add);
        } else if a.surely_differs(b) {
            return Err(OpError::shape(format!("sizes {a} and {b} of axis {i} differ, so they do not join")));
        } else if a.known().is_none() && *b != Dim::Unknown {
            *a = b.clone();
        }
    }
    Ok(())
}

/// Type of `operands` joined along `axis`, with elements `dtype`.
///
/// # Errors
/// When they do not join.
pub(crate) fn joined_type(
    cx: &InferCx<'_>,
    operands: impl Iterator<Item = usize>,
    axis: i64,
    dtype: DType,
) -> Result<Vec<Type>, OpError> {
    let (mut out, mut open): (Option<Shape>, bool) = (None, false);
    for i in operands {
        match (cx.shape(i)?, &mut out) {
            (None, _) => open = true,
            (Some(s), None) => {
                resolve_axis(axis, s.len())?;
                out = Some(s.clone());
            }
            (Some(s), Some(o)) => merge(o, s, resolve_axis(axis, o.len())?)?,
        }
    }
    if let Some(o) = out.as_mut().filter(|_| open) {
        let axis = resolve_axis(axis, o.len())?;
        o[axis] = Dim::Unknown;
    }
    Ok(vec![TensorType::new(dtype, out).into()])
}

impl Semantics for Concat {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        if cx.is_empty() {
            return Err(OpError::operand("`concat` needs at least one operand"));
        }
        joined_type(cx, 0..cx.len(), self.axis, cx.dtype(0)?)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let xs = (0..cx.len()).map(|i| cx.tensor(i)).collect::<Result<Vec<_>, _>>()?;
        let rank = xs.first().map_or(0, |x| x.rank());
        one(join(&xs, resolve_axis(self.axis, rank)?)?)
    }
    fn contents(&self, cx: &InferCx<'_>) -> Vec<Option<Content>> {
        let content = || {
            let mut all = vec![];
            for i in 0..cx.len() {
                all.extend(elements(cx, i)?);
                if all.len() > crate::infer::MAX_CONTENT {
                    return None;
                }
            }
            Some(all.into())
        };
        vec![content()]
    }
    fn lazy(&self, inputs: &[Option<&Tensor>]) -> Option<Tensor> {
        let xs: Vec<Tensor> = inputs.iter().map(|x| x.cloned()).collect::<Option<_>>()?;
        Tensor::concat(&xs, resolve_axis(self.axis, xs.first()?.rank()).ok()?).ok()
    }
}
