//! Boxes that overlap less than so much: non-maximum suppression. Boxes are `[y1, x1, y2, x2]`.
use super::Row;
use super::bridge::Arg;
use super::cx::{Cx, R, V};
use super::val::Val;
use hoist_ir::dtype::DType;
use hoist_ir::ops::elementwise::clip::Clip;
use hoist_ir::ops::index::gather_nd::GatherNd;
use hoist_ir::ops::index::scatter_nd::ScatterNd;
use hoist_ir::ops::movement::pad::Pad;
use hoist_ir::ops::reduce::reductions::ReduceSum;
use hoist_ir::ops::reduce::top_k::TopK;
use hoist_ir::ops::vision::non_max_suppression::NonMaxSuppression;
use hoist_ir::tensor::Tensor;

pub(super) const TABLE: &[Row] = &[
    ("NonMaxSuppression", "", first_version),
    ("NonMaxSuppressionV2", "", |cx| indices(cx)),
    ("NonMaxSuppressionV3", "", |cx| indices(cx)),
    ("NonMaxSuppressionV4", "selected_indices valid_outputs", fourth_version),
    ("NonMaxSuppressionV5", "selected_indices selected_scores valid_outputs", fifth_version),
    ("CombinedNonMaxSuppression", "nmsed_boxes nmsed_scores nmsed_classes valid_detections", combined),
];

/// Numbers of the boxes that stay, 64-bit integers, the highest score first.
fn selected(cx: &mut Cx<'_, '_, '_>, overlap: V, threshold: Option<V>) -> R<V> {
    let (boxes, scores, most) = (cx.arg(0)?, cx.arg(1)?, cx.wide(2)?);
    let boxes = cx.cast(boxes, DType::F32)?;
    let scores = cx.cast(scores, DType::F32)?;
    let (boxes, scores) = (cx.unsqueeze(boxes, &[0])?, cx.unsqueeze(scores, &[0, 1])?);
    let found = suppressed(cx, [boxes, scores], most, overlap, threshold)?;
    let last = cx.konst(Tensor::scalar(2i64));
    cx.gather(found, last, 1)
}

/// Batch, class and box of all boxes that stay.
fn suppressed(
    cx: &mut Cx<'_, '_, '_>,
    [boxes, scores]: [V; 2],
    most: V,
    overlap: V,
    threshold: Option<V>,
) -> R<V> {
    let most = cx.reshape(most, &[1])?;
    let overlap = cx.cast(overlap, DType::F32)?;
    let overlap = cx.reshape(overlap, &[1])?;
    // Without a threshold all scores count, but ONNX's operator takes those above 0 where it has none.
    let threshold = match threshold {
        Some(v) => {
            let v = cx.cast(v, DType::F32)?;
            let v = cx.reshape(v, &[1])?;
            let (low, high) = (cx.number(f64::from(f32::MIN), v)?, cx.number(f64::from(f32::MAX), v)?);
            cx.op(Clip::default(), &[v, low, high])?
        }
        None => cx.konst(Tensor::from_vec(&[1], vec![f32::MIN])),
    };
    let operands = [boxes, scores, most, overlap, threshold].map(Some);
    cx.op_opt(NonMaxSuppression { center_point_box: false }, &operands)
}

fn first_version(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let overlap = cx.konst(Tensor::scalar(cx.attrs.float("iou_threshold").unwrap_or(0.5)));
    let at = selected(cx, overlap, None)?;
    Ok(vec![cx.cast(at, DType::I32)?.into()])
}

/// Thresholds as operands.
fn by_operands(cx: &mut Cx<'_, '_, '_>) -> R<V> {
    let overlap = cx.arg(3)?;
    let threshold = if cx.len() > 4 { Some(cx.arg(4)?) } else { None };
    selected(cx, overlap, threshold)
}

fn indices(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let at = by_operands(cx)?;
    Ok(vec![cx.cast(at, DType::I32)?.into()])
}

/// `v`, a list, with zeros up to the number that is asked for, where `pad_to_max_output_size` says so.
fn filled(cx: &mut Cx<'_, '_, '_>, v: V) -> R<V> {
    if !cx.attrs.flag("pad_to_max_output_size") {
        return Ok(v);
    }
    let most = cx.wide(2)?;
    let most = cx.reshape(most, &[1])?;
    let have = cx.size_of(v, 0)?;
    let missing = cx.named("sub", &[most, have])?;
    let zero = cx.int_list(&[0]);
    let missing = cx.named("max", &[missing, zero])?;
    let pads = cx.concat(&[zero, missing], 0)?;
    cx.op_opt(Pad::default(), &[Some(v), Some(pads), None, None])
}

/// The number of elements of a list, 0-d.
fn number_of(cx: &mut Cx<'_, '_, '_>, v: V) -> R<V> {
    let n = cx.size_of(v, 0)?;
    let n = cx.cast(n, DType::I32)?;
    cx.reshape(n, &[])
}

