//! Losses that compare pairs, count events or align sequences.
use super::loss::reduced;
use super::reduce::log_sum_exp;
use crate::pytorch::lift::cx::{Cx, Out, R, Size, V, malformed, unsupported};
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;

pub(super) const TABLE: super::Table = &[
    ("hinge_embedding_loss", hinge_embedding),
    ("margin_ranking_loss", margin_ranking),
    ("poisson_nll_loss", poisson),
    ("ctc_loss", |cx| {
        let y = ctc(cx, true)?;
        Ok(Out::Fresh(y))
    }),
];

/// `x` for target 1, `max(0, margin - x)` for -1.
fn hinge_embedding(cx: &mut Cx) -> R<Out> {
    let (x, t) = cx.pair("self", "target")?;
    let margin = cx.float_or("margin", 1.0)?;
    let far = cx.nb("sub", margin, x)?;
    let far = cx.u("relu", far)?;
    let (one, minus) = (cx.bn("equal", t, 1.0)?, cx.bn("equal", t, -1.0)?);
    let zero = cx.num(x, 0.0)?;
    // The parts add up: of a target that is neither, both count.
    let a = cx.choose(one, zero, far)?;
    let b = cx.choose(minus, zero, x)?;
    let y = cx.b("add", a, b)?;
    Ok(Out::Fresh(reduced(cx, y)?))
}
/// `max(0, margin - t (a - b))`.
fn margin_ranking(cx: &mut Cx) -> R<Out> {
    // The margin is a float.
    let (a, b) = cx.float_pair("input1", "input2")?;
    let (t, margin) = (cx.t("target")?, cx.float_or("margin", 0.0)?);
    let dtype = cx.dtype(a)?;
    let t = cx.cast(t, dtype)?;
    let d = cx.b("sub", b, a)?;
    let d = cx.b("mul", d, t)?;
    let d = cx.bn("add", d, margin)?;
    let y = cx.u("relu", d)?;
    Ok(Out::Fresh(reduced(cx, y)?))
}
/// `exp(x) - t x` or `x - t log(x + eps)`; with Stirling's approximation of `log(t!)` above 1 where it is to be full.
fn poisson(cx: &mut Cx) -> R<Out> {
    let (x, t) = cx.float_pair("input", "target")?;
    let (log, full, eps) =
        (cx.bool_or("log_input", true)?, cx.bool_or("full", false)?, cx.float_or("eps", 1e-8)?);
    let mut y = if log {
        let (e, p) = (cx.u("exp", x)?, cx.b("mul", t, x)?);
        cx.b("sub", e, p)?
    } else {
        let l = cx.bn("add", x, eps)?;
        let l = cx.u("log", l)?;
        let p = cx.b("mul", t, l)?;
        cx.b("sub", x, p)?
    };
    if full {
        let l = cx.u("log", t)?;
        let main = cx.b("mul", t, l)?;
        let main = cx.b("sub", main, t)?;
        let turn = cx.bn("mul", t, 2.0 * std::f64::consts::PI)?;
        let turn = cx.u("log", turn)?;
        let half = cx.bn("mul", turn, 0.5)?;
        let stirling = cx.b("add", main, half)?;
        let above = cx.bn("greater", t, 1.0)?;
        let zero = cx.num(t, 0.0)?;
        let stirling = cx.choose(above, stirling, zero)?;
        y = cx.b("add", y, stirling)?;
    }
    Ok(Out::Fresh(reduced(cx, y)?))
}
/// Lengths given as numbers or as a tensor.
fn lengths(cx: &mut Cx, name: &str) -> R<V> {
    if cx.is_tensor(name) {
        let t = cx.t(name)?;
        let t = cx.cast(t, DType::I64)?;
        return cx.reshape_to(t, &[-1]);
    }
    let list = cx.ints(name)?;
    Ok(cx.int_list(&list))
}
/// Labels as rows `[n, s]`: those given one after the other are cut apart.
fn label_rows(cx: &mut Cx, lengths: V, batch: i64) -> R<V> {
    let t = cx.t("targets")?;
    let t = cx.cast(t, DType::I64)?;
    if cx.rank(t)? == 2 {
        return Ok(t);
    }
    if batch == 1 {
        return cx.unsqueeze(t, &[0]);
    }
    let total = cx.known(t, 0).ok_or_else(|| unsupported("labels of dynamic number in one line"))?;
    let longest = match cx.graph.const_ints(Some(lengths)) {
        Some(list) => list.into_iter().max().unwrap_or(0),
        None => total,
    };
    let ends = super::cumulate::running_sum(cx, lengths, 0)?;
    let starts = cx.b("sub", ends, lengths)?;
    let starts = cx.unsqueeze(starts, &[1])?;
    let line = cx.iota(&Size::Known(longest))?;
    let at = cx.b("add", starts, line)?;
    let at = cx.bn("min", at, (total - 1).max(0) as f64)?;
    cx.gather(t, at, 0)
}
/// `log(exp(a) + exp(b) + ..)` over the last of stacked axes.
fn log_add_all(cx: &mut Cx, parts: &[V]) -> R<V> {
    let rank = cx.rank(parts[0])?;
    let wide = parts.iter().map(|v| cx.unsqueeze(*v, &[rank as i64])).collect::<R<Vec<_>>>()?;
    let all = cx.concat(&wide, rank)?;
    log_sum_exp(cx, all, &[rank], false)
}
/// Columns of `x` moved `by` to the right, minus infinity coming in.
fn moved(cx: &mut Cx, x: V, by: i64) -> R<V> {
    let never = cx.num(x, f64::NEG_INFINITY)?;
    let pads = cx.int_list(&[0, by, 0, -by]);
    cx.op("pad", &[x, pads, never])
}
/// 0 where a place of the path `[n, 2 s + 1]` may follow the place two before it, else minus infinity: labels that are not the same need
/// no blank between them.
fn skips(cx: &mut Cx, path: V, (batch, s): (i64, i64), blank: i64, dtype: DType) -> R<V> {
    let (front, back) = (
        cx.slice_known(path, 1, 0, (2 * s - 1).max(0))?,
        cx.slice_known(path, 1, (2 * s + 1).min(2), 2 * s + 1)?,
    );
    let same = cx.b("equal", front, back)?;
    let blank_there = cx.bn("equal", back, blank as f64)?;
    let no = cx.b("or", same, blank_there)?;
    let (never, free) = (cx.num_of(dtype, f64::NEG_INFINITY)?, cx.num_of(dtype, 0.0)?);
    let skip = cx.choose(no, never, free)?;
    if s > 0 {
        let pads = cx.int_list(&[0, 2, 0, 0]);
        cx.op("pad", &[skip, pads, never])
    } else {
        cx.full(&[Size::Known(batch), Size::Known(1)], never)
    }
}
/// Minus the logarithm of the probability of ending at the last label or at the blank behind it.
fn ended(cx: &mut Cx, alpha: V, counts: V, dtype: DType) -> R<V> {
    let double = cx.bn("mul", counts, 2.0)?;
    let end = cx.unsqueeze(double, &[1])?;
    let attrs = [("axis", Attr::Int(1))];
    let a = cx.with("gather_elements", &[alpha, end], &attrs)?;
    let before = cx.bn("sub", end, 1.0)?;
    let before = cx.bn("max", before, 0.0)?;
    let b = cx.with("gather_elements", &[alpha, before], &attrs)?;
    let never = cx.num_of(dtype, f64::NEG_INFINITY)?;
    let none = cx.bn("equal", end, 0.0)?;
    let b = cx.choose(none, never, b)?;
    let y = log_add_all(cx, &[a, b])?;
    let y = cx.squeeze(y, &[1])?;
    cx.u("neg", y)
}
/// Connectionist temporal classification (Graves and others, 2006): minus the logarithm of the probability of all alignments of the labels,
/// by the forward recursion over labels with blanks between them.
fn ctc(cx: &mut Cx, reduce: bool) -> R<V> {
    let x = cx.t("log_probs")?;
    let line = cx.rank(x)? == 2;
    let x = if line { cx.unsqueeze(x, &[1])? } else { x };
    let dtype = cx.dtype(x)?;
    let (blank, endless) = (cx.int_or("blank", 0)?, cx.bool_or("zero_infinity", false)?);
    let batch = cx.known(x, 1).ok_or_else(|| unsupported("a dynamic number of sequences"))?;
    let (times, counts) = (lengths(cx, "input_lengths")?, lengths(cx, "target_lengths")?);
    let labels = label_rows(cx, counts, batch)?;
    let s = cx.known(labels, 1).ok_or_else(|| unsupported("a dynamic number of labels"))?;
    // blank, label, blank, .., label, blank
    let blanks = cx.int_of(DType::I64, blank)?;
    let blanks = cx.full(&[Size::Known(batch), Size::Known(s), Size::Known(1)], blanks)?;
    let wide = cx.unsqueeze(labels, &[2])?;
    let both = cx.concat(&[blanks, wide], 2)?;
    let both = cx.reshape_to(both, &[batch, 2 * s])?;
    let last = cx.int_of(DType::I64, blank)?;
    let last = cx.full(&[Size::Known(batch), Size::Known(1)], last)?;
    let path = cx.concat(&[both, last], 1)?;
    let steps = cx.dim(x, 0)?;
    let at = cx.unsqueeze(path, &[0])?;
    let at = cx.expand(at, &[steps.clone(), Size::Known(batch), Size::Known(2 * s + 1)])?;
    let emitted = cx.with("gather_elements", &[x, at], &[("axis", Attr::Int(2))])?;
    let skip = skips(cx, path, (batch, s), blank, dtype)?;
    // First step: the first blank or the first label.
    let line0: Vec<f64> = (0..=2 * s).map(|i| if i < 2 { 0.0 } else { f64::NEG_INFINITY }).collect();
    let t = Tensor::from_vec(&[1, line0.len()], line0)
        .cast(dtype, false)
        .map_err(|e| malformed(e.to_string()))?;
    let start = cx.constant(t);
    let first = cx.select(emitted, 0, 0)?;
    let alpha = cx.b("add", first, start)?;
    let trips = cx.size_scalar(&steps)?;
    let one = cx.constant(Tensor::scalar(1i64));
    let trips = cx.b("sub", trips, one)?;
    let times = cx.unsqueeze(times, &[1])?;
    let times = cx.cast(times, DType::I64)?;
    let out = cx.repeat(trips, &[alpha], &[emitted, skip, times], |cx, k, carried, seen| {
        let t = cx.bn("add", k, 1.0)?;
        let now = cx.gather(seen[0], t, 0)?;
        let (next, over) = (moved(cx, carried[0], 1)?, moved(cx, carried[0], 2)?);
        let over = cx.b("add", over, seen[1])?;
        let sum = log_add_all(cx, &[carried[0], next, over])?;
        let sum = cx.b("add", sum, now)?;
        let active = cx.b("less", t, seen[2])?;
        Ok((None, vec![cx.choose(active, sum, carried[0])?]))
    })?;
    let mut y = ended(cx, out[0], counts, dtype)?;
    if endless {
        let inf = cx.bn("equal", y, f64::INFINITY)?;
        y = cx.put(inf, 0.0, y)?;
    }
    if !reduce {
        return Ok(y);
    }
    if cx.int_or("reduction", 1)? == 1 {
        let n = cx.bn("max", counts, 1.0)?;
        let n = cx.cast(n, dtype)?;
        let n = cx.b("div", y, n)?;
        return cx.reduce("reduce_mean", n, &[], false);
    }
    let y = if line { cx.squeeze(y, &[0])? } else { y };
    reduced(cx, y)
}
