//! Operators that combine any number of broadcast operands.
use super::expansions;
use super::map::{map_tensor, zip_tensors};
use super::typing::{broadcast_first, contents2};
use crate::dim::SymInt;
use crate::dtype::{DType, FLOATS, NUMERIC};
use crate::eval::{EvalCx, Value, one};
use crate::infer::{Content, InferCx};
use crate::op::OpError;
use crate::tensor::Tensor;

/// The larger one; NaN when either is.
#[expect(clippy::eq_op, clippy::needless_bitwise_bool, reason = "so written it becomes vector code")]
pub fn larger<T: PartialOrd + Copy>(a: T, b: T) -> T {
    if (a > b) | (a != a) { a } else { b }
}

/// The smaller one; NaN when either is.
#[expect(clippy::eq_op, clippy::needless_bitwise_bool, reason = "so written it becomes vector code")]
pub fn smaller<T: PartialOrd + Copy>(a: T, b: T) -> T {
    if (a < b) | (a != a) { a } else { b }
}

crate::op! {
    /// The largest of the operands' elements, broadcast; NaN where one is.
    max Max(data_0: Many<T>) -> (max: One<T>) {} where T: NUMERIC;
    infer = broadcast_first,
    eval = |_: &Max, cx| fold(cx, |a, b| zip_tensors(a, b, larger, larger, larger, larger)),
    contents = |_: &Max, cx| of_two(cx, SymInt::larger),
    expand = expansions::max;
}
crate::op! {
    /// The smallest of the operands' elements, broadcast; NaN where one is.
    min Min(data_0: Many<T>) -> (min: One<T>) {} where T: NUMERIC;
    infer = broadcast_first,
    eval = |_: &Min, cx| fold(cx, |a, b| zip_tensors(a, b, smaller, smaller, smaller, smaller)),
    contents = |_: &Min, cx| of_two(cx, SymInt::smaller),
    expand = expansions::min;
}
crate::op! {
    /// Sum of the operands, broadcast.
    sum Sum(data_0: Many<T>) -> (sum: One<T>) {} where T: FLOATS;
    infer = broadcast_first,
    eval = |_: &Sum, cx| fold(cx, plus);
}
crate::op! {
    /// Mean of the operands, broadcast.
    mean Mean(data_0: Many<T>) -> (mean: One<T>) {} where T: FLOATS;
    infer = broadcast_first, eval = mean_of_all;
}

fn plus(a: Tensor, b: Tensor) -> Result<Tensor, OpError> {
    zip_tensors(a, b, |a, b| a + b, |a, b| a + b, i64::wrapping_add, u64::wrapping_add)
}

fn of_two(cx: &InferCx<'_>, f: impl Fn(&SymInt, &SymInt) -> Option<SymInt>) -> Vec<Option<Content>> {
    if cx.len() == 2 { contents2(cx, f) } else { vec![] }
}

/// All operands combined from the first on; 16-bit floats in `f32`. Also their type.
fn combined(
    mut cx: EvalCx<'_>,
    f: impl Fn(Tensor, Tensor) -> Result<Tensor, OpError>,
) -> Result<(Tensor, DType), OpError> {
    let dtype = cx.tensor(0)?.dtype();
    let wide = |t: Tensor| -> Result<Tensor, OpError> {
        Ok(if matches!(dtype, DType::F16 | DType::BF16) { t.cast(DType::F32, false)? } else { t })
    };
    let mut all = wide(cx.take(0)?)?;
    for i in 1..cx.len() {
        all = f(all, wide(cx.take(i)?)?)?;
    }
    Ok((all, dtype))
}

fn fold(
    cx: EvalCx<'_>,
    f: impl Fn(Tensor, Tensor) -> Result<Tensor, OpError>,
) -> Result<Vec<Value>, OpError> {
    let (all, dtype) = combined(cx, f)?;
    one(all.cast(dtype, false)?)
}

fn mean_of_all(_: &Mean, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
    let count = cx.len();
    let (all, dtype) = combined(cx, plus)?;
    let mean = map_tensor(all, move |v| v / count as f32, |v| v / count as f64, |v| v, |v| v)?;
    one(mean.cast(dtype, false)?)
}
