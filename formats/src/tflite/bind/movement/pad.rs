//! Borders: PAD, PADV2, `MIRROR_PAD`, and positions that are gathered.
use super::slice::{cut, plus};
use super::{COPIED, GATHERED};
use crate::tflite::build::{Arith, target_sizes};
use crate::tflite::lower::{Cx, R};
use crate::tflite::program::T;
use crate::tflite::schema::Builtin;
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::Op;
use hoist_ir::ops::movement::pad::PadMode;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::Shape;

/// Most axes of PAD.
const MAX_RANK: usize = 5;
/// Most axes of `MIRROR_PAD` that are known to work.
const MAX_MIRRORED: usize = 6;

/// Sizes of the borders of all axes, as lists of 32-bit integers: at the beginning, at the end.
struct Borders {
    low: T,
    high: T,
    /// Both, where they are constant.
    known: Option<(Vec<i64>, Vec<i64>)>,
}

/// Borders are cut where their sizes are negative; then the rest is added.
pub fn pad(cx: &mut Cx<'_>) -> R<()> {
    let Op::Pad(op) = cx.op() else { return Err("no pad".into()) };
    let rank = cx.rank(0)?;
    let x = cx.moved(0, GATHERED)?;
    if rank == 0 {
        return cx.finish(x);
    }
    let mut borders = borders(cx, rank)?;
    let shape = cx.out_ty(0)?.shape.clone().ok_or("a result of unknown rank")?;
    let x = cropped(cx, x, &mut borders)?;
    match op.mode {
        PadMode::Constant => {
            let value = value(cx)?;
            constant(cx, x, &borders, &shape, value)
        }
        PadMode::Reflect if mirrors(cx, x, &borders)? => {
            let pads = paddings(cx, &borders, rank)?;
            cx.emit_moved(Builtin::MirrorPad, None, &[x, pads])
        }
        mode => gathered(cx, x, &borders, mode, &shape),
    }
}

fn borders(cx: &mut Cx<'_>, rank: usize) -> R<Borders> {
    let all: Vec<usize> = (0..rank).collect();
    let axes = if cx.value(3).is_some() { cx.ints(3) } else { Some((0..rank as i64).collect()) };
    let Some(axes) = axes else { return spread(cx, rank) };
    let axes: Vec<usize> =
        axes.iter().map(|a| resolve_axis(*a, rank).map_err(|e| e.message)).collect::<R<_>>()?;
    let pads = cx.sizes32(1)?;
    if let Some(known) = cx.known(pads) {
        let at = |end: usize, a: &usize| {
            axes.iter()
                .position(|x| x == a)
                .and_then(|i| known.get(end * axes.len() + i))
                .copied()
                .unwrap_or(0)
        };
        let (low, high): (Vec<i64>, Vec<i64>) = all.iter().map(|a| (at(0, a), at(1, a))).unzip();
        return Ok(Borders { low: cx.ints32(&low)?, high: cx.ints32(&high)?, known: Some((low, high)) });
    }
    let mut ends = vec![];
    for end in 0..2 {
        let mut parts = vec![];
        for a in &all {
            parts.push(match axes.iter().position(|x| x == a) {
                Some(i) => cx.part(pads, end * axes.len() + i, 1)?,
                None => cx.ints32(&[0])?,
            });
        }
        ends.push(if axes == all { cx.part(pads, end * rank, rank)? } else { cx.joined(&parts)? });
    }
    Ok(Borders { low: ends[0], high: ends[1], known: None })
}

