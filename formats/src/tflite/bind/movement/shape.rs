//! Sizes and axes: RESHAPE, `EXPAND_DIMS`, SQUEEZE, SHAPE, FILL, RANGE.
use super::COPIED;
use crate::tflite::build::{Arith, target_sizes};
use crate::tflite::dtype::to_code;
use crate::tflite::lower::{Cx, R};
use crate::tflite::program::T;
use crate::tflite::schema::Builtin;
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::Op;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::Shape;

fn axis_of(axis: i64, rank: usize) -> R<usize> {
    resolve_axis(axis, rank).map_err(|e| e.message)
}

/// Whether the sizes of the result say what RESHAPE is told.
fn by_result(cx: &mut Cx<'_>) -> R<bool> {
    let own = cx.out_ty(0)?.clone();
    if !cx.is_followed(1) {
        return Ok(false);
    }
    let Some(sizes) = own.shape.as_deref().and_then(target_sizes) else { return Ok(false) };
    let (x, list) = (cx.moved(0, COPIED)?, cx.ints32(&sizes)?);
    cx.emit_moved(Builtin::Reshape, None, &[x, list])?;
    Ok(true)
}

fn by_list(cx: &mut Cx<'_>, list: T) -> R<()> {
    let x = cx.moved(0, COPIED)?;
    cx.emit_moved(Builtin::Reshape, None, &[x, list])
}

/// RESHAPE knows -1, and 0 only as a size: where 0 copies a size of the operand, that is put in its place.
pub fn reshape(cx: &mut Cx<'_>) -> R<()> {
    let Op::Reshape(op) = cx.op() else { return Err("no reshape".into()) };
    if by_result(cx)? {
        return Ok(());
    }
    if op.allowzero || never_zero(cx) {
        let list = cx.sizes32(1)?;
        return by_list(cx, list);
    }
    let x = cx.arg(0)?;
    if let Some(sizes) = cx.ints(1) {
        let all = cx.shape_of(x)?;
        let mut parts = vec![];
        let mut at = 0;
        for run in sizes.chunk_by(|a, b| (*a == 0) == (*b == 0)) {
            parts.push(if run[0] == 0 { cx.part(all, at, run.len())? } else { cx.ints32(run)? });
            at += run.len();
        }
        let list = cx.joined(&parts)?;
        return by_list(cx, list);
    }
    let list = cx.sizes32(1)?;
    let rank = cx.rank(0)?;
    let [Dim::Known(count)] = cx.dims(list)?[..] else {
        return Err("a computed shape of unknown length".into());
    };
    let count = count as usize;
    let all = cx.shape_of(x)?;
    // Behind the last axis there is nothing to copy.
    let own = if count <= rank {
        cx.part(all, 0, count)?
    } else {
        let rest = cx.ints32(&vec![0; count - rank])?;
        cx.joined(&[all, rest])?
    };
    let zero = cx.int32(0)?;
    let is_zero = cx.compare(Builtin::Equal, list, zero)?;
    let list = cx.select(is_zero, own, list)?;
    by_list(cx, list)
}

/// Whether no entry of the shape operand can be zero.
fn never_zero(cx: &Cx<'_>) -> bool {
    let Some(content) = cx.value(1).and_then(|v| cx.g.value(v).content()) else { return false };
    content.iter().all(|v| {
        v.as_ref().is_some_and(|v| match v.as_const() {
            Some(c) => c != 0,
            None => v.sub(&1.into()).is_some_and(|v| v.is_non_negative()),
        })
    })
}

/// RESHAPE to rows and columns.
pub fn flatten(cx: &mut Cx<'_>) -> R<()> {
    let Op::Flatten(op) = cx.op() else { return Err("no flatten".into()) };
    if by_result(cx)? {
        return Ok(());
    }
    let (x, rank) = (cx.arg(0)?, cx.rank(0)?);
    let at = if op.axis == rank as i64 { rank } else { axis_of(op.axis, rank)? };
    let all = cx.shape_of(x)?;
    let (rows, columns) = (cx.part(all, 0, at)?, cx.part(all, at, rank - at)?);
    let (rows, columns) = (cx.product(rows)?, cx.product(columns)?);
    let list = cx.joined(&[rows, columns])?;
    by_list(cx, list)
}

