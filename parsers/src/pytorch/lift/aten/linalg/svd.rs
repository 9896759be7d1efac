//! Singular value decomposition.
use super::eigh::{composed, known_or, some, warn_signs};
use super::jacobi::{SWEEPS, TINY, cosines, partners, rounds, sorted, tangents, turned};
use super::loops::{repeat, repeat_while};
use super::matrix::{
    Mat, across, axis, diagonal, eyes, first, greatest, joined, matrix, outer, size, smaller, sum,
    transposed, zeros,
};
use super::{bidiagonal, qr};
use crate::pytorch::lift::cx::{Cx, Out, R, Size, V, malformed};
use hoist_ir::dtype::DType;

/// `a = W V'` with orthogonal columns in `W`, in the order of descending size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turned {
    /// `[.., m, n]`; the sizes of its columns are the singular values, of which those behind the first `min(m, n)` are 0.
    pub w: V,
    /// Sizes of the columns, `[.., n]`.
    pub s: V,
    /// `[.., n, n]`, or `[.., 0, n]` when not wanted.
    pub v: V,
}

/// Hestenes' one-sided form of Jacobi's method: rotations of pairs of columns until all are orthogonal. It finds small singular values
/// as accurately as large ones.
pub(super) fn turn(cx: &mut Cx, a: V, with_v: bool) -> R<Turned> {
    let (n, stack) = (size(cx, a, 1)?, outer(cx, a, 2)?);
    let v = if with_v {
        eyes(cx, &stack, &n, &n)?
    } else {
        zeros(cx, &joined(&stack, &[&Size::Known(0), &n]), DType::F64)?
    };
    let turns = rounds(cx, &n)?;
    let (count, n_value) = (cx.size_value(&turns), cx.size_value(&n));
    let none = zeros(cx, &joined(&stack, &[&Size::Known(1), &n]), DType::F64)?;
    let uses = [across(cx, &n)?, count, n_value, none];
    let sweep = |cx: &mut Cx, _: V, [w, v]: [V; 2], uses: [V; 4]| {
        let trips = known_or(&turns, uses[1]);
        let [i, count, n, none] = uses;
        let [w, v, worst] = repeat(cx, &trips, [w, v, none], [i, count, n], round)?;
        let more = cx.bn("greater", worst, TINY)?;
        Ok((Some(some(cx, more)?), [w, v]))
    };
    let [w, v] = repeat_while(cx, &Size::Known(SWEEPS), [a, v], uses, sweep)?;
    let sizes = lengths(cx, w)?;
    let sizes = cx.squeeze(sizes, &[-2])?;
    let s = cx.u("sqrt", sizes)?;
    let follow = if with_v { vec![w, v] } else { vec![w] };
    let (s, follow) = sorted(cx, s, &follow, true)?;
    let w = follow.first().copied().unwrap_or(w);
    Ok(Turned { w, s, v: follow.get(1).copied().unwrap_or(v) })
}
/// Squared sizes of columns, `[.., 1, n]`.
fn lengths(cx: &mut Cx, w: V) -> R<V> {
    let squares = cx.b("mul", w, w)?;
    sum(cx, squares, 2)
}
fn round(cx: &mut Cx, r: V, [w, v, worst]: [V; 3], [i, rounds, n]: [V; 3]) -> R<[V; 3]> {
    let j = partners(cx, i, r, rounds, n)?;
    let list = cx.squeeze(j, &[0])?;
    let at = axis(cx, w, 1)?;
    let other = cx.gather(w, list, at)?;
    let own = lengths(cx, w)?;
    let paired = cx.gather(own, list, at)?;
    let products = cx.b("mul", w, other)?;
    let between = sum(cx, products, 2)?;
    let gap = cx.b("sub", own, paired)?;
    let twice = cx.b("add", between, between)?;
    let u = tangents(cx, gap, twice, i, j)?;
    let c = cosines(cx, u)?;
    let (w, v) = (turned(cx, w, list, c, u)?, turned(cx, v, list, c, u)?);

    // The square of the cosine between the columns, 0 where one is 0.
    let square = cx.b("mul", between, between)?;
    let scale = cx.b("mul", own, paired)?;
    let flat = cx.bn("equal", scale, 0.0)?;
    let alone = cx.b("equal", i, j)?;
    let skipped = cx.b("or", flat, alone)?;
    let one = cx.num(scale, 1.0)?;
    let scale = cx.choose(skipped, one, scale)?;
    let angle = cx.b("div", square, scale)?;
    let zero = cx.num(angle, 0.0)?;
    let angle = cx.choose(skipped, zero, angle)?;
    Ok([w, v, cx.op("max", &[worst, angle])?])
}

