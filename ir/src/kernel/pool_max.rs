//! Max pooling, channels first.

use super::pool::{PoolSizes, for_rows, pair_row, taps_inside};
use super::{ConvGeometry, KernelError, check_len, product};

/// Element types of max pooling.
pub trait Extremum: Copy + PartialOrd + Send + Sync {
    /// What a window without elements yields, and no element is below: minus infinity or the least integer.
    const LEAST: Self;
}

impl Extremum for f32 {
    const LEAST: Self = f32::NEG_INFINITY;
}
impl Extremum for f64 {
    const LEAST: Self = f64::NEG_INFINITY;
}
impl Extremum for i8 {
    const LEAST: Self = i8::MIN;
}
impl Extremum for u8 {
    const LEAST: Self = u8::MIN;
}

/// Whether `v` replaces the maximum so far, `m`: it is greater, or it is the first NaN.
#[expect(clippy::eq_op, reason = "only NaN differs from itself, and the type may be an integer")]
#[expect(clippy::needless_bitwise_bool, reason = "without branches the comparison runs on vectors")]
#[inline(always)]
fn replaces<T: Extremum>(v: T, m: T) -> bool {
    (v > m) | ((v != v) & (m == m))
}

/// Maximum of each window of every plane: `x` is `[planes, geometry.input]`, `out` is `[planes,
/// geometry.pooled_shape(ceil_mode)]`. Padding never wins; a NaN in a window does, as in PyTorch (the ONNX text does
/// not say; ONNX Runtime drops or keeps it depending on its place).
///
/// # Errors
/// Fails when the geometry is inconsistent or a slice has another length.
pub fn max_pool<T: Extremum>(
    geometry: &ConvGeometry,
    ceil_mode: bool,
    planes: usize,
    x: &[T],
    out: &mut [T],
) -> Result<(), KernelError> {
    let sizes = PoolSizes::check(geometry, ceil_mode, planes, (x.len(), out.len()))?;
    let last = geometry.rank() - 1;
    let arch = pulp::Arch::new();
    for_rows(geometry, &sizes, x, out, |input, rows, _, out| {
        out.fill(T::LEAST);
        // Nothing is fused or reordered, so the vectors' width shows in no result.
        arch.dispatch(|| {
            for &row in rows {
                let source = &input[row..row + geometry.input[last]];
                pair_row(geometry, source, out, |o, v| *o = if replaces(v, *o) { v } else { *o });
            }
        });
    });
    Ok(())
}

/// Order in which [`max_pool_indices`] counts the spatial elements of a plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageOrder {
    /// The last dimension varies fastest (ONNX `storage_order` 0).
    RowMajor,
    /// The first spatial dimension varies fastest (ONNX `storage_order` 1).
    ColumnMajor,
}

/// [`max_pool`] that also writes where each maximum lies in the whole tensor `x`: `plane * plane size + position in the
/// plane`, positions counted in `order`. The first of equal elements counts. A window without elements has index -1.
///
/// # Errors
/// As [`max_pool`]; also when `indices` has another length than `out`.
pub fn max_pool_indices<T: Extremum>(
    geometry: &ConvGeometry,
    ceil_mode: bool,
    order: StorageOrder,
    planes: usize,
    x: &[T],
    out: &mut [T],
    indices: &mut [i64],
) -> Result<(), KernelError> {
    let sizes = PoolSizes::check(geometry, ceil_mode, planes, (x.len(), out.len()))?;
    check_len("the indices", product("the output", [planes, sizes.plane_out])?, indices.len())?;
    let last = geometry.rank() - 1;
    for_rows(geometry, &sizes, x, indices, |input, rows, _, found| {
        for (at, found) in found.iter_mut().enumerate() {
            let (taps, first) = taps_inside(geometry, last, at);
            let mut best: Option<usize> = None;
            for &row in rows {
                for t in taps.clone() {
                    let i = row + first + (t - taps.start) * geometry.dilations[last];
                    if best.is_none_or(|b| replaces(input[i], input[b])) {
                        best = Some(i);
                    }
                }
            }
            *found = best.map_or(-1, |i| i as i64);
        }
    });
    let each = out.chunks_mut(sizes.plane_out.max(1)).zip(indices.chunks_mut(sizes.plane_out.max(1)));
    for (plane, (out, indices)) in each.enumerate() {
        let start = plane * sizes.plane_in;
        for (o, index) in out.iter_mut().zip(indices) {
            let Ok(i) = usize::try_from(*index) else {
                *o = T::LEAST;
                continue;
            };
            *o = x[start + i];
            let position = if order == StorageOrder::RowMajor { i } else { column_major(i, &geometry.input) };
            *index = (start + position) as i64;
        }
    }
    Ok(())
}

