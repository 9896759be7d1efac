//! Colours of pixels: red, green and blue along the last axis, or hue, saturation and value.
use super::Row;
use super::cx::{Cx, R, V};
use super::val::Val;
use hoist_ir::dtype::DType;
use hoist_ir::ops::elementwise::clip::Clip;
use hoist_ir::ops::reduce::reductions::{ReduceMax, ReduceMean, ReduceMin};

pub(super) const TABLE: &[Row] = &[
    ("AdjustContrastv2", "", contrast),
    ("AdjustHue", "", |cx| adjusted(cx, 0)),
    ("AdjustSaturation", "", |cx| adjusted(cx, 1)),
    ("RGBToHSV", "", |cx| {
        let x = cx.arg(0)?;
        let [h, s, v] = hsv(cx, x)?;
        Ok(vec![cx.concat(&[h, s, v], -1)?.into()])
    }),
    ("HSVToRGB", "", |cx| {
        let x = cx.arg(0)?;
        let all = channels(cx, x)?;
        Ok(vec![rgb(cx, all)?.into()])
    }),
];

/// Distances from the mean of each channel, so many times as large.
fn contrast(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, factor) = (cx.arg(0)?, cx.arg(1)?);
    let dtype = cx.dtype(x)?;
    let wide = cx.cast(x, DType::F32)?;
    let axes = cx.int_list(&[-3, -2]);
    let mean = cx.op(ReduceMean { keepdims: true, noop_with_empty_axes: false }, &[wide, axes])?;
    let off = cx.named("sub", &[wide, mean])?;
    let off = cx.named("mul", &[off, factor])?;
    let y = cx.named("add", &[off, mean])?;
    Ok(vec![cx.cast(y, dtype)?.into()])
}

/// Parts of the last axis, which stays with size 1.
fn channels(cx: &mut Cx<'_, '_, '_>, x: V) -> R<[V; 3]> {
    Ok([cx.slice(x, -1, 0, 1)?, cx.slice(x, -1, 1, 2)?, cx.slice(x, -1, 2, 3)?])
}

/// `a` op `b`, `b` a number.
fn with(cx: &mut Cx<'_, '_, '_>, op: &str, a: V, b: f64) -> R<V> {
    let b = cx.number(b, a)?;
    cx.named(op, &[a, b])
}

/// Hue, saturation (each 0 to 1) and value; hue and saturation are 0 where they have no meaning.
fn hsv(cx: &mut Cx<'_, '_, '_>, x: V) -> R<[V; 3]> {
    let [r, g, b] = channels(cx, x)?;
    let last = cx.int_list(&[-1]);
    let most = cx.op(ReduceMax { keepdims: true, noop_with_empty_axes: false }, &[x, last])?;
    let least = cx.op(ReduceMin { keepdims: true, noop_with_empty_axes: false }, &[x, last])?;
    let range = cx.named("sub", &[most, least])?;
    let zero = cx.number(0.0, x)?;
    let (light, grey) = (cx.named("greater", &[most, zero])?, cx.named("greater", &[range, zero])?);
    let ratio = cx.named("div", &[range, most])?;
    let saturation = cx.named("where", &[light, ratio, zero])?;
    // A sixth of the circle for each step of a colour against the others.
    let mut hues = vec![];
    for (a, b, from) in [(g, b, 0.0), (b, r, 2.0), (r, g, 4.0)] {
        let off = cx.named("sub", &[a, b])?;
        let step = cx.named("div", &[off, range])?;
        let step = with(cx, "div", step, 6.0)?;
        hues.push(with(cx, "add", step, from / 6.0)?);
    }
    let (red, green) = (cx.named("equal", &[r, most])?, cx.named("equal", &[g, most])?);
    let hue = cx.named("where", &[green, hues[1], hues[2]])?;
    let hue = cx.named("where", &[red, hues[0], hue])?;
    let hue = cx.named("where", &[grey, hue, zero])?;
    let (negative, turned) = (cx.named("less", &[hue, zero])?, with(cx, "add", hue, 1.0)?);
    let hue = cx.named("where", &[negative, turned, hue])?;
    Ok([hue, saturation, most])
}

/// Red, green and blue of hue, saturation and value.
fn rgb(cx: &mut Cx<'_, '_, '_>, [h, s, v]: [V; 3]) -> R<V> {
    let sixths = with(cx, "mul", h, 6.0)?;
    let mut parts = vec![];
    for (centre, sign, shift) in [(3.0, 1.0, -1.0), (2.0, -1.0, 2.0), (4.0, -1.0, 2.0)] {
        let off = with(cx, "sub", sixths, centre)?;
        let off = cx.named("abs", &[off])?;
        let off = with(cx, "mul", off, sign)?;
        let off = with(cx, "add", off, shift)?;
        let (low, high) = (cx.number(0.0, off)?, cx.number(1.0, off)?);
        let share = cx.op(Clip::default(), &[off, low, high])?;
        // (1 - s + s * share) * v
        let (tint, white) = (cx.named("mul", &[s, share])?, with(cx, "sub", s, 1.0)?);
        let part = cx.named("sub", &[tint, white])?;
        parts.push(cx.named("mul", &[part, v])?);
    }
    cx.concat(&parts, -1)
}

/// Pixels whose hue is turned (`0`), or whose saturation is scaled (`1`).
fn adjusted(cx: &mut Cx<'_, '_, '_>, which: usize) -> R<Vec<Val>> {
    let (x, by) = (cx.arg(0)?, cx.arg(1)?);
    let dtype = cx.dtype(x)?;
    let wide = cx.cast(x, DType::F32)?;
    let mut parts = hsv(cx, wide)?;
    if which == 0 {
        let hue = cx.named("add", &[parts[0], by])?;
        let whole = cx.named("floor", &[hue])?;
        parts[0] = cx.named("sub", &[hue, whole])?;
    } else {
        let scaled = cx.named("mul", &[parts[1], by])?;
        let (low, high) = (cx.number(0.0, scaled)?, cx.number(1.0, scaled)?);
        parts[1] = cx.op(Clip::default(), &[scaled, low, high])?;
    }
    let y = rgb(cx, parts)?;
    Ok(vec![cx.cast(y, dtype)?.into()])
}
