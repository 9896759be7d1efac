//! `legalize-pad`
//!
//! ```text
//! %y = pad(%x, [1, 2], 0, axes=[1])   ->   %y = pad(%x, [0, 1, 0, 2], 0)
//! ```
//! - The operator set has no `axes` (before 18).
//! - The rank is known and `axes` is constant. Computed pads are gathered into their places, with zeros for other axes.
use super::rank;
use super::where_lacking;
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::index::gather::Gather;
use hoist_ir::ops::movement::concat::Concat;

/// The pass.
pub struct LegalizePad;

const INFO: PassInfo =
    PassInfo { name: "legalize-pad", doc: "Gives padding of some axes as padding of all." };

impl Pass for LegalizePad {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(g, cx, &["pad"], |g, n, _, _| pad(g, n)))
    }
}

fn pad(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let op = node.op().clone();
    let (Some(x), Some(pads), value, Some(axes)) =
        (node.input(0), node.input(1), node.input(2), node.input(3))
    else {
        return Outcome::miss("all axes are given already");
    };
    let (Some(axes), Some(rank)) = (g.const_ints(Some(axes)), rank(g, Some(x))) else {
        return Outcome::miss("the rank or the axes are not known");
    };
    let Ok(axes) = axes.iter().map(|a| resolve_axis(*a, rank)).collect::<Result<Vec<_>, _>>() else {
        return Outcome::miss("an axis is out of range");
    };
    // Position among the given pads, or behind them, where the zero is.
    let place = |end: usize, axis: usize| {
        let at = axes.iter().position(|a| *a == axis);
        at.map_or(2 * axes.len(), |i| if planted("legalize-pad") { i } else { end * axes.len() + i })
    };
    let places: Vec<usize> =
        (0..2).flat_map(|e| (0..rank).map(move |a| (e, a))).map(|(e, a)| place(e, a)).collect();
    let known = g.const_ints(Some(pads));
    Outcome::of(g.rewrite(n, &[], |b| {
        let full = if let Some(known) = known {
            b.ints(&places.iter().map(|p| known.get(*p).copied().unwrap_or(0)).collect::<Vec<_>>())
        } else {
            let zero = b.ints(&[0]);
            let all = b.concat(Concat { axis: 0 }, &[pads, zero])?;
            let places = b.ints(&places.iter().map(|p| *p as i64).collect::<Vec<_>>());
            b.gather(Gather { axis: 0 }, all, places)?
        };
        b.add(op, &[Some(x), Some(full), value])
    }))
}
