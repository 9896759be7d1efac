//! Largest, smallest and equal elements, and where they are.
use super::Row;
use super::bridge::Arg;
use super::cx::{Cx, R, V};
use super::val::Val;
use hoist_ir::dtype::DType;
use hoist_ir::ops::Op;
use hoist_ir::ops::index::compress::Compress;
use hoist_ir::ops::index::scatter::Reduction;
use hoist_ir::ops::index::scatter_nd::ScatterNd;
use hoist_ir::ops::index::unique::Unique;
use hoist_ir::ops::reduce::arg::{ArgMax, ArgMin};
use hoist_ir::ops::reduce::reductions::ReduceSum;
use hoist_ir::ops::reduce::top_k::TopK;
use hoist_ir::ops::shape::non_zero::NonZero;
use hoist_ir::ops::shape::range::Range;
use hoist_ir::tensor::Tensor;

pub(super) const TABLE: &[Row] = &[
    ("TopK", "values indices", top_k),
    ("TopKV2", "values indices", top_k),
    ("ArgMax", "", |cx| arg(cx, true)),
    ("ArgMin", "", |cx| arg(cx, false)),
    ("InTopK", "", in_top_k),
    ("InTopKV2", "", in_top_k),
    ("NthElement", "", nth),
    ("Unique", "y idx", |cx| unique(cx, false)),
    ("UniqueWithCounts", "y idx count", |cx| unique(cx, true)),
    ("UniqueV2", "y idx", |cx| unique(cx, false)),
    ("UniqueWithCountsV2", "y idx count", |cx| unique(cx, true)),
    ("Where", "", places),
    ("LowerBound", "", |cx| search(cx, false)),
    ("UpperBound", "", |cx| search(cx, true)),
    ("Bucketize", "", bucketize),
    ("Bincount", "", bincount),
    ("DenseBincount", "", bincount),
    ("InvertPermutation", "", inverted),
    ("ListDiff", "out idx", list_diff),
];

/// The type of indices that attribute `name` says.
fn index_type(cx: &Cx<'_, '_, '_>, name: &str, default: DType) -> R<DType> {
    if cx.attrs.has(name) { Ok(cx.attrs.dtype(name)?) } else { Ok(default) }
}

fn top_k(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let k = if cx.len() > 1 {
        let k = cx.wide(1)?;
        cx.reshape(k, &[1])?
    } else {
        let k = cx.attrs.int("k").filter(|k| *k >= 0).ok_or_else(|| cx.bad("no k"))?;
        cx.int_list(&[k])
    };
    // Equal elements come in the order of their indices; those that are not to be sorted may come in any.
    let found = cx.op_n(TopK { axis: -1, largest: true, sorted: true }, &[Some(x), Some(k)], 2)?;
    let to = index_type(cx, "index_type", DType::I32)?;
    Ok(vec![found[0].into(), cx.cast(found[1], to)?.into()])
}

fn arg(cx: &mut Cx<'_, '_, '_>, largest: bool) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let axis = cx.int(1, "an axis")?;
    let axis = cx.axis(x, axis)? as i64;
    let x = if cx.dtype(x)? == DType::Bool { cx.cast(x, DType::I32)? } else { x };
    let op: Op = if largest {
        ArgMax { axis, keepdims: false, select_last_index: false }.into()
    } else {
        ArgMin { axis, keepdims: false, select_last_index: false }.into()
    };
    let at = cx.op(op, &[x])?;
    let to = index_type(cx, "output_type", DType::I64)?;
    Ok(vec![cx.cast(at, to)?.into()])
}

