//! `merge-directions`
//!
//! ```text
//! %a = lstm(%x, %w, %r)
//! %b = lstm(%x, %v, %s) {direction=reverse}           %y = lstm(%x, concat(%w, %v), concat(%r, %s)) {direction=bidirectional}
//! %c = transpose(squeeze(%a, [1]))              ->    %z = reshape(transpose(%y), [0, 0, -1])
//! %d = transpose(squeeze(%b, [1]))
//! %z = concat(%c, %d) {axis=-1}
//! ```
//! - Likewise `gru` and `rnn`. Both have the same sequence, lengths, functions and sizes. Both have a bias, initial states and peepholes, or neither; a missing bias
//!   is 0.
//! - Other uses of the results read them of the operator's results by `slice`.
use super::operator::{self, LENGTHS, Parts};
use crate::fault::planted;
use crate::norm_formula::dims;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use crate::queries::same_op;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, Use, ValueId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::Op;
use hoist_ir::ops::movement::concat::Concat;
use hoist_ir::ops::movement::reshape::Reshape;
use hoist_ir::ops::movement::slice::Slice;
use hoist_ir::ops::movement::transpose::Transpose;
use hoist_ir::ops::recurrent::Direction;
use hoist_ir::tensor::Tensor;

/// The pass.
pub struct MergeDirections;

const INFO: PassInfo = PassInfo {
    name: "merge-directions",
    doc: "Replaces a recurrent operator of each direction by one of both.",
};

/// Position of the bias.
const BIAS: usize = 3;

impl Pass for MergeDirections {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(operator::NAMES)
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, merge))
    }
}

fn merge(g: &mut Graph, n: NodeId) -> Outcome {
    let Some(parts) = Parts::of(g.node(n).op()) else { return Outcome::Skip };
    if parts.direction != Direction::Reverse || parts.layout != 0 {
        return Outcome::Skip;
    }
    let Some(x) = g.node(n).input(0) else { return Outcome::Skip };
    let users = g.value(x).uses().iter().filter_map(|u| match u {
        Use::Node { node, slot: 0 } => Some(*node),
        _ => None,
    });
    let Some(forward) = users.into_iter().find(|m| fits(g, *m, n)) else {
        return Outcome::miss("no operator like it goes forward over the same sequence");
    };
    Outcome::of(join(g, forward, n))
}

/// Whether `forward` is `reverse` in the other direction, weights aside.
fn fits(g: &Graph, forward: NodeId, reverse: NodeId) -> bool {
    let (f, r) = (g.node(forward), g.node(reverse));
    let other = operator::with_direction(f.op(), Direction::Reverse);
    let is_forward = Parts::of(f.op()).is_some_and(|p| p.direction == Direction::Forward && explicit(&p));
    let sizes = |n: &hoist_ir::graph::Node, i: usize| n.input(i).and_then(|v| dims(g, v).cloned());
    let same_sizes = |i: usize| sizes(f, i).is_some_and(|d| Some(d) == sizes(r, i));
    let alike = |i: usize| f.input(i).is_some() == r.input(i).is_some();
    let most = f.inputs().len().max(r.inputs().len());
    is_forward
        && same_op(&other, r.op())
        && (1..3).all(same_sizes)
        && f.input(LENGTHS) == r.input(LENGTHS)
        && (LENGTHS..most).all(alike)
}

/// Whether each function that takes a parameter has its own in the lists.
fn explicit(p: &Parts<'_>) -> bool {
    let names = p.activations.unwrap_or_default();
    let count = |with: &[&str]| names.iter().filter(|n| with.contains(&n.as_str())).count();
    let both = ["HardSigmoid", "Affine", "ScaledTanh"];
    let first = ["Elu", "LeakyRelu", "ThresholdedRelu"];
    p.beta.len() == count(&both) && p.alpha.len() == count(&both) + count(&first)
}

fn join(g: &mut Graph, forward: NodeId, reverse: NodeId) -> Result<(), Diag> {
    let early = if g.comes_before(forward, reverse) { forward } else { reverse };
    let late = if early == forward { reverse } else { forward };
    // Where an operand of the later one is computed between, both are there only then.
    let known = g
        .node(late)
        .inputs()
        .iter()
        .flatten()
        .all(|v| g.producer(*v).is_none_or(|p| g.comes_before(p, early)));
    let root = if known { early } else { late };
    let other = if root == forward { reverse } else { forward };
    let follows = |u: &Use| match u {
        Use::Node { node, .. } => g.comes_before(root, *node),
        Use::Output(_) => true,
    };
    if !g.node(other).outputs().iter().flat_map(|v| g.value(*v).uses()).all(follows) {
        return Err(Diag::error("E0403", "the results of one are used before the other can run"));
    }
    let (mut results, mut both) = ([vec![], vec![]], None);
    g.rewrite(root, &[other], |b| {
        let ran = operator_of_both(b, forward, reverse)?;
        both = ran.first().copied();
        for (d, n) in [forward, reverse].into_iter().enumerate() {
            for (i, v) in ran.iter().enumerate().take(b.graph().node(n).outputs().len()) {
                results[d].push(part(b, *v, i64::from(i == 0), d as i64)?);
            }
        }
        Ok(results[usize::from(root == reverse)].clone())
    })?;
    let old = g.node(other).outputs().to_vec();
    for (old, new) in old.into_iter().zip(&results[usize::from(other == reverse)]) {
        g.replace_uses(old, *new)?;
    }
    g.erase_dead(other);
    if let (Some(y), [Some(f), Some(r)]) = (both, [results[0].first().copied(), results[1].first().copied()])
    {
        join_steps(g, y, f, r)?;
    }
    Ok(())
}