/// Borders of computed axes, put at them at run time.
fn spread(cx: &mut Cx<'_>, rank: usize) -> R<Borders> {
    let pads = cx.sizes32(1)?;
    let (axes, n) = (cx.sizes32(3)?, cx.int32(rank as i64)?);
    let dims = cx.dims(axes)?;
    let [Dim::Known(count)] = dims[..] else { return Err("computed axes of unknown number".into()) };
    let axes = cx.compute(Builtin::FloorMod, None, &[axes, n], DType::I32, dims.clone())?;
    let places = cx.reshaped(axes, &[Dim::Known(count), Dim::Known(1)])?;
    let size = cx.ints32(&[rank as i64])?;
    let mut ends = vec![];
    for end in 0..2 {
        let list = cx.part(pads, end * count as usize, count as usize)?;
        ends.push(cx.compute(
            Builtin::ScatterNd,
            None,
            &[places, list, size],
            DType::I32,
            vec![Dim::from(rank)],
        )?);
    }
    Ok(Borders { low: ends[0], high: ends[1], known: None })
}

/// `x` without the positions that negative borders cut; the borders are not negative then.
fn cropped(cx: &mut Cx<'_>, x: T, borders: &mut Borders) -> R<T> {
    let dims = cx.dims(x)?;
    let zero = cx.ints32(&vec![0; dims.len()])?;
    let shape: Shape = match &mut borders.known {
        Some((low, high)) => {
            if low.iter().chain(&*high).all(|n| *n >= 0) {
                return Ok(x);
            }
            let cut: Vec<i64> = low.iter().zip(&*high).map(|(l, h)| (*l).min(0) + (*h).min(0)).collect();
            low.iter_mut().chain(high.iter_mut()).for_each(|n| *n = (*n).max(0));
            let sum = |(d, c): (&Dim, &i64)| Dim::from_sym(d.to_sym().and_then(|d| d.add(&(*c).into())));
            dims.iter().zip(&cut).map(sum).collect()
        }
        None => vec![Dim::Unknown; dims.len()],
    };
    let before = cx.arith(Arith::Min, borders.low, zero)?;
    let begin = cx.arith(Arith::Sub, zero, before)?;
    let behind = cx.arith(Arith::Min, borders.high, zero)?;
    let sizes = cx.shape_of(x)?;
    let end = cx.arith(Arith::Add, sizes, behind)?;
    let x = cut(cx, x, begin, end, shape)?;
    borders.low = cx.arith(Arith::Max, borders.low, zero)?;
    borders.high = cx.arith(Arith::Max, borders.high, zero)?;
    Ok(x)
}

/// Rows of borders, as PAD takes them.
fn paddings(cx: &mut Cx<'_>, borders: &Borders, rank: usize) -> R<T> {
    if let Some((low, high)) = &borders.known {
        let rows: Vec<i64> = low.iter().zip(high).flat_map(|(l, h)| [*l, *h]).collect();
        let rows = cx.ints32(&rows)?;
        return cx.reshaped(rows, &[Dim::from(rank), Dim::Known(2)]);
    }
    let both = cx.joined(&[borders.low, borders.high])?;
    let both = cx.reshaped(both, &[Dim::Known(2), Dim::from(rank)])?;
    cx.permuted(both, &[1, 0])
}

/// The value of the border; none where it is zero.
fn value(cx: &mut Cx<'_>) -> R<Option<T>> {
    if cx.value(2).is_none() {
        return Ok(None);
    }
    if let Some(t) = cx.constant(2)
        && t.bytes().is_ok_and(|b| b.iter().all(|b| *b == 0))
    {
        return Ok(None);
    }
    let t = cx.moved(2, GATHERED)?;
    cx.as_scalar(t).map(Some)
}

