//! Sums and the like of rows that belong together.
use super::Row;
use super::cx::{Cx, R, V};
use super::val::Val;
use hoist_ir::dtype::DType;
use hoist_ir::ops::index::scatter::Reduction;
use hoist_ir::ops::index::scatter_nd::ScatterNd;
use hoist_ir::ops::reduce::reductions::ReduceMax;
use hoist_ir::tensor::Tensor;

pub(super) const TABLE: &[Row] = &[
    ("SegmentSum", "", |cx| segment(cx, How::Sum)),
    ("SegmentSumV2", "", |cx| segment(cx, How::Sum)),
    ("SegmentMean", "", |cx| segment(cx, How::Mean)),
    ("SegmentProd", "", |cx| segment(cx, How::Prod)),
    ("SegmentProdV2", "", |cx| segment(cx, How::Prod)),
    ("SegmentMax", "", |cx| segment(cx, How::Max)),
    ("SegmentMin", "", |cx| segment(cx, How::Min)),
    ("UnsortedSegmentSum", "", |cx| unsorted(cx, How::Sum)),
    ("UnsortedSegmentProd", "", |cx| unsorted(cx, How::Prod)),
    ("UnsortedSegmentMax", "", |cx| unsorted(cx, How::Max)),
    ("UnsortedSegmentMin", "", |cx| unsorted(cx, How::Min)),
    ("SparseSegmentSum", "", |cx| sparse(cx, How::Sum)),
    ("SparseSegmentMean", "", |cx| sparse(cx, How::Mean)),
    ("SparseSegmentSqrtN", "", |cx| sparse(cx, How::SqrtN)),
    ("SparseSegmentSumWithNumSegments", "", |cx| sparse(cx, How::Sum)),
    ("SparseSegmentMeanWithNumSegments", "", |cx| sparse(cx, How::Mean)),
    ("SparseSegmentSqrtNWithNumSegments", "", |cx| sparse(cx, How::SqrtN)),
];

/// What becomes of the rows of a segment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Sum,
    /// The sum by the number of rows.
    Mean,
    /// The sum by the root of the number of rows.
    SqrtN,
    Prod,
    Max,
    Min,
}

/// The number that an operator begins with, in `dtype`.
fn start(cx: &Cx<'_, '_, '_>, how: How, dtype: DType) -> R<Tensor> {
    let value = match how {
        How::Sum | How::Mean | How::SqrtN => 0.0,
        How::Prod => 1.0,
        How::Max | How::Min => return lowest(cx, how == How::Max, dtype),
    };
    Tensor::scalar(value).cast(dtype, false).map_err(|e| cx.bad(e))
}

/// The lowest or highest number of `dtype`; of floats, the finite one.
fn lowest(cx: &Cx<'_, '_, '_>, lowest: bool, dtype: DType) -> R<Tensor> {
    let sign = if lowest { -1.0 } else { 1.0 };
    let float = |v: f64| Tensor::scalar(sign * v).cast(dtype, false).map_err(|e| cx.bad(e));
    match dtype {
        DType::F64 => float(f64::MAX),
        DType::F32 => float(f64::from(f32::MAX)),
        DType::F16 => float(65504.0),
        DType::BF16 => float(3.389_531_389_251_535_5e38),
        _ => {
            let (low, high) = dtype.int_range().ok_or_else(|| cx.unsupported(format!("{dtype}")))?;
            let value = if lowest { low } else { high };
            let value = i64::try_from(value).map_err(|_| cx.unsupported(format!("{dtype}")))?;
            Tensor::scalar(value).cast(dtype, false).map_err(|e| cx.bad(e))
        }
    }
}

/// `rows` (a list of one number) results of the rows of `x`, each for the segment that `ids`, a list, names.
fn combined(cx: &mut Cx<'_, '_, '_>, x: V, ids: V, rows: V, how: How) -> R<V> {
    let dtype = cx.dtype(x)?;
    let shape = cx.shape_of(x)?;
    let tail = cx.slice(shape, 0, 1, i64::MAX)?;
    let sizes = cx.concat(&[rows, tail], 0)?;
    let start = start(cx, how, dtype)?;
    let start = cx.konst(start);
    let base = cx.expand(start, sizes)?;
    let at = cx.unsqueeze(ids, &[-1])?;
    let reduction = match how {
        How::Sum | How::Mean | How::SqrtN => Reduction::Add,
        How::Prod => Reduction::Mul,
        How::Max => Reduction::Max,
        How::Min => Reduction::Min,
    };
    let sums = cx.op(ScatterNd { reduction }, &[base, at, x])?;
    if !matches!(how, How::Mean | How::SqrtN) {
        return Ok(sums);
    }
    let counts = counts(cx, ids, rows, dtype)?;
    let one = cx.number(1.0, counts)?;
    let mut by = cx.named("max", &[counts, one])?;
    if how == How::SqrtN {
        by = cx.named("sqrt", &[by])?;
    }
    let by = column(cx, by, x)?;
    cx.named("div", &[sums, by])
}

