//! Images, and numbers as categories.
use super::norm::floating;
use super::{Row, none};
use crate::keras::kx::{Kx, Tv, number};
use crate::tensorflow::lift::cx::{R, V};
use hoist_ir::dtype::DType;
use hoist_ir::ops::movement::slice::Slice;
use hoist_ir::ops::reduce::reductions::{ReduceMax, ReduceSum};
use hoist_ir::ops::shape::one_hot::OneHot;
use hoist_ir::ops::spatial::resize::{Coordinates, NearestMode, Resize, ResizeMode};
use hoist_ir::tensor::Tensor;
use serde_json::Value as Json;

pub(super) const TABLE: &[Row] = &[
    ("UpSampling1D", none, |kx| up_sampled(kx, 1)),
    ("UpSampling2D", none, |kx| up_sampled(kx, 2)),
    ("UpSampling3D", none, |kx| up_sampled(kx, 3)),
    ("Resizing", none, resizing),
    ("CenterCrop", none, center_crop),
    ("CategoryEncoding", none, category),
    ("Discretization", none, discretization),
];

/// How a resize computes its elements, as TensorFlow's with half-pixel centers.
fn resize(kx: &Kx<'_, '_, '_>, how: &str, axes: Vec<i64>) -> R<Resize> {
    let op = Resize {
        axes,
        coordinate_transformation_mode: Coordinates::HalfPixel,
        nearest_mode: NearestMode::RoundPreferCeil,
        ..Resize::default()
    };
    Ok(match how {
        "nearest" => op,
        "bilinear" => Resize { mode: ResizeMode::Linear, ..op },
        "bicubic" => Resize { mode: ResizeMode::Cubic, cubic_coeff_a: -0.5, exclude_outside: true, ..op },
        other => return Err(kx.unsupported(format!("interpolation `{other}`"))),
    })
}

fn up_sampled(kx: &mut Kx<'_, '_, '_>, n: usize) -> R<Vec<Tv>> {
    let x = kx.x()?;
    super::conv::check_rank(kx, x, n)?;
    let first = kx.layout()?.first_spatial_axis() as i64;
    let factors = kx.each("size", n, 2)?;
    if factors.iter().any(|f| !(1..1 << 20).contains(f)) {
        return Err(kx.bad(format!("factors {factors:?}")));
    }
    let axes: Vec<i64> = (first..first + n as i64).collect();
    let how = kx.text("interpolation", "nearest")?.to_lowercase();
    let mut op = resize(kx, &how, axes.clone())?;
    if how == "nearest" {
        op.coordinate_transformation_mode = Coordinates::Asymmetric;
        op.nearest_mode = NearestMode::Floor;
    }
    let sizes: Option<Vec<i64>> = axes
        .iter()
        .zip(&factors)
        .map(|(a, f)| i64::try_from(kx.size(x, *a as usize)?).ok()?.checked_mul(*f))
        .collect();
    let y = if let Some(sizes) = sizes {
        let sizes = kx.int_list(&sizes);
        kx.op_opt(op, &[Some(x), None, None, Some(sizes)])?
    } else {
        let scales = Tensor::from_vec(&[n], factors.iter().map(|f| *f as f32).collect());
        let scales = kx.konst(scales);
        kx.op_opt(op, &[Some(x), None, Some(scales), None])?
    };
    Ok(vec![y.into()])
}

fn resized(kx: &mut Kx<'_, '_, '_>, x: V, how: &str, sizes: &[i64]) -> R<V> {
    let first = kx.layout()?.first_spatial_axis() as i64 - i64::from(kx.rank(x)? == 3);
    if sizes.iter().any(|s| !(1..1 << 24).contains(s)) {
        return Err(kx.bad(format!("sizes {sizes:?}")));
    }
    let mut op = resize(kx, how, vec![first, first + 1])?;
    let sizes = kx.int_list(sizes);
    let rank = kx.rank(x)? as i64;
    if how != "bicubic" || first + 2 == rank {
        return kx.op_opt(op, &[Some(x), None, None, Some(sizes)]);
    }
    // Engines shrink by cubic curves along the last axes only.
    let front: Vec<i64> = (0..first).chain([rank - 1]).chain(first..rank - 1).collect();
    let back: Vec<i64> = (0..first).chain(first + 1..rank).chain([first]).collect();
    let turned = kx.transpose(x, &front)?;
    op.axes = vec![rank - 2, rank - 1];
    let y = kx.op_opt(op, &[Some(turned), None, None, Some(sizes)])?;
    kx.transpose(y, &back)
}

