//! Transposed convolutions: `TRANSPOSE_CONV`, `CONV_3D_TRANSPOSE`.
use super::conv::{kernel_of, options};
use super::window::{SAME, VALID};
use super::{AXES, DILATION, GROUPS, PADDING, needs_f32, per_axis, permuted, spatial_sizes};
use crate::tflite::lower::{Cx, R};
use crate::tflite::program::T;
use crate::tflite::schema::Builtin;
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::ops::Op;
use hoist_ir::ops::spatial::conv_transpose::ConvTranspose;
use hoist_ir::ops::words::AutoPad;
use hoist_ir::types::TensorType;

pub(super) fn conv_transpose(cx: &mut Cx<'_>) -> R<()> {
    let Op::ConvTranspose(op) = cx.op() else { return Err("no convolution".to_owned()) };
    needs_f32(cx)?;
    let n = match cx.rank(0)? {
        4 => 2,
        5 => 3,
        _ => return Err(AXES.to_owned()),
    };
    if op.group != 1 {
        return Err(GROUPS.to_owned());
    }
    if op.dilations.iter().any(|d| *d != 1) {
        return Err(DILATION.to_owned());
    }
    let weights = cx.shape(1).ok_or("weights of unknown rank")?.clone();
    let kernel = kernel_of(&weights)?;
    let out = weights[1].known().ok_or("an unknown number of output channels")?;
    let strides = per_axis(&op.strides, n, 1);
    let spatial = spatial_sizes(cx, op.layout.first_spatial_axis(), n)?;
    let padding = padding(op, &kernel, &strides, &spatial)?;
    cx.channels_last(op.layout)?;
    let growth: Vec<i64> =
        if padding == VALID { kernel.iter().zip(&strides).map(|(k, s)| k - s).collect() } else { vec![0; n] };
    let shape = result_shape(cx, &strides, &growth, out)?;
    let builtin = if n == 2 { Builtin::TransposeConv } else { Builtin::Conv3dTranspose };
    let perm: &[usize] = if n == 2 { &[1, 2, 3, 0] } else { &[2, 3, 4, 1, 0] };
    let (x, w) = (cx.arg(0)?, permuted(cx, 1, perm)?);
    let mut operands = vec![shape, w, x];
    if let Some(b) = cx.opt(2)? {
        operands.push(b);
    }
    let options = options(builtin, padding, &strides, &vec![1; n])?;
    cx.emit(builtin, Some(options), &operands)
}

/// `VALID` for the full result, `SAME` for the size of the data times the stride.
fn padding(op: &ConvTranspose, kernel: &[i64], strides: &[i64], spatial: &[Option<i64>]) -> R<i64> {
    let lacking = || PADDING.to_owned();
    let n = kernel.len();
    if strides.iter().zip(kernel).any(|(s, k)| s > k) && op.auto_pad != AutoPad::Valid && !is_full(op) {
        return Err(lacking());
    }
    if is_full(op) {
        return Ok(VALID);
    }
    if !op.output_shape.is_empty() || op.output_padding.iter().any(|p| *p != 0) {
        let sizes: Option<Vec<i64>> = spatial.iter().copied().collect();
        let full = |i: usize, size: i64| (size - 1) * strides[i] + kernel[i];
        let whole = sizes.is_some_and(|s| {
            op.output_padding.iter().all(|p| *p == 0)
                && (0..n).all(|i| op.output_shape.get(i).is_some_and(|o| *o == full(i, s[i])))
        });
        return if whole { Ok(VALID) } else { Err(lacking()) };
    }
    let same = |i: usize| {
        let total = kernel[i] - strides[i];
        let (small, large) = (total / 2, total - total / 2);
        match op.auto_pad {
            AutoPad::SameUpper => true,
            AutoPad::SameLower => small == large,
            AutoPad::NotSet => op.pads.get(i) == Some(&small) && op.pads.get(i + n) == Some(&large),
            AutoPad::Valid => false,
        }
    };
    if (0..n).all(same) { Ok(SAME) } else { Err(lacking()) }
}

/// Whether nothing is cut off the result and nothing appended to it.
fn is_full(op: &ConvTranspose) -> bool {
    let none = |list: &[i64]| list.iter().all(|v| *v == 0);
    let given = op.auto_pad == AutoPad::NotSet && none(&op.pads) || op.auto_pad == AutoPad::Valid;
    given && none(&op.output_padding) && op.output_shape.is_empty()
}

/// Sizes of the result: known ones, else `size * stride + growth` of the data when the model runs.
fn result_shape(cx: &mut Cx<'_>, strides: &[i64], growth: &[i64], channels: u64) -> R<T> {
    let known: Option<Vec<i64>> =
        cx.out_ty(0)?.shape.iter().flatten().map(|d| d.known().and_then(|n| i64::try_from(n).ok())).collect();
    if let Some(known) = known.filter(|k| k.len() == strides.len() + 2) {
        return cx.ints32(&known);
    }
    let ty = TensorType::new(DType::I32, vec![Dim::from(strides.len() + 2)]);
    let x = cx.arg(0)?;
    let out_type = crate::tflite::dtype::to_code(DType::I32).ok_or("no element type")?;
    let options = Builtin::Shape.options().map(|o| o.with("out_type", out_type));
    let shape = cx.temp(Builtin::Shape, options, &[Some(x)], ty.clone())?;
    let factors = cx.ints32(&[&[1], strides, &[0]].concat())?;
    let channels = i64::try_from(channels).map_err(|e| e.to_string())?;
    let addends = cx.ints32(&[&[0], growth, &[channels]].concat())?;
    let scaled = cx.temp(Builtin::Mul, None, &[Some(shape), Some(factors)], ty.clone())?;
    cx.temp(Builtin::Add, None, &[Some(scaled), Some(addends)], ty)
}
