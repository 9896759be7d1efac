//! `fuse-conv-activation`
//!
//! ```text
//! %a = conv(%x, %w, %b)
//! %y = relu(%a)          ->  %y = fused_conv(%x, %w, %b) {activation=Relu}
//! ```
//! - The activation is `relu`, `sigmoid`, `tanh`, `leaky_relu`, `hard_sigmoid`, `hard_swish`, or `clip` with constant bounds in order.
//! - The elements are `f32`, and channels come first.
//! - Nothing else uses the result of the convolution. A `fused_conv` without an activation takes one too.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::contrib::activate::Activation;
use hoist_ir::ops::contrib::fused_conv::FusedConv;
use hoist_ir::ops::words::Layout;

/// The pass.
pub struct FuseConvActivation;

const INFO: PassInfo =
    PassInfo { name: "fuse-conv-activation", doc: "Puts an activation into the convolution before it." };

impl Pass for FuseConvActivation {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        if !cx.allows("fused_conv") {
            return Ok(Changed::default());
        }
        Ok(sweep(g, cx, |g, n| fuse(g, cx, n)))
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["conv", "fused_conv"])
    }
}

/// Convolution `p` as the operator that can hold more, when it can be one.
///
/// # Errors
/// Why it cannot.
pub fn as_fused(g: &Graph, p: NodeId) -> Result<FusedConv, &'static str> {
    let node = g.node(p);
    if node.input(0).and_then(|x| g.ty(x).as_tensor()).is_none_or(|t| t.dtype != DType::F32) {
        return Err("the elements are not f32");
    }
    match node.op() {
        Op::FusedConv(op) if op.activation.is_some() => Err("the convolution has an activation"),
        Op::FusedConv(op) => Ok((**op).clone()),
        Op::Conv(op) if op.layout != Layout::ChannelsFirst => Err("channels come last"),
        Op::Conv(op) => Ok(FusedConv {
            auto_pad: op.auto_pad,
            dilations: op.dilations.clone(),
            group: op.group,
            kernel_shape: op.kernel_shape.clone(),
            pads: op.pads.clone(),
            strides: op.strides.clone(),
            ..FusedConv::default()
        }),
        _ => Err("the operand is not the result of a convolution"),
    }
}

/// The activation that `n` computes, with its parameters; `None` when it is none.
fn activation(g: &Graph, n: NodeId) -> Option<Result<(Activation, Vec<f32>), &'static str>> {
    Some(Ok(match g.node(n).op() {
        Op::Relu(_) => (Activation::Relu, vec![]),
        Op::Sigmoid(_) => (Activation::Sigmoid, vec![]),
        Op::Tanh(_) => (Activation::Tanh, vec![]),
        Op::LeakyRelu(op) => (Activation::LeakyRelu, vec![op.alpha]),
        Op::HardSigmoid(op) => (Activation::HardSigmoid, vec![op.alpha, op.beta]),
        Op::HardSwish(_) => (Activation::HardSwish, vec![]),
        Op::Clip(_) => return Some(bounds(g, n).map(|b| (Activation::Clip, b))),
        _ => return None,
    }))
}

/// Both bounds of `clip` `n`; an absent one bounds nothing.
fn bounds(g: &Graph, n: NodeId) -> Result<Vec<f32>, &'static str> {
    let bound = |i: usize, absent: f32| -> Result<f32, &'static str> {
        match g.node(n).input(i) {
            None => Ok(absent),
            Some(v) => {
                let value = g.constant(v).and_then(|t| t.as_f64()).ok_or("a bound is not constant")?;
                Ok(value as f32)
            }
        }
    };
    let (low, high) = (bound(1, f32::MIN)?, bound(2, f32::MAX)?);
    if low <= high { Ok(vec![low, high]) } else { Err("the bounds are not in order") }
}

fn fuse(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let Some(activation) = activation(g, n) else { return Outcome::Skip };
    let Some(y) = g.node(n).input(0) else { return Outcome::Skip };
    let Some(p) = g.producer(y) else { return Outcome::Skip };
    if !matches!(g.node(p).op().name(), "conv" | "fused_conv") {
        return Outcome::Skip;
    }
    if g.single_user(y).is_none() && !planted(INFO.name) {
        return Outcome::miss("something else uses the convolution");
    }
    match (activation, as_fused(g, p)) {
        (Ok((activation, params)), Ok(op)) => {
            let op = FusedConv { activation: Some(activation), activation_params: params, ..op };
            let operands: Vec<Option<ValueId>> = g.node(p).inputs().to_vec();
            cx.fuse(g, n, &[p], |b| b.add(op, &operands))
        }
        (Err(reason), _) | (_, Err(reason)) => Outcome::miss(reason),
    }
}
