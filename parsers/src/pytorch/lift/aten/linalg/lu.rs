//! LU factorisation with partial pivoting.
use super::loops::repeat;
use super::matrix::{
    Mat, axis, code, column, down, eye, first, flags, joined, matrix, only, outer, part, reorder, row, size,
    smaller, zeros,
};
use crate::pytorch::lift::cx::{Cx, Out, R, Size, V, unsupported};
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;

/// Factors of `a`: row `i` of `L U` is row `perm[i]` of `a`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lu {
    /// `L` below the diagonal, whose own is 1, and `U`: `[.., m, n]`.
    pub packed: V,
    /// Order of rows, `i64 [.., m, 1]`.
    pub perm: V,
    /// Row exchanged with row `i`, counted from 1 as LAPACK does: `i64 [.., min(m, n), 1]`.
    pub pivots: V,
    /// 0, else the first `i`, counted from 1, with `U[i, i]` 0: `i64 [.., 1, 1]`.
    pub info: V,
}

/// Positions `rows` (`[m, 1]`) with `k` and `p` exchanged.
fn exchanged(cx: &mut Cx, rows: V, k: V, p: V) -> R<V> {
    let (is_k, is_p) = (cx.b("equal", rows, k)?, cx.b("equal", rows, p)?);
    let other = cx.choose(is_p, k, rows)?;
    cx.choose(is_k, p, other)
}

/// Factors a stack of matrices, column by column. Of equally large pivots the first is taken.
pub(super) fn factor(cx: &mut Cx, a: V) -> R<Lu> {
    let (m, n) = (size(cx, a, 2)?, size(cx, a, 1)?);
    let (stack, count) = (outer(cx, a, 2)?, smaller(cx, &m, &n)?);
    let (rows, steps) = (down(cx, &m)?, down(cx, &count)?);
    let columns = super::matrix::across(cx, &n)?;
    let perm = cx.expand(rows, &joined(&stack, &[&m, &Size::Known(1)]))?;
    let pivots = zeros(cx, &joined(&stack, &[&count, &Size::Known(1)]), DType::I64)?;
    let info = flags(cx, a)?;
    let state = [a, perm, pivots, info];
    let [packed, perm, pivots, info] = repeat(cx, &count, state, [rows, columns, steps], step)?;
    Ok(Lu { packed, perm, pivots, info })
}

fn step(cx: &mut Cx, k: V, [a, perm, pivots, info]: [V; 4], [rows, columns, steps]: [V; 3]) -> R<[V; 4]> {
    let above = cx.b("less", rows, k)?;
    let below = cx.b("greater", rows, k)?;
    let col = column(cx, a, k)?;
    let magnitude = cx.u("abs", col)?;
    let none = cx.num(magnitude, -1.0)?;
    let magnitude = cx.choose(above, none, magnitude)?;
    let at = axis(cx, magnitude, 2)? as i64;
    let p = cx.with("arg_max", &[magnitude], &[("axis", Attr::Int(at)), ("keepdims", Attr::Bool(true))])?;
    let order = exchanged(cx, rows, k, p)?;
    let (a, perm) = (reorder(cx, a, order, 2)?, reorder(cx, perm, order, 2)?);
    let one = cx.num(p, 1.0)?;
    let now = cx.b("equal", steps, k)?;
    let (p1, k1) = (cx.b("add", p, one)?, cx.b("add", k, one)?);
    let pivots = cx.choose(now, p1, pivots)?;

    let (col, line) = (column(cx, a, k)?, row(cx, a, k)?);
    let pivot = column(cx, line, k)?;
    let zero = cx.bn("equal", pivot, 0.0)?;
    let fine = cx.bn("equal", info, 0.0)?;
    let first = cx.b("and", zero, fine)?;
    let info = cx.choose(first, k1, info)?;
    // All below a pivot of 0 is 0 as well.
    let unit = cx.num(pivot, 1.0)?;
    let divisor = cx.choose(zero, unit, pivot)?;
    let factors = cx.b("div", col, divisor)?;
    let factors = only(cx, below, factors)?;
    let right = cx.b("greater", columns, k)?;
    let line = only(cx, right, line)?;
    let product = cx.b("mul", factors, line)?;
    let rest = cx.b("sub", a, product)?;
    let this = cx.b("equal", columns, k)?;
    let stored = cx.b("and", this, below)?;
    Ok([cx.choose(stored, factors, rest)?, perm, pivots, info])
}

