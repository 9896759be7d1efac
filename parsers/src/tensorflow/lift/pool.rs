//! Poolings.
use super::Row;
use super::cx::{Cx, R, V};
use super::val::Val;
use super::window::{Window, layout, spatial};
use hoist_ir::dtype::DType;
use hoist_ir::ops::movement::transpose::Transpose;
use hoist_ir::ops::spatial::average_pool::AveragePool;
use hoist_ir::ops::spatial::max_pool::MaxPool;
use hoist_ir::ops::words::Layout;

pub(super) const TABLE: &[Row] = &[
    ("MaxPool", "", |cx| max(cx, 2)),
    ("MaxPoolV2", "", max_v2),
    ("MaxPool3D", "", |cx| max(cx, 3)),
    ("AvgPool", "", |cx| average(cx, 2)),
    ("AvgPool3D", "", |cx| average(cx, 3)),
    ("MaxPoolWithArgmax", "output argmax", max_with_places),
];

/// The window of the attribute `ksize`; windows across batches or channels are not read.
fn window(cx: &Cx<'_, '_, '_>, n: usize) -> R<Window> {
    let kernel = spatial(cx, cx.attrs.ints("ksize"), layout(cx)?, n, "ksize")?;
    Window::of(cx, &kernel)
}

fn pooled(cx: &mut Cx<'_, '_, '_>, w: &Window) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let (auto_pad, pads) = w.padding(cx, x);
    let op = MaxPool {
        auto_pad,
        pads,
        kernel_shape: w.kernel.clone(),
        strides: w.strides.clone(),
        layout: w.layout,
        ..MaxPool::default()
    };
    // Integers that the IR does not pool are exact as 64-bit floats, up to 32 bits.
    let dtype = cx.dtype(x)?;
    if dtype.is_float() || matches!(dtype, DType::I8 | DType::U8) {
        return Ok(vec![cx.op(op, &[x])?.into()]);
    }
    if dtype == DType::I64 || dtype == DType::U64 {
        return Err(cx.unsupported(format!("{dtype}")));
    }
    let wide = cx.cast(x, DType::F64)?;
    let y = cx.op(op, &[wide])?;
    Ok(vec![cx.cast(y, dtype)?.into()])
}

fn max(cx: &mut Cx<'_, '_, '_>, n: usize) -> R<Vec<Val>> {
    let w = window(cx, n)?;
    pooled(cx, &w)
}

/// Window and strides are operands.
fn max_v2(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (kernel, strides) = (cx.ints(1, "a window")?, cx.ints(2, "strides")?);
    let layout = layout(cx)?;
    let kernel = spatial(cx, &kernel, layout, 2, "ksize")?;
    let strides = spatial(cx, &strides, layout, 2, "strides")?;
    let w = Window { strides, ..Window::of(cx, &kernel)? };
    pooled(cx, &w)
}

fn average(cx: &mut Cx<'_, '_, '_>, n: usize) -> R<Vec<Val>> {
    let w = window(cx, n)?;
    let x = cx.arg(0)?;
    let (auto_pad, pads) = w.padding(cx, x);
    let op = AveragePool {
        auto_pad,
        pads,
        kernel_shape: w.kernel,
        strides: w.strides,
        layout: w.layout,
        ..AveragePool::default()
    };
    Ok(vec![cx.op(op, &[x])?.into()])
}

/// Largest elements, and where they are: `(y * width + x) * channels + channel`, with the image's number ahead where `include_batch_in_index` asks for it.
fn max_with_places(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let w = window(cx, 2)?;
    let x = cx.arg(0)?;
    let (auto_pad, pads) = w.padding(cx, x);
    let op = MaxPool {
        auto_pad,
        pads,
        kernel_shape: w.kernel.clone(),
        strides: w.strides.clone(),
        layout: Layout::ChannelsFirst,
        ..MaxPool::default()
    };
    if w.layout != Layout::ChannelsLast {
        return Err(cx.unsupported("channels ahead"));
    }
    let first = cx.op(Transpose { perm: vec![0, 3, 1, 2] }, &[x])?;
    let both = cx.op_n(op, &[Some(first)], 2)?;
    let [y, at] = both[..] else { return Err(cx.bad("no places")) };
    let y = cx.op(Transpose { perm: vec![0, 2, 3, 1] }, &[y])?;
    let at = cx.op(Transpose { perm: vec![0, 2, 3, 1] }, &[at])?;
    let at = places(cx, x, at)?;
    let to = if cx.attrs.has("Targmax") { cx.attrs.dtype("Targmax")? } else { DType::I64 };
    Ok(vec![y.into(), cx.cast(at, to)?.into()])
}

/// Positions `((image * channels + channel) * height + y) * width + x` of the data `x` counted with the channels last.
fn places(cx: &mut Cx<'_, '_, '_>, x: V, at: V) -> R<V> {
    let mut sizes = vec![];
    for axis in 0..4 {
        sizes.push(cx.size_of(x, axis)?);
    }
    let plane = cx.named("mul", &[sizes[1], sizes[2]])?;
    let image = cx.named("mul", &[plane, sizes[3]])?;
    let inside = cx.named("mod", &[at, plane])?;
    let which = cx.named("div", &[at, plane])?;
    let channel = cx.named("mod", &[which, sizes[3]])?;
    let place = cx.named("mul", &[inside, sizes[3]])?;
    let place = cx.named("add", &[place, channel])?;
    if !cx.attrs.flag("include_batch_in_index") {
        return Ok(place);
    }
    let number = cx.named("div", &[which, sizes[3]])?;
    let before = cx.named("mul", &[number, image])?;
    cx.named("add", &[before, place])
}
