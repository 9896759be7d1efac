//! Convolutions and what belongs to them.
//!
//! Filters are `[spatial..., in / groups, out]`; those of the IR are `[out, in / groups, spatial...]`.
use super::Row;
use super::cx::{Cx, R, V};
use super::val::Val;
use super::window::Window;
use hoist_ir::dim::Dim;
use hoist_ir::ops::spatial::conv::Conv;
use hoist_ir::ops::spatial::conv_transpose::ConvTranspose;
use hoist_ir::ops::words::Layout;

pub(super) const TABLE: &[Row] = &[
    ("Conv2D", "", |cx| plain(cx, 2)),
    ("Conv3D", "", |cx| plain(cx, 3)),
    ("DepthwiseConv2dNative", "", depthwise),
    ("Conv2DBackpropInput", "", |cx| transposed(cx, 2, false)),
    ("Conv3DBackpropInput", "", |cx| transposed(cx, 3, false)),
    ("Conv3DBackpropInputV2", "", |cx| transposed(cx, 3, false)),
    ("DepthwiseConv2dNativeBackpropInput", "", |cx| transposed(cx, 2, true)),
    ("Dilation2D", "", dilation),
];

/// `v` with its axes in another order, at once for constants.
pub(super) fn permuted(cx: &mut Cx<'_, '_, '_>, v: V, perm: &[usize]) -> R<V> {
    if cx.rank(v)? != perm.len() {
        return Err(cx.bad(format!("a filter of {} axes", cx.rank(v)?)));
    }
    if let Some(t) = cx.constant(v) {
        let t = t.permute(perm).map_err(|e| cx.bad(e))?;
        return Ok(cx.konst(t));
    }
    let perm: Vec<i64> = perm.iter().map(|p| *p as i64).collect();
    cx.transpose(v, &perm)
}

/// Size of axis `axis` of `v`, when it is known.
pub(super) fn known_size(cx: &Cx<'_, '_, '_>, v: V, axis: usize) -> Option<i64> {
    cx.size(v, axis).and_then(|n| i64::try_from(n).ok())
}

/// Number of channels of data with `n` spatial axes, when it is known.
fn channels(cx: &Cx<'_, '_, '_>, x: V, n: usize, layout: Layout) -> Option<i64> {
    known_size(cx, x, layout.channel_axis(n + 2))
}

/// Sizes of the first `n` axes of a filter.
fn kernel(cx: &Cx<'_, '_, '_>, w: V, n: usize) -> R<Vec<i64>> {
    let sizes: Option<Vec<i64>> = (0..n).map(|i| known_size(cx, w, i)).collect();
    sizes.ok_or_else(|| cx.unsupported("a filter of unknown sizes"))
}

/// The convolution that the attributes describe, of the data `x` by `kernel`.
fn described(cx: &Cx<'_, '_, '_>, x: V, kernel: &[i64]) -> R<Conv> {
    let w = Window::of(cx, kernel)?;
    let (auto_pad, pads) = w.padding(cx, x);
    Ok(Conv {
        auto_pad,
        pads,
        strides: w.strides,
        dilations: w.dilations,
        layout: w.layout,
        ..Conv::default()
    })
}

/// A convolution; a filter for fewer channels than there are belongs to one of several groups.
pub(super) fn convolved(cx: &mut Cx<'_, '_, '_>, n: usize) -> R<V> {
    let (x, w) = (cx.arg(0)?, cx.arg(1)?);
    // Sizes of the filter matter to borders only, and to those of dense windows not even then.
    let dense = cx.attrs.ints("dilations").iter().all(|d| *d == 1);
    let sides = kernel(cx, w, n).or_else(|e| if dense { Ok(vec![1; n]) } else { Err(e) })?;
    let conv = described(cx, x, &sides)?;
    let group = match (channels(cx, x, n, conv.layout), known_size(cx, w, n)) {
        (Some(of), Some(per)) if per > 0 && of % per == 0 => of / per,
        (Some(of), Some(per)) => return Err(cx.bad(format!("a filter for {per} channels of {of}"))),
        _ => 1,
    };
    let perm: Vec<usize> = [n + 1, n].into_iter().chain(0..n).collect();
    let w = permuted(cx, w, &perm)?;
    cx.b.conv(Conv { group, ..conv }, x, w, None)
}

fn plain(cx: &mut Cx<'_, '_, '_>, n: usize) -> R<Vec<Val>> {
    Ok(vec![convolved(cx, n)?.into()])
}

/// A convolution of each channel by itself. The filter is `[h, w, in, multiplier]`.
pub(super) fn depthwise_convolved(cx: &mut Cx<'_, '_, '_>) -> R<V> {
    let (x, w) = (cx.arg(0)?, cx.arg(1)?);
    let sides = kernel(cx, w, 2)?;
    let conv = described(cx, x, &sides)?;
    let (Some(group), Some(times)) = (known_size(cx, w, 2), known_size(cx, w, 3)) else {
        return Err(cx.unsupported("a filter of unknown sizes"));
    };
    let w = permuted(cx, w, &[2, 3, 0, 1])?;
    let w = cx.reshape(w, &[group.saturating_mul(times), 1, sides[0], sides[1]])?;
    cx.b.conv(Conv { group, ..conv }, x, w, None)
}