/// Whether fewer than `k` classes score higher than the right one, whose score is finite.
fn in_top_k(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (scores, targets) = (cx.arg(0)?, cx.arg(1)?);
    let k = if cx.len() > 2 {
        cx.wide(2)?
    } else {
        let k = cx.attrs.int("k").ok_or_else(|| cx.bad("no k"))?;
        cx.konst(Tensor::scalar(k))
    };
    let at = cx.unsqueeze(targets, &[-1])?;
    let own = super::gather::gathered(cx, scores, at, 1, 1)?;
    let higher = cx.named("greater", &[scores, own])?;
    let higher = cx.cast(higher, DType::I64)?;
    let last = cx.int_list(&[-1]);
    let count = cx.op(ReduceSum { keepdims: false, noop_with_empty_axes: false }, &[higher, last])?;
    let few = cx.named("less", &[count, k])?;
    let finite = cx.aten("isfinite", &[("self", Arg::T(own))])?;
    let finite = cx.squeeze(finite, &[-1])?;
    Ok(vec![cx.named("and", &[few, finite])?.into()])
}

/// The element that would be at place `n` after sorting.
fn nth(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, n) = (cx.arg(0)?, cx.wide(1)?);
    let (one, n) = (cx.int_list(&[1]), cx.reshape(n, &[1])?);
    let k = cx.named("add", &[n, one])?;
    let op = TopK { axis: -1, largest: cx.attrs.flag("reverse"), sorted: true };
    let found = cx.op_n(op, &[Some(x), Some(k)], 2)?;
    let last = cx.konst(Tensor::scalar(-1i64));
    Ok(vec![cx.gather(found[0], last, -1)?.into()])
}

/// Elements, or rows along one axis, in the order in which they appear first.
fn unique(cx: &mut Cx<'_, '_, '_>, counted: bool) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let axis = match cx.len() {
        0 | 1 => None,
        _ => cx.ints(1, "an axis")?.first().copied(),
    };
    let axis = axis.filter(|_| cx.known_rank(x) != Some(1));
    let found = cx.op_n(Unique { axis, sorted: false }, &[Some(x)], 4)?;
    let to = index_type(cx, "out_idx", DType::I32)?;
    let mut out = vec![found[0].into(), cx.cast(found[2], to)?.into()];
    if counted {
        out.push(cx.cast(found[3], to)?.into());
    }
    Ok(out)
}

/// Indices of the elements that are not zero, one row each.
fn places(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let at = cx.op(NonZero {}, &[x])?;
    Ok(vec![cx.transpose(at, &[1, 0])?.into()])
}

/// Where values belong in sorted rows.
fn search(cx: &mut Cx<'_, '_, '_>, right: bool) -> R<Vec<Val>> {
    let (rows, values) = (cx.arg(0)?, cx.arg(1)?);
    // The number of elements that are smaller, or not larger.
    let (rows, values) = (cx.unsqueeze(rows, &[-2])?, cx.unsqueeze(values, &[-1])?);
    let ahead = if right {
        cx.named("greater_or_equal", &[values, rows])?
    } else {
        cx.named("less", &[rows, values])?
    };
    counted(cx, ahead, "out_type")
}

/// The number of true elements along the last axis.
fn counted(cx: &mut Cx<'_, '_, '_>, flags: V, attr: &str) -> R<Vec<Val>> {
    let ones = cx.cast(flags, DType::I64)?;
    let last = cx.int_list(&[-1]);
    let count = cx.op(ReduceSum { keepdims: false, noop_with_empty_axes: false }, &[ones, last])?;
    let to = index_type(cx, attr, DType::I32)?;
    Ok(vec![cx.cast(count, to)?.into()])
}

fn bucketize(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let list = cx.attrs.floats("boundaries").to_vec();
    // Boundaries are 32-bit floats; wider data is compared as it is.
    let wide = if cx.dtype(x)? == DType::F32 { DType::F32 } else { DType::F64 };
    let x = cx.cast(x, wide)?;
    let edges = Tensor::from_vec(&[list.len()], list).cast(wide, false).map_err(|e| cx.bad(e))?;
    let edges = cx.konst(edges);
    let x = cx.unsqueeze(x, &[-1])?;
    let above = cx.named("greater_or_equal", &[x, edges])?;
    counted(cx, above, "none")
}

