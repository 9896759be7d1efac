//! The interface of a model whose inputs or outputs are quantized tensors, in real numbers.
//!
//! A file whose inputs and outputs are 8-bit integers says by its first and last conversions what they stand for: what is compared with a model in floats
//! is rounded to that grid on the way in, and turned back on the way out.
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::eval::{EvalCx, Limits, Value, eval_op};
use hoist_ir::graph::{Def, Graph, NodeId, Use, ValueId};
use hoist_ir::op::OpError;
use hoist_ir::ops::Op;
use hoist_ir::ops::quant::dequantize_linear::DequantizeLinear;
use hoist_ir::ops::quant::quantize_linear::QuantizeLinear;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::Type;
use std::collections::{BTreeSet, VecDeque};

/// Values looked at before a search ends.
const MOST_SEEN: usize = 256;

/// Operators that move elements of one tensor or join several, whose results mean what their operands mean.
pub const MOVERS: &[&str] = &[
    "identity",
    "reshape",
    "squeeze",
    "unsqueeze",
    "flatten",
    "transpose",
    "expand",
    "slice",
    "split",
    "concat",
    "tile",
    "gather",
    "max_pool",
];

/// What the integers of a tensor stand for: `(q - zero_point) * scale`.
#[derive(Clone, PartialEq, Debug)]
pub struct Meaning {
    scale: Tensor,
    zero_point: Tensor,
}

impl Meaning {
    /// That of the conversion `n`, where it is the same for all elements and known.
    fn of(g: &Graph, n: NodeId) -> Option<Self> {
        let node = g.node(n);
        let scalar = |slot: usize| node.input(slot).and_then(|v| g.constant(v)).filter(|t| t.len() == 1);
        let stored = match node.op() {
            Op::QuantizeLinear(_) => *node.outputs().first()?,
            Op::DequantizeLinear(_) => node.input(0)?,
            _ => return None,
        };
        let dtype = g.ty(stored).as_tensor()?.dtype;
        let scale = scalar(1)?.reshape(&[]).ok()?;
        let zero_point = match node.input(2) {
            Some(_) => scalar(2)?.reshape(&[]).ok()?,
            None => Tensor::scalar(0i64).cast(dtype, false).ok()?,
        };
        Some(Self { scale, zero_point })
    }
    /// The real numbers from the smallest stored one to the largest.
    pub fn interval(&self) -> Option<(f32, f32)> {
        let (low, high) = self.zero_point.dtype().int_range()?;
        let (scale, zero) = (self.scale.as_f64()?, self.zero_point.as_f64()?);
        Some((((low as f64 - zero) * scale) as f32, ((high as f64 - zero) * scale) as f32))
    }
    fn apply(&self, op: &Op, x: Value) -> Result<Value, OpError> {
        let inputs = vec![Some(x), Some(self.scale.clone().into()), Some(self.zero_point.clone().into())];
        let run = |_: &Graph, _| Err(OpError::eval("it has no body"));
        let cx = EvalCx { inputs, outputs: 1, bodies: &[], captures: 0, run: &run };
        let mut results = eval_op(op, cx, Limits::default())?;
        results.pop().ok_or_else(|| OpError::eval("it has no result"))
    }
}

/// What the quantized tensor that `v` is, or becomes after nothing but movements, stands for.
pub fn meaning(g: &Graph, v: ValueId) -> Option<Meaning> {
    let (mut seen, mut queue) = (BTreeSet::from([v]), VecDeque::from([v]));
    while let Some(v) = queue.pop_front() {
        let users = || {
            g.value(v).uses().iter().filter_map(|u| match u {
                Use::Node { node, slot: 0 } => Some(*node),
                _ => None,
            })
        };
        let producer = g.producer(v);
        let near = users().chain(producer.filter(|n| g.node(*n).outputs().first() == Some(&v)));
        if let Some(found) = near.filter(|n| converts(g, *n, v)).find_map(|n| Meaning::of(g, n)) {
            return Some(found);
        }
        let moves = |n: &NodeId| MOVERS.contains(&g.node(*n).op().name());
        let joined = g.value(v).uses().iter().filter_map(|u| match u {
            Use::Node { node, .. } if g.node(*node).op().name() == "concat" => Some(*node),
            _ => None,
        });
        let after = users().chain(joined).filter(moves).flat_map(|n| g.node(n).outputs().to_vec());
        let operands = |n: NodeId| {
            let node = g.node(n);
            let all = if node.op().name() == "concat" { node.inputs().len() } else { 1 };
            node.inputs().iter().take(all).flatten().copied().collect::<Vec<_>>()
        };
        let before = producer.filter(moves).map(operands).unwrap_or_default();
        for next in after.chain(before) {
            if seen.len() < MOST_SEEN && g.value(next).def() != Def::Const && seen.insert(next) {
                queue.push_back(next);
            }
        }
    }
    None
}

