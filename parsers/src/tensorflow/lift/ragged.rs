//! Ragged tensors: the elements of all rows one behind the other, and where the rows begin and end (splits).
use super::Row;
use super::cx::{Cx, R, V};
use super::val::Val;
use hoist_ir::dtype::DType;
use hoist_ir::ops::index::compress::Compress;
use hoist_ir::ops::index::scatter::Reduction;
use hoist_ir::ops::index::scatter_nd::ScatterNd;
use hoist_ir::ops::reduce::cumulative::CumSum;
use hoist_ir::ops::reduce::reductions::{ReduceMax, ReduceSum};
use hoist_ir::ops::shape::range::Range;
use hoist_ir::tensor::Tensor;

pub(super) const TABLE: &[Row] = &[
    ("RaggedRange", "rt_nested_splits rt_dense_values", range),
    ("RaggedGather", "output_nested_splits*OUTPUT_RAGGED_RANK output_dense_values", gather),
    ("RaggedTensorToTensor", "", to_tensor),
];

/// The numbers from 0 to before `n`, a list of one.
fn numbers(cx: &mut Cx<'_, '_, '_>, n: V) -> R<V> {
    let (start, step) = (cx.konst(Tensor::scalar(0i64)), cx.konst(Tensor::scalar(1i64)));
    let n = cx.reshape(n, &[])?;
    cx.op(Range::default(), &[start, n, step])
}

/// Where rows of the lengths `lens` begin, and where the last one ends.
fn splits_of(cx: &mut Cx<'_, '_, '_>, lens: V) -> R<V> {
    let axis = cx.konst(Tensor::scalar(0i64));
    let sums = cx.op(CumSum { exclusive: false, reverse: false }, &[lens, axis])?;
    let zero = cx.int_list(&[0]);
    cx.concat(&[zero, sums], 0)
}

/// For each element of rows that `splits` describes, the number of its row and its place there.
fn rows_of(cx: &mut Cx<'_, '_, '_>, splits: V) -> R<(V, V)> {
    let total = cx.slice(splits, 0, -1, i64::MAX)?;
    let at = numbers(cx, total)?;
    // As many rows end at an element or ahead of it as are ahead of its own.
    let (ends, column) = (cx.slice(splits, 0, 1, i64::MAX)?, cx.unsqueeze(at, &[1])?);
    let ended = cx.named("less_or_equal", &[ends, column])?;
    let ended = cx.cast(ended, DType::I64)?;
    let one = cx.int_list(&[1]);
    let row = cx.op(ReduceSum { keepdims: false, noop_with_empty_axes: false }, &[ended, one])?;
    let begin = cx.gather(splits, row, 0)?;
    Ok((row, cx.named("sub", &[at, begin])?))
}

/// Rows of numbers in even steps.
fn range(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (start, limit, step) = (cx.arg(0)?, cx.arg(1)?, cx.arg(2)?);
    let dtype = cx.dtype(start)?;
    let to = if cx.attrs.has("Tsplits") { cx.attrs.dtype("Tsplits")? } else { DType::I64 };
    // All three as lists of one length.
    let sum = cx.named("sub", &[limit, start])?;
    let sum = cx.named("add", &[sum, step])?;
    let sum = cx.reshape(sum, &[-1])?;
    let rows = cx.shape_of(sum)?;
    let mut lists = vec![];
    for v in [start, limit, step] {
        let v = cx.reshape(v, &[-1])?;
        lists.push(cx.expand(v, rows)?);
    }
    let width = cx.named("sub", &[lists[1], lists[0]])?;
    let zero = cx.int_list(&[0]);
    let lens = if dtype.is_float() {
        let steps = cx.named("div", &[width, lists[2]])?;
        let steps = cx.named("ceil", &[steps])?;
        cx.cast(steps, DType::I64)?
    } else {
        // -floor(-width / step) is the quotient rounded up.
        let (width, step) = (cx.cast(width, DType::I64)?, cx.cast(lists[2], DType::I64)?);
        let back = cx.named("neg", &[width])?;
        let args = [
            ("self", super::bridge::Arg::T(back)),
            ("other", super::bridge::Arg::T(step)),
            ("rounding_mode", super::bridge::Arg::S("floor")),
        ];
        let steps = cx.aten("div", &args)?;
        cx.named("neg", &[steps])?
    };
    let lens = cx.named("max", &[lens, zero])?;
    let splits = splits_of(cx, lens)?;
    let (row, place) = rows_of(cx, splits)?;
    let (first, by) = (cx.gather(lists[0], row, 0)?, cx.gather(lists[2], row, 0)?);
    let place = cx.cast(place, dtype)?;
    let far = cx.named("mul", &[place, by])?;
    let values = cx.named("add", &[first, far])?;
    Ok(vec![cx.cast(splits, to)?.into(), values.into()])
}

