//! `legalize-resize`
//!
//! ```text
//! %y = resize(%x, _, [2.0]) {axes=[2]}   ->   %y = resize(%x, _, [1.0, 1.0, 2.0])
//! ```
//! - The operator set has no `axes` (before 18).
//! - The rank is known; scales, sizes and the region are constant, or computed and gathered into their places.
//! - The aspect ratio is not kept: its common scale would be taken over all axes.
use super::where_lacking;
use super::{rank, with_attr};
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_ir::attr::Attr;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::index::gather::Gather;
use hoist_ir::ops::movement::concat::Concat;
use hoist_ir::ops::shape::shape::Shape;

/// The pass.
pub struct LegalizeResize;

const INFO: PassInfo =
    PassInfo { name: "legalize-resize", doc: "Gives resizing of some axes as resizing of all." };

impl Pass for LegalizeResize {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(g, cx, &["resize"], |g, n, _, _| resize(g, n)))
    }
}

fn resize(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let op = node.op().clone();
    let Some(Attr::Ints(axes)) = op.def().attr("axes").filter(|a| *a != Attr::Ints(vec![])) else {
        return Outcome::miss("all axes are given already");
    };
    let policy = op.def().attr("keep_aspect_ratio_policy");
    if !matches!(policy, Some(Attr::Word("stretch"))) {
        return Outcome::miss("the aspect ratio is kept");
    }
    let (x, roi, scales, sizes) = (node.input(0), node.input(1), node.input(2), node.input(3));
    let (Some(x), Some(rank)) = (x, rank(g, x)) else { return Outcome::miss("the rank is not known") };
    let Ok(axes) = axes.iter().map(|a| resolve_axis(*a, rank)).collect::<Result<Vec<_>, _>>() else {
        return Outcome::miss("an axis is out of range");
    };
    Outcome::of(g.rewrite(n, &[], |b| {
        let given = |from: usize, axis: usize| axes.iter().position(|a| *a == axis).map(|i| i + from);
        let place = |axis: usize, other: usize| {
            given(0, axis).filter(|_| !planted("legalize-resize")).unwrap_or(other) as i64
        };
        let k = axes.len();
        let scales = match scales {
            None => None,
            Some(scales) => {
                let one = b.constant(hoist_ir::tensor::Tensor::from_vec(&[1], vec![1f32]));
                Some(spread(b, &[scales, one], &(0..rank).map(|a| place(a, k)).collect::<Vec<_>>())?)
            }
        };
        let sizes = match sizes {
            None => None,
            Some(sizes) => {
                let own = b.shape(Shape::default(), x)?;
                Some(spread(b, &[sizes, own], &(0..rank).map(|a| place(a, k + a)).collect::<Vec<_>>())?)
            }
        };
        let roi = match roi {
            None => None,
            Some(roi) => {
                let (zero, one) = (b.scalar_like(0.0, roi)?, b.scalar_like(1.0, roi)?);
                let flat = b.ints(&[1]);
                let mut flatten =
                    |v| b.reshape(hoist_ir::ops::movement::reshape::Reshape::default(), v, flat);
                let (zero, one) = (flatten(zero)?, flatten(one)?);
                let starts = (0..rank).map(|a| place(a, 2 * k));
                let ends = (0..rank).map(|a| given(k, a).unwrap_or(2 * k + 1) as i64);
                Some(spread(b, &[roi, zero, one], &starts.chain(ends).collect::<Vec<_>>())?)
            }
        };
        b.add(with_attr(&op, "axes", &Attr::Ints(vec![]))?, &[Some(x), roi, scales, sizes])
    }))
}

/// The elements of `parts`, one behind the other, at `places`.
fn spread(b: &mut Builder<'_>, parts: &[ValueId], places: &[i64]) -> Result<ValueId, Diag> {
    let all = b.concat(Concat { axis: 0 }, parts)?;
    let places = b.ints(places);
    b.gather(Gather { axis: 0 }, all, places)
}
