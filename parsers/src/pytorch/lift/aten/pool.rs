//! Pooling.
use super::conv::{batched, per_axis, unbatched};
use crate::pytorch::lift::cx::{Cx, Out, R, Size, V, malformed};
use hoist_ir::attr::Attr;

pub(super) const TABLE: super::Table = &[
    ("avg_pool1d", |cx| avg_pool(cx, 1)),
    ("avg_pool2d", |cx| avg_pool(cx, 2)),
    ("avg_pool3d", |cx| avg_pool(cx, 3)),
    ("max_pool1d", |cx| max_pool(cx, 1, false)),
    ("max_pool2d", |cx| max_pool(cx, 2, false)),
    ("max_pool3d", |cx| max_pool(cx, 3, false)),
    ("max_pool1d_with_indices", |cx| max_pool(cx, 1, true)),
    ("max_pool2d_with_indices", |cx| max_pool(cx, 2, true)),
    ("max_pool3d_with_indices", |cx| max_pool(cx, 3, true)),
];

/// A window along the spatial axes.
struct Window {
    kernel: Vec<i64>,
    strides: Vec<i64>,
    pads: Vec<i64>,
    dilations: Vec<i64>,
    ceil: bool,
}

impl Window {
    fn of(cx: &Cx, axes: usize) -> R<Self> {
        let kernel = per_axis(cx, "kernel_size", axes, 1)?;
        let strides = cx.ints_or_empty("stride")?;
        let strides = match strides.len() {
            0 => kernel.clone(),
            1 => vec![strides[0]; axes],
            _ => strides,
        };
        let (pads, dilations) = (per_axis(cx, "padding", axes, 0)?, per_axis(cx, "dilation", axes, 1)?);
        if strides.len() != axes || kernel.iter().chain(&strides).chain(&dilations).any(|v| *v <= 0) {
            return Err(malformed("a pooling window of no size"));
        }
        Ok(Self { kernel, strides, pads, dilations, ceil: cx.bool_or("ceil_mode", false)? })
    }
    fn attrs(&self) -> Vec<(&'static str, Attr)> {
        vec![
            ("kernel_shape", Attr::Ints(self.kernel.clone())),
            ("strides", Attr::Ints(self.strides.clone())),
            ("pads", Attr::Ints([self.pads.clone(), self.pads.clone()].concat())),
            ("dilations", Attr::Ints(self.dilations.clone())),
            ("ceil_mode", Attr::Bool(self.ceil)),
        ]
    }
    /// Output size of an axis: a window of ceil mode that begins in the right border is dropped.
    fn output(&self, axis: usize, size: i64) -> Option<i64> {
        let reach = self.dilations[axis].checked_mul(self.kernel[axis] - 1)?.checked_add(1)?;
        let room = size.checked_add(self.pads[axis].checked_mul(2)?)?.checked_sub(reach)?;
        let s = self.strides[axis];
        let n = if self.ceil { room.checked_add(s - 1)?.div_euclid(s) } else { room.div_euclid(s) } + 1;
        Some(if self.ceil && (n - 1).checked_mul(s)? >= size + self.pads[axis] { n - 1 } else { n })
    }
}
fn avg_pool(cx: &mut Cx, axes: usize) -> R<Out> {
    let x = cx.t("self")?;
    let window = Window::of(cx, axes)?;
    let include = cx.bool_or("count_include_pad", true)?;
    let divisor = if cx.has("divisor_override") { Some(cx.int("divisor_override")?) } else { None };
    let (x, bare) = batched(cx, x, axes)?;
    let padded = window.pads.iter().any(|p| *p != 0);
    let y = if divisor.is_some() || (window.ceil && padded && include) {
        counted_average(cx, x, &window, include, divisor)?
    } else {
        let mut attrs = window.attrs();
        attrs.push(("count_include_pad", Attr::Bool(include && padded)));
        cx.with("average_pool", &[x], &attrs)?
    };
    Ok(Out::Fresh(unbatched(cx, y, bare)?))
}
/// The sum of each window, over the border padded with zeros, divided by a constant count per place.
fn counted_average(cx: &mut Cx, x: V, w: &Window, include: bool, divisor: Option<i64>) -> R<V> {
    let axes = w.kernel.len();
    let sizes = cx.fixed_sizes(x)?;
    let outs: Option<Vec<i64>> = (0..axes).map(|i| w.output(i, sizes[i + 2])).collect();
    let outs = outs.ok_or_else(|| malformed("a pooling window is too large"))?;
    // Enough zeros behind that every window is whole.
    let mut pads = vec![0; 2 * (axes + 2)];
    for i in 0..axes {
        let need = (outs[i] - 1) * w.strides[i] + w.kernel[i];
        pads[i + 2] = w.pads[i];
        pads[axes + 4 + i] = (need - w.pads[i] - sizes[i + 2]).max(0);
    }
    let zero = cx.num(x, 0.0)?;
    let pads = cx.int_list(&pads);
    let padded = cx.op("pad", &[x, pads, zero])?;
    let attrs = [("kernel_shape", Attr::Ints(w.kernel.clone())), ("strides", Attr::Ints(w.strides.clone()))];
    let mean = cx.with("average_pool", &[padded], &attrs)?;
    let mut mean = mean;
    for (i, n) in outs.iter().enumerate() {
        mean = cx.slice_known(mean, i + 2, 0, *n)?;
    }
    let area: i64 = w.kernel.iter().product();
    if let Some(d) = divisor {
        return cx.bn("mul", mean, area as f64 / d as f64);
    }
    // Elements counted per axis: the window cut at the border, or at the data.
    let mut y = cx.bn("mul", mean, area as f64)?;
    for i in 0..axes {
        let counts: Vec<f64> = (0..outs[i])
            .map(|o| {
                let start = o * w.strides[i] - w.pads[i];
                let end = (start + w.kernel[i]).min(sizes[i + 2] + w.pads[i]);
                (if include { end - start } else { end.min(sizes[i + 2]) - start.max(0) }) as f64
            })
            .collect();
        let mut line = vec![1usize; axes];
        line[i] = counts.len();
        let dtype = cx.dtype(y)?;
        let t = hoist_ir::tensor::Tensor::from_vec(&line, counts);
        let t = t.cast(dtype, false).map_err(|e| malformed(e.to_string()))?;
        let t = cx.constant(t);
        y = cx.b("div", y, t)?;
    }
    Ok(y)
}
fn max_pool(cx: &mut Cx, axes: usize, with_indices: bool) -> R<Out> {
    let x = cx.t("self")?;
    let window = Window::of(cx, axes)?;
    let (x, bare) = batched(cx, x, axes)?;
    if !with_indices {
        let y = cx.with("max_pool", &[x], &window.attrs())?;
        return Ok(Out::Fresh(unbatched(cx, y, bare)?));
    }
    let out = cx.node_n("max_pool", &[Some(x)], &window.attrs(), 2)?;
    let at = local_positions(cx, out[1], x, axes)?;
    let (y, at) = (unbatched(cx, out[0], bare)?, unbatched(cx, at, bare)?);
    Ok(Out::Many(vec![Out::Fresh(y), Out::Fresh(at)]))
}
/// ONNX counts positions in the whole tensor, PyTorch within each channel.
fn local_positions(cx: &mut Cx, at: V, x: V, axes: usize) -> R<V> {
    let sizes: Vec<Size> = (2..2 + axes).map(|a| cx.dim(x, a)).collect::<R<_>>()?;
    let area = cx.size_product(&sizes)?;
    let area = cx.size_scalar(&area)?;
    cx.b("mod", at, area)
}
/// Calls `f` with every position of a box, the last axis fastest.
pub(super) fn each(sizes: &[i64], f: &mut dyn FnMut(&[i64])) {
    if sizes.iter().any(|s| *s <= 0) {
        return;
    }
    let mut at = vec![0; sizes.len()];
    loop {
        f(&at);
        let Some(axis) = (0..sizes.len()).rev().find(|i| at[*i] + 1 < sizes[*i]) else { return };
        at[axis] += 1;
        at[axis + 1..].fill(0);
    }
}
