//! Further functions of two tensors: extrema, bounds, bits, logic.
use super::unary::log1p;
use crate::pytorch::lift::cx::{Cx, Operand, Out, R, V, unsupported};
use crate::pytorch::lift::promote::to_float;
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;
use std::f64::consts::{LN_2, PI};

pub(super) const TABLE: super::Table = &[
    ("maximum", |cx| extremum(cx, "max")),
    ("minimum", |cx| extremum(cx, "min")),
    ("fmax", |cx| number_extremum(cx, "max")),
    ("fmin", |cx| number_extremum(cx, "min")),
    ("clamp", clamp),
    ("clip", clamp),
    ("clamp_min", |cx| one_bound(cx, "min", "max")),
    ("clamp_max", |cx| one_bound(cx, "max", "min")),
    ("atan2", atan2),
    ("arctan2", atan2),
    ("hypot", hypot),
    ("copysign", copysign),
    ("logaddexp", |cx| logaddexp(cx, 1.0)),
    ("logaddexp2", |cx| logaddexp(cx, LN_2)),
    ("heaviside", heaviside),
    ("bitwise_and", |cx| bits(cx, "and", "bitwise_and")),
    ("bitwise_or", |cx| bits(cx, "or", "bitwise_or")),
    ("bitwise_xor", |cx| bits(cx, "xor", "bitwise_xor")),
    ("__and__", |cx| bits(cx, "and", "bitwise_and")),
    ("__or__", |cx| bits(cx, "or", "bitwise_or")),
    ("__xor__", |cx| bits(cx, "xor", "bitwise_xor")),
    ("bitwise_left_shift", |cx| shift(cx, true)),
    ("bitwise_right_shift", |cx| shift(cx, false)),
    ("__lshift__", |cx| shift(cx, true)),
    ("__rshift__", |cx| shift(cx, false)),
    ("logical_and", |cx| logic(cx, "and")),
    ("logical_or", |cx| logic(cx, "or")),
    ("logical_xor", |cx| logic(cx, "xor")),
    ("xlogy", |cx| xlog(cx, false)),
    ("special_xlogy", |cx| xlog(cx, false)),
    ("special_xlog1py", |cx| xlog(cx, true)),
    ("gcd", |cx| gcd_lcm(cx, false)),
    ("lcm", |cx| gcd_lcm(cx, true)),
];

