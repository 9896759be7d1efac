//! Sizes, and values in other shapes.
use super::Row;
use super::cx::{Cx, R, V};
use super::reduce::both;
use super::val::Val;
use hoist_ir::dtype::DType;
use hoist_ir::ops::movement::bit_cast::BitCast;
use hoist_ir::ops::movement::pad::{Pad, PadMode};
use hoist_ir::ops::movement::slice::Slice;
use hoist_ir::ops::movement::tile::Tile;
use hoist_ir::ops::shape::one_hot::OneHot;
use hoist_ir::ops::shape::range::Range;
use hoist_ir::ops::shape::size::Size;
use hoist_ir::tensor::Tensor;

pub(super) const TABLE: &[Row] = &[
    ("Shape", "", shape),
    ("ShapeN", "output*N", shapes),
    ("Size", "", size),
    ("Rank", "", rank),
    ("Reshape", "", |cx| both(cx, reshape)),
    ("ExpandDims", "", |cx| both(cx, expand_dims)),
    ("Squeeze", "", |cx| both(cx, squeeze)),
    ("Fill", "", fill),
    ("Empty", "", empty),
    ("Range", "", range),
    ("LinSpace", "", linspace),
    ("ZerosLike", "", |cx| like(cx, 0.0)),
    ("OnesLike", "", |cx| like(cx, 1.0)),
    ("BroadcastTo", "", broadcast_to),
    ("BroadcastArgs", "", broadcast_args),
    ("Tile", "", |cx| both(cx, tile)),
    ("Transpose", "", |cx| both(cx, transpose)),
    ("ConjugateTranspose", "", conjugate_transpose),
    ("Pack", "", |cx| both(cx, pack)),
    ("ParallelConcat", "", parallel_concat),
    ("Unpack", "output*num", |cx| both(cx, unpack)),
    ("Concat", "", |cx| both(cx, |cx| concat(cx, false))),
    ("ConcatV2", "", |cx| both(cx, |cx| concat(cx, true))),
    ("ConcatOffset", "offset*N", concat_offset),
    ("Pad", "", |cx| both(cx, |cx| pad(cx, PadMode::Constant))),
    ("PadV2", "", |cx| pad(cx, PadMode::Constant)),
    ("MirrorPad", "", mirror_pad),
    ("Bitcast", "", bitcast),
    ("OneHot", "", one_hot),
];

fn one(v: V) -> Vec<Val> {
    vec![v.into()]
}

/// Element type of sizes.
fn out_type(cx: &Cx<'_, '_, '_>) -> R<DType> {
    if cx.attrs.has("out_type") { Ok(cx.attrs.dtype("out_type")?) } else { Ok(DType::I32) }
}

/// Sizes of operand `i`; the axis of a complex number's parts does not count.
fn shape_at(cx: &mut Cx<'_, '_, '_>, i: usize) -> R<V> {
    let (v, complex) = match cx.val(i)? {
        Val::Complex(v) => (*v, true),
        _ => (cx.arg(i)?, false),
    };
    let shape = cx.shape_of(v)?;
    let shape = if complex { cx.slice(shape, 0, 0, -1)? } else { shape };
    let to = out_type(cx)?;
    cx.cast(shape, to)
}

fn shape(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    Ok(one(shape_at(cx, 0)?))
}

fn shapes(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    (0..cx.len()).map(|i| shape_at(cx, i).map(Val::from)).collect()
}

fn size(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let n = match cx.sizes(x) {
        Some(sizes) => {
            let n = hoist_ir::tensor::element_count(&sizes).ok_or_else(|| cx.bad("too many elements"))?;
            cx.konst(Tensor::scalar(n as i64))
        }
        None => cx.op(Size {}, &[x])?,
    };
    let to = out_type(cx)?;
    Ok(one(cx.cast(n, to)?))
}

fn rank(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let n = if let Some(n) = cx.known_rank(x) {
        cx.konst(Tensor::scalar(n as i64))
    } else {
        let shape = cx.shape_of(x)?;
        cx.op(Size {}, &[shape])?
    };
    Ok(one(cx.cast(n, DType::I32)?))
}

fn reshape(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, list) = (cx.arg(0)?, cx.wide(1)?);
    Ok(one(cx.reshape_to(x, list)?))
}

fn expand_dims(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let axis = cx.int(1, "an axis")?;
    Ok(one(cx.unsqueeze(x, &[axis])?))
}

