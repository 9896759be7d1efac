//! Single elements of rows at positions that differ from matrix to matrix, and the rotations that combine two of them.
use super::matrix::{axis, reorder};
use crate::pytorch::lift::cx::{Cx, R, V, malformed};
use hoist_ir::dtype::DType;

/// Whether all hold.
pub(super) fn and(cx: &mut Cx, flags: &[V]) -> R<V> {
    let (first, rest) = flags.split_first().ok_or_else(|| malformed("no flags"))?;
    rest.iter().try_fold(*first, |a, b| cx.b("and", a, *b))
}
/// Element `k` of a row.
pub(super) fn pick(cx: &mut Cx, x: V, k: V) -> R<V> {
    reorder(cx, x, k, 1)
}
/// `x` with `value` at `k` where `flag` holds.
pub(super) fn put(cx: &mut Cx, x: V, at: V, k: V, value: V, flag: V) -> R<V> {
    let here = cx.b("equal", at, k)?;
    let here = cx.b("and", here, flag)?;
    cx.choose(here, value, x)
}
/// `k` inside the row.
pub(super) fn clamped(cx: &mut Cx, k: V, last: f64) -> R<V> {
    let (zero, last) = (cx.num(k, 0.0)?, cx.num(k, last)?);
    let k = cx.op("max", &[k, zero])?;
    cx.op("min", &[k, last])
}
/// The least element of a row.
pub(super) fn least(cx: &mut Cx, x: V) -> R<V> {
    let at = axis(cx, x, 1)?;
    cx.reduce("reduce_min", x, &[at], true)
}
/// The greatest element of a row.
pub(super) fn most(cx: &mut Cx, x: V) -> R<V> {
    let at = axis(cx, x, 1)?;
    cx.reduce("reduce_max", x, &[at], true)
}
/// A position or mode.
pub(super) fn number(cx: &mut Cx, value: f64) -> R<V> {
    cx.num_of(DType::I64, value)
}
/// The rotation `(c, s, r)` that turns `(f, g)` into `(r, 0)`; `c` is not negative where `f` is the larger one.
pub(super) fn givens(cx: &mut Cx, f: V, g: V) -> R<(V, V, V)> {
    let (p, q) = (cx.b("mul", f, f)?, cx.b("mul", g, g)?);
    let r = cx.b("add", p, q)?;
    let r = cx.u("sqrt", r)?;
    let (size_f, size_g) = (cx.u("abs", f)?, cx.u("abs", g)?);
    let larger = cx.b("greater", size_f, size_g)?;
    let negative = cx.bn("less", f, 0.0)?;
    let flip = cx.b("and", larger, negative)?;
    let opposite = cx.u("neg", r)?;
    let r = cx.choose(flip, opposite, r)?;
    // With `f` 0 the rotation exchanges both, whatever the sign of `g`.
    let (no_f, no_g) = (cx.bn("equal", f, 0.0)?, cx.bn("equal", g, 0.0)?);
    let r = cx.choose(no_f, g, r)?;
    let r = cx.choose(no_g, f, r)?;
    let one = cx.num(r, 1.0)?;
    let none = cx.bn("equal", r, 0.0)?;
    let divisor = cx.choose(none, one, r)?;
    let (c, s) = (cx.b("div", f, divisor)?, cx.b("div", g, divisor)?);
    Ok((cx.choose(no_g, one, c)?, s, r))
}
