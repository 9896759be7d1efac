//! Convolutions. Data keeps its layout; kernels, which have their channels last in Keras, are turned once.
use super::{Row, none};
use crate::keras::kx::{Kx, Tv};
use crate::tensorflow::lift::cx::{R, V};
use hoist_ir::ops::movement::pad::Pad;
use hoist_ir::ops::spatial::conv::Conv;
use hoist_ir::ops::spatial::conv_transpose::ConvTranspose;
use hoist_ir::ops::words::{AutoPad, Layout};
use hoist_ir::tensor::Tensor;

pub(super) const TABLE: &[Row] = &[
    ("Conv1D", none, |kx| conv(kx, 1)),
    ("Conv2D", none, |kx| conv(kx, 2)),
    ("Conv3D", none, |kx| conv(kx, 3)),
    ("DepthwiseConv1D", none, |kx| depthwise(kx, 1)),
    ("DepthwiseConv2D", none, |kx| depthwise(kx, 2)),
    ("SeparableConv1D", none, |kx| separable(kx, 1)),
    ("SeparableConv2D", none, |kx| separable(kx, 2)),
    ("Conv1DTranspose", none, |kx| transposed(kx, 1)),
    ("Conv2DTranspose", none, |kx| transposed(kx, 2)),
    ("Conv3DTranspose", none, |kx| transposed(kx, 3)),
];

/// What the windows of a layer over `n` axes are.
pub(super) struct Window {
    pub kernel: Vec<i64>,
    pub strides: Vec<i64>,
    pub dilations: Vec<i64>,
    pub padding: String,
    pub layout: Layout,
}

impl Window {
    fn read(kx: &Kx<'_, '_, '_>, n: usize) -> R<Self> {
        if kx.weights.mirrored {
            return Err(kx.unsupported("weights of the Theano backend"));
        }
        let window = Self {
            kernel: kx.each("kernel_size", n, 0)?,
            strides: kx.each("strides", n, 1)?,
            dilations: kx.each("dilation_rate", n, 1)?,
            padding: kx.text("padding", "valid")?.to_lowercase(),
            layout: kx.layout()?,
        };
        let small = |all: &[i64]| all.iter().all(|v| (1..=i64::from(i32::MAX)).contains(v));
        if !(small(&window.kernel) && small(&window.strides) && small(&window.dilations)) {
            return Err(kx.bad("sizes, strides and dilations must be positive"));
        }
        Ok(window)
    }
    /// Elements that a window reaches over on axis `i`.
    fn reach(&self, i: usize) -> i64 {
        (self.kernel[i] - 1) * self.dilations[i] + 1
    }
}

/// The size of the channel axis.
pub(super) fn channels(kx: &Kx<'_, '_, '_>, x: V, layout: Layout) -> R<i64> {
    let at = layout.channel_axis(kx.rank(x)?);
    let n = kx.size(x, at).and_then(|n| i64::try_from(n).ok());
    n.filter(|n| *n > 0).ok_or_else(|| kx.unsupported("an unknown number of channels"))
}

/// Refuses data of another rank than `n` axes beside batch and channels.
pub(super) fn check_rank(kx: &Kx<'_, '_, '_>, x: V, n: usize) -> R<()> {
    let rank = kx.rank(x)?;
    if rank == n + 2 { Ok(()) } else { Err(kx.bad(format!("data of {rank} axes, not {}", n + 2))) }
}

/// `kernel` with its last axes `[in, out]` before the others: `[out, in, ...]` or `[in, out, ...]`.
fn turned(kx: &mut Kx<'_, '_, '_>, kernel: &Tensor, first: usize, second: usize) -> R<V> {
    let n = kernel.rank() - 2;
    let perm: Vec<usize> = [n + first, n + second].into_iter().chain(0..n).collect();
    let t = kernel.permute(&perm).map_err(|e| kx.bad(e))?;
    Ok(kx.konst(t))
}

fn conv(kx: &mut Kx<'_, '_, '_>, n: usize) -> R<Vec<Tv>> {
    let x = kx.x()?;
    check_rank(kx, x, n)?;
    let window = Window::read(kx, n)?;
    let (filters, group) = (kx.int_of("filters")?, kx.int_opt("groups")?.unwrap_or(1));
    let inputs = channels(kx, x, window.layout)?;
    if group < 1 || inputs % group != 0 {
        return Err(kx.bad(format!("{group} groups of {inputs} channels")));
    }
    let sizes: Vec<Option<i64>> =
        window.kernel.iter().copied().chain([inputs / group, filters]).map(Some).collect();
    let kernel = flat_kernel(kx, n, &sizes)?;
    let w = turned(kx, &kernel, 1, 0)?;
    let y = convolved(kx, x, w, &window, group, filters)?;
    Ok(vec![kx.activated(y, "activation")?.into()])
}

