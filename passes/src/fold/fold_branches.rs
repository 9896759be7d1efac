//! `fold-branches`
//!
//! ```text
//! %c = const bool[] [true]
//! %y = if(%c, %x) captures(1) {      ->  %y = exp(%x)
//!     (%a) { return exp(%a) }
//!     (%a) { return neg(%a) } }
//! ```
//! The condition is a constant of one element. The nodes of the branch it takes are put in the place of the `if`; what the branch
//! captures becomes what the `if` captured.
use crate::fault::planted;
use crate::inline::{Names, inline};
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};

/// The pass.
pub struct FoldBranches;

const INFO: PassInfo = PassInfo {
    name: "fold-branches",
    doc: "Replaces an `if` whose condition is constant by the branch it takes.",
};

impl Pass for FoldBranches {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        let (mut names, mut total) = (None, Changed::default());
        loop {
            let changed = sweep(g, cx, |g, n| fold(g, n, &mut names));
            total.0 = total.0.saturating_add(changed.0);
            // A branch may hold another `if` whose condition is constant only outside.
            if !changed.any() {
                return Ok(total);
            }
        }
    }
}

fn fold(g: &mut Graph, n: NodeId, names: &mut Option<Names>) -> Outcome {
    let node = g.node(n);
    if node.op().name() != "if" {
        return Outcome::Skip;
    }
    let condition = node.input(0).and_then(|v| g.constant(v)).and_then(|t| t.to_bools().ok());
    let Some(&[taken]) = condition.as_deref() else {
        return Outcome::miss("the condition is not constant");
    };
    let Some(body) = node.bodies().get(usize::from(taken == planted("fold-branches"))).cloned() else {
        return Outcome::miss("the branch is missing");
    };
    let first = node.inputs().len().saturating_sub(node.captures());
    let Some(args) = node.inputs().iter().skip(first).copied().collect::<Option<Vec<ValueId>>>() else {
        return Outcome::miss("a captured operand is absent");
    };
    let names = names.get_or_insert_with(|| Names::of(g));
    Outcome::of(inline(g, n, &body, &args, names))
}
