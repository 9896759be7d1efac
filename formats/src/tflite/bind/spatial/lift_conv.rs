//! Convolutions of a file as nodes.
use super::window::{Axis, VALID};
use crate::tflite::lift::{Cx, Lifted};
use hoist_ir::diag::Diag;
use hoist_ir::graph::ValueId;
use hoist_ir::ops::Op;
use hoist_ir::ops::movement::transpose::Transpose;
use hoist_ir::ops::quant::dequantize_linear::DequantizeLinear;
use hoist_ir::ops::spatial::conv::Conv;
use hoist_ir::ops::spatial::conv_transpose::ConvTranspose;
use hoist_ir::ops::words::{AutoPad, Layout};

/// The padding of the options.
pub(super) fn auto_pad(cx: &Cx<'_, '_>) -> AutoPad {
    if cx.int("padding") == VALID { AutoPad::Valid } else { AutoPad::SameUpper }
}

/// One option for each axis; `names` are the axes' letters, `#` stands for them.
pub(super) fn each(cx: &Cx<'_, '_>, pattern: &str, names: &[&str]) -> Vec<i64> {
    names.iter().map(|n| cx.int(&pattern.replace('#', n))).collect()
}

const PLANE: &[&str] = &["h", "w"];
const SPACE: &[&str] = &["d", "h", "w"];

/// A convolution in one group with the options' borders, steps and dilations.
fn windowed(cx: &Cx<'_, '_>, axes: &[&str]) -> Conv {
    Conv {
        auto_pad: auto_pad(cx),
        strides: each(cx, "stride_#", axes),
        dilations: each(cx, "dilation_#_factor", axes),
        layout: Layout::ChannelsLast,
        ..Conv::default()
    }
}

/// `v` with its axes in another order: at once for constants, and in front of a conversion from stored numbers.
pub(super) fn permuted(cx: &mut Cx<'_, '_>, v: ValueId, perm: &[usize]) -> Result<ValueId, Diag> {
    if cx.rank(v)? != perm.len() {
        return Err(cx.bad(format!("weights have {} axes", cx.rank(v)?)));
    }
    if let Some(t) = cx.b.graph().constant(v) {
        let t = t.permute(perm).map_err(|e| cx.bad(e))?;
        return Ok(cx.b.constant(t));
    }
    if let Some(real) = dequantized(cx, v, perm)? {
        return Ok(real);
    }
    cx.op(Transpose { perm: perm.iter().map(|p| *p as i64).collect() }, &[v])
}

/// `v`, when it is a constant of stored numbers as real ones, from the constant with its axes in another order.
fn dequantized(cx: &mut Cx<'_, '_>, v: ValueId, perm: &[usize]) -> Result<Option<ValueId>, Diag> {
    let g = cx.b.graph();
    let Some(node) = g.producer(v).map(|n| g.node(n)) else { return Ok(None) };
    let (Op::DequantizeLinear(op), Some(stored)) = (node.op(), node.input(0)) else { return Ok(None) };
    let Some(t) = g.constant(stored) else { return Ok(None) };
    let axis = perm.iter().position(|p| *p as i64 == op.axis);
    let op = DequantizeLinear { axis: axis.map_or(op.axis, |a| a as i64), ..op.clone() };
    let (t, rest) = (t.permute(perm), node.inputs()[1..].to_vec());
    let t = t.map_err(|e| cx.bad(e))?;
    let operands: Vec<_> = std::iter::once(Some(cx.b.constant(t))).chain(rest).collect();
    Ok(cx.b.add(op, &operands)?.first().copied())
}

/// `conv` with borders in numbers, where its windows are dilated and the borders do not depend on an unknown size: ONNX's kernels
/// take `SAME_UPPER` for dense windows only.
fn with_borders(cx: &Cx<'_, '_>, conv: Conv, x: ValueId, w: ValueId) -> Conv {
    if conv.auto_pad != AutoPad::SameUpper || conv.dilations.iter().all(|d| *d == 1) {
        return conv;
    }
    let size = |v: ValueId, i: usize| cx.shape(v)?.get(i)?.known().and_then(|n| i64::try_from(n).ok());
    let border = |i: usize| -> Option<(i64, i64)> {
        let (stride, dilation) = (*conv.strides.get(i)?, *conv.dilations.get(i)?);
        if stride < 1 || dilation < 1 {
            return None;
        }
        Axis { size: size(x, i + 1), kernel: size(w, i + 2)?, stride, dilation, pads: (0, 0) }.same()
    };
    let Some(borders) = (0..conv.strides.len()).map(border).collect::<Option<Vec<_>>>() else { return conv };
    let pads = borders.iter().map(|b| b.0).chain(borders.iter().map(|b| b.1)).collect();
    Conv { auto_pad: AutoPad::NotSet, pads, ..conv }
}

fn convolved(cx: &mut Cx<'_, '_>, conv: Conv, perm: &[usize]) -> Lifted {
    let (x, w) = (cx.arg(0)?, cx.arg(1)?);
    let w = permuted(cx, w, perm)?;
    let conv = with_borders(cx, conv, x, w);
    let bias = cx.opt(2);
    let y = cx.b.conv(conv, x, w, bias)?;
    Ok(vec![cx.activated(y)?])
}

