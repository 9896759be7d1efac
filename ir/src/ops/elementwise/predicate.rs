//! Tests of single floats.
use super::map::float_test;
use super::typing::same_bool;
use crate::dtype::{BOOL_ONLY, DType, DTypeSet, FLOATS};
use crate::eval::EvalCx;

/// `FLOATS` and the 8-bit floats that have a sign.
const TESTED: DTypeSet =
    FLOATS.or(DTypeSet::of(&[DType::F8E4M3FN, DType::F8E4M3FNUZ, DType::F8E5M2, DType::F8E5M2FNUZ]));

crate::op! {
    /// Whether each element is not a number.
    is_nan IsNan(x: One<T1>) -> (y: One<T2>) {} where T1: TESTED, T2: BOOL_ONLY;
    infer = same_bool, eval = |_: &IsNan, cx: EvalCx<'_>| float_test(&cx, f32::is_nan, f64::is_nan);
}
crate::op! {
    /// Whether each element is infinite.
    is_inf IsInf(x: One<T1>) -> (y: One<T2>) {
        /// Whether minus infinity counts.
        detect_negative: bool = true,
        /// Whether plus infinity counts.
        detect_positive: bool = true,
    } where T1: TESTED, T2: BOOL_ONLY;
    infer = same_bool,
    eval = |op: &IsInf, cx: EvalCx<'_>| float_test(
        &cx,
        |v| (op.detect_negative && v == f32::NEG_INFINITY) || (op.detect_positive && v == f32::INFINITY),
        |v| (op.detect_negative && v == f64::NEG_INFINITY) || (op.detect_positive && v == f64::INFINITY),
    );
}
