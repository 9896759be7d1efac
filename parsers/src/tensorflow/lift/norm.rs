//! Normalizations, biases and softmax.
use super::Row;
use super::cx::{Cx, R, V};
use super::val::Val;
use super::window::layout;
use hoist_ir::dtype::DType;
use hoist_ir::ops::norm::batch_normalization::BatchNormalization;
use hoist_ir::ops::norm::lrn::Lrn;
use hoist_ir::ops::reduce::reductions::ReduceMean;
use hoist_ir::ops::reduce::softmax::{LogSoftmax, Softmax};
use hoist_ir::ops::shape::size::Size;
use hoist_ir::ops::words::Layout;

/// Results of a batch normalization.
const OUTPUTS: &str = "y batch_mean batch_variance reserve_space_1 reserve_space_2 reserve_space_3";

pub(super) const TABLE: &[Row] = &[
    ("FusedBatchNorm", OUTPUTS, batch_norm),
    ("FusedBatchNormV2", OUTPUTS, batch_norm),
    ("FusedBatchNormV3", OUTPUTS, batch_norm),
    ("BatchNormWithGlobalNormalization", "", global_batch_norm),
    ("BiasAdd", "", bias_add),
    ("BiasAddV1", "", bias_add),
    ("LRN", "", lrn),
    ("Softmax", "", softmax),
    ("LogSoftmax", "", |cx| {
        let x = cx.arg(0)?;
        Ok(vec![cx.op(LogSoftmax { axis: -1 }, &[x])?.into()])
    }),
];

fn epsilon(cx: &Cx<'_, '_, '_>) -> f32 {
    cx.attrs.float("epsilon").unwrap_or(1e-4)
}

/// `x` normalized by constants of its channels, or by what it holds itself (`is_training`).
pub(super) fn batch_norm(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let (scale, offset, mean, variance) = (cx.arg(1)?, cx.arg(2)?, cx.arg(3)?, cx.arg(4)?);
    let layout = layout(cx)?;
    let operands = [x, scale, offset, mean, variance];
    if cx.attrs.bool("is_training") == Some(false) {
        let op = BatchNormalization { epsilon: epsilon(cx), layout, ..BatchNormalization::default() };
        let y = cx.op(op, &operands)?;
        return Ok([y, mean, variance, mean, variance, mean].map(Val::Tensor).to_vec());
    }
    trained(cx, operands, layout)
}

/// Mean and variance are those of the batch; the variance that is given out is that of the distribution it is drawn of.
fn trained(
    cx: &mut Cx<'_, '_, '_>,
    [x, scale, offset, old_mean, old_variance]: [V; 5],
    layout: Layout,
) -> R<Vec<Val>> {
    let rank = cx.rank(x)?;
    let channel = layout.channel_axis(rank);
    let axes: Vec<i64> = (0..rank).filter(|a| *a != channel).map(|a| a as i64).collect();
    let wide = cx.dtype(scale)?;
    let data = cx.cast(x, wide)?;
    let list = cx.int_list(&axes);
    let average = ReduceMean { keepdims: true, noop_with_empty_axes: false };
    let mean = cx.op(average.clone(), &[data, list])?;
    let off = cx.named("sub", &[data, mean])?;
    let square = cx.named("mul", &[off, off])?;
    let variance = cx.op(average, &[square, list])?;
    let least = cx.number(f64::from(epsilon(cx)), variance)?;
    let sum = cx.named("add", &[variance, least])?;
    let root = cx.named("sqrt", &[sum])?;
    let y = cx.named("div", &[off, root])?;
    let (scale, offset) = (by_channel(cx, scale, rank, channel)?, by_channel(cx, offset, rank, channel)?);
    let y = cx.named("mul", &[y, scale])?;
    let y = cx.named("add", &[y, offset])?;
    let y = cx.cast(y, cx.dtype(x)?)?;
    let (mean, variance) = (cx.squeeze(mean, &axes)?, cx.squeeze(variance, &axes)?);
    // n / (n - 1), for n elements of each channel; 1 for one of them.
    let (all, channels) = (cx.op(Size {}, &[x])?, cx.size_of(x, channel)?);
    let count = cx.named("div", &[all, channels])?;
    let (one, two) = (cx.int_list(&[1]), cx.int_list(&[2]));
    let fewer = cx.named("max", &[count, two])?;
    let fewer = cx.named("sub", &[fewer, one])?;
    let (count, fewer) = (cx.cast(count, wide)?, cx.cast(fewer, wide)?);
    let wider = cx.named("mul", &[variance, count])?;
    let drawn = cx.named("div", &[wider, fewer])?;
    let factor = cx.attrs.float("exponential_avg_factor").unwrap_or(1.0);
    let blended = |cx: &mut Cx<'_, '_, '_>, new: V, old: V| -> R<V> {
        if factor.to_bits() == 1.0f32.to_bits() {
            return Ok(new);
        }
        let (part, rest) = (cx.number(f64::from(factor), new)?, cx.number(f64::from(1.0 - factor), new)?);
        let (new, old) = (cx.named("mul", &[new, part])?, cx.named("mul", &[old, rest])?);
        cx.named("add", &[new, old])
    };
    let (m, v) = (blended(cx, mean, old_mean)?, blended(cx, drawn, old_variance)?);
    Ok([y, m, v, mean, variance, mean].map(Val::Tensor).to_vec())
}

