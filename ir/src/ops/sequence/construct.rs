//! `sequence_construct`, `sequence_empty`
use super::sequence;
use crate::dtype::{ANY, DType};
use crate::eval::{EvalCx, List, Value};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::types::{TensorType, Type};

crate::op! {
    /// A sequence of the operands, which have one element type.
    sequence_construct SequenceConstruct(inputs: Many<T>) -> (output_sequence: One<S>) {} where T: ANY;
}

crate::op! {
    /// A sequence without elements.
    sequence_empty SequenceEmpty() -> (output: One<S>) {
        /// Element type of the tensors it could hold.
        dtype: DType = DType::F32,
    };
}

impl Semantics for SequenceConstruct {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        if cx.is_empty() {
            return Err(OpError::operand("`sequence_construct` needs at least one operand")
                .hint("`sequence_empty` makes a sequence without elements"));
        }
        let mut joined = Type::from(cx.tensor(0)?.clone());
        for i in 1..cx.len() {
            joined = joined.join(&cx.tensor(i)?.clone().into());
        }
        Ok(vec![Type::Sequence(Box::new(joined))])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let all: Option<List> = cx.inputs.into_iter().collect();
        Ok(vec![Value::Sequence(all.ok_or_else(|| OpError::operand("an element is missing"))?)])
    }
}

impl Semantics for SequenceEmpty {
    fn infer(&self, _: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        Ok(vec![sequence(Some(TensorType::unranked(self.dtype)))])
    }
    fn eval(&self, _: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        Ok(vec![Value::Sequence(vec![].into())])
    }
}

#[cfg(test)]
mod tests {
    use crate::text::parse_graph;

    fn ty(line: &str) -> Result<String, String> {
        let text = format!(
            "graph @main(%a: f32[N, 3], %b: f32[N, 4], %c: f32[N], %i: i64[N, 3], %s: seq<f32[N]>) {{\n %y = {line}\n return y: %y\n}}"
        );
        let g = parse_graph(&text).map_err(|d| d.to_string())?;
        Ok(g.ty(g.outputs()[0].value).to_string())
    }

    #[test]
    fn elements_keep_what_they_agree_on() {
        assert_eq!(ty("sequence_construct(%a)").as_deref(), Ok("seq<f32[N, 3]>"));
        assert_eq!(ty("sequence_construct(%a, %b, %a)").as_deref(), Ok("seq<f32[N, ?]>"));
        assert_eq!(ty("sequence_construct(%a, %c)").as_deref(), Ok("seq<f32[*]>"));
        assert_eq!(ty("sequence_empty() {dtype=i64}").as_deref(), Ok("seq<i64[*]>"));
        for wrong in [
            "sequence_construct(%a, %i)",
            "sequence_construct(%s)",
            "sequence_construct()",
            "sequence_empty(%a)",
        ] {
            assert!(ty(wrong).is_err(), "{wrong}");
        }
    }
}
