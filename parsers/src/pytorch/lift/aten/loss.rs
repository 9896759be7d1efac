//! Loss functions.
use super::reduce::p_norm;
use crate::pytorch::lift::cx::{Cx, Out, R, V, malformed, unsupported};
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;

pub(super) const TABLE: super::Table = &[
    ("mse_loss", |cx| pointwise(cx, |cx, d| cx.b("mul", d, d))),
    ("l1_loss", |cx| pointwise(cx, |cx, d| cx.u("abs", d))),
    ("huber_loss", huber),
    ("smooth_l1_loss", smooth_l1),
    ("soft_margin_loss", soft_margin),
    ("kl_div", kl_div),
    ("binary_cross_entropy", binary_cross_entropy),
    ("binary_cross_entropy_with_logits", with_logits),
    ("nll_loss_nd", nll),
    ("nll_loss", nll),
    ("nll_loss2d", nll),
    ("nll_loss_forward", nll_forward),
    ("nll_loss2d_forward", nll_forward),
    ("cross_entropy_loss", cross_entropy),
    ("pairwise_distance", pairwise_distance),
    ("cosine_similarity", cosine_similarity),
    ("cosine_embedding_loss", cosine_embedding),
    ("triplet_margin_loss", triplet_margin),
];

/// 0 keeps all, 1 gives the mean, 2 the sum.
pub(super) fn reduced(cx: &mut Cx, x: V) -> R<V> {
    match reduction(cx)? {
        0 => Ok(x),
        1 => super::reduce::mean_of(cx, x, &[], false),
        2 => cx.reduce("reduce_sum", x, &[], false),
        other => Err(malformed(format!("reduction {other} is unknown"))),
    }
}
/// The argument `reduction` as a number; custom operators give it as a word, or only per row.
fn reduction(cx: &Cx) -> R<i64> {
    if cx.target().contains("no_reduction") {
        return Ok(0);
    }
    match cx.str_or("reduction", "") {
        Ok("none") => Ok(0),
        Ok("mean") => Ok(1),
        Ok("sum") => Ok(2),
        _ => cx.int_or("reduction", 1),
    }
}
fn pointwise(cx: &mut Cx, f: impl FnOnce(&mut Cx, V) -> R<V>) -> R<Out> {
    let (a, b) = cx.pair("self", "target")?;
    let d = cx.b("sub", a, b)?;
    let y = f(cx, d)?;
    Ok(Out::Fresh(reduced(cx, y)?))
}
/// `d^2 / 2` up to `delta`, linear beyond.
fn huber(cx: &mut Cx) -> R<Out> {
    let delta = cx.float_or("delta", 1.0)?;
    pointwise(cx, |cx, d| {
        let size = cx.u("abs", d)?;
        let square = cx.b("mul", size, size)?;
        let near = cx.bn("mul", square, 0.5)?;
        let far = cx.bn("sub", size, 0.5 * delta)?;
        let far = cx.bn("mul", far, delta)?;
        let small = cx.bn("less_or_equal", size, delta)?;
        cx.choose(small, near, far)
    })
}
fn smooth_l1(cx: &mut Cx) -> R<Out> {
    let beta = cx.float_or("beta", 1.0)?;
    pointwise(cx, |cx, d| {
        let size = cx.u("abs", d)?;
        if beta == 0.0 {
            return Ok(size);
        }
        let square = cx.b("mul", size, size)?;
        let near = cx.bn("mul", square, 0.5 / beta)?;
        let far = cx.bn("sub", size, 0.5 * beta)?;
        let small = cx.bn("less", size, beta)?;
        cx.choose(small, near, far)
    })
}
fn soft_margin(cx: &mut Cx) -> R<Out> {
    let (x, y) = cx.pair("self", "target")?;
    let p = cx.b("mul", x, y)?;
    let p = cx.u("neg", p)?;
    let e = cx.u("exp", p)?;
    let l = super::unary::log1p(cx, e)?;
    Ok(Out::Fresh(reduced(cx, l)?))
}
fn kl_div(cx: &mut Cx) -> R<Out> {
    let (x, t) = cx.pair("self", "target")?;
    let y = if cx.bool_or("log_target", false)? {
        let (e, d) = (cx.u("exp", t)?, cx.b("sub", t, x)?);
        cx.b("mul", e, d)?
    } else {
        let l = cx.u("log", t)?;
        let p = cx.b("mul", t, l)?;
        let zero = cx.bn("equal", t, 0.0)?;
        let none = cx.num(t, 0.0)?;
        let p = cx.choose(zero, none, p)?;
        let q = cx.b("mul", t, x)?;
        cx.b("sub", p, q)?
    };
    Ok(Out::Fresh(reduced(cx, y)?))
}
fn weighted(cx: &mut Cx, y: V) -> R<V> {
    match cx.opt_t("weight")? {
        Some(w) => cx.b("mul", y, w),
        None => Ok(y),
    }
}
/// Logarithms are bounded by -100 below.
fn binary_cross_entropy(cx: &mut Cx) -> R<Out> {
    let (x, t) = cx.pair("self", "target")?;
    let rest = cx.nb("sub", 1.0, x)?;
    let (a, b) = (cx.u("log", x)?, cx.u("log", rest)?);
    let (a, b) = (cx.bn("max", a, -100.0)?, cx.bn("max", b, -100.0)?);
    let other = cx.bn("sub", t, 1.0)?;
    let (p, q) = (cx.b("mul", other, b)?, cx.b("mul", t, a)?);
    let y = cx.b("sub", p, q)?;
    let y = weighted(cx, y)?;
    Ok(Out::Fresh(reduced(cx, y)?))
}
fn with_logits(cx: &mut Cx) -> R<Out> {
    let (x, t) = cx.pair("self", "target")?;
    let l = super::activation::log_sigmoid(cx, x)?;
    let l = match cx.opt_t("pos_weight")? {
        Some(w) => {
            let k = cx.bn("sub", w, 1.0)?;
            let k = cx.b("mul", k, t)?;
            let k = cx.bn("add", k, 1.0)?;
            cx.b("mul", k, l)?
        }
        None => l,
    };
    let rest = cx.nb("sub", 1.0, t)?;
    let p = cx.b("mul", rest, x)?;
    let y = cx.b("sub", p, l)?;
    let y = weighted(cx, y)?;
    Ok(Out::Fresh(reduced(cx, y)?))
}
fn nll(cx: &mut Cx) -> R<Out> {
    let (x, t) = (cx.t("self")?, cx.t("target")?);
    Ok(Out::Fresh(nll_of(cx, x, t)?))
}
/// The loss and the sum of the weights it is divided by, 0 where it is not reduced.
fn nll_forward(cx: &mut Cx) -> R<Out> {
    let (x, t) = (cx.t("self")?, cx.t("target")?);
    let y = nll_of(cx, x, t)?;
    let weight = if reduction(cx)? == 0 {
        cx.num(x, 0.0)?
    } else {
        let (_, w) = nll_terms(cx, x, t)?;
        cx.reduce("reduce_sum", w, &[], false)?
    };
    Ok(Out::Many(vec![Out::Fresh(y), Out::Fresh(weight)]))
}
/// Minus the element of the target class, weighted; the mean divides by the sum of weights.
fn nll_of(cx: &mut Cx, x: V, t: V) -> R<V> {
    let (y, w) = nll_terms(cx, x, t)?;
    match reduction(cx)? {
        1 => {
            let (s, n) = (cx.reduce("reduce_sum", y, &[], false)?, cx.reduce("reduce_sum", w, &[], false)?);
            cx.b("div", s, n)
        }
        _ => reduced(cx, y),
    }
}
/// Terms of the loss and their weights.
fn nll_terms(cx: &mut Cx, x: V, t: V) -> R<(V, V)> {
    let ignored = cx.int_or("ignore_index", -100)?;
    let axis = usize::from(cx.rank(x)? > 1);
    let dtype = cx.dtype(x)?;
    let out = cx.bn("equal", t, ignored as f64)?;
    let zero = cx.num(t, 0.0)?;
    let at = cx.choose(out, zero, t)?;
    let wide = cx.unsqueeze(at, &[axis as i64])?;
    let p = cx.with("gather_elements", &[x, wide], &[("axis", Attr::Int(axis as i64))])?;
    let p = cx.squeeze(p, &[axis as i64])?;
    let kept = cx.u("not", out)?;
    let kept = cx.cast(kept, dtype)?;
    let w = match cx.opt_t("weight")? {
        Some(w) => {
            let own = cx.gather(w, at, 0)?;
            cx.b("mul", own, kept)?
        }
        None => kept,
    };
    let y = cx.b("mul", p, w)?;
    Ok((cx.u("neg", y)?, w))
}
fn cross_entropy(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    Ok(Out::Fresh(cross_entropy_of(cx, x)?))
}
/// Cross entropy of the scores `x` and the arguments beside them.
pub(super) fn cross_entropy_of(cx: &mut Cx, x: V) -> R<V> {
    let t = cx.t("target")?;
    let smoothing = cx.float_or("label_smoothing", 0.0)?;
    let axis = usize::from(cx.rank(x)? > 1);
    let log = cx.with("log_softmax", &[x], &[("axis", Attr::Int(axis as i64))])?;
    if cx.dtype(t)?.is_float() {
        cx.has("ignore_index");
        return probabilities(cx, log, t, axis, smoothing);
    }
    if smoothing == 0.0 {
        return nll_of(cx, log, t);
    }
    let (y, w) = nll_terms(cx, log, t)?;
    let n = cx.known(x, axis).ok_or_else(|| unsupported("a dynamic number of classes"))?;
    // The smooth part: all classes alike, weighted by class.
    let each = class_weighted(cx, log, axis)?;
    let smooth = cx.reduce("reduce_sum", each, &[axis], false)?;
    let smooth = cx.u("neg", smooth)?;
    let ignored = cx.int_or("ignore_index", -100)?;
    let out = cx.bn("equal", t, ignored as f64)?;
    let zero = cx.num(smooth, 0.0)?;
    let smooth = cx.choose(out, zero, smooth)?;
    let (a, b) = (cx.bn("mul", y, 1.0 - smoothing)?, cx.bn("mul", smooth, smoothing / n as f64)?);
    let total = cx.b("add", a, b)?;
    Ok(match reduction(cx)? {
        1 => {
            let (s, n) =
                (cx.reduce("reduce_sum", total, &[], false)?, cx.reduce("reduce_sum", w, &[], false)?);
            cx.b("div", s, n)?
        }
        _ => reduced(cx, total)?,
    })
}
fn class_weighted(cx: &mut Cx, x: V, axis: usize) -> R<V> {
    let Some(w) = cx.opt_t("weight")? else { return Ok(x) };
    let mut sizes = vec![1; cx.rank(x)? - axis];
    sizes[0] = -1;
    let w = cx.reshape_to(w, &sizes)?;
    cx.b("mul", x, w)
}
/// Targets as probabilities of all classes.
fn probabilities(cx: &mut Cx, log: V, t: V, axis: usize, smoothing: f64) -> R<V> {
    let n = cx.known(log, axis).ok_or_else(|| unsupported("a dynamic number of classes"))?;
    let t = if smoothing > 0.0 {
        let t = cx.bn("mul", t, 1.0 - smoothing)?;
        cx.bn("add", t, smoothing / n as f64)?
    } else {
        t
    };
    let p = cx.b("mul", log, t)?;
    let p = class_weighted(cx, p, axis)?;
    let y = cx.reduce("reduce_sum", p, &[axis], false)?;
    let y = cx.u("neg", y)?;
    // The mean is that over rows.
    reduced(cx, y)
}
/// p-norm of `x1 - x2 + eps` along the last axis.
fn distance(cx: &mut Cx, a: V, b: V, p: f64, eps: f64, keep: bool) -> R<V> {
    let d = cx.b("sub", a, b)?;
    let d = cx.bn("add", d, eps)?;
    let last = cx.rank(d)?.saturating_sub(1);
    p_norm(cx, d, p, &[last], keep)
}
fn pairwise_distance(cx: &mut Cx) -> R<Out> {
    let (p, eps, keep) = (cx.float_or("p", 2.0)?, cx.float_or("eps", 1e-6)?, cx.bool_or("keepdim", false)?);
    let (a, b) = cx.float_pair("x1", "x2")?;
    Ok(Out::Fresh(distance(cx, a, b, p, eps, keep)?))
}
fn cosine_similarity(cx: &mut Cx) -> R<Out> {
    let (a, b) = cx.float_pair("x1", "x2")?;
    let eps = cx.float_or("eps", 1e-8)?;
    let scalars = cx.rank(a)? == 0 && cx.rank(b)? == 0;
    let (a, b) = if scalars { (cx.reshape_to(a, &[1])?, cx.reshape_to(b, &[1])?) } else { (a, b) };
    let rank = cx.rank(a)?.max(cx.rank(b)?);
    let axis = crate::pytorch::lift::emit::wrap(cx.int_or("dim", 1)?, rank)?;
    let p = cx.b("mul", a, b)?;
    let dot = cx.reduce("reduce_sum", p, &[axis], false)?;
    let size = |cx: &mut Cx, x: V| {
        let own = axis + cx.rank(x)? - rank;
        let n = p_norm(cx, x, 2.0, &[own], false)?;
        cx.bn("max", n, eps)
    };
    let (m, n) = (size(cx, a)?, size(cx, b)?);
    let d = cx.b("mul", m, n)?;
    Ok(Out::Fresh(cx.b("div", dot, d)?))
}
/// `1 - cos` for target 1, `max(0, cos - margin)` for -1.
fn cosine_embedding(cx: &mut Cx) -> R<Out> {
    let (a, b) = cx.float_pair("input1", "input2")?;
    let (t, margin) = (cx.t("target")?, cx.float_or("margin", 0.0)?);
    let dtype = cx.dtype(a)?;
    let last = cx.rank(a)?.saturating_sub(1);
    let sum = |cx: &mut Cx, x: V, y: V, eps: f64| {
        let p = cx.b("mul", x, y)?;
        let s = cx.reduce("reduce_sum", p, &[last], false)?;
        if eps == 0.0 { Ok(s) } else { cx.bn("add", s, eps) }
    };
    let (ab, aa, bb) = (sum(cx, a, b, 0.0)?, sum(cx, a, a, 1e-12)?, sum(cx, b, b, 1e-12)?);
    let d = cx.b("mul", aa, bb)?;
    let d = cx.u("sqrt", d)?;
    let cos = cx.b("div", ab, d)?;
    let near = cx.nb("sub", 1.0, cos)?;
    let far = cx.bn("sub", cos, margin)?;
    let far = cx.u("relu", far)?;
    let t = cx.cast(t, dtype)?;
    let (one, minus) = (cx.bn("equal", t, 1.0)?, cx.bn("equal", t, -1.0)?);
    let zero = cx.num(cos, 0.0)?;
    let far = cx.choose(minus, far, zero)?;
    let y = cx.choose(one, near, far)?;
    Ok(Out::Fresh(reduced(cx, y)?))
}
fn triplet_margin(cx: &mut Cx) -> R<Out> {
    let (a, p, n) = (cx.float_t("anchor")?, cx.float_t("positive")?, cx.float_t("negative")?);
    let (margin, power, eps) =
        (cx.float_or("margin", 1.0)?, cx.float_or("p", 2.0)?, cx.float_or("eps", 1e-6)?);
    for x in [a, p, n] {
        if !cx.dtype(x)?.is_float() || cx.dtype(x)? == DType::F16 {
            return Err(unsupported("a triplet loss of this type"));
        }
    }
    let near = distance(cx, a, p, power, eps, false)?;
    let mut far = distance(cx, a, n, power, eps, false)?;
    if cx.bool_or("swap", false)? {
        let other = distance(cx, p, n, power, eps, false)?;
        far = cx.b("min", far, other)?;
    }
    let y = cx.b("sub", near, far)?;
    let y = cx.bn("add", y, margin)?;
    let y = cx.u("relu", y)?;
    Ok(Out::Fresh(reduced(cx, y)?))
}
