//! Matrix products in `f32` and `f64`, and batches of them.
//!
//! The products are written in safe code over `pulp`, which picks the widest vectors of the processor at run time.
//! The order of additions is the one described in the crate-internal module `tiles`; it depends on the inner size
//! only, so that an element's value does not even depend on the other rows and columns of the product.

pub use super::pack::Matrix;
use super::pack::{Dense, identity};
use super::packs::Kept;
use super::parallel::Exec;
use super::real::Real;
use super::tiles::{Products, Unit, multiply};
use super::{KernelError, check_len, product};

/// What happens to the former content of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// It is replaced by the product.
    Replace,
    /// The product is added to it.
    Accumulate,
}

/// `out = alpha * a * b` or `out += alpha * a * b`; `out` is row-major, `a.rows() x b.cols()`, without gaps.
///
/// # Errors
/// Fails when the inner sizes differ or `out` has another length.
pub fn gemm<T: Real>(
    alpha: T,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    mode: Output,
    out: &mut [T],
) -> Result<(), KernelError> {
    let exec = Exec::for_work(&[a.rows(), a.cols(), b.cols()]);
    gemm_on(exec, alpha, a, b, mode, out)
}

/// [`gemm`] on the calling thread or on the pool.
pub(crate) fn gemm_on<T: Real>(
    exec: Exec,
    alpha: T,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    mode: Output,
    out: &mut [T],
) -> Result<(), KernelError> {
    check_inner(a.cols(), b.rows())?;
    check_len(
        "the output of a matrix product",
        product("a matrix product", [a.rows(), b.cols()])?,
        out.len(),
    )?;
    if mode == Output::Replace {
        out.fill(T::ZERO);
    }
    // A single column would fill one lane of a vector; the transposed product has the same elements in one row.
    let (a, b) = if b.cols() == 1 { (b.transposed(), a.transposed()) } else { (a, b) };
    let units = [Unit { lhs: 0, rhs: Dense { matrix: b, map: identity } }];
    let lhs = [Dense { matrix: a, map: identity }];
    let kept = match (a.packs(), b.packs()) {
        (_, Some((packs, strides))) => Kept::Right(packs, strides),
        (Some((packs, strides)), None) => Kept::Left(packs, strides),
        (None, None) => Kept::None,
    };
    let products = Products { m: a.rows(), k: a.cols(), n: b.cols(), alpha, lhs: &lhs, units: &units, kept };
    multiply(&products, out, exec);
    Ok(())
}

/// Refuses inner sizes that differ.
pub(crate) fn check_inner(left: usize, right: usize) -> Result<(), KernelError> {
    if left == right {
        return Ok(());
    }
    Err(KernelError::Geometry(format!("a matrix product of inner sizes {left} and {right}")))
}

/// One operand of a batch of matrix products.
#[derive(Debug, Clone, Copy)]
pub struct BatchOperand<'a, T> {
    /// All matrices.
    pub data: &'a [T],
    /// Position of each product's matrix in `data`; equal positions broadcast.
    pub offsets: &'a [usize],
    /// Distance between rows.
    pub row_stride: usize,
    /// Distance between columns.
    pub col_stride: usize,
}

impl<'a, T> BatchOperand<'a, T> {
    /// The matrix of product `i`.
    pub(crate) fn matrix(&self, i: usize, rows: usize, cols: usize) -> Result<Matrix<'a, T>, KernelError> {
        let start = self.offsets.get(i).copied().unwrap_or(usize::MAX);
        let Some(data) = self.data.get(start..) else {
            return Err(KernelError::Length {
                what: "a batch of matrices",
                expected: start,
                found: self.data.len(),
            });
        };
        Matrix::new(data, (rows, cols), (self.row_stride, self.col_stride))
    }

    /// Whether the matrices follow each other as the rows of one tall matrix do.
    fn is_tall(&self, rows: usize) -> bool {
        rows.checked_mul(self.row_stride)
            .is_some_and(|step| self.offsets.windows(2).all(|w| w[0].checked_add(step) == Some(w[1])))
    }

    /// Whether all products use the same matrix.
    fn is_shared(&self) -> bool {
        self.offsets.windows(2).all(|w| w[0] == w[1])
    }
}

