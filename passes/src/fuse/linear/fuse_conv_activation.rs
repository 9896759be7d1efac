//! `fuse-conv-activation`
//!
//! ```text
//! %a = conv(%x, %w, %b)
//! %y = relu(%a)           ->  %y = fused_conv(%x, %w, %b) {activation=Relu}
//! ```
//! - The activation is `relu`, `sigmoid`, `tanh`, `leaky_relu`, `hard_sigmoid`, or `clip` by constants.
//! - Channels are first, elements are `f32`, and nothing else uses the result of the convolution.
//!
//! Exact. For targets with `fused_conv`: ONNX Runtime makes the same operators itself, so a file that holds them loads to the same kernels, its blocked layouts included.
use super::activation::{activation, sole_producer};
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId};
use hoist_ir::ops::Op;
use hoist_ir::ops::contrib::fused_conv::FusedConv;
use hoist_ir::ops::words::Layout;

/// The pass.
pub struct FuseConvActivation;

const INFO: PassInfo = PassInfo {
    name: "fuse-conv-activation",
    doc: "Lets a convolution compute the activation of its result.",
};

impl Pass for FuseConvActivation {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["conv"])
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        if !cx.allows("fused_conv") {
            return Ok(Changed::default());
        }
        Ok(sweep(g, cx, |g, n| fuse(g, cx, n)))
    }
}

fn fuse(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let Some((kind, x, params)) = activation(g, n) else { return Outcome::Skip };
    let p = match sole_producer(g, x, |op| matches!(op, Op::Conv(_))) {
        Ok(p) => p,
        Err(reason) => return Outcome::miss(reason),
    };
    let node = g.node(p);
    let Op::Conv(conv) = node.op() else { return Outcome::Skip };
    if conv.layout != Layout::ChannelsFirst {
        return Outcome::miss("channels are last");
    }
    let op = FusedConv {
        activation: Some(kind),
        activation_params: if planted("fuse-conv-activation") {
            params.into_iter().rev().collect()
        } else {
            params
        },
        auto_pad: conv.auto_pad,
        dilations: conv.dilations.clone(),
        group: conv.group,
        kernel_shape: conv.kernel_shape.clone(),
        pads: conv.pads.clone(),
        strides: conv.strides.clone(),
    };
    let operands: Vec<_> = node.inputs().to_vec();
    cx.fuse(g, n, &[p], |b| b.add(op, &operands))
}
