//! `merge-shapes`
//!
//! ```text
//! %s = shape(%x)
//! %a = gather(%s, [2, 3])                   ->  %a = shape(%x) {start=2, end=4}
//! %b = unsqueeze(gather(%s, 1), [0])        ->  %b = shape(%x) {start=1, end=2}
//! %c = concat(%b, %a)                       ->  %c = shape(%x) {start=1, end=4}
//! %d = shape(%y: f32[N, 4])                 ->  %e, where %e = shape(%x: f32[N, 4]) comes before
//! ```
//! - The positions are constants and follow each other.
//! - Two nodes give the same where all elements of both are known as expressions of symbols, and these are the same.
//!
//! No node is added.
use crate::fault::planted;
use crate::known_sizes::length;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::infer::Content;
use hoist_ir::ops::Op;
use hoist_ir::ops::movement::concat::Concat;
use hoist_ir::ops::shape::shape::Shape;
use std::collections::HashMap;

/// The pass.
pub struct MergeShapes;

const INFO: PassInfo = PassInfo {
    name: "merge-shapes",
    doc: "Reads parts of shapes at once, and merges lists of sizes that are the same symbol by symbol.",
};

impl Pass for MergeShapes {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["shape", "size"])
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        let mut seen = HashMap::new();
        Ok(sweep(g, cx, |g, n| merge(g, n, &mut seen)))
    }
}

/// Element type, number of axes and elements of a value, and which value has them first.
type Seen = HashMap<(DType, usize, Content), ValueId>;

fn merge(g: &mut Graph, n: NodeId, seen: &mut Seen) -> Outcome {
    let part = match g.node(n).op() {
        Op::Gather(_) | Op::Slice(_) | Op::Unsqueeze(_) => taken(g, n),
        Op::Concat(_) => return join(g, n, seen),
        _ => None,
    };
    if let Some(part) = part {
        return Outcome::of(g.rewrite(n, &[], |b| Ok(vec![b.shape(part.op(), part.x)?])));
    }
    repeated(g, n, seen)
}

/// Sizes of the axes of `x` from `start` on and before `end`.
#[derive(Clone, Copy)]
struct Part {
    x: ValueId,
    start: i64,
    end: i64,
    rank: i64,
}

impl Part {
    fn op(&self) -> Shape {
        Shape { start: self.start, end: Some(self.end).filter(|e| *e < self.rank) }
    }
    /// What positions from `start` on and before `end` of this part are.
    fn sub(&self, start: i64, end: i64) -> Option<Self> {
        let fits = 0 <= start && start < end && end <= self.end - self.start;
        fits.then_some(Self { start: self.start + start, end: self.start + end, ..*self })
    }
}

/// The part of a shape that `v` is.
fn part(g: &Graph, v: ValueId) -> Option<Part> {
    let node = g.node(g.producer(v)?);
    let Op::Shape(op) = node.op() else { return None };
    let x = node.input(0)?;
    let rank = g.ty(x).as_tensor()?.rank()? as i64;
    let at = |a: i64| if a < 0 { a.saturating_add(rank) } else { a }.clamp(0, rank);
    Some(Part { x, start: at(op.start), end: at(op.end.unwrap_or(rank)), rank })
}

/// The part of a shape that `n` takes from more of it.
fn taken(g: &Graph, n: NodeId) -> Option<Part> {
    let node = g.node(n);
    let x = node.input(0)?;
    match node.op() {
        Op::Gather(_) => consecutive(g, n).filter(|_| rank(g, node.outputs()[0]) == Some(1)),
        Op::Slice(_) => {
            let all = part(g, x)?;
            let count = all.end - all.start;
            let one = |i: usize| match g.const_ints(node.input(i))?.as_slice() {
                [v] => Some(if *v < 0 { v.saturating_add(count) } else { *v }.clamp(0, count)),
                _ => None,
            };
            let steps = node.input(4).map_or(Some(vec![1]), |v| g.const_ints(Some(v)))?;
            if steps != [1] {
                return None;
            }
            all.sub(one(1)?, one(2)?)
        }
        Op::Unsqueeze(_) => {
            let p = g.producer(x).filter(|p| matches!(g.node(*p).op(), Op::Gather(_)))?;
            consecutive(g, p).filter(|_| rank(g, x) == Some(0) && rank(g, node.outputs()[0]) == Some(1))
        }
        _ => None,
    }
}

