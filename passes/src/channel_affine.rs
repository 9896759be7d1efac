//! Moving factors of channels into weights: those of `y * factor + shift` into the operator that computes `y`, those of `x * factor` into the
//! operators that read it. Both together move a factor from one side of a value to the other, which changes its range and no result.
use crate::norm_formula::dims;
use hoist_ir::attr::Attr;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, Use, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::elementwise::arithmetic::Add;
use hoist_ir::ops::linear::gemm::Gemm;
use hoist_ir::ops::words::Layout;
use hoist_ir::tensor::{Tensor, TensorError};

/// One factor and one shift per output channel.
#[derive(Clone, PartialEq, Debug)]
pub struct Affine {
    /// Factors.
    pub factors: Vec<f64>,
    /// Shifts, added after the factors.
    pub shifts: Vec<f64>,
}

/// An operator whose output channels have their own weights: `conv`, `conv_transpose`, `gemm`, and `mat_mul` by weights.
pub struct Producer {
    /// The node.
    pub node: NodeId,
    /// Number of output channels.
    pub channels: usize,
    /// Axis of the output channels in its result.
    pub axis: usize,
    /// Axis of the output channels in the weights.
    weight_axis: usize,
    /// Groups that the output channels are spread over in the weights, ahead of their axis.
    groups: usize,
    weights: Tensor,
    /// Movements behind the node, the last one first.
    moves: Vec<NodeId>,
    /// Whether something else uses the weights.
    shared: bool,
    /// Whether the operator can add a bias, perhaps as another operator.
    pub biased: bool,
    /// Bias per channel, as it is added to the result.
    bias: Vec<f64>,
}

/// Bytes of weights of several operators that one of them gets as a copy of its own.
const MOST_SHARED: usize = 64 << 10;
/// Bytes of weights that are multiplied now, and checked.
const MOST_EAGER: usize = 8 << 20;

/// Why a node cannot take an affine map.
type Refusal = &'static str;

/// The producer of `y`, when all of it can be changed: nothing else uses its result, and its weights are constant floats.
///
/// # Errors
/// The reason why not; `None` when it is no such operator at all.
pub fn producer_of(g: &Graph, y: ValueId) -> Result<Producer, Refusal> {
    let (mut v, mut moves) = (y, vec![]);
    while moves.len() < MOST_MOVES
        && let Some(m) = g.producer(v).filter(|m| MOVES.contains(&g.node(*m).op().name()))
    {
        if g.single_user(v).is_none() {
            return Err("something else uses the operand");
        }
        moves.push(m);
        v = g.node(m).input(0).ok_or("an operand is missing")?;
    }
    let mut p = unmoved(g, v)?;
    for m in moves.iter().rev() {
        p.axis = moved(g, *m, p.axis).ok_or("a movement may take channels apart")?;
    }
    p.moves = moves;
    Ok(p)
}

/// Operators that move elements and are looked through.
const MOVES: &[&str] = &["transpose", "reshape", "squeeze", "unsqueeze", "flatten"];
/// Movements that are looked through.
const MOST_MOVES: usize = 4;

/// The axis that movement `n` brings `axis` of its operand to, where that stays one axis.
fn moved(g: &Graph, n: NodeId, axis: usize) -> Option<usize> {
    let node = g.node(n);
    let (from, to) = (dims(g, node.input(0)?)?, dims(g, *node.outputs().first()?)?);
    if let Op::Transpose(t) = node.op() {
        let reversed = from.len().checked_sub(1 + axis)?;
        return if t.perm.is_empty() {
            Some(reversed)
        } else {
            t.perm.iter().position(|p| *p == axis as i64)
        };
    }
    // The order of elements stays: an axis is the same where it and all before it, or it and all behind it, keep their sizes.
    let same = |a: &[Dim], b: &[Dim]| a.iter().zip(b).all(|(a, b)| a.surely_equals(b));
    if to.len() > axis && same(&from[..=axis], &to[..=axis]) {
        return Some(axis);
    }
    let start = (to.len() + axis).checked_sub(from.len())?;
    same(&from[axis..], &to[start..]).then_some(start)
}

