//! Eigenvalues and eigenvectors of symmetric matrices.
use super::jacobi::{SWEEPS, TINY, cosines, partners, rounds, sorted, tangents, turned};
use super::loops::{repeat, repeat_while};
use super::matrix::{across, diagonal, down, eyes, only, outer, part, size, square, sum, transposed};
use super::ql;
use crate::pytorch::lift::cx::{Cx, Out, R, Size, V, malformed};
use hoist_ir::diag::Diag;

/// The symmetric matrix whose lower or upper triangle `a` holds.
pub(super) fn symmetric(cx: &mut Cx, a: V, upper: bool) -> R<V> {
    let (keep, strict) = if upper { ("less_or_equal", "less") } else { ("greater_or_equal", "greater") };
    let own = part(cx, a, keep)?;
    let other = part(cx, a, strict)?;
    let other = transposed(cx, other)?;
    cx.b("add", own, other)
}

/// Eigenvalues in ascending order, `[.., n]`, and eigenvectors as columns, of symmetric matrices. By Jacobi's method: sweeps over all
/// pairs of axes until what is off the diagonal is nothing beside the whole.
pub(super) fn eigen(cx: &mut Cx, a: V, with_vectors: bool) -> R<(V, V)> {
    let (n, stack) = (size(cx, a, 1)?, outer(cx, a, 2)?);
    let vectors = if with_vectors { eyes(cx, &stack, &n, &n)? } else { eyes(cx, &[], &Size::Known(0), &n)? };
    let rounds = rounds(cx, &n)?;
    let (count, n_value) = (cx.size_value(&rounds), cx.size_value(&n));
    let uses = [across(cx, &n)?, down(cx, &n)?, count, n_value];
    let sweep = |cx: &mut Cx, _: V, [a, vectors]: [V; 2], uses: [V; 4]| {
        let next = if with_vectors {
            repeat(cx, &known_or(&rounds, uses[2]), [a, vectors], uses, |cx, r, [a, vectors], uses| {
                let (a, [vectors]) = round(cx, r, a, [vectors], uses)?;
                Ok([a, vectors])
            })?
        } else {
            let inner = known_or(&rounds, uses[2]);
            let [a] = repeat(cx, &inner, [a], uses, |cx, r, [a], uses| Ok([round(cx, r, a, [], uses)?.0]))?;
            [a, vectors]
        };
        let more = unfinished(cx, next[0])?;
        Ok((Some(more), next))
    };
    let [a, vectors] = repeat_while(cx, &Size::Known(SWEEPS), [a, vectors], uses, sweep)?;
    let values = diagonal(cx, a)?;
    if !with_vectors {
        return Ok((sorted(cx, values, &[], false)?.0, vectors));
    }
    let (values, follow) = sorted(cx, values, &[vectors], false)?;
    let vectors = follow.first().copied().ok_or_else(|| malformed("no vectors"))?;
    Ok((values, vectors))
}
/// `size` inside a body: itself when known, else the captured value of it.
pub(super) fn known_or(size: &Size, captured: V) -> Size {
    match size {
        Size::Known(_) => size.clone(),
        Size::Value(_) => Size::Value(captured),
    }
}
/// Whether some matrix is not yet diagonal.
fn unfinished(cx: &mut Cx, a: V) -> R<V> {
    let squares = cx.b("mul", a, a)?;
    let own = part(cx, squares, "equal")?;
    let off = cx.b("sub", squares, own)?;
    let total = |cx: &mut Cx, x: V| -> R<V> {
        let x = sum(cx, x, 1)?;
        sum(cx, x, 2)
    };
    let (off, all) = (total(cx, off)?, total(cx, squares)?);
    let limit = cx.bn("mul", all, TINY)?;
    let more = cx.b("greater", off, limit)?;
    some(cx, more)
}
/// Whether any element is true, 0-d.
pub(super) fn some(cx: &mut Cx, flags: V) -> R<V> {
    let flags = cx.cast(flags, hoist_ir::dtype::DType::I32)?;
    let flat = cx.reshape_to(flags, &[-1])?;
    let sum = cx.reduce("reduce_sum", flat, &[0], false)?;
    cx.bn("greater", sum, 0.0)
}
/// One round of rotations that make the elements between paired axes 0.
fn round<const N: usize>(
    cx: &mut Cx,
    r: V,
    a: V,
    follow: [V; N],
    [i, rows, rounds, n]: [V; 4],
) -> R<(V, [V; N])> {
    let j = partners(cx, i, r, rounds, n)?;
    let list = cx.squeeze(j, &[0])?;
    let at = super::matrix::axis(cx, a, 1)?;
    // Column `i` of this is column `j` of the matrix: its diagonal holds the elements between the pairs.
    let other = cx.gather(a, list, at)?;
    let same = cx.b("equal", rows, i)?;
    let pick = |cx: &mut Cx, x: V| -> R<V> {
        let x = only(cx, same, x)?;
        sum(cx, x, 2)
    };
    let (own, between) = (pick(cx, a)?, pick(cx, other)?);
    let paired = cx.gather(own, list, at)?;
    let gap = cx.b("sub", own, paired)?;
    // Rounding may make both sides of the diagonal differ; their sum is the same for both positions of a pair.
    let mirrored = cx.gather(between, list, at)?;
    let twice = cx.b("add", between, mirrored)?;
    let u = tangents(cx, gap, twice, i, j)?;
    let c = cosines(cx, u)?;
    let a = turned(cx, a, list, c, u)?;
    let a = transposed(cx, a)?;
    let a = turned(cx, a, list, c, u)?;
    let mut next = follow;
    for x in &mut next {
        *x = turned(cx, *x, list, c, u)?;
    }
    Ok((a, next))
}