/// A batch of products `out[i] = a[i] * b[i]`, each `m x k` times `k x n`; `out` holds the row-major results one after
/// the other.
///
/// # Errors
/// Fails when the operands have different numbers of offsets, a matrix reaches beyond its data, or `out` has another
/// length.
pub fn batched_matmul<T: Real>(
    a: BatchOperand<'_, T>,
    b: BatchOperand<'_, T>,
    (m, k, n): (usize, usize, usize),
    out: &mut [T],
) -> Result<(), KernelError> {
    let batch = a.offsets.len();
    check_len("the offsets of the right matrices", batch, b.offsets.len())?;
    check_len("the output of a matrix product", product("a matrix product", [batch, m, n])?, out.len())?;
    if out.is_empty() {
        return Ok(());
    }
    if b.is_shared() && a.is_tall(m) {
        let rows = product("a matrix product", [batch, m])?;
        return gemm(T::ONE, a.matrix(0, rows, k)?, b.matrix(0, k, n)?, Output::Replace, out);
    }
    let pairs = (0..batch)
        .map(|i| Ok((a.matrix(i, m, k)?, b.matrix(i, k, n)?)))
        .collect::<Result<Vec<_>, KernelError>>()?;
    let each = Exec::for_work(&[m, k, n]);
    let outer =
        if each == Exec::Parallel && batch < 8 { Exec::Serial } else { Exec::for_work(&[batch, m, k, n]) };
    let inner = if outer == Exec::Serial { each } else { Exec::Serial };
    let failure = std::sync::OnceLock::new();
    outer.for_chunks(out, m * n, |(): &mut (), i, chunk| {
        let (a, b) = pairs[i];
        if let Err(error) = gemm_on(inner, T::ONE, a, b, Output::Replace, chunk) {
            failure.get_or_init(|| error);
        }
    });
    failure.into_inner().map_or(Ok(()), Err)
}

/// Offsets of an operand's matrices of `matrix_len` elements for each index of the broadcast batch shape `batch`; the
/// operand's own batch shape `own` is aligned to the end, its dimensions are 1 or equal to those of `batch`.
///
/// # Errors
/// Fails when the shapes do not broadcast.
pub fn broadcast_offsets(
    own: &[usize],
    batch: &[usize],
    matrix_len: usize,
) -> Result<Vec<usize>, KernelError> {
    let total = product("a batch of matrices", batch.iter().copied())?;
    product("a batch of matrices", own.iter().copied().chain([matrix_len]))?;
    let Some(lead) = batch.len().checked_sub(own.len()) else {
        return Err(KernelError::Geometry(format!("the batch {own:?} does not broadcast to {batch:?}")));
    };
    let mut strides = vec![0; batch.len()];
    let mut step = matrix_len;
    for (d, &extent) in own.iter().enumerate().rev() {
        if extent != 1 && extent != batch[lead + d] {
            return Err(KernelError::Geometry(format!("the batch {own:?} does not broadcast to {batch:?}")));
        }
        strides[lead + d] = if extent == 1 { 0 } else { step };
        step *= extent;
    }
    let offset = |mut index: usize| {
        let mut sum = 0;
        for (&extent, &stride) in batch.iter().zip(&strides).rev() {
            sum += index % extent * stride;
            index /= extent;
        }
        sum
    };
    Ok((0..total).map(offset).collect())
}

#[cfg(test)]
mod tests {
    use super::super::packs::Packs;
    use super::*;
    use crate::kernel::testing::{Noise, assert_close, same_on_any_threads};

    /// Row-major product by definition.
    fn naive(a: &[f64], b: &[f64], (m, k, n): (usize, usize, usize)) -> Vec<f64> {
        let mut out = vec![0.0; m * n];
        for i in 0..m {
            for j in 0..n {
                out[i * n + j] = (0..k).map(|t| a[i * k + t] * b[t * n + j]).sum();
            }
        }
        out
    }

    fn transposed(data: &[f64], rows: usize, cols: usize) -> Vec<f64> {
        (0..rows * cols).map(|i| data[i % rows * cols + i / rows]).collect()
    }

    #[test]
    fn matches_the_definition_for_all_strides() {
        let mut noise = Noise::new(1);
        for (m, k, n) in
            [(1, 1, 1), (1, 300, 33), (7, 5, 1), (13, 257, 40), (30, 600, 70), (3, 0, 4), (5, 3, 300)]
        {
            let (a, b): (Vec<f64>, Vec<f64>) = (noise.floats(m * k), noise.floats(k * n));
            let expected: Vec<f64> = naive(&a, &b, (m, k, n)).iter().map(|v| 1.0 + 2.0 * v).collect();
            let (at, bt) = (transposed(&a, m, k), transposed(&b, k, n));
            for (a, ars, acs) in [(&a, k, 1), (&at, 1, m)] {
                for (b, brs, bcs) in [(&b, n, 1), (&bt, 1, k)] {
                    let a = Matrix::new(a, (m, k), (ars, acs)).unwrap();
                    let b = Matrix::new(b, (k, n), (brs, bcs)).unwrap();
                    let mut out = vec![1.0; m * n];
                    gemm(2.0, a, b, Output::Accumulate, &mut out).unwrap();
                    assert_close(&out, &expected, 1e-12);
                }
            }
        }
    }

    #[test]
    fn general_strides_and_replacement() {
        let a: Vec<f32> = (0..24).map(|i| i as f32).collect();
        let a = Matrix::new(&a, (2, 3), (10, 3)).unwrap();
        let b = Matrix::new(&[2.0, 0.5, 1.0], (3, 2), (1, 0)).unwrap();
        let mut out = [9.0; 4];
        gemm(1.0, a, b, Output::Replace, &mut out).unwrap();
        assert_eq!(out, [7.5, 7.5, 42.5, 42.5]);
    }

