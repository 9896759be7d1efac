//! Resampling of images.
use crate::pytorch::lift::cx::{Cx, Out, R, Size, V, malformed, unsupported};
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;

pub(super) const TABLE: super::Table = &[
    ("upsample_nearest1d", |cx| nearest(cx, "asymmetric", "floor")),
    ("upsample_nearest2d", |cx| nearest(cx, "asymmetric", "floor")),
    ("upsample_nearest3d", |cx| nearest(cx, "asymmetric", "floor")),
    ("_upsample_nearest_exact1d", |cx| nearest(cx, "half_pixel", "round_prefer_ceil")),
    ("_upsample_nearest_exact2d", |cx| nearest(cx, "half_pixel", "round_prefer_ceil")),
    ("_upsample_nearest_exact3d", |cx| nearest(cx, "half_pixel", "round_prefer_ceil")),
    ("upsample_linear1d", |cx| smooth(cx, "linear", false)),
    ("upsample_bilinear2d", |cx| smooth(cx, "linear", false)),
    ("upsample_trilinear3d", |cx| smooth(cx, "linear", false)),
    ("upsample_bicubic2d", |cx| smooth(cx, "cubic", false)),
    ("_upsample_bilinear2d_aa", |cx| smooth(cx, "linear", true)),
    ("_upsample_bicubic2d_aa", |cx| smooth(cx, "cubic", true)),
    ("grid_sampler", grid_sample),
    ("grid_sampler_2d", grid_sample),
    ("grid_sampler_3d", grid_sample),
];