/// Position `d` of axis `axis` of `v`, which keeps the axis.
fn part(b: &mut Builder<'_>, v: ValueId, axis: i64, d: i64) -> Result<ValueId, Diag> {
    let (start, end, axis) = (b.ints(&[d]), b.ints(&[d + 1]), b.ints(&[axis]));
    let cut = b.add(Slice {}, &[Some(v), Some(start), Some(end), Some(axis)])?;
    cut.first().copied().ok_or_else(|| Diag::error("E0901", "a slice has no result"))
}

fn operator_of_both(b: &mut Builder<'_>, forward: NodeId, reverse: NodeId) -> Result<Vec<ValueId>, Diag> {
    let (f, r) = (b.graph().node(forward), b.graph().node(reverse));
    let op = operator::with_both(f.op());
    let results = f.outputs().len().max(r.outputs().len());
    let pairs: Vec<_> =
        (0..f.inputs().len().max(r.inputs().len())).map(|i| (f.input(i), r.input(i))).collect();
    let mut inputs = vec![];
    for (i, (f, r)) in pairs.into_iter().enumerate() {
        let zeros = |b: &mut Builder<'_>, like: ValueId| {
            let ty = b.graph().ty(like).as_tensor().and_then(|t| Some((t.dtype, t.sizes()?)));
            let (dtype, sizes) =
                ty.ok_or_else(|| Diag::error("E0403", "the sizes of a bias are not known"))?;
            let zeros = Tensor::scalar(0f32).cast(dtype, false).and_then(|z| Tensor::splat(&z, &sizes));
            zeros.map(|t| b.constant(t)).map_err(|e| Diag::error("E0403", e.to_string()))
        };
        let (f, r) = match (f, r) {
            (Some(f), None) if i == BIAS => (Some(f), Some(zeros(b, f)?)),
            (None, Some(r)) if i == BIAS => (Some(zeros(b, r)?), Some(r)),
            both => both,
        };
        inputs.push(match (f, r) {
            (Some(f), Some(r)) if i != 0 && i != LENGTHS => {
                let (f, r) = if planted(INFO.name) { (r, f) } else { (f, r) };
                b.add(Concat { axis: 0 }, &[Some(f), Some(r)])?.first().copied()
            }
            (f, _) => f,
        });
    }
    b.add_n(op, &inputs, results)
}

/// Replaces the steps `f` and `r` of both directions, joined along their last axis, by what the operator gives as `y`, `[steps, 2, batch, hidden]`.
fn join_steps(g: &mut Graph, y: ValueId, f: ValueId, r: ValueId) -> Result<(), Diag> {
    let (Some(f), Some(r)) = (chain(g, f), chain(g, r)) else { return Ok(()) };
    if f.user != r.user || f.batch_first != r.batch_first {
        return Ok(());
    }
    let node = g.node(f.user);
    let Op::Concat(op) = node.op() else { return Ok(()) };
    let hidden = dims(g, y).and_then(|d| d.get(3)?.known()).and_then(|h| i64::try_from(h).ok());
    let last = resolve_axis(op.axis, 3) == Ok(2) && node.inputs() == [Some(f.v), Some(r.v)];
    let Some(hidden) = hidden.filter(|_| last) else { return Ok(()) };
    let perm = if f.batch_first { [2, 0, 1, 3] } else { [0, 2, 1, 3] };
    g.rewrite(f.user, &[], |b| {
        let moved = b.add(Transpose { perm: perm.to_vec() }, &[Some(y)])?.first().copied();
        let sizes = b.ints(&[0, 0, 2 * hidden]);
        b.add(Reshape { allowzero: false }, &[moved, Some(sizes)])
    })
}

/// What the steps of a direction go through.
struct Chain {
    v: ValueId,
    batch_first: bool,
    user: NodeId,
}

/// `v` without the axis of directions, with the first two axes in another order or not, up to its only user behind.
fn chain(g: &Graph, v: ValueId) -> Option<Chain> {
    let squeeze = g.single_user(v)?;
    let node = g.node(squeeze);
    let Op::Squeeze(_) = node.op() else { return None };
    (g.const_ints(node.input(1))? == [1]).then_some(())?;
    let v = *node.outputs().first()?;
    let user = g.single_user(v)?;
    match g.node(user).op() {
        Op::Transpose(op) if op.perm == [1, 0, 2] => {
            let v = *g.node(user).outputs().first()?;
            Some(Chain { v, batch_first: true, user: g.single_user(v)? })
        }
        _ => Some(Chain { v, batch_first: false, user }),
    }
}