/// How often each number below `size` occurs, or the sum of what it weighs; of each row for two axes.
fn bincount(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, size, weights) = (cx.wide(0)?, cx.wide(1)?, cx.arg(2)?);
    let size = cx.reshape(size, &[1])?;
    let rank = cx.rank(x)?;
    let batched = rank == 2 && &*cx.node.op == "DenseBincount";
    let binary = cx.attrs.flag("binary_output");
    let dtype = cx.dtype(weights)?;
    let unweighted = cx.size(weights, 0) == Some(0) || cx.sizes(weights).is_some_and(|s| s.contains(&0));
    if !unweighted && cx.sizes(weights).is_none() && !binary {
        return Err(cx.unsupported("weights of which nothing is known"));
    }
    // Numbers that are too large count for a place behind the last one.
    let zero = cx.int_list(&[0]);
    let least = cx.named("max", &[x, zero])?;
    let at = cx.named("min", &[least, size])?;
    let one = cx.int_list(&[1]);
    let wide = cx.named("add", &[size, one])?;
    let base = if batched {
        let rows = cx.size_of(x, 0)?;
        cx.concat(&[rows, wide], 0)?
    } else {
        wide
    };
    let zeros = Tensor::scalar(0i64).cast(dtype, false).map_err(|e| cx.bad(e))?;
    let zeros = cx.konst(zeros);
    let base = cx.expand(zeros, base)?;
    let ones = Tensor::scalar(1i64).cast(dtype, false).map_err(|e| cx.bad(e))?;
    let ones = cx.konst(ones);
    let shape = cx.shape_of(x)?;
    let updates = if unweighted || binary { cx.expand(ones, shape)? } else { weights };
    let index = if batched {
        let (start, step) = (cx.konst(Tensor::scalar(0i64)), cx.konst(Tensor::scalar(1i64)));
        let rows = cx.size_of(x, 0)?;
        let rows = cx.reshape(rows, &[])?;
        let row = cx.op(Range::default(), &[start, rows, step])?;
        let row = cx.unsqueeze(row, &[1])?;
        let row = cx.expand(row, shape)?;
        let (row, at) = (cx.unsqueeze(row, &[-1])?, cx.unsqueeze(at, &[-1])?);
        cx.concat(&[row, at], -1)?
    } else {
        cx.unsqueeze(at, &[-1])?
    };
    let reduction = if binary { Reduction::Replace } else { Reduction::Add };
    let sums = cx.op(ScatterNd { reduction }, &[base, index, updates])?;
    let y = cx.slice(sums, -1, 0, -1)?;
    Ok(vec![y.into()])
}

/// Where each number from 0 on stands in a list of them.
fn inverted(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let dtype = cx.dtype(x)?;
    let at = cx.cast(x, DType::I64)?;
    let (start, step) = (cx.konst(Tensor::scalar(0i64)), cx.konst(Tensor::scalar(1i64)));
    let n = cx.size_of(x, 0)?;
    let n = cx.reshape(n, &[])?;
    let numbers = cx.op(Range::default(), &[start, n, step])?;
    let index = cx.unsqueeze(at, &[-1])?;
    let y = cx.op(ScatterNd::default(), &[at, index, numbers])?;
    Ok(vec![cx.cast(y, dtype)?.into()])
}

/// Elements of the first list that are not in the second, and where they are.
fn list_diff(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, y) = (cx.arg(0)?, cx.arg(1)?);
    let (a, b) = (cx.unsqueeze(x, &[1])?, cx.unsqueeze(y, &[0])?);
    let same = cx.named("equal", &[a, b])?;
    let same = cx.cast(same, DType::I64)?;
    let last = cx.int_list(&[1]);
    let count = cx.op(ReduceSum { keepdims: false, noop_with_empty_axes: false }, &[same, last])?;
    let zero = cx.int_list(&[0]);
    let other = cx.named("equal", &[count, zero])?;
    let kept = cx.op(Compress { axis: Some(0) }, &[x, other])?;
    let at = cx.op(NonZero {}, &[other])?;
    let at = cx.squeeze(at, &[0])?;
    let to = index_type(cx, "out_idx", DType::I32)?;
    Ok(vec![kept.into(), cx.cast(at, to)?.into()])
}