fn depthwise(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    Ok(vec![depthwise_convolved(cx)?.into()])
}

/// What a convolution does to its gradients: sizes of the result, filter, data.
fn transposed(cx: &mut Cx<'_, '_, '_>, n: usize, by_channel: bool) -> R<Vec<Val>> {
    let (w, x) = (cx.arg(1)?, cx.arg(2)?);
    let sides = kernel(cx, w, n)?;
    let window = Window::of(cx, &sides)?;
    let mut op = ConvTranspose {
        strides: window.strides.clone(),
        dilations: window.dilations.clone(),
        layout: window.layout,
        ..ConvTranspose::default()
    };
    let fixed = borders(cx, &window, x, n)?;
    if let Some((pads, extra)) = &fixed {
        op.pads.clone_from(pads);
        if extra.iter().any(|e| *e != 0) {
            op.output_padding.clone_from(extra);
        }
    }
    let w = if by_channel {
        let (Some(group), Some(times)) = (known_size(cx, w, 2), known_size(cx, w, 3)) else {
            return Err(cx.unsupported("a filter of unknown sizes"));
        };
        op.group = group;
        let w = permuted(cx, w, &[2, 3, 0, 1])?;
        cx.reshape(w, &[group.saturating_mul(times), 1, sides[0], sides[1]])?
    } else {
        op.group = groups(cx, n, window.layout, w, x)?;
        let perm: Vec<usize> = [n + 1, n].into_iter().chain(0..n).collect();
        permuted(cx, w, &perm)?
    };
    let mut y = cx.b.conv_transpose(op, x, w, None)?;
    if fixed.is_none() {
        y = cropped(cx, &window, y, n)?;
    }
    let sizes = cx.arg(0)?;
    if let Some(all) = cx.known_ints(sizes).filter(|all| all.len() == n + 2) {
        let dims: Vec<Dim> = all.iter().map(|n| u64::try_from(*n).map_or(Dim::Unknown, Dim::Known)).collect();
        cx.declare(y, &dims);
    }
    Ok(vec![y.into()])
}

/// Borders that the result loses at its beginnings and ends, and what it gains at its ends; none where they are computed.
type Borders = Option<(Vec<i64>, Vec<i64>)>;

fn borders(cx: &Cx<'_, '_, '_>, window: &Window, x: V, n: usize) -> R<Borders> {
    let first = window.layout.first_spatial_axis();
    let wanted = result_sizes(cx, n, first)?;
    let (mut begins, mut ends, mut extra) = (vec![], vec![], vec![]);
    for (i, wanted) in wanted.iter().enumerate() {
        let input = cx.shape(x).and_then(|s| s.get(first + i).cloned()).unwrap_or(Dim::Unknown);
        // How far the result, as large as it can be, reaches beyond the one that is wanted.
        let Some(beyond) = beyond(&input, wanted, window.strides[i], window.reach(i)) else {
            return Ok(None);
        };
        let begin = match (&window.explicit, window.same) {
            (Some(pads), _) => pads[i].0,
            // The border of the convolution of the result: its end is where the last window ends.
            (None, true) => beyond.max(0) / 2,
            (None, false) => 0,
        };
        begins.push(begin);
        ends.push((beyond - begin).max(0));
        extra.push((begin - beyond).max(0));
    }
    Ok(Some(([begins, ends].concat(), extra)))
}

/// `y`, which has no borders, as large as operand 0 asks for.
fn cropped(cx: &mut Cx<'_, '_, '_>, window: &Window, y: V, n: usize) -> R<V> {
    let first = window.layout.first_spatial_axis();
    let list = cx.wide(0)?;
    let list = if cx.size(list, 0) == Some(n as u64) {
        list
    } else {
        cx.slice(list, 0, first as i64, (first + n) as i64)?
    };
    let full = cx.shape_of(y)?;
    let full = cx.slice(full, 0, first as i64, (first + n) as i64)?;
    let beyond = cx.named("sub", &[full, list])?;
    let zero = cx.int_list(&[0]);
    let begin = if let Some(pads) = &window.explicit {
        let begins: Vec<i64> = pads.iter().map(|p| p.0).collect();
        cx.int_list(&begins)
    } else if window.same {
        let total = cx.named("max", &[beyond, zero])?;
        let two = cx.int_list(&[2]);
        cx.named("div", &[total, two])?
    } else {
        cx.int_list(&vec![0; n])
    };
    let end = cx.named("add", &[begin, list])?;
    let missing = cx.named("sub", &[end, full])?;
    let missing = cx.named("max", &[missing, zero])?;
    let zeros = cx.int_list(&vec![0; n]);
    let pads = cx.concat(&[zeros, missing], 0)?;
    let axes: Vec<i64> = (first..first + n).map(|a| a as i64).collect();
    let axes = cx.int_list(&axes);
    let pad = hoist_ir::ops::movement::pad::Pad::default();
    let y = cx.op_opt(pad, &[Some(y), Some(pads), None, Some(axes)])?;
    let slice = hoist_ir::ops::movement::slice::Slice::default();
    cx.op_opt(slice, &[Some(y), Some(begin), Some(end), Some(axes), None])
}

