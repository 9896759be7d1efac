//! QR factorisation by Householder reflections, with the signs of LAPACK's `geqrf`.
use super::loops::repeat;
use super::matrix::{
    across, column, down, eyes, first, joined, matrix, minus, only, outer, part, row, same_outer, size,
    smaller, sum, transposed, wide, zeros,
};
use crate::pytorch::lift::cx::{Cx, Out, R, Size, V, malformed, unsupported};
use hoist_ir::dtype::DType;

/// `R` on and above the diagonal, below it the reflections without their leading 1, `[.., m, n]`; and their factors,
/// `[.., min(m, n), 1]`. A column that is 0 below the diagonal has the factor 0.
pub(super) fn factor(cx: &mut Cx, a: V) -> R<(V, V)> {
    let (m, n) = (size(cx, a, 2)?, size(cx, a, 1)?);
    let (stack, count) = (outer(cx, a, 2)?, smaller(cx, &m, &n)?);
    let tau = zeros(cx, &joined(&stack, &[&count, &Size::Known(1)]), DType::F64)?;
    let uses = [down(cx, &m)?, across(cx, &n)?, down(cx, &count)?];
    let [a, tau] = repeat(cx, &count, [a, tau], uses, |cx, k, [a, tau], [rows, columns, steps]| {
        let col = column(cx, a, k)?;
        let h = reflector(cx, col, rows, k)?;
        let right = cx.b("greater", columns, k)?;
        let change = reflection(cx, a, h.v, h.t)?;
        let change = only(cx, right, change)?;
        let rest = cx.b("sub", a, change)?;
        // The column itself: its diagonal becomes `beta`, the reflection stands below.
        let (below, at_k) = (cx.b("greater", rows, k)?, cx.b("equal", rows, k)?);
        let own = cx.choose(below, h.v, rest)?;
        let own = cx.choose(at_k, h.beta, own)?;
        let this = cx.b("equal", columns, k)?;
        let now = cx.b("equal", steps, k)?;
        Ok([cx.choose(this, own, rest)?, cx.choose(now, h.t, tau)?])
    })?;
    Ok((a, tau))
}
/// `1 - t v v'`, which turns a column into one that is 0 below position `k`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reflector {
    /// 0 above position `k` and 1 there: `[.., m, 1]`.
    pub v: V,
    /// 0 where the column has that form already: `[.., 1, 1]`.
    pub t: V,
    /// What stands at position `k` afterwards: `[.., 1, 1]`. Its sign is the opposite of what stood there.
    pub beta: V,
}
/// The reflection for column `col` (`[.., m, 1]`) and position `k`.
pub(super) fn reflector(cx: &mut Cx, col: V, rows: V, k: V) -> R<Reflector> {
    let below = cx.b("greater", rows, k)?;
    let x = only(cx, below, col)?;
    let squares = cx.b("mul", x, x)?;
    let tail = sum(cx, squares, 2)?;
    let flat = cx.bn("equal", tail, 0.0)?;
    let alpha = row(cx, col, k)?;
    let squared = cx.b("mul", alpha, alpha)?;
    let both = cx.b("add", squared, tail)?;
    let norm = cx.u("sqrt", both)?;
    let opposite = cx.u("neg", norm)?;
    let negative = cx.bn("less", alpha, 0.0)?;
    let beta = cx.choose(negative, norm, opposite)?;
    let one = cx.num(beta, 1.0)?;
    let safe = cx.choose(flat, one, beta)?;
    let gap = cx.b("sub", alpha, beta)?;
    let scale = cx.choose(flat, one, gap)?;
    let v = cx.b("div", x, scale)?;
    let t = cx.b("div", gap, safe)?;
    let t = cx.u("neg", t)?;
    let zero = cx.num(t, 0.0)?;
    let t = cx.choose(flat, zero, t)?;
    let at_k = cx.b("equal", rows, k)?;
    Ok(Reflector { v: cx.choose(at_k, one, v)?, t, beta: cx.choose(flat, alpha, beta)? })
}
/// `t v v' x`: what a reflection takes from `x`.
fn reflection(cx: &mut Cx, x: V, v: V, t: V) -> R<V> {
    let line = transposed(cx, v)?;
    let along = cx.b("mat_mul", line, x)?;
    let along = cx.b("mul", along, t)?;
    cx.b("mul", v, along)
}
/// `Q C`, or `Q' C`, where `Q` is the product of the reflections that `a` and `tau` (`[.., k, 1]`) hold.
pub(super) fn apply(cx: &mut Cx, a: V, tau: V, c: V, flipped: bool) -> R<V> {
    let (a, c) = same_outer(cx, a, c)?;
    let (m, count) = (size(cx, c, 2)?, size(cx, tau, 2)?);
    let (rows, last) = (down(cx, &m)?, minus(cx, &count, 1)?);
    let last = cx.size_value(&last);
    let [c] = repeat(cx, &count, [c], [a, tau, rows, last], |cx, i, [c], [a, tau, rows, last]| {
        let k = if flipped { i } else { cx.b("sub", last, i)? };
        let col = column(cx, a, k)?;
        let below = cx.b("greater", rows, k)?;
        let v = only(cx, below, col)?;
        let at_k = cx.b("equal", rows, k)?;
        let one = cx.num(v, 1.0)?;
        let v = cx.choose(at_k, one, v)?;
        let t = row(cx, tau, k)?;
        let change = reflection(cx, c, v, t)?;
        Ok([cx.b("sub", c, change)?])
    })?;
    Ok(c)
}
/// The first `columns` columns of the product of the reflections.
pub(super) fn product(cx: &mut Cx, a: V, tau: V, columns: &Size) -> R<V> {
    let (m, stack) = (size(cx, a, 2)?, outer(cx, a, 2)?);
    let one = eyes(cx, &stack, &m, columns)?;
    apply(cx, a, tau, one, false)
}