/// Whether the matrices have surely more columns than rows, so that their transposes are decomposed.
fn is_wide(cx: &Cx, a: V) -> R<bool> {
    let rank = cx.rank(a)?;
    let (m, n) = (cx.known(a, rank.saturating_sub(2)), cx.known(a, rank.saturating_sub(1)));
    Ok(matches!((m, n), (Some(m), Some(n)) if m < n))
}
/// Singular values in descending order, `[.., min(m, n)]`.
pub(super) fn values(cx: &mut Cx, a: V) -> R<V> {
    let a = if is_wide(cx, a)? { transposed(cx, a)? } else { a };
    let (m, n) = (size(cx, a, 2)?, size(cx, a, 1)?);
    let t = turn(cx, a, false)?;
    let k = smaller(cx, &m, &n)?;
    first(cx, t.s, 1, &k)
}
/// `a = U diag(s) V'`, as `(U, s, V)`. The columns of `U` and `V` are as many as the singular values, or all of a basis when `full`.
pub(super) fn decomposed(cx: &mut Cx, a: V, full: bool) -> R<(V, V, V)> {
    if is_wide(cx, a)? {
        let a = transposed(cx, a)?;
        let (u, s, v) = decomposed_tall(cx, a, full)?;
        return Ok((v, s, u));
    }
    decomposed_tall(cx, a, full)
}
/// The columns of `W` become those of `U` by a QR factorisation: it completes the basis where singular values are 0 or rows are more.
fn decomposed_tall(cx: &mut Cx, a: V, full: bool) -> R<(V, V, V)> {
    let (m, n) = (size(cx, a, 2)?, size(cx, a, 1)?);
    let k = smaller(cx, &m, &n)?;
    let t = turn(cx, a, true)?;
    let (w, s) = (first(cx, t.w, 1, &k)?, first(cx, t.s, 1, &k)?);
    let v = if full { t.v } else { first(cx, t.v, 1, &k)? };
    let (packed, tau) = qr::factor(cx, w)?;
    let u = qr::product(cx, packed, tau, if full { &m } else { &k })?;
    // The factorisation turns some columns; `V` keeps its directions.
    let d = diagonal(cx, packed)?;
    let negative = cx.bn("less", d, 0.0)?;
    let negative = if full && m != k { beyond(cx, negative, &m, &k)? } else { negative };
    let negative = cx.unsqueeze(negative, &[-2])?;
    let other = cx.u("neg", u)?;
    Ok((cx.choose(negative, other, u)?, s, v))
}
/// Flags `[.., k]` followed by `false` up to `m`.
fn beyond(cx: &mut Cx, flags: V, m: &Size, k: &Size) -> R<V> {
    let rest = cx.size_op("sub", m, k, i64::checked_sub)?;
    let last = cx.rank(flags)?.saturating_sub(1);
    let sizes = outer(cx, flags, 1)?;
    let none = zeros(cx, &joined(&sizes, &[&rest]), DType::Bool)?;
    cx.concat(&[flags, none], last)
}