/// Axes in operand 1 counted from the front of `rank`, and 1 at each of them among `rank` zeros.
fn marked(cx: &mut Cx<'_>, rank: usize) -> R<T> {
    let axes = cx.sizes32(1)?;
    let axes = cx.as_list(axes)?;
    let n = cx.int32(rank as i64)?;
    let dims = cx.dims(axes)?;
    let axes = cx.compute(Builtin::FloorMod, None, &[axes, n], DType::I32, dims.clone())?;
    let one_dim = [dims.first().cloned().unwrap_or(Dim::Unknown), Dim::Known(1)];
    let places = cx.reshaped(axes, &one_dim)?;
    let counts = cx.shape_of(axes)?;
    let one = cx.int32(1)?;
    let ones = cx.compute(Builtin::Fill, None, &[counts, one], DType::I32, dims)?;
    let size = cx.ints32(&[rank as i64])?;
    cx.compute(Builtin::ScatterNd, None, &[places, ones, size], DType::I32, vec![Dim::from(rank)])
}

/// RESHAPE where the sizes are known but for one, else `EXPAND_DIMS` axis by axis; computed axes make computed sizes.
pub fn unsqueeze(cx: &mut Cx<'_>) -> R<()> {
    if by_result(cx)? {
        return Ok(());
    }
    let own = cx.out_ty(0)?.shape.clone().ok_or("a result of unknown rank")?;
    if let Some(axes) = cx.ints(1) {
        let mut axes = axes.iter().map(|a| axis_of(*a, own.len())).collect::<R<Vec<_>>>()?;
        axes.sort_unstable();
        let mut x = cx.moved(0, COPIED)?;
        let mut dims = cx.dims(x)?;
        for (i, axis) in axes.iter().enumerate() {
            let at = cx.int32(*axis as i64)?;
            if i + 1 == axes.len() {
                return cx.emit_moved(Builtin::ExpandDims, None, &[x, at]);
            }
            dims.insert(*axis, Dim::Known(1));
            let dtype = cx.def(x).ty.dtype;
            x = cx.compute(Builtin::ExpandDims, None, &[x, at], dtype, dims.clone())?;
        }
        return cx.finish(x);
    }
    if own.len() == cx.rank(0)? + 1 {
        let (x, axis) = (cx.moved(0, COPIED)?, cx.sizes32(1)?);
        return cx.emit_moved(Builtin::ExpandDims, None, &[x, axis]);
    }
    if cx.rank(0)? == 0 {
        let (x, list) = (cx.moved(0, COPIED)?, cx.ints32(&vec![1; own.len()])?);
        return cx.emit_moved(Builtin::Reshape, None, &[x, list]);
    }
    let list = widened_sizes(cx, own.len())?;
    by_list(cx, list)
}

/// Sizes of operand 0 with ones at the axes in operand 1.
fn widened_sizes(cx: &mut Cx<'_>, rank: usize) -> R<T> {
    let new = marked(cx, rank)?;
    let one = cx.int32(1)?;
    let old = cx.arith(Arith::Sub, one, new)?;
    let axis = cx.int32(0)?;
    let options = Builtin::Cumsum.options().map(|o| o.with("exclusive", true));
    let at = cx.compute(Builtin::Cumsum, options, &[old, axis], DType::I32, vec![Dim::from(rank)])?;
    // Behind the last old axis only new ones follow.
    let last = cx.int32(cx.rank(0)? as i64 - 1)?;
    let at = cx.arith(Arith::Min, at, last)?;
    let x = cx.arg(0)?;
    let sizes = cx.shape_of(x)?;
    let picked = cx.compute(Builtin::Gather, None, &[sizes, at], DType::I32, vec![Dim::from(rank)])?;
    let zero = cx.int32(0)?;
    let is_new = cx.compare(Builtin::NotEqual, new, zero)?;
    cx.select(is_new, one, picked)
}

