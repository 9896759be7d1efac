//! Convolutions.
use crate::pytorch::lift::cx::{Cx, Out, R, V, Val, malformed};
use hoist_ir::attr::Attr;

pub(super) const TABLE: super::Table = &[
    ("conv1d", |cx| conv(cx, 1)),
    ("conv2d", |cx| conv(cx, 2)),
    ("conv3d", |cx| conv(cx, 3)),
    ("convolution", general),
    ("_convolution", general),
    ("conv_transpose1d", |cx| conv_transpose(cx, 1)),
    ("conv_transpose2d", |cx| conv_transpose(cx, 2)),
    ("conv_transpose3d", |cx| conv_transpose(cx, 3)),
];

/// A list of one number per spatial axis; one number stands for all.
pub(super) fn per_axis(cx: &Cx, name: &str, axes: usize, default: i64) -> R<Vec<i64>> {
    let list = cx.ints_or_empty(name)?;
    match list.len() {
        0 => Ok(vec![default; axes]),
        1 => Ok(vec![list[0]; axes]),
        n if n == axes => Ok(list),
        n => Err(malformed(format!("`{name}` has {n} numbers for {axes} axes"))),
    }
}
/// Adds the batch axis that the unbatched form leaves out, and says whether it did.
pub(super) fn batched(cx: &mut Cx, x: V, axes: usize) -> R<(V, bool)> {
    let bare = cx.rank(x)? == axes + 1;
    Ok((if bare { cx.unsqueeze(x, &[0])? } else { x }, bare))
}
/// Undoes [`batched`].
pub(super) fn unbatched(cx: &mut Cx, y: V, bare: bool) -> R<V> {
    if bare { cx.squeeze(y, &[0]) } else { Ok(y) }
}
/// Borders `[begin.., end..]` of a named padding or of equal numbers on both sides.
fn borders(cx: &Cx, w: V, axes: usize, dilations: &[i64]) -> R<Vec<i64>> {
    if let Some(Val::Str(word)) = cx.arg("padding") {
        return match &**word {
            "valid" => Ok(vec![0; 2 * axes]),
            "same" => {
                let kernel = cx.fixed_sizes(w)?;
                let totals: Vec<i64> =
                    kernel[2..].iter().zip(dilations).map(|(k, d)| d.saturating_mul(k - 1)).collect();
                Ok(totals.iter().map(|t| t / 2).chain(totals.iter().map(|t| t - t / 2)).collect())
            }
            other => Err(malformed(format!("padding `{other}` is unknown"))),
        };
    }
    let p = per_axis(cx, "padding", axes, 0)?;
    Ok([p.clone(), p].concat())
}
fn conv(cx: &mut Cx, axes: usize) -> R<Out> {
    let (x, w, b) = (cx.t("input")?, cx.t("weight")?, cx.opt_t("bias")?);
    let (strides, dilations) = (per_axis(cx, "stride", axes, 1)?, per_axis(cx, "dilation", axes, 1)?);
    let pads = borders(cx, w, axes, &dilations)?;
    let group = cx.int_or("groups", 1)?;
    let (x, bare) = batched(cx, x, axes)?;
    let attrs = [
        ("strides", Attr::Ints(strides)),
        ("dilations", Attr::Ints(dilations)),
        ("pads", Attr::Ints(pads)),
        ("group", Attr::Int(group)),
    ];
    let kernel = kernel_attr(cx, w);
    let y = cx.node1("conv", &[Some(x), Some(w), b], &[&attrs[..], &kernel].concat())?;
    Ok(Out::Fresh(unbatched(cx, y, bare)?))
}
fn kernel_attr(cx: &Cx, w: V) -> Vec<(&'static str, Attr)> {
    cx.known_sizes(w).map(|s| ("kernel_shape", Attr::Ints(s[2..].to_vec()))).into_iter().collect()
}
fn conv_transpose(cx: &mut Cx, axes: usize) -> R<Out> {
    let (x, w, b) = (cx.t("input")?, cx.t("weight")?, cx.opt_t("bias")?);
    let (strides, dilations) = (per_axis(cx, "stride", axes, 1)?, per_axis(cx, "dilation", axes, 1)?);
    let (p, extra) = (per_axis(cx, "padding", axes, 0)?, per_axis(cx, "output_padding", axes, 0)?);
    let group = cx.int_or("groups", 1)?;
    let (x, bare) = batched(cx, x, axes)?;
    // Runtimes want less of it than a stride; more is cut off less at the end, and beyond that only the bias is there.
    let beyond = extra.iter().zip(&strides).any(|(e, s)| e >= s);
    let (own, ends) = if beyond {
        (vec![0; axes], p.iter().zip(&extra).map(|(p, e)| (p - e).max(0)).collect())
    } else {
        (extra.clone(), p.clone())
    };
    let attrs = [
        ("strides", Attr::Ints(strides)),
        ("dilations", Attr::Ints(dilations)),
        ("pads", Attr::Ints([p.clone(), ends].concat())),
        ("output_padding", Attr::Ints(own)),
        ("group", Attr::Int(group)),
    ];
    let kernel = kernel_attr(cx, w);
    let inner = if beyond { None } else { b };
    let mut y = cx.node1("conv_transpose", &[Some(x), Some(w), inner], &[&attrs[..], &kernel].concat())?;
    if beyond {
        let mut pads = vec![0; 2 * (axes + 2)];
        for (i, (p, e)) in p.iter().zip(&extra).enumerate() {
            pads[axes + 4 + i] = (e - p).max(0);
        }
        let (pads, zero) = (cx.int_list(&pads), cx.num(y, 0.0)?);
        y = cx.op("pad", &[y, pads, zero])?;
        if let Some(b) = b {
            let mut sizes = vec![1; axes + 1];
            sizes[0] = -1;
            let b = cx.reshape_to(b, &sizes)?;
            y = cx.b("add", y, b)?;
        }
    }
    Ok(Out::Fresh(unbatched(cx, y, bare)?))
}
fn general(cx: &mut Cx) -> R<Out> {
    for name in ["benchmark", "deterministic", "cudnn_enabled", "allow_tf32"] {
        cx.has(name);
    }
    let w = cx.t("weight")?;
    let axes = cx.rank(w)?.checked_sub(2).ok_or_else(|| malformed("a kernel without axes"))?;
    if cx.bool_or("transposed", false)? {
        return conv_transpose(cx, axes);
    }
    if per_axis(cx, "output_padding", axes, 0)?.iter().any(|p| *p != 0) {
        return Err(malformed("an output padding without transposition"));
    }
    conv(cx, axes)
}
