//! `scan`
use super::bodies::{captured, check_inputs, check_type, run_body};
use super::budget::Budget;
use super::stack::{Stack, stacked};
use crate::dim::Dim;
use crate::eval::{EvalCx, Value};
use crate::graph::Graph;
use crate::infer::{InferCx, resolve_axis};
use crate::op::{OpError, Semantics};
use crate::ops::movement::lists::steps;
use crate::ops::movement::strided::copy_strided;
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

crate::op! {
    /// Runs its body for each position along an axis of the last `num_scan_inputs` operands, which have one size there. The operands
    /// before are initial states. The body takes the states, the slice of each scanned operand without that axis, and what it
    /// captures; it gives the next states, whose types stay the same, and the scan values. Results are the last states, then each scan
    /// value of all iterations stacked along a new axis. Lists may be empty: then all axes are 0 and all directions forward. Unlike ONNX,
    /// `num_scan_inputs` has a default.
    scan Scan(initial_state_and_scan_inputs: Many<V>) -> (final_state_and_scan_outputs: Many<V>) {
        /// Number of operands that are scanned.
        num_scan_inputs: i64 = 1,
        /// Axis of each scanned operand; negative counts from the end.
        scan_input_axes: Vec<i64> = vec![],
        /// 1 for each scanned operand that is taken from its end.
        scan_input_directions: Vec<i64> = vec![],
        /// Axis of each stacked result, counted in the result; negative counts from the end.
        scan_output_axes: Vec<i64> = vec![],
        /// 1 for each stacked result in which later values come first.
        scan_output_directions: Vec<i64> = vec![],
    };
}

/// Entry `k` of a list that may be left out.
fn at(list: &[i64], k: usize) -> i64 {
    list.get(k).copied().unwrap_or(0)
}

/// The body, and what counts around it.
struct Shape<'g> {
    body: &'g Graph,
    /// Number of states.
    states: usize,
    /// Number of scanned operands.
    scanned: usize,
}

impl Scan {
    /// The form of a node with `inputs` operands.
    fn shape<'g>(&self, bodies: &'g [Graph], inputs: usize, outputs: usize) -> Result<Shape<'g>, OpError> {
        let [body] = bodies else {
            return Err(OpError::operand(format!("`scan` has one body, got {}", bodies.len())));
        };
        let scanned = usize::try_from(self.num_scan_inputs).ok().filter(|m| (1..=inputs).contains(m));
        let scanned = scanned.ok_or_else(|| {
            let m = format!("num_scan_inputs is {}, the node has {inputs} operands", self.num_scan_inputs);
            OpError::attr(m)
        })?;
        let states = inputs - scanned;
        let stacked = body.outputs().len().checked_sub(states);
        let Some(stacked) = stacked.filter(|_| body.outputs().len() == outputs) else {
            let m = format!(
                "a body with {} outputs does not fit {states} states and {outputs} results",
                body.outputs().len()
            );
            return Err(OpError::operand(m));
        };
        let lists = [
            ("scan_input_axes", &self.scan_input_axes, scanned),
            ("scan_input_directions", &self.scan_input_directions, scanned),
            ("scan_output_axes", &self.scan_output_axes, stacked),
            ("scan_output_directions", &self.scan_output_directions, stacked),
        ];
        for (name, list, wanted) in lists {
            if !list.is_empty() && list.len() != wanted {
                return Err(OpError::attr(format!("`{name}` lists {} entries for {wanted}", list.len())));
            }
            if name.ends_with("directions") && list.iter().any(|d| !(0..=1).contains(d)) {
                return Err(OpError::attr(format!("`{name}` may list 0 and 1 only")));
            }
        }
        Ok(Shape { body, states, scanned })
    }
    /// Type of a slice of scanned operand `k`, and the size of the axis.
    ///
    /// # Errors
    /// When there is no such axis.
    pub fn slice(&self, ty: &TensorType, k: usize) -> Result<(TensorType, Dim), OpError> {
        let Some(mut shape) = ty.shape.clone() else { return Ok((ty.clone(), Dim::Unknown)) };
        let trips = shape.remove(resolve_axis(at(&self.scan_input_axes, k), shape.len())?);
        Ok((TensorType::new(ty.dtype, shape), trips))
    }
}