/// A list of one number for each row of `x`, with axes of size 1 for the others.
fn column(cx: &mut Cx<'_, '_, '_>, list: V, x: V) -> R<V> {
    if let Some(rank) = cx.known_rank(x) {
        let behind: Vec<i64> = (1..rank as i64).collect();
        return cx.unsqueeze(list, &behind);
    }
    let shape = cx.shape_of(x)?;
    let tail = cx.slice(shape, 0, 1, i64::MAX)?;
    let count = cx.shape_of(tail)?;
    let (one, open) = (cx.int_list(&[1]), cx.int_list(&[-1]));
    let ones = cx.expand(one, count)?;
    let sizes = cx.concat(&[open, ones], 0)?;
    cx.reshape_to(list, sizes)
}

/// The number of rows of each segment, in `dtype`.
fn counts(cx: &mut Cx<'_, '_, '_>, ids: V, rows: V, dtype: DType) -> R<V> {
    let zero = Tensor::scalar(0i64).cast(dtype, false).map_err(|e| cx.bad(e))?;
    let one = Tensor::scalar(1i64).cast(dtype, false).map_err(|e| cx.bad(e))?;
    let (zero, one) = (cx.konst(zero), cx.konst(one));
    let base = cx.expand(zero, rows)?;
    let shape = cx.shape_of(ids)?;
    let ones = cx.expand(one, shape)?;
    let at = cx.unsqueeze(ids, &[-1])?;
    cx.op(ScatterNd { reduction: Reduction::Add }, &[base, at, ones])
}

/// One more than the largest number of a list, as a list.
fn behind_last(cx: &mut Cx<'_, '_, '_>, ids: V) -> R<V> {
    let most = cx.op(ReduceMax { keepdims: true, noop_with_empty_axes: false }, &[ids])?;
    let one = cx.int_list(&[1]);
    cx.named("add", &[most, one])
}

/// Results of sorted segments; those without rows are 0, and 1 for products.
fn sorted(cx: &mut Cx<'_, '_, '_>, x: V, ids: V, rows: V, how: How) -> R<Vec<Val>> {
    let y = combined(cx, x, ids, rows, how)?;
    if !matches!(how, How::Max | How::Min) {
        return Ok(vec![y.into()]);
    }
    let counts = counts(cx, ids, rows, DType::I64)?;
    let zero = cx.int_list(&[0]);
    let none = cx.named("equal", &[counts, zero])?;
    let none = column(cx, none, x)?;
    let zero = cx.number(0.0, y)?;
    Ok(vec![cx.named("where", &[none, zero, y])?.into()])
}

fn segment(cx: &mut Cx<'_, '_, '_>, how: How) -> R<Vec<Val>> {
    let (x, ids) = (cx.arg(0)?, cx.wide(1)?);
    let rows = if cx.len() > 2 {
        let n = cx.wide(2)?;
        cx.reshape(n, &[1])?
    } else {
        behind_last(cx, ids)?
    };
    sorted(cx, x, ids, rows, how)
}

/// Segments in any order, numbered by several axes; rows of negative numbers belong to none.
fn unsorted(cx: &mut Cx<'_, '_, '_>, how: How) -> R<Vec<Val>> {
    let (x, ids, n) = (cx.arg(0)?, cx.wide(1)?, cx.wide(2)?);
    let n = cx.reshape(n, &[1])?;
    let axes = cx.rank(ids)? as i64;
    let shape = cx.shape_of(x)?;
    let (tail, open) = (cx.slice(shape, 0, axes, i64::MAX)?, cx.int_list(&[-1]));
    let (x, ids) = if axes == 1 {
        (x, ids)
    } else {
        let sizes = cx.concat(&[open, tail], 0)?;
        (cx.reshape_to(x, sizes)?, cx.reshape(ids, &[-1])?)
    };
    let (zero, one) = (cx.int_list(&[0]), cx.int_list(&[1]));
    let negative = cx.named("less", &[ids, zero])?;
    let ids = cx.named("where", &[negative, n, ids])?;
    let rows = cx.named("add", &[n, one])?;
    let y = combined(cx, x, ids, rows, how)?;
    Ok(vec![cx.slice(y, 0, 0, -1)?.into()])
}

/// Segments of rows that are picked first.
fn sparse(cx: &mut Cx<'_, '_, '_>, how: How) -> R<Vec<Val>> {
    let (x, at, ids) = (cx.arg(0)?, cx.wide(1)?, cx.wide(2)?);
    let x = cx.gather(x, at, 0)?;
    let rows = if cx.len() > 3 {
        let n = cx.wide(3)?;
        cx.reshape(n, &[1])?
    } else {
        behind_last(cx, ids)?
    };
    sorted(cx, x, ids, rows, how)
}
