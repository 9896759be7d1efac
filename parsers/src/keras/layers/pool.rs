//! Poolings.
use super::conv::check_rank;
use super::{Row, none};
use crate::keras::kx::{Kx, Mask, Tv};
use crate::tensorflow::lift::cx::R;
use hoist_ir::ops::reduce::reductions::{ReduceMax, ReduceMean, ReduceSum};
use hoist_ir::ops::spatial::average_pool::AveragePool;
use hoist_ir::ops::spatial::max_pool::MaxPool;
use hoist_ir::ops::words::AutoPad;

pub(super) const TABLE: &[Row] = &[
    ("MaxPooling1D", none, |kx| pool(kx, 1, true)),
    ("MaxPooling2D", none, |kx| pool(kx, 2, true)),
    ("MaxPooling3D", none, |kx| pool(kx, 3, true)),
    ("AveragePooling1D", none, |kx| pool(kx, 1, false)),
    ("AveragePooling2D", none, |kx| pool(kx, 2, false)),
    ("AveragePooling3D", none, |kx| pool(kx, 3, false)),
    ("GlobalMaxPooling1D", none, |kx| global(kx, 1, true)),
    ("GlobalMaxPooling2D", none, |kx| global(kx, 2, true)),
    ("GlobalMaxPooling3D", none, |kx| global(kx, 3, true)),
    ("GlobalAveragePooling1D", none, |kx| global(kx, 1, false)),
    ("GlobalAveragePooling2D", none, |kx| global(kx, 2, false)),
    ("GlobalAveragePooling3D", none, |kx| global(kx, 3, false)),
    ("AdaptiveMaxPooling1D", none, |kx| adaptive(kx, 1, true)),
    ("AdaptiveMaxPooling2D", none, |kx| adaptive(kx, 2, true)),
    ("AdaptiveMaxPooling3D", none, |kx| adaptive(kx, 3, true)),
    ("AdaptiveAveragePooling1D", none, |kx| adaptive(kx, 1, false)),
    ("AdaptiveAveragePooling2D", none, |kx| adaptive(kx, 2, false)),
    ("AdaptiveAveragePooling3D", none, |kx| adaptive(kx, 3, false)),
];

fn pool(kx: &mut Kx<'_, '_, '_>, n: usize, max: bool) -> R<Vec<Tv>> {
    let x = kx.x()?;
    check_rank(kx, x, n)?;
    let key = if kx.cfg("pool_size").is_some() { "pool_size" } else { "pool_length" };
    let kernel = kx.each(key, n, 2)?;
    let strides = if kx.cfg("strides").is_some() { kx.each("strides", n, 1)? } else { kernel.clone() };
    let auto_pad = match &*kx.text("padding", "valid")?.to_lowercase() {
        "valid" => AutoPad::Valid,
        "same" => AutoPad::SameUpper,
        other => return Err(kx.bad(format!("padding `{other}`"))),
    };
    windows(kx, max, auto_pad, kernel, strides)
}

fn windows(
    kx: &mut Kx<'_, '_, '_>,
    max: bool,
    auto_pad: AutoPad,
    kernel_shape: Vec<i64>,
    strides: Vec<i64>,
) -> R<Vec<Tv>> {
    let (x, layout) = (kx.x()?, kx.layout()?);
    let y = if max {
        kx.op(MaxPool { auto_pad, kernel_shape, strides, layout, ..MaxPool::default() }, &[x])?
    } else {
        kx.op(AveragePool { auto_pad, kernel_shape, strides, layout, ..AveragePool::default() }, &[x])?
    };
    Ok(vec![y.into()])
}

fn global(kx: &mut Kx<'_, '_, '_>, n: usize, max: bool) -> R<Vec<Tv>> {
    let x = kx.x()?;
    check_rank(kx, x, n)?;
    let first = kx.layout()?.first_spatial_axis() as i64;
    let keepdims = kx.flag("keepdims", false)?;
    let axes: Vec<i64> = (first..first + n as i64).collect();
    let list = kx.int_list(&axes);
    if max {
        let y = kx.op(ReduceMax { keepdims, ..ReduceMax::default() }, &[x, list])?;
        return Ok(vec![y.into()]);
    }
    if n == 1 && kx.mask()? != Mask::None {
        return masked_mean(kx, first, keepdims);
    }
    let y = kx.op(ReduceMean { keepdims, ..ReduceMean::default() }, &[x, list])?;
    Ok(vec![y.into()])
}

/// The mean of the steps that count.
fn masked_mean(kx: &mut Kx<'_, '_, '_>, axis: i64, keepdims: bool) -> R<Vec<Tv>> {
    let x = kx.x()?;
    let Some(mask) = kx.mask_tensor()? else { return Err(kx.bad("no mask")) };
    let mask = kx.unsqueeze(mask, &[if axis == 1 { 2 } else { 1 }])?;
    let to = kx.dtype(x)?;
    let mask = kx.cast(mask, to)?;
    let kept = kx.named("mul", &[x, mask])?;
    let list = kx.int_list(&[axis]);
    let sum = kx.op(ReduceSum { keepdims, ..ReduceSum::default() }, &[kept, list])?;
    let count = kx.op(ReduceSum { keepdims, ..ReduceSum::default() }, &[mask, list])?;
    Ok(vec![kx.named("div", &[sum, count])?.into()])
}

/// Windows of equal sizes that cover the data; others have no operator in ONNX.
fn adaptive(kx: &mut Kx<'_, '_, '_>, n: usize, max: bool) -> R<Vec<Tv>> {
    let x = kx.x()?;
    check_rank(kx, x, n)?;
    let first = kx.layout()?.first_spatial_axis();
    let wanted = kx.each("output_size", n, 0)?;
    let mut kernel = vec![];
    for (i, out) in wanted.iter().enumerate() {
        let size = kx.size(x, first + i).and_then(|s| i64::try_from(s).ok());
        let fits = size.filter(|s| *out > 0 && s % out == 0);
        kernel.push(fits.ok_or_else(|| kx.unsupported("sizes that windows of one size do not cover"))? / out);
    }
    windows(kx, max, AutoPad::Valid, kernel.clone(), kernel)
}