/// Scale factors that were given: in `.vec` overloads a list, in the others one per axis.
fn factors(cx: &Cx, axes: usize) -> R<Option<Vec<f64>>> {
    if let Some(list) = cx.opt_floats("scale_factors")? {
        return Ok(Some(list));
    }
    let names: &[&str] = match axes {
        1 => &["scales"],
        2 => &["scales_h", "scales_w"],
        _ => &["scales_d", "scales_h", "scales_w"],
    };
    let given: Vec<Option<f64>> =
        names.iter().map(|n| if cx.has(n) { cx.float(n).map(Some) } else { Ok(None) }).collect::<R<_>>()?;
    Ok(given.into_iter().collect())
}
/// The operator with target sizes or, where PyTorch computes positions with them, scale factors.
fn resize(cx: &mut Cx, x: V, attrs: &[(&str, Attr)], by_size: bool) -> R<V> {
    let rank = cx.rank(x)?;
    let axes = rank.checked_sub(2).filter(|a| (1..=3).contains(a)).ok_or_else(|| malformed("no image"))?;
    let factors = factors(cx, axes)?;
    let mut out = if cx.has("output_size") { Some(cx.sizes("output_size")?) } else { None };
    if let (Some(f), None) = (&factors, &out)
        && f.len() != axes
    {
        return Err(malformed(format!("{} scale factors for {axes} axes", f.len())));
    }
    // With a factor given, positions follow from it, not from the ratio of sizes, unless both agree.
    let inner: Option<Vec<i64>> = (2..axes + 2).map(|a| cx.known(x, a)).collect();
    if let (Some(f), Some(sizes)) = (&factors, inner) {
        let whole = |i: usize| {
            let n = (sizes[i] as f64 * f[i]).floor();
            (n == sizes[i] as f64 * f[i]).then_some(Size::Known(n as i64))
        };
        if out.is_none() && f.len() == axes {
            out = (0..axes).map(whole).collect();
        }
        let agree = (0..axes.min(f.len())).all(|i| whole(i).is_some());
        if by_size {
            let scaled = |i: usize| Size::Known((sizes[i] as f64 * f[i]).floor() as i64);
            out = Some((0..axes).map(scaled).collect());
        } else if !agree {
            out = None;
        }
    } else if let (Some(f), true) = (&factors, by_size) {
        out = Some((0..axes).map(|i| scaled_size(cx, x, i + 2, f[i])).collect::<R<_>>()?);
    }
    if let Some(out) = out {
        let mut sizes = vec![cx.dim(x, 0)?, cx.dim(x, 1)?];
        sizes.extend(out);
        let sizes = cx.shape_value(&sizes)?;
        return cx.node1("resize", &[Some(x), None, None, Some(sizes)], attrs);
    }
    let f = factors.ok_or_else(|| malformed("neither sizes nor scale factors"))?;
    let all: Vec<f32> = [1.0, 1.0].into_iter().chain(f.iter().map(|v| *v as f32)).collect();
    let scales = cx.constant(hoist_ir::tensor::Tensor::from_vec(&[all.len()], all));
    cx.node1("resize", &[Some(x), None, Some(scales)], attrs)
}
/// `floor(n factor)` of an axis.
fn scaled_size(cx: &mut Cx, x: V, axis: usize, factor: f64) -> R<Size> {
    let n = match cx.dim(x, axis)? {
        Size::Known(n) => return Ok(Size::Known((n as f64 * factor).floor() as i64)),
        Size::Value(n) => n,
    };
    if factor.fract() == 0.0 {
        return cx.bn("mul", n, factor).map(Size::Value);
    }
    let n = cx.cast(n, DType::F64)?;
    let n = cx.bn("mul", n, factor)?;
    let n = cx.u("floor", n)?;
    cx.cast(n, DType::I64).map(Size::Value)
}
fn word(key: &'static str, value: &str) -> (&'static str, Attr) {
    (key, Attr::Str(value.to_owned()))
}
fn nearest(cx: &mut Cx, coordinates: &str, rounding: &str) -> R<Out> {
    let x = cx.t(if cx.has("input") { "input" } else { "self" })?;
    let attrs = [
        word("mode", "nearest"),
        word("coordinate_transformation_mode", coordinates),
        word("nearest_mode", rounding),
    ];
    Ok(Out::Fresh(resize(cx, x, &attrs, false)?))
}
fn smooth(cx: &mut Cx, mode: &str, antialias: bool) -> R<Out> {
    let x = cx.t(if cx.has("input") { "input" } else { "self" })?;
    let corners = cx.bool_or("align_corners", false)?;
    if antialias && corners {
        // The filter's width follows from the ratio of sizes in `resize` and from that of the corners in PyTorch.
        return by_matrices(cx, x, mode == "cubic");
    }
    let coordinates = if corners { "align_corners" } else { "half_pixel" };
    let mut attrs = vec![
        word("mode", mode),
        word("coordinate_transformation_mode", coordinates),
        ("cubic_coeff_a", Attr::Float(if antialias { -0.5 } else { -0.75 })),
    ];
    if antialias {
        attrs.push(("antialias", Attr::Bool(true)));
        attrs.push(("exclude_outside", Attr::Bool(true)));
    }
    Ok(Out::Fresh(resize(cx, x, &attrs, corners)?))
}
/// Antialiased resampling with aligned corners, as products with a matrix of weights per axis.
fn by_matrices(cx: &mut Cx, x: V, cubic: bool) -> R<Out> {
    let now = cx.fixed_sizes(x)?;
    let [_, _, h, w] = now[..] else { return Err(malformed("no image")) };
    let factors = factors(cx, 2)?;
    let out = if cx.has("output_size") {
        cx.ints("output_size")?
    } else {
        let f =
            factors.filter(|f| f.len() == 2).ok_or_else(|| malformed("neither sizes nor scale factors"))?;
        vec![(h as f64 * f[0]).floor() as i64, (w as f64 * f[1]).floor() as i64]
    };
    let [oh, ow] = out[..] else { return Err(malformed("no image")) };
    let dtype = cx.dtype(x)?;
    let mut matrix = |n: i64, m: i64| -> R<V> {
        let t = weights(n, m, cubic)?.cast(dtype, false).map_err(|e| malformed(e.to_string()))?;
        Ok(cx.constant(t))
    };
    let (rows, columns) = (matrix(h, oh)?, matrix(w, ow)?);
    let columns = cx.permute(columns, &[1, 0])?;
    let y = cx.b("mat_mul", rows, x)?;
    Ok(Out::Fresh(cx.b("mat_mul", y, columns)?))
}
/// `[m, n]`: how much each of `n` positions counts for each of `m` new ones. The filter is a triangle or a cubic with `a = -1/2`,
/// stretched by the ratio of the distances of the corners where that is above 1, and normalized.
fn weights(n: i64, m: i64, cubic: bool) -> R<Tensor> {
    if n < 1 || m < 1 || n.saturating_mul(m) > 1 << 24 {
        return Err(unsupported(format!("resampling {n} positions to {m}")));
    }
    let scale = if m > 1 { (n - 1) as f64 / (m - 1) as f64 } else { 0.0 };
    let stretch = scale.max(1.0);
    let support = if cubic { 2.0 } else { 1.0 } * stretch;
    let filter = |x: f64| {
        let x = x.abs();
        match (cubic, x) {
            (false, x) => (1.0 - x).max(0.0),
            (true, x) if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            (true, x) if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            _ => 0.0,
        }
    };
    let mut all = vec![0.0; (n * m) as usize];
    for i in 0..m {
        let centre = scale * (i as f64 + 0.5);
        let first = ((centre - support + 0.5).trunc() as i64).clamp(0, n - 1);
        let last = ((centre + support + 0.5).trunc() as i64).clamp(first + 1, n);
        let row: Vec<f64> = (first..last).map(|j| filter((j as f64 - centre + 0.5) / stretch)).collect();
        let sum: f64 = row.iter().sum();
        for (j, w) in (first..last).zip(row) {
            all[(i * n + j) as usize] = if sum == 0.0 { w } else { w / sum };
        }
    }
    Ok(Tensor::from_vec(&[m as usize, n as usize], all))
}
fn grid_sample(cx: &mut Cx) -> R<Out> {
    let (x, grid) = (cx.t("input")?, cx.t("grid")?);
    let (mode, pad, corners) = (
        cx.int_or("interpolation_mode", 0)?,
        cx.int_or("padding_mode", 0)?,
        cx.bool_or("align_corners", false)?,
    );
    let pick = |words: [&'static str; 3], i: i64| {
        usize::try_from(i)
            .ok()
            .and_then(|i| words.get(i).copied())
            .ok_or_else(|| unsupported("an unknown sampling mode"))
    };
    let attrs = [
        word("mode", pick(["linear", "nearest", "cubic"], mode)?),
        word("padding_mode", pick(["zeros", "border", "reflection"], pad)?),
        ("align_corners", Attr::Bool(corners)),
    ];
    Ok(Out::Fresh(cx.with("grid_sample", &[x, grid], &attrs)?))
}
