//! `fuse-bias-activations`
//!
//! ```text
//! %a = add(%x: f32[N, 4], %b: f32[4])
//! %y = gelu(%a)                          ->  %y = bias_gelu(%x, %b)
//! ```
//! - `gelu`, or with `approximate=tanh` `fast_gelu`; the target's profile has that.
//! - The bias has one axis, surely as long as the last one of `x`. Nothing else uses the sum.
//! - The elements are `f32` or `f16`.
//!
//! Computes the same, rounded as before.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;

/// The pass.
pub struct FuseBiasActivations;

const INFO: PassInfo = PassInfo {
    name: "fuse-bias-activations",
    doc: "Puts a bias into the gelu that follows it, where the target has such an operator.",
};

impl Pass for FuseBiasActivations {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["gelu"])
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, |g, n| fuse(g, cx, n)))
    }
}

fn fuse(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let node = g.node(n);
    let ("gelu", Some(sum)) = (node.op().name(), node.input(0)) else { return Outcome::Skip };
    let Some(add) = g.producer(sum).filter(|p| g.node(*p).op().name() == "add") else { return Outcome::Skip };
    let fast = node.op().def().attr("approximate") == Some(Attr::Word("tanh"));
    let name = if fast { "fast_gelu" } else { "bias_gelu" };
    if !cx.allows(name) {
        return Outcome::miss("the target has no gelu with a bias");
    }
    if g.single_user(sum).is_none() {
        return Outcome::miss("something else uses the sum");
    }
    let (Some(a), Some(b)) = (g.node(add).input(0), g.node(add).input(1)) else { return Outcome::Skip };
    let operands = if is_bias(g, a, b) {
        [a, b]
    } else if is_bias(g, b, a) {
        [b, a]
    } else {
        return Outcome::miss("no operand of the sum is surely one number per element of the last axis");
    };
    let Some(op) = Op::by_name(name) else { return Outcome::Skip };
    cx.fuse(g, n, &[add], |b| b.add(op, &operands.map(Some)))
}

/// Whether `b` has one axis, as long as the last one of `x`.
fn is_bias(g: &Graph, x: ValueId, b: ValueId) -> bool {
    let (Some(x), Some(b)) = (g.ty(x).as_tensor(), g.ty(b).as_tensor()) else { return false };
    let (Some(shape), Some([length])) = (&x.shape, b.shape.as_deref()) else { return false };
    let fits = shape.last().is_some_and(|d| d.surely_equals(length)) || planted("fuse-bias-activations");
    fits && shape.len() > 1 && matches!(x.dtype, DType::F32 | DType::F16)
}
