//! `constant_of_shape`
use crate::dim::{Dim, SymInt};
use crate::dtype::{ANY, DType, I64_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::infer::{Content, InferCx, MAX_CONTENT};
use crate::op::{OpError, Semantics};
use crate::ops::movement::lists::{sym_list, tensor_list};
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

crate::op! {
    /// A tensor of the sizes `input` filled with one value.
    constant_of_shape ConstantOfShape(input: One<S>) -> (output: One<T>) {
        /// The value, in a tensor of one element; the `f32` 0 when absent.
        value: Option<Tensor> = None,
    } where S: I64_ONLY, T: ANY;
}

impl ConstantOfShape {
    fn element(&self) -> Result<Tensor, OpError> {
        match &self.value {
            None => Ok(Tensor::scalar(0f32)),
            Some(v) if v.len() == 1 => Ok(v.reshape(&[])?),
            Some(v) => Err(OpError::attr(format!("`value` must have one element, is {}", v.ty()))),
        }
    }
}

impl Semantics for ConstantOfShape {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let dtype = self.value.as_ref().map_or(DType::F32, Tensor::dtype);
        self.element()?;
        let list = sym_list(cx, 0)?;
        if list.iter().flatten().flatten().filter_map(SymInt::as_const).any(|c| c < 0) {
            return Err(OpError::shape("a size to fill is negative"));
        }
        let shape = list.map(|l| l.into_iter().map(Dim::from_sym).collect());
        Ok(vec![TensorType { dtype, shape }.into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let size = |v: i64| usize::try_from(v).map_err(|_| OpError::shape(format!("{v} is no size to fill")));
        let shape = tensor_list(cx.tensor(0)?)?.into_iter().map(size).collect::<Result<Vec<_>, _>>()?;
        let element = self.element()?;
        crate::ops::movement::mover::check_size(element.dtype(), &shape)?;
        one(Tensor::splat(&element, &shape)?)
    }
    fn contents(&self, cx: &InferCx<'_>) -> Vec<Option<Content>> {
        let content = || {
            let v = self.value.as_ref().filter(|v| v.dtype().is_int())?.as_int()?;
            let n = match sym_list(cx, 0).ok()??.as_slice() {
                [] => 1,
                [Some(n)] => usize::try_from(n.as_const()?).ok().filter(|n| *n <= MAX_CONTENT)?,
                _ => return None,
            };
            Some(vec![Some(SymInt::from(v)); n].into())
        };
        vec![content()]
    }
}
