//! `fuse-group-norm`
//!
//! ```text
//! %r = reshape(%x: f32[N, C, H, W], [0, G, -1])
//! %i = instance_normalization(%r, 1, 0)
//! %y = reshape(%i, [N, C, H, W])                 ->   %y = group_normalization(%x, 1, 0) {num_groups=G}
//! ```
//! - Between the reshapes is an `instance_normalization` whose scales are all 1 and shifts all 0, or a `layer_normalization` of the last axis with scales of 1 and
//!   no shift; nothing else uses the values between.
//! - `%r` has three axes: those of `%x` before the channels, the groups, and the rest. The channels are known and divide into the groups; `%y` has the shape of `%x`.
//! - For targets that compute groups whole. ONNX Runtime does not: its functions for them are slower than what they stand for.
//!
//! Factors and shifts per channel that follow go into the operator by `fuse-norm-affine`. Statistics may be rounded at other steps.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use crate::queries::{is_all, surely_same};
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::norm::group::GroupNormalization;
use hoist_ir::ops::words::Layout;
use hoist_ir::tensor::Tensor;

/// The pass.
pub struct FuseGroupNorm;

const INFO: PassInfo = PassInfo {
    name: "fuse-group-norm",
    doc: "Replaces the normalization of channels that a reshape puts into groups by `group_normalization`.",
};

impl Pass for FuseGroupNorm {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["instance_normalization", "layer_normalization"])
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        if !cx.allows("group_normalization") {
            return Ok(Changed::default());
        }
        Ok(sweep(g, cx, |g, n| fuse(g, cx, n)))
    }
}

/// What is normalized, how, and the nodes between.
struct Groups {
    x: ValueId,
    op: GroupNormalization,
    channels: usize,
    inner: [NodeId; 2],
}

fn fuse(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let Op::Reshape(_) = g.node(n).op() else { return Outcome::Skip };
    let Some(middle) = g.node(n).input(0).and_then(|v| g.producer(v)) else { return Outcome::Skip };
    if !matches!(g.node(middle).op(), Op::InstanceNormalization(_) | Op::LayerNormalization(_)) {
        return Outcome::Skip;
    }
    let found = match groups(g, n, middle) {
        Ok(found) => found,
        Err(reason) => return Outcome::miss(reason),
    };
    let dtype = g.ty(found.x).as_tensor().map(|t| t.dtype);
    let filled = |v: f32| {
        let one = Tensor::scalar(v).cast(dtype?, false).ok()?;
        Tensor::splat(&one, &[found.channels]).ok()
    };
    let (Some(ones), Some(zeros)) = (filled(1.0), filled(0.0)) else { return Outcome::Skip };
    cx.fuse(g, n, &found.inner, |b| {
        let (scale, bias) = (b.constant(ones), b.constant(zeros));
        b.add(found.op, &[Some(found.x), Some(scale), Some(bias)])
    })
}

fn groups(g: &Graph, n: NodeId, middle: NodeId) -> Result<Groups, &'static str> {
    let node = g.node(middle);
    let (r, i) =
        (node.input(0).ok_or("an operand is missing")?, node.outputs().first().ok_or("a result is missing")?);
    if node.outputs().len() > 1 || g.single_user(*i) != Some(n) || g.single_user(r) != Some(middle) {
        return Err("something else uses the values between");
    }
    let first = g
        .producer(r)
        .filter(|p| matches!(g.node(*p).op(), Op::Reshape(_)))
        .ok_or("no reshape puts channels into groups")?;
    let x = g.node(first).input(0).ok_or("an operand is missing")?;
    let epsilon = match node.op() {
        Op::InstanceNormalization(op) if op.layout == Layout::ChannelsFirst => op.epsilon,
        Op::LayerNormalization(op) if op.axis == -1 || op.axis == 2 => op.epsilon,
        _ => return Err("other axes are normalized"),
    };
    let plain = |slot: usize, want: f64| node.input(slot).is_none_or(|v| is_all(g, v, want));
    if !plain(1, 1.0) || !plain(2, 0.0) {
        return Err("groups have factors or shifts of their own");
    }
    let (data, inside) = (g.ty(x).as_tensor().ok_or("no tensor")?, g.ty(r).as_tensor().ok_or("no tensor")?);
    let (Some(from), Some(to)) = (&data.shape, &inside.shape) else { return Err("a rank is not known") };
    if from.len() < 3 || to.len() != 3 || !from[0].surely_equals(&to[0]) {
        return Err("the groups are not those of the channels of each sample");
    }
    let (Some(channels), Some(count)) = (from[1].known(), to[1].known()) else {
        return Err("channels or groups are not known");
    };
    let back = g.node(n).outputs().first().and_then(|y| g.ty(*y).as_tensor());
    if count == 0 || channels == 0 || channels % count != 0 {
        return Err("the channels do not divide into the groups");
    }
    if !back.is_some_and(|b| surely_same(b, data)) {
        return Err("the result may have another shape than the data");
    }
    let count = if planted("fuse-group-norm") { 1 } else { count };
    let op = GroupNormalization { epsilon, num_groups: count as i64, ..GroupNormalization::default() };
    let channels = usize::try_from(channels).map_err(|_| "too many channels")?;
    Ok(Groups { x, op, channels, inner: [middle, first] })
}
