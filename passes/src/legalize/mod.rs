//! Passes that bring a graph into a form that a target format can hold. The only passes needed for correctness.
//!
//! Those for operator sets of ONNX touch a node only where the set that will be written has no form of it, and do nothing when no set
//! is named.
pub mod legalize_expand;
pub mod legalize_onnx;
pub mod legalize_pad;
pub mod legalize_quantized;
pub mod legalize_reduce;
pub mod legalize_reshape;
pub mod legalize_resize;
pub mod legalize_softmax;
pub mod legalize_split;
pub mod legalize_types;
pub mod tflite;

use crate::pass::{Changed, Ctx, Outcome, Target, sweep};
use hoist_formats::tflite::lower::LAYOUT;
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::types::TensorType;

/// Applies `rule` at every node that the target cannot express; it gets the reason.
fn where_lacking(
    g: &mut Graph,
    cx: &Ctx,
    ops: &[&str],
    mut rule: impl FnMut(&mut Graph, NodeId, &Target, String) -> Outcome,
) -> Changed {
    let Some(target) = &cx.target else { return Changed::default() };
    sweep(g, cx, |g, n| {
        if !ops.is_empty() && !ops.contains(&g.node(n).op().name()) {
            return Outcome::Skip;
        }
        match target.lacks(g, n) {
            None => Outcome::Skip,
            // Layouts are chosen by a pass of its own.
            Some(reason) if reason == LAYOUT => Outcome::Skip,
            Some(reason) => rule(g, n, target, reason),
        }
    })
}

/// `op` with attribute `name` set.
fn with_attr(op: &Op, name: &str, value: &Attr) -> Result<Op, Diag> {
    let mut op = op.clone();
    op.def_mut().set_attr(name, value).map_err(|e| Diag::error(e.code, e.message))?;
    Ok(op)
}

/// Rank of `v`, when it is known.
fn rank(g: &Graph, v: Option<ValueId>) -> Option<usize> {
    g.ty(v?).as_tensor().and_then(TensorType::rank)
}
