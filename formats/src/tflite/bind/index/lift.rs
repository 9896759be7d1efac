//! Builtin operators that address elements by computed positions, as nodes.
use super::lift_scatter as scatter;
use crate::tflite::lift::{Cx, Lift, Lifted};
use crate::tflite::schema::Builtin;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::ValueId;
use hoist_ir::ops::elementwise::cast::Cast;
use hoist_ir::ops::elementwise::compare::Less;
use hoist_ir::ops::elementwise::select::Where;
use hoist_ir::ops::index::gather::Gather;
use hoist_ir::ops::index::gather_nd::GatherNd;
use hoist_ir::ops::index::scatter::Reduction;
use hoist_ir::ops::index::scatter_nd::ScatterNd;
use hoist_ir::ops::index::unique::Unique;
use hoist_ir::ops::movement::expand::Expand;
use hoist_ir::ops::movement::transpose::Transpose;
use hoist_ir::ops::movement::unsqueeze::Unsqueeze;
use hoist_ir::ops::shape::non_zero::NonZero;
use hoist_ir::ops::shape::one_hot::OneHot;
use hoist_ir::tensor::Tensor;

pub(super) const LIFT: &[(Builtin, Lift)] = &[
    (Builtin::DynamicUpdateSlice, scatter::dynamic_update_slice),
    (Builtin::EmbeddingLookup, embedding_lookup),
    (Builtin::Gather, gather),
    (Builtin::GatherNd, gather_nd),
    (Builtin::MatrixDiag, scatter::matrix_diag),
    (Builtin::MatrixSetDiag, scatter::matrix_set_diag),
    (Builtin::NonMaxSuppressionV4, scatter::non_max_suppression),
    (Builtin::NonMaxSuppressionV5, scatter::non_max_suppression),
    (Builtin::OneHot, one_hot),
    (Builtin::ScatterNd, scatter_nd),
    (Builtin::SegmentSum, scatter::segment_sum),
    (Builtin::SparseToDense, scatter::sparse_to_dense),
    (Builtin::StablehloDynamicSlice, scatter::dynamic_slice),
    (Builtin::StablehloDynamicUpdateSlice, scatter::stablehlo_update),
    (Builtin::StablehloIota, scatter::iota),
    (Builtin::Unique, unique),
    (Builtin::UnsortedSegmentMax, scatter::unsorted_segment),
    (Builtin::UnsortedSegmentMin, scatter::unsorted_segment),
    (Builtin::UnsortedSegmentProd, scatter::unsorted_segment),
    (Builtin::UnsortedSegmentSum, scatter::unsorted_segment),
    (Builtin::Where, positions),
];

/// Indices as wide as the IR takes them.
fn indices(cx: &mut Cx<'_, '_>, i: usize) -> Result<ValueId, Diag> {
    let v = cx.arg(i)?;
    if matches!(cx.dtype(v)?, DType::I32 | DType::I64) { Ok(v) } else { cx.as_i64(v) }
}

/// Batch axes make tuples of one for `gather_nd`, behind which the axis must stand.
fn gather(cx: &mut Cx<'_, '_>) -> Lifted {
    let (x, at) = (cx.arg(0)?, indices(cx, 1)?);
    let batch = cx.int("batch_dims");
    if batch == 0 {
        return Ok(vec![cx.op(Gather { axis: cx.int("axis") }, &[x, at])?]);
    }
    let (rank, index_rank) = (cx.rank(x)?, cx.rank(at)?);
    let axis = cx.axis(cx.int("axis"), rank)?;
    let batch = usize::try_from(if batch < 0 { batch + index_rank as i64 } else { batch })
        .ok()
        .filter(|b| *b <= axis && *b <= index_rank)
        .ok_or_else(|| cx.bad("batch axes that do not fit"))?;
    let mut perm: Vec<i64> = (0..rank as i64).collect();
    let axis_at = perm.remove(axis);
    perm.insert(batch, axis_at);
    let x = if axis == batch { x } else { cx.op(Transpose { perm }, &[x])? };
    let (at, last) = (cx.as_i64(at)?, cx.b.ints(&[-1]));
    let at = cx.op(Unsqueeze {}, &[at, last])?;
    let mut y = cx.op(GatherNd { batch_dims: batch as i64 }, &[x, at])?;
    if axis != batch {
        // Axes between the batch and the axis stand behind those of the indices.
        let (inner, between) = (index_rank - batch, axis - batch);
        let mut perm: Vec<usize> = (0..batch).collect();
        perm.extend(batch + inner..batch + inner + between);
        perm.extend(batch..batch + inner);
        perm.extend(batch + inner + between..rank - 1 + inner);
        y = cx.op(Transpose { perm: perm.into_iter().map(|a| a as i64).collect() }, &[y])?;
    }
    Ok(vec![y])
}

