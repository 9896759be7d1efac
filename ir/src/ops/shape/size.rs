//! `size`
use crate::dtype::{ANY, DType, I64_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::infer::{Content, InferCx};
use crate::op::{OpError, Semantics};
use crate::ops::movement::lists::product;
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

crate::op! {
    /// The number of elements.
    size Size(data: One<T>) -> (size: One<I>) {} where T: ANY, I: I64_ONLY;
}

impl Semantics for Size {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        cx.tensor(0)?;
        Ok(vec![TensorType::fixed(DType::I64, &[]).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        one(Tensor::scalar(cx.tensor(0)?.len() as i64))
    }
    fn contents(&self, cx: &InferCx<'_>) -> Vec<Option<Content>> {
        let dims = cx.shape(0).ok().flatten();
        vec![dims.map(|s| [product(s).to_sym()].into())]
    }
}