/// [`producer_of`] without movements.
fn unmoved(g: &Graph, y: ValueId) -> Result<Producer, Refusal> {
    let n = g.producer(y).ok_or("the operand is not computed")?;
    let node = g.node(n);
    let (op, rank) = (node.op(), g.ty(y).as_tensor().and_then(hoist_ir::types::TensorType::rank));
    if !matches!(op.name(), "conv" | "conv_transpose" | "gemm" | "mat_mul") {
        return Err("the operand is not the result of a convolution or matrix product");
    }
    if g.single_user(y).is_none() {
        return Err("something else uses the operand");
    }
    let w = node.input(1).ok_or("the weights are missing")?;
    let weights = g.constant(w).ok_or("the weights are not constant")?;
    if !is_plain_float(weights.dtype()) {
        return Err("the weights are not floats");
    }
    let rank = rank.ok_or("the rank is not known")?;
    let (weight_axis, groups) = weight_axis(op, weights)?;
    let size = *weights.shape().get(weight_axis).ok_or("the weights have too few axes")?;
    let channels = size.checked_mul(groups).ok_or("the weights have too many channels")?;
    let is_product = op.name() == "mat_mul";
    Ok(Producer {
        node: n,
        channels,
        axis: if is_product { rank.saturating_sub(1) } else { channel_axis(op, rank)? },
        weight_axis,
        groups,
        weights: weights.clone(),
        moves: vec![],
        shared: g.single_user(w).is_none(),
        biased: !is_product || (rank == 2 && weights.rank() == 2),
        bias: bias(g, node.input(2), channels, op)?,
    })
}