/// The order of rows that pivots `[.., k]` of `rows` rows mean, as in [`Lu::perm`].
pub(super) fn permutation(cx: &mut Cx, pivots: V, rows: &Size) -> R<V> {
    let pivots = cx.cast(pivots, DType::I64)?;
    let pivots = cx.unsqueeze(pivots, &[-1])?;
    let (stack, count) = (outer(cx, pivots, 2)?, size(cx, pivots, 2)?);
    let start = down(cx, rows)?;
    let perm = cx.expand(start, &joined(&stack, &[rows, &Size::Known(1)]))?;
    let [perm] = repeat(cx, &count, [perm], [start, pivots], |cx, k, [perm], [rows, pivots]| {
        let p = row(cx, pivots, k)?;
        let p = cx.bn("sub", p, 1.0)?;
        let order = exchanged(cx, rows, k, p)?;
        Ok([reorder(cx, perm, order, 2)?])
    })?;
    Ok(perm)
}
/// The order that undoes `perm` (`[.., m, 1]`).
pub(super) fn undone(cx: &mut Cx, perm: V) -> R<V> {
    let m = size(cx, perm, 2)?;
    let here = super::matrix::across(cx, &m)?;
    let hit = cx.b("equal", perm, here)?;
    let rows = down(cx, &m)?;
    let found = only(cx, hit, rows)?;
    let at = axis(cx, found, 2)?;
    let found = cx.reduce("reduce_sum", found, &[at], true)?;
    super::matrix::transposed(cx, found)
}

/// The matrix `P` with `P[perm[i], i] = 1`.
fn permutation_matrix(cx: &mut Cx, perm: V, dtype: DType) -> R<V> {
    let m = size(cx, perm, 2)?;
    let (from, rows) = (super::matrix::transposed(cx, perm)?, down(cx, &m)?);
    let hit = cx.b("equal", rows, from)?;
    cx.cast(hit, dtype)
}
/// `L` and `U` of a packed factorisation.
fn unpacked(cx: &mut Cx, lu: V) -> R<(V, V)> {
    let (m, n) = (size(cx, lu, 2)?, size(cx, lu, 1)?);
    let k = smaller(cx, &m, &n)?;
    let l = first(cx, lu, 1, &k)?;
    let l = part(cx, l, "greater")?;
    let dtype = cx.dtype(lu)?;
    let one = eye(cx, &m, &k, dtype)?;
    let l = cx.b("add", l, one)?;
    let u = first(cx, lu, 2, &k)?;
    Ok((l, part(cx, u, "less_or_equal")?))
}

fn input(cx: &mut Cx, name: &str) -> R<Mat> {
    cx.bool_or("check_errors", false)?;
    if !cx.bool_or("pivot", true)? {
        return Err(unsupported("LU factorisation without pivoting is not supported"));
    }
    matrix(cx, name)
}
/// Pivots as the program sees them: `i32 [.., k]`.
pub(super) fn shown(cx: &mut Cx, pivots: V) -> R<V> {
    let p = cx.squeeze(pivots, &[-1])?;
    cx.cast(p, DType::I32)
}
/// Packed factors, pivots and, where asked for, the error code of each matrix.
fn packed(cx: &mut Cx, name: &str, with_info: bool) -> R<Out> {
    let a = input(cx, name)?;
    let f = factor(cx, a.v)?;
    let mut out = vec![Out::Fresh(cx.cast(f.packed, a.dtype)?), Out::Fresh(shown(cx, f.pivots)?)];
    if with_info {
        out.push(Out::Fresh(code(cx, f.info)?));
    }
    Ok(Out::Many(out))
}
pub(super) fn lu_factor(cx: &mut Cx) -> R<Out> {
    packed(cx, "A", false)
}
pub(super) fn lu_factor_ex(cx: &mut Cx) -> R<Out> {
    packed(cx, "A", true)
}
pub(super) fn lu_with_info(cx: &mut Cx) -> R<Out> {
    packed(cx, "self", true)
}
pub(super) fn lu(cx: &mut Cx) -> R<Out> {
    let a = input(cx, "A")?;
    let f = factor(cx, a.v)?;
    let p = permutation_matrix(cx, f.perm, a.dtype)?;
    let (l, u) = unpacked(cx, f.packed)?;
    let (l, u) = (cx.cast(l, a.dtype)?, cx.cast(u, a.dtype)?);
    Ok(Out::Many(vec![Out::Fresh(p), Out::Fresh(l), Out::Fresh(u)]))
}
/// The factors of packed data; those not asked for are empty.
pub(super) fn lu_unpack(cx: &mut Cx) -> R<Out> {
    let (lu, pivots) = (cx.t("LU_data")?, cx.t("LU_pivots")?);
    let dtype = cx.dtype(lu)?;
    let none = |cx: &mut Cx| zeros(cx, &[Size::Known(0)], dtype);
    let (data, order) = (cx.bool_or("unpack_data", true)?, cx.bool_or("unpack_pivots", true)?);
    let p = if order {
        let m = size(cx, lu, 2)?;
        let perm = permutation(cx, pivots, &m)?;
        permutation_matrix(cx, perm, dtype)?
    } else {
        none(cx)?
    };
    let (l, u) = if data { unpacked(cx, lu)? } else { (none(cx)?, none(cx)?) };
    Ok(Out::Many(vec![Out::Fresh(p), Out::Fresh(l), Out::Fresh(u)]))
}
