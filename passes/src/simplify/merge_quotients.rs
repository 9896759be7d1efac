//! `merge-quotients`
//!
//! ```text
//! %s = sqrt(%v)
//! %r = reciprocal(%s)
//! %y = mul(%x, %r)      ->  %y = div(%x, %s)
//! ```
//! - The reciprocal is that of a root (`sqrt`, or of 1 divided by it) and used by the product only. A root is far from the numbers whose
//!   inverse is out of range.
//!
//! The result rounds once where it rounded twice.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;

/// The pass.
pub struct MergeQuotients;

const INFO: PassInfo = PassInfo {
    name: "merge-quotients",
    doc: "Replaces the product with the reciprocal of a root by a quotient.",
};

impl Pass for MergeQuotients {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, merge))
    }
}

fn merge(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let ("mul", Some(a), Some(b)) = (node.op().name(), node.input(0), node.input(1)) else {
        return Outcome::Skip;
    };
    let mut found = Outcome::Skip;
    for (x, r) in [(a, b), (b, a)] {
        let Some((p, root)) = g.producer(r).and_then(|p| Some((p, reciprocal_of(g, p)?))) else { continue };
        if g.single_user(r).is_none() {
            found = Outcome::miss("something else uses the reciprocal");
        } else if !is_root(g, root) && !planted("merge-quotients") {
            found = Outcome::miss("the reciprocal is not that of a root");
        } else {
            let Some(op) = Op::by_name("div") else { return Outcome::Skip };
            return Outcome::of(g.rewrite(n, &[p], |b| b.add(op, &[Some(x), Some(root)])));
        }
    }
    found
}

/// What `p` divides 1 by.
fn reciprocal_of(g: &Graph, p: NodeId) -> Option<ValueId> {
    let node = g.node(p);
    match node.op().name() {
        "reciprocal" => node.input(0),
        "div" => {
            let one = g.constant(node.input(0)?)?;
            (one.rank() == 0 && one.as_f64() == Some(1.0)).then(|| node.input(1))?
        }
        _ => None,
    }
}

fn is_root(g: &Graph, v: ValueId) -> bool {
    g.producer(v).is_some_and(|p| g.node(p).op().name() == "sqrt")
}
