//! The bidiagonal form of matrices, and the singular value decomposition that begins with it.
use super::golub::iterate;
use super::loops::repeat;
use super::matrix::{across, column, down, eyes, first, only, outer, part, row, sum, transposed};
use super::places::turn;
use super::qr::{self, Reflector, reflector};
use crate::pytorch::lift::cx::{Cx, R, Size, V};
use hoist_ir::dtype::DType;

/// Most columns of matrices that `gesdd` treats this way.
pub(super) const LARGEST: i64 = 25;

/// `a = Q B P'` for `m >= n`: `(d, e, Q, P)`, with the diagonal of `B` and what stands above it as `[.., 1, n]`.
fn bidiagonal(cx: &mut Cx, a: V, m: i64, n: i64) -> R<(V, V, V, V)> {
    let stack = outer(cx, a, 2)?;
    let (tall, side) = (Size::Known(m), Size::Known(n));
    let (q, p) = (eyes(cx, &stack, &tall, &tall)?, eyes(cx, &stack, &side, &side)?);
    let (rows, columns) = (down(cx, &tall)?, down(cx, &side)?);
    let state = [a, q, p];
    let [b, q, p] = repeat(cx, &side, state, [rows, columns], |cx, k, [a, q, p], [rows, columns]| {
        let col = column(cx, a, k)?;
        let h = reflector(cx, col, rows, k)?;
        let left = transposed(cx, a)?;
        let left = reflected(cx, left, h)?;
        let a = transposed(cx, left)?;
        let q = reflected(cx, q, h)?;
        let line = row(cx, a, k)?;
        let line = transposed(cx, line)?;
        let (next, last) = (cx.bn("add", k, 1.0)?, cx.num(k, (n - 1) as f64)?);
        let next = cx.op("min", &[next, last])?;
        let h = reflector(cx, line, columns, next)?;
        Ok([reflected(cx, a, h)?, q, reflected(cx, p, h)?])
    })?;
    let (i, j) = (down(cx, &tall)?, across(cx, &side)?);
    let own = cx.b("equal", i, j)?;
    let d = only(cx, own, b)?;
    let d = sum(cx, d, 2)?;
    // The element above the diagonal in column `j + 1` belongs to `j`.
    let b = transposed(cx, b)?;
    let (i, j) = (down(cx, &side)?, across(cx, &tall)?);
    let before = cx.bn("sub", i, 1.0)?;
    let beside = cx.b("equal", before, j)?;
    let e = only(cx, beside, b)?;
    let e = sum(cx, e, 2)?;
    let e = first(cx, e, 1, &side)?;
    Ok((d, e, q, p))
}
/// `x (1 - t v v')`.
fn reflected(cx: &mut Cx, x: V, h: Reflector) -> R<V> {
    let along = cx.b("mat_mul", x, h.v)?;
    let along = cx.b("mul", along, h.t)?;
    let line = transposed(cx, h.v)?;
    let change = cx.b("mul", along, line)?;
    cx.b("sub", x, change)
}
/// `B'` made upper bidiagonal again by rotations of rows, and `u` times those rotations.
fn upper(cx: &mut Cx, d: V, e: V, u: V, k: i64) -> R<(V, V, V)> {
    let side = Size::Known(k);
    let at = across(cx, &side)?;
    let [d, e, u] = repeat(cx, &Size::Known(k - 1), [d, e, u], [at], |cx, i, [d, e, u], [at]| {
        let next = cx.bn("add", i, 1.0)?;
        let (x, y, z) = (column(cx, d, i)?, column(cx, e, i)?, column(cx, d, next)?);
        let (c, s, r) = turn(cx, x, y)?;
        let (here, there) = (cx.b("equal", at, i)?, cx.b("equal", at, next)?);
        let (above, below) = (cx.b("mul", s, z)?, cx.b("mul", c, z)?);
        let d = cx.choose(here, r, d)?;
        let d = cx.choose(there, below, d)?;
        let e = cx.choose(here, above, e)?;
        let (p, q) = (column(cx, u, i)?, column(cx, u, next)?);
        let (cp, sq) = (cx.b("mul", c, p)?, cx.b("mul", s, q)?);
        let (cq, sp) = (cx.b("mul", c, q)?, cx.b("mul", s, p)?);
        let (p, q) = (cx.b("add", cp, sq)?, cx.b("sub", cq, sp)?);
        let u = cx.choose(here, p, u)?;
        Ok([d, e, cx.choose(there, q, u)?])
    })?;
    Ok((d, e, u))
}
/// `a = U diag(s) V'` of `m` by `n` matrices, with the columns of `U` and `V` completed to a basis when `full`. `dtype` is the precision that
/// LAPACK would have computed in.
pub(super) fn decomposed(cx: &mut Cx, a: V, (m, n): (i64, i64), full: bool, dtype: DType) -> R<(V, V, V)> {
    if m < n {
        let a = transposed(cx, a)?;
        let (d, e, q, p) = bidiagonal(cx, a, n, m)?;
        let (d, e, p) = upper(cx, d, e, p, m)?;
        let (v, rest) = split(cx, q, m)?;
        let (u, s, v) = iterate(cx, d, e, p, v, dtype)?;
        return Ok((u, s, completed(cx, v, rest, full)?));
    }
    // Those with half as many rows again as columns are reduced to squares first, as the library that PyTorch is built with does.
    if m > n && m >= n + n / 2 {
        let (packed, tau) = qr::factor(cx, a)?;
        let q0 = qr::product(cx, packed, tau, &Size::Known(m))?;
        let r = first(cx, packed, 2, &Size::Known(n))?;
        let r = part(cx, r, "less_or_equal")?;
        let (d, e, q, p) = bidiagonal(cx, r, n, n)?;
        let (own, rest) = split(cx, q0, n)?;
        let own = cx.b("mat_mul", own, q)?;
        let (u, s, v) = iterate(cx, d, e, own, p, dtype)?;
        return Ok((completed(cx, u, rest, full)?, s, v));
    }
    let (d, e, q, p) = bidiagonal(cx, a, m, n)?;
    let (own, rest) = split(cx, q, n)?;
    let (u, s, v) = iterate(cx, d, e, own, p, dtype)?;
    Ok((completed(cx, u, rest, full)?, s, v))
}
/// The first `k` columns, and the others if there are any.
fn split(cx: &mut Cx, q: V, k: i64) -> R<(V, Option<V>)> {
    let last = cx.rank(q)?.saturating_sub(1);
    let Some(n) = cx.known(q, last).filter(|n| *n > k) else { return Ok((q, None)) };
    Ok((cx.slice_known(q, last, 0, k)?, Some(cx.slice_known(q, last, k, n)?)))
}
fn completed(cx: &mut Cx, x: V, rest: Option<V>, full: bool) -> R<V> {
    let last = cx.rank(x)?.saturating_sub(1);
    match rest {
        Some(rest) if full => cx.concat(&[x, rest], last),
        _ => Ok(x),
    }
}