/// `max` or `min` of two values of one type; of truth values, disjunction and conjunction.
pub(super) fn extreme(cx: &mut Cx, op: &str, a: V, b: V) -> R<V> {
    if cx.dtype(a)? == DType::Bool {
        return cx.b(if op == "max" { "or" } else { "and" }, a, b);
    }
    cx.b(op, a, b)
}
pub(super) fn extremum(cx: &mut Cx, op: &str) -> R<Out> {
    let (a, b) = cx.pair("self", "other")?;
    Ok(Out::Fresh(extreme(cx, op, a, b)?))
}
/// The number, where one of both is NaN.
fn number_extremum(cx: &mut Cx, op: &str) -> R<Out> {
    let (a, b) = cx.pair("self", "other")?;
    let both = extreme(cx, op, a, b)?;
    if !cx.dtype(a)?.is_float() {
        return Ok(Out::Fresh(both));
    }
    let (a_nan, b_nan) = (cx.u("is_nan", a)?, cx.u("is_nan", b)?);
    let y = cx.choose(b_nan, a, both)?;
    Ok(Out::Fresh(cx.choose(a_nan, b, y)?))
}
fn clamp(cx: &mut Cx) -> R<Out> {
    let x = Operand::Tensor(cx.t("self")?);
    let (low, high) = (cx.opt_operand("min")?, cx.opt_operand("max")?);
    let all: Vec<&Operand> = [Some(&x), low.as_ref(), high.as_ref()].into_iter().flatten().collect();
    let dtype = cx.common(&all)?;
    let v = cx.value_of(&x, dtype)?;
    let low = low.map(|o| cx.value_of(&o, dtype)).transpose()?;
    let high = high.map(|o| cx.value_of(&o, dtype)).transpose()?;
    let scalar =
        |cx: &Cx, v: Option<V>| v.is_none_or(|v| cx.graph.constant(v).is_some_and(|t| t.rank() == 0));
    if scalar(cx, low) && scalar(cx, high) {
        // `clip` does not say what lower above upper gives; PyTorch gives the upper bound, as min(max(x, low), high) does.
        let value = |v: Option<V>| v.and_then(|v| cx.graph.const_f64(Some(v)));
        let ordered = match (value(low), value(high)) {
            (Some(l), Some(h)) => l <= h,
            (Some(l), None) => !l.is_nan(),
            (None, Some(h)) => !h.is_nan(),
            _ => false,
        };
        if ordered {
            return Ok(Out::Fresh(cx.node1("clip", &[Some(v), low, high], &[])?));
        }
    }
    let v = low.map_or(Ok(v), |l| extreme(cx, "max", v, l))?;
    Ok(Out::Fresh(high.map_or(Ok(v), |h| extreme(cx, "min", v, h))?))
}
fn one_bound(cx: &mut Cx, name: &str, op: &str) -> R<Out> {
    let (x, bound) = cx.pair("self", name)?;
    if op == "max" && cx.dtype(x)?.is_float() && cx.graph.const_f64(Some(bound)) == Some(0.0) {
        return Ok(Out::Fresh(cx.u("relu", x)?));
    }
    Ok(Out::Fresh(extreme(cx, op, x, bound)?))
}
/// The angle of `(other, self)`: `atan` of the quotient, moved by pi where `other` is negative.
fn atan2(cx: &mut Cx) -> R<Out> {
    let (y, x) = cx.float_pair("self", "other")?;
    let q = cx.b("div", y, x)?;
    let base = cx.u("atan", q)?;
    let y_negative = is_negative(cx, y)?;
    let (pi, minus) = (cx.num(x, PI)?, cx.num(x, -PI)?);
    let turn = cx.choose(y_negative, minus, pi)?;
    let turned = cx.b("add", base, turn)?;
    let x_below = cx.bn("less", x, 0.0)?;
    let mut angle = cx.choose(x_below, turned, base)?;
    // Both zero: the sign of x decides between 0 and pi, that of y gives the sign.
    let (x_zero, y_zero) = (cx.bn("equal", x, 0.0)?, cx.bn("equal", y, 0.0)?);
    let x_negative = is_negative(cx, x)?;
    let zero = cx.b("mul", y, y)?;
    let (away, near) = (turn, cx.choose(y_negative, y, zero)?);
    let origin = cx.choose(x_negative, away, near)?;
    let both = cx.b("and", x_zero, y_zero)?;
    angle = cx.choose(both, origin, angle)?;
    // Both infinite: multiples of pi/4.
    let (x_inf, y_inf) = (cx.u("is_inf", x)?, cx.u("is_inf", y)?);
    let (three, one) = (cx.num(x, 0.75 * PI)?, cx.num(x, 0.25 * PI)?);
    let size = cx.choose(x_below, three, one)?;
    let sign = cx.u("sign", y)?;
    let corner = cx.b("mul", size, sign)?;
    let both = cx.b("and", x_inf, y_inf)?;
    Ok(Out::Fresh(cx.choose(both, corner, angle)?))
}
/// Whether the sign bit is set; that of NaN is not looked at.
pub(super) fn is_negative(cx: &mut Cx, x: V) -> R<V> {
    let inverse = cx.u("reciprocal", x)?;
    let zero = cx.bn("equal", x, 0.0)?;
    let sign = cx.choose(zero, inverse, x)?;
    cx.bn("less", sign, 0.0)
}
/// `sqrt(a^2 + b^2)`, scaled by the larger one against overflow.
fn hypot(cx: &mut Cx) -> R<Out> {
    let (a, b) = cx.float_pair("self", "other")?;
    let (a, b) = (cx.u("abs", a)?, cx.u("abs", b)?);
    let (high, low) = (cx.b("max", a, b)?, cx.b("min", a, b)?);
    let q = cx.b("div", low, high)?;
    let square = cx.b("mul", q, q)?;
    let sum = cx.bn("add", square, 1.0)?;
    let root = cx.u("sqrt", sum)?;
    let y = cx.b("mul", high, root)?;
    let zero = cx.bn("equal", high, 0.0)?;
    let y = cx.choose(zero, high, y)?;
    // Infinite, whatever the other one is.
    let (p, q) = (cx.u("is_inf", a)?, cx.u("is_inf", b)?);
    let inf = cx.b("or", p, q)?;
    let endless = cx.num(y, f64::INFINITY)?;
    Ok(Out::Fresh(cx.choose(inf, endless, y)?))
}
fn copysign(cx: &mut Cx) -> R<Out> {
    let (a, b) = cx.float_pair("self", "other")?;
    let size = cx.u("abs", a)?;
    let minus = cx.u("neg", size)?;
    let negative = is_negative(cx, b)?;
    Ok(Out::Fresh(cx.choose(negative, minus, size)?))
}
/// `max + log(1 + exp(-|a - b|))`, in a base with this logarithm.
fn logaddexp(cx: &mut Cx, ln_base: f64) -> R<Out> {
    let (a, b) = cx.float_pair("self", "other")?;
    Ok(Out::Fresh(log_add(cx, a, b, ln_base)?))
}
pub(super) fn log_add(cx: &mut Cx, a: V, b: V, ln_base: f64) -> R<V> {
    let high = cx.b("max", a, b)?;
    let d = cx.b("sub", a, b)?;
    let d = cx.u("abs", d)?;
    let d = cx.bn("mul", d, -ln_base)?;
    let e = cx.u("exp", d)?;
    let l = log1p(cx, e)?;
    let l = if ln_base == 1.0 { l } else { cx.bn("div", l, ln_base)? };
    let y = cx.b("add", high, l)?;
    // inf - inf is not a number; equal operands of infinite size give themselves.
    let (same, inf) = (cx.b("equal", a, b)?, cx.u("is_inf", a)?);
    let same = cx.b("and", same, inf)?;
    cx.choose(same, a, y)
}
fn heaviside(cx: &mut Cx) -> R<Out> {
    let (x, at_zero) = cx.pair("self", "values")?;
    let dtype = cx.dtype(x)?;
    let up = cx.bn("greater", x, 0.0)?;
    let step = cx.cast(up, dtype)?;
    let zero = cx.bn("equal", x, 0.0)?;
    Ok(Out::Fresh(cx.choose(zero, at_zero, step)?))
}
fn bits(cx: &mut Cx, of_bools: &str, of_ints: &str) -> R<Out> {
    let (a, b) = cx.pair("self", "other")?;
    let op = if cx.dtype(a)? == DType::Bool { of_bools } else { of_ints };
    Ok(Out::Fresh(cx.b(op, a, b)?))
}
/// Shifts as multiplication and division by powers of two, since the shift operator takes unsigned types only.
fn shift(cx: &mut Cx, left: bool) -> R<Out> {
    let (a, b) = cx.pair("self", "other")?;
    let dtype = cx.dtype(a)?;
    let word = if left { "LEFT" } else { "RIGHT" };
    if dtype.is_unsigned_int() {
        return Ok(Out::Fresh(cx.with("bit_shift", &[a, b], &[("direction", Attr::Str(word.into()))])?));
    }
    if !dtype.is_signed_int() {
        return Err(unsupported(format!("shifts of {dtype}")));
    }
    let width = i64::from(dtype.bits());
    let unsigned = match width {
        8 => DType::U8,
        16 => DType::U16,
        32 => DType::U32,
        _ => DType::U64,
    };
    // Out of range: left gives 0, right gives the sign.
    let (low, high) = (cx.bn("less", b, 0.0)?, cx.bn("greater_or_equal", b, width as f64)?);
    let out = cx.b("or", low, high)?;
    let zero = cx.num(b, 0.0)?;
    let by = cx.choose(out, zero, b)?;
    let negative = cx.bn("less", a, 0.0)?;
    let minus = cx.int_of(dtype, -1)?;
    let (positive, filler) = if left {
        (a, zero)
    } else {
        // For negative numbers, shift the complement and complement again.
        let complement = cx.b("sub", minus, a)?;
        (cx.choose(negative, complement, a)?, cx.choose(negative, minus, zero)?)
    };
    let (x, by) = (cx.cast(positive, unsigned)?, cx.cast(by, unsigned)?);
    let y = cx.with("bit_shift", &[x, by], &[("direction", Attr::Str(word.into()))])?;
    let mut y = cx.cast(y, dtype)?;
    if !left {
        let complement = cx.b("sub", minus, y)?;
        y = cx.choose(negative, complement, y)?;
    }
    Ok(Out::Fresh(cx.choose(out, filler, y)?))
}
fn logic(cx: &mut Cx, op: &str) -> R<Out> {
    let (a, b) = (cx.t("self")?, cx.t("other")?);
    let (a, b) = (cx.cast(a, DType::Bool)?, cx.cast(b, DType::Bool)?);
    Ok(Out::Fresh(cx.b(op, a, b)?))
}
/// `x log(y)` or `x log(1 + y)`: 0 where x is 0 unless y is NaN.
fn xlog(cx: &mut Cx, plus_one: bool) -> R<Out> {
    let (x, y) = cx.float_pair("self", "other")?;
    let l = if plus_one { log1p(cx, y)? } else { cx.u("log", y)? };
    let p = cx.b("mul", x, l)?;
    let (zero, nan) = (cx.bn("equal", x, 0.0)?, cx.u("is_nan", y)?);
    let nothing = cx.num(x, 0.0)?;
    let p = cx.choose(zero, nothing, p)?;
    Ok(Out::Fresh(cx.choose(nan, y, p)?))
}
/// Euclid's algorithm with as many steps as the type can need, small types only.
fn gcd_lcm(cx: &mut Cx, lcm: bool) -> R<Out> {
    let (a, b) = cx.pair("self", "other")?;
    let dtype = cx.dtype(a)?;
    // Numbers of n bits take at most 1.44 n steps.
    let steps = (f64::from(dtype.bits()) * 1.4405).ceil() as usize + 1;
    if to_float(dtype) == dtype || dtype == DType::Bool {
        return Err(unsupported(format!("the greatest common divisor of {dtype}")));
    }
    let (a, b) = (cx.u("abs", a)?, cx.u("abs", b)?);
    let (mut x, mut y) = (a, b);
    for _ in 0..steps {
        let done = cx.bn("equal", y, 0.0)?;
        let one = cx.num(y, 1.0)?;
        let safe = cx.choose(done, one, y)?;
        let r = cx.b("mod", x, safe)?;
        let (zero, keep) = (cx.num(y, 0.0)?, x);
        x = cx.choose(done, keep, y)?;
        y = cx.choose(done, zero, r)?;
    }
    if !lcm {
        return Ok(Out::Fresh(x));
    }
    let none = cx.bn("equal", x, 0.0)?;
    let one = cx.num(x, 1.0)?;
    let safe = cx.choose(none, one, x)?;
    let q = cx.b("div", a, safe)?;
    let p = cx.b("mul", q, b)?;
    Ok(Out::Fresh(cx.u("abs", p)?))
}