/// RESHAPE where the sizes are known but for one, else SQUEEZE; computed axes make computed sizes.
pub fn squeeze(cx: &mut Cx<'_>) -> R<()> {
    if by_result(cx)? {
        return Ok(());
    }
    if let Some(axes) = cx.ints(1) {
        let x = cx.moved(0, COPIED)?;
        let options = Builtin::Squeeze.options().map(|o| o.with("squeeze_dims", axes));
        return cx.emit_moved(Builtin::Squeeze, options, &[x]);
    }
    if cx.value(1).is_none() {
        return Err("axes of unknown size that may be 1".into());
    }
    let rank = cx.rank(0)?;
    let gone = marked(cx, rank)?;
    let zero = cx.int32(0)?;
    let kept = cx.compare(Builtin::Equal, gone, zero)?;
    let kept = cx.compute(Builtin::Where, None, &[kept], DType::I64, vec![Dim::Unknown, Dim::Known(1)])?;
    let kept = cx.reshaped(kept, &[Dim::Unknown])?;
    let x = cx.arg(0)?;
    let sizes = cx.shape_of(x)?;
    let list = cx.compute(Builtin::Gather, None, &[sizes, kept], DType::I32, vec![Dim::Unknown])?;
    by_list(cx, list)
}

fn shape_options(dtype: DType) -> Option<crate::tflite::table::Record> {
    Builtin::Shape.options().map(|o| o.with("out_type", to_code(dtype).unwrap_or(0)))
}

/// SHAPE, of which SLICE takes a part.
pub fn shape(cx: &mut Cx<'_>) -> R<()> {
    let Op::Shape(op) = cx.op() else { return Err("no shape".into()) };
    let x = cx.arg(0)?;
    if cx.rank(0).is_err() && op.start == 0 && op.end.is_none() {
        return cx.emit(Builtin::Shape, shape_options(DType::I64), &[x]);
    }
    let rank = cx.rank(0)?;
    let n = rank as i64;
    let position = |v: i64| if v < 0 { v.saturating_add(n) } else { v }.clamp(0, n);
    let (start, end) = (position(op.start), position(op.end.unwrap_or(n)));
    let fixed = cx.shape(0).and_then(|s| {
        let part = s.get(start as usize..end.max(start) as usize)?;
        part.iter().map(|d| d.known().and_then(|n| i64::try_from(n).ok())).collect::<Option<Vec<_>>>()
    });
    if let Some(sizes) = fixed {
        let t = cx.konst(Tensor::from_ints(&sizes));
        return cx.finish(t);
    }
    if (start, end) == (0, n) {
        return cx.emit(Builtin::Shape, shape_options(DType::I64), &[x]);
    }
    let all =
        cx.compute(Builtin::Shape, shape_options(DType::I64), &[x], DType::I64, vec![Dim::from(rank)])?;
    let (begin, size) = (cx.ints32(&[start])?, cx.ints32(&[(end - start).max(0)])?);
    cx.emit(Builtin::Slice, None, &[all, begin, size])
}

/// Product of SHAPE.
pub fn size(cx: &mut Cx<'_>) -> R<()> {
    let (x, rank) = (cx.arg(0)?, cx.rank(0)?);
    if let Some(sizes) = cx.sizes(0) {
        let count = sizes.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).ok_or("too many elements")?;
        let t = cx.konst(Tensor::scalar(count as i64));
        return cx.finish(t);
    }
    let all =
        cx.compute(Builtin::Shape, shape_options(DType::I64), &[x], DType::I64, vec![Dim::from(rank)])?;
    let axes = cx.ints32(&[0])?;
    cx.emit(Builtin::ReduceProd, None, &[all, axes])
}