    #[test]
    fn more_rows_than_one_block() {
        let (m, k, n) = (2100, 2, 3);
        let mut noise = Noise::new(5);
        let (a, b): (Vec<f64>, Vec<f64>) = (noise.floats(m * k), noise.floats(k * n));
        let mut out = vec![0.0; m * n];
        let (ma, mb) = (Matrix::row_major(&a, m, k).unwrap(), Matrix::row_major(&b, k, n).unwrap());
        gemm(1.0, ma, mb, Output::Replace, &mut out).unwrap();
        assert_close(&out, &naive(&a, &b, (m, k, n)), 1e-14);
    }

    #[test]
    fn bits_do_not_depend_on_threads_or_neighbours() {
        let (m, k, n) = (50, 300, 290);
        let mut noise = Noise::new(2);
        let (a, b): (Vec<f32>, Vec<f32>) = (noise.floats(m * k), noise.floats(k * n));
        let mb = Matrix::row_major(&b, k, n).unwrap();
        let all = same_on_any_threads(|| {
            let mut out = vec![0.0f32; m * n];
            gemm(1.0, Matrix::row_major(&a, m, k).unwrap(), mb, Output::Replace, &mut out).unwrap();
            out.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
        });
        let mut row = vec![0.0f32; n];
        gemm(1.0, Matrix::row_major(&a[k..2 * k], 1, k).unwrap(), mb, Output::Replace, &mut row).unwrap();
        assert_eq!(all[n..2 * n], row.iter().map(|v| v.to_bits()).collect::<Vec<_>>());
    }

    #[test]
    fn kept_panels_change_no_bit() {
        let (m, k, n) = (2050, 260, 33);
        let mut noise = Noise::new(6);
        let (a, b): (Vec<f32>, Vec<f32>) = (noise.floats(m * k), noise.floats(k * n));
        let (a, b) = (Matrix::row_major(&a, m, k).unwrap(), Matrix::row_major(&b, k, n).unwrap());
        let bits = |a: Matrix<'_, f32>, b: Matrix<'_, f32>| {
            let mut out = vec![0.0f32; a.rows() * b.cols()];
            gemm(1.5, a, b, Output::Replace, &mut out).unwrap();
            out.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
        };
        let (left, right, other) = (Packs::default(), Packs::default(), Packs::default());
        for _ in 0..2 {
            assert_eq!(bits(a.kept_in(Some(&left)), b), bits(a, b));
            assert_eq!(bits(a, b.kept_in(Some(&right))), bits(a, b));
            // The transposed product asks the same packs for another form.
            let (at, bt) = (a.transposed(), b.transposed());
            assert_eq!(bits(bt, at.kept_in(Some(&left))), bits(bt, at));
            let row = Matrix::new(&[0.5; 260], (k, 1), (1, 1)).unwrap();
            assert_eq!(bits(a.kept_in(Some(&other)), row), bits(a, row));
        }
    }

    fn operand<'a>(data: &'a [f64], offsets: &'a [usize], row_stride: usize) -> BatchOperand<'a, f64> {
        BatchOperand { data, offsets, row_stride, col_stride: 1 }
    }

    #[test]
    fn batches_broadcast() {
        let (m, k, n) = (3, 4, 5);
        let mut noise = Noise::new(3);
        let (a, b): (Vec<f64>, Vec<f64>) = (noise.floats(6 * m * k), noise.floats(2 * k * n));
        for (own_b, picks) in [(vec![2, 1], [0, 0, 0, 1, 1, 1]), (vec![1], [0; 6]), (vec![], [0; 6])] {
            let (ao, bo) = (
                broadcast_offsets(&[2, 3], &[2, 3], m * k).unwrap(),
                broadcast_offsets(&own_b, &[2, 3], k * n).unwrap(),
            );
            let mut out = vec![0.0; 6 * m * n];
            batched_matmul(operand(&a, &ao, k), operand(&b, &bo, n), (m, k, n), &mut out).unwrap();
            for (i, pick) in picks.into_iter().enumerate() {
                let expected = naive(&a[i * m * k..], &b[pick * k * n..], (m, k, n));
                assert_close(&out[i * m * n..(i + 1) * m * n], &expected, 1e-14);
            }
        }
    }

    #[test]
    fn refuses_inconsistent_operands() {
        let data = [0.0f32; 6];
        assert!(Matrix::new(&data, (2, 4), (4, 1)).is_err());
        assert!(Matrix::new(&data, (2, 2), (usize::MAX, 2)).is_err());
        let a = Matrix::row_major(&data, 2, 3).unwrap();
        assert!(gemm(1.0, a, a, Output::Replace, &mut [0.0; 6]).is_err());
        assert!(gemm(1.0, a, a.transposed(), Output::Replace, &mut [0.0; 5]).is_err());
        assert!(broadcast_offsets(&[3], &[2], 4).is_err());
        assert!(broadcast_offsets(&[2, 2], &[2], 4).is_err());
        let bad = BatchOperand { data: &data[..], offsets: &[0, 9], row_stride: 1, col_stride: 1 };
        assert!(batched_matmul(bad, bad, (1, 1, 1), &mut [0.0; 2]).is_err());
    }
}
