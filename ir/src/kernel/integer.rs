//! Matrix product and convolution of 8-bit integers with zero points, summed in wrapping 32-bit integers.
//!
//! Differences of bytes are multiplied in `f32`: products and sums of at most 256 of them are integers below 2^24 and
//! therefore exact, so that the float kernels serve and the result is the integer one.

use super::conv::{ConvSizes, by_products};
use super::depthwise::{self, Depthwise};
use super::gemm::check_inner;
use super::pack::{Dense, Matrix};
use super::packs::Kept;
use super::parallel::Exec;
pub use super::real::Byte;
use super::tiles::{Products, Unit, multiply};
use super::{Channels, ConvGeometry, KernelError, check_len, product};

/// Zero points widened for lookup by row, column or channel: none, one for all, or one each.
struct ZeroPoints(Vec<i32>);

impl ZeroPoints {
    fn new<B: Byte>(what: &'static str, points: &[B], count: usize) -> Result<Self, KernelError> {
        if points.len() > 1 {
            check_len(what, count, points.len())?;
        }
        Ok(Self(points.iter().map(|p| p.widen()).collect()))
    }

    /// The zero point of row, column or channel `i`.
    #[inline(always)]
    fn at(&self, i: usize) -> i32 {
        match self.0.as_slice() {
            [] => 0,
            [one] => *one,
            all => all[i],
        }
    }
}

/// `out = (a - a_zero) * (b - b_zero)` in wrapping 32-bit arithmetic; `out` is row-major without gaps. Zero points are
/// empty (zero), one for all, or one per row of `a` and per column of `b`.
///
/// # Errors
/// Fails when the inner sizes differ, or zero points or `out` have another length.
pub fn matmul_integer<A: Byte, B: Byte>(
    a: Matrix<'_, A>,
    a_zero: &[A],
    b: Matrix<'_, B>,
    b_zero: &[B],
    out: &mut [i32],
) -> Result<(), KernelError> {
    let (m, k, n) = (a.rows(), a.cols(), b.cols());
    check_inner(k, b.rows())?;
    check_len("the output of a matrix product", product("a matrix product", [m, n])?, out.len())?;
    let a_zero = ZeroPoints::new("the zero points of the left matrix", a_zero, m)?;
    let b_zero = ZeroPoints::new("the zero points of the right matrix", b_zero, n)?;
    out.fill(0);
    let lhs = [Dense { matrix: a, map: |v: A, row: usize| (v.widen() - a_zero.at(row)) as f32 }];
    let rhs = Dense { matrix: b, map: |v: B, col: usize| (v.widen() - b_zero.at(col)) as f32 };
    let products =
        Products { m, k, n, alpha: 1.0, lhs: &lhs, units: &[Unit { lhs: 0, rhs }], kept: Kept::None };
    multiply(&products, out, Exec::for_work(&[m, k, n]));
    Ok(())
}