impl Semantics for Scan {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let Shape { body, states, scanned } = self.shape(cx.bodies(), cx.len(), cx.outputs())?;
        check_inputs(cx, body, states + scanned)?;
        let mut trips = Dim::Unknown;
        for k in 0..scanned {
            let (slice, size) = self.slice(cx.tensor(states + k)?, k)?;
            check_type(&slice.into(), body.ty(body.inputs()[states + k]), "slice", k)?;
            if trips.surely_differs(&size) {
                return Err(OpError::shape(format!(
                    "the scanned axes have different sizes {trips} and {size}"
                )));
            }
            if trips.known().is_none() && size != Dim::Unknown {
                trips = size;
            }
        }
        let mut out = vec![];
        for (k, o) in body.outputs().iter().enumerate() {
            let ty = body.ty(o.value);
            if k >= states {
                out.push(stacked(ty, &trips, at(&self.scan_output_axes, k - states))?);
                continue;
            }
            let initial = Type::from(cx.tensor(k)?.clone());
            check_type(&initial, body.ty(body.inputs()[k]), "state", k)?;
            let met = initial
                .meet(ty)
                .ok_or_else(|| OpError::operand(format!("state {k} is {initial}, the body makes it {ty}")))?;
            // Without iterations only the initial state tells.
            out.push(if trips.known().is_some_and(|n| n > 0) { met } else { initial });
        }
        Ok(out)
    }
    fn eval(&self, mut cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let captured = captured(&mut cx.inputs, cx.captures)?;
        let Shape { body, states: count, .. } = self.shape(cx.bodies, cx.inputs.len(), cx.outputs)?;
        let operands: Option<Vec<Value>> = std::mem::take(&mut cx.inputs).into_iter().collect();
        let mut states = operands.ok_or_else(|| OpError::operand("an operand is missing"))?;
        let scanned = states.split_off(count).into_iter().map(Value::into_tensor);
        let scanned = scanned.enumerate().map(|(k, x)| self.sliced(k, x?)).collect::<Result<Vec<_>, _>>()?;
        let trips = scanned.first().map_or(0, |s| s.count);
        if scanned.iter().any(|s| s.count != trips) {
            return Err(OpError::shape("the scanned axes have different sizes"));
        }
        let how = |k| (at(&self.scan_output_axes, k), at(&self.scan_output_directions, k) == 1);
        let mut stack = Stack::new(body, count, how);
        let types: Vec<Type> = states.iter().map(Value::ty).collect();
        let _account = Budget::enter();
        for i in 0..trips {
            Budget::spend()?;
            let mut inputs = std::mem::take(&mut states);
            for s in &scanned {
                inputs.push(s.get(i)?.into());
            }
            inputs.extend(captured.iter().cloned());
            let mut outputs = run_body(&cx, body, inputs)?.into_iter();
            states = outputs.by_ref().take(count).collect();
            if let Some(k) = (0..count).find(|k| states.get(*k).map(Value::ty).as_ref() != Some(&types[*k])) {
                let m = format!("state {k} of a scan does not stay {}", types[k]);
                return Err(OpError::eval(m).hint("a loop may change the shapes of what it carries"));
            }
            stack.push(outputs)?;
        }
        states.extend(stack.results()?);
        Ok(states)
    }
}

/// A scanned operand.
struct Sliced {
    x: Tensor,
    count: usize,
    reversed: bool,
    /// Sizes and strides of a slice.
    shape: Vec<usize>,
    steps: Vec<isize>,
    /// Distance of slices.
    step: usize,
}

impl Scan {
    fn sliced(&self, k: usize, x: Tensor) -> Result<Sliced, OpError> {
        let axis = resolve_axis(at(&self.scan_input_axes, k), x.rank())?;
        let (mut shape, mut steps) = (x.shape().to_vec(), steps(x.shape()));
        let count = shape.remove(axis);
        let step = steps.remove(axis).unsigned_abs();
        let reversed = at(&self.scan_input_directions, k) == 1;
        Ok(Sliced { x, count, reversed, shape, steps, step })
    }
}

