//! `if`
use super::bodies::{captured, check_inputs, run_body, truth};
use crate::dim::Dim;
use crate::dtype::BOOL_ONLY;
use crate::eval::{EvalCx, Value};
use crate::graph::Graph;
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::types::Type;

crate::op! {
    /// The results of the first body when `cond` is true, else those of the second. Bodies have no inputs but captured ones.
    r#if If(cond: One<B>) -> (outputs: Many<V>) {} where B: BOOL_ONLY;
}

fn types(body: &Graph) -> Vec<Type> {
    body.outputs().iter().map(|o| body.ty(o.value).clone()).collect()
}

impl Semantics for If {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let [then, or_else] = cx.bodies() else {
            return Err(OpError::operand(format!("`if` has two bodies, got {}", cx.bodies().len())));
        };
        let cond = cx.tensor(0)?;
        if cond.shape.as_ref().is_some_and(|s| s.iter().any(|d| d.surely_differs(&Dim::Known(1)))) {
            return Err(OpError::operand(format!("a condition must be one bool, is {cond}")));
        }
        for body in [then, or_else] {
            check_inputs(cx, body, 0)?;
            if body.outputs().len() != cx.outputs() {
                let m = format!("a body has {} outputs, the node {}", body.outputs().len(), cx.outputs());
                return Err(OpError::operand(m));
            }
        }
        // A constant condition leaves one branch.
        match cx.constant(0).map(|c| truth(&Value::Tensor(c.clone()))).transpose()? {
            Some(true) => Ok(types(then)),
            Some(false) => Ok(types(or_else)),
            None => Ok(types(then).iter().zip(types(or_else)).map(|(a, b)| a.join(&b)).collect()),
        }
    }
    fn eval(&self, mut cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let captured = captured(&mut cx.inputs, cx.captures)?;
        let cond = cx.inputs.first().and_then(Option::as_ref);
        let cond = truth(cond.ok_or_else(|| OpError::operand("the condition is missing"))?)?;
        let body =
            cx.bodies.get(usize::from(!cond)).ok_or_else(|| OpError::operand("`if` has two bodies"))?;
        run_body(&cx, body, captured)
    }
}

#[cfg(test)]
mod tests {
    use crate::text::parse_graph;

    fn ty(cond: &str, or_else: &str) -> Result<String, String> {
        let text = format!(
            "graph @main(%c: bool[], %x: f32[N, 3]) {{
  %yes = const bool[] [true]
  %y = if({cond} | %x)
    body @then(%a: f32[N, 3]) {{
      return r: %a
    }}
    body @else(%b: f32[N, 3]) {{
      {or_else}
    }}
  return y: %y
}}"
        );
        let g = parse_graph(&text).map_err(|d| d.to_string())?;
        Ok(g.ty(g.outputs()[0].value).to_string())
    }

    #[test]
    fn types_join_both_branches() {
        assert_eq!(ty("%c", "return r: %b").as_deref(), Ok("f32[N, 3]"));
        assert_eq!(ty("%c", "%d = concat(%b, %b)\n return r: %d").as_deref(), Ok("f32[?, 3]"));
        assert_eq!(ty("%c", "%d = flatten(%b) {axis=0}\n return r: %d").as_deref(), Ok("f32[?, ?]"));
        assert_eq!(ty("%c", "%d = size(%b)\n return r: %d").as_deref(), Ok("unknown"));
        // A constant condition leaves one branch.
        assert_eq!(ty("%yes", "%d = size(%b)\n return r: %d").as_deref(), Ok("f32[N, 3]"));
    }

    #[test]
    fn branches_that_do_not_fit_are_refused() {
        assert!(ty("%c", "return r: %b, s: %b").is_err());
        assert!(ty("%x", "return r: %b").is_err());
    }
}
