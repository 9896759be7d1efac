//! Parts of tensors: SLICE, `STRIDED_SLICE`, SPLIT, `SPLIT_V`.
use super::COPIED;
use crate::tflite::build::Arith;
use crate::tflite::lower::{Cx, R};
use crate::tflite::program::T;
use crate::tflite::schema::Builtin;
use crate::tflite::table::Record;
use hoist_ir::dim::{Dim, SymInt};
use hoist_ir::dtype::DType;
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::Op;
use hoist_ir::types::Shape;

/// Most axes of `STRIDED_SLICE`.
const MAX_RANK: usize = 8;

/// What `STRIDED_SLICE` takes for each axis.
struct Strided {
    begin: Vec<i64>,
    end: Vec<i64>,
    stride: Vec<i64>,
    /// Axes that are taken from their first position on, and up to their last one.
    open: (i64, i64),
}

fn options(open: (i64, i64)) -> Option<Record> {
    Builtin::StridedSlice.options().map(|o| o.with("begin_mask", open.0).with("end_mask", open.1))
}

/// Positions count from the end when negative and stop at the borders in `STRIDED_SLICE` as they do in the IR.
pub fn slice(cx: &mut Cx<'_>) -> R<()> {
    let rank = cx.rank(0)?;
    if rank > MAX_RANK {
        return Err(format!("{rank} axes"));
    }
    if rank == 0 {
        let x = cx.arg(0)?;
        return cx.finish(x);
    }
    let count = cx.dims_of(1)?;
    let axes = match (cx.value(3), count) {
        (None, Some(n)) => Some((0..n as i64).collect()),
        (None, None) => return Err("computed positions of unknown number".into()),
        _ => cx.ints(3),
    };
    for i in (1..=4).filter(|i| cx.value(*i).is_some()) {
        if count.zip(cx.dims_of(i)?).is_some_and(|(a, b)| a != b) {
            return Err("lists of positions of different lengths".into());
        }
    }
    let Some(axes) = axes else { return by_computed_axes(cx, rank) };
    let axes: Vec<usize> =
        axes.iter().map(|a| resolve_axis(*a, rank).map_err(|e| e.message)).collect::<R<_>>()?;
    let steps = if cx.value(4).is_some() { cx.ints(4) } else { Some(vec![1; axes.len()]) };
    if let (Some(starts), Some(ends), Some(steps)) = (cx.ints(1), cx.ints(2), steps) {
        return constant(cx, rank, &axes, [&starts, &ends, &steps]);
    }
    computed(cx, rank, &axes)
}

fn constant(cx: &mut Cx<'_>, rank: usize, axes: &[usize], given: [&[i64]; 3]) -> R<()> {
    let [starts, ends, steps] = given;
    if [starts, ends, steps].iter().any(|l| l.len() != axes.len()) {
        return Err("lists of positions of different lengths".into());
    }
    let mut s = Strided { begin: vec![0; rank], end: vec![0; rank], stride: vec![1; rank], open: (0, 0) };
    let mut free: Vec<bool> = vec![true; rank];
    let cut = |v: i64| v.clamp(i32::MIN.into(), i32::MAX.into());
    for (i, axis) in axes.iter().enumerate() {
        (s.begin[*axis], s.end[*axis]) = (cut(starts[i]), cut(ends[i]));
        s.stride[*axis] = cut(steps[i]);
        free[*axis] = false;
    }
    for axis in (0..rank).filter(|a| free[*a]) {
        s.open = (s.open.0 | 1 << axis, s.open.1 | 1 << axis);
    }
    let x = cx.moved(0, COPIED)?;
    if let (Some(from), Some(to)) = (cx.sizes(0), cx.out_ty(0)?.sizes())
        && s.stride.iter().all(|s| *s == 1)
    {
        // The delegate takes plain numbers.
        let begin: Vec<i64> = (0..rank).map(|a| front(s.begin[a], from[a])).collect();
        let size: Vec<i64> = to.iter().map(|n| *n as i64).collect();
        let (begin, size) = (cx.ints32(&begin)?, cx.ints32(&size)?);
        return cx.emit_moved(Builtin::Slice, None, &[x, begin, size]);
    }
    for axis in axes.iter().copied() {
        // Nothing is before the first position, whatever the step. The default delegate takes an end of 0 for the last one where the step is 1.
        if s.end[axis] == 0 && s.stride[axis] == 1 {
            s.stride[axis] = 2;
        }
    }
    let (begin, end, stride) = (cx.ints32(&s.begin)?, cx.ints32(&s.end)?, cx.ints32(&s.stride)?);
    cx.emit_moved(Builtin::StridedSlice, options(s.open), &[x, begin, end, stride])
}

