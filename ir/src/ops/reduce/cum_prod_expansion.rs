//! `cum_prod` as one product per position.
use super::cumulative::CumProd;
use crate::builder::Builder;
use crate::diag::Diag;
use crate::expand::{Expanded, dtype_of, narrowed, operand, widened};
use crate::graph::ValueId;
use crate::infer::resolve_axis;
use crate::ops::elementwise::arithmetic::Mul;
use crate::ops::movement::concat::Concat;
use crate::ops::movement::expand::Expand;
use crate::ops::movement::pad::Pad;
use crate::ops::movement::split::Split;
use crate::ops::shape::shape::Shape;
use crate::tensor::Tensor;

/// Most positions that are written out.
const MAX_LEN: u64 = 256;

/// Products in the order of the positions: another order could overflow on the way where this one does not.
pub(super) fn expand(op: &CumProd, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
    let (x, axis) = (operand(inputs, 0)?, operand(inputs, 1)?);
    let axis = b.graph().constant(axis).and_then(Tensor::as_int);
    let shape = b.graph().ty(x).as_tensor().and_then(|t| t.shape.clone());
    let (Some(axis), Some(shape), Some(dtype)) = (axis, shape, dtype_of(b, x)) else { return Ok(None) };
    let Some(len) = resolve_axis(axis, shape.len()).ok().and_then(|a| shape[a].known()) else {
        return Ok(None);
    };
    let Some(len) = usize::try_from(len).ok().filter(|n| *n as u64 <= MAX_LEN) else { return Ok(None) };
    if len == 0 || (len == 1 && !op.exclusive) {
        return Ok(Some(vec![x]));
    }
    let x = widened(b, x)?;
    let y = if len == 1 { ones(b, x)? } else { products(op, b, x, axis, len)? };
    Ok(Some(vec![narrowed(b, y, dtype)?]))
}

fn ones(b: &mut Builder<'_>, x: ValueId) -> Result<ValueId, Diag> {
    let one = b.scalar_like(1.0, x)?;
    let sizes = b.shape(Shape::default(), x)?;
    b.expand(Expand {}, one, sizes)
}

fn products(op: &CumProd, b: &mut Builder<'_>, x: ValueId, axis: i64, len: usize) -> Result<ValueId, Diag> {
    let sizes = b.ints(&vec![1; len]);
    let mut pieces = b.add_n(Split { axis, num_outputs: None }, &[Some(x), Some(sizes)], len)?;
    if op.reverse {
        pieces.reverse();
    }
    if op.exclusive {
        pieces.pop();
    }
    let mut so_far: Option<ValueId> = None;
    for piece in &mut pieces {
        if let Some(before) = so_far {
            *piece = b.mul(Mul {}, before, *piece)?;
        }
        so_far = Some(*piece);
    }
    if op.reverse {
        pieces.reverse();
    }
    let y = b.concat(Concat { axis }, &pieces)?;
    if !op.exclusive {
        return Ok(y);
    }
    let (one, axes) = (b.scalar_like(1.0, y)?, b.ints(&[axis]));
    let pads = b.ints(if op.reverse { &[0, 1] } else { &[1, 0] });
    b.pad(Pad::default(), y, pads, Some(one), Some(axes))
}
