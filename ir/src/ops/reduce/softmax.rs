//! `softmax`, `log_softmax`, `hardmax`
use super::axes::around;
use crate::dtype::{DType, FLOATS};
use crate::eval::{EvalCx, Value, one};
use crate::infer::{InferCx, resolve_axis};
use crate::op::OpError;
use crate::ops::elementwise::broadcast::{PARALLEL, vectorized};
use crate::ops::elementwise::math;
use crate::ops::elementwise::variadic::larger;
use crate::tensor::{Element, Tensor};
use crate::types::Type;
use rayon::prelude::*;

crate::op! {
    /// `exp(input) / sum(exp(input))` along `axis`.
    softmax Softmax(input: One<T>) -> (output: One<T>) {
        /// Axis along which results add to 1.
        axis: i64 = -1,
    } where T: FLOATS;
    infer = |op: &Softmax, cx: &InferCx<'_>| infer(cx, op.axis),
    eval = |op: &Softmax, cx| along(cx, op.axis, &softmax_f32, &softmax_f64);
}
crate::op! {
    /// `input - log(sum(exp(input)))` along `axis`.
    log_softmax LogSoftmax(input: One<T>) -> (output: One<T>) {
        /// Axis along which exponentials of results add to 1.
        axis: i64 = -1,
    } where T: FLOATS;
    infer = |op: &LogSoftmax, cx: &InferCx<'_>| infer(cx, op.axis),
    eval = |op: &LogSoftmax, cx| along(cx, op.axis, &log_softmax_f32, &log_softmax_f64);
}
crate::op! {
    /// 1 at the first largest element along `axis`, else 0; NaN counts as largest.
    hardmax Hardmax(input: One<T>) -> (output: One<T>) {
        /// Axis that is searched.
        axis: i64 = -1,
    } where T: FLOATS;
    infer = |op: &Hardmax, cx: &InferCx<'_>| infer(cx, op.axis),
    eval = |op: &Hardmax, cx| along(cx, op.axis, &|row| hardmax(row, 1.0, 0.0), &|row| hardmax(row, 1.0, 0.0));
}

fn infer(cx: &InferCx<'_>, axis: i64) -> Result<Vec<Type>, OpError> {
    let x = cx.tensor(0)?;
    if let Some(rank) = x.rank() {
        resolve_axis(axis, rank)?;
    }
    Ok(vec![x.clone().into()])
}

/// Replaces each row along `axis`, 16-bit floats in `f32`.
fn along(
    mut cx: EvalCx<'_>,
    axis: i64,
    single: &(dyn Fn(&mut [f32]) + Sync),
    double: &(dyn Fn(&mut [f64]) + Sync),
) -> Result<Vec<Value>, OpError> {
    let x = cx.take(0)?;
    let dtype = x.dtype();
    one(match dtype {
        DType::F64 => rows(x, axis, double)?,
        DType::F32 => rows(x, axis, single)?,
        _ => rows(x.cast(DType::F32, false)?, axis, single)?.cast(dtype, false)?,
    })
}

/// Columns gathered together so that each line of memory is read once.
const TILE: usize = 16;

fn rows<T: Element>(x: Tensor, axis: i64, f: &(dyn Fn(&mut [T]) + Sync)) -> Result<Tensor, OpError> {
    let shape = x.shape().to_vec();
    let (_, len, inner) = around(&shape, axis)?;
    let mut values = x.into_vec::<T>()?;
    if values.is_empty() {
        return Ok(Tensor::from_vec(&shape, values));
    }
    let block = |block: &mut [T]| {
        if inner == 1 {
            return block.chunks_mut(len).for_each(f);
        }
        let mut tile = vec![T::zeroed(); len * TILE];
        for first in (0..inner).step_by(TILE) {
            let width = TILE.min(inner - first);
            for k in 0..len {
                for j in 0..width {
                    tile[j * len + k] = block[k * inner + first + j];
                }
            }
            tile[..width * len].chunks_mut(len).for_each(f);
            for k in 0..len {
                for j in 0..width {
                    block[k * inner + first + j] = tile[j * len + k];
                }
            }
        }
    };
    let step = if inner == 1 { len * (4096 / len).max(1) } else { len * inner };
    if values.len() < PARALLEL {
        values.chunks_mut(step).for_each(block);
    } else {
        values.par_chunks_mut(step).for_each(block);
    }
    Ok(Tensor::from_vec(&shape, values))
}

