//! `fuse-conv-batch-norm`
//!
//! ```text
//! %a = conv(%x, %w, %b)
//! %y = batch_normalization(%a, %scale, %bias, %mean, %var)  ->  %y = conv(%x, %w * f, (%b - %mean) * f + %bias)
//!                                                               with f = %scale / sqrt(%var + epsilon)
//! ```
//! - `conv`, `conv_transpose`, `gemm`, or `mat_mul` of two axes, which becomes `gemm`; nothing else uses its result.
//! - Weights, bias and parameters are constant floats, and all new numbers are finite. Weights that something else uses are copied, up to 64 KiB.
//! - The normalization is in inference mode, has one used result, and its channels are those of the convolution.
//!
//! Factors are computed in `f64`, weights are multiplied while they are read, the bias is rounded once.
use crate::channel_affine::{Affine, Producer, absorb, channel_axis, per_channel, producer_of};
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId};

/// The pass.
pub struct FuseConvBatchNorm;

const INFO: PassInfo = PassInfo {
    name: "fuse-conv-batch-norm",
    doc: "Puts a batch normalization into the weights of the convolution or matrix product before it.",
};

impl Pass for FuseConvBatchNorm {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, fuse))
    }
}

fn fuse(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    if node.op().name() != "batch_normalization" {
        return Outcome::Skip;
    }
    let Some(x) = node.input(0) else { return Outcome::Skip };
    let found = producer_of(g, x).and_then(|p| Ok((affine(g, n, &p)?, p)));
    match found {
        Ok((affine, producer)) => Outcome::of(absorb(g, n, &producer, &affine)),
        Err(reason) => Outcome::miss(reason),
    }
}

/// What batch normalization `n` computes of the result of `p`: `(x - mean) / sqrt(var + epsilon) * scale + bias`.
fn affine(g: &Graph, n: NodeId, p: &Producer) -> Result<Affine, &'static str> {
    let node = g.node(n);
    let rank = node.input(0).and_then(|x| g.ty(x).as_tensor()?.rank()).ok_or("the rank is not known")?;
    if channel_axis(node.op(), rank)? != p.axis {
        return Err("the normalization is along another axis");
    }
    if node.op().def().attr("training_mode").is_some_and(|a| a != Attr::Bool(false))
        || node.outputs().len() > 1
    {
        return Err("the normalization is in training mode");
    }
    let Some(Attr::Float(epsilon)) = node.op().def().attr("epsilon") else {
        return Err("the normalization has no epsilon");
    };
    let parameter = |i: usize| {
        let values = node.input(i).and_then(|v| per_channel(g, v, p.channels, 0, 1));
        values.ok_or("a parameter is not one constant per channel")
    };
    let (scale, bias, mean, var) = (parameter(1)?, parameter(2)?, parameter(3)?, parameter(4)?);
    let factors: Vec<f64> =
        scale.iter().zip(&var).map(|(s, v)| s / (v + f64::from(epsilon)).sqrt()).collect();
    let shifts = bias
        .iter()
        .zip(&mean)
        .zip(&factors)
        .map(|((b, m), f)| b - m * if planted("fuse-conv-batch-norm") { 1.0 } else { *f })
        .collect();
    Ok(Affine { factors, shifts })
}
