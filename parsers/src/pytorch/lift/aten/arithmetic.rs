//! Sums, products and quotients with PyTorch's type rules.
use super::unary::trunc;
use crate::pytorch::lift::cx::{Cx, Operand, Out, R, Scalar, Size, V, malformed, unsupported};
use crate::pytorch::lift::promote::to_float;
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;

pub(super) const TABLE: super::Table = &[
    ("add", |cx| sum(cx, false, false)),
    ("sub", |cx| sum(cx, true, false)),
    ("subtract", |cx| sum(cx, true, false)),
    ("rsub", |cx| sum(cx, true, true)),
    ("mul", mul),
    ("multiply", mul),
    ("div", div),
    ("divide", div),
    ("true_divide", div),
    ("floor_divide", floor_divide),
    ("remainder", remainder),
    ("fmod", fmod),
    ("pow", pow),
    ("float_power", float_power),
    ("addcmul", |cx| fused(cx, "mul")),
    ("addcdiv", |cx| fused(cx, "div")),
    ("lerp", lerp),
    ("ldexp", ldexp),
];

/// `self + alpha * other`, or its difference, or with operands exchanged.
fn sum(cx: &mut Cx, minus: bool, reversed: bool) -> R<Out> {
    let (a, b) = cx.pair("self", "other")?;
    let (a, b) = if reversed { (b, a) } else { (a, b) };
    let dtype = cx.dtype(a)?;
    if dtype == DType::Bool && minus {
        return Err(malformed("truth values are not subtracted"));
    }
    let b = match cx.opt_operand("alpha")? {
        Some(k) if !k.is_one() => {
            let alpha = cx.value_of(&k, dtype)?;
            times(cx, b, alpha)?
        }
        _ => b,
    };
    Ok(Out::Fresh(match (dtype, minus) {
        (DType::Bool, _) => cx.b("or", a, b)?,
        (_, false) => cx.b("add", a, b)?,
        (_, true) => cx.b("sub", a, b)?,
    }))
}
/// A product; that of truth values is their conjunction.
pub(super) fn times(cx: &mut Cx, a: V, b: V) -> R<V> {
    if cx.dtype(a)? == DType::Bool { cx.b("and", a, b) } else { cx.b("mul", a, b) }
}
fn mul(cx: &mut Cx) -> R<Out> {
    let (a, b) = cx.pair("self", "other")?;
    Ok(Out::Fresh(times(cx, a, b)?))
}
fn div(cx: &mut Cx) -> R<Out> {
    match cx.str_or("rounding_mode", "")? {
        "" => {
            let (a, b) = cx.float_pair("self", "other")?;
            Ok(Out::Fresh(cx.b("div", a, b)?))
        }
        "floor" => floor_divide(cx),
        "trunc" => {
            let (a, b) = cx.pair("self", "other")?;
            let q = cx.b("div", a, b)?;
            Ok(Out::Fresh(trunc(cx, q)?))
        }
        other => Err(malformed(format!("rounding mode `{other}` is unknown"))),
    }
}
fn floor_divide(cx: &mut Cx) -> R<Out> {
    let (a, b) = cx.pair("self", "other")?;
    Ok(Out::Fresh(floor_quotient(cx, a, b)?))
}
/// Whether `r` is not zero and has another sign than `b`.
fn crosses(cx: &mut Cx, r: V, b: V) -> R<V> {
    let (r_below, b_below) = (cx.bn("less", r, 0.0)?, cx.bn("less", b, 0.0)?);
    let differ = cx.b("xor", r_below, b_below)?;
    let zero = cx.bn("equal", r, 0.0)?;
    let some = cx.u("not", zero)?;
    cx.b("and", some, differ)
}
/// `floor(a / b)` as PyTorch computes it: exact for integers; for floats from the remainder, so that it fits `remainder`.
pub(super) fn floor_quotient(cx: &mut Cx, a: V, b: V) -> R<V> {
    let dtype = cx.dtype(a)?;
    if dtype.is_unsigned_int() {
        return cx.b("div", a, b);
    }
    if !dtype.is_float() {
        let q = cx.b("div", a, b)?;
        let back = cx.b("mul", q, b)?;
        let r = cx.b("sub", a, back)?;
        let crosses = crosses(cx, r, b)?;
        let less = cx.bn("sub", q, 1.0)?;
        return cx.choose(crosses, less, q);
    }
    let plain = cx.b("div", a, b)?;
    let r = cx.with("mod", &[a, b], &[("fmod", Attr::Bool(true))])?;
    let whole = cx.b("sub", a, r)?;
    let q = cx.b("div", whole, b)?;
    let crosses = crosses(cx, r, b)?;
    let less = cx.bn("sub", q, 1.0)?;
    let q = cx.choose(crosses, less, q)?;
    let down = cx.u("floor", q)?;
    let rest = cx.b("sub", q, down)?;
    let above = cx.bn("greater", rest, 0.5)?;
    let up = cx.bn("add", down, 1.0)?;
    let q = cx.choose(above, up, down)?;
    let zero = cx.bn("equal", b, 0.0)?;
    cx.choose(zero, plain, q)
}
fn remainder(cx: &mut Cx) -> R<Out> {
    let (a, b) = cx.pair("self", "other")?;
    if !cx.dtype(a)?.is_float() {
        return Ok(Out::Fresh(cx.b("mod", a, b)?));
    }
    let r = cx.with("mod", &[a, b], &[("fmod", Attr::Bool(true))])?;
    let crosses = crosses(cx, r, b)?;
    let moved = cx.b("add", r, b)?;
    Ok(Out::Fresh(cx.choose(crosses, moved, r)?))
}
fn fmod(cx: &mut Cx) -> R<Out> {
    let (a, b) = cx.pair("self", "other")?;
    Ok(Out::Fresh(cx.with("mod", &[a, b], &[("fmod", Attr::Bool(true))])?))
}
fn pow(cx: &mut Cx) -> R<Out> {
    let (a, b) = (cx.operand("self")?, cx.operand("exponent")?);
    let dtype = cx.common(&[&a, &b])?;
    let x = cx.value_of(&a, dtype)?;
    if let Operand::Scalar(s) = &b
        && let Some(p) = s.known()
        && let Some(y) = fixed_power(cx, x, p)?
    {
        return Ok(Out::Fresh(y));
    }
    let dtype = if dtype == DType::Bool { DType::I64 } else { dtype };
    let (x, y) = (cx.cast(x, dtype)?, cx.value_of(&b, dtype)?);
    Ok(Out::Fresh(cx.b("pow", x, y)?))
}
/// The exponents that PyTorch computes without `pow`.
fn fixed_power(cx: &mut Cx, x: V, p: f64) -> R<Option<V>> {
    let float = cx.dtype(x)?.is_float();
    if cx.dtype(x)? == DType::Bool {
        return Ok(None);
    }
    Ok(Some(if p == 2.0 {
        cx.b("mul", x, x)?
    } else if p == 3.0 {
        let square = cx.b("mul", x, x)?;
        cx.b("mul", square, x)?
    } else if p == 0.5 && float {
        cx.u("sqrt", x)?
    } else if p == -0.5 && float {
        let root = cx.u("sqrt", x)?;
        cx.u("reciprocal", root)?
    } else if p == -1.0 && float {
        cx.u("reciprocal", x)?
    } else {
        return Ok(None);
    }))
}
fn float_power(cx: &mut Cx) -> R<Out> {
    let (a, b) = (cx.operand("self")?, cx.operand("exponent")?);
    let (x, y) = (cx.value_of(&a, DType::F64)?, cx.value_of(&b, DType::F64)?);
    Ok(Out::Fresh(cx.b("pow", x, y)?))
}
/// `self + value * (tensor1 op tensor2)`.
fn fused(cx: &mut Cx, op: &str) -> R<Out> {
    let (a, b, c) = (cx.operand("self")?, cx.operand("tensor1")?, cx.operand("tensor2")?);
    let mut dtype = cx.common(&[&a, &b, &c])?;
    if op == "div" {
        dtype = to_float(dtype);
    }
    let (a, b, c) = (cx.value_of(&a, dtype)?, cx.value_of(&b, dtype)?, cx.value_of(&c, dtype)?);
    let value = cx.opt_operand("value")?.unwrap_or(Operand::Scalar(Scalar::Int(Size::Known(1))));
    let b = if value.is_one() {
        b
    } else {
        let value = cx.value_of(&value, dtype)?;
        times(cx, b, value)?
    };
    let bc = cx.b(op, b, c)?;
    Ok(Out::Fresh(cx.b("add", a, bc)?))
}
/// `start + weight * (end - start)`, from the nearer end as PyTorch has it.
fn lerp(cx: &mut Cx) -> R<Out> {
    let (a, b) = cx.pair("self", "end")?;
    let dtype = cx.dtype(a)?;
    let w = cx.operand("weight")?;
    if !dtype.is_float() {
        return Err(unsupported("lerp is for floats"));
    }
    let w = cx.value_of(&w, dtype)?;
    let d = cx.b("sub", b, a)?;
    let step = cx.b("mul", w, d)?;
    let from_start = cx.b("add", a, step)?;
    let rest = cx.nb("sub", 1.0, w)?;
    let back = cx.b("mul", d, rest)?;
    let from_end = cx.b("sub", b, back)?;
    let size = cx.u("abs", w)?;
    let near = cx.bn("less", size, 0.5)?;
    Ok(Out::Fresh(cx.choose(near, from_start, from_end)?))
}
fn ldexp(cx: &mut Cx) -> R<Out> {
    let (a, b) = cx.float_pair("self", "other")?;
    let p = cx.nb("pow", 2.0, b)?;
    Ok(Out::Fresh(cx.b("mul", a, p)?))
}
