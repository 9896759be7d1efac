//! Adaptive pooling: window `i` of `out` over an axis of size `n` is `floor(i n / out) .. ceil((i + 1) n / out)`.
use super::conv::{batched, unbatched};
use super::pool::each;
use crate::pytorch::lift::cx::{Cx, Out, R, Size, V, malformed, unsupported};
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;

pub(super) const TABLE: super::Table = &[
    ("adaptive_avg_pool1d", |cx| average(cx, 1)),
    ("adaptive_avg_pool2d", |cx| average(cx, 2)),
    ("adaptive_avg_pool3d", |cx| average(cx, 3)),
    ("_adaptive_avg_pool2d", |cx| average(cx, 2)),
    ("_adaptive_avg_pool3d", |cx| average(cx, 3)),
    ("adaptive_max_pool1d", |cx| maximum(cx, 1)),
    ("adaptive_max_pool2d", |cx| maximum(cx, 2)),
    ("adaptive_max_pool3d", |cx| maximum(cx, 3)),
];

/// Bounds of each window.
fn bounds(n: i64, out: i64) -> Vec<(i64, i64)> {
    (0..out).map(|i| (i * n / out, ((i + 1) * n + out - 1) / out)).collect()
}
/// Requested sizes.
fn requested(cx: &Cx, axes: usize) -> R<Vec<Size>> {
    let list = cx.sizes("output_size")?;
    let list = if list.len() == 1 { vec![list[0].clone(); axes] } else { list };
    let fits = |s: &Size| !matches!(s, Size::Known(n) if !(0..=1 << 16).contains(n));
    if list.len() != axes || !list.iter().all(fits) {
        return Err(malformed(format!("output sizes {list:?}")));
    }
    Ok(list)
}
fn all_known(sizes: &[Size]) -> Option<Vec<i64>> {
    sizes.iter().map(|s| if let Size::Known(n) = s { Some(*n) } else { None }).collect()
}
fn average(cx: &mut Cx, axes: usize) -> R<Out> {
    let x = cx.t("self")?;
    let (x, bare) = batched(cx, x, axes)?;
    let outs = requested(cx, axes)?;
    let inner: Option<Vec<i64>> = (2..axes + 2).map(|a| cx.known(x, a)).collect();
    let y = if outs.iter().all(|n| *n == Size::Known(1)) {
        let all: Vec<usize> = (2..axes + 2).collect();
        if cx.known_len(x) == Some(0) {
            cx.reduce("reduce_mean", x, &all, true)?
        } else {
            cx.u("global_average_pool", x)?
        }
    } else if let (Some(inner), Some(outs)) = (inner, all_known(&outs)) {
        even_or_ragged(cx, x, &inner, &outs)?
    } else {
        gathered_average(cx, x, &outs)?
    };
    Ok(Out::Fresh(unbatched(cx, y, bare)?))
}
fn even_or_ragged(cx: &mut Cx, x: V, inner: &[i64], outs: &[i64]) -> R<V> {
    if outs.iter().zip(inner).all(|(o, n)| *o > 0 && n % o == 0 && *n > 0) {
        let kernel: Vec<i64> = outs.iter().zip(inner).map(|(o, n)| n / o).collect();
        if kernel.iter().all(|k| *k == 1) {
            return cx.u("identity", x);
        }
        let attrs = [("kernel_shape", Attr::Ints(kernel.clone())), ("strides", Attr::Ints(kernel))];
        return cx.with("average_pool", &[x], &attrs);
    }
    // The mean over a box is the mean over each axis in turn.
    let mut y = x;
    for (i, out) in outs.iter().enumerate() {
        y = pieces(cx, y, i + 2, inner[i], *out)?;
    }
    Ok(y)
}
/// The mean of each window along an axis, joined.
fn pieces(cx: &mut Cx, x: V, axis: usize, n: i64, out: i64) -> R<V> {
    if n == out {
        return Ok(x);
    }
    if out == 0 || n == 0 {
        return Err(unsupported("adaptive pooling of nothing"));
    }
    let parts = bounds(n, out)
        .into_iter()
        .map(|(from, to)| {
            let part = cx.slice_known(x, axis, from, to)?;
            cx.reduce("reduce_mean", part, &[axis], true)
        })
        .collect::<R<Vec<V>>>()?;
    cx.concat(&parts, axis)
}

/// The windows along one axis whose size, or whose number, is known at run time only.
struct Windows {
    /// Positions `[out, widest]`; a narrower window repeats its last one.
    places: V,
    /// Whether a place is no repetition, `[out, widest]`.
    own: V,
    /// Sizes of the windows, `[out, 1]`.
    lengths: V,
}

