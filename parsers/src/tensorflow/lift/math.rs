//! Element-wise operators.
use super::Row;
use super::bridge::Arg;
use super::cx::{Cx, R, V};
use super::val::Val;
use hoist_ir::dtype::DType;
use hoist_ir::ops::elementwise::activation::{Elu, LeakyRelu};
use hoist_ir::ops::elementwise::clip::Clip;

pub(super) const TABLE: &[Row] = &[
    ("Abs", "", |cx| unary(cx, "abs")),
    ("Acos", "", |cx| float(cx, "acos")),
    ("Acosh", "", |cx| float(cx, "acosh")),
    ("Asin", "", |cx| float(cx, "asin")),
    ("Asinh", "", |cx| float(cx, "asinh")),
    ("Atan", "", |cx| float(cx, "atan")),
    ("Atanh", "", |cx| float(cx, "atanh")),
    ("Ceil", "", |cx| float(cx, "ceil")),
    ("Cos", "", |cx| float(cx, "cos")),
    ("Cosh", "", |cx| float(cx, "cosh")),
    ("Erf", "", |cx| float(cx, "erf")),
    ("Exp", "", |cx| float(cx, "exp")),
    ("Floor", "", |cx| float(cx, "floor")),
    ("Log", "", |cx| float(cx, "log")),
    ("Neg", "", |cx| unary(cx, "neg")),
    ("Relu", "", |cx| unary(cx, "relu")),
    ("Rint", "", |cx| float(cx, "round")),
    ("Selu", "", |cx| float(cx, "selu")),
    ("Sigmoid", "", |cx| float(cx, "sigmoid")),
    ("Sign", "", |cx| unary(cx, "sign")),
    ("Sin", "", |cx| float(cx, "sin")),
    ("Sinh", "", |cx| float(cx, "sinh")),
    ("Softplus", "", |cx| float(cx, "softplus")),
    ("Softsign", "", |cx| float(cx, "softsign")),
    ("Sqrt", "", |cx| float(cx, "sqrt")),
    ("Tan", "", |cx| float(cx, "tan")),
    ("Tanh", "", |cx| float(cx, "tanh")),
    ("LogicalNot", "", |cx| unary(cx, "not")),
    ("Invert", "", |cx| unary(cx, "bitwise_not")),
    ("IsNan", "", |cx| unary(cx, "is_nan")),
    ("IsInf", "", |cx| unary(cx, "is_inf")),
    ("IsFinite", "", is_finite),
    ("Inv", "", |cx| float(cx, "reciprocal")),
    ("Reciprocal", "", |cx| float(cx, "reciprocal")),
    ("Rsqrt", "", rsqrt),
    ("Square", "", square),
    ("Round", "", round),
    ("Relu6", "", relu6),
    ("Elu", "", |cx| activation(cx, Elu { alpha: 1.0 })),
    ("LeakyRelu", "", leaky_relu),
    ("Digamma", "", |cx| aten(cx, "digamma", "self")),
    ("Erfc", "", |cx| aten(cx, "erfc", "self")),
    ("Erfinv", "", |cx| aten(cx, "erfinv", "self")),
    ("Expm1", "", |cx| aten(cx, "expm1", "self")),
    ("Lgamma", "", |cx| aten(cx, "lgamma", "self")),
    ("Log1p", "", |cx| aten(cx, "log1p", "self")),
    ("Ndtri", "", |cx| aten(cx, "special_ndtri", "self")),
    ("BesselI0e", "", |cx| aten(cx, "special_i0e", "self")),
    ("BesselI1e", "", |cx| aten(cx, "special_i1e", "self")),
    ("BesselI0", "", |cx| aten(cx, "i0", "self")),
    ("BesselI1", "", |cx| aten(cx, "special_i1", "self")),
    ("BesselJ0", "", |cx| aten(cx, "special_bessel_j0", "self")),
    ("BesselJ1", "", |cx| aten(cx, "special_bessel_j1", "self")),
    ("BesselK0", "", |cx| aten(cx, "special_modified_bessel_k0", "self")),
    ("BesselK1", "", |cx| aten(cx, "special_modified_bessel_k1", "self")),
    ("BesselK0e", "", |cx| aten(cx, "special_scaled_modified_bessel_k0", "x")),
    ("BesselK1e", "", |cx| aten(cx, "special_scaled_modified_bessel_k1", "x")),
    ("BesselY0", "", |cx| aten(cx, "special_bessel_y0", "self")),
    ("BesselY1", "", |cx| aten(cx, "special_bessel_y1", "self")),
    ("Igamma", "", |cx| aten2(cx, "special_gammainc")),
    ("Igammac", "", |cx| aten2(cx, "special_gammaincc")),
    ("Zeta", "", |cx| aten2(cx, "special_zeta")),
    ("Atan2", "", |cx| aten2(cx, "atan2")),
    ("Xlogy", "", |cx| aten2(cx, "xlogy")),
    ("Xlog1py", "", |cx| aten2(cx, "special_xlog1py")),
    ("Xdivy", "", xdivy),
    ("Add", "", add),
    ("AddV2", "", add),
    ("Sub", "", |cx| binary(cx, "sub")),
    ("Mul", "", |cx| binary(cx, "mul")),
    ("RealDiv", "", |cx| binary(cx, "div")),
    ("Div", "", div),
    ("DivNoNan", "", div_no_nan),
    ("MulNoNan", "", mul_no_nan),
    ("FloorDiv", "", floor_div),
    ("TruncateDiv", "", truncate_div),
    ("FloorMod", "", |cx| aten2(cx, "remainder")),
    ("Mod", "", |cx| aten2(cx, "fmod")),
    ("TruncateMod", "", |cx| aten2(cx, "fmod")),
    ("Maximum", "", |cx| aten2(cx, "maximum")),
    ("Minimum", "", |cx| aten2(cx, "minimum")),
    ("Pow", "", pow),
    ("SquaredDifference", "", squared_difference),
    ("Less", "", |cx| compared(cx, "less")),
    ("LessEqual", "", |cx| compared(cx, "less_or_equal")),
    ("Greater", "", |cx| compared(cx, "greater")),
    ("GreaterEqual", "", |cx| compared(cx, "greater_or_equal")),
    ("Equal", "", |cx| compared(cx, "equal")),
    ("NotEqual", "", not_equal),
    ("ApproximateEqual", "", approximate_equal),
    ("LogicalAnd", "", |cx| binary(cx, "and")),
    ("LogicalOr", "", |cx| binary(cx, "or")),
    ("BitwiseAnd", "", |cx| aten2(cx, "bitwise_and")),
    ("BitwiseOr", "", |cx| aten2(cx, "bitwise_or")),
    ("BitwiseXor", "", |cx| aten2(cx, "bitwise_xor")),
    ("LeftShift", "", |cx| aten2(cx, "bitwise_left_shift")),
    ("RightShift", "", |cx| aten2(cx, "bitwise_right_shift")),
    ("AddN", "", add_n),
    ("AccumulateNV2", "", add_n),
    ("ClipByValue", "", clip_by_value),
    ("Cast", "", cast),
];

