//! Putting `y * factor + shift`, one factor and shift per output channel, into the weights of the operator that computes `y`.
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::words::Layout;
use hoist_ir::tensor::Tensor;

/// One factor and one shift per output channel.
#[derive(Clone, PartialEq, Debug)]
pub struct Affine {
    /// Factors.
    pub factors: Vec<f64>,
    /// Shifts, added after the factors.
    pub shifts: Vec<f64>,
}

/// An operator whose output channels have their own weights: `conv`, `conv_transpose` of one group, `gemm`.
pub struct Producer {
    /// The node.
    pub node: NodeId,
    /// Number of output channels.
    pub channels: usize,
    /// Axis of the output channels in its result.
    pub axis: usize,
    /// Axis of the output channels in the weights.
    weight_axis: usize,
    weights: Tensor,
    /// Bias per channel, as it is added to the result.
    bias: Vec<f64>,
}

/// Why a node cannot take an affine map.
type Refusal = &'static str;

/// The producer of `y`, when all of it can be changed: nothing else uses its result or its weights, and they are `f32` constants.
///
/// # Errors
/// The reason why not; `None` when it is no such operator at all.
pub fn producer_of(g: &Graph, y: ValueId) -> Result<Producer, Refusal> {
    let n = g.producer(y).ok_or("the operand is not computed")?;
    let node = g.node(n);
    let (op, rank) = (node.op(), g.ty(y).as_tensor().and_then(hoist_ir::types::TensorType::rank));
    if !matches!(op.name(), "conv" | "conv_transpose" | "gemm") {
        return Err("the operand is not the result of conv, conv_transpose or gemm");
    }
    if g.single_user(y).is_none() {
        return Err("something else uses the operand");
    }
    let w = node.input(1).ok_or("the weights are missing")?;
    let weights = g.constant(w).ok_or("the weights are not constant")?;
    if weights.dtype() != DType::F32 {
        return Err("the weights are not f32");
    }
    if g.single_user(w).is_none() {
        return Err("something else uses the weights");
    }
    let weight_axis = weight_axis(op)?;
    let channels = *weights.shape().get(weight_axis).ok_or("the weights have too few axes")?;
    let rank = rank.ok_or("the rank is not known")?;
    let bias = bias(g, node.input(2), channels, op)?;
    let axis = channel_axis(op, rank)?;
    Ok(Producer { node: n, channels, axis, weight_axis, weights: weights.clone(), bias })
}

/// Axis of the channels in the result of `op`, of that rank.
pub fn channel_axis(op: &Op, rank: usize) -> Result<usize, Refusal> {
    let word = op.def().attr("layout");
    let last = matches!(word, Some(Attr::Word(w)) if w == hoist_ir::attr::Word::word(Layout::ChannelsLast));
    if rank < 2 {
        return Err("there is no channel axis");
    }
    Ok(if last { rank - 1 } else { 1 })
}

fn weight_axis(op: &Op) -> Result<usize, Refusal> {
    let is = |name: &str, value: &Attr| op.def().attr(name).is_none_or(|a| a == *value);
    match op.name() {
        "conv" => Ok(0),
        "conv_transpose" if is("group", &Attr::Int(1)) => Ok(1),
        "conv_transpose" => Err("a transposed convolution of several groups"),
        _ if is("trans_b", &Attr::Bool(true)) => Ok(0),
        _ => Ok(1),
    }
}

fn bias(g: &Graph, b: Option<ValueId>, channels: usize, op: &Op) -> Result<Vec<f64>, Refusal> {
    let Some(b) = b else { return Ok(vec![0.0; channels]) };
    let values = per_channel(g, b, channels, 0, 1).ok_or("the bias is not one constant per channel")?;
    // `gemm` multiplies what it adds.
    let beta = match op.def().attr("beta") {
        Some(Attr::Float(beta)) => f64::from(beta),
        _ => 1.0,
    };
    Ok(values.into_iter().map(|v| v * beta).collect())
}

/// Elements of the `f32` constant `v`, broadcast to one per position of `axis` in a result of `rank` axes. `None` when it varies
/// along another axis, or would change the shape.
pub fn per_channel(g: &Graph, v: ValueId, channels: usize, axis: usize, rank: usize) -> Option<Vec<f64>> {
    let t = g.constant(v).filter(|t| t.dtype() == DType::F32 && t.rank() <= rank)?;
    let lead = rank - t.rank();
    let fits = |(i, d): (usize, &usize)| *d == 1 || (i + lead == axis && *d == channels);
    if !t.shape().iter().enumerate().all(fits) {
        return None;
    }
    let values = t.to_f64s().ok()?;
    match values.as_slice() {
        [one] => Some(vec![*one; channels]),
        _ => Some(values),
    }
}

/// Replaces `root`, which computes `affine` of the result of `producer`, by the producer with changed weights: weights are
/// multiplied while they are read, the bias is computed in `f64` and rounded once.
///
/// # Errors
/// When a number is not finite in `f32`, or the new node does not fit; the graph is unchanged then.
pub fn absorb(g: &mut Graph, root: NodeId, producer: &Producer, affine: &Affine) -> Result<(), Diag> {
    let refuse = |m: &str| Diag::error("E0403", m);
    let factors: Vec<f32> = affine.factors.iter().map(|f| *f as f32).collect();
    let shifted = producer.bias.iter().zip(&affine.factors).zip(&affine.shifts);
    let bias: Vec<f32> = shifted.map(|((b, f), s)| (b * f + s) as f32).collect();
    if !factors.iter().chain(&bias).all(|v| v.is_finite()) {
        return Err(refuse("a factor or shift is not finite"));
    }
    let weights = if factors.iter().all(|f| *f == 1.0) {
        producer.weights.clone()
    } else {
        let scaled = producer.weights.scale_channels(factors, producer.weight_axis);
        scaled.map_err(|e| refuse(&e.to_string()))?
    };
    let node = g.node(producer.node);
    let (mut op, x) = (node.op().clone(), node.input(0));
    if op.name() == "gemm" {
        op.def_mut().set_attr("beta", &Attr::Float(1.0)).map_err(|e| refuse(&e.message))?;
    }
    let old_weights = node.input(1);
    g.rewrite(root, &[producer.node], |b| {
        let w = b.constant(weights);
        let name = old_weights.and_then(|o| b.graph().value(o).name.clone());
        b.graph_mut().set_name(w, name);
        let bias = b.constant(Tensor::from_vec(&[bias.len()], bias));
        b.add(op, &[x, Some(w), Some(bias)])
    })
}