impl Windows {
    fn of(cx: &mut Cx, x: V, axis: usize, out: &Size) -> R<Self> {
        let (n, i) = (cx.dim(x, axis)?, cx.iota(out)?);
        let (n, out) = (cx.size_scalar(&n)?, cx.size_scalar(out)?);
        let i = cx.unsqueeze(i, &[1])?;
        let start = cx.b("mul", i, n)?;
        let end = cx.b("add", start, n)?;
        let start = cx.b("div", start, out)?;
        let end = cx.b("add", end, out)?;
        let end = cx.bn("sub", end, 1.0)?;
        let end = cx.b("div", end, out)?;
        let lengths = cx.b("sub", end, start)?;
        let widest = cx.reduce("reduce_max", lengths, &[0], false)?;
        let steps = cx.iota(&Size::Value(widest))?;
        let own = cx.b("less", steps, lengths)?;
        let (places, last) = (cx.b("add", start, steps)?, cx.bn("sub", end, 1.0)?);
        Ok(Self { places: cx.b("min", places, last)?, own, lengths })
    }
}
fn gathered_average(cx: &mut Cx, x: V, outs: &[Size]) -> R<V> {
    let dtype = cx.dtype(x)?;
    let mut y = cx.wide(x)?;
    for (i, out) in outs.iter().enumerate() {
        let axis = i + 2;
        if *out == Size::Known(1) {
            y = cx.reduce("reduce_mean", y, &[axis], true)?;
            continue;
        }
        let w = Windows::of(cx, y, axis, out)?;
        let windows = cx.gather(y, w.places, axis)?;
        let behind: Vec<i64> = (2..outs.len() as i64 + 1 - i as i64).collect();
        let (own, lengths) = (cx.unsqueeze(w.own, &behind)?, cx.unsqueeze(w.lengths, &behind)?);
        let zero = cx.num(y, 0.0)?;
        let kept = cx.choose(own, windows, zero)?;
        let sum = cx.reduce("reduce_sum", kept, &[axis + 1], false)?;
        let lengths = cx.squeeze(lengths, &[1])?;
        let wide = cx.dtype(sum)?;
        let lengths = cx.cast(lengths, wide)?;
        y = cx.b("div", sum, lengths)?;
    }
    cx.cast(y, dtype)
}

/// Maxima of adaptive windows with their positions within the channel.
fn maximum(cx: &mut Cx, axes: usize) -> R<Out> {
    let x = cx.t("self")?;
    let (x, bare) = batched(cx, x, axes)?;
    let outs = requested(cx, axes)?;
    let inner: Option<Vec<i64>> = (2..axes + 2).map(|a| cx.known(x, a)).collect();
    let (y, at) = if let (Some(inner), Some(outs)) = (inner, all_known(&outs)) {
        fixed_maximum(cx, x, &inner, &outs)?
    } else {
        gathered_maximum(cx, x, &outs)?
    };
    let (y, at) = (unbatched(cx, y, bare)?, unbatched(cx, at, bare)?);
    Ok(Out::Many(vec![Out::Fresh(y), Out::Fresh(at)]))
}
/// One axis after the other, the last first: of equal elements the first in memory wins, as in PyTorch.
fn gathered_maximum(cx: &mut Cx, x: V, outs: &[Size]) -> R<(V, V)> {
    let sizes = cx.shape_of(x)?;
    let area = cx.size_product(&sizes[2..])?;
    let at = cx.iota(&area)?;
    let at = cx.reshape(at, &sizes[2..])?;
    let (mut y, mut at) = (x, cx.expand(at, &sizes)?);
    for (i, out) in outs.iter().enumerate().rev() {
        let axis = i + 2;
        let w = Windows::of(cx, y, axis, out)?;
        let (values, places) = (cx.gather(y, w.places, axis)?, cx.gather(at, w.places, axis)?);
        y = cx.reduce("reduce_max", values, &[axis + 1], false)?;
        let along = ("axis", Attr::Int(axis as i64 + 1));
        let best = cx.with("arg_max", &[values], &[along.clone(), ("keepdims", Attr::Bool(true))])?;
        let place = cx.with("gather_elements", &[places, best], &[along])?;
        at = cx.squeeze(place, &[axis as i64 + 1])?;
    }
    Ok((y, at))
}
/// Each window's elements in a row of their own, then one maximum with its position.
fn fixed_maximum(cx: &mut Cx, x: V, inner: &[i64], outs: &[i64]) -> R<(V, V)> {
    if outs.contains(&0) || inner.contains(&0) {
        return Err(unsupported("adaptive pooling of nothing"));
    }
    let per_axis: Vec<Vec<(i64, i64)>> = inner.iter().zip(outs).map(|(n, o)| bounds(*n, *o)).collect();
    let widest: Vec<i64> = per_axis.iter().map(|b| b.iter().map(|(f, t)| t - f).max().unwrap_or(1)).collect();
    let cells = outs.iter().chain(&widest).try_fold(1i64, |a, b| a.checked_mul(*b));
    let cells = cells.filter(|c| *c <= 1 << 22).ok_or_else(|| unsupported("adaptive maxima of this size"))?;
    let mut flat = Vec::with_capacity(cells as usize);
    each(outs, &mut |place: &[i64]| {
        each(&widest, &mut |offset: &[i64]| {
            let mut at = 0;
            for i in 0..outs.len() {
                let (from, to) = per_axis[i][place[i] as usize];
                // Repeating the last element of a narrower window changes no maximum.
                at = at * inner[i] + (from + offset[i]).min(to - 1);
            }
            flat.push(at);
        });
    });
    let sizes = cx.shape_of(x)?;
    let area: i64 = inner.iter().product();
    let line = cx.reshape(x, &[sizes[0].clone(), sizes[1].clone(), Size::Known(area)])?;
    let (count, row): (i64, i64) = (outs.iter().product(), widest.iter().product());
    let table = cx.constant(Tensor::from_vec(&[count as usize, row as usize], flat));
    let windows = cx.gather(line, table, 2)?;
    let y = cx.reduce("reduce_max", windows, &[3], false)?;
    let best = cx.with("arg_max", &[windows], &[("axis", Attr::Int(3))])?;
    // The position: that of the best element in its row of the table.
    let starts: Vec<i64> = (0..count).map(|i| i * row).collect();
    let starts = cx.constant(Tensor::from_vec(&[starts.len(), 1], starts));
    let at = cx.b("add", best, starts)?;
    let all = cx.reshape_to(table, &[-1])?;
    let at = cx.gather(all, at, 0)?;
    let mut full = sizes[..2].to_vec();
    full.extend(outs.iter().map(|n| Size::Known(*n)));
    let (y, at) = (cx.reshape(y, &full)?, cx.reshape(at, &full)?);
    Ok((y, cx.cast(at, DType::I64)?))
}
