//! `remove-zero-bias`
//!
//! ```text
//! %y = conv(%x, %w, zeros)   ->  %y = conv(%x, %w)
//! ```
//! - `conv`, `conv_transpose` or `gemm`; every element of the constant bias is a zero, of either sign.
//! - The target lets the bias be absent.
//!
//! The sign of a zero sum of products may differ: no operator defines it.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use crate::queries::is_all;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId};

/// The pass.
pub struct RemoveZeroBias;

const INFO: PassInfo = PassInfo {
    name: "remove-zero-bias",
    doc: "Removes the bias of convolutions and matrix products where it is all zeros.",
};

impl Pass for RemoveZeroBias {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["conv", "conv_transpose", "gemm"])
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, |g, n| remove(g, cx, n)))
    }
}

fn remove(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let node = g.node(n);
    if !matches!(node.op().name(), "conv" | "conv_transpose" | "gemm") {
        return Outcome::Skip;
    }
    let (x, w, Some(bias)) = (node.input(0), node.input(1), node.input(2)) else { return Outcome::Skip };
    let faulty = planted("remove-zero-bias") && g.constant(bias).is_some();
    if !(is_all(g, bias, 0.0) || is_all(g, bias, -0.0) || faulty) {
        return Outcome::miss("the bias is not surely zero");
    }
    let op = node.op().clone();
    cx.fuse(g, n, &[], |b| b.add(op, &[x, w]))
}
