//! `optional`, `optional_get_element`, `optional_has_element`
use crate::dtype::{ANY, DType};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

crate::op! {
    /// A value that may be absent: the operand, a tensor or a sequence, or nothing of the type `type`.
    optional Optional(input: Opt<V>) -> (output: One<O>) {
        /// Type of what it may hold. Needed without operand.
        r#type: Option<Type> = None,
    } where V: ANY;
}

crate::op! {
    /// What an optional value holds, which must not be absent. Anything else passes through.
    optional_get_element OptionalGetElement(input: One<O>) -> (output: One<V>) {} where O: ANY;
}

crate::op! {
    /// Whether an optional value holds something. True for any other operand, false without one.
    optional_has_element OptionalHasElement(input: Opt<O>) -> (output: One<B>) {} where O: ANY;
}

/// Checks that an optional may hold a value of type `ty`.
fn check_content(ty: &Type) -> Result<(), OpError> {
    match ty {
        Type::Tensor(_) | Type::Unknown => Ok(()),
        Type::Sequence(t) if matches!(**t, Type::Tensor(_) | Type::Unknown) => Ok(()),
        _ => Err(OpError::operand(format!("an optional holds a tensor or a sequence of tensors, not {ty}"))),
    }
}

impl Semantics for Optional {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let given = if cx.has(0) { Some(cx.ty(0)?) } else { None };
        if let (Some(g), Some(t)) = (given, &self.r#type)
            && g.meet(t).is_none()
        {
            return Err(OpError::operand(format!("the operand is {g}, `type` is {t}")));
        }
        let content = given.or(self.r#type.as_ref());
        let content = content.ok_or_else(|| OpError::operand("an optional without operand needs `type`"))?;
        check_content(content)?;
        Ok(vec![Type::Optional(Box::new(content.clone()))])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let content = cx.inputs.into_iter().next().flatten();
        Ok(vec![Value::Optional(content.map(Box::new))])
    }
}

impl Semantics for OptionalGetElement {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let content = match cx.ty(0)? {
            Type::Optional(t) => t,
            other => other,
        };
        check_content(content)?;
        Ok(vec![content.clone()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        match cx.inputs.into_iter().next().flatten() {
            Some(Value::Optional(content)) => match content {
                Some(v) => Ok(vec![*v]),
                None => Err(OpError::eval("the optional value is absent")),
            },
            Some(v) => Ok(vec![v]),
            None => Err(OpError::operand("operand 0 is missing")),
        }
    }
}

impl Semantics for OptionalHasElement {
    fn infer(&self, _: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        Ok(vec![TensorType::fixed(DType::Bool, &[]).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let has = match cx.inputs.first().and_then(Option::as_ref) {
            Some(Value::Optional(content)) => content.is_some(),
            Some(_) => true,
            None => false,
        };
        one(Tensor::from_bools(&[], vec![has]))
    }
}

#[cfg(test)]
mod tests {
    use crate::eval::{Limits, Value, eval_graph};
    use crate::text::{graph_text, parse_graph};

    fn graph(line: &str) -> Result<crate::graph::Graph, String> {
        let text = format!(
            "graph @main(%x: f32[N], %s: seq<f32[N]>, %o: optional<f32[N]>) {{\n %y = {line}\n return y: %y\n}}"
        );
        parse_graph(&text).map_err(|d| d.to_string())
    }
    fn ty(line: &str) -> Result<String, String> {
        graph(line).map(|g| g.ty(g.outputs()[0].value).to_string())
    }

    #[test]
    fn types_wrap_and_unwrap() {
        assert_eq!(ty("optional(%x)").as_deref(), Ok("optional<f32[N]>"));
        assert_eq!(ty("optional(%s)").as_deref(), Ok("optional<seq<f32[N]>>"));
        assert_eq!(ty("optional() {type=seq<i64[2]>}").as_deref(), Ok("optional<seq<i64[2]>>"));
        assert_eq!(ty("optional(%x) {type=f32[*]}").as_deref(), Ok("optional<f32[N]>"));
        assert_eq!(ty("optional_get_element(%o)").as_deref(), Ok("f32[N]"));
        assert_eq!(ty("optional_get_element(%s)").as_deref(), Ok("seq<f32[N]>"));
        assert_eq!(ty("optional_has_element()").as_deref(), Ok("bool[]"));
        for wrong in [
            "optional()",
            "optional(%o)",
            "optional(%x) {type=i64[*]}",
            "optional() {type=map<i64, f32[]>}",
            "optional_get_element()",
        ] {
            assert!(ty(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn attributes_with_the_name_of_a_keyword_print_plainly() {
        let g = graph("optional() {type=f32[2]}").expect("fits");
        assert!(graph_text(&g).contains("optional() {type=f32[2]}"), "{}", graph_text(&g));
    }

    #[test]
    fn nothing_cannot_be_taken_out() {
        let g = graph("optional_get_element(%o)").expect("fits");
        let x = Value::from(crate::tensor::Tensor::scalar(1f32));
        let run = |o| {
            eval_graph(
                &g,
                vec![x.clone(), Value::Sequence(vec![].into()), Value::Optional(o)],
                Limits::default(),
            )
        };
        assert_eq!(run(None).map_err(|e| e.code), Err("E0306"));
        assert_eq!(run(Some(Box::new(x.clone()))), Ok(vec![x.clone()]));
    }
}
