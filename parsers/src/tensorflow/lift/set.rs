//! Sets: the rows along the last axis, of which each element counts once.
use super::Row;
use super::cx::{Cx, R, V};
use super::val::Val;
use hoist_ir::dtype::DType;
use hoist_ir::ops::index::compress::Compress;
use hoist_ir::ops::reduce::cumulative::CumSum;
use hoist_ir::ops::reduce::reductions::{ReduceMax, ReduceSum};
use hoist_ir::ops::reduce::top_k::TopK;
use hoist_ir::ops::shape::non_zero::NonZero;
use hoist_ir::tensor::Tensor;

pub(super) const TABLE: &[Row] =
    &[("DenseToDenseSetOperation", "result_indices result_values result_shape", operation)];

/// Whether each element of the rows `x` is among those of the rows `y`.
fn among(cx: &mut Cx<'_, '_, '_>, x: V, y: V) -> R<V> {
    let (x, y) = (cx.unsqueeze(x, &[-1])?, cx.unsqueeze(y, &[-2])?);
    let same = cx.named("equal", &[x, y])?;
    let same = cx.cast(same, DType::I64)?;
    let last = cx.int_list(&[-1]);
    let count = cx.op(ReduceSum { keepdims: false, noop_with_empty_axes: false }, &[same, last])?;
    let zero = cx.int_list(&[0]);
    cx.named("greater", &[count, zero])
}

fn operation(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, y) = (cx.arg(0)?, cx.arg(1)?);
    let (dtype, rank) = (cx.dtype(x)?, cx.rank(x)? as i64);
    if !dtype.is_int() || rank < 1 {
        return Err(cx.unsupported(format!("sets of {dtype}")));
    }
    let what = cx.attrs.text("set_operation")?.to_owned();
    let (of, all) = match what.as_str() {
        "a-b" | "intersection" => (x, x),
        "b-a" => (y, y),
        "union" => (x, cx.concat(&[x, y], -1)?),
        other => return Err(cx.bad(format!("set_operation {other}"))),
    };
    // In order, so that equal elements are neighbours.
    let count = cx.size_of(all, rank as usize - 1)?;
    let op = TopK { axis: -1, largest: false, sorted: true };
    let sorted = cx.op_n(op, &[Some(all), Some(count)], 2)?[0];
    let mut kept = {
        let (ahead, rest) = (cx.slice(sorted, -1, 0, -1)?, cx.slice(sorted, -1, 1, i64::MAX)?);
        let same = cx.named("equal", &[ahead, rest])?;
        let other = cx.named("not", &[same])?;
        let first = cx.slice(sorted, -1, 0, 1)?;
        let always = cx.named("equal", &[first, first])?;
        cx.concat(&[always, other], -1)?
    };
    if what != "union" {
        let found = among(cx, sorted, if of == x { y } else { x })?;
        let found = if what == "intersection" { found } else { cx.named("not", &[found])? };
        kept = cx.named("and", &[kept, found])?;
    }
    let ones = cx.cast(kept, DType::I64)?;
    let axis = cx.konst(Tensor::scalar(rank - 1));
    let place = cx.op(CumSum { exclusive: true, reverse: false }, &[ones, axis])?;
    let flags = cx.reshape(kept, &[-1])?;
    let mut picked = vec![];
    for v in [sorted, place] {
        let flat = cx.reshape(v, &[-1])?;
        picked.push(cx.op(Compress { axis: Some(0) }, &[flat, flags])?);
    }
    let at = cx.op(NonZero {}, &[kept])?;
    let at = cx.transpose(at, &[1, 0])?;
    let (outer, column) = (cx.slice(at, 1, 0, -1)?, cx.unsqueeze(picked[1], &[1])?);
    let indices = if rank == 1 { column } else { cx.concat(&[outer, column], 1)? };
    let last = cx.int_list(&[-1]);
    let lens = cx.op(ReduceSum { keepdims: false, noop_with_empty_axes: false }, &[ones, last])?;
    let lens = cx.reshape(lens, &[-1])?;
    let longest = cx.op(ReduceMax { keepdims: true, noop_with_empty_axes: false }, &[lens])?;
    let shape = cx.shape_of(x)?;
    let outer = cx.slice(shape, 0, 0, -1)?;
    let shape = if rank == 1 { longest } else { cx.concat(&[outer, longest], 0)? };
    Ok(vec![indices.into(), picked[0].into(), shape.into()])
}
