//! Relations of two broadcast operands.
use super::broadcast::{broadcast_sizes, zip};
use super::expansions;
use super::map::number_test;
use super::typing::{broadcast_bool, compared, surely_equal, surely_less};
use crate::dtype::{BOOL_ONLY, DType, DTypeSet, NUMERIC};
use crate::eval::{EvalCx, Value, one};
use crate::op::OpError;
use crate::tensor::Tensor;

/// What can be tested for equality.
const EQUATABLE: DTypeSet = NUMERIC.or(DTypeSet::of(&[DType::Bool, DType::String]));

crate::op! {
    /// Whether `a == b`, broadcast.
    equal Equal(a: One<T>, b: One<T>) -> (c: One<T1>) {} where T: EQUATABLE, T1: BOOL_ONLY;
    infer = broadcast_bool, eval = |_: &Equal, cx: EvalCx<'_>| equality(&cx),
    contents = |_: &Equal, cx| compared(cx, surely_equal);
}
crate::op! {
    /// Whether `a > b`, broadcast.
    greater Greater(a: One<T>, b: One<T>) -> (c: One<T1>) {} where T: NUMERIC, T1: BOOL_ONLY;
    infer = broadcast_bool,
    eval = |_: &Greater, cx: EvalCx<'_>| number_test(&cx, |a, b| a > b, |a, b| a > b, |a, b| a > b, |a, b| a > b),
    contents = |_: &Greater, cx| compared(cx, |a, b| surely_less(b, a));
}
crate::op! {
    /// Whether `a >= b`, broadcast.
    greater_or_equal GreaterOrEqual(a: One<T>, b: One<T>) -> (c: One<T1>) {} where T: NUMERIC, T1: BOOL_ONLY;
    infer = broadcast_bool,
    eval = |_: &GreaterOrEqual, cx: EvalCx<'_>| number_test(&cx, |a, b| a >= b, |a, b| a >= b, |a, b| a >= b, |a, b| a >= b),
    contents = |_: &GreaterOrEqual, cx| compared(cx, |a, b| surely_less(a, b).map(|v| !v)),
    expand = expansions::greater_or_equal;
}
crate::op! {
    /// Whether `a < b`, broadcast.
    less Less(a: One<T>, b: One<T>) -> (c: One<T1>) {} where T: NUMERIC, T1: BOOL_ONLY;
    infer = broadcast_bool,
    eval = |_: &Less, cx: EvalCx<'_>| number_test(&cx, |a, b| a < b, |a, b| a < b, |a, b| a < b, |a, b| a < b),
    contents = |_: &Less, cx| compared(cx, surely_less);
}
crate::op! {
    /// Whether `a <= b`, broadcast.
    less_or_equal LessOrEqual(a: One<T>, b: One<T>) -> (c: One<T1>) {} where T: NUMERIC, T1: BOOL_ONLY;
    infer = broadcast_bool,
    eval = |_: &LessOrEqual, cx: EvalCx<'_>| number_test(&cx, |a, b| a <= b, |a, b| a <= b, |a, b| a <= b, |a, b| a <= b),
    contents = |_: &LessOrEqual, cx| compared(cx, |a, b| surely_less(b, a).map(|v| !v)),
    expand = expansions::less_or_equal;
}

fn equality(cx: &EvalCx<'_>) -> Result<Vec<Value>, OpError> {
    let (a, b) = (cx.tensor(0)?, cx.tensor(1)?);
    if a.dtype() != DType::String {
        return number_test(cx, |a, b| a == b, |a, b| a == b, |a, b| a == b, |a, b| a == b);
    }
    let shape = broadcast_sizes(&[a.shape(), b.shape()])?;
    let x: Vec<&str> = a.strings()?.iter().map(String::as_str).collect();
    let y: Vec<&str> = b.strings()?.iter().map(String::as_str).collect();
    let truths = zip(&shape, false, (&x, a.shape()), (&y, b.shape()), |x, y| x == y);
    one(Tensor::from_bools(&shape, truths))
}