fn squeeze(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let named = if cx.attrs.has("squeeze_dims") { "squeeze_dims" } else { "axis" };
    let axes = cx.attrs.ints(named).to_vec();
    if !axes.is_empty() {
        return Ok(one(cx.squeeze(x, &axes)?));
    }
    cx.rank(x)?;
    let shape = cx.shape(x).cloned().unwrap_or_default();
    // Which axes vanish must not depend on data; a size that is not known is taken to be another one than 1 nowhere.
    if shape.iter().any(|d| d.known().is_none()) {
        return Err(cx
            .unsupported("no axes named, for sizes that are not known")
            .hint("--dim or --input-shape fixes sizes"));
    }
    let ones: Vec<i64> =
        shape.iter().enumerate().filter(|(_, d)| d.known() == Some(1)).map(|(i, _)| i as i64).collect();
    Ok(one(cx.squeeze(x, &ones)?))
}

fn fill(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (list, value) = (cx.wide(0)?, cx.arg(1)?);
    Ok(one(cx.expand(value, list)?))
}

/// Elements that nothing is known about, zeros as good as any.
fn empty(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let list = cx.wide(0)?;
    let dtype = cx.attrs.dtype("dtype")?;
    let zero = Tensor::scalar(0i64).cast(dtype, false).map_err(|e| cx.bad(e))?;
    let zero = cx.konst(zero);
    Ok(one(cx.expand(zero, list)?))
}

fn range(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (start, limit, delta) = (cx.arg(0)?, cx.arg(1)?, cx.arg(2)?);
    let dtype = cx.dtype(start)?;
    if !matches!(dtype, DType::F32 | DType::F64 | DType::I16 | DType::I32 | DType::I64) {
        return Err(cx.unsupported(format!("{dtype}")));
    }
    Ok(one(cx.op(Range::default(), &[start, limit, delta])?))
}

/// `start + i * (stop - start) / (n - 1)`, and `stop` itself at the end.
fn linspace(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (start, stop) = (cx.arg(0)?, cx.arg(1)?);
    let n = cx.int(2, "a number of elements")?;
    let dtype = cx.dtype(start)?;
    if !(1..=1 << 24).contains(&n) {
        return Err(cx.bad(format!("{n} elements")));
    }
    if n == 1 {
        return Ok(one(cx.reshape(start, &[1])?));
    }
    let steps = Tensor::from_vec(&[n as usize - 1], (0..n - 1).collect::<Vec<i64>>());
    let steps = cx.konst(steps.cast(dtype, false).map_err(|e| cx.bad(e))?);
    let wide = cx.named("sub", &[stop, start])?;
    let count = cx.number((n - 1) as f64, wide)?;
    let step = cx.named("div", &[wide, count])?;
    let along = cx.named("mul", &[step, steps])?;
    let most = cx.named("add", &[start, along])?;
    let stop = cx.reshape(stop, &[1])?;
    Ok(one(cx.concat(&[most, stop], 0)?))
}

fn like(cx: &mut Cx<'_, '_, '_>, value: f64) -> R<Vec<Val>> {
    let (x, complex) = match cx.val(0)? {
        Val::Complex(v) => (*v, true),
        Val::List(list) if value == 0.0 => return Ok(vec![Val::List(list.clone())]),
        Val::Token | Val::Variable(_) => return Ok(vec![Val::Token]),
        _ => (cx.arg(0)?, false),
    };
    if complex {
        let x = cx.named("mul", &[x, x])?;
        let zero = cx.number(0.0, x)?;
        let shape = cx.shape_of(x)?;
        if value != 0.0 {
            return Err(cx.unsupported("complex numbers"));
        }
        return Ok(vec![Val::Complex(cx.expand(zero, shape)?)]);
    }
    let shape = cx.shape_of(x)?;
    let fill = if cx.dtype(x)? == DType::String {
        cx.konst(Tensor::from_strings(&[], vec![String::new()]))
    } else {
        cx.number(value, x)?
    };
    Ok(one(cx.expand(fill, shape)?))
}

fn broadcast_to(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, list) = (cx.arg(0)?, cx.wide(1)?);
    Ok(one(cx.expand(x, list)?))
}

/// The sizes that two lists of sizes give by broadcasting.
fn broadcast_args(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (a, b) = (cx.wide(0)?, cx.wide(1)?);
    let (Some(n), Some(m)) = (cx.size(a, 0), cx.size(b, 0)) else {
        return Err(cx.unsupported("lists of unknown length"));
    };
    let longest = n.max(m);
    let mut widened = |v: V, own: u64| -> R<V> {
        let ones = usize::try_from(longest - own).ok().filter(|n| *n < 64);
        let ones = ones.ok_or_else(|| cx.bad("too many axes"))?;
        let ones = cx.int_list(&vec![1; ones]);
        cx.concat(&[ones, v], 0)
    };
    let (a, b) = (widened(a, n)?, widened(b, m)?);
    // Sizes fit when they are equal or one of them is 1; that one is not taken, so that a size of 0 stays.
    let single = cx.int_list(&[1]);
    let is_one = cx.named("equal", &[a, single])?;
    let sizes = cx.named("where", &[is_one, b, a])?;
    let to = if cx.attrs.has("T") { cx.attrs.dtype("T")? } else { DType::I32 };
    Ok(one(cx.cast(sizes, to)?))
}

