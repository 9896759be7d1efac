//! The tridiagonal form of symmetric matrices.
use super::loops::repeat;
use super::matrix::{column, down, eyes, outer, sum, transposed};
use super::qr::{Reflector, reflector};
use crate::pytorch::lift::cx::{Cx, R, Size, V};

/// The tridiagonal form of a symmetric matrix, and the orthogonal matrix that leads to it.
pub(super) fn tridiagonal(cx: &mut Cx, a: V, n: i64) -> R<(V, V)> {
    let stack = outer(cx, a, 2)?;
    let side = Size::Known(n);
    let q = eyes(cx, &stack, &side, &side)?;
    let rows = down(cx, &side)?;
    let [a, q] = repeat(cx, &Size::Known((n - 2).max(0)), [a, q], [rows], |cx, k, [a, q], [rows]| {
        let col = column(cx, a, k)?;
        let next = cx.bn("add", k, 1.0)?;
        let Reflector { v, t, .. } = reflector(cx, col, rows, next)?;
        // A - v w' - w v' with w = t A v - (t² v' A v / 2) v.
        let w = cx.b("mat_mul", a, v)?;
        let w = cx.b("mul", w, t)?;
        let along = cx.b("mul", w, v)?;
        let along = sum(cx, along, 2)?;
        let half = cx.bn("mul", t, 0.5)?;
        let along = cx.b("mul", along, half)?;
        let part = cx.b("mul", v, along)?;
        let w = cx.b("sub", w, part)?;
        let (line, other) = (transposed(cx, v)?, transposed(cx, w)?);
        let (p, r) = (cx.b("mul", v, other)?, cx.b("mul", w, line)?);
        let change = cx.b("add", p, r)?;
        let a = cx.b("sub", a, change)?;
        let along = cx.b("mat_mul", q, v)?;
        let along = cx.b("mul", along, t)?;
        let change = cx.b("mul", along, line)?;
        Ok([a, cx.b("sub", q, change)?])
    })?;
    Ok((a, q))
}

/// Positions from the last to the first.
pub(super) fn backwards(cx: &mut Cx, x: V, n: i64, axes: &[usize]) -> R<V> {
    let order = cx.int_list(&(0..n).rev().collect::<Vec<_>>());
    axes.iter().try_fold(x, |x, at| cx.gather(x, order, *at))
}