/// Cuts or adds the same number of positions on both sides, one more at the end.
pub fn center_crop_pad(cx: &mut Cx<'_>) -> R<()> {
    let Op::CenterCropPad(op) = cx.op() else { return Err("no center_crop_pad".into()) };
    let rank = cx.rank(0)?;
    let x = cx.moved(0, GATHERED)?;
    if rank == 0 {
        return cx.finish(x);
    }
    let axes: Vec<i64> = op.axes.clone().unwrap_or_else(|| (0..rank as i64).collect());
    let axes: Vec<usize> =
        axes.iter().map(|a| resolve_axis(*a, rank).map_err(|e| e.message)).collect::<R<_>>()?;
    let wanted = cx.sizes32(1)?;
    let mut sizes = vec![];
    for axis in 0..rank {
        sizes.push(match axes.iter().position(|a| *a == axis) {
            Some(i) => cx.part(wanted, i, 1)?,
            None => cx.size_of(x, axis)?,
        });
    }
    let (sizes, own) = (cx.joined(&sizes)?, cx.shape_of(x)?);
    let more = cx.arith(Arith::Sub, sizes, own)?;
    // Rounded towards zero.
    let low = if let Some(more) = cx.known(more) {
        cx.ints32(&more.iter().map(|n| n / 2).collect::<Vec<_>>())?
    } else {
        let two = cx.int32(2)?;
        cx.compute(Builtin::Div, None, &[more, two], DType::I32, vec![Dim::from(rank)])?
    };
    let high = cx.arith(Arith::Sub, more, low)?;
    let known = cx.known(low).zip(cx.known(high));
    let mut borders = Borders { low, high, known };
    let shape = cx.out_ty(0)?.shape.clone().ok_or("a result of unknown rank")?;
    let x = cropped(cx, x, &mut borders)?;
    constant(cx, x, &borders, &shape, None)
}

fn constant(cx: &mut Cx<'_>, x: T, borders: &Borders, shape: &[Dim], value: Option<T>) -> R<()> {
    let (rank, dtype) = (shape.len(), cx.def(x).ty.dtype);
    let builtin = if value.is_some() { Builtin::Padv2 } else { Builtin::Pad };
    if rank <= MAX_RANK {
        let pads = paddings(cx, borders, rank)?;
        let inputs: Vec<T> = [x, pads].into_iter().chain(value).collect();
        return cx.emit_moved(builtin, None, &inputs);
    }
    // Axis by axis, with those before and behind it joined.
    let mut x = x;
    for axis in 0..rank {
        if borders.known.as_ref().is_none_or(|(l, h)| l[axis] != 0 || h[axis] != 0) {
            let (low, high) = (cx.part(borders.low, axis, 1)?, cx.part(borders.high, axis, 1)?);
            let row = cx.joined(&[low, high])?;
            let row = cx.reshaped(row, &[Dim::Known(1), Dim::Known(2)])?;
            let none = cx.konst(Tensor::from_vec(&[1, 2], vec![0i32; 2]));
            let pads = rows(cx, &[none, row, none])?;
            let flat = cx.grouped(x, &[axis, 1, rank - axis - 1])?;
            let mut wide = cx.dims(flat)?;
            wide[1].clone_from(&shape[axis]);
            let inputs: Vec<T> = [flat, pads].into_iter().chain(value).collect();
            let y = cx.compute(builtin, None, &inputs, dtype, wide)?;
            x = ungrouped(cx, y, x, (axis, &shape[axis]))?;
        }
    }
    cx.finish(x)
}

/// `y`, whose second axis is `axis`, under the sizes of `x` along the others.
fn ungrouped(cx: &mut Cx<'_>, y: T, x: T, axis: (usize, &Dim)) -> R<T> {
    let (axis, dim) = axis;
    let mut dims = cx.dims(x)?;
    let rank = dims.len();
    dims[axis].clone_from(dim);
    if target_sizes(&dims).is_some() {
        return cx.reshaped(y, &dims);
    }
    let (sizes, new) = (cx.shape_of(x)?, cx.size_of(y, 1)?);
    let mut parts = vec![];
    if axis > 0 {
        parts.push(cx.part(sizes, 0, axis)?);
    }
    parts.push(new);
    if axis + 1 < rank {
        parts.push(cx.part(sizes, axis + 1, rank - axis - 1)?);
    }
    let list = cx.joined(&parts)?;
    cx.reshaped_to(y, list, &dims)
}