/// Partial results of one row.
const LANES: usize = 16;

/// Largest element that is a number.
#[expect(clippy::inline_always, reason = "a call would keep the loop from becoming vector code")]
#[inline(always)]
fn top_of_row(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (pieces, rest) = row.as_chunks::<LANES>();
    for piece in pieces {
        for k in 0..LANES {
            lanes[k] = if piece[k] > lanes[k] { piece[k] } else { lanes[k] };
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
}

/// Sum of `f` over the row; partial sums in `f64` in a fixed order.
#[expect(clippy::inline_always, reason = "a call would keep the loop from becoming vector code")]
#[inline(always)]
fn sum_of_row(row: &[f32], f: impl Fn(f32) -> f32) -> f64 {
    let mut lanes = [0f64; LANES];
    let (pieces, rest) = row.as_chunks::<LANES>();
    for piece in pieces {
        let mut values = [0f32; LANES];
        for k in 0..LANES {
            values[k] = f(piece[k]);
        }
        for k in 0..LANES {
            lanes[k] += f64::from(values[k]);
        }
    }
    for (lane, v) in lanes.iter_mut().zip(rest) {
        *lane += f64::from(f(*v));
    }
    lanes.iter().sum()
}

fn softmax_f32(row: &mut [f32]) {
    vectorized(SoftmaxRow { row, log: false });
}

fn log_softmax_f32(row: &mut [f32]) {
    vectorized(SoftmaxRow { row, log: true });
}

/// One row of `softmax`, or with `log` of `log_softmax`.
struct SoftmaxRow<'a> {
    row: &'a mut [f32],
    log: bool,
}

impl pulp::NullaryFnOnce for SoftmaxRow<'_> {
    type Output = ();
    #[expect(clippy::inline_always, reason = "a call would keep the loop from becoming vector code")]
    #[inline(always)]
    fn call(self) {
        let row = self.row;
        let top = top_of_row(row);
        if self.log {
            let log = libm::log(sum_of_row(row, |v| math::exp(v - top))) as f32;
            for v in row {
                *v = (*v - top) - log;
            }
            return;
        }
        for v in row.iter_mut() {
            *v = math::exp(*v - top);
        }
        let factor = (1.0 / sum_of_row(row, |v| v)) as f32;
        for v in row {
            *v *= factor;
        }
    }
}

fn softmax_f64(row: &mut [f64]) {
    let top = row.iter().copied().fold(f64::NEG_INFINITY, larger);
    for v in row.iter_mut() {
        *v = libm::exp(*v - top);
    }
    let sum: f64 = row.iter().sum();
    for v in row.iter_mut() {
        *v /= sum;
    }
}

fn log_softmax_f64(row: &mut [f64]) {
    let top = row.iter().copied().fold(f64::NEG_INFINITY, larger);
    let log = libm::log(row.iter().map(|v| libm::exp(*v - top)).sum());
    for v in row.iter_mut() {
        *v = (*v - top) - log;
    }
}

fn hardmax<T: PartialOrd + Copy>(row: &mut [T], one: T, zero: T) {
    let unordered = |v: &T| v.partial_cmp(v).is_none();
    let first_nan = row.iter().position(unordered);
    let better = |best: usize, i: usize| if row[i] > row[best] { i } else { best };
    let at = first_nan.unwrap_or_else(|| (0..row.len()).fold(0, better));
    row.fill(zero);
    if let Some(v) = row.get_mut(at) {
        *v = one;
    }
}