/// Whether `n` says what `v` stands for: it makes `v` of real numbers or the other way round; or `v` is what it rounds.
fn converts(g: &Graph, n: NodeId, v: ValueId) -> bool {
    let real = g.ty(v).as_tensor().is_none_or(|t| t.dtype.is_float());
    match g.node(n).op() {
        Op::QuantizeLinear(_) => real == (g.node(n).input(0) == Some(v)),
        Op::DequantizeLinear(_) => !real && g.node(n).input(0) == Some(v),
        _ => false,
    }
}

/// How values of one interface become those of another.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Border {
    inputs: Vec<Option<Meaning>>,
    outputs: Vec<Option<Meaning>>,
}

impl Border {
    /// From the interface of `float` to that of `other`: quantized tensors stand where `float` has real numbers. Nothing is changed where types agree otherwise, or no conversion tells what the
    /// integers stand for.
    pub fn between(float: &Graph, other: &Graph) -> Self {
        let pick = |f: ValueId, o: ValueId| {
            let dtype = |g: &Graph, v| if let Type::Tensor(t) = g.ty(v) { Some(t.dtype) } else { None };
            let real = dtype(float, f).is_some_and(DType::is_float);
            let stored = dtype(other, o).is_some_and(DType::is_int);
            (real && stored).then(|| meaning(other, o)).flatten()
        };
        let inputs = float.inputs().iter().zip(other.inputs()).map(|(f, o)| pick(*f, *o));
        let outputs = float.outputs().iter().zip(other.outputs()).map(|(f, o)| pick(f.value, o.value));
        Self { inputs: inputs.collect(), outputs: outputs.collect() }
    }
    /// The inputs of the other model.
    ///
    /// # Errors
    /// When they cannot be converted.
    pub fn inputs(&self, values: Vec<Value>) -> Result<Vec<Value>, Diag> {
        convert(&self.inputs, values, &QuantizeLinear::default().into())
    }
    /// Its outputs in real numbers.
    ///
    /// # Errors
    /// When they cannot be converted.
    pub fn outputs(&self, values: Vec<Value>) -> Result<Vec<Value>, Diag> {
        convert(&self.outputs, values, &DequantizeLinear::default().into())
    }
}

fn convert(by: &[Option<Meaning>], values: Vec<Value>, op: &Op) -> Result<Vec<Value>, Diag> {
    let one = |(i, value): (usize, Value)| match by.get(i) {
        Some(Some(meaning)) => meaning.apply(op, value).map_err(|e| Diag::error(e.code, e.message)),
        _ => Ok(value),
    };
    values.into_iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoist_ir::text::parse_model;

    fn graph(text: &str) -> Graph {
        parse_model(text).expect("valid").graph
    }
    const FLOAT: &str = "graph @g(%x: f32[2, 2]) {\n  %y = relu(%x)\n  return y: %y\n}\n";
    const STORED: &str = "graph @g(%x: i8[2, 2]) {\n  %s = const f32[] [0.5]\n  %z = const i8[] [-4]\n  %t = transpose(%x) {perm=[1, 0]}\n  \
         %f = dequantize_linear(%t, %s, %z)\n  %r = relu(%f)\n  %u = const f32[] [0.25]\n  %q = quantize_linear(%r, %u, %z)\n  \
         %n = const i64[1] [4]\n  %v = reshape(%q, %n)\n  return y: %v\n}\n";

    #[test]
    fn integers_at_the_border_are_real_numbers() {
        let border = Border::between(&graph(FLOAT), &graph(STORED));
        let x = Tensor::from_vec(&[2, 2], vec![0.0f32, 1.0, -200.0, 0.74]);
        let stored = border.inputs(vec![x.into()]).expect("converts");
        assert_eq!(stored, [Tensor::from_vec(&[2, 2], vec![-4i8, -2, -128, -3]).into()]);
        let y = Tensor::from_vec(&[4], vec![-4i8, 0, 4, 127]);
        let real = border.outputs(vec![y.into()]).expect("converts");
        assert_eq!(real, [Tensor::from_vec(&[4], vec![0.0f32, 1.0, 2.0, 32.75]).into()]);
    }

    #[test]
    fn other_interfaces_stay_as_they_are() {
        let same = Border::between(&graph(STORED), &graph(STORED));
        let x = vec![Value::from(Tensor::from_vec(&[2, 2], vec![1i8; 4]))];
        assert_eq!(same.inputs(x.clone()).expect("stays"), x);
        let ids = "graph @g(%x: i8[2, 2]) {\n  %y = add(%x, %x)\n  return y: %y\n}\n";
        assert_eq!(Border::between(&graph(FLOAT), &graph(ids)).inputs(x.clone()).expect("stays"), x);
    }

    #[test]
    fn a_real_input_has_the_interval_that_it_is_rounded_to() {
        let text = "graph @g(%x: f32[2]) {\n  %s = const f32[] [0.5]\n  %z = const i8[] [-128]\n  %q = quantize_linear(%x, %s, %z)\n  \
             %d = dequantize_linear(%q, %s, %z)\n  return y: %d\n}\n";
        let g = graph(text);
        assert_eq!(meaning(&g, g.inputs()[0]).and_then(|m| m.interval()), Some((0.0, 127.5)));
        let g = graph(FLOAT);
        assert_eq!(meaning(&g, g.inputs()[0]), None);
    }
}
