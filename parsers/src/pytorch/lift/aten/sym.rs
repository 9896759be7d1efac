//! Arithmetic on sizes.
use crate::pytorch::lift::cx::{Cx, Operand, Out, R, Scalar, Size, V, Val, malformed, unsupported};
use crate::pytorch::lift::emit::wrap;
use hoist_ir::dtype::DType;

pub(super) const TABLE: super::Table = &[
    ("sym_size", sym_size),
    ("size", sym_size),
    ("sym_numel", sym_numel),
    ("numel", sym_numel),
    ("sym_stride", |_| Err(unsupported("a stride as a value"))),
    ("sym_storage_offset", |_| Err(unsupported("a storage offset as a value"))),
    ("item", item),
    ("_local_scalar_dense", item),
    ("_operator.add", |cx| calculate(cx, "add")),
    ("_operator.sub", |cx| calculate(cx, "sub")),
    ("_operator.mul", |cx| calculate(cx, "mul")),
    ("_operator.floordiv", |cx| calculate(cx, "floordiv")),
    ("_operator.mod", |cx| calculate(cx, "mod")),
    ("_operator.truediv", |cx| calculate(cx, "truediv")),
    ("_operator.pow", |cx| calculate(cx, "pow")),
    ("_operator.neg", |cx| calculate(cx, "neg")),
    ("torch.sym_max", |cx| calculate(cx, "max")),
    ("torch.sym_min", |cx| calculate(cx, "min")),
    ("torch.sym_float", |cx| calculate(cx, "float")),
    ("math.floor", |cx| calculate(cx, "floor")),
    ("math.ceil", |cx| calculate(cx, "ceil")),
    ("math.trunc", |cx| calculate(cx, "trunc")),
    ("_operator.eq", |cx| compare(cx, "equal", false)),
    ("_operator.ne", |cx| compare(cx, "equal", true)),
    ("_operator.lt", |cx| compare(cx, "less", false)),
    ("_operator.le", |cx| compare(cx, "less_or_equal", false)),
    ("_operator.gt", |cx| compare(cx, "greater", false)),
    ("_operator.ge", |cx| compare(cx, "greater_or_equal", false)),
    ("_operator.and_", |cx| logic(cx, "and")),
    ("_operator.or_", |cx| logic(cx, "or")),
    ("torch.sym_not", |cx| logic(cx, "not")),
];

fn sym_size(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let axis = wrap(cx.int("dim")?, cx.rank(x)?)?;
    Ok(Out::Int(cx.dim(x, axis)?))
}
fn sym_numel(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let sizes = cx.shape_of(x)?;
    Ok(Out::Int(cx.size_product(&sizes)?))
}
/// An element as a number.
fn item(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let v = cx.reshape_to(x, &[])?;
    Ok(match cx.dtype(v)? {
        DType::Bool => Out::Bool(v),
        d if d.is_float() => Out::Float(v),
        _ => {
            let v = cx.cast(v, DType::I64)?;
            Out::Int(Size::Value(cx.unsqueeze(v, &[0])?))
        }
    })
}
/// Argument `i` as a number.
fn number(cx: &mut Cx, i: usize) -> R<Operand> {
    let val = cx.arg_at(i).ok_or_else(|| malformed("an operand is missing"))?.clone();
    Ok(match val {
        Val::Int(s) => Operand::Scalar(Scalar::Int(s)),
        Val::Float(v) => Operand::Scalar(Scalar::Float(v)),
        Val::Bool(v) => Operand::Scalar(Scalar::Bool(v)),
        Val::FloatValue(v) | Val::BoolValue(v) => Operand::Number(v),
        Val::Tensor(id) => Operand::Tensor(cx.read_tensor(id)?),
        _ => return Err(malformed("an operand is no number")),
    })
}
fn is_int(o: &Operand) -> bool {
    matches!(o, Operand::Scalar(Scalar::Int(_) | Scalar::Bool(_)))
}
fn as_size(o: &Operand) -> Size {
    match o {
        Operand::Scalar(Scalar::Int(s)) => s.clone(),
        Operand::Scalar(Scalar::Bool(b)) => Size::Known(i64::from(*b)),
        _ => Size::Known(0),
    }
}
/// The result is an integer or a float, as the node declares.
fn calculate(cx: &mut Cx, op: &str) -> R<Out> {
    let count = cx.call.args.len();
    let a = number(cx, 0)?;
    let b = if count > 1 { Some(number(cx, 1)?) } else { None };
    let ints = is_int(&a) && b.as_ref().is_none_or(is_int);
    match (op, b) {
        ("neg", None) if ints => {
            Ok(Out::Int(cx.size_op("sub", &Size::Known(0), &as_size(&a), i64::checked_sub)?))
        }
        ("floor" | "ceil" | "trunc", None) if ints => Ok(Out::Int(as_size(&a))),
        (_, None) => {
            let x = cx.value_of(&a, DType::F64)?;
            match op {
                "float" => Ok(Out::Float(x)),
                "neg" => Ok(Out::Float(cx.u("neg", x)?)),
                _ => {
                    let y = if op == "trunc" { super::unary::trunc(cx, x)? } else { cx.u(op, x)? };
                    let y = cx.cast(y, DType::I64)?;
                    Ok(Out::Int(Size::Value(cx.unsqueeze(y, &[0])?)))
                }
            }
        }
        ("truediv", Some(b)) => real(cx, "div", &a, &b),
        (_, Some(b)) if ints => integer(cx, op, &as_size(&a), &as_size(&b)),
        (_, Some(b)) => real(cx, op, &a, &b),
    }
}
fn real(cx: &mut Cx, op: &str, a: &Operand, b: &Operand) -> R<Out> {
    let (x, y) = (cx.value_of(a, DType::F64)?, cx.value_of(b, DType::F64)?);
    match op {
        "floordiv" => {
            let q = cx.b("div", x, y)?;
            Ok(Out::Float(cx.u("floor", q)?))
        }
        "mod" => Err(unsupported("the remainder of floats")),
        _ => Ok(Out::Float(cx.b(op, x, y)?)),
    }
}
/// Exact integer arithmetic; `None` where it overflows.
type Exact = fn(i64, i64) -> Option<i64>;