fn one(v: V) -> Vec<Val> {
    vec![v.into()]
}

fn unary(cx: &mut Cx<'_, '_, '_>, name: &str) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    Ok(one(cx.named(name, &[x])?))
}

/// An operator on floats, which TensorFlow also has on complex numbers.
fn float(cx: &mut Cx<'_, '_, '_>, name: &str) -> R<Vec<Val>> {
    if let Val::Complex(v) = cx.val(0)? {
        let name = if name == "reciprocal" { name } else { name.trim_end_matches('_') };
        let arg = Arg::C(*v);
        let out = cx.aten_all(name, &[("self", arg)])?;
        return Ok(out.into_iter().map(Val::from).collect());
    }
    unary(cx, name)
}

fn aten(cx: &mut Cx<'_, '_, '_>, name: &str, operand: &str) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    Ok(one(cx.aten(name, &[(operand, Arg::T(x))])?))
}

/// Complex numbers for an operator of two operands, of which at least one is complex.
fn complex2(cx: &mut Cx<'_, '_, '_>, name: &str) -> R<Option<Vec<Val>>> {
    let arg = |v: &Val| match v {
        Val::Complex(v) => Some(Arg::C(*v)),
        _ => None,
    };
    let (Some(a), Some(b)) = (arg(cx.val(0)?), arg(cx.val(1)?)) else { return Ok(None) };
    let out = cx.aten_all(name, &[("self", a), ("other", b)])?;
    Ok(Some(out.into_iter().map(Val::from).collect()))
}

