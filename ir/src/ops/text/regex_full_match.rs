//! `regex_full_match`
use super::re2;
use crate::dtype::{DType, DTypeSet};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::OpError;
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

crate::op! {
    /// Whether each string as a whole matches `pattern`, in the syntax of RE2.
    regex_full_match RegexFullMatch(x: One<T1>) -> (y: One<T2>) {
        /// The pattern.
        pattern: String = String::new(),
    } where T1: DTypeSet::of(&[DType::String]);
    infer = infer,
    eval = |op: &RegexFullMatch, cx| eval(op, &cx);
}

fn infer(_: &RegexFullMatch, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    Ok(vec![TensorType::new(DType::Bool, cx.shape(0)?.cloned()).into()])
}

fn eval(op: &RegexFullMatch, cx: &EvalCx<'_>) -> Result<Vec<Value>, OpError> {
    let x = cx.tensor(0)?;
    let regex = re2::compile(&op.pattern)?;
    let matches = x.strings()?.iter().map(|t| regex.is_match(t.as_bytes())).collect();
    one(Tensor::from_bools(x.shape(), matches))
}