/// Matrices of one row as one matrix.
fn rows(cx: &mut Cx<'_>, parts: &[T]) -> R<T> {
    let known: Option<Vec<Vec<i64>>> = parts.iter().map(|t| cx.known(*t)).collect();
    let dims = vec![Dim::from(parts.len()), Dim::Known(2)];
    if let Some(known) = known {
        let list = cx.ints32(&known.concat())?;
        return cx.reshaped(list, &dims);
    }
    let options = Builtin::Concatenation.options().map(|o| o.with("axis", 0));
    cx.compute(Builtin::Concatenation, options, parts, DType::I32, dims)
}

/// Whether `MIRROR_PAD` computes this: borders that are smaller than the axes.
fn mirrors(cx: &mut Cx<'_>, x: T, borders: &Borders) -> R<bool> {
    let dims = cx.dims(x)?;
    let Some((low, high)) = &borders.known else { return Ok(false) };
    let fits = |a: usize| {
        let size = dims[a].known().and_then(|n| i64::try_from(n).ok());
        low[a] == 0 && high[a] == 0 || size.is_some_and(|n| low[a] < n && high[a] < n)
    };
    Ok(dims.len() <= MAX_MIRRORED && (0..dims.len()).all(fits))
}

/// Positions along each axis, computed where sizes are not known, and gathered.
fn gathered(cx: &mut Cx<'_>, x: T, borders: &Borders, mode: PadMode, shape: &[Dim]) -> R<()> {
    let mut x = x;
    let dtype = cx.def(x).ty.dtype;
    for axis in 0..shape.len() {
        if borders.known.as_ref().is_some_and(|(l, h)| l[axis] == 0 && h[axis] == 0) {
            continue;
        }
        let mut dims = cx.dims(x)?;
        let at = positions(cx, x, borders, mode, (axis, &shape[axis]))?;
        dims[axis].clone_from(&shape[axis]);
        let options = Builtin::Gather.options().map(|o| o.with("axis", axis));
        x = cx.compute(Builtin::Gather, options, &[x, at], dtype, dims)?;
    }
    debug_assert!(COPIED.contains(&dtype));
    cx.finish(x)
}

/// Position in `x` of each position of the result along an axis.
fn positions(cx: &mut Cx<'_>, x: T, borders: &Borders, mode: PadMode, axis: (usize, &Dim)) -> R<T> {
    let (axis, dim) = axis;
    let size = cx.size_of(x, axis)?;
    let (low, high) = (cx.part(borders.low, axis, 1)?, cx.part(borders.high, axis, 1)?);
    let length = cx.arith(Arith::Add, size, low)?;
    let length = cx.arith(Arith::Add, length, high)?;
    let dim = if dim.known().is_some() { dim.clone() } else { plus(dim, &Dim::Known(0)) };
    let count = cx.as_scalar(length)?;
    let all = cx.iota(count, &dim)?;
    let at = cx.arith(Arith::Sub, all, low)?;
    let (zero, one) = (cx.int32(0)?, cx.int32(1)?);
    let last = cx.arith(Arith::Sub, size, one)?;
    let modulo = |cx: &mut Cx<'_>, a: T, n: T| {
        if let (Some(all), Some([n])) = (cx.known(a), cx.known(n).as_deref())
            && *n > 0
        {
            return cx.ints32(&all.iter().map(|v| v.rem_euclid(*n)).collect::<Vec<_>>());
        }
        cx.compute(Builtin::FloorMod, None, &[a, n], DType::I32, vec![dim.clone()])
    };
    match mode {
        PadMode::Constant | PadMode::Edge => {
            let at = cx.arith(Arith::Max, at, zero)?;
            cx.arith(Arith::Min, at, last)
        }
        PadMode::Wrap => modulo(cx, at, size),
        PadMode::Reflect => {
            let period = cx.arith(Arith::Add, last, last)?;
            // An axis of one position has no period.
            let period = cx.arith(Arith::Max, period, one)?;
            let at = modulo(cx, at, period)?;
            let back = cx.arith(Arith::Sub, period, at)?;
            let at = cx.arith(Arith::Min, at, back)?;
            cx.arith(Arith::Min, at, last)
        }
    }
}
