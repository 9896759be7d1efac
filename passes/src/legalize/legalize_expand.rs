//! `legalize-expand`
//!
//! ```text
//! %y = swish(%x)   ->   %s = sigmoid(%x)
//!                       %y = mul(%x, %s)
//! ```
//! - The operator set that will be written has no form of the node.
//! - The operator says what it means in simpler ones, for these operands.
use super::where_lacking;
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId};

/// The pass.
pub struct LegalizeExpand;

const INFO: PassInfo = PassInfo {
    name: "legalize-expand",
    doc: "Replaces operators that the operator set lacks by their meaning in simpler ones.",
};

/// Most levels of operators that mean graphs of operators that mean graphs.
const MAX_DEPTH: usize = 16;

impl Pass for LegalizeExpand {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        let mut changed = Changed::default();
        for _ in 0..MAX_DEPTH {
            let round =
                where_lacking(g, cx, &[], |g, n, _, reason| expand(g, n, reason, planted("legalize-expand")));
            if !round.any() {
                break;
            }
            changed.0 = changed.0.saturating_add(round.0);
        }
        Ok(changed)
    }
}

/// Replaces `n` by its meaning; `reason` says why it is lacking.
/// `swapped` exchanges the first two operands, as a deliberate fault.
pub(super) fn expand(g: &mut Graph, n: NodeId, reason: String, swapped: bool) -> Outcome {
    let node = g.node(n);
    if !node.bodies().is_empty() || node.op().name() == "custom" {
        return Outcome::Miss(reason.into());
    }
    let (op, mut inputs, outputs) = (node.op().clone(), node.inputs().to_vec(), node.outputs().len());
    if swapped && inputs.len() > 1 {
        inputs.swap(0, 1);
    }
    Outcome::of(g.rewrite(n, &[], |b| {
        let primitive = || Diag::error("E0302", format!("no expansion, and the operator set lacks {reason}"));
        let mut results = op.def().expand(b, &inputs, outputs)?.ok_or_else(primitive)?;
        results.truncate(outputs);
        Ok(results)
    }))
}
