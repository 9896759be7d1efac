//! `sequence_map`
use super::bodies::{captured, check_inputs, check_type, run_body};
use super::budget::Budget;
use crate::eval::{EvalCx, Limits, Value, too_many_bytes};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::types::Type;

crate::op! {
    /// Runs its body for each element of a sequence. Further operands that are sequences have as many elements, of which the body takes
    /// the one at the same position; tensors it takes whole, and what it captures comes last. Results are the sequences of what it
    /// gives.
    sequence_map SequenceMap(input_sequence: One<S>, additional_inputs: Many<V>) -> (out_sequence: Many<R>) {};
}

/// What the body takes of an operand of type `ty`.
///
/// # Errors
/// When it is neither a tensor nor a sequence.
pub fn taken(ty: &Type) -> Result<&Type, OpError> {
    match ty {
        Type::Sequence(t) => Ok(t),
        Type::Tensor(_) => Ok(ty),
        _ => Err(OpError::operand(format!("an operand must be a tensor or a sequence, is {ty}"))),
    }
}

impl Semantics for SequenceMap {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let [body] = cx.bodies() else {
            return Err(OpError::operand(format!("`sequence_map` has one body, got {}", cx.bodies().len())));
        };
        if !matches!(cx.ty(0)?, Type::Sequence(_)) {
            return Err(OpError::operand(format!("operand 0 must be a sequence, is {}", cx.ty(0)?)));
        }
        check_inputs(cx, body, cx.len())?;
        for (i, v) in body.inputs()[..cx.len()].iter().enumerate() {
            check_type(taken(cx.ty(i)?)?, body.ty(*v), "operand", i)?;
        }
        if body.outputs().len() != cx.outputs() {
            let m = format!("a body has {} outputs, the node {}", body.outputs().len(), cx.outputs());
            return Err(OpError::operand(m));
        }
        let one = |o: &crate::graph::Output| match body.ty(o.value) {
            t @ (Type::Tensor(_) | Type::Unknown) => Ok(Type::Sequence(Box::new(t.clone()))),
            t => Err(OpError::operand(format!("a body must give tensors, gives {t}"))),
        };
        body.outputs().iter().map(one).collect()
    }
    fn eval(&self, mut cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let captured = captured(&mut cx.inputs, cx.captures)?;
        let body = cx.bodies.first().ok_or_else(|| OpError::operand("`sequence_map` has one body"))?;
        let operands: Option<Vec<Value>> = std::mem::take(&mut cx.inputs).into_iter().collect();
        let operands = operands.ok_or_else(|| OpError::operand("an operand is missing"))?;
        let Some(Value::Sequence(first)) = operands.first() else {
            return Err(OpError::operand("operand 0 must be a sequence"));
        };
        let mut out: Vec<Vec<Value>> = vec![vec![]; body.outputs().len()];
        let (limit, mut bytes) = (Limits::default().result_bytes, 0usize);
        let _account = Budget::enter();
        for i in 0..first.len() {
            Budget::spend()?;
            let inputs = operands.iter().map(|v| element(v, i, first.len()));
            let inputs = inputs.chain(captured.iter().cloned().map(Ok)).collect::<Result<Vec<_>, _>>()?;
            for (all, v) in out.iter_mut().zip(run_body(&cx, body, inputs)?) {
                bytes = bytes.saturating_add(v.byte_len());
                if bytes > limit {
                    return Err(too_many_bytes("the results", limit));
                }
                all.push(Value::Tensor(v.into_tensor()?));
            }
        }
        Ok(out.into_iter().map(|all| Value::Sequence(all.into())).collect())
    }
}

/// What the body takes of an operand for element `i` of `len`.
fn element(operand: &Value, i: usize, len: usize) -> Result<Value, OpError> {
    match operand {
        Value::Sequence(all) if all.len() == len => Ok(all[i].clone()),
        Value::Sequence(all) => {
            Err(OpError::eval(format!("sequences of {len} and {} elements are mapped together", all.len())))
        }
        Value::Tensor(_) => Ok(operand.clone()),
        Value::Optional(_) => Err(OpError::operand("an operand must be a tensor or a sequence")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::eval_graph;
    use crate::tensor::Tensor;
    use crate::text::parse_graph;

    fn text(operands: &str, inputs: &str, body: &str) -> String {
        format!(
            "graph @main(%s: seq<f32[N]>, %t: seq<f32[N]>, %x: f32[2], %o: optional<f32[]>) {{
  %y = sequence_map({operands})
    body @b({inputs}) {{
      {body}
    }}
  return y: %y
}}"
        )
    }
    fn ty(operands: &str, inputs: &str, body: &str) -> Result<String, String> {
        let g = parse_graph(&text(operands, inputs, body)).map_err(|d| d.to_string())?;
        assert!(!g.verify().has_errors(), "{}", g.verify());
        Ok(g.ty(g.outputs()[0].value).to_string())
    }

    #[test]
    fn types_are_sequences_of_what_the_body_gives() {
        let sum = "%d = add(%a, %b)\n return d: %d";
        assert_eq!(ty("%s, %t", "%a: f32[N], %b: f32[N]", sum).as_deref(), Ok("seq<f32[N]>"));
        assert_eq!(ty("%s, %x", "%a: f32[?], %b: f32[2]", sum).as_deref(), Ok("seq<f32[2]>"));
        assert_eq!(ty("%s | %x", "%a: f32[?], %b: f32[2]", sum).as_deref(), Ok("seq<f32[2]>"));
        assert!(ty("%x, %t", "%a: f32[N], %b: f32[N]", sum).is_err());
        assert!(ty("%s, %o", "%a: f32[N], %b: f32[]", sum).is_err());
        assert!(ty("%s", "%a: f32[N], %b: f32[N]", sum).is_err());
        assert!(ty("%s", "%a: i64[N]", "return a: %a").is_err());
        assert!(ty("%s", "%a: f32[N]", "%d = sequence_construct(%a)\n return d: %d").is_err());
        assert!(ty("%s", "%a: f32[N]", "return a: %a, b: %a").is_err());
    }

    #[test]
    fn sequences_must_have_one_length() {
        let g = parse_graph(&text("%s, %t", "%a: f32[?], %b: f32[2]", "return a: %b")).expect("fits");
        let x = Value::from(Tensor::from_vec(&[2], vec![1f32, 2.0]));
        let run = |first: Vec<Value>, second: Vec<Value>| {
            let inputs = vec![
                Value::Sequence(first.into()),
                Value::Sequence(second.into()),
                x.clone(),
                Value::Optional(None),
            ];
            eval_graph(&g, inputs, Limits::default()).map(|mut v| v.remove(0)).map_err(|e| e.code)
        };
        assert_eq!(run(vec![], vec![]), Ok(Value::Sequence(vec![].into())));
        assert_eq!(run(vec![x.clone()], vec![x.clone()]), Ok(Value::Sequence(vec![x.clone()].into())));
        assert_eq!(run(vec![x.clone()], vec![]), Err("E0306"));
        // Elements of several sizes have no type that tells before.
        let wrong = Value::from(Tensor::from_vec(&[1], vec![1f32]));
        assert_eq!(run(vec![x.clone(), x.clone()], vec![x.clone(), wrong]), Err("E0306"));
    }
}