fn resizing(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    for key in ["crop_to_aspect_ratio", "pad_to_aspect_ratio", "antialias"] {
        if kx.flag(key, false)? {
            return Err(kx.unsupported(format!("`{key}`")));
        }
    }
    let x = kx.x()?;
    let x = floating(kx, x)?;
    let sizes = [kx.int_of("height")?, kx.int_of("width")?];
    let how = kx.text("interpolation", "bilinear")?.to_lowercase();
    Ok(vec![resized(kx, x, &how, &sizes)?.into()])
}

fn center_crop(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    let x = kx.x()?;
    let x = floating(kx, x)?;
    super::conv::check_rank(kx, x, 2)?;
    let first = kx.layout()?.first_spatial_axis();
    let wanted = [kx.int_of("height")?, kx.int_of("width")?];
    let (mut starts, mut ends) = (vec![], vec![]);
    for (i, want) in wanted.iter().enumerate() {
        let size = kx.size(x, first + i).and_then(|n| i64::try_from(n).ok());
        let size = size.ok_or_else(|| kx.unsupported("images of unknown sizes"))?;
        if *want < 1 || *want > size {
            return Err(kx.unsupported("sizes beyond the image's"));
        }
        let start = (size - want) / 2;
        starts.push(start);
        ends.push(start + want);
    }
    let axes = [first as i64, first as i64 + 1];
    let [starts, ends, axes] = [starts, ends, axes.to_vec()].map(|l| kx.int_list(&l));
    Ok(vec![kx.op_opt(Slice::default(), &[Some(x), Some(starts), Some(ends), Some(axes), None])?.into()])
}

fn category(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    let x = kx.x()?;
    if kx.tensors().len() > 1 {
        return Err(kx.unsupported("weights of counts"));
    }
    if kx.flag("sparse", false)? {
        return Err(kx.unsupported("sparse results"));
    }
    let depth = kx.int_of("num_tokens")?;
    if !(1..1 << 30).contains(&depth) {
        return Err(kx.bad(format!("{depth} categories")));
    }
    let mode = kx.text("output_mode", "multi_hot")?;
    let ids = kx.cast(x, DType::I64)?;
    let to = kx.compute_type()?.unwrap_or(DType::F32);
    let depth = kx.konst(Tensor::scalar(depth));
    let values = Tensor::from_vec(&[2], vec![0f32, 1.0]).cast(to, false).map_err(|e| kx.bad(e))?;
    let values = kx.konst(values);
    let rank = kx.rank(ids)?;
    if rank == 0 {
        return Err(kx.unsupported("a single number"));
    }
    // A last axis of one number gives way to the categories.
    let single = kx.size(ids, rank - 1) == Some(1);
    if mode == "one_hot" {
        let ids = if single && rank > 1 { kx.squeeze(ids, &[-1])? } else { ids };
        return Ok(vec![kx.op(OneHot { axis: -1 }, &[ids, depth, values])?.into()]);
    }
    if rank < 2 {
        return Err(kx.unsupported("data of one axis"));
    }
    let hot = kx.op(OneHot { axis: -1 }, &[ids, depth, values])?;
    let axis = kx.int_list(&[-2]);
    let y = match &*mode {
        "multi_hot" => kx.op(ReduceMax { keepdims: false, ..ReduceMax::default() }, &[hot, axis])?,
        "count" => kx.op(ReduceSum { keepdims: false, ..ReduceSum::default() }, &[hot, axis])?,
        other => return Err(kx.bad(format!("mode `{other}`"))),
    };
    Ok(vec![y.into()])
}

/// The number of boundaries that each number has reached.
fn discretization(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    let x = kx.x()?;
    if kx.text("output_mode", "int")? != "int" {
        return Err(kx.unsupported("another `output_mode` than `int`"));
    }
    let list = match kx.cfg("bin_boundaries") {
        Some(Json::Array(list)) => list.iter().map(number).collect::<Option<Vec<f64>>>(),
        _ => None,
    };
    let list = list.ok_or_else(|| kx.bad("`bin_boundaries` are missing"))?;
    let dtype = kx.dtype(x)?;
    let real = if dtype.is_float() { x } else { kx.cast(x, DType::F32)? };
    let dtype = kx.dtype(real)?;
    let bounds = Tensor::from_vec(&[list.len()], list).cast(dtype, false).map_err(|e| kx.bad(e))?;
    let bounds = kx.konst(bounds);
    let each = kx.unsqueeze(real, &[-1])?;
    let reached = kx.named("greater_or_equal", &[each, bounds])?;
    let reached = kx.cast(reached, DType::I32)?;
    let axis = kx.int_list(&[-1]);
    let y = kx.op(ReduceSum { keepdims: false, ..ReduceSum::default() }, &[reached, axis])?;
    let y = kx.cast(y, DType::I64)?;
    Ok(vec![y.into()])
}
