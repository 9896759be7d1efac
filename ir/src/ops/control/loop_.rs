//! `loop`
use super::bodies::{captured, check_inputs, check_type, run_body, truth};
use super::budget::Budget;
use super::stack::{Stack, stacked};
use crate::dim::Dim;
use crate::dtype::{BOOL_ONLY, I64_ONLY};
use crate::eval::{EvalCx, Value};
use crate::graph::{Def, Graph, ValueId};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::ops::movement::lists::{at_least_zero, elements};
use crate::tensor::Tensor;
use crate::types::Type;

crate::op! {
    /// Runs its body again and again: at most `max_trip_count` times, and as long as the condition holds. The body takes the number
    /// of the iteration, the condition, the carried values and what it captures; it gives the next condition, the next carried values
    /// and the scan values. Results are the last carried values, then each scan value of all iterations stacked along a new first
    /// axis. Without the operand `cond` the condition is ignored, as ONNX's text says (ONNX Runtime stops where the body gives
    /// false). Evaluation stops with an error after 10 million iterations, those of loops inside included.
    r#loop Loop(max_trip_count: Opt<I>, cond: Opt<B>, v_initial: Many<V>) -> (v_final_and_scan_outputs: Many<V>) {} where I: I64_ONLY, B: BOOL_ONLY;
}

/// Producers followed to see whether the condition stays true.
const MAX_TRACE: usize = 16;

/// Whether `v` of `body` is surely true, given whether the body's condition input is.
fn surely_true(body: &Graph, mut v: ValueId, input_true: bool) -> bool {
    for _ in 0..MAX_TRACE {
        if let Some(t) = body.constant(v) {
            return truth(&Value::Tensor(t.clone())).unwrap_or(false);
        }
        match body.value(v).def() {
            Def::Input(1) => return input_true,
            Def::Node { node, .. } if body.node(node).op().name() == "identity" => {
                let Some(from) = body.node(node).input(0) else { return false };
                v = from;
            }
            _ => return false,
        }
    }
    false
}

/// Number of iterations, where only the trip count decides it.
fn trips(cx: &InferCx<'_>, body: &Graph) -> Dim {
    let count = || elements(cx, 0)?.first()?.as_ref().and_then(at_least_zero);
    let starts_true = match cx.constant(1) {
        Some(c) => truth(&Value::Tensor(c.clone())).unwrap_or(false),
        None if cx.has(1) => return Dim::Unknown,
        // Without the operand the condition is ignored.
        None => return Dim::from_sym(count()),
    };
    if !starts_true {
        return Dim::Known(0);
    }
    if may_stop(body) { Dim::Unknown } else { Dim::from_sym(count()) }
}

/// Whether `body` may end a loop by its condition.
pub fn may_stop(body: &Graph) -> bool {
    !body.outputs().first().is_some_and(|o| surely_true(body, o.value, true))
}

