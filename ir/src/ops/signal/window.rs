//! Windows: `hann_window`, `hamming_window`, `blackman_window`.
use super::{COUNT, narrowed, room, window_expansion};
use crate::dim::{Dim, SymInt};
use crate::dtype::{DType, NUMERIC};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::OpError;
use crate::types::{TensorType, Type};
use std::f64::consts::TAU;

crate::op! {
    /// Hann window: `sin^2(pi i / N)`, where `N` is `size` when periodic, else `size - 1`.
    hann_window HannWindow(size: One<T1>) -> (output: One<T2>) {
        /// Element type of the result.
        output_datatype: DType = DType::F32,
        /// Whether the window is one period, not symmetric.
        periodic: bool = true,
    } where T1: COUNT;
    infer = |op: &HannWindow, cx| infer(op.output_datatype, cx),
    eval = |op: &HannWindow, cx| eval(op.output_datatype, op.periodic, &cx, |angle| libm::sin(angle / 2.0).powi(2)), expand = window_expansion::hann;
}
crate::op! {
    /// Hamming window: `25/46 - 21/46 cos(2 pi i / N)`, where `N` is `size` when periodic, else `size - 1`.
    hamming_window HammingWindow(size: One<T1>) -> (output: One<T2>) {
        /// Element type of the result.
        output_datatype: DType = DType::F32,
        /// Whether the window is one period, not symmetric.
        periodic: bool = true,
    } where T1: COUNT;
    infer = |op: &HammingWindow, cx| infer(op.output_datatype, cx),
    eval = |op: &HammingWindow, cx| {
        eval(op.output_datatype, op.periodic, &cx, |angle| (25.0 - 21.0 * libm::cos(angle)) / 46.0)
    }, expand = window_expansion::hamming;
}
crate::op! {
    /// Blackman window: `0.42 - 0.5 cos(2 pi i / N) + 0.08 cos(4 pi i / N)`, where `N` is `size` when periodic, else `size - 1`.
    blackman_window BlackmanWindow(size: One<T1>) -> (output: One<T2>) {
        /// Element type of the result.
        output_datatype: DType = DType::F32,
        /// Whether the window is one period, not symmetric.
        periodic: bool = true,
    } where T1: COUNT;
    infer = |op: &BlackmanWindow, cx| infer(op.output_datatype, cx),
    eval = |op: &BlackmanWindow, cx| {
        let value = |angle: f64| (0.08 * libm::cos(2.0 * angle) - 0.5 * libm::cos(angle)) + 0.42;
        eval(op.output_datatype, op.periodic, &cx, value)
    }, expand = window_expansion::blackman;
}

/// Refuses element types that ONNX does not give windows and filters.
pub(super) fn check_dtype(dtype: DType) -> Result<(), OpError> {
    if NUMERIC.contains(dtype) {
        return Ok(());
    }
    Err(OpError::attr(format!("`output_datatype` cannot be {dtype}")))
}

/// The single integer of operand `i` as a size.
pub(super) fn size(cx: &InferCx<'_>, i: usize) -> Result<Option<SymInt>, OpError> {
    let known = cx.sym_ints(i);
    if known.as_ref().is_some_and(|v| v.len() != 1) {
        return Err(OpError::shape(format!("operand {i} must be a single integer")));
    }
    let n = known.and_then(|v| v.into_iter().next().flatten());
    if let Some(n) = n.as_ref().and_then(SymInt::as_const).filter(|n| *n < 0) {
        return Err(OpError::attr(format!("operand {i} must not be negative, is {n}")));
    }
    Ok(n)
}

fn infer(dtype: DType, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    check_dtype(dtype)?;
    Ok(vec![TensorType::new(dtype, vec![Dim::from_sym(size(cx, 0)?)]).into()])
}

/// A window of the values that `value` has at the angles of one period.
fn eval(
    dtype: DType,
    periodic: bool,
    cx: &EvalCx<'_>,
    value: impl Fn(f64) -> f64,
) -> Result<Vec<Value>, OpError> {
    let n = cx.tensor(0)?.as_int().and_then(|n| usize::try_from(n).ok());
    let n = n.ok_or_else(|| OpError::operand("a window needs a size that is not negative"))?;
    let period = if periodic { n as f64 } else { n as f64 - 1.0 };
    let mut out = room(n)?;
    for (i, v) in out.iter_mut().enumerate() {
        *v = value(TAU * i as f64 / period);
    }
    one(narrowed(dtype, &[n], out)?)
}
