//! Order and repetition.
use crate::tflite::lift::{Cx, Lifted};
use hoist_ir::ops::movement::expand::Expand;
use hoist_ir::ops::movement::reverse_sequence::ReverseSequence;
use hoist_ir::ops::movement::slice::Slice;
use hoist_ir::ops::movement::split::Split;
use hoist_ir::ops::movement::squeeze::Squeeze;
use hoist_ir::ops::movement::tile::Tile;
use hoist_ir::ops::movement::transpose::Transpose;
use hoist_ir::ops::movement::unsqueeze::Unsqueeze;

pub(super) fn transpose(cx: &mut Cx<'_, '_>) -> Lifted {
    let x = cx.arg(0)?;
    let perm = cx.ints(1).ok_or_else(|| cx.unsupported("a computed order of axes"))?;
    let perm =
        perm.iter().map(|p| cx.axis(*p, perm.len()).map(|a| a as i64)).collect::<Result<Vec<_>, _>>()?;
    Ok(vec![cx.op(Transpose { perm }, &[x])?])
}

pub(super) fn concatenation(cx: &mut Cx<'_, '_>) -> Lifted {
    let parts = (0..cx.inputs.len()).map(|i| cx.arg(i)).collect::<Result<Vec<_>, _>>()?;
    let axis = cx.int("axis");
    let y = cx.op(hoist_ir::ops::movement::concat::Concat { axis }, &parts)?;
    Ok(vec![cx.activated(y)?])
}

pub(super) fn tile(cx: &mut Cx<'_, '_>) -> Lifted {
    let (x, times) = (cx.arg(0)?, cx.wide(1)?);
    Ok(vec![cx.op(Tile {}, &[x, times])?])
}

pub(super) fn broadcast_to(cx: &mut Cx<'_, '_>) -> Lifted {
    let (x, sizes) = (cx.arg(0)?, cx.wide(1)?);
    Ok(vec![cx.op(Expand {}, &[x, sizes])?])
}

pub(super) fn pack(cx: &mut Cx<'_, '_>) -> Lifted {
    let axis = cx.int("axis");
    let mut parts = vec![];
    for i in 0..cx.inputs.len() {
        let (x, at) = (cx.arg(i)?, cx.b.ints(&[axis]));
        parts.push(cx.op(Unsqueeze {}, &[x, at])?);
    }
    Ok(vec![cx.concat(&parts, axis)?])
}

pub(super) fn unpack(cx: &mut Cx<'_, '_>) -> Lifted {
    let (x, axis, count) = (cx.arg(0)?, cx.int("axis"), cx.results.len());
    let sizes = cx.b.ints(&vec![1; count]);
    let parts = cx.b.add_n(Split { axis, num_outputs: None }, &[Some(x), Some(sizes)], count)?;
    let mut out = vec![];
    for part in parts {
        let at = cx.b.ints(&[axis]);
        out.push(cx.op(Squeeze {}, &[part, at])?);
    }
    Ok(out)
}

/// Slices with a step of -1.
pub(super) fn reverse(cx: &mut Cx<'_, '_>) -> Lifted {
    let x = cx.arg(0)?;
    let axes = cx.ints(1).ok_or_else(|| cx.unsupported("computed axes"))?;
    let list = |v: i64| vec![v; axes.len()];
    let (starts, ends, steps) = (cx.b.ints(&list(-1)), cx.b.ints(&list(i64::MIN)), cx.b.ints(&list(-1)));
    let axes = cx.b.ints(&axes);
    Ok(vec![cx.op(Slice {}, &[x, starts, ends, axes, steps])?])
}

/// The axes of batch and time are the first two in the IR.
pub(super) fn reverse_sequence(cx: &mut Cx<'_, '_>) -> Lifted {
    let (x, lens) = (cx.arg(0)?, cx.wide(1)?);
    let rank = cx.rank(x)?;
    let (time, batch) = (cx.axis(cx.int("seq_dim"), rank)?, cx.axis(cx.int("batch_dim"), rank)?);
    if time == batch {
        return Err(cx.bad("one axis for batch and time"));
    }
    let op = |batch: i64| ReverseSequence { batch_axis: batch, time_axis: 1 - batch };
    if time + batch == 1 {
        return Ok(vec![cx.op(op(batch as i64), &[x, lens])?]);
    }
    let mut perm = vec![batch, time];
    perm.extend((0..rank).filter(|a| *a != batch && *a != time));
    let back = (0..rank).map(|a| perm.iter().position(|p| *p == a).unwrap_or(0) as i64).collect();
    let perm = perm.into_iter().map(|a| a as i64).collect();
    let x = cx.op(Transpose { perm }, &[x])?;
    let y = cx.op(op(0), &[x, lens])?;
    Ok(vec![cx.op(Transpose { perm: back }, &[y])?])
}
