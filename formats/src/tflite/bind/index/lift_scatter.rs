//! Builtin operators that put elements at computed places, or choose boxes, as nodes.
use super::lift::filled;
use crate::tflite::lift::{Cx, Lifted};
use crate::tflite::schema::Builtin;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::ValueId;
use hoist_ir::ops::elementwise::arithmetic::{Add, Sub};
use hoist_ir::ops::elementwise::compare::{Equal, Greater, Less};
use hoist_ir::ops::elementwise::select::Where;
use hoist_ir::ops::elementwise::variadic::{Max, Min};
use hoist_ir::ops::index::gather::Gather;
use hoist_ir::ops::index::scatter::Reduction;
use hoist_ir::ops::index::scatter_nd::ScatterNd;
use hoist_ir::ops::movement::bit_cast::BitCast;
use hoist_ir::ops::movement::expand::Expand;
use hoist_ir::ops::movement::pad::Pad;
use hoist_ir::ops::movement::reshape::Reshape;
use hoist_ir::ops::movement::slice::Slice;
use hoist_ir::ops::movement::squeeze::Squeeze;
use hoist_ir::ops::movement::unsqueeze::Unsqueeze;
use hoist_ir::ops::shape::range::Range;
use hoist_ir::ops::shape::shape::Shape;
use hoist_ir::ops::vision::non_max_suppression::NonMaxSuppression;
use hoist_ir::tensor::Tensor;

/// `v` with new axes.
fn widened(cx: &mut Cx<'_, '_>, v: ValueId, axes: &[i64]) -> Result<ValueId, Diag> {
    let axes = cx.b.ints(axes);
    cx.op(Unsqueeze {}, &[v, axes])
}

/// Positions of the first axis from `start` on and before `end`.
fn rows(cx: &mut Cx<'_, '_>, v: ValueId, start: i64, end: ValueId) -> Result<ValueId, Diag> {
    let (start, axes) = (cx.b.ints(&[start]), cx.b.ints(&[0]));
    cx.op(Slice {}, &[v, start, end, axes])
}

/// What a segment without elements holds.
fn identity(cx: &Cx<'_, '_>, reduction: Reduction, dtype: DType) -> Result<f64, Diag> {
    let (low, high) = match dtype {
        DType::F32 => (f64::from(f32::MIN), f64::from(f32::MAX)),
        DType::I32 => (f64::from(i32::MIN), f64::from(i32::MAX)),
        _ => return Err(cx.unsupported(format!("element type {dtype}"))),
    };
    Ok(match reduction {
        Reduction::Replace | Reduction::Add => 0.0,
        Reduction::Mul => 1.0,
        Reduction::Max => low,
        Reduction::Min => high,
    })
}

/// Segments by their numbers; elements with a negative number go into one behind the last, which is cut off.
pub(super) fn unsorted_segment(cx: &mut Cx<'_, '_>) -> Lifted {
    let reduction = match cx.builtin {
        Builtin::UnsortedSegmentProd => Reduction::Mul,
        Builtin::UnsortedSegmentMax => Reduction::Max,
        Builtin::UnsortedSegmentMin => Reduction::Min,
        _ => Reduction::Add,
    };
    let (data, at, count) = (cx.arg(0)?, cx.wide(1)?, cx.wide(2)?);
    let count = cx.list(count)?;
    let lead = cx.rank(at)?;
    let (zero, last) = (cx.b.ints(&[0]), cx.b.ints(&[-1]));
    let sizes = cx.op(Shape { start: lead as i64, end: None }, &[data])?;
    let data = if lead == 1 {
        data
    } else {
        let flat = cx.concat(&[last, sizes], 0)?;
        cx.op(Reshape::default(), &[data, flat])?
    };
    let at = cx.list(at)?;
    let behind = cx.op(Less {}, &[at, zero])?;
    let at = cx.op(Where {}, &[behind, count, at])?;
    let one = cx.b.ints(&[1]);
    let more = cx.op(Add {}, &[count, one])?;
    let sizes = cx.concat(&[more, sizes], 0)?;
    let y = segments(cx, data, at, sizes, reduction)?;
    Ok(vec![rows(cx, y, 0, count)?])
}