/// A list of one element for each channel in a shape that broadcasts over data of `rank` axes.
pub(super) fn by_channel(cx: &mut Cx<'_, '_, '_>, v: V, rank: usize, channel: usize) -> R<V> {
    let behind: Vec<i64> = (1..(rank - channel) as i64).collect();
    cx.unsqueeze(v, &behind)
}

/// The operator of the first versions: data, mean, variance, offset, scale.
fn global_batch_norm(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, mean, variance) = (cx.arg(0)?, cx.arg(1)?, cx.arg(2)?);
    let (offset, scale) = (cx.arg(3)?, cx.arg(4)?);
    let scale = if cx.attrs.flag("scale_after_normalization") {
        scale
    } else {
        let one = cx.number(1.0, scale)?;
        let shape = cx.shape_of(scale)?;
        cx.expand(one, shape)?
    };
    let epsilon = cx.attrs.float("variance_epsilon").unwrap_or(0.0);
    let op = BatchNormalization { epsilon, layout: Layout::ChannelsLast, ..BatchNormalization::default() };
    Ok(vec![cx.op(op, &[x, scale, offset, mean, variance])?.into()])
}

/// `x` plus a bias for each channel.
pub(super) fn biased(cx: &mut Cx<'_, '_, '_>, x: V, bias: V) -> R<V> {
    if layout(cx)? == Layout::ChannelsLast {
        return cx.named("add", &[x, bias]);
    }
    let rank = cx.rank(x)?;
    if rank < 2 {
        return Err(cx.bad("a bias for channels that are not there"));
    }
    let bias = by_channel(cx, bias, rank, 1)?;
    cx.named("add", &[x, bias])
}

fn bias_add(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, bias) = (cx.arg(0)?, cx.arg(1)?);
    Ok(vec![biased(cx, x, bias)?.into()])
}

/// Sums of squares of `2 * depth_radius + 1` neighbours; the IR divides its `alpha` by their number.
fn lrn(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let radius = cx.attrs.int("depth_radius").unwrap_or(5);
    let size = radius.checked_mul(2).and_then(|r| r.checked_add(1)).filter(|s| *s > 0);
    let size = size.ok_or_else(|| cx.bad("depth_radius is out of range"))?;
    let op = Lrn {
        alpha: (f64::from(cx.attrs.float("alpha").unwrap_or(1.0)) * size as f64) as f32,
        beta: cx.attrs.float("beta").unwrap_or(0.5),
        bias: cx.attrs.float("bias").unwrap_or(1.0),
        size,
        layout: Layout::ChannelsLast,
    };
    Ok(vec![cx.op(op, &[x])?.into()])
}

fn softmax(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    if !matches!(cx.dtype(x)?, DType::F16 | DType::BF16 | DType::F32 | DType::F64) {
        return Err(cx.bad("data that are no floats"));
    }
    Ok(vec![cx.op(Softmax { axis: -1 }, &[x])?.into()])
}
