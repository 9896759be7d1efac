//! `fuse-reversed-sequence`
//!
//! ```text
//! %r = slice(%x, [-1], [lowest], [0], [-1])
//! %y, %h = lstm(%r, ..)
//! %s = squeeze(%y, [1])
//! %t = transpose(%s)
//! %u = slice(%t, [-1], [lowest], [1], [-1])  ->  %y, %h = lstm(%x, ..) {direction=reverse}, %s = .., %u = transpose(%s)
//! ```
//! - Likewise `gru` and `rnn`, and back from `reverse` to `forward`. Steps come first; no sequence ends before the others.
//! - The sequence may be transposed between.
//! - Nothing uses the results of the steps, or all that does turns them around again, behind `squeeze` and `transpose` at most.
use super::operator::{self, Parts};
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::edit::NewNode;
use hoist_ir::graph::{Graph, NodeId, Use, ValueId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::Op;
use hoist_ir::ops::movement::transpose::Transpose;
use hoist_ir::ops::recurrent::Direction;

/// The pass.
pub struct FuseReversedSequence;

const INFO: PassInfo = PassInfo {
    name: "fuse-reversed-sequence",
    doc: "Has a recurrent operator go backwards rather than turning its sequence around.",
};

/// Nodes between an operator and where its result is turned around, at most.
const DEPTH: usize = 3;

impl Pass for FuseReversedSequence {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(operator::NAMES)
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, fuse))
    }
}

fn fuse(g: &mut Graph, n: NodeId) -> Outcome {
    let Some(parts) = Parts::of(g.node(n).op()) else { return Outcome::Skip };
    let node = g.node(n);
    let Some(x) = node.input(0).and_then(|v| sequence(g, v)) else { return Outcome::Skip };
    let direction = match parts.direction {
        Direction::Forward => Direction::Reverse,
        Direction::Reverse => Direction::Forward,
        Direction::Bidirectional => return Outcome::miss("it goes in both directions"),
    };
    if parts.layout != 0 || node.input(operator::LENGTHS).is_some() {
        return Outcome::miss("sequences end at different steps, or come first");
    }
    let mut back = vec![];
    let all = node.outputs().first().is_some_and(|y| ends(g, *y, 0, 0, &mut back));
    if !all && !planted(INFO.name) {
        return Outcome::miss("something uses the results in the order of the steps");
    }
    Outcome::of(apply(g, n, x, direction, &back))
}

/// What a sequence is turned around of: the value, and how its axes are moved then.
type Turned = (ValueId, Option<Vec<i64>>);

/// What `v` is, its first axis turned around.
fn sequence(g: &Graph, v: ValueId) -> Option<Turned> {
    let n = g.producer(v)?;
    if let Op::Transpose(op) = g.node(n).op() {
        let axis = usize::try_from(*op.perm.first()?).ok()?;
        let before = g.producer(g.node(n).input(0)?)?;
        return Some((turned(g, before, axis)?, Some(op.perm.clone())));
    }
    Some((turned(g, n, 0)?, None))
}

fn apply(g: &mut Graph, n: NodeId, x: Turned, direction: Direction, back: &[NodeId]) -> Result<(), Diag> {
    let node = g.node(n);
    let op = operator::with_direction(node.op(), direction);
    let new = NewNode { op, ..NewNode::like(node, node.inputs().to_vec()) };
    let (x, perm) = x;
    g.rewrite(n, &[], |b| {
        let x = match perm {
            Some(perm) => b.add(Transpose { perm }, &[Some(x)])?.first().copied(),
            None => Some(x),
        };
        let mut new = new;
        new.inputs[0] = x;
        b.add_node(new)
    })?;
    for slice in back {
        let node = g.node(*slice);
        if let (Some(x), Some(y)) = (node.input(0), node.outputs().first().copied()) {
            g.replace_uses(y, x)?;
            g.erase_dead(*slice);
        }
    }
    Ok(())
}

/// What `n` turns around along axis `axis`, and does nothing else to.
fn turned(g: &Graph, n: NodeId, axis: usize) -> Option<ValueId> {
    let node = g.node(n);
    let (Op::Slice(_), Some(x)) = (node.op(), node.input(0)) else { return None };
    let rank = g.ty(x).as_tensor()?.rank()?;
    let one = |i: usize| g.const_ints(node.input(i)).filter(|l| l.len() == 1).map(|l| l[0]);
    let along = node.input(3).map_or(Some(0), |_| one(3))?;
    let whole = (one(1)? == -1 || one(1)? >= i64::from(i32::MAX)) && one(2)? <= i64::from(i32::MIN);
    (whole && one(4)? == -1 && resolve_axis(along, rank) == Ok(axis)).then_some(x)
}

/// Whether all that uses `v` turns it around along axis `axis`; these nodes are added to `back`.
fn ends(g: &Graph, v: ValueId, axis: usize, depth: usize, back: &mut Vec<NodeId>) -> bool {
    let follows = |u: &Use, back: &mut Vec<NodeId>| {
        let Use::Node { node: n, slot: 0 } = u else { return false };
        let node = g.node(*n);
        if turned(g, *n, axis).is_some() {
            back.push(*n);
            return true;
        }
        let Some(y) = node.outputs().first().copied().filter(|_| depth < DEPTH) else { return false };
        let place = match node.op() {
            Op::Transpose(op) => op.perm.iter().position(|p| usize::try_from(*p) == Ok(axis)),
            Op::Squeeze(_) => g.const_ints(node.input(1)).and_then(|axes| {
                let rank = g.ty(v).as_tensor()?.rank()?;
                let axes: Vec<usize> =
                    axes.iter().map(|a| resolve_axis(*a, rank).ok()).collect::<Option<_>>()?;
                (!axes.contains(&axis)).then(|| axis - axes.iter().filter(|a| **a < axis).count())
            }),
            _ => None,
        };
        place.is_some_and(|place| ends(g, y, place, depth + 1, back))
    };
    g.value(v).uses().iter().all(|u| follows(u, back))
}
