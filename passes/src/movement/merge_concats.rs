//! `merge-concats`
//!
//! ```text
//! %a = concat(%x, %y) {axis=1}
//! %b = concat(%a, %z) {axis=1}         ->  %b = concat(%x, %y, %z) {axis=1}
//!
//! %p, %q = split(%x) {axis=1}
//! %y = concat(%p, %q) {axis=1}         ->  %x
//!
//! %c = concat(%x, %e: f32[2, 0])       ->  %x
//! ```
//! - A concat among the operands joins along the same axis, and nothing else uses it.
//! - Operands without positions along the axis go, while one stays.
//! - Pieces of a split that follow each other are its operand when all pieces are there in their order.
//! - Slices of one value that follow each other along the axis, fixed in size, are one slice of it, or the value; nothing else uses them.
use super::merge_slices::cut;
use crate::cuts::{Cut, dims, size, sliced};
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Def, Graph, NodeId, ValueId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::Op;
use hoist_ir::ops::movement::concat::Concat;

/// The pass.
pub struct MergeConcats;

const INFO: PassInfo = PassInfo {
    name: "merge-concats",
    doc: "Merges a concat of a concat, drops empty operands, and undoes cuts that a concat joins again.",
};

impl Pass for MergeConcats {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, merge))
    }
}

/// One operand after merging.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Value(ValueId),
    /// What a slice takes of a value whose axis has that size.
    Cut(ValueId, Cut, i64),
}

fn merge(g: &mut Graph, n: NodeId) -> Outcome {
    if !matches!(g.node(n).op(), Op::Concat(_)) {
        return Outcome::Skip;
    }
    let Some(axis) = joined_axis(g, n) else { return Outcome::miss("the rank is not known") };
    let operands: Vec<ValueId> = g.node(n).inputs().iter().flatten().copied().collect();
    let mut also = vec![];
    let flat = flattened(g, n, axis, &operands, &mut also);
    let parts = restored(g, &kept(g, axis, &flat), axis, &mut also);
    let same =
        parts.len() == operands.len() && parts.iter().zip(&operands).all(|(p, v)| *p == Part::Value(*v));
    if same || parts.is_empty() {
        return Outcome::miss("no operand is a concat along this axis, empty, or a piece next to another");
    }
    Outcome::of(g.rewrite(n, &also, |b| {
        let mut values = vec![];
        for p in &parts {
            values.push(match p {
                Part::Value(v) => *v,
                Part::Cut(x, taken, size) if taken.start == 0 && taken.end == *size => *x,
                Part::Cut(x, taken, _) => cut(b, *x, &[*taken])?,
            });
        }
        if let [one] = values.as_slice() {
            return Ok(vec![*one]);
        }
        let values: Vec<Option<ValueId>> = values.into_iter().map(Some).collect();
        b.add(Concat { axis: axis as i64 }, &values)
    }))
}

/// The axis along which concat `n` joins, counted from the front.
fn joined_axis(g: &Graph, n: NodeId) -> Option<usize> {
    let node = g.node(n);
    let Some(Attr::Int(axis)) = node.op().def().attr("axis") else { return None };
    let rank = dims(g, *node.outputs().first()?)?.len();
    resolve_axis(axis, rank).ok()
}

/// The operands, with those of concats along the same axis in their place.
fn flattened(
    g: &Graph,
    n: NodeId,
    axis: usize,
    operands: &[ValueId],
    also: &mut Vec<NodeId>,
) -> Vec<ValueId> {
    let mut out = vec![];
    for v in operands {
        let inner = g.producer(*v).filter(|p| {
            matches!(g.node(*p).op(), Op::Concat(_))
                && g.single_user(*v) == Some(n)
                && joined_axis(g, *p) == Some(axis)
        });
        match inner {
            Some(p) => {
                also.push(p);
                out.extend(g.node(p).inputs().iter().flatten());
            }
            None => out.push(*v),
        }
    }
    if planted("merge-concats") {
        out.reverse();
    }
    out
}

/// The operands that have positions along the axis; one of them where none has.
fn kept(g: &Graph, axis: usize, operands: &[ValueId]) -> Vec<ValueId> {
    let empty = |v: &ValueId| dims(g, *v).and_then(|d| size(d, axis)) == Some(0);
    let some: Vec<ValueId> = operands.iter().copied().filter(|v| !empty(v)).collect();
    if some.is_empty() { operands.iter().copied().take(1).collect() } else { some }
}

/// The operands, with pieces that follow each other put together.
fn restored(g: &Graph, operands: &[ValueId], axis: usize, also: &mut Vec<NodeId>) -> Vec<Part> {
    let mut out: Vec<Part> = vec![];
    let mut i = 0;
    while let Some(v) = operands.get(i) {
        if let Some((p, x, count)) = whole_split(g, &operands[i..], axis) {
            also.push(p);
            out.push(Part::Value(x));
            i += count;
            continue;
        }
        i += 1;
        let Some((p, part)) = piece(g, *v, axis) else {
            out.push(Part::Value(*v));
            continue;
        };
        let Part::Cut(x, taken, size) = part else { continue };
        let before = out.last().copied().and_then(|last| match last {
            Part::Cut(y, first, _) => Some((y, first, None)),
            Part::Value(w) => match piece(g, w, axis)? {
                (q, Part::Cut(y, first, _)) => Some((y, first, Some(q))),
                _ => None,
            },
        });
        match before {
            Some((y, first, q)) if y == x && first.end == taken.start => {
                also.extend(q);
                also.push(p);
                out.pop();
                out.push(Part::Cut(x, Cut { end: taken.end, ..first }, size));
            }
            _ => out.push(Part::Value(*v)),
        }
    }
    out
}

/// The slice that makes `v`, when it cuts this axis only and only one node uses `v`.
fn piece(g: &Graph, v: ValueId, axis: usize) -> Option<(NodeId, Part)> {
    let p = g.producer(v)?;
    let s = sliced(g, p)?;
    let [cut] = s.cuts.as_slice() else { return None };
    let size = size(dims(g, s.x)?, axis)?;
    let fits = cut.axis == axis && cut.step == 1 && cut.end > cut.start && g.single_user(v).is_some();
    fits.then_some((p, Part::Cut(s.x, *cut, size)))
}

/// The split all of whose pieces `operands` begins with, its operand, and how many pieces there are.
fn whole_split(g: &Graph, operands: &[ValueId], axis: usize) -> Option<(NodeId, ValueId, usize)> {
    let Def::Node { node: p, slot: 0 } = g.value(*operands.first()?).def() else { return None };
    let node = g.node(p);
    let Op::Split(op) = node.op() else { return None };
    let x = node.input(0)?;
    let along = resolve_axis(op.axis, dims(g, x)?.len()).ok()?;
    let all = node.outputs();
    (along == axis && operands.get(..all.len()) == Some(all)).then_some((p, x, all.len()))
}