fn rank(g: &Graph, v: ValueId) -> Option<usize> {
    g.ty(v).as_tensor()?.rank()
}

/// The part of a shape whose elements gather `n` takes, when they follow each other.
fn consecutive(g: &Graph, n: NodeId) -> Option<Part> {
    let node = g.node(n);
    let all = part(g, node.input(0)?)?;
    let count = all.end - all.start;
    let at = g.const_ints(node.input(1))?;
    let at: Vec<i64> = at.iter().map(|i| if *i < 0 { i + count } else { *i }).collect();
    let first = *at.first()?;
    let follows = at.iter().zip(first..).all(|(i, want)| *i == want);
    if follows || planted("merge-shapes") {
        all.sub(first, first.checked_add(at.len() as i64)?)
    } else {
        None
    }
}

/// Parts of the same shape that a concat puts side by side.
fn join(g: &mut Graph, n: NodeId, seen: &mut Seen) -> Outcome {
    enum Piece {
        Value(ValueId),
        Part(Part),
    }
    let operands: Vec<ValueId> = g.node(n).inputs().iter().flatten().copied().collect();
    let mut pieces: Vec<Piece> = vec![];
    for v in &operands {
        let own = part(g, *v).filter(|_| g.single_user(*v).is_some());
        let before = match pieces.last() {
            Some(Piece::Part(p)) => Some(*p),
            Some(Piece::Value(w)) => part(g, *w).filter(|_| g.single_user(*w).is_some()),
            None => None,
        };
        match (before, own) {
            (Some(a), Some(b)) if a.x == b.x && a.end == b.start => {
                pieces.pop();
                pieces.push(Piece::Part(Part { end: b.end, ..a }));
            }
            _ => pieces.push(Piece::Value(*v)),
        }
    }
    if pieces.len() == operands.len() {
        return repeated(g, n, seen);
    }
    Outcome::of(g.rewrite(n, &[], |b| {
        let mut values = vec![];
        for p in &pieces {
            values.push(Some(match p {
                Piece::Value(v) => *v,
                Piece::Part(p) => b.shape(p.op(), p.x)?,
            }));
        }
        match values.as_slice() {
            [Some(one)] => Ok(vec![*one]),
            _ => b.add(Concat { axis: 0 }, &values),
        }
    }))
}

/// Lets the value that has the same elements first stand for the result of `n`.
fn repeated(g: &mut Graph, n: NodeId, seen: &mut Seen) -> Outcome {
    let [v] = *g.node(n).outputs() else { return Outcome::Skip };
    let Some(content) = g.value(v).content() else { return Outcome::Skip };
    if content.iter().any(Option::is_none) {
        return Outcome::miss("not all elements are known");
    }
    let (Some(dtype), Some(rank)) = (g.ty(v).as_tensor().map(|t| t.dtype), rank(g, v)) else {
        return Outcome::Skip;
    };
    if length(g, v) != Some(content.len()) || !g.node(n).bodies().is_empty() {
        return Outcome::Skip;
    }
    let Some(first) = seen.get(&(dtype, rank, content.clone())).copied() else {
        seen.insert((dtype, rank, content.clone()), v);
        return Outcome::miss("no value before has the same elements");
    };
    if first == v || g.producer(first).is_none_or(|p| g.node(p).is_erased()) {
        return Outcome::Skip;
    }
    Outcome::of(g.rewrite(n, &[], |_| Ok(vec![first])))
}
