//! Lists of tensors: `TensorList` in variants, and `TensorArray`, whose content goes along its flow.
//!
//! A list is its elements stacked along a first axis, once their sizes are known, and their number.
use super::Row;
use super::cx::{Cx, R, V};
use super::val::{List, Val};
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::ops::index::scatter_nd::ScatterNd;
use hoist_ir::ops::movement::pad::Pad;
use hoist_ir::ops::reduce::reductions::ReduceMax;
use hoist_ir::tensor::Tensor;
use std::sync::Arc;

pub(super) const TABLE: &[Row] = &[
    ("TensorListReserve", "", reserve),
    ("EmptyTensorList", "", empty),
    ("TensorListFromTensor", "", from_tensor),
    ("TensorListStack", "", stack),
    ("TensorListGetItem", "", |cx| read(cx, 0, 1)),
    ("TensorListSetItem", "", |cx| write(cx, [0, 1, 2])),
    ("TensorListLength", "", |cx| length(cx, 0)),
    ("TensorListGather", "", |cx| gather(cx, 0, 1)),
    ("TensorListScatter", "", scatter_new),
    ("TensorListScatterV2", "", scatter_new),
    ("TensorListScatterIntoExistingList", "", |cx| scatter(cx, [0, 2, 1])),
    ("TensorListPushBack", "", push),
    ("TensorListPopBack", "output_handle tensor", pop),
    ("TensorListElementShape", "", element_shape),
    ("TensorListResize", "", resize),
    ("TensorListConcat", "tensor lengths", |cx| joined(cx, 0)),
    ("TensorListConcatV2", "tensor lengths", |cx| joined(cx, 0)),
    ("TensorListSplit", "", |cx| split(cx, 0, 2)),
    ("TensorArrayV3", "handle flow", array),
    ("TensorArrayReadV3", "", |cx| read(cx, 2, 1)),
    ("TensorArrayWriteV3", "", |cx| write(cx, [3, 1, 2])),
    ("TensorArraySizeV3", "", |cx| length(cx, 1)),
    ("TensorArrayGatherV3", "", |cx| gather(cx, 2, 1)),
    ("TensorArrayScatterV3", "", |cx| scatter(cx, [3, 1, 2])),
    ("TensorArrayConcatV3", "value lengths", |cx| joined(cx, 1)),
    ("TensorArraySplitV3", "", |cx| split(cx, 1, 2)),
    ("TensorArrayCloseV3", "", |_| Ok(vec![])),
];

fn listed(list: List) -> Vec<Val> {
    vec![Val::List(Arc::new(list))]
}

fn list(cx: &Cx<'_, '_, '_>, i: usize) -> R<Arc<List>> {
    match cx.val(i)? {
        Val::List(list) => Ok(list.clone()),
        other => Err(cx.unsupported(format!("{} in the place of a list", other.what()))),
    }
}

/// The list that operand `i` is, whose elements are asked for; none for one of a loop that is looked at without its elements so far.
fn opened(cx: &mut Cx<'_, '_, '_>, i: usize) -> R<Option<Arc<List>>> {
    let list = list(cx, i)?;
    let unread = cx.l.unread(&[Val::List(list.clone())]);
    Ok((!unread).then_some(list))
}

/// The integer `v` as 64 bits `[1]`.
fn single(cx: &mut Cx<'_, '_, '_>, v: V) -> R<V> {
    let v = cx.cast(v, DType::I64)?;
    cx.reshape(v, &[1])
}

/// The integer `v` as 64 bits, 0-d.
fn scalar(cx: &mut Cx<'_, '_, '_>, v: V) -> R<V> {
    let v = cx.cast(v, DType::I64)?;
    if cx.known_rank(v) == Some(0) { Ok(v) } else { cx.reshape(v, &[]) }
}

