//! Moving factors of channels into weights: those of `y * factor + shift` into the operator that computes `y`, those of `x * factor` into the
//! operators that read it. Both together move a factor from one side of a value to the other, which changes its range and no result.
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, Use, ValueId};
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

/// An operator whose input channels have their own weights: `conv` of one group or of one channel per group, `conv_transpose`, `gemm`, and `mat_mul`
/// with a constant operand.
#[derive(Debug)]
pub struct Consumer {
    /// The node.
    pub node: NodeId,
    /// Number of input channels.
    pub channels: usize,
    /// Axis of the input channels in the value it reads.
    pub axis: usize,
    /// Axis of the input channels in the weights.
    weight_axis: usize,
    /// Positions of that axis that one input channel has, one after another.
    repeats: usize,
    /// Which operand the weights are.
    slot: usize,
    weights: Tensor,
}

/// Users of a value, at most, that are looked at.
const MOST_USERS: usize = 64;

/// All that reads `v`, when all of it can take factors of the channels of `v`: only operators with weights do, along the same axis, and their weights
/// are `f32` constants that nothing else uses.
///
/// # Errors
/// The reason why not.
pub fn consumers_of(g: &Graph, v: ValueId) -> Result<Vec<Consumer>, Refusal> {
    let uses = g.value(v).uses();
    if uses.is_empty() || uses.len() > MOST_USERS {
        return Err("nothing or too much uses the value");
    }
    let mut found = Vec::with_capacity(uses.len());
    for u in uses {
        match u {
            Use::Node { node, slot } => found.push(consumer(g, *node, *slot as usize, v)?),
            Use::Output(_) => return Err("a graph output shows the value"),
        }
    }
    let same = |c: &Consumer| (c.axis, c.channels) == (found[0].axis, found[0].channels);
    if !found.iter().all(same) {
        return Err("its users have their channels along different axes");
    }
    Ok(found)
}

fn consumer(g: &Graph, n: NodeId, slot: usize, v: ValueId) -> Result<Consumer, Refusal> {
    let (node, name) = (g.node(n), g.node(n).op().name());
    let weight_slot = match name {
        "mat_mul" if slot == 1 => 0,
        "conv" | "conv_transpose" | "gemm" | "mat_mul" if slot == 0 => 1,
        _ => return Err("something without weights uses the value"),
    };
    let w = node.input(weight_slot).ok_or("the weights are missing")?;
    let weights = g.constant(w).ok_or("the weights are not constant")?;
    if weights.dtype() != DType::F32 {
        return Err("the weights are not f32");
    }
    if g.single_user(w).is_none() {
        return Err("something else uses the weights");
    }
    let rank =
        g.ty(v).as_tensor().and_then(hoist_ir::types::TensorType::rank).ok_or("the rank is not known")?;
    let last = |k: usize, of: usize| of.checked_sub(k).ok_or("the operands have too few axes");
    let sets = |attr: &str| node.op().def().attr(attr) == Some(Attr::Bool(true));
    let (axis, weight_axis) = match name {
        "mat_mul" if slot == 1 => (rank.saturating_sub(2), last(1, weights.rank())?),
        "mat_mul" => (last(1, rank)?, weights.rank().saturating_sub(2)),
        "gemm" if sets("trans_a") => return Err("the value is transposed"),
        "gemm" => (1, usize::from(sets("trans_b"))),
        "conv_transpose" => (channel_axis(node.op(), rank)?, 0),
        _ => (channel_axis(node.op(), rank)?, 1),
    };
    let size = |axis: usize| weights.shape().get(axis).copied().ok_or("the weights have too few axes");
    let mut found = Consumer {
        node: n,
        channels: size(weight_axis)?,
        axis,
        weight_axis,
        repeats: 1,
        slot: weight_slot,
        weights: weights.clone(),
    };
    if name == "conv"
        && let Some(Attr::Int(groups @ 2..)) = node.op().def().attr("group")
    {
        // Each input channel has its own output channels.
        found.channels = usize::try_from(groups).map_err(|_| "too many groups")?;
        if size(1)? != 1 || size(0)? % found.channels != 0 {
            return Err("a convolution of several groups");
        }
        (found.weight_axis, found.repeats) = (0, size(0)? / found.channels);
    }
    Ok(found)
}

/// Multiplies the weights of all `consumers` by one factor per input channel, while they are read.
///
/// # Errors
/// When the factors do not fit; the graph is unchanged then.
pub fn scale_inputs(g: &mut Graph, consumers: &[Consumer], factors: &[f32]) -> Result<(), Diag> {
    let scaled = |c: &Consumer| {
        let each: Vec<f32> = factors.iter().flat_map(|f| std::iter::repeat_n(*f, c.repeats)).collect();
        c.weights.scale_channels(each, c.weight_axis).map_err(|e| Diag::error("E0403", e.to_string()))
    };
    let all: Vec<Tensor> = consumers.iter().map(scaled).collect::<Result<_, _>>()?;
    for (c, weights) in consumers.iter().zip(all) {
        let old = g.node(c.node).input(c.slot);
        let name = old.and_then(|o| g.value(o).name.clone());
        let new = g.add_const(weights);
        g.set_operand(c.node, c.slot, Some(new))?;
        g.set_name(new, name);
        if let Some(old) = old {
            g.drop_unused_const(old);
        }
    }
    Ok(())
}
