//! Reductions that combine elements pairwise.
//!
//! They share their operands and attributes: `axes` absent or empty means all axes, or with `noop_with_empty_axes` none, each
//! element then being reduced by itself.
use super::axes::{fold_contents, reduced_type};
use super::fold::{Rule, reduce};
use super::log_sum_exp::{log_sum, log_sum_exp};
use crate::dim::SymInt;
use crate::dtype::{BOOL_ONLY, DType, DTypeSet, FLOATS, I64_ONLY};
use crate::eval::EvalCx;
use crate::infer::InferCx;
use crate::op::OpError;
use crate::ops::elementwise::variadic::{larger, smaller};

/// What most reductions take.
pub(super) const SUMMED: DTypeSet =
    FLOATS.or(DTypeSet::of(&[DType::I32, DType::I64, DType::U32, DType::U64]));
/// What has a largest and a smallest.
const ORDERED: DTypeSet = SUMMED.or(DTypeSet::of(&[DType::I8, DType::U8])).or(BOOL_ONLY);

fn square(v: i128) -> i128 {
    v.wrapping_mul(v)
}

/// The integer root of a sum of squares, rounded down.
fn root(v: i128) -> i128 {
    u128::try_from(v).map_or(0, |v| v.isqrt() as i128)
}

fn kept<T>(v: T, _: usize) -> T {
    v
}