impl Semantics for Loop {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let [body] = cx.bodies() else {
            return Err(OpError::operand(format!("`loop` has one body, got {}", cx.bodies().len())));
        };
        let carried = cx.len().saturating_sub(2);
        check_inputs(cx, body, 2 + carried)?;
        let scans = body.outputs().len().checked_sub(1 + carried);
        if scans.map(|s| s + carried) != Some(cx.outputs()) {
            let m = format!(
                "a body with {} outputs does not fit {carried} carried values and {} results",
                body.outputs().len(),
                cx.outputs()
            );
            return Err(OpError::operand(m));
        }
        let trips = trips(cx, body);
        let mut out = vec![];
        for (k, o) in body.outputs()[1..].iter().enumerate() {
            let ty = body.ty(o.value);
            if k >= carried {
                out.push(stacked(ty, &trips, 0)?);
                continue;
            }
            let initial = cx.ty(2 + k)?;
            check_type(initial, body.ty(body.inputs()[2 + k]), "carried value", k)?;
            // None at all gives the initial value, every other number one of the body.
            out.push(if trips == Dim::Known(0) { initial.clone() } else { initial.join(ty) });
        }
        Ok(out)
    }
    fn eval(&self, mut cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let captured = captured(&mut cx.inputs, cx.captures)?;
        let body = cx.bodies.first().ok_or_else(|| OpError::operand("`loop` has one body"))?;
        let count = match cx.opt(0)? {
            Some(m) => m.as_int().ok_or_else(|| OpError::operand("the trip count must be one integer"))?,
            None => i64::MAX,
        };
        let cond = cx.inputs.get(1).and_then(Option::as_ref).map(truth).transpose()?;
        let carried: Option<Vec<Value>> = cx.inputs.drain(2.min(cx.inputs.len())..).collect();
        let carried = carried.ok_or_else(|| OpError::operand("a carried value is missing"))?;
        let scans = Stack::new(body, 1 + carried.len(), |_| (0, false));
        let mut run = Run { body, captured, carried, scans, checked: cond.is_some() };
        let _account = Budget::enter();
        let mut go = cond.unwrap_or(true);
        let mut i = 0;
        while go && i < count {
            Budget::spend()?;
            go = run.step(&cx, i, go)?;
            i += 1;
        }
        run.results()
    }
}

/// State between iterations.
struct Run<'g> {
    body: &'g Graph,
    captured: Vec<Value>,
    carried: Vec<Value>,
    scans: Stack<'g>,
    /// Whether the body's condition counts.
    checked: bool,
}

