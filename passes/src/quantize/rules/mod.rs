//! What the integer kernels of runtimes ask of operands and results.
mod onnx;
mod tensorrt;
mod tflite;

use crate::pass::{Ctx, Target};
use crate::quantize::spec::{Params, Quantization};
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::types::TensorType;

/// How a node computes on integers.
#[derive(Clone, PartialEq, Debug)]
pub struct Kernel {
    /// Operands that hold quantized data.
    pub data: Vec<usize>,
    /// Scales of data and results.
    pub scales: Scales,
    /// Constant weights, where it has some.
    pub weights: Option<Weighted>,
    /// Whether the result may stay in floats.
    pub float_result: bool,
    /// What integers cost more than floats for each number, in conversions of a number.
    pub loss: u64,
    /// Multiply-accumulate operations that gain as much on integers as one conversion costs.
    pub macs: u64,
}

/// Multiply-accumulate operations that gain as much on integers as one conversion costs, where nothing better is known.
const MACS: u64 = 16;

/// Scales of data and results.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Scales {
    /// Each its own.
    Any,
    /// One for all.
    Same,
    /// That of the result is given.
    Fixed(Params),
    /// Part of the kernel of what computes its operand, alone: a bound, done by saturation, or a bias.
    Bound,
}

/// Constant weights of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Weighted {
    /// Operand that the weights are.
    pub slot: usize,
    /// Axis of the output channels; `None` where one scale is needed.
    pub axis: Option<usize>,
    /// Operand that the bias is.
    pub bias: usize,
    /// Whether zero points of 0 are written all the same.
    pub explicit_zeros: bool,
}

impl Kernel {
    fn new(data: impl IntoIterator<Item = usize>, scales: Scales) -> Self {
        Self {
            data: data.into_iter().collect(),
            scales,
            weights: None,
            float_result: false,
            loss: 0,
            macs: MACS,
        }
    }
    fn weighted(slot: usize, axis: Option<usize>) -> Self {
        Self {
            weights: Some(Weighted { slot, axis, bias: 2, explicit_zeros: false }),
            ..Self::new([0], Scales::Any)
        }
    }
    /// Zero points of weights are written also where they are 0.
    fn with_zeros(mut self) -> Self {
        self.weights.iter_mut().for_each(|w| w.explicit_zeros = true);
        self
    }
    /// Costs so many conversions of a number more than floats, for each number.
    fn losing(self, loss: u64) -> Self {
        Self { loss, ..self }
    }
    /// So many operations gain as much as one conversion costs.
    fn gaining(self, macs: u64) -> Self {
        Self { macs, ..self }
    }
    /// Whether the result need not be quantized.
    fn may_stay_float(self) -> Self {
        Self { float_result: true, ..self }
    }
}

/// The integer kernel for node `n`, or why there is none.
///
/// # Errors
/// The reason, as a phrase.
pub fn kernel(g: &Graph, n: NodeId, cx: &Ctx, q: &Quantization) -> Result<Kernel, &'static str> {
    let node = g.node(n);
    let [result] = node.outputs() else {
        return if node.op().name() == "split" {
            table(g, n, cx, q)
        } else {
            Err("there is no integer kernel")
        };
    };
    if !is_f32(g, *result) {
        return Err("the result is not f32");
    }
    let kernel = table(g, n, cx, q)?;
    let floats = kernel.data.iter().all(|i| node.input(*i).is_some_and(|v| is_f32(g, v)));
    if floats { Ok(kernel) } else { Err("the operands are not f32") }
}

fn table(g: &Graph, n: NodeId, cx: &Ctx, q: &Quantization) -> Result<Kernel, &'static str> {
    match (&cx.target, cx.profile.map(|p| p.name)) {
        (Some(Target::Tflite(_)), _) => tflite::kernel(g, n, q),
        (_, Some("tensorrt")) => tensorrt::kernel(g, n, q),
        _ => onnx::kernel(g, n, q),
    }
}

/// Whether `v` is a tensor of `f32`.
pub fn is_f32(g: &Graph, v: ValueId) -> bool {
    g.ty(v).as_tensor().is_some_and(|t| t.dtype == DType::F32)
}

/// Rank of `v`, where it is known.
fn rank(g: &Graph, v: Option<ValueId>) -> Option<usize> {
    g.ty(v?).as_tensor().and_then(TensorType::rank)
}

