//! Cholesky factorisation.
use super::loops::repeat;
use super::matrix::{
    across, code, column, down, eye, flags, matrix, only, row, size, square, transposed, zeros,
};
use super::solve::{LOWER, UPPER, triangular};
use crate::pytorch::lift::cx::{Cx, Out, R, V};
use hoist_ir::dtype::DType;

/// The lower factor of a stack of matrices, of which only the lower triangle is read, and for each 0 or the order, counted from 1, of
/// the first leading minor that is not positive. What stands behind such a minor in the factor is NaN.
fn factor(cx: &mut Cx, a: V) -> R<(V, V)> {
    let n = size(cx, a, 1)?;
    let sizes = cx.shape_of(a)?;
    let l = zeros(cx, &sizes, DType::F64)?;
    let (info, rows, columns) = (flags(cx, a)?, down(cx, &n)?, across(cx, &n)?);
    let [_, l, info] =
        repeat(cx, &n, [a, l, info], [rows, columns], |cx, k, [a, l, info], [rows, columns]| {
            let col = column(cx, a, k)?;
            let pivot = row(cx, col, k)?;
            let positive = cx.bn("greater", pivot, 0.0)?;
            let bad = cx.u("not", positive)?;
            let fine = cx.bn("equal", info, 0.0)?;
            let first = cx.b("and", bad, fine)?;
            let k1 = cx.bn("add", k, 1.0)?;
            let info = cx.choose(first, k1, info)?;
            let root = cx.u("sqrt", pivot)?;
            let scaled = cx.b("div", col, root)?;
            let below = cx.b("greater_or_equal", rows, k)?;
            let scaled = only(cx, below, scaled)?;
            let flat = transposed(cx, scaled)?;
            let product = cx.b("mul", scaled, flat)?;
            let rest = cx.b("sub", a, product)?;
            let this = cx.b("equal", columns, k)?;
            Ok([rest, cx.choose(this, scaled, l)?, info])
        })?;
    Ok((l, info))
}
/// The factor, upper where asked for, with the error codes.
fn factored(cx: &mut Cx) -> R<(V, V)> {
    cx.bool_or("check_errors", false)?;
    let a = square(cx, "self")?;
    let upper = cx.bool_or("upper", false)?;
    let m = if upper { transposed(cx, a.v)? } else { a.v };
    let (l, info) = factor(cx, m)?;
    let l = if upper { transposed(cx, l)? } else { l };
    Ok((cx.cast(l, a.dtype)?, info))
}
pub(super) fn cholesky(cx: &mut Cx) -> R<Out> {
    Ok(Out::Fresh(factored(cx)?.0))
}
pub(super) fn cholesky_ex(cx: &mut Cx) -> R<Out> {
    let (l, info) = factored(cx)?;
    Ok(Out::Many(vec![Out::Fresh(l), Out::Fresh(code(cx, info)?)]))
}
/// The `X` for which `L L' X = B`, or `U' U X = B`.
fn solved(cx: &mut Cx, factor: V, b: V, upper: bool) -> R<V> {
    let other = transposed(cx, factor)?;
    let (l, u) = if upper { (other, factor) } else { (factor, other) };
    let y = triangular(cx, l, b, LOWER)?;
    triangular(cx, u, y, UPPER)
}
pub(super) fn cholesky_solve(cx: &mut Cx) -> R<Out> {
    let (b, l) = (matrix(cx, "self")?, square(cx, if cx.names("A") { "A" } else { "input2" })?);
    let upper = cx.bool_or("upper", false)?;
    let x = solved(cx, l.v, b.v, upper)?;
    Ok(Out::Fresh(cx.cast(x, b.dtype)?))
}
pub(super) fn cholesky_inverse(cx: &mut Cx) -> R<Out> {
    let l = square(cx, "self")?;
    let (n, upper) = (size(cx, l.v, 1)?, cx.bool_or("upper", false)?);
    let one = eye(cx, &n, &n, DType::F64)?;
    let x = solved(cx, l.v, one, upper)?;
    Ok(Out::Fresh(cx.cast(x, l.dtype)?))
}
