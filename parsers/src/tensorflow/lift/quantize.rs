//! Quantization that training simulates.
use super::Row;
use super::bridge::Arg;
use super::cx::{Cx, R, V};
use super::val::Val;
use hoist_ir::dtype::DType;
use hoist_ir::ops::reduce::reductions::{ReduceMax, ReduceMin};
use hoist_ir::tensor::Tensor;

pub(super) const TABLE: &[Row] = &[
    ("FakeQuantWithMinMaxArgs", "", fake_args),
    ("FakeQuantWithMinMaxVars", "", |cx| fake_vars(cx, false)),
    ("FakeQuantWithMinMaxVarsPerChannel", "", |cx| fake_vars(cx, true)),
    ("QuantizeAndDequantize", "", |cx| there_and_back(cx, None)),
    ("QuantizeAndDequantizeV2", "", |cx| there_and_back(cx, None)),
    ("QuantizeAndDequantizeV3", "", |cx| there_and_back(cx, Some(3))),
    ("QuantizeAndDequantizeV4", "", |cx| there_and_back(cx, None)),
];

/// Steps of a grid from `min` to `max` that holds 0: its step, and the number of the step that is 0.
/// As TensorFlow moves both ends (`Nudge` in `fake_quant_ops_functor.h`).
fn nudged(min: f32, max: f32, low: f32, high: f32) -> (f32, i64) {
    let scale = (max - min) / (high - low);
    let zero = low - min / scale;
    let zero = if zero < low {
        low
    } else if zero > high {
        high
    } else {
        zero.round()
    };
    (scale, zero as i64)
}

/// The lowest and the highest step.
fn steps(cx: &Cx<'_, '_, '_>) -> R<(i64, i64)> {
    let bits = cx.attrs.int("num_bits").unwrap_or(8);
    if !(2..=16).contains(&bits) {
        return Err(cx.bad(format!("{bits} bits")));
    }
    Ok((i64::from(cx.attrs.flag("narrow_range")), (1 << bits) - 1))
}

fn fake_args(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let (min, max) = (cx.attrs.float("min").unwrap_or(-6.0), cx.attrs.float("max").unwrap_or(6.0));
    fake(cx, x, &[min], &[max], None)
}

fn fake_vars(cx: &mut Cx<'_, '_, '_>, per_channel: bool) -> R<Vec<Val>> {
    let (x, min, max) = (cx.arg(0)?, cx.arg(1)?, cx.arg(2)?);
    let floats = |v: V| cx.constant(v).and_then(|t| t.to_f64s().ok());
    let (Some(min), Some(max)) = (floats(min), floats(max)) else {
        return Err(cx.unsupported("a range that is computed"));
    };
    let narrow = |all: Vec<f64>| all.into_iter().map(|v| v as f32).collect::<Vec<f32>>();
    let axis = if per_channel { Some(cx.rank(x)? as i64 - 1) } else { None };
    fake(cx, x, &narrow(min), &narrow(max), axis)
}

fn fake(cx: &mut Cx<'_, '_, '_>, x: V, min: &[f32], max: &[f32], axis: Option<i64>) -> R<Vec<Val>> {
    let (low, high) = steps(cx)?;
    if min.len() != max.len() || min.iter().zip(max).any(|(a, b)| a > b || a.is_nan() || b.is_nan()) {
        return Err(cx.bad("a range that is none"));
    }
    if min.iter().zip(max).all(|(a, b)| *a == 0.0 && *b == 0.0) {
        let zero = cx.number(0.0, x)?;
        let shape = cx.shape_of(x)?;
        return Ok(vec![cx.expand(zero, shape)?.into()]);
    }
    let grid: Vec<(f32, i64)> =
        min.iter().zip(max).map(|(a, b)| nudged(*a, *b, low as f32, high as f32)).collect();
    let bounds = [("quant_min", Arg::I(low)), ("quant_max", Arg::I(high))];
    let [low, high] = bounds;
    let y = match axis {
        None => {
            let (scale, zero) = (Arg::F(f64::from(grid[0].0)), Arg::I(grid[0].1));
            let args = [("self", Arg::T(x)), ("scale", scale), ("zero_point", zero), low, high];
            cx.aten("fake_quantize_per_tensor_affine", &args)?
        }
        Some(axis) => {
            if grid.iter().any(|g| g.0 <= 0.0) {
                return Err(cx.unsupported("a channel whose range is empty"));
            }
            let scales = Tensor::from_vec(&[grid.len()], grid.iter().map(|g| g.0).collect::<Vec<f32>>());
            let zeros =
                Tensor::from_vec(&[grid.len()], grid.iter().map(|g| g.1 as i32).collect::<Vec<i32>>());
            let (scales, zeros) = (cx.konst(scales), cx.konst(zeros));
            let args = [
                ("self", Arg::T(x)),
                ("scale", Arg::T(scales)),
                ("zero_point", Arg::T(zeros)),
                ("axis", Arg::I(axis)),
                low,
                high,
            ];
            cx.aten("fake_quantize_per_channel_affine", &args)?
        }
    };
    Ok(vec![y.into()])
}

