//! Resampling of images.
use crate::pytorch::lift::cx::{Cx, Out, R, Size, V, malformed, unsupported};
use hoist_ir::attr::Attr;

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
    if let (Some(f), Some(sizes)) = (&factors, cx.known_sizes(x)) {
        let whole = |i: usize| {
            let n = (sizes[i + 2] as f64 * f[i]).floor();
            (n == sizes[i + 2] as f64 * f[i]).then_some(Size::Known(n as i64))
        };
        if out.is_none() && f.len() == axes {
            out = (0..axes).map(whole).collect();
        }
        let agree = (0..axes.min(f.len())).all(|i| whole(i).is_some());
        if by_size {
            let scaled = |i: usize| Size::Known((sizes[i + 2] as f64 * f[i]).floor() as i64);
            out = Some((0..axes).map(scaled).collect());
        } else if !agree {
            out = None;
        }
    }
    if let Some(out) = out {
        let mut sizes = vec![cx.dim(x, 0)?, cx.dim(x, 1)?];
        sizes.extend(out);
        let sizes = cx.shape_value(&sizes)?;
        return cx.node1("resize", &[Some(x), None, None, Some(sizes)], attrs);
    }
    if by_size {
        return Err(unsupported("aligned corners with scale factors and dynamic sizes"));
    }
    let f = factors.ok_or_else(|| malformed("neither sizes nor scale factors"))?;
    let all: Vec<f32> = [1.0, 1.0].into_iter().chain(f.iter().map(|v| *v as f32)).collect();
    let scales = cx.constant(hoist_ir::tensor::Tensor::from_vec(&[all.len()], all));
    cx.node1("resize", &[Some(x), None, Some(scales)], attrs)
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
        // The filter's width follows from the ratio of sizes here and from that of the corners in PyTorch.
        return Err(unsupported("antialiased resampling with aligned corners"));
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