crate::op! {
    /// Sum; of nothing it is 0.
    reduce_sum ReduceSum(data: One<T>, axes: Opt<I>) -> (reduced: One<T>) {
        /// Whether reduced axes stay with size 1.
        keepdims: bool = true,
        /// Whether empty `axes` mean none instead of all.
        noop_with_empty_axes: bool = false,
    } where T: SUMMED, I: I64_ONLY;
    infer = |op: &ReduceSum, cx: &InferCx<'_>| reduced_type(cx, cx.dtype(0)?, op.keepdims, op.noop_with_empty_axes),
    eval = |op: &ReduceSum, cx| reduce(
        cx, op.keepdims, op.noop_with_empty_axes,
        &Rule { start: 0.0, step: |a, v| a + v, merge: |a, b| a + b, finish: kept },
        &Rule { start: 0, step: i128::wrapping_add, merge: i128::wrapping_add, finish: kept },
    ),
    contents = |op: &ReduceSum, cx| fold_contents(cx, op.noop_with_empty_axes, SymInt::add);
}
crate::op! {
    /// Mean; integers are divided with truncation. Of nothing it is NaN, and refused for integers.
    reduce_mean ReduceMean(data: One<T>, axes: Opt<I>) -> (reduced: One<T>) {
        /// Whether reduced axes stay with size 1.
        keepdims: bool = true,
        /// Whether empty `axes` mean none instead of all.
        noop_with_empty_axes: bool = false,
    } where T: SUMMED, I: I64_ONLY;
    infer = |op: &ReduceMean, cx: &InferCx<'_>| reduced_type(cx, cx.dtype(0)?, op.keepdims, op.noop_with_empty_axes),
    eval = |op: &ReduceMean, cx: EvalCx<'_>| {
        let nothing = cx.tensor(0)?.is_empty() && cx.tensor(0)?.dtype().is_int();
        let means = reduce(
            cx, op.keepdims, op.noop_with_empty_axes,
            &Rule { start: 0.0, step: |a, v| a + v, merge: |a, b| a + b, finish: |a, n| a / n as f64 },
            &Rule {
                start: 0, step: i128::wrapping_add, merge: i128::wrapping_add,
                finish: |a: i128, n| a.checked_div(n as i128).unwrap_or(0),
            },
        )?;
        if nothing && means.iter().any(|m| m.as_tensor().is_some_and(|t| !t.is_empty())) {
            return Err(OpError::eval("integers without elements have no mean"));
        }
        Ok(means)
    };
}
crate::op! {
    /// Product; of nothing it is 1.
    reduce_prod ReduceProd(data: One<T>, axes: Opt<I>) -> (reduced: One<T>) {
        /// Whether reduced axes stay with size 1.
        keepdims: bool = true,
        /// Whether empty `axes` mean none instead of all.
        noop_with_empty_axes: bool = false,
    } where T: SUMMED, I: I64_ONLY;
    infer = |op: &ReduceProd, cx: &InferCx<'_>| reduced_type(cx, cx.dtype(0)?, op.keepdims, op.noop_with_empty_axes),
    eval = |op: &ReduceProd, cx| reduce(
        cx, op.keepdims, op.noop_with_empty_axes,
        &Rule { start: 1.0, step: |a, v| a * v, merge: |a, b| a * b, finish: kept },
        &Rule { start: 1, step: i128::wrapping_mul, merge: i128::wrapping_mul, finish: kept },
    ),
    contents = |op: &ReduceProd, cx| fold_contents(cx, op.noop_with_empty_axes, SymInt::mul);
}
crate::op! {
    /// Largest element, NaN when one is; of nothing it is minus infinity or the type's smallest number.
    reduce_max ReduceMax(data: One<T>, axes: Opt<I>) -> (reduced: One<T>) {
        /// Whether reduced axes stay with size 1.
        keepdims: bool = true,
        /// Whether empty `axes` mean none instead of all.
        noop_with_empty_axes: bool = false,
    } where T: ORDERED, I: I64_ONLY;
    infer = |op: &ReduceMax, cx: &InferCx<'_>| reduced_type(cx, cx.dtype(0)?, op.keepdims, op.noop_with_empty_axes),
    eval = |op: &ReduceMax, cx: EvalCx<'_>| {
        let start = cx.tensor(0)?.dtype().int_range().map_or(0, |r| r.0);
        reduce(
            cx, op.keepdims, op.noop_with_empty_axes,
            &Rule { start: f64::NEG_INFINITY, step: larger, merge: larger, finish: kept },
            &Rule { start, step: i128::max, merge: i128::max, finish: kept },
        )
    },
    contents = |op: &ReduceMax, cx| fold_contents(cx, op.noop_with_empty_axes, SymInt::larger);
}
crate::op! {
    /// Smallest element, NaN when one is; of nothing it is infinity or the type's largest number.
    reduce_min ReduceMin(data: One<T>, axes: Opt<I>) -> (reduced: One<T>) {
        /// Whether reduced axes stay with size 1.
        keepdims: bool = true,
        /// Whether empty `axes` mean none instead of all.
        noop_with_empty_axes: bool = false,
    } where T: ORDERED, I: I64_ONLY;
    infer = |op: &ReduceMin, cx: &InferCx<'_>| reduced_type(cx, cx.dtype(0)?, op.keepdims, op.noop_with_empty_axes),
    eval = |op: &ReduceMin, cx: EvalCx<'_>| {
        let start = cx.tensor(0)?.dtype().int_range().map_or(1, |r| r.1);
        reduce(
            cx, op.keepdims, op.noop_with_empty_axes,
            &Rule { start: f64::INFINITY, step: smaller, merge: smaller, finish: kept },
            &Rule { start, step: i128::min, merge: i128::min, finish: kept },
        )
    },
    contents = |op: &ReduceMin, cx| fold_contents(cx, op.noop_with_empty_axes, SymInt::smaller);
}
crate::op! {
    /// Sum of magnitudes.
    reduce_l1 ReduceL1(data: One<T>, axes: Opt<I>) -> (reduced: One<T>) {
        /// Whether reduced axes stay with size 1.
        keepdims: bool = true,
        /// Whether empty `axes` mean none instead of all.
        noop_with_empty_axes: bool = false,
    } where T: SUMMED, I: I64_ONLY;
    infer = |op: &ReduceL1, cx: &InferCx<'_>| reduced_type(cx, cx.dtype(0)?, op.keepdims, op.noop_with_empty_axes),
    eval = |op: &ReduceL1, cx| reduce(
        cx, op.keepdims, op.noop_with_empty_axes,
        &Rule { start: 0.0, step: |a, v: f64| a + v.abs(), merge: |a, b| a + b, finish: kept },
        &Rule { start: 0, step: |a: i128, v: i128| a.wrapping_add(v.wrapping_abs()), merge: i128::wrapping_add, finish: kept },
    );
}
crate::op! {
    /// Root of the sum of squares; of integers it is rounded down.
    reduce_l2 ReduceL2(data: One<T>, axes: Opt<I>) -> (reduced: One<T>) {
        /// Whether reduced axes stay with size 1.
        keepdims: bool = true,
        /// Whether empty `axes` mean none instead of all.
        noop_with_empty_axes: bool = false,
    } where T: SUMMED, I: I64_ONLY;
    infer = |op: &ReduceL2, cx: &InferCx<'_>| reduced_type(cx, cx.dtype(0)?, op.keepdims, op.noop_with_empty_axes),
    eval = |op: &ReduceL2, cx| reduce(
        cx, op.keepdims, op.noop_with_empty_axes,
        &Rule { start: 0.0, step: |a, v| a + v * v, merge: |a, b| a + b, finish: |a: f64, _| a.sqrt() },
        &Rule { start: 0, step: |a: i128, v| a.wrapping_add(square(v)), merge: i128::wrapping_add, finish: |a, _| root(a) },
    );
}
crate::op! {
    /// Sum of squares.
    reduce_sum_square ReduceSumSquare(data: One<T>, axes: Opt<I>) -> (reduced: One<T>) {
        /// Whether reduced axes stay with size 1.
        keepdims: bool = true,
        /// Whether empty `axes` mean none instead of all.
        noop_with_empty_axes: bool = false,
    } where T: SUMMED, I: I64_ONLY;
    infer = |op: &ReduceSumSquare, cx: &InferCx<'_>| reduced_type(cx, cx.dtype(0)?, op.keepdims, op.noop_with_empty_axes),
    eval = |op: &ReduceSumSquare, cx| reduce(
        cx, op.keepdims, op.noop_with_empty_axes,
        &Rule { start: 0.0, step: |a, v| a + v * v, merge: |a, b| a + b, finish: kept },
        &Rule { start: 0, step: |a: i128, v| a.wrapping_add(square(v)), merge: i128::wrapping_add, finish: kept },
    );
}
crate::op! {
    /// Logarithm of the sum; of nothing it is minus infinity. Of integers it is cut to an integer, and refused where the sum is not positive.
    reduce_log_sum ReduceLogSum(data: One<T>, axes: Opt<I>) -> (reduced: One<T>) {
        /// Whether reduced axes stay with size 1.
        keepdims: bool = true,
        /// Whether empty `axes` mean none instead of all.
        noop_with_empty_axes: bool = false,
    } where T: SUMMED, I: I64_ONLY;
    infer = |op: &ReduceLogSum, cx: &InferCx<'_>| reduced_type(cx, cx.dtype(0)?, op.keepdims, op.noop_with_empty_axes),
    eval = |op: &ReduceLogSum, cx: EvalCx<'_>| {
        if cx.tensor(0)?.dtype().is_int() {
            return log_sum(cx, op.keepdims, op.noop_with_empty_axes);
        }
        reduce(
            cx, op.keepdims, op.noop_with_empty_axes,
            &Rule { start: 0.0, step: |a, v| a + v, merge: |a, b| a + b, finish: |a, _| libm::log(a) },
            &Rule { start: 0, step: i128::wrapping_add, merge: i128::wrapping_add, finish: kept },
        )
    };
}
crate::op! {
    /// Logarithm of the sum of exponentials, computed without overflow; of nothing it is minus infinity. Of integers it is cut to
    /// an integer, and refused where there are none.
    reduce_log_sum_exp ReduceLogSumExp(data: One<T>, axes: Opt<I>) -> (reduced: One<T>) {
        /// Whether reduced axes stay with size 1.
        keepdims: bool = true,
        /// Whether empty `axes` mean none instead of all.
        noop_with_empty_axes: bool = false,
    } where T: SUMMED, I: I64_ONLY;
    infer = |op: &ReduceLogSumExp, cx: &InferCx<'_>| reduced_type(cx, cx.dtype(0)?, op.keepdims, op.noop_with_empty_axes),
    eval = |op: &ReduceLogSumExp, cx| log_sum_exp(cx, op.keepdims, op.noop_with_empty_axes);
}
