//! States that a loop carries: whole values, or columns of one; kept as they are in steps that do not count.
//!
//! ```text
//! next = where(less(i, lengths), concat(c', h'), before)   ->   c' and h', held behind `lengths`
//! ```
use super::step::{Columns, Step};
use crate::norm_formula::by;
use hoist_ir::graph::{NodeId, ValueId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::Op;
use hoist_ir::tensor::Tensor;

/// Nodes between a condition and the lengths it asks for.
const DEPTH: usize = 6;

/// Which steps count.
#[derive(Clone, Debug)]
pub struct Held {
    /// The condition, a value of the body.
    pub condition: ValueId,
    /// Whether steps count where it is true.
    pub live: bool,
    /// How many steps of each sequence count.
    pub lengths: Lengths,
}

/// One number per sequence.
#[derive(Clone, Debug)]
pub enum Lengths {
    /// A value of the loop's graph.
    Value(ValueId),
    /// A constant.
    Constant(Tensor),
}

/// A state.
#[derive(Clone, Debug)]
pub struct State {
    /// Which carried value holds it.
    pub k: usize,
    /// Where it is before a step.
    pub before: Columns,
    /// What a step that counts gives.
    pub next: ValueId,
    /// Which steps count, where not all do.
    pub held: Option<Held>,
    /// Nodes between `next` and what is carried.
    pub carriers: Vec<NodeId>,
}

/// All states that loop `step` carries.
pub fn states(step: &Step<'_>) -> Vec<State> {
    let mut out = vec![];
    for k in 0..step.carried {
        let whole = step.body.inputs().get(2 + k).and_then(|v| step.whole(*v));
        let (Some(before), Some(next)) = (whole, step.next(k)) else { continue };
        collect(step, State { k, before, next, held: None, carriers: vec![] }, &mut out);
    }
    out
}

fn collect(step: &Step<'_>, state: State, out: &mut Vec<State>) {
    let node = step.body.producer(state.next).map(|n| (n, step.body.node(n)));
    match node.map(|(n, node)| (n, node, node.op())) {
        Some((n, node, Op::Where(_))) if state.held.is_none() => {
            let (a, b) = (node.input(1), node.input(2));
            let kept = |v: Option<ValueId>| v.is_some_and(|v| step.is(v, state.before));
            let next = if kept(b) { a.map(|v| (v, true)) } else { b.filter(|_| kept(a)).map(|v| (v, false)) };
            let condition = node.input(0);
            if let (Some((next, live)), Some(condition)) = (next, condition)
                && let Some(lengths) = lengths(step, condition, live)
            {
                let held = Some(Held { condition, live, lengths });
                let carriers = [state.carriers.as_slice(), &[n]].concat();
                return collect(step, State { next, held, carriers, ..state }, out);
            }
        }
        Some((n, node, Op::Concat(op))) if resolve_axis(op.axis, 2) == Ok(1) => {
            let mut start = state.before.start;
            for v in node.inputs().iter().flatten() {
                let Some(len) = step.size(*v, 1) else { return };
                let before = Columns { v: state.before.v, start, len };
                let carriers = [state.carriers.as_slice(), &[n]].concat();
                collect(step, State { before, next: *v, carriers, ..state.clone() }, out);
                start += len;
            }
            return;
        }
        _ => {}
    }
    out.push(state);
}

/// The lengths, where `condition` says of each sequence whether the step is one of its first ones; `live`: whether by being true.
fn lengths(step: &Step<'_>, condition: ValueId, live: bool) -> Option<Lengths> {
    let mut v = condition;
    for _ in 0..DEPTH {
        let n = step.body.producer(v)?;
        let node = step.body.node(n);
        let first = node.input(0)?;
        // The step comes first in these, or, turned around, last.
        let (plain, turned) = match node.op() {
            Op::Less(_) => (true, None),
            Op::GreaterOrEqual(_) => (false, None),
            Op::Greater(_) => (true, Some(())),
            Op::LessOrEqual(_) => (false, Some(())),
            Op::Unsqueeze(_) | Op::Identity(_) | Op::Expand(_) | Op::Reshape(_) => {
                // One condition per sequence: behind it are axes of size 1 or copies.
                let rank = |v: ValueId| step.body.ty(v).as_tensor()?.rank();
                let column = rank(first) == Some(2)
                    && (by(step.body, first, "unsqueeze").is_some() || step.size(first, 1) == Some(1));
                let moves = match node.op() {
                    Op::Unsqueeze(_) => {
                        rank(first) == Some(1)
                            && step.body.const_ints(node.input(1)).is_some_and(|a| a == [1] || a == [-1])
                    }
                    Op::Reshape(_) => {
                        rank(first) == Some(1) && rank(v) == Some(2) && step.size(v, 1) == Some(1)
                    }
                    Op::Expand(_) => column && rank(v) == Some(2),
                    _ => true,
                };
                moves.then_some(())?;
                v = first;
                continue;
            }
            _ => return None,
        };
        let (i, lengths) = match turned {
            None => (first, node.input(1)?),
            Some(()) => (node.input(1)?, first),
        };
        (plain == live && step.index(i) == Some(0)).then_some(())?;
        (step.body.ty(lengths).as_tensor()?.rank() == Some(1)).then_some(())?;
        return match step.constant(lengths) {
            Some(t) => Some(Lengths::Constant(t.clone())),
            None => step.outer(lengths).map(Lengths::Value),
        };
    }
    None
}