/// Factors of reflections, `[.., k, 1]`.
fn factors(cx: &mut Cx, name: &str) -> R<V> {
    let t = cx.t(name)?;
    let t = wide(cx, t)?.v;
    cx.unsqueeze(t, &[-1])
}
pub(super) fn geqrf(cx: &mut Cx) -> R<Out> {
    let a = matrix(cx, "self")?;
    let (packed, tau) = factor(cx, a.v)?;
    let tau = cx.squeeze(tau, &[-1])?;
    Ok(Out::Many(vec![Out::Fresh(cx.cast(packed, a.dtype)?), Out::Fresh(cx.cast(tau, a.dtype)?)]))
}
pub(super) fn qr(cx: &mut Cx) -> R<Out> {
    let mode = cx.str_or("mode", "reduced")?.to_owned();
    factored(cx, "A", &mode)
}
pub(super) fn legacy_qr(cx: &mut Cx) -> R<Out> {
    let mode = if cx.bool_or("some", true)? { "reduced" } else { "complete" };
    factored(cx, "self", mode)
}
fn factored(cx: &mut Cx, name: &str, mode: &str) -> R<Out> {
    let a = matrix(cx, name)?;
    let (m, n) = (size(cx, a.v, 2)?, size(cx, a.v, 1)?);
    let (packed, tau) = factor(cx, a.v)?;
    let k = smaller(cx, &m, &n)?;
    let wanted = match mode {
        "complete" => m,
        "reduced" | "r" => k,
        other => return Err(unsupported(format!("mode `{other}` of a QR factorisation"))),
    };
    let q = if mode == "r" {
        zeros(cx, &[Size::Known(0)], a.dtype)?
    } else {
        let q = product(cx, packed, tau, &wanted)?;
        cx.cast(q, a.dtype)?
    };
    let r = first(cx, packed, 2, &wanted)?;
    let r = part(cx, r, "less_or_equal")?;
    Ok(Out::Many(vec![Out::Fresh(q), Out::Fresh(cx.cast(r, a.dtype)?)]))
}
pub(super) fn householder_product(cx: &mut Cx) -> R<Out> {
    let (a, tau) = if cx.names("input") { ("input", "tau") } else { ("self", "input2") };
    let (a, tau) = (matrix(cx, a)?, factors(cx, tau)?);
    let n = size(cx, a.v, 1)?;
    let q = product(cx, a.v, tau, &n)?;
    Ok(Out::Fresh(cx.cast(q, a.dtype)?))
}
/// `C Q` is the transpose of `Q' C'`.
pub(super) fn ormqr(cx: &mut Cx) -> R<Out> {
    let (a, tau, c) = (matrix(cx, "self")?, factors(cx, "input2")?, matrix(cx, "input3")?);
    if cx.rank(tau)? != cx.rank(a.v)? {
        return Err(malformed("reflections and their factors differ in rank"));
    }
    let (left, flipped) = (cx.bool_or("left", true)?, cx.bool_or("transpose", false)?);
    let x = if left {
        apply(cx, a.v, tau, c.v, flipped)?
    } else {
        let c = transposed(cx, c.v)?;
        let x = apply(cx, a.v, tau, c, !flipped)?;
        transposed(cx, x)?
    };
    Ok(Out::Fresh(cx.cast(x, c.dtype)?))
}