/// `at` counted from the front and cut at the borders of `size` positions.
fn front(at: i64, size: usize) -> i64 {
    let size = size as i64;
    if at < 0 { at.saturating_add(size) } else { at }.clamp(0, size)
}

/// Entries of `list` at `axes`, and `fill` at the others.
fn spread(cx: &mut Cx<'_>, list: T, axes: &[usize], rank: usize, fill: i64) -> R<T> {
    if let Some(known) = cx.known(list) {
        let at = |a: usize| axes.iter().position(|x| *x == a).and_then(|i| known.get(i).copied());
        return cx.ints32(&(0..rank).map(|a| at(a).unwrap_or(fill)).collect::<Vec<_>>());
    }
    let mut parts = vec![];
    for axis in 0..rank {
        parts.push(match axes.iter().position(|x| *x == axis) {
            Some(i) => cx.part(list, i, 1)?,
            None => cx.ints32(&[fill])?,
        });
    }
    cx.joined(&parts)
}

fn computed(cx: &mut Cx<'_>, rank: usize, axes: &[usize]) -> R<()> {
    let mut lists = vec![];
    for (i, fill) in [(1, 0), (2, i64::from(i32::MAX)), (4, 1)] {
        let list = if cx.value(i).is_some() { cx.positions32(i)? } else { cx.ints32(&vec![1; axes.len()])? };
        lists.push(spread(cx, list, axes, rank, fill)?);
    }
    let x = cx.moved(0, COPIED)?;
    cx.emit_moved(Builtin::StridedSlice, options((0, 0)), &[x, lists[0], lists[1], lists[2]])
}

/// Lists spread to all axes at run time: each entry at its axis, the others as they take all of an axis.
fn by_computed_axes(cx: &mut Cx<'_>, rank: usize) -> R<()> {
    let (axes, n) = (cx.sizes32(3)?, cx.int32(rank as i64)?);
    let dims = cx.dims(axes)?;
    let axes = cx.compute(Builtin::FloorMod, None, &[axes, n], DType::I32, dims.clone())?;
    let places = cx.reshaped(axes, &[dims.first().cloned().unwrap_or(Dim::Unknown), Dim::Known(1)])?;
    let size = cx.ints32(&[rank as i64])?;
    let put = |cx: &mut Cx<'_>, list: T| {
        cx.compute(Builtin::ScatterNd, None, &[places, list, size], DType::I32, vec![Dim::from(rank)])
    };
    let (counts, one) = (cx.shape_of(axes)?, cx.int32(1)?);
    let ones = cx.compute(Builtin::Fill, None, &[counts, one], DType::I32, dims)?;
    let given = put(cx, ones)?;
    let zero = cx.int32(0)?;
    let given = cx.compare(Builtin::NotEqual, given, zero)?;
    let mut lists = vec![];
    for (i, fill) in [(1, 0), (2, i64::from(i32::MAX)), (4, 1)] {
        let list = if cx.value(i).is_some() { cx.positions32(i)? } else { ones };
        let (list, fill) = (put(cx, list)?, cx.int32(fill)?);
        lists.push(cx.select(given, list, fill)?);
    }
    let x = cx.moved(0, COPIED)?;
    cx.emit_moved(Builtin::StridedSlice, options((0, 0)), &[x, lists[0], lists[1], lists[2]])
}

/// Element types of SPLIT and `SPLIT_V`.
const SPLITTING: &[DType] = &[DType::F32, DType::I32, DType::I64, DType::I16, DType::I8, DType::U8];

