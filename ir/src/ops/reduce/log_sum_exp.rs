//! The loop of `reduce_log_sum_exp`, which reads its operand twice, and logarithms of integers.
use super::axes::Grid;
use crate::eval::{EvalCx, Value, one};
use crate::op::OpError;
use crate::ops::elementwise::variadic::larger;
use crate::tensor::Tensor;
use crate::tensor::convert::Wide;

/// `m + log(sum(exp(x - m)))` with the largest element `m`, in `f64`.
pub fn log_sum_exp(cx: EvalCx<'_>, keepdims: bool, noop: bool) -> Result<Vec<Value>, OpError> {
    let grid = Grid::new(cx, keepdims, noop)?;
    let x = grid.data.to_f64s()?;
    let (len, inner) = (grid.len, grid.inner);
    let result = |i: usize| {
        let first = i / inner * len * inner + i % inner;
        let column = || (0..len).map(|k| x[first + k * inner]);
        let top = column().fold(f64::NEG_INFINITY, larger);
        if top.is_infinite() { top } else { top + libm::log(column().map(|v| libm::exp(v - top)).sum()) }
    };
    logarithms(&grid, (0..grid.outer * inner).map(result).collect())
}

/// `log(sum(x))` in `f64`, the sums of integers being exact.
pub fn log_sum(cx: EvalCx<'_>, keepdims: bool, noop: bool) -> Result<Vec<Value>, OpError> {
    let grid = Grid::new(cx, keepdims, noop)?;
    let x: Vec<i128> = match grid.data.widen()? {
        Wide::U64(v) => v.into_iter().map(i128::from).collect(),
        _ => grid.data.to_i64s()?.into_iter().map(i128::from).collect(),
    };
    let (len, inner) = (grid.len, grid.inner);
    let result = |i: usize| {
        let first = i / inner * len * inner + i % inner;
        libm::log((0..len).map(|k| x[first + k * inner]).fold(0, i128::wrapping_add) as f64)
    };
    logarithms(&grid, (0..grid.outer * inner).map(result).collect())
}

/// `values` in the element type of the operand.
fn logarithms(grid: &Grid, values: Vec<f64>) -> Result<Vec<Value>, OpError> {
    let dtype = grid.data.dtype();
    if dtype.is_int() && values.iter().any(|v| !v.is_finite()) {
        return Err(OpError::eval(format!("a logarithm that is no number cannot be of type {dtype}")));
    }
    one(Tensor::from_wide(dtype, &grid.shape, &Wide::F64(values), false)?)
}
