//! Elements picked and placed by indices and conditions.
use super::Row;
use super::cx::{Cx, R, V};
use super::val::Val;
use hoist_ir::dtype::DType;
use hoist_ir::ops::index::compress::Compress;
use hoist_ir::ops::index::gather_nd::GatherNd;
use hoist_ir::ops::index::scatter::Reduction;
use hoist_ir::ops::index::scatter_nd::ScatterNd;
use hoist_ir::ops::reduce::reductions::ReduceMax;
use hoist_ir::tensor::Tensor;

pub(super) const TABLE: &[Row] = &[
    ("Gather", "", gather),
    ("GatherV2", "", gather),
    ("GatherNd", "", gather_nd),
    ("ScatterNd", "", scatter_nd),
    ("ScatterNdNonAliasingAdd", "", |cx| scattered(cx, Reduction::Add)),
    ("TensorScatterUpdate", "", |cx| scattered(cx, Reduction::Replace)),
    ("TensorScatterAdd", "", |cx| scattered(cx, Reduction::Add)),
    ("TensorScatterSub", "", scattered_sub),
    ("TensorScatterMax", "", |cx| scattered(cx, Reduction::Max)),
    ("TensorScatterMin", "", |cx| scattered(cx, Reduction::Min)),
    ("DynamicStitch", "", stitch),
    ("ParallelDynamicStitch", "", stitch),
    ("DynamicPartition", "outputs*num_partitions", partition),
    ("Select", "", select),
    ("SelectV2", "", select_v2),
];

/// Elements along `axis` of `x`; the first `batch` axes belong to each other.
pub(super) fn gathered(cx: &mut Cx<'_, '_, '_>, x: V, at: V, axis: i64, batch: i64) -> R<V> {
    let at = match cx.dtype(at)? {
        DType::I32 | DType::I64 => at,
        _ => cx.cast(at, DType::I64)?,
    };
    if batch == 0 {
        return cx.gather(x, at, axis);
    }
    let (rank, index_rank) = (cx.rank(x)?, cx.rank(at)?);
    let axis = cx.axis(x, axis)?;
    let batch = if batch < 0 { batch.saturating_add(index_rank as i64) } else { batch };
    let batch = usize::try_from(batch).ok().filter(|b| *b <= axis && *b <= index_rank);
    let batch = batch.ok_or_else(|| cx.bad("batch axes that do not fit"))?;
    // Batch axes make tuples of one, behind which the axis must stand.
    let mut perm: Vec<i64> = (0..rank as i64).collect();
    let moved = perm.remove(axis);
    perm.insert(batch, moved);
    let x = cx.transpose(x, &perm)?;
    let at = cx.cast(at, DType::I64)?;
    let at = cx.unsqueeze(at, &[-1])?;
    let y = cx.op(GatherNd { batch_dims: batch as i64 }, &[x, at])?;
    // Axes between the batch and the axis stand behind those of the indices.
    let (inner, between) = (index_rank - batch, axis - batch);
    let mut perm: Vec<usize> = (0..batch).collect();
    perm.extend(batch + inner..batch + inner + between);
    perm.extend(batch..batch + inner);
    perm.extend(batch + inner + between..rank - 1 + inner);
    let perm: Vec<i64> = perm.into_iter().map(|a| a as i64).collect();
    cx.transpose(y, &perm)
}

fn gather(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, at) = (cx.arg(0)?, cx.arg(1)?);
    let axis = if cx.len() > 2 { cx.int(2, "an axis")? } else { 0 };
    let batch = cx.attrs.int("batch_dims").unwrap_or(0);
    Ok(vec![gathered(cx, x, at, axis, batch)?.into()])
}

fn gather_nd(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, at) = (cx.arg(0)?, cx.wide(1)?);
    let width = cx.shape(at).and_then(|s| s.last()?.known());
    if width == Some(0) {
        return Err(cx.unsupported("tuples of no indices"));
    }
    let batch_dims = cx.attrs.int("batch_dims").unwrap_or(0);
    Ok(vec![cx.op(GatherNd { batch_dims }, &[x, at])?.into()])
}

/// `value` as often as `sizes` say.
fn filled(cx: &mut Cx<'_, '_, '_>, value: f64, dtype: DType, sizes: V) -> R<V> {
    let one = if dtype == DType::String {
        Tensor::from_strings(&[], vec![String::new()])
    } else {
        Tensor::scalar(value).cast(dtype, false).map_err(|e| cx.bad(e))?
    };
    let one = cx.konst(one);
    cx.expand(one, sizes)
}

/// Sums where several fall on one place.
fn scatter_nd(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (at, updates, sizes) = (cx.wide(0)?, cx.arg(1)?, cx.wide(2)?);
    let dtype = cx.dtype(updates)?;
    let data = filled(cx, 0.0, dtype, sizes)?;
    let reduction = if dtype == DType::String { Reduction::Replace } else { Reduction::Add };
    Ok(vec![cx.op(ScatterNd { reduction }, &[data, at, updates])?.into()])
}

