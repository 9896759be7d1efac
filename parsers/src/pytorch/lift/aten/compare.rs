//! Comparisons, choices and masks.
use super::binary::extreme;
use crate::pytorch::lift::cx::{Cx, Operand, Out, R, V};
use hoist_ir::dtype::DType;

pub(super) const TABLE: super::Table = &[
    ("eq", |cx| compare(cx, "equal", false)),
    ("ne", |cx| compare(cx, "equal", true)),
    ("not_equal", |cx| compare(cx, "equal", true)),
    ("lt", |cx| compare(cx, "less", false)),
    ("less", |cx| compare(cx, "less", false)),
    ("le", |cx| compare(cx, "less_or_equal", false)),
    ("less_equal", |cx| compare(cx, "less_or_equal", false)),
    ("gt", |cx| compare(cx, "greater", false)),
    ("greater", |cx| compare(cx, "greater", false)),
    ("ge", |cx| compare(cx, "greater_or_equal", false)),
    ("greater_equal", |cx| compare(cx, "greater_or_equal", false)),
    ("isclose", isclose),
    ("where", choose),
    ("masked_fill", masked_fill),
    ("isin", isin),
    ("equal", all_equal),
];

fn compare(cx: &mut Cx, op: &str, negate: bool) -> R<Out> {
    let (a, b) = cx.pair("self", "other")?;
    // Order among truth values is that of 0 and 1.
    let (a, b) = if cx.dtype(a)? == DType::Bool && op != "equal" {
        (cx.cast(a, DType::I32)?, cx.cast(b, DType::I32)?)
    } else {
        (a, b)
    };
    let y = cx.b(op, a, b)?;
    Ok(Out::Fresh(if negate { cx.u("not", y)? } else { y }))
}
/// `|a - b| <= atol + rtol |b|`, equal ones included.
pub(super) fn isclose(cx: &mut Cx) -> R<Out> {
    let (a, b) = cx.float_pair("self", "other")?;
    let (rtol, atol, nan) =
        (cx.float_or("rtol", 1e-5)?, cx.float_or("atol", 1e-8)?, cx.bool_or("equal_nan", false)?);
    let same = cx.b("equal", a, b)?;
    let d = cx.b("sub", a, b)?;
    let d = cx.u("abs", d)?;
    let size = cx.u("abs", b)?;
    let bound = cx.bn("mul", size, rtol)?;
    let bound = cx.bn("add", bound, atol)?;
    let near = cx.b("less_or_equal", d, bound)?;
    let inf = cx.u("is_inf", d)?;
    let finite = cx.u("not", inf)?;
    let near = cx.b("and", near, finite)?;
    let mut y = cx.b("or", same, near)?;
    if nan {
        let (p, q) = (cx.u("is_nan", a)?, cx.u("is_nan", b)?);
        let both = cx.b("and", p, q)?;
        y = cx.b("or", y, both)?;
    }
    Ok(Out::Fresh(y))
}
fn choose(cx: &mut Cx) -> R<Out> {
    let c = cx.t("condition")?;
    let c = cx.cast(c, DType::Bool)?;
    if !cx.has("self") && !cx.has("input") {
        return super::index::nonzero_tuple(cx, c);
    }
    let (a, b) = cx.pair("self", "other")?;
    Ok(Out::Fresh(cx.choose(c, a, b)?))
}
/// The type stays that of the tensor.
fn masked_fill(cx: &mut Cx) -> R<Out> {
    let (x, mask, value) = (cx.t("self")?, cx.t("mask")?, cx.operand("value")?);
    let dtype = cx.dtype(x)?;
    let value = cx.value_of(&value, dtype)?;
    Ok(Out::Fresh(cx.choose(mask, value, x)?))
}
fn isin(cx: &mut Cx) -> R<Out> {
    let names = |t: &'static str, s: &'static str| if cx.has(t) { t } else { s };
    let (a, b) = (names("elements", "element"), names("test_elements", "test_element"));
    cx.bool_or("assume_unique", false)?;
    let invert = cx.bool_or("invert", false)?;
    let (a, b) = cx.pair(a, b)?;
    let found = contains(cx, a, b)?;
    Ok(Out::Fresh(if invert { cx.u("not", found)? } else { found }))
}
fn contains(cx: &mut Cx, a: V, b: V) -> R<V> {
    let a = cx.unsqueeze(a, &[-1])?;
    let b = cx.reshape_to(b, &[-1])?;
    let same = cx.b("equal", a, b)?;
    let n = cx.rank(same)?;
    any(cx, same, &[n - 1], false)
}
/// Whether any along `axes` is true.
pub(super) fn any(cx: &mut Cx, x: V, axes: &[usize], keep: bool) -> R<V> {
    let x = cx.cast(x, DType::I32)?;
    // Not a maximum: over no elements that would be the smallest integer.
    let n = cx.reduce("reduce_sum", x, axes, keep)?;
    cx.bn("greater", n, 0.0)
}
fn all_equal(cx: &mut Cx) -> R<Out> {
    let (a, b) = cx.pair("self", "other")?;
    let same = cx.b("equal", a, b)?;
    let differ = cx.u("not", same)?;
    let differ = any(cx, differ, &[], false)?;
    Ok(Out::Bool(cx.u("not", differ)?))
}

/// Two operands of `max.other` and its like.
pub(super) fn of_two(cx: &mut Cx, op: &str) -> R<Option<V>> {
    if !cx.has("other") {
        return Ok(None);
    }
    let (a, b): (Operand, Operand) = (cx.operand("self")?, cx.operand("other")?);
    let dtype = cx.common(&[&a, &b])?;
    let (a, b) = (cx.value_of(&a, dtype)?, cx.value_of(&b, dtype)?);
    Ok(Some(extreme(cx, op, a, b)?))
}