fn binary(cx: &mut Cx<'_, '_, '_>, name: &str) -> R<Vec<Val>> {
    if let Some(found) = complex2(cx, name)? {
        return Ok(found);
    }
    let (x, y) = (cx.arg(0)?, cx.arg(1)?);
    Ok(one(cx.named(name, &[x, y])?))
}

fn aten2(cx: &mut Cx<'_, '_, '_>, name: &str) -> R<Vec<Val>> {
    let (x, y) = (cx.arg(0)?, cx.arg(1)?);
    Ok(one(cx.aten(name, &[("self", Arg::T(x)), ("other", Arg::T(y))])?))
}

/// Sums of numbers, and texts one behind the other.
fn add(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let texts = cx.arg(0).and_then(|x| cx.dtype(x)).is_ok_and(|d| d == DType::String);
    binary(cx, if texts { "string_concat" } else { "add" })
}

fn compared(cx: &mut Cx<'_, '_, '_>, name: &str) -> R<Vec<Val>> {
    let (x, y) = (cx.arg(0)?, cx.arg(1)?);
    if name == "equal" && cx.attrs.bool("incompatible_shape_error") == Some(false) {
        let ranks = (cx.known_rank(x), cx.known_rank(y));
        if !matches!(ranks, (Some(a), Some(b)) if a == b || a == 0 || b == 0) {
            return Err(cx.unsupported("shapes that may not fit each other (incompatible_shape_error=false)"));
        }
    }
    Ok(one(cx.named(name, &[x, y])?))
}

fn not_equal(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, y) = (cx.arg(0)?, cx.arg(1)?);
    let same = cx.named("equal", &[x, y])?;
    Ok(one(cx.named("not", &[same])?))
}

fn approximate_equal(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, y) = (cx.arg(0)?, cx.arg(1)?);
    let off = cx.named("sub", &[x, y])?;
    let off = cx.named("abs", &[off])?;
    let most = cx.number(f64::from(cx.attrs.float("tolerance").unwrap_or(1e-5)), off)?;
    Ok(one(cx.named("less", &[off, most])?))
}

fn is_finite(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let (nan, inf) = (cx.named("is_nan", &[x])?, cx.named("is_inf", &[x])?);
    let odd = cx.named("or", &[nan, inf])?;
    Ok(one(cx.named("not", &[odd])?))
}

fn rsqrt(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let root = cx.named("sqrt", &[x])?;
    Ok(one(cx.named("reciprocal", &[root])?))
}

fn square(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    if let Val::Complex(v) = *cx.val(0)? {
        let out = cx.aten_all("mul", &[("self", Arg::C(v)), ("other", Arg::C(v))])?;
        return Ok(out.into_iter().map(Val::from).collect());
    }
    let x = cx.arg(0)?;
    Ok(one(cx.named("mul", &[x, x])?))
}

/// Rounds halves to even numbers; integers stay.
fn round(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    Ok(one(if cx.dtype(x)?.is_float() { cx.named("round", &[x])? } else { x }))
}

fn relu6(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let (low, high) = (cx.number(0.0, x)?, cx.number(6.0, x)?);
    Ok(one(cx.op(Clip::default(), &[x, low, high])?))
}

fn clip_by_value(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, low, high) = (cx.arg(0)?, cx.arg(1)?, cx.arg(2)?);
    let high = cx.aten("minimum", &[("self", Arg::T(x)), ("other", Arg::T(high))])?;
    Ok(one(cx.aten("maximum", &[("self", Arg::T(high)), ("other", Arg::T(low))])?))
}

fn activation(cx: &mut Cx<'_, '_, '_>, op: impl Into<hoist_ir::ops::Op>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    Ok(one(cx.op(op, &[x])?))
}