/// The kernel of a convolution; over one axis, Keras 1 gave it a second one of size 1.
fn flat_kernel(kx: &Kx<'_, '_, '_>, n: usize, sizes: &[Option<i64>]) -> R<Tensor> {
    let t = kx.tensor("kernel")?;
    if n == 1 && t.rank() == 4 {
        let wide = [&sizes[..1], &[Some(1)], &sizes[1..]].concat();
        let t = kx.shaped("kernel", &wide)?;
        let s = t.shape();
        return t.reshape(&[s[0], s[2], s[3]]).map_err(|e| kx.bad(e));
    }
    kx.shaped("kernel", sizes)
}

/// The convolution of `x` with `w`, with the layer's bias of `filters` numbers.
fn convolved(kx: &mut Kx<'_, '_, '_>, x: V, w: V, window: &Window, group: i64, filters: i64) -> R<V> {
    let bias = if kx.flag("use_bias", true)? { Some(kx.weight("bias", &[Some(filters)])?) } else { None };
    plain(kx, (x, w, bias), window, group)
}

fn plain(kx: &mut Kx<'_, '_, '_>, (x, w, bias): (V, V, Option<V>), window: &Window, group: i64) -> R<V> {
    let n = window.kernel.len();
    let mut op = Conv {
        group,
        strides: window.strides.clone(),
        dilations: window.dilations.clone(),
        layout: window.layout,
        ..Conv::default()
    };
    match &*window.padding {
        "valid" => op.auto_pad = AutoPad::Valid,
        "same" => match same_pads(kx, x, window) {
            Some(pads) => op.pads = pads,
            None => op.auto_pad = AutoPad::SameUpper,
        },
        "causal" if n == 1 => op.pads = vec![window.reach(0) - 1, 0],
        other => return Err(kx.bad(format!("padding `{other}`"))),
    }
    kx.op_opt(op, &[Some(x), Some(w), bias])
}

/// Borders of a dilated window, where they are known: kernels of ONNX choose them for dense windows only.
fn same_pads(kx: &Kx<'_, '_, '_>, x: V, window: &Window) -> Option<Vec<i64>> {
    if window.dilations.iter().all(|d| *d == 1) {
        return None;
    }
    let first = window.layout.first_spatial_axis();
    let border = |i: usize| {
        let stride = window.strides[i];
        let rest = if stride == 1 {
            0
        } else {
            let size = i64::try_from(kx.size(x, first + i)?).ok()?;
            (size + stride - 1) / stride * stride - size
        };
        // Windows end at the last step, which may lie before the end.
        Some((window.reach(i) - stride + rest).max(0))
    };
    let all: Vec<i64> = (0..window.kernel.len()).map(border).collect::<Option<_>>()?;
    Some(all.iter().map(|t| t / 2).chain(all.iter().map(|t| t - t / 2)).collect())
}

/// A kernel `[..., in, multiplier]` of one filter per channel as `[in * multiplier, 1, ...]`.
fn depthwise_kernel(kx: &mut Kx<'_, '_, '_>, name: &str, window: &Window, inputs: i64) -> R<(V, i64)> {
    let multiplier = kx.int_opt("depth_multiplier")?.unwrap_or(1);
    let sizes: Vec<Option<i64>> =
        window.kernel.iter().copied().chain([inputs, multiplier]).map(Some).collect();
    let kernel = kx.shaped(name, &sizes)?;
    let n = window.kernel.len();
    let perm: Vec<usize> = [n, n + 1].into_iter().chain(0..n).collect();
    let outputs = inputs * multiplier;
    let sizes: Vec<usize> = [outputs, 1].iter().chain(&window.kernel).map(|v| *v as usize).collect();
    let t = kernel.permute(&perm).and_then(|t| t.materialize()?.reshape(&sizes));
    let t = t.map_err(|e| kx.bad(e))?;
    Ok((kx.konst(t), outputs))
}

fn depthwise(kx: &mut Kx<'_, '_, '_>, n: usize) -> R<Vec<Tv>> {
    let x = kx.x()?;
    check_rank(kx, x, n)?;
    let window = Window::read(kx, n)?;
    let inputs = channels(kx, x, window.layout)?;
    // The weight had another name before Keras 3.
    let (w, outputs) = depthwise_kernel(kx, "kernel", &window, inputs)?;
    let y = convolved(kx, x, w, &window, inputs, outputs)?;
    Ok(vec![kx.activated(y, "activation")?.into()])
}

