//! The loop of `reduce_log_sum_exp`, which reads its operand twice.
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
    let values = (0..grid.outer * inner).map(result).collect();
    one(Tensor::from_wide(grid.data.dtype(), &grid.shape, &Wide::F64(values), false)?)
}