fn segments(
    cx: &mut Cx<'_, '_>,
    data: ValueId,
    at: ValueId,
    sizes: ValueId,
    reduction: Reduction,
) -> Result<ValueId, Diag> {
    let dtype = cx.dtype(data)?;
    let empty = identity(cx, reduction, dtype)?;
    let start = filled(cx, empty, dtype, sizes)?;
    let at = widened(cx, at, &[-1])?;
    cx.op(ScatterNd { reduction }, &[start, at, data])
}

/// Segments are numbered in order, so that the last number says how many there are.
pub(super) fn segment_sum(cx: &mut Cx<'_, '_>) -> Lifted {
    let (data, at) = (cx.arg(0)?, cx.wide(1)?);
    let last = cx.pick(at, &[-1])?;
    let one = cx.b.ints(&[1]);
    let count = cx.op(Add {}, &[last, one])?;
    let sizes = cx.op(Shape { start: 1, end: None }, &[data])?;
    let sizes = cx.concat(&[count, sizes], 0)?;
    Ok(vec![segments(cx, data, at, sizes, Reduction::Add)?])
}

/// Values at positions of an otherwise even tensor.
pub(super) fn sparse_to_dense(cx: &mut Cx<'_, '_>) -> Lifted {
    let (mut at, sizes) = (cx.wide(0)?, cx.wide(1)?);
    let (mut values, other) = (cx.arg(2)?, cx.arg(3)?);
    at = match cx.rank(at)? {
        0 => cx.reshape(at, &[1, 1])?,
        1 => widened(cx, at, &[-1])?,
        2 => at,
        r => return Err(cx.bad(format!("positions of rank {r}"))),
    };
    let other = cx.reshape(other, &[])?;
    let data = cx.op(Expand {}, &[other, sizes])?;
    if cx.rank(values)? == 0 {
        let count = cx.op(Shape { start: 0, end: Some(1) }, &[at])?;
        values = cx.op(Expand {}, &[values, count])?;
    }
    Ok(vec![cx.op(ScatterNd::default(), &[data, at, values])?])
}

/// Positions along an axis of `x`.
fn numbers(cx: &mut Cx<'_, '_>, x: ValueId, axis: i64) -> Result<ValueId, Diag> {
    let end = (axis != -1).then_some(axis + 1);
    let size = cx.op(Shape { start: axis, end }, &[x])?;
    let (start, size, step) = (cx.b.scalar(0i64), cx.reshape(size, &[])?, cx.b.scalar(1i64));
    cx.op(Range::default(), &[start, size, step])
}

pub(super) fn matrix_diag(cx: &mut Cx<'_, '_>) -> Lifted {
    let x = cx.arg(0)?;
    let columns = numbers(cx, x, -1)?;
    let rows = widened(cx, columns, &[1])?;
    let on = cx.op(Equal {}, &[rows, columns])?;
    let (x, zero) = (widened(cx, x, &[-1])?, cx.b.scalar_like(0.0, x)?);
    Ok(vec![cx.op(Where {}, &[on, x, zero])?])
}

/// The diagonal is stretched along rows or columns, whichever it has fewer of.
pub(super) fn matrix_set_diag(cx: &mut Cx<'_, '_>) -> Lifted {
    let (x, diagonal) = (cx.arg(0)?, cx.arg(1)?);
    let size = |cx: &Cx<'_, '_>, back: usize| {
        let s = cx.shape(x)?;
        s.get(s.len().checked_sub(back)?)?.known()
    };
    let wide = match (size(cx, 2), size(cx, 1)) {
        (Some(rows), Some(columns)) => columns >= rows,
        _ => return Err(cx.unsupported("matrices of unknown sizes")),
    };
    let (columns, rows) = (numbers(cx, x, -1)?, numbers(cx, x, -2)?);
    let rows = widened(cx, rows, &[1])?;
    let on = cx.op(Equal {}, &[rows, columns])?;
    let diagonal = widened(cx, diagonal, &[if wide { -1 } else { -2 }])?;
    Ok(vec![cx.op(Where {}, &[on, diagonal, x])?])
}

