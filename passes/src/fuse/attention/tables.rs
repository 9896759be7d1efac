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

/// How a table is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// As `[B, S, D / 2]`.
    Rows,
    /// As `[S, D / 2]`, by positions: it is a constant, the same for all of a batch.
    Positions,
}

/// Most positions that are written out.
const MOST_POSITIONS: u64 = 1 << 16;

/// How [`half_table`] can compute one half of `table`, which surely has two equal halves and stretches to the sizes `[B, 1, S, D]` of `shape`.
pub(super) fn reading(g: &Graph, table: ValueId, shape: &[Dim; 4]) -> Option<Reading> {
    if let Some(t) = g.constant(table) {
        let lead = 4usize.checked_sub(t.rank())?;
        let at = |i: usize| i.checked_sub(lead).map_or(1, |i| t.shape()[i] as u64);
        let fits = |i: usize| shape[i].known() == Some(at(i));
        if !(1..4).all(fits) || !has_equal_halves(t) {
            return None;
        }
        let few = || shape[0].known()?.checked_mul(shape[2].known()?).filter(|n| *n <= MOST_POSITIONS);
        return match (fits(0), at(0)) {
            (true, _) => Some(Reading::Rows),
            (false, 1) => few().map(|_| Reading::Positions),
            _ => None,
        };
    }
    let inner = without_heads(g, table);
    let fits = |v: ValueId, want: &[&Dim]| {
        dims(g, v)
            .is_some_and(|d| d.len() == want.len() && d.iter().zip(want).all(|(a, b)| a.surely_equals(b)))
    };
    let [batch, _, tokens, features] = shape;
    let whole = fits(table, &[batch, &Dim::Known(1), tokens, features])
        && fits(inner, &[batch, tokens, features])
        && has_halves(g, inner, STEPS);
    whole.then_some(Reading::Rows)
}

/// The positions `0, 1, ..` of each of a batch, `[B, S]`.
///
/// # Errors
/// When the sizes are not known.
pub(super) fn positions(b: &mut Builder<'_>, shape: &[Dim; 4]) -> Result<ValueId, Diag> {
    let size = |i: usize| shape[i].known().and_then(|n| usize::try_from(n).ok());
    let (Some(batch), Some(tokens)) = (size(0), size(2)) else {
        return Err(Diag::error("E0403", "the sizes of the table are not known"));
    };
    let all = (0..batch).flat_map(|_| 0..tokens as i64).collect();
    Ok(b.constant(Tensor::from_vec::<i64>(&[batch, tokens], all)))
}

/// One half of the table.
///
/// # Errors
/// When [`reading`] finds no such way to read it.
pub(super) fn half_table(
    b: &mut Builder<'_>,
    table: ValueId,
    shape: &[Dim; 4],
    reading: Reading,
) -> Result<ValueId, Diag> {
    let failed = |e: hoist_ir::tensor::TensorError| Diag::error("E0403", e.to_string());
    if let Some(t) = b.graph().constant(table).cloned() {
        let axes: &[usize] = if reading == Reading::Rows { &[0, 2, 3] } else { &[2, 3] };
        let sizes: Option<Vec<usize>> =
            axes.iter().map(|i| usize::try_from(shape[*i].known()?).ok()).collect();
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
