//! Matrix products of integers in wrapping 64-bit arithmetic, which narrows to the wrapped result of any width.
use super::compute::PARALLEL;
use crate::dtype::DType;
use crate::op::OpError;
use crate::tensor::Tensor;
use crate::tensor::convert::Wide;
use rayon::prelude::*;

/// `out += a * b` for row-major `m x k` and `k x n`; `out` holds `m x n` elements.
pub(crate) fn multiply_ints(a: &[i64], b: &[i64], (m, k, n): (usize, usize, usize), out: &mut [i64]) {
    if n == 0 || k == 0 {
        return;
    }
    let row = |(out, a): (&mut [i64], &[i64])| {
        for (v, b) in a.iter().zip(b.chunks_exact(n)) {
            out.iter_mut().zip(b).for_each(|(o, w)| *o = o.wrapping_add(v.wrapping_mul(*w)));
        }
    };
    if m.saturating_mul(k).saturating_mul(n) < PARALLEL {
        out.chunks_exact_mut(n).zip(a.chunks_exact(k)).for_each(row);
    } else {
        out.par_chunks_exact_mut(n).zip(a.par_chunks_exact(k)).for_each(row);
    }
}

/// An integer tensor of `dtype`; values wrap.
pub(crate) fn int_tensor(dtype: DType, shape: &[usize], values: Vec<i64>) -> Result<Tensor, OpError> {
    Ok(Tensor::from_wide(dtype, shape, &Wide::I64(values), false)?)
}