fn fourth_version(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let at = by_operands(cx)?;
    let count = number_of(cx, at)?;
    let at = cx.cast(at, DType::I32)?;
    Ok(vec![filled(cx, at)?.into(), count.into()])
}

fn fifth_version(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let sigma = cx.arg(5)?;
    if cx.constant(sigma).and_then(Tensor::as_f64) != Some(0.0) {
        return Err(cx.unsupported("soft_nms_sigma other than 0"));
    }
    let at = by_operands(cx)?;
    let scores = cx.arg(1)?;
    let own = cx.gather(scores, at, 0)?;
    let count = number_of(cx, at)?;
    let at = cx.cast(at, DType::I32)?;
    Ok(vec![filled(cx, at)?.into(), filled(cx, own)?.into(), count.into()])
}

/// The best boxes of all classes of each image. Boxes are `[batch, boxes, 1 or classes, 4]`, scores `[batch, boxes, classes]`.
fn combined(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (boxes, scores) = (cx.arg(0)?, cx.arg(1)?);
    let (per_class, total) = (cx.wide(2)?, cx.int(3, "a number of boxes")?);
    let (overlap, threshold) = (cx.arg(4)?, cx.arg(5)?);
    let known = |v: V, axis: usize| cx.size(v, axis).and_then(|n| i64::try_from(n).ok());
    let (Some(count), Some(classes), Some(own)) = (known(scores, 1), known(scores, 2), known(boxes, 2))
    else {
        return Err(cx.unsupported("sizes that are not known"));
    };
    // Each class of its own boxes is a batch of one class; all classes of the same boxes are one batch.
    let turned = cx.transpose(scores, &[0, 2, 1])?;
    let (all_boxes, all_scores) = if own == 1 {
        (cx.reshape(boxes, &[-1, count, 4])?, turned)
    } else {
        let boxes = cx.transpose(boxes, &[0, 2, 1, 3])?;
        (cx.reshape(boxes, &[-1, count, 4])?, cx.reshape(turned, &[-1, 1, count])?)
    };
    let found = suppressed(cx, [all_boxes, all_scores], per_class, overlap, Some(threshold))?;
    // Scores of those that stay among the lowest number for all others.
    let kept = cx.op(GatherNd::default(), &[all_scores, found])?;
    let shape = cx.shape_of(all_scores)?;
    let low = cx.number(f64::NEG_INFINITY, kept)?;
    let base = cx.expand(low, shape)?;
    let marked = cx.op(ScatterNd::default(), &[base, found, kept])?;
    let flat = cx.reshape(marked, &[-1, classes.saturating_mul(count)])?;
    let wanted = if cx.attrs.flag("pad_per_class") {
        let per_class = cx.int(2, "a number of boxes")?;
        per_class.saturating_mul(classes).min(total)
    } else {
        total
    };
    let taken = wanted.min(classes.saturating_mul(count)).max(0);
    let k = cx.int_list(&[taken]);
    let best = cx.op_n(TopK { axis: -1, largest: true, sorted: true }, &[Some(flat), Some(k)], 2)?;
    let there = cx.named("greater", &[best[0], low])?;
    let number = cx.konst(Tensor::scalar(count));
    let class = cx.named("div", &[best[1], number])?;
    let which = cx.aten("remainder", &[("self", Arg::T(best[1])), ("other", Arg::T(number))])?;
    let picked = if own == 1 {
        let flat = cx.reshape(boxes, &[-1, count, 4])?;
        super::gather::gathered(cx, flat, which, 1, 1)?
    } else {
        let boxes = cx.transpose(boxes, &[0, 2, 1, 3])?;
        let flat = cx.reshape(boxes, &[-1, classes.saturating_mul(count), 4])?;
        super::gather::gathered(cx, flat, best[1], 1, 1)?
    };
    let mut picked = picked;
    if cx.attrs.bool("clip_boxes") != Some(false) {
        let (low, high) = (cx.number(0.0, picked)?, cx.number(1.0, picked)?);
        picked = cx.op(Clip::default(), &[picked, low, high])?;
    }
    let class = cx.cast(class, cx.dtype(scores)?)?;
    let mut out = vec![];
    for (v, wide) in [(picked, true), (best[0], false), (class, false)] {
        let flags = if wide { cx.unsqueeze(there, &[-1])? } else { there };
        let zero = cx.number(0.0, v)?;
        let v = cx.named("where", &[flags, v, zero])?;
        let pads: Vec<i64> =
            if wide { vec![0, 0, 0, 0, wanted - taken, 0] } else { vec![0, 0, 0, wanted - taken] };
        let pads = cx.int_list(&pads);
        let v =
            if wanted == taken { v } else { cx.op_opt(Pad::default(), &[Some(v), Some(pads), None, None])? };
        out.push(v.into());
    }
    let ones = cx.cast(there, DType::I32)?;
    let last = cx.int_list(&[-1]);
    let valid = cx.op(ReduceSum { keepdims: false, noop_with_empty_axes: false }, &[ones, last])?;
    out.push(valid.into());
    Ok(out)
}