/// Groups of a convolution of data with `of` channels and weights for `per` of them.
fn groups(cx: &Cx<'_, '_>, of: Option<u64>, per: Option<u64>) -> Result<i64, Diag> {
    let (Some(of), Some(per)) = (of, per) else { return Ok(1) };
    let n = of.checked_div(per).filter(|n| n.checked_mul(per) == Some(of) && *n > 0);
    n.and_then(|n| i64::try_from(n).ok())
        .ok_or_else(|| cx.bad(format!("weights for {per} channels, the data has {of}")))
}

fn last_size(cx: &Cx<'_, '_>, v: ValueId) -> Option<u64> {
    cx.shape(v)?.last()?.known()
}

/// `CONV_2D`: weights are `[out, h, w, in / groups]`.
pub(super) fn conv(cx: &mut Cx<'_, '_>) -> Lifted {
    let (x, w) = (cx.arg(0)?, cx.arg(1)?);
    let group = groups(cx, last_size(cx, x), last_size(cx, w))?;
    let conv = Conv { group, ..windowed(cx, PLANE) };
    convolved(cx, conv, &[0, 3, 1, 2])
}

/// `DEPTHWISE_CONV_2D`: weights are `[1, h, w, out]`.
pub(super) fn depthwise(cx: &mut Cx<'_, '_>) -> Lifted {
    let (x, w) = (cx.arg(0)?, cx.arg(1)?);
    let given = u64::try_from(cx.int("depth_multiplier")).ok().filter(|m| *m > 0);
    let channels =
        last_size(cx, x).or_else(|| last_size(cx, w).zip(given).and_then(|(o, m)| o.checked_div(m)));
    let group = channels.and_then(|c| i64::try_from(c).ok()).filter(|c| *c > 0);
    let group = group.ok_or_else(|| cx.unsupported("an unknown number of channels"))?;
    let conv = Conv { group, ..windowed(cx, PLANE) };
    convolved(cx, conv, &[3, 0, 1, 2])
}

/// `CONV_3D`: weights are `[d, h, w, in, out]`.
pub(super) fn conv_3d(cx: &mut Cx<'_, '_>) -> Lifted {
    let conv = windowed(cx, SPACE);
    convolved(cx, conv, &[4, 3, 0, 1, 2])
}

/// `TRANSPOSE_CONV`: sizes of the result, weights `[out, h, w, in]`, data, bias.
pub(super) fn transpose_conv(cx: &mut Cx<'_, '_>) -> Lifted {
    transposed(cx, PLANE, &[3, 0, 1, 2])
}

/// `CONV_3D_TRANSPOSE`: sizes of the result, weights `[d, h, w, out, in]`, data, bias.
pub(super) fn conv_3d_transpose(cx: &mut Cx<'_, '_>) -> Lifted {
    transposed(cx, SPACE, &[4, 3, 0, 1, 2])
}

fn transposed(cx: &mut Cx<'_, '_>, names: &[&str], perm: &[usize]) -> Lifted {
    let (w, x, bias) = (cx.arg(1)?, cx.arg(2)?, cx.opt(3));
    let w = permuted(cx, w, perm)?;
    let n = names.len();
    let size = |v: ValueId, i: usize| {
        let d = cx.shape(v)?.get(i)?.known()?;
        i64::try_from(d).ok()
    };
    let strides = each(cx, "stride_#", names);
    let declared = cx.results.first().and_then(|r| r.ty.shape.clone());
    let known = |d: &hoist_ir::dim::Dim| d.known().and_then(|d| i64::try_from(d).ok());
    let wanted: Option<Vec<i64>> = match cx.ints(0) {
        Some(list) => list.get(1..=n).map(<[i64]>::to_vec),
        None => declared.and_then(|d| d.get(1..=n)?.iter().map(known).collect()),
    };
    let same = auto_pad(cx) == AutoPad::SameUpper;
    let mut op =
        ConvTranspose { strides: strides.clone(), layout: Layout::ChannelsLast, ..Default::default() };
    let (mut begins, mut ends, mut extra) = (vec![], vec![], vec![]);
    for i in 0..n {
        let (Some(k), Some(s)) = (size(w, i + 2), strides.get(i).copied().filter(|s| *s > 0)) else {
            return Err(cx.unsupported("weights of unknown sizes"));
        };
        // The border that a convolution of the result would have.
        let out = wanted.as_ref().and_then(|w| w.get(i)).copied();
        let total = match out {
            Some(out) => ((out + s - 1) / s - 1) * s + k - out,
            None => k - s,
        };
        let begin = if same { total.max(0) / 2 } else { 0 };
        let end = match (out, size(x, i + 1)) {
            (Some(out), Some(input)) => (input - 1) * s + k - begin - out,
            // The size follows that of the data.
            _ if same => k - s - begin,
            _ => 0,
        };
        begins.push(begin);
        ends.push(end.max(0));
        extra.push((-end).max(0));
    }
    op.pads = [begins, ends].concat();
    if extra.iter().any(|e| *e != 0) {
        op.output_padding = extra;
    }
    let y = cx.b.conv_transpose(op, x, w, bias)?;
    Ok(vec![cx.activated(y)?])
}