fn tile(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, times) = (cx.arg(0)?, cx.wide(1)?);
    Ok(one(cx.op(Tile {}, &[x, times])?))
}

fn transpose(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let perm = cx.ints(1, "an order of axes")?;
    if let Some(t) = cx.constant(x) {
        let order: Option<Vec<usize>> = perm.iter().map(|p| usize::try_from(*p).ok()).collect();
        if let Some(order) = order {
            let t = t.permute(&order).map_err(|e| cx.bad(e))?;
            return Ok(one(cx.konst(t)));
        }
    }
    Ok(one(cx.transpose(x, &perm)?))
}

fn conjugate_transpose(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    if let Val::Complex(v) = *cx.val(0)? {
        let signs = Tensor::from_vec(&[2], vec![1.0f64, -1.0]);
        let signs = signs.cast(cx.dtype(v)?, false).map_err(|e| cx.bad(e))?;
        let signs = cx.konst(signs);
        cx.inputs[0] = Val::Complex(cx.named("mul", &[v, signs])?);
    }
    both(cx, transpose)
}

fn pack(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let axis = cx.attrs.int("axis").unwrap_or(0);
    let mut parts = vec![];
    for v in cx.args()? {
        parts.push(cx.unsqueeze(v, &[axis])?);
    }
    if parts.is_empty() {
        return Err(cx.bad("there is nothing to pack"));
    }
    Ok(one(cx.concat(&parts, axis)?))
}

fn parallel_concat(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let parts = cx.args()?;
    Ok(one(cx.concat(&parts, 0)?))
}

fn unpack(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let axis = cx.axis(x, cx.attrs.int("axis").unwrap_or(0))?;
    let n = cx.attrs.int("num").unwrap_or(0);
    if !(0..=1 << 16).contains(&n) {
        return Err(cx.bad(format!("{n} results")));
    }
    if cx.size(x, axis).is_some_and(|have| have != n as u64) {
        return Err(cx.bad(format!("{n} results of an axis of another size")));
    }
    let mut out = vec![];
    for i in 0..n {
        let at = cx.konst(Tensor::scalar(i));
        out.push(cx.gather(x, at, axis as i64)?.into());
    }
    Ok(out)
}

/// Values one behind the other; the axis is the last operand, or the first one.
fn concat(cx: &mut Cx<'_, '_, '_>, axis_last: bool) -> R<Vec<Val>> {
    let n = cx.len();
    if n < 2 {
        return Err(cx.bad("there is nothing to concatenate"));
    }
    let (at, from) = if axis_last { (n - 1, 0) } else { (0, 1) };
    let axis = cx.int(at, "an axis")?;
    let parts: Vec<V> = (from..from + n - 1).map(|i| cx.arg(i)).collect::<R<_>>()?;
    let axis = cx.axis(parts[0], axis)?;
    Ok(one(cx.concat(&parts, axis as i64)?))
}

/// Where each of several values begins in their concatenation.
fn concat_offset(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let axis = cx.int(0, "an axis")?;
    let mut out = vec![];
    let shapes: Vec<V> = (1..cx.len()).map(|i| cx.arg(i)).collect::<R<_>>()?;
    let Some(first) = shapes.first().copied() else { return Ok(out) };
    let zeros = cx.named("sub", &[first, first])?;
    let n = cx.size(first, 0).ok_or_else(|| cx.unsupported("shapes of unknown rank"))?;
    let at = if axis < 0 { axis.saturating_add(n as i64) } else { axis };
    let mask = (0..n as i64).map(|i| i64::from(i == at)).collect::<Vec<_>>();
    let mask = cx.int_list(&mask);
    let mask = cx.cast(mask, cx.dtype(first)?)?;
    let mut begin = zeros;
    for shape in shapes {
        out.push(begin.into());
        let own = cx.named("mul", &[shape, mask])?;
        begin = cx.named("add", &[begin, own])?;
    }
    Ok(out)
}

/// Borders `[rank, 2]` as all beginnings, then all ends.
fn borders(cx: &mut Cx<'_, '_, '_>) -> R<V> {
    let pads = cx.wide(1)?;
    let pads = cx.transpose(pads, &[1, 0])?;
    cx.reshape(pads, &[-1])
}