/// FILL.
pub fn constant_of_shape(cx: &mut Cx<'_>) -> R<()> {
    let Op::ConstantOfShape(op) = cx.op() else { return Err("no constant_of_shape".into()) };
    let value = op.value.clone().unwrap_or_else(|| Tensor::scalar(0f32));
    let value = value.reshape(&[]).map_err(|e| e.to_string())?;
    let own = cx.out_ty(0)?.clone();
    let dtype = crate::tflite::build::carrier(own.dtype, COPIED)?;
    let value = cx.konst(value);
    let value = cx.bits(value, dtype)?;
    let sizes = cx.sizes32(0)?;
    let sizes = cx.as_list(sizes)?;
    cx.emit_moved_as(Builtin::Fill, None, &[sizes, value], dtype)
}

/// RANGE of integers. It fails where a limit lies on the wrong side, so that this is moved to the start; floating-point ranges are counted first,
/// since each element is computed by itself.
pub fn range(cx: &mut Cx<'_>) -> R<()> {
    let own = cx.out_ty(0)?.clone();
    let mut ends = vec![];
    for i in 0..3 {
        let t = cx.arg(i)?;
        ends.push(cx.as_scalar(t)?);
    }
    match own.dtype {
        DType::I32 | DType::I64 => {
            let limit = reachable(cx, &ends)?;
            cx.emit(Builtin::Range, None, &[ends[0], limit, ends[2]])
        }
        DType::I16 => {
            for t in &mut ends {
                *t = cx.cast(*t, DType::I32)?;
            }
            let limit = reachable(cx, &ends)?;
            let shape: Shape = own.shape.ok_or("a result of unknown rank")?;
            let y = cx.compute(Builtin::Range, None, &[ends[0], limit, ends[2]], DType::I32, shape)?;
            cx.emit_cast(y, DType::I16)
        }
        DType::F32 => {
            let (start, far, _) = float_range(cx, &ends)?;
            cx.emit(Builtin::Add, None, &[start, far])
        }
        DType::F16 | DType::BF16 => {
            for t in &mut ends {
                *t = cx.cast(*t, DType::F32)?;
            }
            let (start, far, dims) = float_range(cx, &ends)?;
            let y = cx.compute(Builtin::Add, None, &[start, far], DType::F32, dims)?;
            cx.emit_cast(y, own.dtype)
        }
        d => Err(format!("element type {d}")),
    }
}

/// The limit of a range of integers, or the start where the step leads away from it.
fn reachable(cx: &mut Cx<'_>, ends: &[T]) -> R<T> {
    let (start, limit, delta) = (ends[0], ends[1], ends[2]);
    if let Some([d]) = cx.known(delta).as_deref() {
        cx.arith(if *d > 0 { Arith::Max } else { Arith::Min }, limit, start)
    } else {
        let zero = cx.int_like(0, delta)?;
        let up = cx.compare(Builtin::Greater, delta, zero)?;
        let (above, below) = (cx.arith(Arith::Max, limit, start)?, cx.arith(Arith::Min, limit, start)?);
        cx.select(up, above, below)
    }
}

/// `start` and `i * delta`, for as many `i` as the operator's formula says.
fn float_range(cx: &mut Cx<'_>, ends: &[T]) -> R<(T, T, Shape)> {
    let (start, limit, delta) = (ends[0], ends[1], ends[2]);
    let scalar = || vec![];
    let way = cx.compute(Builtin::Sub, None, &[limit, start], DType::F32, scalar())?;
    let steps = cx.compute(Builtin::Div, None, &[way, delta], DType::F32, scalar())?;
    let steps = cx.same(Builtin::Ceil, steps)?;
    let count = cx.cast(steps, DType::I32)?;
    let zero = cx.int32(0)?;
    let count = cx.arith(Arith::Max, count, zero)?;
    let dims = cx.out_ty(0)?.shape.clone().ok_or("a result of unknown rank")?;
    let numbers = cx.iota(count, dims.first().unwrap_or(&Dim::Unknown))?;
    let numbers = cx.cast(numbers, DType::F32)?;
    let far = cx.compute(Builtin::Mul, None, &[numbers, delta], DType::F32, dims.clone())?;
    Ok((start, far, dims))
}
