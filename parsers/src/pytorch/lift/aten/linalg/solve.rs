//! Systems of linear equations, inverses, and what reduces to them. What PyTorch raises for a singular matrix shows as infinities or
//! NaN, as a graph cannot raise.
use super::loops::repeat;
use super::lu::{Lu, factor, permutation, shown, undone};
use super::matrix::{
    Mat, code, column, down, eyes, matrix, minus, only, outer, reorder, row, same_outer, size, square,
    transposed,
};
use crate::pytorch::lift::cx::{Cx, Out, R, V, malformed};
use hoist_ir::dtype::DType;

/// The triangle that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Triangle {
    /// The one above the diagonal, else the one below.
    pub upper: bool,
    /// The diagonal counts as 1.
    pub unit: bool,
}
/// A lower one with a diagonal of its own.
pub(super) const LOWER: Triangle = Triangle { upper: false, unit: false };
/// An upper one with a diagonal of its own.
pub(super) const UPPER: Triangle = Triangle { upper: true, unit: false };
/// A lower one with ones on the diagonal.
const UNIT_LOWER: Triangle = Triangle { upper: false, unit: true };

/// The `X` for which `T X = B`, where `T` is a triangle of `a`; one row at a time. Stacks are broadcast.
pub(super) fn triangular(cx: &mut Cx, a: V, b: V, t: Triangle) -> R<V> {
    let (a, b) = same_outer(cx, a, b)?;
    let n = size(cx, b, 2)?;
    let (rows, last) = (down(cx, &n)?, minus(cx, &n, 1)?);
    let last = cx.size_value(&last);
    let [x] = repeat(cx, &n, [b], [a, rows, last], |cx, i, [x], [a, rows, last]| {
        let k = if t.upper { cx.b("sub", last, i)? } else { i };
        let factors = column(cx, a, k)?;
        let mut line = row(cx, x, k)?;
        if !t.unit {
            let pivot = row(cx, factors, k)?;
            line = cx.b("div", line, pivot)?;
        }
        let open = cx.b(if t.upper { "less" } else { "greater" }, rows, k)?;
        let factors = only(cx, open, factors)?;
        let product = cx.b("mul", factors, line)?;
        let rest = cx.b("sub", x, product)?;
        let rest = cx.choose(open, rest, x)?;
        let this = cx.b("equal", rows, k)?;
        Ok([cx.choose(this, line, rest)?])
    })?;
    Ok(x)
}
/// [`triangular`] for `X T = B`.
fn triangular_right(cx: &mut Cx, a: V, b: V, t: Triangle) -> R<V> {
    let (a, b) = (transposed(cx, a)?, transposed(cx, b)?);
    let x = triangular(cx, a, b, Triangle { upper: !t.upper, ..t })?;
    transposed(cx, x)
}
/// The `X` for which `A X = B`, or `A' X = B` when `adjoint`.
fn by_lu(cx: &mut Cx, f: &Lu, b: V, adjoint: bool) -> R<V> {
    if adjoint {
        let u = transposed(cx, f.packed)?;
        let y = triangular(cx, u, b, LOWER)?;
        let z = triangular(cx, u, y, Triangle { upper: true, unit: true })?;
        let order = undone(cx, f.perm)?;
        return reorder_stack(cx, z, order);
    }
    let b = reorder_stack(cx, b, f.perm)?;
    let y = triangular(cx, f.packed, b, UNIT_LOWER)?;
    triangular(cx, f.packed, y, UPPER)
}
/// Rows of `x` in this order, stacks broadcast.
fn reorder_stack(cx: &mut Cx, x: V, order: V) -> R<V> {
    let (x, order) = same_outer(cx, x, order)?;
    reorder(cx, x, order, 2)
}
/// `X A = B` is `A' X' = B'`.
fn by_lu_side(cx: &mut Cx, f: &Lu, b: V, left: bool, adjoint: bool) -> R<V> {
    if left {
        return by_lu(cx, f, b, adjoint);
    }
    let b = transposed(cx, b)?;
    let x = by_lu(cx, f, b, !adjoint)?;
    transposed(cx, x)
}
/// The inverse of each matrix, and the factors.
pub(super) fn inverse(cx: &mut Cx, a: V) -> R<(V, Lu)> {
    let (n, stack) = (size(cx, a, 1)?, outer(cx, a, 2)?);
    let one = eyes(cx, &stack, &n, &n)?;
    let f = factor(cx, a)?;
    Ok((by_lu(cx, &f, one, false)?, f))
}

/// The `X` for which `A X = B`.
pub(super) fn solution(cx: &mut Cx, a: V, b: V) -> R<V> {
    let f = factor(cx, a)?;
    by_lu(cx, &f, b, false)
}