/// As many zeros as `sizes` say.
fn zeros(cx: &mut Cx<'_, '_, '_>, dtype: DType, sizes: V) -> R<V> {
    let zero = if dtype == DType::String {
        Tensor::from_strings(&[], vec![String::new()])
    } else {
        Tensor::scalar(0i64).cast(dtype, false).map_err(|e| cx.bad(e))?
    };
    let zero = cx.konst(zero);
    cx.expand(zero, sizes)
}

/// `len` elements of sizes `dims`, all zero, when the sizes are known.
fn blank(cx: &mut Cx<'_, '_, '_>, dtype: DType, len: V, dims: Option<&[i64]>) -> R<Option<V>> {
    let Some(dims) = dims.filter(|d| d.iter().all(|n| *n >= 0)) else { return Ok(None) };
    let (len, dims) = (single(cx, len)?, cx.int_list(dims));
    let sizes = cx.concat(&[len, dims], 0)?;
    zeros(cx, dtype, sizes).map(Some)
}

/// Sizes of elements that operand `i` states, when it does for all axes.
fn stated(cx: &Cx<'_, '_, '_>, i: usize) -> Option<Vec<i64>> {
    let v = cx.arg(i).ok()?;
    if cx.known_rank(v) != Some(1) {
        return None;
    }
    cx.known_ints(v).filter(|all| all.iter().all(|n| *n >= 0))
}

fn reserve(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (dtype, dims) = (cx.attrs.dtype("element_dtype")?, stated(cx, 0));
    let len = cx.arg(1)?;
    let len = scalar(cx, len)?;
    let stacked = blank(cx, dtype, len, dims.as_deref())?;
    Ok(listed(List::new(stacked, len, dtype)))
}

fn empty(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (dtype, dims) = (cx.attrs.dtype("element_dtype")?, stated(cx, 0));
    let len = cx.konst(Tensor::scalar(0i64));
    let stacked = blank(cx, dtype, len, dims.as_deref())?;
    Ok(listed(List::new(stacked, len, dtype)))
}

fn array(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let dtype = cx.attrs.dtype("dtype")?;
    let len = cx.arg(0)?;
    let len = scalar(cx, len)?;
    let shape = cx.attrs.shape("element_shape")?.flatten();
    let dims: Option<Vec<i64>> =
        shape.and_then(|s| s.iter().map(|d| d.known().and_then(|n| i64::try_from(n).ok())).collect());
    let stacked = blank(cx, dtype, len, dims.as_deref())?;
    let list = List { grows: cx.attrs.flag("dynamic_size"), ..List::new(stacked, len, dtype) };
    Ok(vec![Val::Token, Val::List(Arc::new(list))])
}

fn from_tensor(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let len = cx.size_of(x, 0)?;
    let len = cx.reshape(len, &[])?;
    let dtype = cx.dtype(x)?;
    Ok(listed(List::new(Some(x), len, dtype)))
}

/// The elements of a list; zeros of sizes that operand `shape` states where nothing was written.
fn elements(cx: &mut Cx<'_, '_, '_>, list: &List, shape: Option<usize>) -> R<V> {
    if let Some(v) = list.stacked {
        return Ok(v);
    }
    let dims = shape.and_then(|i| stated(cx, i));
    let blank = blank(cx, list.dtype, list.len, dims.as_deref())?;
    blank.ok_or_else(|| cx.unsupported("a list of elements whose sizes are not known yet"))
}

fn stack(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let Some(list) = opened(cx, 0)? else { return Ok(vec![Val::Failed]) };
    let v = elements(cx, &list, Some(1))?;
    if let Some(n) = cx.attrs.int("num_elements").and_then(|n| u64::try_from(n).ok())
        && let Some(shape) = cx.shape(v).cloned()
    {
        let dims: Vec<Dim> = std::iter::once(Dim::Known(n)).chain(shape.into_iter().skip(1)).collect();
        cx.declare(v, &dims);
    }
    Ok(vec![v.into()])
}

