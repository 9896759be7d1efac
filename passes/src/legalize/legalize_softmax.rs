//! `legalize-softmax`
//!
//! ```text
//! %y = softmax(%x) {axis=1}   ->   %t = transpose(%x) {perm=[0, 2, 3, 1]}
//!                                  %s = softmax(%t)
//!                                  %y = transpose(%s) {perm=[0, 3, 1, 2]}
//! ```
//! The other axes keep their order, so that channels move as they do elsewhere.
//! - The operator set takes the axes from `axis` on together (before 13), which is the same only for the last.
//! - The rank is known.
use super::where_lacking;
use super::{rank, with_attr};
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::movement::transpose::Transpose;

/// The pass.
pub struct LegalizeSoftmax;

const INFO: PassInfo =
    PassInfo { name: "legalize-softmax", doc: "Moves the axis of softmax and its relatives to the end." };

impl Pass for LegalizeSoftmax {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(g, cx, &["softmax", "log_softmax", "hardmax"], |g, n, _, _| turn(g, n)))
    }
}

fn turn(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (op, x) = (node.op().clone(), node.input(0));
    let (Some(Attr::Int(axis)), Some(x), Some(rank)) = (op.def().attr("axis"), x, rank(g, x)) else {
        return Outcome::miss("the rank is not known");
    };
    let Ok(axis) = resolve_axis(axis, rank) else { return Outcome::miss("the axis is out of range") };
    if axis + 1 == rank {
        return Outcome::miss("the axis is the last already");
    }
    let mut perm: Vec<i64> = (0..rank as i64).collect();
    let last = perm.remove(axis);
    perm.push(last);
    let mut back: Vec<i64> = (0..rank as i64 - 1).collect();
    back.insert(axis, rank as i64 - 1);
    Outcome::of(g.rewrite(n, &[], |b| {
        let turned = b.transpose(Transpose { perm }, x)?;
        let y = b.add(
            with_attr(&op, "axis", &Attr::Int(if planted("legalize-softmax") { 0 } else { -1 }))?,
            &[Some(turned)],
        )?;
        Ok(vec![b.transpose(Transpose { perm: back }, y[0])?])
    }))
}
