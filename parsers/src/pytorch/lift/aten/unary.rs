//! Functions of one tensor, element by element.
use crate::pytorch::lift::cx::{Cx, Out, R, V, unsupported};
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;
use std::f64::consts::{LN_2, LN_10, PI};

pub(super) const TABLE: super::Table = &[
    ("abs", |cx| same_type(cx, "abs")),
    ("absolute", |cx| same_type(cx, "abs")),
    ("neg", |cx| same_type(cx, "neg")),
    ("negative", |cx| same_type(cx, "neg")),
    ("positive", |cx| Ok(Out::Same(cx.tensor_id("self")?))),
    ("ceil", |cx| rounding(cx, "ceil")),
    ("floor", |cx| rounding(cx, "floor")),
    ("round", round),
    ("special_round", round),
    ("trunc", |cx| truncated(cx)),
    ("fix", |cx| truncated(cx)),
    ("frac", frac),
    ("sign", sign),
    ("sgn", sign),
    ("sqrt", |cx| real(cx, "sqrt")),
    ("exp", |cx| real(cx, "exp")),
    ("log", |cx| real(cx, "log")),
    ("sin", |cx| real(cx, "sin")),
    ("cos", |cx| real(cx, "cos")),
    ("tan", |cx| real(cx, "tan")),
    ("asin", |cx| real(cx, "asin")),
    ("arcsin", |cx| real(cx, "asin")),
    ("acos", |cx| real(cx, "acos")),
    ("arccos", |cx| real(cx, "acos")),
    ("atan", |cx| real(cx, "atan")),
    ("arctan", |cx| real(cx, "atan")),
    ("sinh", |cx| real(cx, "sinh")),
    ("cosh", |cx| real(cx, "cosh")),
    ("tanh", |cx| real(cx, "tanh")),
    ("asinh", |cx| real(cx, "asinh")),
    ("arcsinh", |cx| real(cx, "asinh")),
    ("acosh", |cx| real(cx, "acosh")),
    ("arccosh", |cx| real(cx, "acosh")),
    ("atanh", |cx| real(cx, "atanh")),
    ("arctanh", |cx| real(cx, "atanh")),
    ("sigmoid", |cx| real(cx, "sigmoid")),
    ("special_expit", |cx| real(cx, "sigmoid")),
    ("reciprocal", |cx| real(cx, "reciprocal")),
    ("exp2", |cx| {
        formula(cx, |cx, x| {
            let x = cx.bn("mul", x, LN_2)?;
            cx.u("exp", x)
        })
    }),
    ("special_exp2", |cx| {
        formula(cx, |cx, x| {
            let x = cx.bn("mul", x, LN_2)?;
            cx.u("exp", x)
        })
    }),
    ("expm1", |cx| formula(cx, expm1)),
    ("special_expm1", |cx| formula(cx, expm1)),
    ("log1p", |cx| formula(cx, log1p)),
    ("special_log1p", |cx| formula(cx, log1p)),
    ("log2", |cx| formula(cx, |cx, x| log_base(cx, x, LN_2))),
    ("log10", |cx| formula(cx, |cx, x| log_base(cx, x, LN_10))),
    ("rsqrt", |cx| {
        formula(cx, |cx, x| {
            let x = cx.u("sqrt", x)?;
            cx.u("reciprocal", x)
        })
    }),
    ("square", square),
    ("deg2rad", |cx| formula(cx, |cx, x| cx.bn("mul", x, PI / 180.0))),
    ("rad2deg", |cx| formula(cx, |cx, x| cx.bn("mul", x, 180.0 / PI))),
    ("sinc", |cx| formula(cx, sinc)),
    ("special_sinc", |cx| formula(cx, sinc)),
    ("logit", logit),
    ("special_logit", logit),
    ("logical_not", logical_not),
    ("bitwise_not", bitwise_not),
    ("isnan", |cx| test(cx, |cx, x| cx.u("is_nan", x), false)),
    ("isinf", |cx| test(cx, |cx, x| cx.u("is_inf", x), false)),
    ("isposinf", |cx| {
        test(cx, |cx, x| cx.with("is_inf", &[x], &[("detect_negative", Attr::Bool(false))]), false)
    }),
    ("isneginf", |cx| {
        test(cx, |cx, x| cx.with("is_inf", &[x], &[("detect_positive", Attr::Bool(false))]), false)
    }),
    ("isfinite", |cx| {
        test(
            cx,
            |cx, x| {
                let (nan, inf) = (cx.u("is_nan", x)?, cx.u("is_inf", x)?);
                let either = cx.b("or", nan, inf)?;
                cx.u("not", either)
            },
            true,
        )
    }),
    ("isreal", isreal),
    ("signbit", signbit),
    ("nan_to_num", nan_to_num),
    ("angle", angle),
    ("conj_physical", real_self),
    ("conj", real_self),
    ("resolve_conj", real_self),
    ("resolve_neg", real_self),
    ("real", real_self),
];

