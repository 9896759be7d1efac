//! The operators of torchvision.
use crate::pytorch::lift::cx::{Cx, Out, R, V, unsupported};
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;

pub(super) const TABLE: super::Table = &[
    ("torchvision.roi_align", roi_align),
    ("torchvision.nms", suppress),
    ("torchvision.deform_conv2d", deform_conv),
];

/// Regions are rows `[sample, x1, y1, x2, y2]`.
fn roi_align(cx: &mut Cx) -> R<Out> {
    let (x, rois) = (cx.t("input")?, cx.t("rois")?);
    if cx.dtype(x)? != DType::F32 {
        return Err(unsupported("regions of a map that is not of f32"));
    }
    let sample = cx.slice_known(rois, 1, 0, 1)?;
    let sample = cx.squeeze(sample, &[1])?;
    let sample = cx.cast(sample, DType::I64)?;
    let corners = cx.slice_known(rois, 1, 1, 5)?;
    let pixel = if cx.bool_or("aligned", false)? { "half_pixel" } else { "output_half_pixel" };
    let attrs = [
        ("coordinate_transformation_mode", Attr::Str(pixel.to_owned())),
        ("mode", Attr::Str("avg".to_owned())),
        ("output_height", Attr::Int(cx.int("pooled_height")?)),
        ("output_width", Attr::Int(cx.int("pooled_width")?)),
        ("sampling_ratio", Attr::Int(cx.int("sampling_ratio")?.max(0))),
        ("spatial_scale", Attr::Float(cx.float("spatial_scale")? as f32)),
    ];
    Ok(Out::Fresh(cx.with("roi_align", &[x, corners, sample], &attrs)?))
}
/// Positions of the boxes `[x1, y1, x2, y2]` that are kept, best score first.
fn suppress(cx: &mut Cx) -> R<Out> {
    let (boxes, scores) = (cx.t("dets")?, cx.t("scores")?);
    let limit = cx.float("iou_threshold")?;
    if cx.dtype(boxes)? != DType::F32 || cx.dtype(scores)? != DType::F32 {
        return Err(unsupported("boxes or scores that are not of f32"));
    }
    let n = cx.dim(boxes, 0)?;
    let most = cx.size_value(&n);
    let limit = cx.num_of(DType::F32, limit)?;
    let (boxes, scores) = (cx.unsqueeze(boxes, &[0])?, cx.unsqueeze(scores, &[0, 1])?);
    let rows = cx.op("non_max_suppression", &[boxes, scores, most, limit])?;
    Ok(Out::Fresh(cx.select(rows, 1, 2)?))
}
fn deform_conv(cx: &mut Cx) -> R<Out> {
    let (x, w, offset) = (cx.t("input")?, cx.t("weight")?, cx.t("offset")?);
    let (mask, bias) = (cx.t("mask")?, cx.t("bias")?);
    let mask: Option<V> = cx.bool_or("use_mask", false)?.then_some(mask);
    let two = |cx: &Cx, name: &str| -> R<Vec<i64>> {
        Ok(vec![cx.int(&format!("{name}_h"))?, cx.int(&format!("{name}_w"))?])
    };
    let (strides, pads, dilations) = (two(cx, "stride")?, two(cx, "pad")?, two(cx, "dilation")?);
    let attrs = [
        ("strides", Attr::Ints(strides)),
        ("pads", Attr::Ints([pads.clone(), pads].concat())),
        ("dilations", Attr::Ints(dilations)),
        ("group", Attr::Int(cx.int("groups")?)),
        ("offset_group", Attr::Int(cx.int("offset_groups")?)),
    ];
    Ok(Out::Fresh(cx.node1("deform_conv", &[Some(x), Some(w), Some(offset), Some(bias), mask], &attrs)?))
}