/// Convolution of `x - x_zero` with `w - w_zero` in wrapping 32-bit arithmetic; padding stands for `x_zero`. `w_zero`
/// is empty (zero), one for all, or one per output channel. Layouts are those of [`super::conv::conv`].
///
/// # Errors
/// Fails when the geometry is inconsistent, channels do not divide into groups, or a slice has another length.
pub fn conv_integer<X: Byte, W: Byte>(
    geometry: &ConvGeometry,
    channels: Channels,
    (x, x_zero): (&[X], X),
    (w, w_zero): (&[W], &[W]),
    out: &mut [i32],
) -> Result<(), KernelError> {
    let sizes = ConvSizes::check(geometry, channels, (x.len(), w.len(), out.len()))?;
    let w_zero = ZeroPoints::new("the zero points of the weights", w_zero, channels.output)?;
    let x_zero = x_zero.widen();
    let map = move |v: X| (v.widen() - x_zero) as f32;
    let depth = sizes.group_in * sizes.taps;
    if depthwise::applies(geometry, &sizes) {
        let weight = |(i, v): (usize, &W)| (v.widen() - w_zero.at(i / sizes.taps)) as f32;
        let weights: Vec<f32> = w.iter().enumerate().map(weight).collect();
        let task =
            Depthwise { geometry, channels, sizes: &sizes, input: x, weights: &weights, bias: None, map };
        task.run(out);
        return Ok(());
    }
    out.fill(0);
    if out.is_empty() || x.is_empty() {
        return Ok(());
    }
    let w_zero = &w_zero;
    let lhs = (0..geometry.groups)
        .map(|group| {
            let first = group * sizes.group_out;
            let part = &w[first * depth..(first + sizes.group_out) * depth];
            let matrix = Matrix::row_major(part, sizes.group_out, depth)?;
            Ok(Dense { matrix, map: move |v: W, row: usize| (v.widen() - w_zero.at(first + row)) as f32 })
        })
        .collect::<Result<Vec<_>, KernelError>>()?;
    by_products(geometry, channels, &sizes, x, (&lhs, Kept::None), map, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::conv::tests::{naive, sweep};
    use crate::kernel::testing::{Noise, same_on_any_threads};

    #[test]
    fn products_are_exact_at_the_extremes() {
        for k in [1, 256, 257, 1000] {
            let (a, b) = (vec![255u8; 2 * k], vec![-128i8; 3 * k]);
            let (a, b) = (Matrix::row_major(&a, 2, k).unwrap(), Matrix::row_major(&b, k, 3).unwrap());
            let mut out = [1; 6];
            matmul_integer(a, &[0], b, &[127], &mut out).unwrap();
            assert_eq!(out, [k as i32 * 255 * -255; 6]);
        }
    }

    #[test]
    fn sums_wrap_around() {
        let k = 40_000;
        let (a, b) = (vec![255u8; k], vec![255u8; k]);
        let mut out = [0];
        let (a, b) = (Matrix::row_major(&a, 1, k).unwrap(), Matrix::row_major(&b, k, 1).unwrap());
        matmul_integer(a, &[], b, &[], &mut out).unwrap();
        assert_eq!(out, [(40_000u64 * 255 * 255) as u32 as i32]);
    }

    #[test]
    fn zero_points_per_row_and_column() {
        let (m, k, n) = (17, 300, 45);
        let mut noise = Noise::new(6);
        let (a, b) = (noise.bytes(m * k), noise.bytes(k * n).iter().map(|&v| v as i8).collect::<Vec<_>>());
        let (az, bz) = (noise.bytes(m), noise.bytes(n).iter().map(|&v| v as i8).collect::<Vec<_>>());
        let found = same_on_any_threads(|| {
            let mut out = vec![0; m * n];
            let (a, b) = (Matrix::row_major(&a, m, k).unwrap(), Matrix::row_major(&b, k, n).unwrap());
            matmul_integer(a, &az, b, &bz, &mut out).unwrap();
            out
        });
        for (i, value) in found.iter().enumerate() {
            let (r, c) = (i / n, i % n);
            let term =
                |t: usize| (a[r * k + t].widen() - az[r].widen()) * (b[t * n + c].widen() - bz[c].widen());
            assert_eq!(*value, (0..k).map(term).sum::<i32>());
        }
    }

    #[test]
    fn convolution_matches_direct_loops() {
        for (groups, input, output) in [(1, 3, 5), (2, 4, 6), (4, 4, 8)] {
            sweep(groups, |g| {
                let Ok(shape) = g.output_shape() else { return };
                let mut noise = Noise::new(9);
                let pixels: usize = g.input.iter().product();
                let taps: usize = g.kernel.iter().product();
                let x = noise.bytes(2 * input * pixels);
                let w: Vec<i8> =
                    noise.bytes(output * input / groups * taps).iter().map(|&v| v as i8).collect();
                let w_zero: Vec<i8> = noise.bytes(output).iter().map(|&v| v as i8).collect();
                let c = Channels { batch: 2, input, output };
                let xs: Vec<f64> = x.iter().map(|&v| f64::from(v) - 100.0).collect();
                let per_channel = w.len() / output;
                let shifted = |(i, &v): (usize, &i8)| f64::from(v) - f64::from(w_zero[i / per_channel]);
                let ws: Vec<f64> = w.iter().enumerate().map(shifted).collect();
                let expected = naive(g, c, &xs, &ws, &vec![0.0; output]);
                let mut out = vec![3; 2 * output * shape.iter().product::<usize>()];
                conv_integer(g, c, (&x, 100), (&w, &w_zero), &mut out).unwrap();
                assert_eq!(out.iter().map(|&v| f64::from(v)).collect::<Vec<_>>(), expected);
            });
        }
    }

    #[test]
    fn refuses_wrong_zero_points() {
        let a = Matrix::row_major(&[1u8, 2, 3, 4, 5, 6], 3, 2).unwrap();
        let run = |az: &[u8], bz: &[u8]| matmul_integer(a, az, a.transposed(), bz, &mut [0; 9]);
        assert_eq!(run(&[1, 2, 3], &[1]), Ok(()));
        assert!(run(&[1, 2], &[1]).is_err());
        assert!(run(&[1], &[1, 2]).is_err());
    }
}