/// The second operand scattered over the first; a 0-d update is for all places.
fn scattered(cx: &mut Cx<'_, '_, '_>, reduction: Reduction) -> R<Vec<Val>> {
    let (x, at, mut updates) = (cx.arg(0)?, cx.wide(1)?, cx.arg(2)?);
    let places = cx.rank(at)?;
    if cx.known_rank(updates) == Some(0) && places > 0 {
        let width = cx.shape(at).and_then(|s| s.last()?.known()).and_then(|n| i64::try_from(n).ok());
        let width = width.ok_or_else(|| cx.unsupported("tuples of unknown length"))?;
        let (outer, inner) = (cx.shape_of(at)?, cx.shape_of(x)?);
        let outer = cx.slice(outer, 0, 0, places as i64 - 1)?;
        let inner = cx.slice(inner, 0, width, i64::MAX)?;
        let sizes = cx.concat(&[outer, inner], 0)?;
        updates = cx.expand(updates, sizes)?;
    }
    Ok(vec![cx.op(ScatterNd { reduction }, &[x, at, updates])?.into()])
}

fn scattered_sub(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let updates = cx.arg(2)?;
    cx.inputs[2] = cx.named("neg", &[updates])?.into();
    scattered(cx, Reduction::Add)
}

/// Rows of several values, each at the place that its index names; of several for one place the last one stays.
fn stitch(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let n = cx.len() / 2;
    if n == 0 || cx.len() % 2 == 1 {
        return Err(cx.bad(format!("{} operands", cx.len())));
    }
    let (mut places, mut rows) = (vec![], vec![]);
    for i in 0..n {
        let (at, data) = (cx.wide(i)?, cx.arg(n + i)?);
        let axes = cx.rank(at)? as i64;
        let tail = cx.shape_of(data)?;
        let tail = cx.slice(tail, 0, axes, i64::MAX)?;
        let open = cx.int_list(&[-1]);
        let count = match cx.sizes(at) {
            Some(sizes) => {
                let count = hoist_ir::tensor::element_count(&sizes).ok_or_else(|| cx.bad("too many rows"))?;
                cx.int_list(&[count as i64])
            }
            None => open,
        };
        let sizes = cx.concat(&[count, tail], 0)?;
        rows.push(cx.reshape_to(data, sizes)?);
        places.push(cx.reshape(at, &[-1])?);
    }
    let (at, data) = (cx.concat(&places, 0)?, cx.concat(&rows, 0)?);
    if let Some(list) = cx.known_ints(at) {
        let most = list.iter().max().copied().unwrap_or(-1);
        let mut from = vec![None; usize::try_from(most + 1).unwrap_or(0).min(list.len())];
        for (row, place) in list.iter().enumerate() {
            if let Some(slot) = usize::try_from(*place).ok().and_then(|p| from.get_mut(p)) {
                *slot = Some(row as i64);
            }
        }
        if let Some(order) =
            from.into_iter().collect::<Option<Vec<i64>>>().filter(|o| o.len() as i64 == most + 1)
        {
            let order = cx.int_list(&order);
            return Ok(vec![cx.gather(data, order, 0)?.into()]);
        }
    }
    let most = cx.op(ReduceMax { keepdims: true, noop_with_empty_axes: false }, &[at])?;
    let one = cx.int_list(&[1]);
    let count = cx.named("add", &[most, one])?;
    let tail = cx.shape_of(data)?;
    let tail = cx.slice(tail, 0, 1, i64::MAX)?;
    let sizes = cx.concat(&[count, tail], 0)?;
    let base = filled(cx, 0.0, cx.dtype(data)?, sizes)?;
    let at = cx.unsqueeze(at, &[-1])?;
    Ok(vec![cx.op(ScatterNd::default(), &[base, at, data])?.into()])
}

/// The rows of each part; the parts' numbers may have several axes.
fn partition(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, parts) = (cx.arg(0)?, cx.wide(1)?);
    let axes = cx.rank(parts)? as i64;
    let n = cx.attrs.int("num_partitions").unwrap_or(0);
    if !(1..=4096).contains(&n) || axes == 0 {
        return Err(cx.unsupported(format!("{n} parts")));
    }
    let (flat, parts) = if axes == 1 {
        (x, parts)
    } else {
        let tail = cx.shape_of(x)?;
        let (tail, open) = (cx.slice(tail, 0, axes, i64::MAX)?, cx.int_list(&[-1]));
        let sizes = cx.concat(&[open, tail], 0)?;
        (cx.reshape_to(x, sizes)?, cx.reshape(parts, &[-1])?)
    };
    let mut out = vec![];
    for i in 0..n {
        let number = cx.konst(Tensor::scalar(i));
        let mine = cx.named("equal", &[parts, number])?;
        out.push(cx.op(Compress { axis: Some(0) }, &[flat, mine])?.into());
    }
    Ok(out)
}

fn select_v2(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    if let (Val::Complex(x), Val::Complex(y)) = (cx.val(1)?.clone(), cx.val(2)?.clone()) {
        let c = cx.arg(0)?;
        let c = cx.unsqueeze(c, &[-1])?;
        return Ok(vec![Val::Complex(cx.named("where", &[c, x, y])?)]);
    }
    let all = [cx.arg(0)?, cx.arg(1)?, cx.arg(2)?];
    Ok(vec![cx.named("where", &all)?.into()])
}

/// A condition of one axis chooses rows.
fn select(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (c, x) = (cx.arg(0)?, cx.arg(1)?);
    let axes = cx.known_rank(c);
    if axes == Some(0) {
        return select_v2(cx);
    }
    let (axes, rank) = (cx.rank(c)?, cx.rank(x)?);
    if axes == 1 && rank > 1 {
        let behind: Vec<i64> = (1..rank as i64).collect();
        cx.inputs[0] = cx.unsqueeze(c, &behind)?.into();
    }
    select_v2(cx)
}
