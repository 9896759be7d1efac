//! `fuse-gemm-activation`
//!
//! ```text
//! %a = gemm(%x, %w, %b)
//! %y = relu(%a)          ->  %y = fused_gemm(%x, %w, %b) {activation=Relu}
//! ```
//! - The activation is `relu`, `sigmoid`, `tanh`, `leaky_relu`, `hard_sigmoid`, `elu`, `selu`, `softplus`, `softsign` or `thresholded_relu`.
//! - The elements are `f32`. Nothing else uses the result of the product.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::contrib::activate::{Activation, Params};
use hoist_ir::ops::contrib::products::FusedGemm;

/// The pass.
pub struct FuseGemmActivation;

const INFO: PassInfo = PassInfo {
    name: "fuse-gemm-activation",
    doc: "Puts an activation into the matrix product with a bias before it.",
};

impl Pass for FuseGemmActivation {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        if !cx.allows("fused_gemm") {
            return Ok(Changed::default());
        }
        Ok(sweep(g, cx, |g, n| fuse(g, cx, n)))
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["gemm"])
    }
}

/// The activation that `op` is, with its parameters.
fn activation(op: &Op) -> Option<(Activation, Params)> {
    let params =
        |values: &[f32]| Params { alpha: values.first().copied(), beta: values.get(1).copied(), gamma: None };
    Some(match op {
        Op::Relu(_) => (Activation::Relu, params(&[])),
        Op::Sigmoid(_) => (Activation::Sigmoid, params(&[])),
        Op::Tanh(_) => (Activation::Tanh, params(&[])),
        Op::Softplus(_) => (Activation::Softplus, params(&[])),
        Op::Softsign(_) => (Activation::Softsign, params(&[])),
        Op::LeakyRelu(op) => (Activation::LeakyRelu, params(&[op.alpha])),
        Op::ThresholdedRelu(op) => (Activation::ThresholdedRelu, params(&[op.alpha])),
        Op::Elu(op) => (Activation::Elu, params(&[op.alpha])),
        Op::HardSigmoid(op) => (Activation::HardSigmoid, params(&[op.alpha, op.beta])),
        Op::Selu(op) => (Activation::Selu, Params { gamma: Some(op.gamma), ..params(&[op.alpha]) }),
        _ => return None,
    })
}

fn fuse(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let Some((activation, params)) = activation(g.node(n).op()) else { return Outcome::Skip };
    let Some(y) = g.node(n).input(0) else { return Outcome::Skip };
    let Some(p) = g.producer(y) else { return Outcome::Skip };
    let Op::Gemm(gemm) = g.node(p).op() else { return Outcome::Skip };
    if g.single_user(y).is_none() && !planted(INFO.name) {
        return Outcome::miss("something else uses the product");
    }
    if g.ty(y).as_tensor().is_none_or(|t| t.dtype != DType::F32) {
        return Outcome::miss("the elements are not f32");
    }
    let op = FusedGemm {
        activation: Some(activation),
        activation_alpha: params.alpha,
        activation_beta: params.beta,
        activation_gamma: params.gamma,
        alpha: gemm.alpha,
        beta: gemm.beta,
        trans_a: gemm.trans_a,
        trans_b: gemm.trans_b,
    };
    let operands: Vec<Option<ValueId>> = g.node(p).inputs().to_vec();
    cx.fuse(g, n, &[p], |b| b.add(op, &operands))
}