/// Groups of a convolution whose result has as many channels as the filter's groups take together.
fn groups(cx: &Cx<'_, '_, '_>, n: usize, layout: Layout, w: V, x: V) -> R<i64> {
    let list = cx.arg(0)?;
    let wanted = cx.elements(list, n + 2).get(layout.channel_axis(n + 2)).copied().flatten();
    let given = channels(cx, x, n, layout);
    let (per, out) = (known_size(cx, w, n), known_size(cx, w, n + 1));
    if given.zip(out).is_some_and(|(a, b)| a != b) {
        return Err(cx.bad("a filter for another number of channels"));
    }
    match (wanted, per) {
        (Some(all), Some(per)) if per > 0 && all > 0 && all % per == 0 => Ok(all / per),
        (Some(_), _) => Err(cx.bad("a filter for another number of channels")),
        (None, _) => Ok(1),
    }
}

/// Spatial sizes that operand 0 asks for: all axes of the result, or in newer files the spatial ones.
fn result_sizes(cx: &Cx<'_, '_, '_>, n: usize, first: usize) -> R<Vec<Dim>> {
    let list = cx.arg(0)?;
    let len = cx.size(list, 0).ok_or_else(|| cx.unsupported("a result of unknown rank"))?;
    let from = if len == n as u64 { 0 } else { first };
    let g = cx.b.graph();
    let dims: Vec<Dim> = match (g.const_ints(Some(list)), g.value(list).content()) {
        (Some(all), _) => all.iter().map(|n| u64::try_from(*n).map_or(Dim::Unknown, Dim::Known)).collect(),
        (None, Some(content)) => content.iter().map(|e| Dim::from_sym(e.clone())).collect(),
        (None, None) => vec![],
    };
    let dims = dims.into_iter().chain(std::iter::repeat(Dim::Unknown));
    Ok(dims.skip(from).take(n).collect())
}

/// `(input - 1) * stride + reach - out`, when it is known.
fn beyond(input: &Dim, out: &Dim, stride: i64, reach: i64) -> Option<i64> {
    let full = input.to_sym()?.mul(&stride.into())?.add(&reach.saturating_sub(stride).into())?;
    full.sub(&out.to_sym()?)?.as_const()
}

/// Largest sum of data and filter in each window.
fn dilation(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, w) = (cx.arg(0)?, cx.arg(1)?);
    let sides = kernel(cx, w, 2)?;
    let window = Window::plain(cx, &sides, "strides", "rates")?;
    let (Some(height), Some(width)) = (known_size(cx, x, 1), known_size(cx, x, 2)) else {
        return Err(cx.unsupported("sizes that are not known"));
    };
    if sides[0].saturating_mul(sides[1]) > 1024 {
        return Err(cx.unsupported("a filter of more than 1024 places"));
    }
    let mut spans = vec![];
    for (i, size) in [height, width].into_iter().enumerate() {
        spans.push(window.span(i, size).ok_or_else(|| cx.bad("no window fits"))?);
    }
    // Places outside never win: the data is surrounded by the lowest number.
    let low = cx.number(f64::NEG_INFINITY, x)?;
    let borders: Vec<i64> = [0, spans[0].0, spans[1].0, 0, 0, spans[0].1, spans[1].1, 0].to_vec();
    let borders = cx.int_list(&borders);
    let pad = hoist_ir::ops::movement::pad::Pad::default();
    let padded = cx.op_opt(pad, &[Some(x), Some(borders), Some(low), None])?;
    let mut best: Option<V> = None;
    for row in 0..sides[0] {
        for column in 0..sides[1] {
            let begin = [row * window.dilations[0], column * window.dilations[1]];
            let mut part = padded;
            for i in 0..2 {
                let last = begin[i] + (spans[i].2 - 1) * window.strides[i] + 1;
                let (from, to) = (cx.int_list(&[begin[i]]), cx.int_list(&[last]));
                let (axis, step) = (cx.int_list(&[i as i64 + 1]), cx.int_list(&[window.strides[i]]));
                let slice = hoist_ir::ops::movement::slice::Slice::default();
                part = cx.op_opt(slice, &[Some(part), Some(from), Some(to), Some(axis), Some(step)])?;
            }
            let at = cx.int_list(&[row, column]);
            let weight = cx.op(hoist_ir::ops::index::gather_nd::GatherNd::default(), &[w, at])?;
            let sum = cx.named("add", &[part, weight])?;
            best = Some(match best {
                None => sum,
                Some(other) => cx.named("max", &[other, sum])?,
            });
        }
    }
    best.map(|v| vec![v.into()]).ok_or_else(|| cx.bad("a filter without places"))
}