fn read(cx: &mut Cx<'_, '_, '_>, at: usize, index: usize) -> R<Vec<Val>> {
    let Some(list) = opened(cx, at)? else { return Ok(vec![Val::Failed]) };
    let v = elements(cx, &list, Some(2).filter(|_| at == 0))?;
    let index = cx.arg(index)?;
    let index = scalar(cx, index)?;
    Ok(vec![cx.gather(v, index, 0)?.into()])
}

/// Element `index` of the list becomes another one; places of the operands.
fn write(cx: &mut Cx<'_, '_, '_>, [at, index, item]: [usize; 3]) -> R<Vec<Val>> {
    let (list, index, item) = (list(cx, at)?, cx.arg(index)?, cx.arg(item)?);
    let grows = list.grows || cx.attrs.flag("resize_if_index_out_of_bounds");
    if list.slot.is_some() && list.stacked.is_none() && list.write.is_none() {
        return Ok(listed(List { write: Some((index, item)), grows, ..List::clone(&list) }));
    }
    let Some(list) = opened(cx, at)? else { return Ok(vec![Val::Failed]) };
    let mut len = list.len;
    let base = if let Some(v) = list.stacked {
        v
    } else {
        let (rows, tail) = (single(cx, list.len)?, cx.shape_of(item)?);
        let sizes = cx.concat(&[rows, tail], 0)?;
        zeros(cx, list.dtype, sizes)?
    };
    let place = single(cx, index)?;
    let mut v = base;
    if grows {
        let one = cx.int_list(&[1]);
        let behind = cx.named("add", &[place, one])?;
        let rows = single(cx, len)?;
        let wanted = cx.named("max", &[rows, behind])?;
        v = lengthened(cx, v, wanted)?;
        len = cx.reshape(wanted, &[])?;
    }
    let (place, item) = (cx.unsqueeze(place, &[0])?, cx.unsqueeze(item, &[0])?);
    let v = cx.op(ScatterNd::default(), &[v, place, item])?;
    Ok(listed(List { stacked: Some(v), len, ..List::clone(&list) }))
}

/// `v` with rows of zeros behind it, so that it has `rows`, a list of one number, at least.
pub(super) fn lengthened(cx: &mut Cx<'_, '_, '_>, v: V, rows: V) -> R<V> {
    let (have, zero) = (cx.size_of(v, 0)?, cx.int_list(&[0]));
    let missing = cx.named("sub", &[rows, have])?;
    let missing = cx.named("max", &[missing, zero])?;
    let (pads, axes) = (cx.concat(&[zero, missing], 0)?, cx.int_list(&[0]));
    cx.op_opt(Pad::default(), &[Some(v), Some(pads), None, Some(axes)])
}

fn length(cx: &mut Cx<'_, '_, '_>, at: usize) -> R<Vec<Val>> {
    let list = list(cx, at)?;
    if list.grows && list.write.is_some() {
        cx.l.unread(&[Val::List(list)]);
        return Ok(vec![Val::Failed]);
    }
    Ok(vec![cx.cast(list.len, DType::I32)?.into()])
}

fn gather(cx: &mut Cx<'_, '_, '_>, at: usize, indices: usize) -> R<Vec<Val>> {
    let Some(list) = opened(cx, at)? else { return Ok(vec![Val::Failed]) };
    let v = elements(cx, &list, Some(2).filter(|_| at == 0))?;
    let indices = cx.wide(indices)?;
    if all_of(cx, indices, &list) {
        return Ok(vec![v.into()]);
    }
    Ok(vec![cx.gather(v, indices, 0)?.into()])
}