/// The update is put at tuples of positions: where it starts, moved so that it fits.
pub(super) fn dynamic_update_slice(cx: &mut Cx<'_, '_>) -> Lifted {
    let (x, update, start) = (cx.arg(0)?, cx.arg(1)?, cx.wide(2)?);
    Ok(vec![updated(cx, x, update, start)?])
}

/// `x` with `update` from the positions `start` on, which are moved so that it fits.
pub(super) fn updated(
    cx: &mut Cx<'_, '_>,
    x: ValueId,
    update: ValueId,
    start: ValueId,
) -> Result<ValueId, Diag> {
    let rank = cx.rank(x)?;
    if rank == 0 {
        return cx.op(hoist_ir::ops::elementwise::identity::Identity {}, &[update]);
    }
    let (whole, part) = (cx.op(Shape::default(), &[x])?, cx.op(Shape::default(), &[update])?);
    let room = cx.op(Sub {}, &[whole, part])?;
    let zero = cx.b.ints(&[0]);
    let start = cx.op(Min {}, &[start, room])?;
    let start = cx.op(Max {}, &[start, zero])?;
    // Axes that are replaced as a whole, from the last one on, are blocks.
    let same = |a: &usize| {
        let of = |v| cx.shape(v).and_then(|s: &hoist_ir::types::Shape| s.get(*a)?.known());
        of(x).is_some() && of(x) == of(update)
    };
    let tuple = rank - (1..rank).rev().take_while(same).count();
    let mut columns = vec![];
    for axis in 0..tuple {
        let own = numbers_of(cx, update, axis as i64)?;
        let first = cx.pick(start, &[axis as i64])?;
        let at = cx.op(Add {}, &[own, first])?;
        let others: Vec<i64> = (0..tuple as i64).filter(|a| *a != axis as i64).collect();
        let at = if others.is_empty() { at } else { widened(cx, at, &others)? };
        let lead = cx.op(Shape { start: 0, end: Some(tuple as i64) }, &[update])?;
        let at = cx.op(Expand {}, &[at, lead])?;
        columns.push(widened(cx, at, &[-1])?);
    }
    let at = cx.concat(&columns, -1)?;
    cx.op(ScatterNd::default(), &[x, at, update])
}

fn numbers_of(cx: &mut Cx<'_, '_>, x: ValueId, axis: i64) -> Result<ValueId, Diag> {
    if let Some(n) = cx.shape(x).and_then(|s| s.get(axis as usize)?.known()).filter(|n| *n <= 1 << 16) {
        return Ok(cx.b.ints(&(0..n as i64).collect::<Vec<_>>()));
    }
    let size = cx.op(Shape { start: axis, end: Some(axis + 1) }, &[x])?;
    let (start, size, step) = (cx.b.scalar(0i64), cx.reshape(size, &[])?, cx.b.scalar(1i64));
    cx.op(Range::default(), &[start, size, step])
}

/// A threshold from which boxes are suppressed as one above which they are: the number before it.
fn before(cx: &mut Cx<'_, '_>, i: usize) -> Result<ValueId, Diag> {
    let t = cx.arg(i)?;
    if let Some(v) = cx.b.graph().const_f64(Some(t)) {
        let v = v as f32;
        if v <= 0.0 {
            return Err(cx.unsupported(format!("an overlap threshold of {v}")));
        }
        return Ok(cx.b.scalar(v.next_down()));
    }
    let bits = cx.op(BitCast { to: DType::I32 }, &[t])?;
    let one = cx.b.scalar(1i32);
    let bits = cx.op(Sub {}, &[bits, one])?;
    let less = cx.op(BitCast { to: DType::F32 }, &[bits])?;
    let (zero, all) = (cx.b.scalar(0f32), cx.b.scalar(-1f32));
    let positive = cx.op(Greater {}, &[t, zero])?;
    cx.op(Where {}, &[positive, less, all])
}