/// Keeps the element type.
fn same_type(cx: &mut Cx, op: &str) -> R<Out> {
    let x = cx.t("self")?;
    Ok(Out::Fresh(cx.u(op, x)?))
}
/// Integers become floats.
fn real(cx: &mut Cx, op: &str) -> R<Out> {
    let x = cx.float_t("self")?;
    Ok(Out::Fresh(cx.u(op, x)?))
}
/// A formula over floats; half precision is computed wide and rounded once.
pub(super) fn formula(cx: &mut Cx, f: impl FnOnce(&mut Cx, V) -> R<V>) -> R<Out> {
    let x = cx.float_t("self")?;
    let dtype = cx.dtype(x)?;
    let wide = cx.wide(x)?;
    let y = f(cx, wide)?;
    Ok(Out::Fresh(cx.cast(y, dtype)?))
}
/// Integers are whole already.
fn rounding(cx: &mut Cx, op: &str) -> R<Out> {
    let x = cx.t("self")?;
    if !cx.dtype(x)?.is_float() {
        return Ok(Out::Fresh(cx.u("identity", x)?));
    }
    Ok(Out::Fresh(cx.u(op, x)?))
}
fn round(cx: &mut Cx) -> R<Out> {
    let decimals = cx.int_or("decimals", 0)?;
    if decimals == 0 {
        return rounding(cx, "round");
    }
    formula(cx, |cx, x| {
        // PyTorch multiplies or divides by the positive power of ten.
        let ten = 10f64.powi(decimals.unsigned_abs().min(300) as i32);
        let (there, back) = if decimals > 0 { ("mul", "div") } else { ("div", "mul") };
        let scaled = cx.bn(there, x, ten)?;
        let whole = cx.u("round", scaled)?;
        cx.bn(back, whole, ten)
    })
}
/// Rounds floats towards zero.
pub(super) fn trunc(cx: &mut Cx, x: V) -> R<V> {
    if !cx.dtype(x)?.is_float() {
        return Ok(x);
    }
    let (down, up) = (cx.u("floor", x)?, cx.u("ceil", x)?);
    let negative = cx.bn("less", x, 0.0)?;
    cx.choose(negative, up, down)
}
fn truncated(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let y = trunc(cx, x)?;
    Ok(Out::Fresh(if x == y { cx.u("identity", x)? } else { y }))
}
fn frac(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let whole = trunc(cx, x)?;
    Ok(Out::Fresh(cx.b("sub", x, whole)?))
}
fn sign(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    if cx.dtype(x)? == DType::Bool {
        return Ok(Out::Fresh(cx.u("identity", x)?));
    }
    Ok(Out::Fresh(cx.u("sign", x)?))
}
fn square(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let x = if cx.dtype(x)? == DType::Bool { cx.cast(x, DType::I64)? } else { x };
    Ok(Out::Fresh(cx.b("mul", x, x)?))
}
/// `exp(x) - 1` without cancellation near zero: `2 t / (1 - t)` with `t = tanh(x / 2)`.
pub(super) fn expm1(cx: &mut Cx, x: V) -> R<V> {
    let half = cx.bn("mul", x, 0.5)?;
    let t = cx.u("tanh", half)?;
    let (two_t, rest) = (cx.b("add", t, t)?, cx.nb("sub", 1.0, t)?);
    let near = cx.b("div", two_t, rest)?;
    let e = cx.u("exp", x)?;
    let far = cx.bn("sub", e, 1.0)?;
    let size = cx.u("abs", x)?;
    let small = cx.bn("less", size, 0.5)?;
    cx.choose(small, near, far)
}
/// `log(1 + x)` without cancellation near zero: `log(u) x / (u - 1)` with `u = 1 + x` rounded.
pub(super) fn log1p(cx: &mut Cx, x: V) -> R<V> {
    let u = cx.bn("add", x, 1.0)?;
    let far = cx.u("log", u)?;
    let d = cx.bn("sub", u, 1.0)?;
    let scaled = cx.b("mul", far, x)?;
    let near = cx.b("div", scaled, d)?;
    let tiny = cx.bn("equal", d, 0.0)?;
    let near = cx.choose(tiny, x, near)?;
    let size = cx.u("abs", x)?;
    let small = cx.bn("less", size, 0.5)?;
    cx.choose(small, near, far)
}
fn log_base(cx: &mut Cx, x: V, ln_base: f64) -> R<V> {
    let l = cx.u("log", x)?;
    cx.bn("div", l, ln_base)
}
fn sinc(cx: &mut Cx, x: V) -> R<V> {
    let p = cx.bn("mul", x, PI)?;
    let s = cx.u("sin", p)?;
    let y = cx.b("div", s, p)?;
    let zero = cx.bn("equal", x, 0.0)?;
    let one = cx.num(x, 1.0)?;
    cx.choose(zero, one, y)
}
fn logit(cx: &mut Cx) -> R<Out> {
    let eps = if cx.has("eps") { Some(cx.float("eps")?) } else { None };
    formula(cx, |cx, x| {
        let x = match eps {
            // The bounds may be the wrong way round: the lower one counts first.
            Some(e) => {
                let (low, high) = (cx.bn("less", x, e)?, cx.bn("greater", x, 1.0 - e)?);
                let y = cx.num(x, 1.0 - e)?;
                let y = cx.choose(high, y, x)?;
                let e = cx.num(x, e)?;
                cx.choose(low, e, y)?
            }
            None => x,
        };
        let rest = cx.nb("sub", 1.0, x)?;
        let odds = cx.b("div", x, rest)?;
        cx.u("log", odds)
    })
}
/// Bounds by numbers of the element type of `x`.
pub(super) fn clip(cx: &mut Cx, x: V, low: Option<f64>, high: Option<f64>) -> R<V> {
    let low = low.map(|v| cx.num(x, v)).transpose()?;
    let high = high.map(|v| cx.num(x, v)).transpose()?;
    cx.node1("clip", &[Some(x), low, high], &[])
}
fn logical_not(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let x = cx.cast(x, DType::Bool)?;
    Ok(Out::Fresh(cx.u("not", x)?))
}
fn bitwise_not(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    Ok(Out::Fresh(match cx.dtype(x)? {
        DType::Bool => cx.u("not", x)?,
        // -1 - x in two's complement; `bitwise_not` exists since opset 18 only.
        d if d.is_signed_int() => {
            let m = cx.int_of(d, -1)?;
            cx.b("sub", m, x)?
        }
        _ => cx.u("bitwise_not", x)?,
    }))
}
/// A predicate over floats; integers all give `of_ints`.
fn test(cx: &mut Cx, f: impl FnOnce(&mut Cx, V) -> R<V>, of_ints: bool) -> R<Out> {
    let x = cx.t("self")?;
    if cx.dtype(x)?.is_float() {
        return Ok(Out::Fresh(f(cx, x)?));
    }
    all_alike(cx, x, of_ints)
}
/// A truth value in the sizes of `x`.
fn all_alike(cx: &mut Cx, x: V, value: bool) -> R<Out> {
    let sizes = cx.shape_of(x)?;
    let v = cx.int_of(DType::Bool, i64::from(value))?;
    Ok(Out::Fresh(cx.full(&sizes, v)?))
}
fn isreal(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    all_alike(cx, x, true)
}
fn signbit(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    match cx.dtype(x)? {
        DType::Bool => all_alike(cx, x, false),
        d if d.is_float() => {
            // 1/-0 is negative too.
            let inverse = cx.u("reciprocal", x)?;
            let (zero, below) = (cx.bn("equal", x, 0.0)?, cx.bn("less", x, 0.0)?);
            let inverse = cx.bn("less", inverse, 0.0)?;
            Ok(Out::Fresh(cx.choose(zero, inverse, below)?))
        }
        _ => Ok(Out::Fresh(cx.bn("less", x, 0.0)?)),
    }
}
fn nan_to_num(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let (nan, high, low) = (cx.float_or("nan", 0.0)?, cx.arg("posinf"), cx.arg("neginf"));
    let dtype = cx.dtype(x)?;
    if !dtype.is_float() {
        return Ok(Out::Fresh(cx.u("identity", x)?));
    }
    let most = largest(dtype)?;
    let high = if high.is_some() { cx.float("posinf")? } else { most };
    let low = if low.is_some() { cx.float("neginf")? } else { -most };
    let is_nan = cx.u("is_nan", x)?;
    let nan = cx.num(x, nan)?;
    let y = cx.choose(is_nan, nan, x)?;
    let above = cx.with("is_inf", &[x], &[("detect_negative", Attr::Bool(false))])?;
    let high = cx.num(x, high)?;
    let y = cx.choose(above, high, y)?;
    let below = cx.with("is_inf", &[x], &[("detect_positive", Attr::Bool(false))])?;
    let low = cx.num(x, low)?;
    Ok(Out::Fresh(cx.choose(below, low, y)?))
}
/// Largest finite value of a float type.
pub(super) fn largest(dtype: DType) -> R<f64> {
    Ok(match dtype {
        DType::F16 => 65504.0,
        DType::F32 => f64::from(f32::MAX),
        DType::F64 => f64::MAX,
        DType::BF16 => 3.3895313892515355e38,
        _ => return Err(unsupported(format!("the largest value of {dtype}"))),
    })
}
fn angle(cx: &mut Cx) -> R<Out> {
    formula(cx, |cx, x| {
        let below = cx.bn("less", x, 0.0)?;
        let (pi, zero) = (cx.num(x, PI)?, cx.num(x, 0.0)?);
        let y = cx.choose(below, pi, zero)?;
        let nan = cx.u("is_nan", x)?;
        cx.choose(nan, x, y)
    })
}
/// The identity on real numbers, which these operators are.
fn real_self(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    if cx.dtype(x)?.is_complex() {
        return Err(unsupported("complex numbers are not supported"));
    }
    Ok(Out::Same(cx.tensor_id("self")?))
}