pub(super) fn solve_triangular(cx: &mut Cx) -> R<Out> {
    let (a, b) = (square(cx, "self")?, matrix(cx, "B")?);
    let t = Triangle { upper: cx.bool_or("upper", false)?, unit: cx.bool_or("unitriangular", false)? };
    let x = if cx.bool_or("left", true)? {
        triangular(cx, a.v, b.v, t)?
    } else {
        triangular_right(cx, a.v, b.v, t)?
    };
    Ok(Out::Fresh(cx.cast(x, b.dtype)?))
}
/// The solution, and the matrices as given.
pub(super) fn legacy_triangular_solve(cx: &mut Cx) -> R<Out> {
    let (b, a) = (matrix(cx, "self")?, square(cx, "A")?);
    let (own, _) = same_outer(cx, a.v, b.v)?;
    let upper = cx.bool_or("upper", true)?;
    let flipped = cx.bool_or("transpose", false)?;
    let m = if flipped { transposed(cx, own)? } else { own };
    let t = Triangle { upper: upper != flipped, unit: cx.bool_or("unitriangular", false)? };
    let x = triangular(cx, m, b.v, t)?;
    Ok(Out::Many(vec![Out::Fresh(cx.cast(x, b.dtype)?), Out::Fresh(cx.cast(own, a.dtype)?)]))
}
pub(super) fn lu_solve(cx: &mut Cx) -> R<Out> {
    by_packed(cx, "LU", "pivots", "B")
}
pub(super) fn legacy_lu_solve(cx: &mut Cx) -> R<Out> {
    by_packed(cx, "LU_data", "LU_pivots", "self")
}
fn by_packed(cx: &mut Cx, lu: &str, pivots: &str, b: &str) -> R<Out> {
    let (lu, b, pivots) = (square(cx, lu)?, matrix(cx, b)?, cx.t(pivots)?);
    let n = size(cx, lu.v, 1)?;
    let perm = permutation(cx, pivots, &n)?;
    let f = Lu { packed: lu.v, perm, pivots, info: pivots };
    let (left, adjoint) = (cx.bool_or("left", true)?, cx.bool_or("adjoint", false)?);
    let x = by_lu_side(cx, &f, b.v, left, adjoint)?;
    Ok(Out::Fresh(cx.cast(x, b.dtype)?))
}

/// Whether `b` is a stack of vectors for matrices `a`, by PyTorch's rule.
fn is_vector(cx: &Cx, a: V, b: V) -> R<bool> {
    let (a, b) = (cx.dims(a)?, cx.dims(b)?);
    Ok(b.len() == 1 || (a.len() == b.len() + 1 && a[..b.len()] == b[..]))
}
/// The solution of `A X = B`, the factors of `A` and its type. `flipped` factors `A'` instead.
fn solved(cx: &mut Cx, flipped: bool) -> R<(V, Lu, Mat)> {
    cx.bool_or("check_errors", false)?;
    let (a, b) = (square(cx, "A")?, cx.t("B")?);
    let left = cx.bool_or("left", true)?;
    let vector = is_vector(cx, a.v, b)?;
    let b = if vector { cx.unsqueeze(b, &[-1])? } else { b };
    let b = super::matrix::wide(cx, b)?;
    if cx.rank(b.v)? < 2 {
        return Err(malformed("a right-hand side without axes"));
    }
    if vector && !left {
        return Err(malformed("a vector cannot be solved for from the right"));
    }
    let m = if flipped { transposed(cx, a.v)? } else { a.v };
    let f = factor(cx, m)?;
    let x = by_lu_side(cx, &f, b.v, left, flipped)?;
    let x = if vector { cx.squeeze(x, &[-1])? } else { x };
    Ok((cx.cast(x, b.dtype)?, f, a))
}
pub(super) fn solve(cx: &mut Cx) -> R<Out> {
    Ok(Out::Fresh(solved(cx, false)?.0))
}
pub(super) fn solve_ex(cx: &mut Cx) -> R<Out> {
    let (x, f, _) = solved(cx, false)?;
    Ok(Out::Many(vec![Out::Fresh(x), Out::Fresh(code(cx, f.info)?)]))
}
/// The factors are those of `A'`, as PyTorch has it for matrices stored row by row.
pub(super) fn solve_with_factors(cx: &mut Cx) -> R<Out> {
    let (x, f, a) = solved(cx, true)?;
    let (lu, pivots) = (cx.cast(f.packed, a.dtype)?, shown(cx, f.pivots)?);
    let info = code(cx, f.info)?;
    Ok(Out::Many(vec![Out::Fresh(x), Out::Fresh(lu), Out::Fresh(pivots), Out::Fresh(info)]))
}
fn inv_of(cx: &mut Cx, name: &str) -> R<(V, Lu)> {
    cx.bool_or("check_errors", false)?;
    let a = square(cx, name)?;
    let (x, f) = inverse(cx, a.v)?;
    Ok((cx.cast(x, a.dtype)?, f))
}
pub(super) fn inv(cx: &mut Cx) -> R<Out> {
    Ok(Out::Fresh(inv_of(cx, "A")?.0))
}
pub(super) fn legacy_inverse(cx: &mut Cx) -> R<Out> {
    Ok(Out::Fresh(inv_of(cx, "self")?.0))
}
pub(super) fn inv_ex(cx: &mut Cx) -> R<Out> {
    let (x, f) = inv_of(cx, "A")?;
    Ok(Out::Many(vec![Out::Fresh(x), Out::Fresh(code(cx, f.info)?)]))
}
/// Checks the error codes of other operators; a graph cannot raise.
pub(super) fn check_errors(cx: &mut Cx) -> R<Out> {
    cx.t("info")?;
    cx.str_or("api_name", "")?;
    cx.bool_or("is_matrix", false)?;
    Ok(Out::Many(vec![]))
}

