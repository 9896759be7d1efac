//! `fuse-gemm-activation`
//!
//! ```text
//! %a = gemm(%x, %w, %b)
//! %y = relu(%a)           ->  %y = fused_gemm(%x, %w, %b) {activation=Relu}
//! ```
//! - The activation is `relu`, `sigmoid`, `tanh`, `leaky_relu` or `hard_sigmoid`.
//! - Elements are `f32`, and nothing else uses the product.
//!
//! Exact. For targets with `fused_gemm`.
use super::activation::{activation, sole_producer};
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId};
use hoist_ir::ops::Op;
use hoist_ir::ops::contrib::activate::Activation;
use hoist_ir::ops::contrib::products::FusedGemm;

/// The pass.
pub struct FuseGemmActivation;

const INFO: PassInfo = PassInfo {
    name: "fuse-gemm-activation",
    doc: "Lets a matrix product with a bias compute the activation of its result.",
};

impl Pass for FuseGemmActivation {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["gemm"])
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        if !cx.allows("fused_gemm") {
            return Ok(Changed::default());
        }
        Ok(sweep(g, cx, |g, n| fuse(g, cx, n)))
    }
}

fn fuse(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let Some((kind, x, params)) = activation(g, n).filter(|(kind, ..)| *kind != Activation::Clip) else {
        return Outcome::Skip;
    };
    let p = match sole_producer(g, x, |op| matches!(op, Op::Gemm(_))) {
        Ok(p) => p,
        Err(reason) => return Outcome::miss(reason),
    };
    let node = g.node(p);
    let Op::Gemm(gemm) = node.op() else { return Outcome::Skip };
    let op = FusedGemm {
        activation: Some(kind),
        activation_alpha: params.first().copied(),
        activation_beta: params.get(1).copied(),
        alpha: gemm.alpha,
        beta: gemm.beta,
        trans_a: gemm.trans_a,
        trans_b: gemm.trans_b != planted("fuse-gemm-activation"),
        ..FusedGemm::default()
    };
    let operands: Vec<_> = node.inputs().to_vec();
    cx.fuse(g, n, &[p], |b| b.add(op, &operands))
}
