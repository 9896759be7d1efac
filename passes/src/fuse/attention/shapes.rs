//! What heads look like before and after attention.
use hoist_ir::diag::Diag;
use hoist_ir::dim::Dim;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;

use hoist_ir::builder::Builder;
use hoist_ir::ops::movement::reshape::Reshape;

/// The permutation that swaps tokens and heads of `[B, S, H, D]`.
pub const SWAP: [i64; 4] = [0, 2, 1, 3];

/// Sizes of `v`, when its rank is known.
pub fn dims(g: &Graph, v: ValueId) -> Option<&[Dim]> {
    g.ty(v).as_tensor()?.shape.as_deref()
}

/// Sizes of `v`, when it has that many axes.
pub fn dims_of<const N: usize>(g: &Graph, v: ValueId) -> Option<&[Dim; N]> {
    dims(g, v)?.try_into().ok()
}

/// The size of an axis as a number that shape operands take.
pub fn known(d: &Dim) -> Option<i64> {
    d.known().and_then(|n| i64::try_from(n).ok())
}

/// The node that computes `v` and its operator.
pub fn made_by(g: &Graph, v: ValueId) -> Option<(NodeId, &Op)> {
    g.producer(v).map(|n| (n, g.node(n).op()))
}

/// The operand of the transpose by `perm` that computes `v`.
pub fn transposed(g: &Graph, v: ValueId, perm: &[i64]) -> Option<(NodeId, ValueId)> {
    let (n, op) = made_by(g, v)?;
    let Op::Transpose(t) = op else { return None };
    if t.perm == perm { Some((n, g.node(n).input(0)?)) } else { None }
}

/// What is reshaped from `[B, S, H * D]` to `v`, `[B, S, H, D]`.
pub fn unsplit(g: &Graph, v: ValueId) -> Option<ValueId> {
    let (n, op) = made_by(g, v)?;
    let (Op::Reshape(_), Some(x)) = (op, g.node(n).input(0)) else { return None };
    let (from, to) = (dims_of::<3>(g, x)?, dims_of::<4>(g, v)?);
    let same = from.iter().zip(to).take(2).all(|(a, b)| a.surely_equals(b));
    (same && known(&to[2])?.checked_mul(known(&to[3])?)? == known(&from[2])?).then_some(x)
}

/// `[B, S, H, D]` with heads and features in one axis. The reshape it was made by is passed by.
///
/// # Errors
/// When the sizes of heads and features are not known.
pub fn flattened(b: &mut Builder<'_>, v: ValueId) -> Result<ValueId, Diag> {
    if let Some(x) = unsplit(b.graph(), v) {
        return Ok(x);
    }
    let width = dims_of::<4>(b.graph(), v).and_then(|d| known(&d[2])?.checked_mul(known(&d[3])?));
    let width = width.ok_or_else(|| Diag::error("E0403", "the number of heads or features is not known"))?;
    let shape = b.ints(&[0, 0, width]);
    b.reshape(Reshape { allowzero: false }, v, shape)
}