/// Says that the signs of vectors are not those that PyTorch happens to choose.
pub(super) fn warn_signs(cx: &mut Cx, what: &str) {
    let m = format!("{what} are defined up to their signs only, which may differ from PyTorch's");
    let op = cx.target().to_owned();
    cx.warnings.push(Diag::warning("E0302", m).op(&op));
}
fn uplo(cx: &Cx) -> R<bool> {
    match cx.str_or("UPLO", "L")? {
        "L" | "l" => Ok(false),
        "U" | "u" => Ok(true),
        other => Err(malformed(format!("`UPLO` must be L or U, is `{other}`"))),
    }
}
pub(super) fn eigh(cx: &mut Cx) -> R<Out> {
    let a = square(cx, if cx.names("A") { "A" } else { "self" })?;
    let (upper, vectors) = (uplo(cx)?, cx.bool_or("compute_v", true)?);
    let m = symmetric(cx, a.v, upper)?;
    if !vectors {
        let (w, _) = eigen(cx, m, false)?;
        let none = super::matrix::zeros(cx, &[Size::Known(0)], a.dtype)?;
        return Ok(Out::Many(vec![Out::Fresh(cx.cast(w, a.dtype)?), Out::Fresh(none)]));
    }
    warn_signs(cx, "eigenvectors");
    let n = cx.known(m, super::matrix::axis(cx, m, 1)?);
    let (w, v) = match n.filter(|n| (1..=ql::LARGEST).contains(n)) {
        Some(n) => ql::eigen(cx, m, n, upper, a.dtype)?,
        None => eigen(cx, m, true)?,
    };
    Ok(Out::Many(vec![Out::Fresh(cx.cast(w, a.dtype)?), Out::Fresh(cx.cast(v, a.dtype)?)]))
}
pub(super) fn eigvalsh(cx: &mut Cx) -> R<Out> {
    let a = square(cx, "self")?;
    let upper = uplo(cx)?;
    let m = symmetric(cx, a.v, upper)?;
    let (w, _) = eigen(cx, m, false)?;
    Ok(Out::Fresh(cx.cast(w, a.dtype)?))
}
/// The symmetric root `V sqrt(w) V'` of positive definite matrices, of which the lower triangle is read. Negative eigenvalues count as 0.
pub(super) fn matrix_sqrth(cx: &mut Cx) -> R<Out> {
    let a = square(cx, "self")?;
    let m = symmetric(cx, a.v, false)?;
    let (w, v) = eigen(cx, m, true)?;
    let negative = cx.bn("less", w, 0.0)?;
    let zero = cx.num(w, 0.0)?;
    let w = cx.choose(negative, zero, w)?;
    let root = cx.u("sqrt", w)?;
    let y = composed(cx, v, root, v)?;
    Ok(Out::Fresh(cx.cast(y, a.dtype)?))
}
/// `u diag(s) v'`.
pub(super) fn composed(cx: &mut Cx, u: V, s: V, v: V) -> R<V> {
    let line = cx.unsqueeze(s, &[-2])?;
    let scaled = cx.b("mul", u, line)?;
    let v = transposed(cx, v)?;
    cx.b("mat_mul", scaled, v)
}