/// Whether `indices` are those of all elements in order.
fn all_of(cx: &Cx<'_, '_, '_>, indices: V, list: &List) -> bool {
    let len = cx.known_ints(list.len).and_then(|n| n.first().copied());
    if let (Some(all), Some(len)) = (cx.known_ints(indices), len) {
        return all.len() as i64 == len && all.iter().enumerate().all(|(i, n)| i as i64 == *n);
    }
    // A range from 0 to the length.
    let g = cx.b.graph();
    let behind = |mut v: V| {
        while let Some(n) = g.producer(v).map(|n| g.node(n)).filter(|n| n.op().name() == "cast") {
            match n.input(0) {
                Some(from) => v = from,
                None => break,
            }
        }
        v
    };
    let Some(range) = g.producer(behind(indices)).map(|n| g.node(n)).filter(|n| n.op().name() == "range")
    else {
        return false;
    };
    let number = |i: usize| g.const_f64(range.input(i));
    number(0) == Some(0.0)
        && number(2) == Some(1.0)
        && range.input(1).is_some_and(|limit| behind(limit) == behind(list.len))
}

/// One more than the largest of `places`, as a list; 0 where there are none.
fn behind_last(cx: &mut Cx<'_, '_, '_>, places: V) -> R<V> {
    let (ahead, one) = (cx.int_list(&[-1]), cx.int_list(&[1]));
    let all = cx.concat(&[ahead, places], 0)?;
    let most = cx.op(ReduceMax { keepdims: true, noop_with_empty_axes: false }, &[all])?;
    cx.named("add", &[most, one])
}

/// A new list, element `i` of which is where the indices name it.
fn scatter_new(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, places) = (cx.arg(0)?, cx.wide(1)?);
    let dtype = cx.dtype(x)?;
    let needed = behind_last(cx, places)?;
    let rows = if cx.len() > 3 {
        // A negative number leaves the length to the indices.
        let stated = cx.arg(3)?;
        let (stated, zero) = (single(cx, stated)?, cx.int_list(&[0]));
        let open = cx.named("less", &[stated, zero])?;
        cx.named("where", &[open, needed, stated])?
    } else {
        needed
    };
    let shape = cx.shape_of(x)?;
    let tail = cx.slice(shape, 0, 1, i64::MAX)?;
    let sizes = cx.concat(&[rows, tail], 0)?;
    let base = zeros(cx, dtype, sizes)?;
    let places = cx.unsqueeze(places, &[-1])?;
    let v = cx.op(ScatterNd::default(), &[base, places, x])?;
    let len = cx.reshape(rows, &[])?;
    Ok(listed(List::new(Some(v), len, dtype)))
}

/// Several elements of a list become others; places of list, indices and elements.
fn scatter(cx: &mut Cx<'_, '_, '_>, [at, indices, items]: [usize; 3]) -> R<Vec<Val>> {
    let Some(list) = opened(cx, at)? else { return Ok(vec![Val::Failed]) };
    let (places, x) = (cx.wide(indices)?, cx.arg(items)?);
    if all_of(cx, places, &list) {
        return Ok(listed(List { stacked: Some(x), ..List::clone(&list) }));
    }
    let mut rows = single(cx, list.len)?;
    if list.grows {
        let needed = behind_last(cx, places)?;
        rows = cx.named("max", &[rows, needed])?;
    }
    let base = if let Some(v) = list.stacked {
        if list.grows { lengthened(cx, v, rows)? } else { v }
    } else {
        let shape = cx.shape_of(x)?;
        let tail = cx.slice(shape, 0, 1, i64::MAX)?;
        let sizes = cx.concat(&[rows, tail], 0)?;
        zeros(cx, list.dtype, sizes)?
    };
    let places = cx.unsqueeze(places, &[-1])?;
    let v = cx.op(ScatterNd::default(), &[base, places, x])?;
    let len = cx.reshape(rows, &[])?;
    Ok(listed(List { stacked: Some(v), len, ..List::clone(&list) }))
}

fn push(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let Some(list) = opened(cx, 0)? else { return Ok(vec![Val::Failed]) };
    let item = cx.arg(1)?;
    let item = cx.unsqueeze(item, &[0])?;
    let v = match list.stacked {
        Some(v) => cx.concat(&[v, item], 0)?,
        // Where elements are there already, but not their sizes, they are zeros.
        None if cx.known_ints(list.len).as_deref() == Some(&[0]) => item,
        None => return Err(cx.unsupported("a list of elements whose sizes are not known yet")),
    };
    let one = cx.konst(Tensor::scalar(1i64));
    let len = cx.named("add", &[list.len, one])?;
    Ok(listed(List { stacked: Some(v), len, ..List::clone(&list) }))
}