/// Whether elements are floats that take whole bytes and have infinities.
fn is_plain_float(d: DType) -> bool {
    matches!(d, DType::F16 | DType::BF16 | DType::F32 | DType::F64)
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

/// Axis of the output channels in the weights of `op`, and the groups that they are spread over ahead of it.
fn weight_axis(op: &Op, weights: &Tensor) -> Result<(usize, usize), Refusal> {
    let rank = weights.rank();
    match (op.name(), op.def().attr("group")) {
        ("conv", _) => Ok((0, 1)),
        ("conv_transpose", Some(Attr::Int(groups))) => {
            let fits = |n: &usize| *n > 0 && weights.shape().first().is_some_and(|c| c.is_multiple_of(*n));
            let groups = usize::try_from(groups).ok().filter(fits).ok_or("the groups do not fit")?;
            Ok((1, groups))
        }
        ("conv_transpose", _) => Ok((1, 1)),
        ("mat_mul", _) if rank >= 2 => Ok((rank - 1, 1)),
        ("mat_mul", _) => Err("the weights have too few axes"),
        _ if op.def().attr("trans_b") == Some(Attr::Bool(true)) => Ok((0, 1)),
        _ => Ok((1, 1)),
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

/// Elements of the float constant `v`, broadcast to one per position of `axis` in a result of `rank` axes. `None` when it varies
/// along another axis, or would change the shape.
pub fn per_channel(g: &Graph, v: ValueId, channels: usize, axis: usize, rank: usize) -> Option<Vec<f64>> {
    let t = g.constant(v).filter(|t| is_plain_float(t.dtype()) && t.rank() <= rank)?;
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

/// Replaces `root`, which computes `affine` of the result of `producer`, by the producer with changed weights: those of `f32` are
/// multiplied while they are read, others at once; the bias is computed in `f64` and rounded once.
///
/// # Errors
/// When a number is not finite in the type of the weights, or the new node does not fit; the graph is unchanged then.
pub fn absorb(g: &mut Graph, root: NodeId, producer: &Producer, affine: &Affine) -> Result<(), Diag> {
    let refuse = |m: &str| Diag::error("E0403", m);
    let dtype = producer.weights.dtype();
    let weights = changed(producer, &affine.factors).map_err(refuse)?;
    let shifted = producer.bias.iter().zip(&affine.factors).zip(&affine.shifts);
    let bias: Vec<f64> = shifted.map(|((b, f), s)| b * f + s).collect();
    let adds =
        producer.biased && (g.node(producer.node).input(2).is_some() || bias.iter().any(|b| *b != 0.0));
    if !producer.biased && affine.shifts.iter().any(|s| *s != 0.0) {
        return Err(refuse("the product has no bias"));
    }
    let bias =
        rounded(&[bias.len()], bias, dtype).ok_or_else(|| refuse("a factor or shift is not finite"))?;
    let node = g.node(producer.node);
    let (mut op, x) = (node.op().clone(), node.input(0));
    match &mut op {
        Op::Gemm(gemm) => gemm.beta = 1.0,
        Op::MatMul(_) if adds => op = Gemm::default().into(),
        _ => {}
    }
    let old = node.input(1);
    let inner: Vec<NodeId> = producer.moves.iter().copied().chain([producer.node]).collect();
    g.rewrite(root, &inner, |b| {
        let mut operands = vec![x, replaced(b, producer, old, weights)];
        if adds {
            operands.push(Some(b.constant(bias)));
        }
        let mut results = b.add(op, &operands)?;
        for m in producer.moves.iter().rev() {
            let node = b.graph().node(*m);
            let (op, mut operands) = (node.op().clone(), node.inputs().to_vec());
            operands[0] = results.first().copied();
            results = b.add(op, &operands)?;
        }
        Ok(results)
    })
}

/// Replaces `root`, which computes `affine` of `sum`, which adds `bias` to the result of product `producer`, by the product with changed weights and
/// another bias.
///
/// # Errors
/// As [`absorb`].
pub fn absorb_behind(
    g: &mut Graph,
    root: NodeId,
    sum: NodeId,
    bias: &[f64],
    producer: &Producer,
    affine: &Affine,
) -> Result<(), Diag> {
    let refuse = |m: &str| Diag::error("E0403", m);
    let weights = changed(producer, &affine.factors).map_err(refuse)?;
    let shifted = bias.iter().zip(&affine.factors).zip(&affine.shifts);
    let bias =
        rounded(&[bias.len()], shifted.map(|((b, f), s)| b * f + s).collect(), producer.weights.dtype())
            .ok_or_else(|| refuse("a factor or shift is not finite"))?;
    let node = g.node(producer.node);
    let (op, x, old) = (node.op().clone(), node.input(0), node.input(1));
    g.rewrite(root, &[sum, producer.node], |b| {
        let w = replaced(b, producer, old, weights);
        let y = b.add(op, &[x, w])?;
        let c = b.constant(bias);
        b.add(Add {}, &[y.first().copied(), Some(c)])
    })
}

/// The weights of `p` times one factor per output channel; `None` when they stay as they are.
fn changed(p: &Producer, factors: &[f64]) -> Result<Option<Tensor>, Refusal> {
    if factors.iter().all(|f| *f == 1.0) {
        return Ok(None);
    }
    if p.shared && p.weights.byte_len() > MOST_SHARED {
        return Err("something else uses the weights, which are large");
    }
    scaled(p, factors).map(Some)
}

/// The operand that new `weights` of `p` are, which was `old`.
fn replaced(
    b: &mut Builder<'_>,
    p: &Producer,
    old: Option<ValueId>,
    weights: Option<Tensor>,
) -> Option<ValueId> {
    let Some(weights) = weights else { return old };
    let w = b.constant(weights);
    let name = old.filter(|_| !p.shared).and_then(|o| b.graph().value(o).name.clone());
    b.graph_mut().set_name(w, name);
    Some(w)
}

/// `values` in `dtype`; `None` unless all are finite there.
fn rounded(shape: &[usize], values: Vec<f64>, dtype: DType) -> Option<Tensor> {
    let t = Tensor::from_vec(shape, values).cast(dtype, false).ok()?;
    t.to_f64s().is_ok_and(|v| v.iter().all(|v| v.is_finite())).then_some(t)
}

/// The weights of `p` times one factor per output channel.
fn scaled(p: &Producer, factors: &[f64]) -> Result<Tensor, &'static str> {
    const WRONG: &str = "the weights do not fit";
    let single: Vec<f32> = factors.iter().map(|f| *f as f32).collect();
    if !single.iter().all(|f| f.is_finite()) {
        return Err("a factor or shift is not finite");
    }
    let (w, axis) = match p.groups {
        1 => (p.weights.clone(), p.weight_axis),
        groups => (by_channel(&p.weights, groups).map_err(|_| WRONG)?, 0),
    };
    let w = if w.dtype() == DType::F32 {
        w.scale_channels(single, axis).map_err(|_| WRONG)?
    } else if w.byte_len() > MOST_EAGER {
        return Err("the weights are large and not f32");
    } else {
        let inner: usize = w.shape().iter().skip(axis + 1).product();
        let values = w.to_f64s().map_err(|_| WRONG)?;
        let factor = |i: usize| factors[i / inner % factors.len()];
        let values = values.iter().enumerate().map(|(i, v)| v * factor(i)).collect();
        rounded(w.shape(), values, w.dtype()).ok_or("a factor or shift is not finite")?
    };
    if p.groups == 1 { Ok(w) } else { by_group(&w, p.groups, p.weights.shape()).map_err(|_| WRONG) }
}

/// Weights `[groups * in, out, kernel...]` as `[groups * out, in, kernel...]`.
fn by_channel(w: &Tensor, groups: usize) -> Result<Tensor, TensorError> {
    let (inputs, out, kernel) = (w.shape()[0] / groups, w.shape()[1], &w.shape()[2..]);
    let split: Vec<usize> = [groups, inputs, out].iter().chain(kernel).copied().collect();
    let joined: Vec<usize> = [groups * out, inputs].iter().chain(kernel).copied().collect();
    w.reshape(&split)?.permute(&exchanged(split.len()))?.reshape(&joined)
}

/// The inverse of [`by_channel`], to `shape`.
fn by_group(w: &Tensor, groups: usize, shape: &[usize]) -> Result<Tensor, TensorError> {
    let (out, inputs, kernel) = (w.shape()[0] / groups, w.shape()[1], &w.shape()[2..]);
    let split: Vec<usize> = [groups, out, inputs].iter().chain(kernel).copied().collect();
    w.reshape(&split)?.permute(&exchanged(split.len()))?.reshape(shape)
}

/// The permutation that exchanges axes 1 and 2.
fn exchanged(rank: usize) -> Vec<usize> {
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(1, 2);
    perm
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