fn separable(kx: &mut Kx<'_, '_, '_>, n: usize) -> R<Vec<Tv>> {
    let x = kx.x()?;
    check_rank(kx, x, n)?;
    let mut window = Window::read(kx, n)?;
    let (inputs, filters) = (channels(kx, x, window.layout)?, kx.int_of("filters")?);
    let (w, between) = depthwise_kernel(kx, "depthwise_kernel", &window, inputs)?;
    let y = plain(kx, (x, w, None), &window, inputs)?;
    let sizes: Vec<Option<i64>> = vec![1; n].into_iter().chain([between, filters]).map(Some).collect();
    let kernel = kx.shaped("pointwise_kernel", &sizes)?;
    let w = turned(kx, &kernel, 1, 0)?;
    (window.kernel, window.strides, window.dilations) = (vec![1; n], vec![1; n], vec![1; n]);
    "valid".clone_into(&mut window.padding);
    let y = convolved(kx, y, w, &window, 1, filters)?;
    Ok(vec![kx.activated(y, "activation")?.into()])
}

fn transposed(kx: &mut Kx<'_, '_, '_>, n: usize) -> R<Vec<Tv>> {
    let x = kx.x()?;
    check_rank(kx, x, n)?;
    let window = Window::read(kx, n)?;
    let (inputs, filters) = (channels(kx, x, window.layout)?, kx.int_of("filters")?);
    let sizes: Vec<Option<i64>> = window.kernel.iter().copied().chain([filters, inputs]).map(Some).collect();
    let kernel = kx.shaped("kernel", &sizes)?;
    let w = turned(kx, &kernel, 1, 0)?;
    let stated = match kx.cfg("output_padding") {
        Some(_) => Some(kx.each("output_padding", n, 0)?),
        None => None,
    };
    let (mut begins, mut ends, mut extra) = (vec![], vec![], vec![]);
    for i in 0..n {
        let (reach, stride) = (window.reach(i), window.strides[i]);
        // What the result lacks of (size - 1) * stride + reach.
        let cut = match (&*window.padding, stated.as_ref().map(|s| s[i])) {
            ("same", None) => reach - stride,
            ("same", Some(more)) => reach / 2 * 2 - more,
            ("valid", None) => (reach - stride).min(0),
            ("valid", Some(more)) => -more,
            (other, _) => return Err(kx.bad(format!("padding `{other}`"))),
        };
        let cut_from = if window.padding == "same" { cut.max(0) } else { 0 };
        begins.push(cut_from / 2);
        ends.push(cut_from - cut_from / 2);
        extra.push((-cut).max(0));
    }
    let mut op = ConvTranspose {
        strides: window.strides.clone(),
        dilations: window.dilations.clone(),
        pads: [begins, ends].concat(),
        layout: window.layout,
        ..ConvTranspose::default()
    };
    // Results that end behind the last window are zero there, before the bias.
    let beyond = extra.iter().zip(&window.strides).zip(&window.dilations).any(|((e, s), d)| e >= s.max(d));
    if !beyond && extra.iter().any(|e| *e != 0) {
        op.output_padding.clone_from(&extra);
    }
    let mut bias = if kx.flag("use_bias", true)? { Some(kx.weight("bias", &[Some(filters)])?) } else { None };
    let late = if beyond { bias.take() } else { None };
    let mut y = kx.op_opt(op, &[Some(x), Some(w), bias])?;
    if beyond {
        y = padded_behind(kx, y, &extra, window.layout)?;
    }
    if let Some(bias) = late {
        y = with_bias(kx, y, bias, n, window.layout)?;
    }
    Ok(vec![kx.activated(y, "activation")?.into()])
}

fn padded_behind(kx: &mut Kx<'_, '_, '_>, y: V, extra: &[i64], layout: Layout) -> R<V> {
    let first = layout.first_spatial_axis();
    let mut pads = vec![0; 2 * (extra.len() + 2)];
    for (i, e) in extra.iter().enumerate() {
        pads[extra.len() + 2 + first + i] = *e;
    }
    let pads = kx.int_list(&pads);
    kx.op_opt(Pad::default(), &[Some(y), Some(pads), None, None])
}

fn with_bias(kx: &mut Kx<'_, '_, '_>, y: V, bias: V, n: usize, layout: Layout) -> R<V> {
    let bias = if layout == Layout::ChannelsLast {
        bias
    } else {
        let sizes: Vec<i64> = std::iter::once(-1).chain(vec![1; n]).collect();
        kx.reshape(bias, &sizes)?
    };
    kx.named("add", &[y, bias])
}
