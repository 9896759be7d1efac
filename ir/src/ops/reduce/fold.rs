//! The loops of reductions. Sums are kept in `f64` and 128-bit integers in a fixed order: results do not depend on threads.
use super::axes::Grid;
use crate::dtype::DType;
use crate::eval::{EvalCx, Value, one};
use crate::op::OpError;
use crate::ops::elementwise::broadcast::{PARALLEL, vectorized};
use crate::ops::elementwise::map::no_meaning;
use crate::tensor::Tensor;
use crate::tensor::convert::Wide;
use rayon::prelude::*;

type Combine<'a, T> = &'a (dyn Fn(T, T) -> T + Sync);

/// Partial results of one row.
const LANES: usize = 8;

/// How elements are combined.
pub struct Rule<A, S, M, F> {
    /// Result of no elements.
    pub start: A,
    /// A partial result and one more element.
    pub step: S,
    /// Two partial results.
    pub merge: M,
    /// The result from what was combined and the number of elements.
    pub finish: F,
}

/// Combines `data` over the middle axis of `[outer, len, inner]`, after `widen` of each element.
fn fold<T: Copy + Sync, A: Copy + Send + Sync>(
    data: &[T],
    [outer, len, inner]: [usize; 3],
    start: A,
    step: impl Fn(A, T) -> A + Sync,
    merge: impl Fn(A, A) -> A + Sync,
) -> Vec<A> {
    let mut out = vec![start; outer * inner];
    if data.is_empty() || out.is_empty() {
        return out;
    }
    let block = |(results, block): (&mut [A], &[T])| {
        vectorized(|| {
            if inner == 1 {
                results[0] = fold_row(block, start, &step, &merge);
                return;
            }
            for row in block.chunks_exact(inner) {
                results.iter_mut().zip(row).for_each(|(a, v)| *a = step(*a, *v));
            }
        });
    };
    if data.len() < PARALLEL {
        out.chunks_mut(inner).zip(data.chunks(len * inner)).for_each(block);
    } else {
        out.par_chunks_mut(inner).zip(data.par_chunks(len * inner)).for_each(block);
    }
    out
}

/// One row in [`LANES`] interleaved parts, so that steps need not wait for each other.
#[expect(clippy::inline_always, reason = "a call would keep the loop from becoming vector code")]
#[inline(always)]
fn fold_row<T: Copy, A: Copy>(
    row: &[T],
    start: A,
    step: &impl Fn(A, T) -> A,
    merge: &impl Fn(A, A) -> A,
) -> A {
    let mut lanes = [start; LANES];
    let (pieces, rest) = row.as_chunks::<LANES>();
    for piece in pieces {
        for k in 0..LANES {
            lanes[k] = step(lanes[k], piece[k]);
        }
    }
    for (lane, v) in lanes.iter_mut().zip(rest) {
        *lane = step(*lane, *v);
    }
    let mut width = LANES / 2;
    while width > 0 {
        for k in 0..width {
            lanes[k] = merge(lanes[k], lanes[k + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// Evaluates a reduction with one rule for floats and one for integers and truth values.
pub fn reduce<S, M, F, T, N, G>(
    cx: EvalCx<'_>,
    keepdims: bool,
    noop: bool,
    float: &Rule<f64, S, M, F>,
    int: &Rule<i128, T, N, G>,
) -> Result<Vec<Value>, OpError>
where
    S: Fn(f64, f64) -> f64 + Sync,
    M: Fn(f64, f64) -> f64 + Sync,
    F: Fn(f64, usize) -> f64 + Sync,
    T: Fn(i128, i128) -> i128 + Sync,
    N: Fn(i128, i128) -> i128 + Sync,
    G: Fn(i128, usize) -> i128 + Sync,
{
    let grid = Grid::new(cx, keepdims, noop)?;
    let dtype = grid.data.dtype();
    let sizes = [grid.outer, grid.len, grid.inner];
    let floats = |sums: Vec<f64>| Wide::F64(sums.into_iter().map(|s| (float.finish)(s, grid.len)).collect());
    let single = |a, v| (float.step)(a, f64::from(v));
    let ints = |data: &[i128]| {
        fold(data, sizes, int.start, &int.step as Combine<'_, i128>, &int.merge as Combine<'_, i128>)
    };
    if dtype == DType::F32 {
        let sums = floats(fold(&grid.data.view::<f32>()?, sizes, float.start, single, &float.merge));
        return one(Tensor::from_wide(dtype, &grid.shape, &sums, false)?);
    }
    let wide = match grid.data.widen()? {
        Wide::F32(v) => floats(fold(&v, sizes, float.start, single, &float.merge)),
        Wide::F64(v) => floats(fold(
            &v,
            sizes,
            float.start,
            &float.step as Combine<'_, f64>,
            &float.merge as Combine<'_, f64>,
        )),
        Wide::I64(v) => {
            let sums = ints(&v.into_iter().map(i128::from).collect::<Vec<_>>());
            Wide::I64(sums.into_iter().map(|s| (int.finish)(s, grid.len) as i64).collect())
        }
        Wide::U64(v) => {
            let sums = ints(&v.into_iter().map(i128::from).collect::<Vec<_>>());
            Wide::U64(sums.into_iter().map(|s| (int.finish)(s, grid.len) as u64).collect())
        }
        Wide::C128(_) | Wide::Str(_) => return Err(no_meaning(dtype)),
    };
    one(Tensor::from_wide(dtype, &grid.shape, &wide, false)?)
}