/// Whether operand `slot` is a constant of `f32`.
fn is_constant(g: &Graph, n: NodeId, slot: usize) -> bool {
    g.node(n).input(slot).and_then(|v| g.constant(v)).is_some_and(|t| t.dtype() == DType::F32)
}

/// Whether the bias, if there is one, is a constant of one axis.
fn has_plain_bias(g: &Graph, n: NodeId) -> bool {
    let bias = g.node(n).input(2);
    bias.is_none_or(|b| g.constant(b).is_some_and(|t| t.dtype() == DType::F32 && t.rank() == 1))
}

/// The kernel of a convolution with constant weights.
fn conv(g: &Graph, n: NodeId) -> Result<Kernel, &'static str> {
    if !is_constant(g, n, 1) || !has_plain_bias(g, n) {
        return Err("the weights or the bias are computed");
    }
    Ok(Kernel::weighted(1, Some(0)))
}

/// The kernel of a `gemm` with constant weights of one channel per column of the result.
fn gemm(g: &Graph, n: NodeId) -> Result<Kernel, &'static str> {
    let Op::Gemm(op) = g.node(n).op() else { return Err("there is no integer kernel") };
    if !is_constant(g, n, 1) || !has_plain_bias(g, n) {
        return Err("the weights or the bias are computed");
    }
    if op.trans_a || op.alpha != 1.0 || op.beta != 1.0 {
        return Err("the product is scaled, or of a transposed operand");
    }
    Ok(Kernel::weighted(1, Some(usize::from(!op.trans_b))))
}

/// The kernel of a matrix product: with constant weights, or of two activations.
fn product(g: &Graph, n: NodeId) -> Kernel {
    match rank(g, g.node(n).input(1)) {
        Some(2) if is_constant(g, n, 1) => Kernel::weighted(1, Some(1)),
        _ => Kernel::new([0, 1], Scales::Any),
    }
}

/// The addition of a constant to the columns of product `n`, and the operand that is the constant: LiteRT adds it as the bias of the product.
pub fn added(g: &Graph, n: NodeId) -> Option<(NodeId, usize)> {
    let add = g.single_user(*g.node(n).outputs().first()?)?;
    let slot = (0..2).find(|s| g.node(add).input(*s).is_some_and(|v| g.constant(v).is_some()))?;
    (bias_of_product(g, add)? == 1 - slot).then_some((add, slot))
}

/// The operand of addition `n` that is a product with constant weights which nothing else reads, where the other one is a constant for each column.
fn bias_of_product(g: &Graph, n: NodeId) -> Option<usize> {
    let node = g.node(n);
    if node.op().name() != "add" {
        return None;
    }
    (0..2).find(|slot| {
        let (Some(x), Some(c)) = (node.input(*slot), node.input(1 - slot)) else { return false };
        let product =
            g.producer(x).filter(|p| g.node(*p).op().name() == "mat_mul" && g.single_user(x).is_some());
        let Some(w) = product.and_then(|p| g.node(p).input(1)) else { return false };
        let columns = g.ty(w).as_tensor().and_then(|t| t.shape.as_deref()?.get(1)?.known());
        let constant = g.constant(c).filter(|c| c.dtype() == DType::F32 && Some(c.len() as u64) == columns);
        let fits = constant.is_some_and(|c| c.rank() > 0 && c.shape().last() == Some(&c.len()));
        fits && rank(g, Some(w)) == Some(2) && rank(g, Some(x)) >= constant.map(|c| c.rank())
    })
}

/// Operators that only move elements, and how many of their operands hold them.
fn moves(name: &str) -> Option<usize> {
    Some(match name {
        "concat" => usize::MAX,
        "reshape" | "flatten" | "squeeze" | "unsqueeze" | "transpose" | "slice" | "gather" | "expand"
        | "split" | "identity" => 1,
        _ => return None,
    })
}

/// The one number of constant operand `slot`.
fn number(g: &Graph, n: NodeId, slot: usize) -> Option<f32> {
    let t = g.constant(g.node(n).input(slot)?).filter(|t| t.dtype() == DType::F32)?;
    if let &[one] = t.to_f32s().ok()?.as_ref() { Some(one) } else { None }
}

/// The operands of `n` up to `count`.
fn first(g: &Graph, n: NodeId, count: usize) -> std::ops::Range<usize> {
    0..g.node(n).inputs().len().min(count)
}