fn pop(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let Some(list) = opened(cx, 0)? else { return Ok(vec![Val::Failed]) };
    let v = elements(cx, &list, Some(1))?;
    let last = cx.konst(Tensor::scalar(-1i64));
    let item = cx.gather(v, last, 0)?;
    let rest = cx.slice(v, 0, 0, -1)?;
    let one = cx.konst(Tensor::scalar(1i64));
    let len = cx.named("sub", &[list.len, one])?;
    let list = List { stacked: Some(rest), len, ..List::clone(&list) };
    Ok(vec![Val::List(Arc::new(list)), item.into()])
}

fn element_shape(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let Some(list) = opened(cx, 0)? else { return Ok(vec![Val::Failed]) };
    let v = elements(cx, &list, None)?;
    let shape = cx.shape_of(v)?;
    let tail = cx.slice(shape, 0, 1, i64::MAX)?;
    let to = cx.attrs.dtype("shape_type")?;
    Ok(vec![cx.cast(tail, to)?.into()])
}

fn resize(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let Some(list) = opened(cx, 0)? else { return Ok(vec![Val::Failed]) };
    let rows = cx.arg(1)?;
    let (rows, len) = (single(cx, rows)?, scalar(cx, rows)?);
    let stacked = match list.stacked {
        None => None,
        Some(v) => {
            let v = lengthened(cx, v, rows)?;
            let (zero, axes) = (cx.int_list(&[0]), cx.int_list(&[0]));
            let slice = hoist_ir::ops::movement::slice::Slice::default();
            Some(cx.op_opt(slice, &[Some(v), Some(zero), Some(rows), Some(axes), None])?)
        }
    };
    Ok(listed(List { stacked, len, ..List::clone(&list) }))
}

/// All elements one behind the other along their first axis, and how long each is.
fn joined(cx: &mut Cx<'_, '_, '_>, at: usize) -> R<Vec<Val>> {
    let Some(list) = opened(cx, at)? else { return Ok(vec![Val::Failed]) };
    let v = elements(cx, &list, None)?;
    if cx.rank(v)? < 2 {
        return Err(cx.bad("elements without axes"));
    }
    let shape = cx.shape_of(v)?;
    let (count, tail) = (cx.slice(shape, 0, 0, 1)?, cx.slice(shape, 0, 2, i64::MAX)?);
    let each = cx.slice(shape, 0, 1, 2)?;
    let all = cx.named("mul", &[count, each])?;
    let sizes = cx.concat(&[all, tail], 0)?;
    let value = cx.reshape_to(v, sizes)?;
    let lengths = cx.expand(each, count)?;
    Ok(vec![value.into(), lengths.into()])
}

/// A list of parts of one length.
fn split(cx: &mut Cx<'_, '_, '_>, at: usize, lengths: usize) -> R<Vec<Val>> {
    let (x, lengths) = (cx.arg(at)?, cx.ints(lengths, "lengths")?);
    let each = lengths.first().copied().unwrap_or(0);
    if each < 0 || lengths.iter().any(|n| *n != each) {
        return Err(cx.unsupported("elements of several lengths"));
    }
    let shape = cx.shape_of(x)?;
    let tail = cx.slice(shape, 0, 1, i64::MAX)?;
    let head = cx.int_list(&[lengths.len() as i64, each]);
    let sizes = cx.concat(&[head, tail], 0)?;
    let v = cx.reshape_to(x, sizes)?;
    let (len, dtype) = (cx.konst(Tensor::scalar(lengths.len() as i64)), cx.dtype(x)?);
    Ok(listed(List::new(Some(v), len, dtype)))
}