fn gather_nd(cx: &mut Cx<'_, '_>) -> Lifted {
    let (x, at) = (cx.arg(0)?, cx.wide(1)?);
    Ok(vec![cx.op(GatherNd::default(), &[x, at])?])
}

fn embedding_lookup(cx: &mut Cx<'_, '_>) -> Lifted {
    let (at, x) = (indices(cx, 0)?, cx.arg(1)?);
    Ok(vec![cx.op(Gather { axis: 0 }, &[x, at])?])
}

/// `value`, a number, in the element type of `like`, as often as `sizes` say.
pub(super) fn filled(cx: &mut Cx<'_, '_>, value: f64, dtype: DType, sizes: ValueId) -> Result<ValueId, Diag> {
    let one = Tensor::scalar(value).cast(dtype, false).map_err(|e| cx.bad(e))?;
    let one = cx.b.constant(one);
    cx.op(Expand {}, &[one, sizes])
}

/// Sums where several fall on one place.
fn scatter_nd(cx: &mut Cx<'_, '_>) -> Lifted {
    let (at, updates, sizes) = (cx.wide(0)?, cx.arg(1)?, cx.wide(2)?);
    let dtype = cx.dtype(updates)?;
    let data = filled(cx, 0.0, dtype, sizes)?;
    let op = ScatterNd { reduction: Reduction::Add };
    Ok(vec![cx.op(op, &[data, at, updates])?])
}

/// Negative indices set nothing, so that they are moved behind the end.
fn one_hot(cx: &mut Cx<'_, '_>) -> Lifted {
    let (mut at, depth) = (cx.wide(0)?, cx.wide(1)?);
    let depth = cx.reshape(depth, &[])?;
    if !cx.ints(0).is_some_and(|l| l.iter().all(|n| *n >= 0)) {
        let zero = cx.b.scalar(0i64);
        let behind = cx.op(Less {}, &[at, zero])?;
        at = cx.op(Where {}, &[behind, depth, at])?;
    }
    let (on, off) = (cx.arg(2)?, cx.arg(3)?);
    let (on, off) = (cx.reshape(on, &[1])?, cx.reshape(off, &[1])?);
    let values = cx.concat(&[off, on], 0)?;
    if cx.rank(at)? > 0 {
        return Ok(vec![cx.op(OneHot { axis: cx.int("axis") }, &[at, depth, values])?]);
    }
    // ONNX has no such index without axes.
    let at = cx.reshape(at, &[1])?;
    let y = cx.op(OneHot { axis: -1 }, &[at, depth, values])?;
    Ok(vec![cx.reshape(y, &[-1])?])
}

/// One row for each element that is not zero.
fn positions(cx: &mut Cx<'_, '_>) -> Lifted {
    let x = cx.arg(0)?;
    let columns = cx.op(NonZero {}, &[x])?;
    Ok(vec![cx.op(Transpose { perm: vec![1, 0] }, &[columns])?])
}

/// Distinct elements in the order in which they occur, and which of them each one is.
fn unique(cx: &mut Cx<'_, '_>) -> Lifted {
    let x = cx.arg(0)?;
    let all = cx.b.add_n(Unique { axis: None, sorted: false }, &[Some(x)], 3)?;
    let dtype = cx.results.get(1).map_or(DType::I32, |r| r.ty.dtype);
    let inverse = cx.op(Cast { to: dtype, ..Cast::default() }, &[all[2]])?;
    Ok(vec![all[0], inverse])
}