/// Sign and the logarithm of the magnitude of each determinant, `[..]`, and the factors it comes from.
fn log_determinant(cx: &mut Cx, a: V) -> R<(V, V, Lu)> {
    let f = factor(cx, a)?;
    let d = super::matrix::diagonal(cx, f.packed)?;
    let (signs, size) = (cx.u("sign", d)?, cx.u("abs", d)?);
    let sign = turned(cx, &f, signs)?;
    let logs = cx.u("log", size)?;
    let at = super::matrix::axis(cx, logs, 1)?;
    let log = cx.reduce("reduce_sum", logs, &[at], false)?;
    Ok((sign, log, f))
}
/// The product of `d` along its last axis, negated for each exchange of rows.
fn turned(cx: &mut Cx, f: &Lu, d: V) -> R<V> {
    let n = size(cx, f.pivots, 2)?;
    let rows = down(cx, &n)?;
    let p = cx.bn("sub", f.pivots, 1.0)?;
    let stays = cx.b("equal", p, rows)?;
    let stays = cx.squeeze(stays, &[-1])?;
    let negated = cx.u("neg", d)?;
    let d = cx.choose(stays, d, negated)?;
    let at = super::matrix::axis(cx, d, 1)?;
    cx.reduce("reduce_prod", d, &[at], false)
}
fn determinant(cx: &mut Cx, a: V) -> R<(V, Lu)> {
    let f = factor(cx, a)?;
    let d = super::matrix::diagonal(cx, f.packed)?;
    Ok((turned(cx, &f, d)?, f))
}
pub(super) fn det(cx: &mut Cx) -> R<Out> {
    let name = if cx.names("A") { "A" } else { "self" };
    let a = square(cx, name)?;
    let (d, _) = determinant(cx, a.v)?;
    Ok(Out::Fresh(cx.cast(d, a.dtype)?))
}
/// The factors are those of `A'`, as PyTorch has it for matrices stored row by row.
pub(super) fn det_with_factors(cx: &mut Cx) -> R<Out> {
    let a = square(cx, "A")?;
    let m = transposed(cx, a.v)?;
    let (d, f) = determinant(cx, m)?;
    let (d, lu) = (cx.cast(d, a.dtype)?, cx.cast(f.packed, a.dtype)?);
    Ok(Out::Many(vec![Out::Fresh(d), Out::Fresh(lu), Out::Fresh(shown(cx, f.pivots)?)]))
}
pub(super) fn slogdet(cx: &mut Cx) -> R<Out> {
    let name = if cx.names("A") { "A" } else { "self" };
    let a = square(cx, name)?;
    let (sign, log, _) = log_determinant(cx, a.v)?;
    Ok(Out::Many(vec![Out::Fresh(cx.cast(sign, a.dtype)?), Out::Fresh(cx.cast(log, a.dtype)?)]))
}
/// The factors are those of `A'`, as PyTorch has it for matrices stored row by row.
pub(super) fn slogdet_with_factors(cx: &mut Cx) -> R<Out> {
    let a = square(cx, "A")?;
    let m = transposed(cx, a.v)?;
    let (sign, log, f) = log_determinant(cx, m)?;
    let (sign, log, lu) = (cx.cast(sign, a.dtype)?, cx.cast(log, a.dtype)?, cx.cast(f.packed, a.dtype)?);
    let pivots = shown(cx, f.pivots)?;
    Ok(Out::Many(vec![Out::Fresh(sign), Out::Fresh(log), Out::Fresh(lu), Out::Fresh(pivots)]))
}
/// NaN for a negative determinant.
pub(super) fn logdet(cx: &mut Cx) -> R<Out> {
    let a = square(cx, "self")?;
    let (sign, log, _) = log_determinant(cx, a.v)?;
    let nan = cx.num_of(DType::F64, f64::NAN)?;
    let negative = cx.bn("less", sign, 0.0)?;
    let y = cx.choose(negative, nan, log)?;
    Ok(Out::Fresh(cx.cast(y, a.dtype)?))
}
