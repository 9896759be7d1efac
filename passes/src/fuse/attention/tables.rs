//! Tables of cosines and sines whose two halves are equal.
use super::shapes::{dims, made_by};
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dim::Dim;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::tensor::Tensor;

/// Most elements of a constant table that is compared with itself.
const MOST: usize = 1 << 22;
/// Steps from a table to what it is computed of.
const STEPS: usize = 8;

/// How a value with two equal halves is made.
enum Made {
    /// A constant.
    Constant,
    /// This value twice.
    Twice(ValueId),
    /// By this node, from its operand of this position.
    By(NodeId, usize),
}

fn made(g: &Graph, v: ValueId) -> Option<Made> {
    if let Some(t) = g.constant(v) {
        return has_equal_halves(t).then_some(Made::Constant);
    }
    let (n, op) = made_by(g, v)?;
    let node = g.node(n);
    let rank = dims(g, v)?.len() as i64;
    let single = |i: usize| {
        node.input(i).and_then(|c| g.constant(c)).is_some_and(|t| t.len() == 1 && t.rank() <= rank as usize)
    };
    match op {
        Op::Concat(c) if c.axis == -1 || c.axis == rank - 1 => match *node.inputs() {
            [Some(a), Some(b)] if a == b => Some(Made::Twice(a)),
            _ => None,
        },
        Op::Cos(_) | Op::Sin(_) | Op::Cast(_) => Some(Made::By(n, 0)),
        Op::Mul(_) | Op::Div(_) if single(1) => Some(Made::By(n, 0)),
        Op::Mul(_) if single(0) => Some(Made::By(n, 1)),
        Op::Gather(op) if op.axis == 0 && dims(g, node.input(0)?)?.len() == 2 => Some(Made::By(n, 0)),
        _ => None,
    }
}

/// Whether both halves of the last axis are the same bit for bit.
fn has_equal_halves(t: &Tensor) -> bool {
    let Some(size) = t.shape().last().copied().filter(|n| *n > 0 && n.is_multiple_of(2)) else {
        return false;
    };
    let width = t.dtype().bits() as usize / 8 * size;
    if t.len() > MOST || width == 0 {
        return false;
    }
    t.bytes().is_ok_and(|b| b.chunks_exact(width).all(|row| row[..width / 2] == row[width / 2..]))
}

fn has_halves(g: &Graph, v: ValueId, steps: usize) -> bool {
    match made(g, v) {
        Some(Made::Constant | Made::Twice(_)) => true,
        Some(Made::By(n, slot)) => {
            steps > 0 && g.node(n).input(slot).is_some_and(|x| has_halves(g, x, steps - 1))
        }
        None => false,
    }
}

/// What table `v` is made of by adding the axis of heads, if that is how it is made.
fn without_heads(g: &Graph, v: ValueId) -> ValueId {
    match made_by(g, v) {
        Some((n, Op::Unsqueeze(_) | Op::Reshape(_))) => g.node(n).input(0).unwrap_or(v),
        _ => v,
    }
}

/// Whether `table` surely has the sizes `[B, 1, S, D]` of `shape`, and two equal halves that [`half_table`] can compute as `[B, S, D / 2]`.
pub(super) fn can_halve(g: &Graph, table: ValueId, shape: &[Dim; 4]) -> bool {
    if let Some(t) = g.constant(table) {
        // Left out axes and those of one are stretched, which only a batch of one is not.
        let lead = 4usize.saturating_sub(t.rank());
        let at = |i: usize| i.checked_sub(lead).map_or(1, |i| t.shape()[i] as u64);
        return t.rank() <= 4 && has_equal_halves(t) && (0..4).all(|i| shape[i].known() == Some(at(i)));
    }
    let inner = without_heads(g, table);
    let fits = |v: ValueId, want: &[&Dim]| {
        dims(g, v)
            .is_some_and(|d| d.len() == want.len() && d.iter().zip(want).all(|(a, b)| a.surely_equals(b)))
    };
    let [batch, _, tokens, features] = shape;
    fits(table, &[batch, &Dim::Known(1), tokens, features])
        && fits(inner, &[batch, tokens, features])
        && has_halves(g, inner, STEPS)
}

/// One half of the table, `[B, S, D / 2]`.
///
/// # Errors
/// When the table is none that [`can_halve`] accepts.
pub(super) fn half_table(b: &mut Builder<'_>, table: ValueId, shape: &[Dim; 4]) -> Result<ValueId, Diag> {
    let failed = |e: hoist_ir::tensor::TensorError| Diag::error("E0403", e.to_string());
    if let Some(t) = b.graph().constant(table).cloned() {
        let sizes: Option<Vec<usize>> =
            [0, 2, 3].iter().map(|i| usize::try_from(shape[*i].known()?).ok()).collect();
        let sizes = sizes.ok_or_else(|| Diag::error("E0403", "the sizes of the table are not known"))?;
        let half = half_of(&t.reshape(&sizes).map_err(failed)?)?;
        return Ok(b.constant(half));
    }
    let inner = without_heads(b.graph(), table);
    half(b, inner, STEPS)
}

/// The first half of the last axis.
fn half_of(t: &Tensor) -> Result<Tensor, Diag> {
    let mut sizes = t.shape().to_vec();
    if let Some(last) = sizes.last_mut() {
        *last /= 2;
    }
    t.slice(&vec![0; sizes.len()], &sizes).map_err(|e| Diag::error("E0403", e.to_string()))
}

fn half(b: &mut Builder<'_>, v: ValueId, steps: usize) -> Result<ValueId, Diag> {
    let unknown = || Diag::error("E0403", "the table has no two equal halves");
    match made(b.graph(), v).ok_or_else(unknown)? {
        Made::Constant => {
            let half = half_of(b.graph().constant(v).ok_or_else(unknown)?)?;
            Ok(b.constant(half))
        }
        Made::Twice(x) => Ok(x),
        Made::By(n, slot) => {
            let (op, mut inputs) = (b.graph().node(n).op().clone(), b.graph().node(n).inputs().to_vec());
            let x = inputs[slot].filter(|_| steps > 0).ok_or_else(unknown)?;
            inputs[slot] = Some(half(b, x, steps - 1)?);
            b.add(op, &inputs)?.first().copied().ok_or_else(unknown)
        }
    }
}
