//! `remove-dead-code`
//!
//! ```text
//! %a = exp(%x)            return y: %x
//! return y: %x      ->
//! ```
//! - A node goes when it has results and nothing uses any of them: nodes have no effects beside their results.
//! - A constant goes when nothing uses it.
//! - A captured operand goes when no body of its node uses it.
//!
//! Inputs stay, used or not: they are the model's interface.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Pass, PassInfo};
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Def, Graph, NodeId, ValueId};

/// The pass.
pub struct RemoveDeadCode;

const INFO: PassInfo = PassInfo {
    name: "remove-dead-code",
    doc: "Removes nodes, constants and captured operands that nothing uses.",
};

impl Pass for RemoveDeadCode {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, _: &Ctx) -> Result<Changed, Diag> {
        let mut changed = Changed::default();
        // Users come after producers, so that one walk from the end finds all.
        for n in g.order_list().into_iter().rev() {
            if is_dead(g, n) {
                g.erase(n)?;
                changed.add();
            } else {
                drop_unused_captures(g, n, &mut changed)?;
            }
        }
        let unused = |(v, value): (ValueId, &hoist_ir::graph::Value)| {
            (value.def() == Def::Const && value.uses().is_empty()).then_some(v)
        };
        for v in g.values().filter_map(unused).collect::<Vec<_>>() {
            g.drop_unused_const(v);
            changed.add();
        }
        Ok(changed)
    }
}

fn is_dead(g: &Graph, n: NodeId) -> bool {
    let results = g.node(n).outputs();
    !results.is_empty()
        && !planted("remove-dead-code")
        && results.iter().all(|v| g.value(*v).uses().is_empty())
}

fn drop_unused_captures(g: &mut Graph, n: NodeId, changed: &mut Changed) -> Result<(), Diag> {
    for k in (0..g.node(n).captures()).rev() {
        let node = g.node(n);
        let unused = |b: &Graph| {
            let at = (b.inputs().len() + k).checked_sub(node.captures());
            at.and_then(|at| b.inputs().get(at)).is_some_and(|v| b.value(*v).uses().is_empty())
        };
        if !node.bodies().is_empty() && node.bodies().iter().all(unused) {
            g.drop_capture(n, k)?;
            changed.add();
        }
    }
    Ok(())
}
