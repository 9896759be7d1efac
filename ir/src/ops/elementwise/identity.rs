//! `identity`
use crate::eval::{EvalCx, Value};
use crate::infer::{Content, InferCx};
use crate::op::{OpError, Semantics};
use crate::types::Type;

crate::op! {
    /// Passes its operand through, whatever its type.
    identity Identity(x: One<V>) -> (y: One<V>) {};
}

impl Semantics for Identity {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        Ok(vec![cx.ty(0)?.clone()])
    }
    fn eval(&self, mut cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        Ok(cx.inputs.drain(..1).flatten().collect())
    }
    fn contents(&self, cx: &InferCx<'_>) -> Vec<Option<Content>> {
        vec![cx.sym_ints(0).map(Into::into)]
    }
    fn lazy(&self, inputs: &[Option<&crate::tensor::Tensor>]) -> Option<crate::tensor::Tensor> {
        inputs.first().copied().flatten().cloned()
    }
}