/// [`decomposed`] with the signs of LAPACK where it is known how those come about.
fn like_lapack(cx: &mut Cx, a: Mat, full: bool) -> R<(V, V, V)> {
    if let Some(&[.., m, n]) = cx.known_sizes(a.v).as_deref()
        && (1..=bidiagonal::LARGEST).contains(&m.min(n))
    {
        return bidiagonal::decomposed(cx, a.v, (m, n), full, a.dtype);
    }
    decomposed(cx, a.v, full)
}
fn read_driver(cx: &Cx) -> R<()> {
    // The driver chooses among algorithms with the same meaning.
    cx.str_or("driver", "")?;
    Ok(())
}
pub(super) fn svdvals(cx: &mut Cx) -> R<Out> {
    read_driver(cx)?;
    let a = matrix(cx, "A")?;
    let s = values(cx, a.v)?;
    Ok(Out::Fresh(cx.cast(s, a.dtype)?))
}
/// `U`, `s` and `V'`. Without vectors those are empty.
fn svd_of(cx: &mut Cx, full: bool) -> R<Out> {
    read_driver(cx)?;
    let a = matrix(cx, "A")?;
    if !cx.bool_or("compute_uv", true)? {
        let s = values(cx, a.v)?;
        let none = zeros(cx, &[Size::Known(0)], a.dtype)?;
        let s = cx.cast(s, a.dtype)?;
        return Ok(Out::Many(vec![Out::Fresh(none), Out::Fresh(s), Out::Fresh(none)]));
    }
    warn_signs(cx, "singular vectors");
    let (u, s, v) = like_lapack(cx, a, full)?;
    let v = transposed(cx, v)?;
    let out = [u, s, v].into_iter().map(|x| Ok(Out::Fresh(cx.cast(x, a.dtype)?)));
    Ok(Out::Many(out.collect::<R<_>>()?))
}
pub(super) fn svd(cx: &mut Cx) -> R<Out> {
    let full = cx.bool_or("full_matrices", true)?;
    svd_of(cx, full)
}
pub(super) fn internal_svd(cx: &mut Cx) -> R<Out> {
    let full = cx.bool_or("full_matrices", false)?;
    svd_of(cx, full)
}
/// `U`, `s` and `V`. Without vectors those are zeros of their full sizes.
pub(super) fn legacy_svd(cx: &mut Cx) -> R<Out> {
    let a = matrix(cx, "self")?;
    let (some, vectors) = (cx.bool_or("some", true)?, cx.bool_or("compute_uv", true)?);
    let (u, s, v) = if vectors {
        warn_signs(cx, "singular vectors");
        like_lapack(cx, a, !some)?
    } else {
        let (m, n, stack) = (size(cx, a.v, 2)?, size(cx, a.v, 1)?, outer(cx, a.v, 2)?);
        let u = zeros(cx, &joined(&stack, &[&m, &m]), DType::F64)?;
        let v = zeros(cx, &joined(&stack, &[&n, &n]), DType::F64)?;
        (u, values(cx, a.v)?, v)
    };
    let out = [u, s, v].into_iter().map(|x| Ok(Out::Fresh(cx.cast(x, a.dtype)?)));
    Ok(Out::Many(out.collect::<R<_>>()?))
}
/// `U = W Vh` and `H = V diag(s) Vh` of the singular value decomposition: the nearest matrix with orthonormal columns, and the rest.
pub(super) fn polar(cx: &mut Cx) -> R<Out> {
    let a = matrix(cx, "A")?;
    if is_wide(cx, a.v)? {
        return Err(malformed("a polar decomposition needs at least as many rows as columns"));
    }
    let (u, s, v) = decomposed(cx, a.v, false)?;
    let line = transposed(cx, v)?;
    let unitary = cx.b("mat_mul", u, line)?;
    let rest = composed(cx, v, s, v)?;
    Ok(Out::Many(vec![Out::Fresh(cx.cast(unitary, a.dtype)?), Out::Fresh(cx.cast(rest, a.dtype)?)]))
}
/// Greatest singular value of each matrix, kept as an axis of size 1.
pub(super) fn leading(cx: &mut Cx, s: V) -> R<V> {
    greatest(cx, s, 1)
}