/// The position of row-major element `index` when the first dimension varies fastest.
fn column_major(index: usize, extents: &[usize]) -> usize {
    let mut strides = Vec::with_capacity(extents.len());
    let mut step = 1;
    for &extent in extents {
        strides.push(step);
        step *= extent;
    }
    let mut rest = index;
    let mut position = 0;
    for (&extent, &stride) in extents.iter().zip(&strides).rev() {
        position += rest % extent * stride;
        rest /= extent;
    }
    position
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::conv::tests::sweep;
    use crate::kernel::pool::tests::windows;
    use crate::kernel::testing::Noise;

    #[test]
    fn matches_direct_loops() {
        let planes = 2;
        for ceil_mode in [false, true] {
            sweep(1, |g| {
                if g.output_shape().is_err() {
                    return;
                }
                let plane: usize = g.input.iter().product();
                let x: Vec<u8> = Noise::new(7).bytes(planes * plane).iter().map(|v| v % 16).collect();
                let windows = windows(g, ceil_mode);
                let first = |(i, (w, _)): (usize, &(Vec<usize>, usize))| {
                    let at = w.iter().map(|&at| i / windows.len() * plane + at);
                    at.reduce(|a, b| if x[b] > x[a] { b } else { a })
                };
                let all = windows.iter().cycle().take(planes * windows.len());
                let expected: Vec<Option<usize>> = all.enumerate().map(first).collect();
                let mut out = vec![9; expected.len()];
                max_pool(g, ceil_mode, planes, &x, &mut out).unwrap();
                assert_eq!(out, expected.iter().map(|i| i.map_or(0, |i| x[i])).collect::<Vec<_>>());
                let (mut with, mut indices) = (vec![9; out.len()], vec![9; out.len()]);
                max_pool_indices(g, ceil_mode, StorageOrder::RowMajor, planes, &x, &mut with, &mut indices)
                    .unwrap();
                assert_eq!(with, out);
                assert_eq!(indices, expected.iter().map(|i| i.map_or(-1, |i| i as i64)).collect::<Vec<_>>());
            });
        }
    }

    #[test]
    fn column_major_indices() {
        let g = ConvGeometry { strides: vec![2, 2], ..ConvGeometry::new(&[4, 4], &[2, 2]) };
        let x: Vec<f32> = (0..32).map(|v| v as f32).collect();
        let (mut out, mut indices) = ([0.0; 8], [0; 8]);
        max_pool_indices(&g, false, StorageOrder::ColumnMajor, 2, &x, &mut out, &mut indices).unwrap();
        assert_eq!(out, [5.0, 7.0, 13.0, 15.0, 21.0, 23.0, 29.0, 31.0]);
        assert_eq!(indices, [5, 13, 7, 15, 21, 29, 23, 31]);
    }

    #[test]
    fn nan_stays_and_padding_never_wins() {
        let g = ConvGeometry { pads_begin: vec![1], ..ConvGeometry::new(&[4], &[2]) };
        let mut out = [0.0f32; 4];
        max_pool(&g, false, 1, &[-3.0, f32::NAN, -1.0, -2.0], &mut out).unwrap();
        assert_eq!((out[0], out[3]), (-3.0, -1.0));
        assert!(out[1].is_nan() && out[2].is_nan());
        let (mut indices, x) = ([0; 4], [-3i8, -5, -1, -2]);
        let mut out = [0; 4];
        max_pool_indices(&g, false, StorageOrder::RowMajor, 1, &x, &mut out, &mut indices).unwrap();
        assert_eq!((out, indices), ([-3, -3, -1, -1], [0, 0, 2, 2]));
    }
}