impl Run<'_> {
    /// One iteration; whether another may follow.
    fn step(&mut self, cx: &EvalCx<'_>, i: i64, cond: bool) -> Result<bool, OpError> {
        let shaped = |k: usize, t: Tensor| {
            let rank = self.body.inputs().get(k).and_then(|v| self.body.ty(*v).as_tensor()?.rank());
            t.reshape(&vec![1; rank.unwrap_or(0)])
        };
        let mut inputs = vec![
            shaped(0, Tensor::scalar(i))?.into(),
            shaped(1, Tensor::from_bools(&[], vec![cond]))?.into(),
        ];
        let carried = self.carried.len();
        for (k, v) in self.carried.drain(..).enumerate() {
            let declared = self.body.inputs().get(2 + k).map(|v| self.body.ty(*v));
            let optional = matches!(declared, Some(Type::Optional(_)));
            // What was optional before the first iteration may be there for sure behind it.
            let wrap = optional && !matches!(v, Value::Optional(_));
            inputs.push(if wrap { Value::Optional(Some(Box::new(v))) } else { v });
        }
        inputs.extend(self.captured.iter().cloned());
        let mut outputs = run_body(cx, self.body, inputs)?.into_iter();
        let next = outputs.next().ok_or_else(|| OpError::eval("the body of `loop` gives no condition"))?;
        self.carried = outputs.by_ref().take(carried).collect();
        self.scans.push(outputs)?;
        Ok(!self.checked || truth(&next)?)
    }
    fn results(self) -> Result<Vec<Value>, OpError> {
        let mut out = self.carried;
        out.extend(self.scans.results()?);
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{Limits, eval_graph};
    use crate::text::parse_graph;

    fn counted(trip: &str, body: &str) -> String {
        format!(
            "graph @main(%m: i64[], %go: bool[], %x: f32[N]) {{
  %last, %all = loop({trip}, %go, %x)
    body @b(%i: i64[], %c: bool[], %v: f32[?]) {{
      {body}
    }}
  return last: %last, all: %all
}}"
        )
    }
    fn types(text: &str) -> Vec<String> {
        let g = parse_graph(text).unwrap_or_else(|d| panic!("{text}\n{d}"));
        assert!(!g.verify().has_errors(), "{}", g.verify());
        g.outputs().iter().map(|o| g.ty(o.value).to_string()).collect()
    }

    #[test]
    fn types_join_what_may_come() {
        let grows = "%w = concat(%v, %v)\n return c: %c, w: %w, i: %i";
        assert_eq!(types(&counted("%m", grows)), ["f32[?]", "i64[?]"]);
        let known = |cond: &str| {
            let text = counted("%five", grows).replace("  %last,", "  %five = const i64[] [5]\n  %last,");
            text.replace("%five, %go,", &format!("%five, {cond},"))
        };
        assert_eq!(types(&known("%go")), ["f32[?]", "i64[?]"]);
        assert_eq!(types(&known("_")), ["f32[?]", "i64[5]"]);
        let never = known("%no").replace("  %last,", "  %no = const bool[] [false]\n  %last,");
        assert_eq!(types(&never), ["f32[N]", "i64[0]"]);
        let always = known("%yes").replace("  %last,", "  %yes = const bool[] [true]\n  %last,");
        assert_eq!(types(&always), ["f32[?]", "i64[5]"]);
        let fixed = counted("%m", "return c: %c, v: %v, i: %v").replace("%v: f32[?]", "%v: f32[N]");
        assert_eq!(types(&fixed), ["f32[N]", "f32[?, N]"]);
    }

    #[test]
    fn bodies_that_do_not_fit_are_refused() {
        for (from, to) in [
            ("%v: f32[?]", "%v: i64[?]"),
            ("%v: f32[?]", "%v: f32[?], %w: f32[?]"),
            ("return c: %c, v: %v, i: %i", "return c: %c, v: %v"),
        ] {
            let good = counted("%m", "return c: %c, v: %v, i: %i");
            assert!(parse_graph(&good).is_ok() && parse_graph(&good.replace(from, to)).is_err(), "{to}");
        }
    }

    fn run(text: &str, trip: i64) -> Result<Vec<Value>, OpError> {
        let g = parse_graph(text).unwrap_or_else(|d| panic!("{text}\n{d}"));
        let x = Tensor::from_vec(&[2], vec![1.0f32, 2.0]);
        let inputs = vec![Tensor::scalar(trip).into(), Tensor::from_bools(&[], vec![true]).into(), x.into()];
        eval_graph(&g, inputs, Limits::default())
    }

    #[test]
    fn hostile_trip_counts_end() {
        let text = counted("%m", "return c: %c, v: %v, i: %i");
        assert_eq!(run(&text, 1 << 62).map_err(|e| e.code), Err("E0307"));
        // Here the type does not tell how often it runs.
        let open = counted("%m", "%d = equal(%i, %i)\n return c: %d, v: %v, i: %i");
        Budget::set(Some(1000));
        let e = run(&open, 1 << 62).expect_err("far too many");
        assert!(e.code == "E0307" && e.message.contains("iterations"), "{e}");
        // An inner loop draws on the account of the outer one.
        let nested = counted(
            "%m",
            "%p, %q = loop(%i, %c, %v)
        body @in(%j: i64[], %d: bool[], %u: f32[?]) {
          return d: %d, u: %u, j: %j
        }
      return c: %c, p: %p, i: %i",
        );
        Budget::set(Some(1000));
        assert!(run(&nested, 50).is_err());
        Budget::set(Some(1000));
        assert_eq!(run(&nested, 20).map(|v| v.len()), Ok(2));
        Budget::set(None);
        let none = run(&text, -5).expect("no iteration");
        assert_eq!(none[1].ty().to_string(), "i64[0]");
        assert_eq!(Budget::left(), None);
    }

    #[test]
    fn without_the_operand_the_condition_is_ignored() {
        let stops = "%z = const i64[] [1]\n %no = equal(%i, %z)\n return c: %no, v: %v, i: %i";
        let first = |r: Result<Vec<Value>, OpError>| r.expect("runs")[1].ty().to_string();
        assert_eq!(first(run(&counted("%m", stops), 3)), "i64[1]");
        assert_eq!(first(run(&counted("%m", stops).replace("%m, %go,", "%m, _,"), 3)), "i64[3]");
    }
}
