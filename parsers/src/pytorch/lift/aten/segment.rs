//! Reductions of consecutive segments of an axis.
use super::cumulate::running_sum;
use crate::pytorch::lift::cx::{Cx, Out, R, V, malformed, unsupported};
use crate::pytorch::lift::emit::wrap;
use hoist_ir::dtype::DType;

pub(super) const TABLE: super::Table = &[("segment_reduce", segment_reduce)];

/// First and last positions of segments along the last axis, from their lengths or from the positions between them.
fn ranges(cx: &mut Cx) -> R<(V, V)> {
    if let Some(n) = cx.opt_t("lengths")? {
        let n = cx.cast(n, DType::I64)?;
        let last = cx.rank(n)?.checked_sub(1).ok_or_else(|| malformed("lengths must be a line"))?;
        let ends = running_sum(cx, n, last)?;
        return Ok((cx.b("sub", ends, n)?, ends));
    }
    if cx.has("indices") {
        return Err(unsupported("segments by `indices`"));
    }
    let at = cx.t("offsets")?;
    let at = cx.cast(at, DType::I64)?;
    let last = cx.rank(at)?.checked_sub(1).ok_or_else(|| malformed("offsets must be a line"))?;
    let starts = super::cumulate::slice_until(cx, at, last, -1)?;
    let ends = super::cumulate::slice_from(cx, at, last, 1)?;
    Ok((starts, ends))
}
/// What a segment's reduction starts from, its operator, and what elements of other segments count as.
fn start(word: &str) -> R<(f64, &'static str)> {
    Ok(match word {
        "sum" | "mean" => (0.0, "reduce_sum"),
        "max" => (f64::NEG_INFINITY, "reduce_max"),
        "min" => (f64::INFINITY, "reduce_min"),
        "prod" => (1.0, "reduce_prod"),
        other => return Err(malformed(format!("reduction `{other}` is unknown"))),
    })
}
fn segment_reduce(cx: &mut Cx) -> R<Out> {
    let x = cx.t("data")?;
    let word = cx.str_or("reduce", "sum")?.to_owned();
    let (neutral, op) = start(&word)?;
    let initial = if cx.has("initial") { Some(cx.float("initial")?) } else { None };
    cx.bool_or("unsafe", false)?;
    let rank = cx.rank(x)?;
    let axis = wrap(cx.int_or("axis", 0)?, rank)?;
    let (starts, ends) = ranges(cx)?;
    if cx.rank(starts)? != axis + 1 {
        return Err(malformed("segments must have as many axes as the data up to the reduced one"));
    }
    // [.., segment, position, rest..]
    let last = axis as i64 + 1;
    let (starts, ends) = (cx.unsqueeze(starts, &[last])?, cx.unsqueeze(ends, &[last])?);
    let n = cx.dim(x, axis)?;
    let at = cx.iota(&n)?;
    let (after, before) = (cx.b("greater_or_equal", at, starts)?, cx.b("less", at, ends)?);
    let own = cx.b("and", after, before)?;
    let rest: Vec<i64> = (axis as i64 + 2..=rank as i64).collect();
    let own = cx.unsqueeze(own, &rest)?;
    let wide = cx.unsqueeze(x, &[axis as i64])?;
    let none = cx.num(x, neutral)?;
    let chosen = cx.choose(own, wide, none)?;
    let mut y = cx.reduce(op, chosen, &[axis + 1], false)?;
    if let Some(v) = initial {
        let v = cx.num(x, v)?;
        y = match op {
            "reduce_sum" => cx.b("add", y, v)?,
            "reduce_prod" => cx.b("mul", y, v)?,
            "reduce_max" => cx.b("max", y, v)?,
            _ => cx.b("min", y, v)?,
        };
    }
    if word == "mean" {
        let count = cx.b("sub", ends, starts)?;
        let count = cx.squeeze(count, &[last])?;
        let rest: Vec<i64> = (axis as i64 + 1..rank as i64).collect();
        let count = cx.unsqueeze(count, &rest)?;
        let dtype = cx.dtype(x)?;
        let count = cx.cast(count, dtype)?;
        // An empty segment keeps what it starts from; without that it is 0 / 0.
        let count = if initial.is_some() { cx.bn("max", count, 1.0)? } else { count };
        y = cx.b("div", y, count)?;
    }
    Ok(Out::Fresh(y))
}
