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
/// Columns `i` and `k` of `z` as `c z[i] + s z[k]` and `c z[k] - s z[i]` where `flag` holds.
pub(super) fn rotated(cx: &mut Cx, z: V, at: V, (i, k): (V, V), (c, s): (V, V), flag: V) -> R<V> {
    let (x, y) = (reorder(cx, z, i, 1)?, reorder(cx, z, k, 1)?);
    let (own_x, other_y) = (cx.b("mul", c, x)?, cx.b("mul", s, y)?);
    let (own_y, other_x) = (cx.b("mul", c, y)?, cx.b("mul", s, x)?);
    let (new_i, new_k) = (cx.b("add", own_x, other_y)?, cx.b("sub", own_y, other_x)?);
    let z = put(cx, z, at, i, new_i, flag)?;
    put(cx, z, at, k, new_k, flag)
}
/// Like [`givens`], with `c` never negative.
pub(super) fn turn(cx: &mut Cx, f: V, g: V) -> R<(V, V, V)> {
    let (p, q) = (cx.b("mul", f, f)?, cx.b("mul", g, g)?);
    let size = cx.b("add", p, q)?;
    let size = cx.u("sqrt", size)?;
    let negative = cx.bn("less", f, 0.0)?;
    let opposite = cx.u("neg", size)?;
    let r = cx.choose(negative, opposite, size)?;
    let none = cx.bn("equal", size, 0.0)?;
    let one = cx.num(size, 1.0)?;
    let divisor = cx.choose(none, one, r)?;
    let own = cx.u("abs", f)?;
    let divisor_size = cx.u("abs", divisor)?;
    let c = cx.b("div", own, divisor_size)?;
    Ok((cx.choose(none, one, c)?, cx.b("div", g, divisor)?, r))
}
/// Positions of the ends of an edge: the lower of two neighbours, inside the row.
pub(super) fn between(cx: &mut Cx, a: V, b: V, last: f64) -> R<V> {
    let low = cx.op("min", &[a, b])?;
    clamped(cx, low, last)
}
