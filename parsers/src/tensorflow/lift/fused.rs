//! Operators that TensorFlow's own optimizer makes of several.
use super::Row;
use super::bridge::Arg;
use super::conv::{convolved, depthwise_convolved};
use super::cx::{Cx, R, V};
use super::norm::{batch_norm, biased};
use super::product::product;
use super::val::Val;
use super::window::layout;
use hoist_ir::ops::elementwise::activation::{Elu, LeakyRelu};
use hoist_ir::ops::elementwise::clip::Clip;
use hoist_ir::ops::movement::pad::{Pad, PadMode};
use hoist_ir::ops::norm::batch_normalization::BatchNormalization;

pub(super) const TABLE: &[Row] = &[
    ("_FusedConv2D", "", |cx| {
        let y = convolved(cx, 2)?;
        finished(cx, y, 2)
    }),
    ("_FusedConv3D", "", |cx| {
        let y = convolved(cx, 3)?;
        finished(cx, y, 2)
    }),
    ("_FusedDepthwiseConv2dNative", "", depthwise),
    // Those that TensorFlow.js's converter makes.
    ("FusedDepthwiseConv2dNative", "", depthwise),
    ("Prelu", "", |cx| Ok(vec![cx.named("p_relu", &[cx.arg(0)?, cx.arg(1)?])?.into()])),
    ("_FusedMatMul", "", |cx| {
        let y = product(cx)?;
        finished(cx, y, 2)
    }),
    (
        "_FusedBatchNormEx",
        "y batch_mean batch_variance reserve_space_1 reserve_space_2 reserve_space_3",
        batch_norm_with_sum,
    ),
    ("FusedPadConv2D", "", padded_conv),
];

fn depthwise(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let y = depthwise_convolved(cx)?;
    finished(cx, y, 2)
}

/// `y` after the operators that `fused_ops` lists, whose operands begin at `next`.
fn finished(cx: &mut Cx<'_, '_, '_>, mut y: V, mut next: usize) -> R<Vec<Val>> {
    let names: Vec<String> = cx.attrs.texts("fused_ops")?.into_iter().map(str::to_owned).collect();
    for name in names {
        match name.as_str() {
            "BiasAdd" => {
                y = biased(cx, y, cx.arg(next)?)?;
                next += 1;
            }
            "Add" => {
                y = cx.named("add", &[y, cx.arg(next)?])?;
                next += 1;
            }
            "Prelu" => {
                y = cx.named("p_relu", &[y, cx.arg(next)?])?;
                next += 1;
            }
            "FusedBatchNorm" => {
                let operands = [y, cx.arg(next)?, cx.arg(next + 1)?, cx.arg(next + 2)?, cx.arg(next + 3)?];
                let epsilon = cx.attrs.float("epsilon").unwrap_or(1e-4);
                let op = BatchNormalization { epsilon, layout: layout(cx)?, ..BatchNormalization::default() };
                y = cx.op(op, &operands)?;
                next += 4;
            }
            other => y = activated(cx, y, other)?,
        }
    }
    Ok(vec![y.into()])
}

/// `y` behind the activation `name`.
fn activated(cx: &mut Cx<'_, '_, '_>, y: V, name: &str) -> R<V> {
    let gelu =
        |cx: &mut Cx<'_, '_, '_>, how| cx.aten("gelu", &[("self", Arg::T(y)), ("approximate", Arg::S(how))]);
    match name {
        "" | "Identity" => Ok(y),
        "Relu" => cx.named("relu", &[y]),
        "Relu6" => {
            let (low, high) = (cx.number(0.0, y)?, cx.number(6.0, y)?);
            cx.op(Clip::default(), &[y, low, high])
        }
        "Elu" => cx.op(Elu { alpha: 1.0 }, &[y]),
        "LeakyRelu" => {
            let alpha = cx.attrs.float("leakyrelu_alpha").unwrap_or(0.2);
            cx.op(LeakyRelu { alpha }, &[y])
        }
        "Tanh" => cx.named("tanh", &[y]),
        "Sigmoid" => cx.named("sigmoid", &[y]),
        "_FusedHardSwish" => cx.named("hard_swish", &[y]),
        "_MklSwish" | "_FusedSwish" => {
            let gate = cx.named("sigmoid", &[y])?;
            cx.named("mul", &[y, gate])
        }
        "GeluExact" => gelu(cx, "none"),
        "GeluApproximate" => gelu(cx, "tanh"),
        other => Err(cx.unsupported(format!("the fused operator {other}"))),
    }
}

/// A batch normalization, to which a value may be added, and an activation.
fn batch_norm_with_sum(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let mut out = batch_norm(cx)?;
    let Some(Val::Tensor(y)) = out.first().cloned() else { return Err(cx.bad("no result")) };
    let y =
        if cx.attrs.int("num_side_inputs").unwrap_or(0) > 0 { cx.named("add", &[y, cx.arg(5)?])? } else { y };
    let mode = cx.attrs.text("activation_mode")?.to_owned();
    out[0] = activated(cx, y, &mode)?.into();
    Ok(out)
}

/// A convolution of what is surrounded by its mirror image first.
fn padded_conv(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, pads) = (cx.arg(0)?, cx.wide(1)?);
    if cx.attrs.text("mode")? != "REFLECT" {
        return Err(cx.unsupported("mode SYMMETRIC"));
    }
    let pads = cx.transpose(pads, &[1, 0])?;
    let pads = cx.reshape(pads, &[-1])?;
    let x = cx.op_opt(Pad { mode: PadMode::Reflect }, &[Some(x), Some(pads), None, None])?;
    cx.inputs = vec![x.into(), cx.val(2)?.clone()];
    Ok(vec![convolved(cx, 2)?.into()])
}