/// The boxes that are chosen, filled up with zeros, and their number; with version 5 their scores too.
pub(super) fn non_max_suppression(cx: &mut Cx<'_, '_>) -> Lifted {
    let soft = cx.builtin == Builtin::NonMaxSuppressionV5;
    if soft && cx.opt(5).is_some() && cx.b.graph().const_f64(cx.opt(5)) != Some(0.0) {
        return Err(cx.unsupported("scores that sink with the overlap"));
    }
    let (boxes, scores, most) = (cx.arg(0)?, cx.arg(1)?, cx.wide(2)?);
    let most = cx.list(most)?;
    let (overlap, least) = (before(cx, 3)?, cx.arg(4)?);
    let (b, s) = (widened(cx, boxes, &[0])?, widened(cx, scores, &[0, 1])?);
    let found = cx.op(NonMaxSuppression::default(), &[b, s, most, overlap, least])?;
    let column = cx.b.scalar(2i64);
    let found = cx.op(Gather { axis: 1 }, &[found, column])?;
    let count = cx.op(Shape::default(), &[found])?;
    let rest = cx.op(Sub {}, &[most, count])?;
    let zero = cx.b.ints(&[0]);
    let pads = cx.concat(&[zero, rest], 0)?;
    let all = cx.op(Pad::default(), &[found, pads])?;
    let all = cx.cast(all, DType::I32)?;
    let number = cx.op(Squeeze {}, &[count, zero])?;
    let number = cx.cast(number, DType::I32)?;
    if !soft {
        return Ok(vec![all, number]);
    }
    let best = cx.op(Gather { axis: 0 }, &[scores, found])?;
    let best = cx.op(Pad::default(), &[best, pads])?;
    Ok(vec![all, best, number])
}

/// Numbers from 0 on along one axis.
pub(super) fn iota(cx: &mut Cx<'_, '_>) -> Lifted {
    let ty = cx.results.first().map(|r| r.ty.clone()).ok_or_else(|| cx.bad("no result"))?;
    let sizes = ty.sizes().ok_or_else(|| cx.unsupported("open sizes"))?;
    let axis = cx.axis(cx.int("iota_dimension"), sizes.len())?;
    let numbers: Vec<i64> = (0..sizes[axis] as i64).collect();
    let mut shape = vec![1; sizes.len()];
    shape[axis] = sizes[axis];
    let t = Tensor::from_vec(&shape, numbers).cast(ty.dtype, false).map_err(|e| cx.bad(e))?;
    let (t, sizes) = (cx.b.constant(t), sizes.iter().map(|n| *n as i64).collect::<Vec<_>>());
    let sizes = cx.b.ints(&sizes);
    Ok(vec![cx.op(Expand {}, &[t, sizes])?])
}

/// Positions are moved so that the part fits.
pub(super) fn dynamic_slice(cx: &mut Cx<'_, '_>) -> Lifted {
    let x = cx.arg(0)?;
    let starts = scalars(cx, 1)?;
    let sizes = cx.options.map_or(vec![], |o| o.ints("slice_sizes").to_vec());
    let sizes = cx.b.ints(&sizes);
    let whole = cx.op(Shape::default(), &[x])?;
    let room = cx.op(Sub {}, &[whole, sizes])?;
    let zero = cx.b.ints(&[0]);
    let starts = cx.op(Min {}, &[starts, room])?;
    let starts = cx.op(Max {}, &[starts, zero])?;
    let ends = cx.op(Add {}, &[starts, sizes])?;
    Ok(vec![cx.op(Slice {}, &[x, starts, ends])?])
}

/// Operands from `first` on, single positions, as a list.
fn scalars(cx: &mut Cx<'_, '_>, first: usize) -> Result<ValueId, Diag> {
    let mut parts = vec![];
    for i in first..cx.inputs.len() {
        let v = cx.wide(i)?;
        parts.push(cx.reshape(v, &[1])?);
    }
    if parts.is_empty() {
        return Ok(cx.b.ints(&[]));
    }
    cx.concat(&parts, 0)
}

pub(super) fn stablehlo_update(cx: &mut Cx<'_, '_>) -> Lifted {
    let (x, update, start) = (cx.arg(0)?, cx.arg(1)?, scalars(cx, 2)?);
    Ok(vec![updated(cx, x, update, start)?])
}
