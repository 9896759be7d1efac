//! Convolutions of a file as nodes.
use super::window::VALID;
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

fn convolved(cx: &mut Cx<'_, '_>, mut conv: Conv, perm: &[usize]) -> Lifted {
    let (x, w) = (cx.arg(0)?, cx.arg(1)?);
    let w = permuted(cx, w, perm)?;
    if conv.auto_pad == AutoPad::SameUpper
        && conv.dilations.iter().any(|d| *d > 1)
        && let Some(pads) = same_pads(cx, &conv, x, w)
    {
        // ONNX Runtime does not choose borders of dilated convolutions.
        (conv.auto_pad, conv.pads) = (AutoPad::NotSet, pads);
    }
    let bias = cx.opt(2);
    let y = cx.b.conv(conv, x, w, bias)?;
    Ok(vec![cx.activated(y)?])
}

/// The borders that SAME means, where they are known: those of steps of 1 do not depend on the size.
fn same_pads(cx: &Cx<'_, '_>, conv: &Conv, x: ValueId, w: ValueId) -> Option<Vec<i64>> {
    let size = |v: ValueId, i: usize| i64::try_from(cx.shape(v)?.get(i)?.known()?).ok();
    let (mut begins, mut ends) = (vec![], vec![]);
    for (i, (step, dilation)) in conv.strides.iter().zip(&conv.dilations).enumerate() {
        let reach = size(w, i + 2)?.checked_sub(1)?.checked_mul(*dilation)?;
        let left = if *step == 1 {
            reach
        } else {
            // The last window begins at the greatest multiple of the step within the data.
            let n = size(x, i + 1)?;
            reach - n.checked_sub(1)?.checked_rem(*step)?
        };
        let total = left.max(0);
        begins.push(total / 2);
        ends.push(total - total / 2);
    }
    Some([begins, ends].concat())
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

/// CONV_2D: weights are `[out, h, w, in / groups]`.
pub(super) fn conv(cx: &mut Cx<'_, '_>) -> Lifted {
    let (x, w) = (cx.arg(0)?, cx.arg(1)?);
    let group = groups(cx, last_size(cx, x), last_size(cx, w))?;
    let conv = Conv {
        auto_pad: auto_pad(cx),
        strides: each(cx, "stride_#", PLANE),
        dilations: each(cx, "dilation_#_factor", PLANE),
        group,
        layout: Layout::ChannelsLast,
        ..Conv::default()
    };
    convolved(cx, conv, &[0, 3, 1, 2])
}

/// DEPTHWISE_CONV_2D: weights are `[1, h, w, out]`.
pub(super) fn depthwise(cx: &mut Cx<'_, '_>) -> Lifted {
    let (x, w) = (cx.arg(0)?, cx.arg(1)?);
    let given = u64::try_from(cx.int("depth_multiplier")).ok().filter(|m| *m > 0);
    let channels =
        last_size(cx, x).or_else(|| last_size(cx, w).zip(given).and_then(|(o, m)| o.checked_div(m)));
    let group = channels.and_then(|c| i64::try_from(c).ok()).filter(|c| *c > 0);
    let group = group.ok_or_else(|| cx.unsupported("an unknown number of channels"))?;
    let conv = Conv {
        auto_pad: auto_pad(cx),
        strides: each(cx, "stride_#", PLANE),
        dilations: each(cx, "dilation_#_factor", PLANE),
        group,
        layout: Layout::ChannelsLast,
        ..Conv::default()
    };
    convolved(cx, conv, &[3, 0, 1, 2])
}

/// CONV_3D: weights are `[d, h, w, in, out]`.
pub(super) fn conv_3d(cx: &mut Cx<'_, '_>) -> Lifted {
    let conv = Conv {
        auto_pad: auto_pad(cx),
        strides: each(cx, "stride_#", SPACE),
        dilations: each(cx, "dilation_#_factor", SPACE),
        layout: Layout::ChannelsLast,
        ..Conv::default()
    };
    convolved(cx, conv, &[4, 3, 0, 1, 2])
}

/// TRANSPOSE_CONV: sizes of the result, weights `[out, h, w, in]`, data, bias.
pub(super) fn transpose_conv(cx: &mut Cx<'_, '_>) -> Lifted {
    transposed(cx, PLANE, &[3, 0, 1, 2])
}

/// CONV_3D_TRANSPOSE: sizes of the result, weights `[d, h, w, out, in]`, data, bias.
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
    let wanted: Option<Vec<i64>> =
        cx.ints(0).map(|s| s.get(1..=n).map(<[i64]>::to_vec)).unwrap_or_else(|| {
            declared?.get(1..=n)?.iter().map(|d| d.known().and_then(|d| i64::try_from(d).ok())).collect()
        });
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