/// Rows of a ragged tensor, picked by a list of indices.
fn gather(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let depth = cx.attrs.count("PARAMS_RAGGED_RANK").unwrap_or(0);
    if depth + 2 != cx.len() {
        return Err(cx.bad(format!("{} operands for {depth} ragged axes", cx.len())));
    }
    let (values, mut at) = (cx.arg(depth)?, cx.wide(depth + 1)?);
    if cx.rank(at)? != 1 {
        return Err(cx.unsupported("indices of other than one axis"));
    }
    let mut out = vec![];
    for level in 0..depth {
        let to = cx.dtype(cx.arg(level)?)?;
        let splits = cx.wide(level)?;
        let (begins, ends) = (cx.slice(splits, 0, 0, -1)?, cx.slice(splits, 0, 1, i64::MAX)?);
        let (begin, end) = (cx.gather(begins, at, 0)?, cx.gather(ends, at, 0)?);
        let lens = cx.named("sub", &[end, begin])?;
        let picked = splits_of(cx, lens)?;
        let (row, place) = rows_of(cx, picked)?;
        let begin = cx.gather(begin, row, 0)?;
        at = cx.named("add", &[begin, place])?;
        out.push(cx.cast(picked, to)?.into());
    }
    out.push(cx.gather(values, at, 0)?.into());
    Ok(out)
}

/// A level of a ragged tensor: for each element the number of its row and its place there, and the number of rows.
struct Level {
    row: V,
    place: V,
    rows: V,
}

/// Levels from the outermost to the innermost.
fn levels(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Level>> {
    let names: Vec<String> = cx.attrs.texts("row_partition_types")?.into_iter().map(str::to_owned).collect();
    let (mut out, mut first): (Vec<Level>, Option<V>) = (vec![], None);
    for (i, name) in names.iter().enumerate() {
        let v = cx.wide(3 + i)?;
        match name.as_str() {
            "FIRST_DIM_SIZE" => first = Some(cx.reshape(v, &[1])?),
            "ROW_SPLITS" => {
                let (row, place) = rows_of(cx, v)?;
                let (size, one) = (cx.size_of(v, 0)?, cx.int_list(&[1]));
                out.push(Level { row, place, rows: cx.named("sub", &[size, one])? });
            }
            "VALUE_ROWIDS" => {
                // As many rows as there are elements on the level above.
                let rows = match (out.last(), first) {
                    (Some(above), _) => cx.size_of(above.row, 0)?,
                    (None, Some(n)) => n,
                    (None, None) => return Err(cx.bad("rows without a number")),
                };
                let (zero, one) = (cx.int_list(&[0]), cx.int_list(&[1]));
                let (base, shape) = (cx.expand(zero, rows)?, cx.shape_of(v)?);
                let (ones, at) = (cx.expand(one, shape)?, cx.unsqueeze(v, &[1])?);
                let lens = cx.op(ScatterNd { reduction: Reduction::Add }, &[base, at, ones])?;
                let splits = splits_of(cx, lens)?;
                let (begin, count) = (cx.gather(splits, v, 0)?, cx.size_of(v, 0)?);
                let number = numbers(cx, count)?;
                out.push(Level { row: v, place: cx.named("sub", &[number, begin])?, rows });
            }
            other => return Err(cx.unsupported(format!("rows given by {other}"))),
        }
    }
    if out.is_empty() { Err(cx.bad("no ragged axes")) } else { Ok(out) }
}

/// A dense tensor, filled up: sizes, values, what fills, and what describes the rows.
fn to_tensor(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (shape, values, fill) = (cx.wide(0)?, cx.arg(1)?, cx.arg(2)?);
    let levels = levels(cx)?;
    // The indices of each element: those of its row, and its place there.
    let mut columns: Vec<V> = vec![];
    for (i, level) in levels.iter().enumerate() {
        if i == 0 {
            columns.push(level.row);
        } else {
            columns = columns.iter().map(|c| cx.gather(*c, level.row, 0)).collect::<R<_>>()?;
        }
        columns.push(level.place);
    }
    let mut sizes = vec![levels[0].rows];
    let (zero, one) = (cx.int_list(&[0]), cx.int_list(&[1]));
    for level in &levels {
        // The longest row; none without elements.
        let places = cx.named("add", &[level.place, one])?;
        let places = cx.concat(&[zero, places], 0)?;
        sizes.push(cx.op(ReduceMax { keepdims: true, noop_with_empty_axes: false }, &[places])?);
    }
    let count = sizes.len();
    let inner = cx.shape_of(values)?;
    let inner = cx.slice(inner, 0, 1, i64::MAX)?;
    if cx.known_rank(shape) == Some(1) && cx.size(shape, 0) != Some(0) {
        for (i, size) in sizes.iter_mut().enumerate() {
            let at = cx.int_list(&[i as i64]);
            let stated = cx.gather(shape, at, 0)?;
            let open = cx.named("less", &[stated, zero])?;
            *size = cx.named("where", &[open, *size, stated])?;
        }
    }
    // Elements behind a size that is stated are left out.
    let mut inside: Option<V> = None;
    for i in 0..count {
        let here = cx.named("less", &[columns[i], sizes[i]])?;
        inside = Some(match inside {
            None => here,
            Some(other) => cx.named("and", &[other, here])?,
        });
    }
    let mut listed = vec![];
    for c in columns {
        listed.push(cx.unsqueeze(c, &[1])?);
    }
    let (mut at, mut x) = (cx.concat(&listed, 1)?, values);
    if let Some(inside) = inside {
        at = cx.op(Compress { axis: Some(0) }, &[at, inside])?;
        x = cx.op(Compress { axis: Some(0) }, &[x, inside])?;
    }
    sizes.push(inner);
    let whole = cx.concat(&sizes, 0)?;
    let base = cx.expand(fill, whole)?;
    Ok(vec![cx.op(ScatterNd::default(), &[base, at, x])?.into()])
}