impl Sliced {
    fn get(&self, i: usize) -> Result<Tensor, OpError> {
        let i = if self.reversed { self.count - 1 - i } else { i };
        copy_strided(&self.x, &self.shape, &self.steps, i.wrapping_mul(self.step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{Limits, eval_graph};
    use crate::text::parse_graph;

    fn text(body: &str, tail: &str) -> String {
        format!(
            "graph @main(%h: f32[2], %x: f32[T, 2], %z: f32[2, 3]) {{
  %last, %all = scan(%h, %x) {tail}
    body @b(%s: f32[2], %e: f32[2]) {{
      {body}
    }}
  return last: %last, all: %all
}}"
        )
    }
    fn types(text: &str) -> Result<Vec<String>, String> {
        let g = parse_graph(text).map_err(|d| d.to_string())?;
        assert!(!g.verify().has_errors(), "{}", g.verify());
        Ok(g.outputs().iter().map(|o| g.ty(o.value).to_string()).collect())
    }
    const ADD: &str = "%t = add(%s, %e)\n %u = unsqueeze(%t, %zero)\n return t: %t, u: %u";

    fn add(tail: &str) -> String {
        text(&format!("%zero = const i64[1] [0]\n {ADD}"), tail)
    }

    #[test]
    fn slices_lose_and_stacks_gain_an_axis() {
        let ok = |tail: &str, last: &str, all: &str| {
            assert_eq!(types(&add(tail)), Ok(vec![last.to_owned(), all.to_owned()]), "{tail}");
        };
        ok("", "f32[2]", "f32[T, 1, 2]");
        ok("{scan_output_axes=[-1]}", "f32[2]", "f32[1, 2, T]");
        ok(
            "{scan_output_axes=[1], scan_output_directions=[1], scan_input_directions=[1]}",
            "f32[2]",
            "f32[1, T, 2]",
        );
        let last = add("{scan_input_axes=[-1]}").replace("scan(%h, %x)", "scan(%h, %z)");
        assert_eq!(types(&last), Ok(vec!["f32[2]".to_owned(), "f32[3, 1, 2]".to_owned()]));
        for wrong in [
            "{num_scan_inputs=0}",
            "{num_scan_inputs=3}",
            "{num_scan_inputs=2}",
            "{scan_input_axes=[2]}",
            "{scan_input_axes=[0, 0]}",
            "{scan_output_axes=[3]}",
            "{scan_output_axes=[-4]}",
            "{scan_input_directions=[2]}",
            "{scan_input_axes=[1]}",
        ] {
            assert!(wrong == "{scan_input_axes=[1]}" || types(&add(wrong)).is_err(), "{wrong}");
        }
        assert!(types(&text("%t = concat(%s, %e)\n return t: %t, u: %e", "")).is_err());
        assert!(types(&text("return t: %s", "")).is_err());
    }

    fn run(text: &str, trips: usize) -> Result<Vec<Value>, OpError> {
        let g = parse_graph(text).unwrap_or_else(|d| panic!("{text}\n{d}"));
        let x: Vec<f32> = (0..2 * trips).map(|v| v as f32).collect();
        let inputs = vec![
            Tensor::from_vec(&[2], vec![0f32, 0.0]).into(),
            Tensor::from_vec(&[trips, 2], x).into(),
            Tensor::from_vec(&[2, 3], vec![0f32; 6]).into(),
        ];
        eval_graph(&g, inputs, Limits::default())
    }

    #[test]
    fn no_iteration_keeps_the_state() {
        let out = run(&add("{scan_output_axes=[2]}"), 0).expect("runs");
        assert_eq!(out[1].ty().to_string(), "f32[1, 2, 0]");
        assert_eq!(out[0], Value::from(Tensor::from_vec(&[2], vec![0f32, 0.0])));
    }

    #[test]
    fn states_keep_their_shape() {
        let grows = text("%t = concat(%s, %e)\n return t: %t, u: %e", "").replace("%s: f32[2]", "%s: f32[?]");
        let grows = grows.replace("%h: f32[2]", "%h: f32[?]");
        assert_eq!(run(&grows, 3).map_err(|e| e.code), Err("E0306"));
        let lies = add("").replace("%e: f32[2]", "%e: f32[?]").replace("%x: f32[T, 2]", "%x: f32[T, ?]");
        assert!(run(&lies, 3).is_ok());
    }

    #[test]
    fn iterations_are_bounded() {
        Budget::set(Some(2));
        let e = run(&add(""), 3).expect_err("too many");
        Budget::set(None);
        assert_eq!(e.code, "E0307");
    }
}