fn pad(cx: &mut Cx<'_, '_, '_>, mode: PadMode) -> R<Vec<Val>> {
    let (x, borders) = (cx.arg(0)?, borders(cx)?);
    let fill = if cx.len() > 2 { Some(cx.arg(2)?) } else { None };
    Ok(one(cx.op_opt(Pad { mode }, &[Some(x), Some(borders), fill, None])?))
}

fn mirror_pad(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    if cx.attrs.text("mode")? != "SYMMETRIC" {
        return pad(cx, PadMode::Reflect);
    }
    // The border repeats the edge, which no mode of padding does.
    let borders = cx.wide(1)?;
    let rank = cx.rank(x)?;
    let mut y = x;
    let list = cx.elements(borders, rank * 2);
    for axis in 0..rank {
        let pair = [list[axis * 2], list[axis * 2 + 1]];
        if pair == [Some(0), Some(0)] {
            continue;
        }
        y = match (cx.size(x, axis), pair) {
            (Some(n), [Some(before), Some(after)]) => picked(cx, y, axis, n as i64, [before, after])?,
            _ => surrounded(cx, y, axis, borders)?,
        };
    }
    Ok(one(y))
}

/// `y` with its edges repeated along `axis` of `n` elements.
fn picked(cx: &mut Cx<'_, '_, '_>, y: V, axis: usize, n: i64, [before, after]: [i64; 2]) -> R<V> {
    if !(0..=n).contains(&before) || !(0..=n).contains(&after) {
        return Err(cx.bad(format!("a border of {before} and {after} for {n} elements")));
    }
    let at: Vec<i64> = (0..before).rev().chain(0..n).chain((0..after).map(|i| n - 1 - i)).collect();
    let at = cx.int_list(&at);
    cx.gather(y, at, axis as i64)
}

/// `y` between its own first and last elements in reverse, as many as row `axis` of `borders` says.
fn surrounded(cx: &mut Cx<'_, '_, '_>, y: V, axis: usize, borders: V) -> R<V> {
    let row = cx.int_list(&[axis as i64]);
    let row = cx.gather(borders, row, 0)?;
    let row = cx.reshape(row, &[2])?;
    let (before, after) = (cx.slice(row, 0, 0, 1)?, cx.slice(row, 0, 1, 2)?);
    let size = cx.size_of(y, axis)?;
    let from = cx.named("sub", &[size, after])?;
    let (zero, most, at) = (cx.int_list(&[0]), cx.int_list(&[i64::MAX]), cx.int_list(&[axis as i64]));
    let (last, least, back) = (cx.int_list(&[-1]), cx.int_list(&[i64::MIN]), cx.int_list(&[-1]));
    let mut parts = vec![];
    for [from, to] in [[zero, before], [from, most]] {
        let part = cx.op_opt(Slice::default(), &[Some(y), Some(from), Some(to), Some(at), None])?;
        let turned = [Some(part), Some(last), Some(least), Some(at), Some(back)];
        parts.push(cx.op_opt(Slice::default(), &turned)?);
    }
    cx.concat(&[parts[0], y, parts[1]], axis as i64)
}

/// The same bits as another type; a wider type takes the last axis, a narrower one adds one.
fn bitcast(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, to) = (cx.arg(0)?, cx.attrs.dtype("type")?);
    let from = cx.dtype(x)?;
    if from.bits() != to.bits() {
        return Err(cx.unsupported(format!("{from} as {to}, which has another width")));
    }
    Ok(one(cx.op(BitCast { to }, &[x])?))
}

fn one_hot(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (at, depth) = (cx.arg(0)?, cx.wide(1)?);
    let (on, off) = (cx.arg(2)?, cx.arg(3)?);
    let axis = cx.attrs.int("axis").unwrap_or(-1);
    // Negative indices select nothing in TensorFlow, and count from the end in the IR: they become the depth itself.
    let at = cx.cast(at, DType::I64)?;
    let zero = cx.number(0.0, at)?;
    let negative = cx.named("less", &[at, zero])?;
    let at = cx.named("where", &[negative, depth, at])?;
    let (off, on) = (cx.reshape(off, &[1])?, cx.reshape(on, &[1])?);
    let values = cx.concat(&[off, on], 0)?;
    if cx.known_rank(at) == Some(0) {
        // ONNX Runtime takes no indices without axes.
        let at = cx.unsqueeze(at, &[0])?;
        let y = cx.op(OneHot { axis: -1 }, &[at, depth, values])?;
        return Ok(one(cx.squeeze(y, &[0])?));
    }
    Ok(one(cx.op(OneHot { axis }, &[at, depth, values])?))
}
