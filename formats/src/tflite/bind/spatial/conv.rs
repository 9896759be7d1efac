//! Convolutions: `CONV_2D`, `DEPTHWISE_CONV_2D`, `CONV_3D`.
use super::window::{Given, Windows};
use super::{AXES, GROUPS, bias, needs_f32, per_axis, permuted, spatial_sizes};
use crate::tflite::lower::{Cx, R};
use crate::tflite::schema::Builtin;
use crate::tflite::table::Record;
use hoist_ir::dim::Dim;
use hoist_ir::ops::Op;

pub(super) fn conv(cx: &mut Cx<'_>) -> R<()> {
    let Op::Conv(op) = cx.op() else { return Err("no convolution".to_owned()) };
    needs_f32(cx)?;
    let n = match cx.rank(0)? {
        4 => 2,
        5 => 3,
        _ => return Err(AXES.to_owned()),
    };
    let weights = cx.shape(1).ok_or("weights of unknown rank")?.clone();
    let kernel = kernel_of(&weights)?;
    let given = Given {
        strides: &op.strides,
        dilations: &op.dilations,
        pads: &op.pads,
        auto_pad: op.auto_pad,
        ceil_mode: false,
    };
    if n == 3 && op.group != 1 {
        return Err(GROUPS.to_owned());
    }
    let windows = Windows::new(given, &kernel, &spatial_sizes(cx, op.layout.first_spatial_axis(), n)?);
    let padding = windows.padding()?;
    let (strides, dilations) = (per_axis(&op.strides, n, 1), per_axis(&op.dilations, n, 1));
    let depthwise = n == 2 && op.group > 1 && weights[1].known() == Some(1);
    let out = weights[0].known();
    if depthwise && out.is_none() {
        return Err("an unknown number of output channels".to_owned());
    }
    cx.channels_last(op.layout)?;
    let (builtin, perm): (Builtin, &[usize]) = match (n, depthwise) {
        (3, _) => (Builtin::Conv3d, &[2, 3, 4, 1, 0]),
        (_, true) => (Builtin::DepthwiseConv2d, &[1, 2, 3, 0]),
        (_, false) => (Builtin::Conv2d, &[0, 2, 3, 1]),
    };
    let (x, w, b) = (cx.arg(0)?, permuted(cx, 1, perm)?, bias(cx, 2, out)?);
    let mut options = options(builtin, padding, &strides, &dilations)?;
    if depthwise {
        options.set("depth_multiplier", out.unwrap_or(0) as i64 / op.group);
    }
    cx.emit(builtin, Some(options), &[x, w, b])
}

/// Sizes of the window of weights.
pub(super) fn kernel_of(weights: &[Dim]) -> R<Vec<i64>> {
    let known = weights.iter().skip(2).map(|d| d.known().and_then(|n| i64::try_from(n).ok()));
    known.collect::<Option<_>>().ok_or_else(|| "weights of unknown sizes".to_owned())
}

/// Options of a convolution over two or three axes.
pub(super) fn options(builtin: Builtin, padding: i64, strides: &[i64], dilations: &[i64]) -> R<Record> {
    let mut o = builtin.options().ok_or("no options")?.with("padding", padding);
    let names: &[&str] = if strides.len() == 3 { &["d", "h", "w"] } else { &["h", "w"] };
    for ((name, stride), dilation) in names.iter().zip(strides).zip(dilations) {
        o.set(&format!("stride_{name}"), *stride);
        if o.table.slot(&format!("dilation_{name}_factor")).is_some() {
            o.set(&format!("dilation_{name}_factor"), *dilation);
        }
    }
    Ok(o)
}