fn integer(cx: &mut Cx, op: &str, a: &Size, b: &Size) -> R<Out> {
    let (name, f): (&str, Exact) = match op {
        "add" => ("add", i64::checked_add),
        "sub" => ("sub", i64::checked_sub),
        "mul" => ("mul", i64::checked_mul),
        "max" => ("max", |a, b| Some(a.max(b))),
        "min" => ("min", |a, b| Some(a.min(b))),
        "mod" => ("mod", |a, b| {
            let r = a.checked_rem(b)?;
            Some(if r != 0 && (r < 0) != (b < 0) { r + b } else { r })
        }),
        // Sizes are not negative, so rounding towards zero is rounding down.
        "floordiv" => ("div", |a, b| {
            let q = a.checked_div(b)?;
            Some(if a % b != 0 && (a < 0) != (b < 0) { q - 1 } else { q })
        }),
        "pow" => ("pow", |a, b| a.checked_pow(u32::try_from(b).ok()?)),
        _ => return Err(unsupported(format!("`{op}` of integers"))),
    };
    if name == "div" && !(matches!(a, Size::Known(_)) && matches!(b, Size::Known(_))) {
        let (x, y) = (cx.size_value(a), cx.size_value(b));
        let positive = matches!(b, Size::Known(v) if *v > 0) && is_size(cx, x);
        let q = if positive { cx.b("div", x, y)? } else { super::arithmetic::floor_quotient(cx, x, y)? };
        return Ok(Out::Int(Size::Value(q)));
    }
    Ok(Out::Int(cx.size_op(name, a, b, f)?))
}
/// Whether a value is a size read from a tensor, which is not negative.
fn is_size(cx: &Cx, v: V) -> bool {
    cx.graph.producer(v).is_some_and(|n| cx.graph.node(n).op().name() == "shape")
}
fn compare(cx: &mut Cx, op: &str, negate: bool) -> R<Out> {
    let (a, b) = (number(cx, 0)?, number(cx, 1)?);
    let dtype = if is_int(&a) && is_int(&b) { DType::I64 } else { DType::F64 };
    let (a, b) = (cx.value_of(&a, dtype)?, cx.value_of(&b, dtype)?);
    let y = cx.b(op, a, b)?;
    Ok(Out::Bool(if negate { cx.u("not", y)? } else { y }))
}
fn logic(cx: &mut Cx, op: &str) -> R<Out> {
    let a = number(cx, 0)?;
    let a = cx.value_of(&a, DType::Bool)?;
    if op == "not" {
        return Ok(Out::Bool(cx.u("not", a)?));
    }
    let b = number(cx, 1)?;
    let b = cx.value_of(&b, DType::Bool)?;
    Ok(Out::Bool(cx.b(op, a, b)?))
}
