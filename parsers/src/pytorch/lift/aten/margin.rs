//! Margin losses of several classes, and cross entropy of a linear layer.
use super::loss::{cross_entropy_of, reduced};
use crate::pytorch::lift::cx::{Cx, Out, R, Size, V, malformed, unsupported};
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;

pub(super) const TABLE: super::Table = &[
    ("multi_margin_loss", multi_margin),
    ("multilabel_margin_loss", |cx| Ok(Out::Fresh(multilabel(cx)?.0))),
    ("multilabel_margin_loss_forward", |cx| {
        let (y, mask) = multilabel(cx)?;
        Ok(Out::Many(vec![Out::Fresh(y), Out::Fresh(mask)]))
    }),
    ("torch_nn._linear_cross_entropy_batch_chunked", linear_cross_entropy),
    ("torch_nn._linear_cross_entropy_batch_chunked_no_reduction", |cx| {
        let y = linear_loss(cx)?;
        Ok(Out::Fresh(y))
    }),
];

/// Scores as rows `[n, c]`, and whether they were one line.
fn rows(cx: &mut Cx, name: &str) -> R<(V, bool)> {
    let x = cx.t(name)?;
    Ok(match cx.rank(x)? {
        0 => (cx.reshape_to(x, &[1, 1])?, true),
        1 => (cx.unsqueeze(x, &[0])?, true),
        2 => (x, false),
        _ => return Err(malformed("scores must be a line or rows")),
    })
}
fn class_count(cx: &mut Cx, x: V) -> R<V> {
    let n = cx.dim(x, 1)?;
    let n = cx.size_scalar(&n)?;
    let dtype = cx.dtype(x)?;
    cx.cast(n, dtype)
}
/// `sum over j != y of max(0, margin - x_y + x_j)^p w_y / c` per row.
fn multi_margin(cx: &mut Cx) -> R<Out> {
    let (x, line) = rows(cx, "self")?;
    let (p, margin) = (cx.float_or("p", 1.0)?, cx.float_or("margin", 1.0)?);
    let t = cx.t("target")?;
    let t = cx.reshape_to(t, &[-1, 1])?;
    let own = cx.with("gather_elements", &[x, t], &[("axis", Attr::Int(1))])?;
    let d = cx.b("sub", x, own)?;
    let d = cx.bn("add", d, margin)?;
    let mut d = cx.u("relu", d)?;
    if p == 2.0 {
        d = cx.b("mul", d, d)?;
    } else if p != 1.0 {
        return Err(malformed("p must be 1 or 2"));
    }
    if let Some(w) = cx.opt_t("weight")? {
        let w = cx.gather(w, t, 0)?;
        d = cx.b("mul", d, w)?;
    }
    let n = cx.dim(x, 1)?;
    let classes = cx.iota(&n)?;
    let same = cx.b("equal", t, classes)?;
    let zero = cx.num(x, 0.0)?;
    let d = cx.choose(same, zero, d)?;
    let s = cx.reduce("reduce_sum", d, &[1], false)?;
    let n = class_count(cx, x)?;
    let y = cx.b("div", s, n)?;
    let y = if line { cx.reshape_to(y, &[])? } else { y };
    Ok(Out::Fresh(reduced(cx, y)?))
}
/// `sum over targets t, over j that is none, of max(0, 1 - x_t + x_j) / c` per row; targets end at the first negative one. Also says
/// which classes are targets.
fn multilabel(cx: &mut Cx) -> R<(V, V)> {
    let (x, line) = rows(cx, "self")?;
    let (t, _) = rows(cx, "target")?;
    let given = cx.t("target")?;
    let dtype = cx.dtype(x)?;
    let over = cx.bn("less", t, 0.0)?;
    let over = cx.cast(over, DType::I32)?;
    let one = cx.constant(Tensor::scalar(1i64));
    let over = cx.b("cum_sum", over, one)?;
    let valid = cx.bn("equal", over, 0.0)?;
    let none = cx.num(t, 0.0)?;
    let safe = cx.choose(valid, t, none)?;
    // [n, target, class]
    let n = cx.dim(x, 1)?;
    let classes = cx.iota(&n)?;
    let classes_t = cx.dtype(t)?;
    let classes = cx.cast(classes, classes_t)?;
    let column = cx.unsqueeze(safe, &[2])?;
    let same = cx.b("equal", column, classes)?;
    let valid3 = cx.unsqueeze(valid, &[2])?;
    let same = cx.b("and", same, valid3)?;
    let is_target = super::compare::any(cx, same, &[1], false)?;
    let at = cx.cast(safe, DType::I64)?;
    let own = cx.with("gather_elements", &[x, at], &[("axis", Attr::Int(1))])?;
    let (own, all) = (cx.unsqueeze(own, &[2])?, cx.unsqueeze(x, &[1])?);
    let d = cx.b("sub", all, own)?;
    let d = cx.bn("add", d, 1.0)?;
    let d = cx.u("relu", d)?;
    let other = cx.u("not", is_target)?;
    let other = cx.unsqueeze(other, &[1])?;
    let counts = cx.b("and", valid3, other)?;
    let zero = cx.num(x, 0.0)?;
    let d = cx.choose(counts, d, zero)?;
    let s = cx.reduce("reduce_sum", d, &[1, 2], false)?;
    let n = class_count(cx, x)?;
    let y = cx.b("div", s, n)?;
    let y = if line { cx.reshape_to(y, &[])? } else { y };
    let mask = cx.cast(is_target, dtype)?;
    let sizes = cx.shape_of(given)?;
    let mask = cx.reshape(mask, &sizes)?;
    Ok((reduced(cx, y)?, mask))
}
/// Cross entropy of `input weight' + bias`. How the rows are cut into chunks does not matter.
fn linear_loss(cx: &mut Cx) -> R<V> {
    for name in ["batch_chunk_size", "acc_policy", "acc_dtype", "allow_retain_graph"] {
        cx.has(name);
    }
    let (x, w, bias) = (cx.t("input")?, cx.t("linear_weight")?, cx.opt_t("linear_bias")?);
    let dtype = cx.dtype(x)?;
    let mut parts = vec![];
    for v in [Some(x), Some(w), bias] {
        parts.push(v.map(|v| cx.wide(v)).transpose()?);
    }
    let [Some(x), Some(w), bias] = parts[..] else { return Err(malformed("no layer")) };
    let scores = super::linear::linear_of(cx, x, w, bias)?;
    let y = cross_entropy_of(cx, scores)?;
    cx.cast(y, dtype)
}
fn linear_cross_entropy(cx: &mut Cx) -> R<Out> {
    for name in ["compute_input_grad", "compute_linear_weight_grad", "compute_linear_bias_grad"] {
        if cx.bool_or(name, false)? {
            return Err(unsupported("a loss with its gradients")
                .hint("export the model under torch.no_grad(), with parameters that need no gradient"));
        }
    }
    let y = linear_loss(cx)?;
    let dtype = cx.dtype(y)?;
    let zero = cx.num_of(dtype, 0.0)?;
    let none = Size::Known(0);
    let matrix = cx.full(&[none.clone(), none.clone()], zero)?;
    let line = cx.full(&[none], zero)?;
    Ok(Out::Many(vec![Out::Fresh(y), Out::Fresh(matrix), Out::Fresh(matrix), Out::Fresh(line)]))
}