/// SPLIT where the pieces are equal, `SPLIT_V` where their sizes are given or follow from the axis.
pub fn split(cx: &mut Cx<'_>) -> R<()> {
    let Op::Split(op) = cx.op() else { return Err("no split".into()) };
    let axis = resolve_axis(op.axis, cx.rank(0)?).map_err(|e| e.message)?;
    let pieces = cx.outputs();
    let x = cx.moved(0, SPLITTING)?;
    let dims = cx.dims(x)?;
    let known: Option<Vec<i64>> = (0..pieces)
        .map(|k| cx.out_ty(k).ok()?.shape.as_ref()?.get(axis)?.known().and_then(|n| i64::try_from(n).ok()))
        .collect();
    let at = cx.int32(axis as i64)?;
    let options = |b: Builtin| b.options().map(|o| o.with("num_splits", pieces));
    if known.as_ref().is_some_and(|k| k.windows(2).all(|w| w[0] == w[1])) {
        return outputs(cx, Builtin::Split, options(Builtin::Split), &[at, x]);
    }
    let sizes = match known {
        Some(known) => cx.ints32(&known)?,
        None if cx.value(1).is_some() => cx.sizes32(1)?,
        None => shared(cx, x, axis, pieces, dims.get(axis))?,
    };
    outputs(cx, Builtin::SplitV, options(Builtin::SplitV), &[x, sizes, at])
}

/// Sizes of pieces of an axis of unknown size, of which the last one may be smaller.
fn shared(cx: &mut Cx<'_>, x: T, axis: usize, pieces: usize, dim: Option<&Dim>) -> R<T> {
    let size = cx.size_of(x, axis)?;
    let count = i64::try_from(pieces).map_err(|_| "too many pieces")?;
    let (n, less) = (cx.int32(count)?, cx.int32(count - 1)?);
    let more = cx.arith(Arith::Add, size, less)?;
    let each = cx.compute(Builtin::FloorDiv, None, &[more, n], DType::I32, vec![Dim::Known(1)])?;
    let before = cx.arith(Arith::Mul, each, less)?;
    let last = cx.arith(Arith::Sub, size, before)?;
    debug_assert!(dim.is_none_or(|d| d.known().is_none()));
    let mut all = vec![each; pieces.saturating_sub(1)];
    all.push(last);
    cx.joined(&all)
}

/// Adds an operator whose results are those of the node but for an element type of the same width.
fn outputs(cx: &mut Cx<'_>, builtin: Builtin, options: Option<Record>, inputs: &[T]) -> R<()> {
    let x = if builtin == Builtin::Split { inputs[1] } else { inputs[0] };
    let dtype = cx.def(x).ty.dtype;
    let outs = cx.outs()?;
    let inputs: Vec<Option<T>> = inputs.iter().map(|t| Some(*t)).collect();
    if outs.first().is_none_or(|t| cx.def(*t).ty.dtype == dtype) {
        return cx.push(builtin, options, &inputs, outs);
    }
    let mut moved = vec![];
    for t in &outs {
        let mut ty = cx.def(*t).ty.clone();
        ty.dtype = dtype;
        moved.push(cx.fresh(ty)?);
    }
    cx.push(builtin, options, &inputs, moved.clone())?;
    for (from, to) in moved.into_iter().zip(outs) {
        cx.push(Builtin::Bitcast, None, &[Some(from)], vec![to])?;
    }
    Ok(())
}

/// The part of `x` from `begin` on and before `end`, which list 32-bit positions of all axes; its dimensions are `shape`.
pub fn cut(cx: &mut Cx<'_>, x: T, begin: T, end: T, shape: Shape) -> R<T> {
    let rank = cx.dims(x)?.len();
    let (dtype, ones) = (cx.def(x).ty.dtype, cx.ints32(&vec![1; rank])?);
    cx.compute(Builtin::StridedSlice, options((0, 0)), &[x, begin, end, ones], dtype, shape)
}

impl Cx<'_> {
    /// Number of entries of operand `i`, a list.
    fn dims_of(&self, i: usize) -> R<Option<usize>> {
        let shape = self.shape(i).ok_or("positions of unknown rank")?;
        Ok(match shape.as_slice() {
            [] => Some(1),
            [d] => d.known().and_then(|n| usize::try_from(n).ok()),
            _ => None,
        })
    }
}

/// The sum of two dimensions.
pub fn plus(a: &Dim, b: &Dim) -> Dim {
    a.combine(b, SymInt::add)
}