fn leaky_relu(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let alpha = cx.attrs.float("alpha").unwrap_or(0.2);
    activation(cx, LeakyRelu { alpha })
}

/// `Div` rounds integers towards zero.
fn div(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    if cx.dtype(x)?.is_int() { truncate_div(cx) } else { binary(cx, "div") }
}

/// 0 where the divisor is 0, whatever is divided.
fn div_no_nan(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, y) = (cx.arg(0)?, cx.arg(1)?);
    let zero = cx.number(0.0, y)?;
    let none = cx.named("equal", &[y, zero])?;
    let ratio = cx.named("div", &[x, y])?;
    Ok(one(cx.named("where", &[none, zero, ratio])?))
}

/// 0 where the second operand is 0, whatever it is multiplied with.
fn mul_no_nan(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, y) = (cx.arg(0)?, cx.arg(1)?);
    let zero = cx.number(0.0, y)?;
    let none = cx.named("equal", &[y, zero])?;
    let product = cx.named("mul", &[x, y])?;
    Ok(one(cx.named("where", &[none, zero, product])?))
}

/// 0 where the first operand is 0, whatever it is divided by.
fn xdivy(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, y) = (cx.arg(0)?, cx.arg(1)?);
    let zero = cx.number(0.0, x)?;
    let none = cx.named("equal", &[x, zero])?;
    let ratio = cx.named("div", &[x, y])?;
    Ok(one(cx.named("where", &[none, zero, ratio])?))
}

fn rounded(cx: &mut Cx<'_, '_, '_>, mode: &'static str) -> R<Vec<Val>> {
    let (x, y) = (cx.arg(0)?, cx.arg(1)?);
    let args = [("self", Arg::T(x)), ("other", Arg::T(y)), ("rounding_mode", Arg::S(mode))];
    Ok(one(cx.aten("div", &args)?))
}

/// The quotient rounded down; of floats too, of the rounded quotient.
fn floor_div(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, y) = (cx.arg(0)?, cx.arg(1)?);
    if cx.dtype(x)?.is_float() {
        let ratio = cx.named("div", &[x, y])?;
        return Ok(one(cx.named("floor", &[ratio])?));
    }
    rounded(cx, "floor")
}

fn truncate_div(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    rounded(cx, "trunc")
}

fn pow(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, y) = (cx.arg(0)?, cx.arg(1)?);
    Ok(one(cx.aten("pow", &[("self", Arg::T(x)), ("exponent", Arg::T(y))])?))
}

fn squared_difference(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, y) = (cx.arg(0)?, cx.arg(1)?);
    let off = cx.named("sub", &[x, y])?;
    Ok(one(cx.named("mul", &[off, off])?))
}

fn add_n(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let all = cx.args()?;
    let mut all = all.into_iter();
    let mut sum = all.next().ok_or_else(|| cx.bad("there is nothing to add"))?;
    for v in all {
        sum = cx.named("add", &[sum, v])?;
    }
    Ok(one(sum))
}

/// Floats become integers by leaving out what is behind the point, also where ONNX Runtime would round.
fn cast(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let to = cx.attrs.dtype("DstT")?;
    if let Val::Complex(v) = *cx.val(0)? {
        if matches!(to, DType::C64 | DType::C128) {
            let part = if to == DType::C64 { DType::F32 } else { DType::F64 };
            return Ok(vec![Val::Complex(cx.cast(v, part)?)]);
        }
        let real = cx.aten("real", &[("self", Arg::C(v))])?;
        return Ok(one(cx.cast(real, to)?));
    }
    let x = cx.arg(0)?;
    match to {
        DType::C64 | DType::C128 => {
            let part = if to == DType::C64 { DType::F32 } else { DType::F64 };
            let re = cx.cast(x, part)?;
            let zero = cx.number(0.0, re)?;
            let im = cx.named("mul", &[re, zero])?;
            let (re, im) = (cx.unsqueeze(re, &[-1])?, cx.unsqueeze(im, &[-1])?);
            Ok(vec![Val::Complex(cx.concat(&[re, im], -1)?)])
        }
        _ => Ok(one(cx.cast(x, to)?)),
    }
}
