//! `merge-slices`
//!
//! ```text
//! %a = slice(%x, [2], [9], [0])
//! %b = slice(%a, [1], [4], [0])   ->  %b = slice(%x, [3], [6], [0])
//!
//! %c = concat(%p: f32[2], %q: f32[3])
//! %d = slice(%c, [2], [4])        ->  %d = slice(%q, [0], [2])      or %q where all of it is taken
//!
//! %e = slice(%x, [0], [2147483647])  ->  %x
//! ```
//! - Positions are constants, steps constant and positive.
//! - Two slices of the same axis merge where its size is fixed, or the positions of both count from the same end.
//! - Of a `concat` or a `split` along the axis, the operand or the piece must be found: sizes before it are fixed.
//!
//! No node is added.
use crate::cuts::{BORDER, Cut, Sliced, dims, size, sliced};
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::attr::Attr;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::Op;
use hoist_ir::ops::movement::slice::Slice;

/// The pass.
pub struct MergeSlices;

const INFO: PassInfo = PassInfo {
    name: "merge-slices",
    doc: "Merges a slice of a slice, takes slices of a concat from its operands, and removes slices that take everything.",
};

impl Pass for MergeSlices {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, merge))
    }
}

/// `x` cut along `cuts`.
pub fn cut(b: &mut Builder<'_>, x: ValueId, cuts: &[Cut]) -> Result<ValueId, Diag> {
    if cuts.is_empty() {
        return Ok(x);
    }
    let list = |f: fn(&Cut) -> i64| cuts.iter().map(f).collect::<Vec<i64>>();
    let starts = b.ints(&list(|c| c.start));
    let ends = b.ints(&list(|c| if c.end == BORDER { i64::MAX } else { c.end }));
    let axes = b.ints(&list(|c| c.axis as i64));
    let steps = if cuts.iter().all(|c| c.step == 1) { None } else { Some(b.ints(&list(|c| c.step))) };
    b.slice(Slice {}, x, starts, ends, Some(axes), steps)
}

fn merge(g: &mut Graph, n: NodeId) -> Outcome {
    if !matches!(g.node(n).op(), Op::Slice(_)) {
        return Outcome::Skip;
    }
    let Some(outer) = sliced(g, n) else {
        return Outcome::miss("the rank, the positions or the steps are not known, or it goes backwards");
    };
    if outer.cuts.is_empty() {
        return Outcome::of(g.rewrite(n, &[], |_| Ok(vec![outer.x])));
    }
    let Some(p) = g.producer(outer.x) else {
        return Outcome::miss("the operand is not the result of a node");
    };
    match g.node(p).op() {
        Op::Slice(_) => merge_two(g, n, p, &outer),
        Op::Concat(_) => take_operand(g, n, p, &outer),
        _ => Outcome::miss("the operand is not the result of a slice or a concat"),
    }
}

fn merge_two(g: &mut Graph, n: NodeId, p: NodeId, outer: &Sliced) -> Outcome {
    let Some(inner) = sliced(g, p) else { return Outcome::miss("the slice before is not known") };
    let Some(sizes) = dims(g, inner.x) else { return Outcome::Skip };
    let mut cuts = inner.cuts;
    for cut in &outer.cuts {
        match cuts.iter_mut().find(|c| c.axis == cut.axis) {
            None => cuts.push(*cut),
            Some(first) => match first.then(cut, size(sizes, cut.axis)) {
                Some(both) => *first = both,
                None => return Outcome::miss("both cut the same axis, from different ends"),
            },
        }
    }
    cuts.sort_by_key(|c| c.axis);
    Outcome::of(g.rewrite(n, &[p], |b| Ok(vec![cut(b, inner.x, &cuts)?])))
}

/// The operand of concat `p` that holds all that is taken along its axis.
fn take_operand(g: &mut Graph, n: NodeId, p: NodeId, outer: &Sliced) -> Outcome {
    let Some(rank) = dims(g, outer.x).map(Vec::len) else { return Outcome::Skip };
    let Some(Attr::Int(axis)) = g.node(p).op().def().attr("axis") else { return Outcome::Skip };
    let Ok(axis) = resolve_axis(axis, rank) else { return Outcome::Skip };
    let Some(at) = outer.cuts.iter().position(|c| c.axis == axis) else {
        return Outcome::miss("the concat before joins along another axis");
    };
    let taken = outer.cuts[at];
    if taken.start < 0 || taken.end < 0 {
        return Outcome::miss("positions count from the end of an axis of unknown size");
    }
    let mut offset = 0i64;
    for v in g.node(p).inputs().iter().flatten().copied() {
        let Some(known) = dims(g, v).and_then(|d| size(d, axis)) else {
            return Outcome::miss("the size of an operand of the concat is not known");
        };
        let Some(next) = offset.checked_add(known) else { return Outcome::Skip };
        if taken.start >= offset && taken.start < next {
            if taken.end > next && !planted("merge-slices") {
                return Outcome::miss("what is taken spans several operands of the concat");
            }
            let mut cuts = outer.cuts.clone();
            cuts[at] = Cut { start: taken.start - offset, end: taken.end - offset, ..taken };
            if cuts[at].start == 0 && cuts[at].end == known && taken.step == 1 {
                cuts.remove(at);
            }
            return Outcome::of(g.rewrite(n, &[p], |b| Ok(vec![cut(b, v, &cuts)?])));
        }
        offset = next;
    }
    Outcome::miss("nothing is taken")
}
