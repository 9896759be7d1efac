//! Elementary functions of one operand.
use super::expansions;
use super::map::{float_map, number_map};
use super::math;
use super::typing::{contents1, same};
use crate::dim::SymInt;
use crate::dtype::{BOOL_ONLY, FLOATS, INTS, NUMERIC, SIGNED};
use crate::eval::{EvalCx, one};
use crate::tensor::Tensor;

crate::op! {
    /// `y = |x|`; the smallest signed integer stays as it is.
    abs Abs(x: One<T>) -> (y: One<T>) {} where T: NUMERIC;
    infer = same,
    eval = |_: &Abs, cx| number_map(cx, f32::abs, f64::abs, i64::wrapping_abs, |v| v),
    contents = |_: &Abs, cx| contents1(cx, |v| match v.as_const() {
        Some(c) => c.checked_abs().map(SymInt::from),
        None => v.is_non_negative().then(|| v.clone()),
    });
}
crate::op! {
    /// `y = -x`.
    neg Neg(x: One<T>) -> (y: One<T>) {} where T: FLOATS.or(SIGNED);
    infer = same,
    eval = |_: &Neg, cx| number_map(cx, |v| -v, |v| -v, i64::wrapping_neg, |v| v),
    contents = |_: &Neg, cx| contents1(cx, SymInt::neg);
}
crate::op! {
    /// -1, 0 or 1 as the operand is negative, zero or positive; NaN stays.
    sign Sign(input: One<T>) -> (output: One<T>) {} where T: NUMERIC;
    infer = same,
    eval = |_: &Sign, cx| number_map(
        cx,
        |v| if v > 0.0 { 1.0 } else if v < 0.0 { -1.0 } else { v * 0.0 },
        |v| if v > 0.0 { 1.0 } else if v < 0.0 { -1.0 } else { v * 0.0 },
        i64::signum,
        |v| u64::from(v != 0),
    );
}
crate::op! {
    /// Rounds up.
    ceil Ceil(x: One<T>) -> (y: One<T>) {} where T: FLOATS;
    infer = same, eval = |_: &Ceil, cx| float_map(cx, f32::ceil, f64::ceil);
}
crate::op! {
    /// Rounds down.
    floor Floor(x: One<T>) -> (y: One<T>) {} where T: FLOATS;
    infer = same, eval = |_: &Floor, cx| float_map(cx, f32::floor, f64::floor);
}
crate::op! {
    /// Rounds to the nearest integer, halves to the even one.
    round Round(x: One<T>) -> (y: One<T>) {} where T: FLOATS;
    infer = same, eval = |_: &Round, cx| float_map(cx, f32::round_ties_even, f64::round_ties_even);
}
crate::op! {
    /// Square root.
    sqrt Sqrt(x: One<T>) -> (y: One<T>) {} where T: FLOATS;
    infer = same, eval = |_: &Sqrt, cx| float_map(cx, f32::sqrt, f64::sqrt);
}
crate::op! {
    /// `e^input`.
    exp Exp(input: One<T>) -> (output: One<T>) {} where T: FLOATS;
    infer = same, eval = |_: &Exp, cx| float_map(cx, math::exp, libm::exp);
}
crate::op! {
    /// Natural logarithm.
    log Log(input: One<T>) -> (output: One<T>) {} where T: FLOATS;
    infer = same, eval = |_: &Log, cx| float_map(cx, libm::logf, libm::log);
}
crate::op! {
    /// Error function.
    erf Erf(input: One<T>) -> (output: One<T>) {} where T: FLOATS;
    infer = same, eval = |_: &Erf, cx| float_map(cx, math::erf, libm::erf);
}
crate::op! {
    /// `y = 1 / x`.
    reciprocal Reciprocal(x: One<T>) -> (y: One<T>) {} where T: FLOATS;
    infer = same, eval = |_: &Reciprocal, cx| float_map(cx, |v| 1.0 / v, |v| 1.0 / v);
}
crate::op! {
    /// Sine of an angle in radians.
    sin Sin(input: One<T>) -> (output: One<T>) {} where T: FLOATS;
    infer = same, eval = |_: &Sin, cx| float_map(cx, libm::sinf, libm::sin);
}
crate::op! {
    /// Cosine of an angle in radians.
    cos Cos(input: One<T>) -> (output: One<T>) {} where T: FLOATS;
    infer = same, eval = |_: &Cos, cx| float_map(cx, libm::cosf, libm::cos);
}
crate::op! {
    /// Tangent of an angle in radians.
    tan Tan(input: One<T>) -> (output: One<T>) {} where T: FLOATS;
    infer = same, eval = |_: &Tan, cx| float_map(cx, libm::tanf, libm::tan);
}
crate::op! {
    /// Arc sine in radians.
    asin Asin(input: One<T>) -> (output: One<T>) {} where T: FLOATS;
    infer = same, eval = |_: &Asin, cx| float_map(cx, libm::asinf, libm::asin);
}
crate::op! {
    /// Arc cosine in radians.
    acos Acos(input: One<T>) -> (output: One<T>) {} where T: FLOATS;
    infer = same, eval = |_: &Acos, cx| float_map(cx, libm::acosf, libm::acos);
}
crate::op! {
    /// Arc tangent in radians.
    atan Atan(input: One<T>) -> (output: One<T>) {} where T: FLOATS;
    infer = same, eval = |_: &Atan, cx| float_map(cx, libm::atanf, libm::atan);
}
crate::op! {
    /// Hyperbolic sine.
    sinh Sinh(input: One<T>) -> (output: One<T>) {} where T: FLOATS;
    infer = same, eval = |_: &Sinh, cx| float_map(cx, libm::sinhf, libm::sinh);
}
crate::op! {
    /// Hyperbolic cosine.
    cosh Cosh(input: One<T>) -> (output: One<T>) {} where T: FLOATS;
    infer = same, eval = |_: &Cosh, cx| float_map(cx, libm::coshf, libm::cosh);
}
crate::op! {
    /// Hyperbolic tangent.
    tanh Tanh(input: One<T>) -> (output: One<T>) {} where T: FLOATS;
    infer = same, eval = |_: &Tanh, cx| float_map(cx, math::tanh, libm::tanh);
}
crate::op! {
    /// Inverse hyperbolic sine.
    asinh Asinh(input: One<T>) -> (output: One<T>) {} where T: FLOATS;
    infer = same, eval = |_: &Asinh, cx| float_map(cx, |v| libm::asinh(f64::from(v)) as f32, libm::asinh);
}
crate::op! {
    /// Inverse hyperbolic cosine.
    acosh Acosh(input: One<T>) -> (output: One<T>) {} where T: FLOATS;
    infer = same, eval = |_: &Acosh, cx| float_map(cx, |v| libm::acosh(f64::from(v)) as f32, libm::acosh);
}
crate::op! {
    /// Inverse hyperbolic tangent.
    atanh Atanh(input: One<T>) -> (output: One<T>) {} where T: FLOATS;
    infer = same, eval = |_: &Atanh, cx| float_map(cx, |v| libm::atanh(f64::from(v)) as f32, libm::atanh);
}
crate::op! {
    /// Flips each bit.
    bitwise_not BitwiseNot(x: One<T>) -> (y: One<T>) {} where T: INTS;
    infer = same, eval = |_: &BitwiseNot, cx| number_map(cx, |v| v, |v| v, |v| !v, |v| !v),
    expand = expansions::bitwise_not;
}
crate::op! {
    /// Negates truth values.
    not Not(x: One<T>) -> (y: One<T>) {} where T: BOOL_ONLY;
    infer = same,
    eval = |_: &Not, cx: EvalCx<'_>| {
        let x = cx.tensor(0)?;
        one(Tensor::from_bools(x.shape(), x.to_bools()?.into_iter().map(|v| !v).collect()))
    };
}