/// Numbers rounded to a grid that holds 0, whose ends are operands or the data's own. `bits` is the operand that holds their number.
fn there_and_back(cx: &mut Cx<'_, '_, '_>, bits: Option<usize>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let bits = match bits {
        Some(i) => cx.int(i, "a number of bits")?,
        None => cx.attrs.int("num_bits").unwrap_or(8),
    };
    if !(1..=62).contains(&bits) {
        return Err(cx.bad(format!("{bits} bits")));
    }
    let signed = cx.attrs.bool("signed_input").unwrap_or(true);
    let narrow = i64::from(cx.attrs.flag("narrow_range"));
    let (low, high) = if signed {
        (-(1i64 << (bits - 1)) + narrow, (1i64 << (bits - 1)) - 1)
    } else {
        (0, (1i64 << bits) - 1)
    };
    let axis = cx.attrs.int("axis").unwrap_or(-1);
    let (mut min, mut max) = ends(cx, x, axis)?;
    let (low, high) = (cx.number(low as f64, x)?, cx.number(high as f64, x)?);
    // Steps for each unit; an end of the other sign than its step says nothing.
    let most = cx.number(if cx.dtype(x)? == DType::F64 { f64::MAX } else { f64::from(f32::MAX) }, x)?;
    let zero = cx.number(0.0, x)?;
    let mut steps = vec![];
    for (step, end) in [(low, min), (high, max)] {
        let same = cx.named("mul", &[step, end])?;
        let says = cx.named("greater", &[same, zero])?;
        let ratio = cx.named("div", &[step, end])?;
        steps.push(cx.named("where", &[says, ratio, most])?);
    }
    let by_low = cx.named("less", &[steps[0], steps[1]])?;
    let scale = cx.named("where", &[by_low, steps[0], steps[1]])?;
    let (from_low, from_high) = (cx.named("div", &[min, low])?, cx.named("div", &[max, high])?);
    let unit = cx.named("where", &[by_low, from_low, from_high])?;
    let (other_max, other_min) = (cx.named("mul", &[high, unit])?, cx.named("mul", &[low, unit])?);
    max = cx.named("where", &[by_low, other_max, max])?;
    min = cx.named("where", &[by_low, min, other_min])?;
    let inside = cx.aten("maximum", &[("self", Arg::T(x)), ("other", Arg::T(min))])?;
    let inside = cx.aten("minimum", &[("self", Arg::T(inside)), ("other", Arg::T(max))])?;
    let scaled = cx.named("mul", &[inside, scale])?;
    let rounded = match cx.attrs.text("round_mode")? {
        "" | "HALF_TO_EVEN" => cx.named("round", &[scaled])?,
        "HALF_UP" => {
            let half = cx.number(0.5, scaled)?;
            let sum = cx.named("add", &[scaled, half])?;
            cx.named("floor", &[sum])?
        }
        other => return Err(cx.bad(format!("round_mode {other}"))),
    };
    Ok(vec![cx.named("mul", &[rounded, unit])?.into()])
}

/// The least and the largest number, along `axis` if that is one: given, or found.
fn ends(cx: &mut Cx<'_, '_, '_>, x: V, axis: i64) -> R<(V, V)> {
    let rank = cx.rank(x)?;
    let along = if axis < 0 { None } else { Some(cx.axis(x, axis)?) };
    if cx.attrs.flag("range_given")
        || (&*cx.node.op == "QuantizeAndDequantizeV3" && cx.attrs.bool("range_given") != Some(false))
    {
        let (mut min, mut max) = (cx.arg(1)?, cx.arg(2)?);
        if let Some(axis) = along {
            let behind: Vec<i64> = (1..(rank - axis) as i64).collect();
            min = cx.unsqueeze(min, &behind)?;
            max = cx.unsqueeze(max, &behind)?;
        }
        return Ok((min, max));
    }
    let axes: Vec<i64> = (0..rank).filter(|a| Some(*a) != along).map(|a| a as i64).collect();
    let axes = cx.int_list(&axes);
    let min = cx.op(ReduceMin { keepdims: true, noop_with_empty_axes: true }, &[x, axes])?;
    let max = cx.op(ReduceMax { keepdims: true, noop_with_empty_axes: true }, &[x, axes])?;
    Ok((min, max))
}
