//! Jacobi's method: plane rotations of pairs of rows or columns, half of all at once.
use super::matrix::reorder;
use crate::pytorch::lift::cx::{Cx, R, Size, V};
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;

/// Sweeps after which a matrix that has not converged is left as it is; it takes about ten.
pub(super) const SWEEPS: i64 = 30;
/// Square of the size, relative to the whole, below which an element counts as 0.
pub(super) const TINY: f64 = 1e-28;

/// Rounds of a sweep, in which each of `n` positions meets each other once: the least odd number that is not below `n`.
pub(super) fn rounds(cx: &mut Cx, n: &Size) -> R<Size> {
    let two = Size::Known(2);
    let half = cx.size_op("div", n, &two, |a, b| a.checked_div(b))?;
    let even = cx.size_mul(&half, &two)?;
    cx.size_add(&even, &Size::Known(1))
}
/// For each of the positions `i` (`[1, n]`) the one that it is paired with in round `r`, itself where none: positions whose sum is `r`
/// modulo the number of rounds.
pub(super) fn partners(cx: &mut Cx, i: V, r: V, rounds: V, n: V) -> R<V> {
    let rest = cx.b("sub", r, i)?;
    let other = cx.b("mod", rest, rounds)?;
    let outside = cx.b("greater_or_equal", other, n)?;
    cx.choose(outside, i, other)
}
/// Tangents of the rotations, `[.., 1, n]`: position `i` becomes `c (x[i] + u x[j])`. `gap` is the difference of the diagonal elements
/// of `i` and `j`, `twice` twice the element between them. Rutishauser's formula for the smaller angle.
pub(super) fn tangents(cx: &mut Cx, gap: V, twice: V, i: V, j: V) -> R<V> {
    let zero = cx.bn("equal", twice, 0.0)?;
    let w = cx.b("div", gap, twice)?;
    let square = cx.b("mul", w, w)?;
    let under = cx.bn("add", square, 1.0)?;
    let root = cx.u("sqrt", under)?;
    let size = cx.u("abs", w)?;
    let denominator = cx.b("add", size, root)?;
    let side = cx.b("sub", i, j)?;
    let side = cx.cast(side, DType::F64)?;
    let side = cx.u("sign", side)?;
    let level = cx.bn("equal", w, 0.0)?;
    let sign = cx.u("sign", w)?;
    let sign = cx.choose(level, side, sign)?;
    let u = cx.b("div", sign, denominator)?;
    let none = cx.num(u, 0.0)?;
    cx.choose(zero, none, u)
}
/// `1 / sqrt(1 + u²)`.
pub(super) fn cosines(cx: &mut Cx, u: V) -> R<V> {
    let square = cx.b("mul", u, u)?;
    let sum = cx.bn("add", square, 1.0)?;
    let root = cx.u("sqrt", sum)?;
    cx.nb("div", 1.0, root)
}
/// Columns of `x` turned: `c (x[i] + u x[j])`, with `j` as `[n]`.
pub(super) fn turned(cx: &mut Cx, x: V, j: V, c: V, u: V) -> R<V> {
    let at = cx.rank(x)?.saturating_sub(1);
    let other = cx.gather(x, j, at)?;
    let other = cx.b("mul", other, u)?;
    let both = cx.b("add", x, other)?;
    cx.b("mul", both, c)
}
/// `values` (`[.., n]`) sorted and the columns of each of `follow` (`[.., m, n]`) in the same order.
pub(super) fn sorted(cx: &mut Cx, values: V, follow: &[V], descending: bool) -> R<(V, Vec<V>)> {
    let last = cx.rank(values)?.saturating_sub(1);
    if cx.known_len(values) == Some(0) {
        return Ok((values, follow.to_vec()));
    }
    let n = cx.dim(values, last)?;
    let k = cx.size_value(&n);
    let attrs = [("axis", Attr::Int(-1)), ("largest", Attr::Bool(descending)), ("sorted", Attr::Bool(true))];
    let found = cx.node_n("top_k", &[Some(values), Some(k)], &attrs, 2)?;
    let order = cx.unsqueeze(found[1], &[-2])?;
    let follow = follow.iter().map(|x| reorder(cx, *x, order, 1)).collect::<R<Vec<_>>>()?;
    Ok((found[0], follow))
}
