//! `inline-functions`
//!
//! ```text
//! %y = call("local", "Twice")(%x)    ->  %y = add(%x, %x)
//!     (%a) { return add(%a, %a) }
//! ```
//! Calls of functions that the model itself defines are replaced by what they compute, calls inside functions included. A call whose
//! definition could not be read stays.
use crate::fault::planted;
use crate::inline::{Names, inline};
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;

/// The pass.
pub struct InlineFunctions;

const INFO: PassInfo = PassInfo {
    name: "inline-functions",
    doc: "Replaces calls of model-local functions by what they compute.",
};

impl Pass for InlineFunctions {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        let (mut names, mut total) = (None, Changed::default());
        loop {
            let changed = sweep(g, cx, |g, n| expand(g, n, &mut names));
            total.0 = total.0.saturating_add(changed.0);
            // A definition may hold further calls.
            if !changed.any() {
                return Ok(total);
            }
        }
    }
}

fn expand(g: &mut Graph, n: NodeId, names: &mut Option<Names>) -> Outcome {
    let node = g.node(n);
    let Op::Custom(call) = node.op() else { return Outcome::Skip };
    if !call.defined && !planted("inline-functions") {
        return Outcome::miss("nothing defines the operator");
    }
    let Some(body) = node.bodies().last().cloned() else {
        return Outcome::miss("the definition is missing");
    };
    let args: Vec<ValueId> = node.inputs().iter().flatten().copied().collect();
    let names = names.get_or_insert_with(|| Names::of(g));
    Outcome::of(inline(g, n, &body, &args, names))
}
