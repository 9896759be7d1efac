//! `replace-reciprocal`
//!
//! ```text
//! %r = sqrt(%v)
//! %k = reciprocal(%r)        %r = sqrt(%v)
//! %y = mul(%x, %k)      ->   %y = div(%x, %r)
//! ```
//! - The inverse is `reciprocal`, or 1 divided by the root with nothing added to its shape. Nothing else uses it.
//! - It is the inverse of a square root: that is 0, infinite, or so far from both that its inverse neither overflows nor loses digits.
//!
//! The result is rounded once instead of twice.
use crate::fault::planted;
use crate::norm_formula::{by, operands};
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::elementwise::arithmetic::Div;

/// The pass.
pub struct ReplaceReciprocal;

const INFO: PassInfo = PassInfo {
    name: "replace-reciprocal",
    doc: "Replaces the product with the inverse of a root by a quotient.",
};

impl Pass for ReplaceReciprocal {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, replace))
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["reciprocal", "div"])
    }
}

fn replace(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    if node.op().name() != "mul" {
        return Outcome::Skip;
    }
    let (Some(a), Some(b)) = (node.input(0), node.input(1)) else { return Outcome::Skip };
    let mut found = Outcome::Skip;
    for (x, k) in [(a, b), (b, a)] {
        let Some((root, inverse)) = inverted(g, k) else { continue };
        if by(g, root, "sqrt").is_none() && !planted(INFO.name) {
            found = Outcome::miss("it is not the inverse of a square root");
        } else if g.single_user(k).is_none() {
            found = Outcome::miss("something else uses the inverse");
        } else {
            return Outcome::of(g.rewrite(n, &[inverse], |b| Ok(vec![b.div(Div {}, x, root)?])));
        }
    }
    found
}

/// What `v` is the inverse of, and the node that computes it.
fn inverted(g: &Graph, v: ValueId) -> Option<(ValueId, NodeId)> {
    if let Some(n) = by(g, v, "reciprocal") {
        return Some((g.node(n).input(0)?, n));
    }
    let (one, root) = operands(g, v, "div")?;
    let t = g.constant(one).filter(|t| t.rank() == 0 && t.as_f64() == Some(1.0))?;
    (!t.is_empty()).then_some((root, g.producer(v)?))
}
