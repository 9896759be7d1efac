//! Average and Lp pooling, channels first; and the walk over windows that all poolings share.

use super::im2col::inside;
use super::parallel::Exec;
use super::real::Real;
use super::{ConvGeometry, KernelError, check_len, product};

/// Sizes of a pooling, checked against its slices. A plane is one channel of one sample.
pub(crate) struct PoolSizes {
    pub(crate) output: Vec<usize>,
    pub(crate) plane_in: usize,
    pub(crate) plane_out: usize,
    pub(crate) taps: usize,
}

impl PoolSizes {
    /// Checks the geometry and the lengths of input and output.
    pub(crate) fn check(
        g: &ConvGeometry,
        ceil_mode: bool,
        planes: usize,
        (input, output): (usize, usize),
    ) -> Result<Self, KernelError> {
        if g.rank() == 0 {
            return Err(KernelError::Geometry("a pooling needs at least one spatial dimension".to_owned()));
        }
        let shape = g.pooled_shape(ceil_mode)?;
        for (d, &extent) in shape.iter().enumerate() {
            let reach = extent
                .saturating_sub(1)
                .checked_mul(g.strides[d])
                .and_then(|v| v.checked_add(g.window(d).ok()?));
            reach.filter(|&v| isize::try_from(v).is_ok()).ok_or(KernelError::Overflow("the pooled input"))?;
        }
        let plane_in = product("the input", g.input.iter().copied())?;
        let plane_out = product("the output", shape.iter().copied())?;
        check_len("the input", product("the input", [planes, plane_in])?, input)?;
        check_len("the output", product("the output", [planes, plane_out])?, output)?;
        Ok(Self { output: shape, plane_in, plane_out, taps: g.taps()? })
    }

    pub(crate) fn exec(&self, planes: usize) -> Exec {
        Exec::for_work(&[planes, self.plane_out, self.taps])
    }
}

/// Taps of one dimension that lie inside the input for output coordinate `at`, and the input coordinate of the first.
pub(crate) fn taps_inside(g: &ConvGeometry, d: usize, at: usize) -> (std::ops::Range<usize>, usize) {
    let start = (at * g.strides[d]) as isize - g.pads_begin[d] as isize;
    let taps = inside(0..g.kernel[d], g.dilations[d], start, g.input[d]);
    let first = (taps.start * g.dilations[d]).saturating_add_signed(start);
    (taps, first)
}

/// Input rows (offsets of their first elements) that output row `row` of a plane reads, in the order of the taps.
pub(crate) fn rows_of(g: &ConvGeometry, output: &[usize], row: usize, rows: &mut Vec<usize>) {
    rows.clear();
    rows.push(0);
    let last = g.rank() - 1;
    let mut scale: usize = output[..last].iter().product();
    let mut rest = row;
    for (d, extent) in output[..last].iter().enumerate() {
        scale /= extent;
        let (taps, first) = taps_inside(g, d, rest / scale);
        rest %= scale;
        let extent = g.input[d];
        let former = std::mem::take(rows);
        for base in former {
            rows.extend(taps.clone().map(|t| base * extent + first + (t - taps.start) * g.dilations[d]));
        }
    }
    for row in rows {
        *row *= g.input[last];
    }
}

/// Calls `each(out, element)` for every element of input row `source` that lies in the window of an element of output
/// row `out`; the elements of one window come in ascending order.
#[inline(always)]
pub(crate) fn pair_row<A, E: Copy>(g: &ConvGeometry, source: &[E], out: &mut [A], each: impl Fn(&mut A, E)) {
    let last = g.rank() - 1;
    if g.kernel[last] <= source.len() {
        (0..g.kernel[last]).for_each(|kx| pair_tap(g, kx, source, out, &each));
        return;
    }
    // Most taps of a kernel that is longer than the row lie outside it.
    for (at, out) in out.iter_mut().enumerate() {
        let (taps, first) = taps_inside(g, last, at);
        for i in 0..taps.len() {
            each(out, source[first + i * g.dilations[last]]);
        }
    }
}

/// Tap `kx` of [`pair_row`].
#[inline(always)]
fn pair_tap<A, E: Copy>(g: &ConvGeometry, kx: usize, source: &[E], out: &mut [A], each: &impl Fn(&mut A, E)) {
    let last = g.rank() - 1;
    let stride = g.strides[last];
    let offset = (kx * g.dilations[last]) as isize - g.pads_begin[last] as isize;
    let valid = inside(0..out.len(), stride, offset, source.len());
    if valid.is_empty() {
        return;
    }
    let Some(first) = (valid.start * stride).checked_add_signed(offset) else { return };
    let out = &mut out[valid];
    if stride == 1 {
        out.iter_mut().zip(&source[first..]).for_each(|(o, &v)| each(o, v));
    } else if stride == 2 {
        let pairs = source[first..].as_chunks::<2>().0;
        out.iter_mut().zip(pairs).for_each(|(o, &[v, _])| each(o, v));
        if let (Some(o), Some(&v)) = (out.get_mut(pairs.len()), source.get(first + 2 * pairs.len())) {
            each(o, v);
        }
    } else {
        out.iter_mut().zip(source[first..].iter().step_by(stride)).for_each(|(o, &v)| each(o, v));
    }
}

/// Runs `each` on every output row and its input plane: the shared frame of the poolings.
pub(crate) fn for_rows<E: Sync, A: Send>(
    g: &ConvGeometry,
    sizes: &PoolSizes,
    x: &[E],
    out: &mut [A],
    each: impl Fn(&[E], &[usize], usize, &mut [A]) + Sync + Send,
) {
    let Some(&row_len) = sizes.output.last() else { return };
    if out.is_empty() {
        return;
    }
    let exec = sizes.exec(out.len() / sizes.plane_out);
    exec.for_chunks(out, sizes.plane_out, |rows: &mut Vec<usize>, plane, out| {
        let input = &x[plane * sizes.plane_in..(plane + 1) * sizes.plane_in];
        for (row, out) in out.chunks_mut(row_len).enumerate() {
            rows_of(g, &sizes.output, row, rows);
            each(input, rows, row, out);
        }
    });
}

/// Adds `map(element)` over each window of a row.
fn sum_windows<T: Real>(g: &ConvGeometry, input: &[T], rows: &[usize], out: &mut [T], map: impl Fn(T) -> T) {
    out.fill(T::ZERO);
    let last = g.rank() - 1;
    for &row in rows {
        let source = &input[row..row + g.input[last]];
        pair_row(g, source, out, |o, v| *o = *o + map(v));
    }
}

/// Number of taps of one dimension that an average divides by, for output coordinate `at`. Padding counts when asked
/// for, but not what `ceil_mode` reads beyond it.
fn divisor(g: &ConvGeometry, d: usize, at: usize, count_include_pad: bool) -> usize {
    if !count_include_pad {
        return taps_inside(g, d, at).0.len();
    }
    let room = (g.pads_begin[d] + g.input[d] + g.pads_end[d]).saturating_sub(at * g.strides[d]);
    g.kernel[d].min(room.div_ceil(g.dilations[d]))
}

/// Average over each window of every plane: `x` is `[planes, geometry.input]`, `out` is `[planes,
/// geometry.pooled_shape(ceil_mode)]`. A window divides by its elements inside the input or, with
/// `count_include_pad`, inside the padded input. The average of no element is NaN.
///
/// # Errors
/// Fails when the geometry is inconsistent or a slice has another length.
pub fn average_pool<T: Real>(
    geometry: &ConvGeometry,
    (ceil_mode, count_include_pad): (bool, bool),
    planes: usize,
    x: &[T],
    out: &mut [T],
) -> Result<(), KernelError> {
    let sizes = PoolSizes::check(geometry, ceil_mode, planes, (x.len(), out.len()))?;
    let last = geometry.rank() - 1;
    let count = |d: usize, at: usize| divisor(geometry, d, at, count_include_pad);
    let columns: Vec<usize> = (0..sizes.output[last]).map(|at| count(last, at)).collect();
    for_rows(geometry, &sizes, x, out, |input, rows, row, out| {
        sum_windows(geometry, input, rows, out, |v| v);
        let mut rest = row;
        let mut outer = 1;
        for d in (0..last).rev() {
            outer *= count(d, rest % sizes.output[d]);
            rest /= sizes.output[d];
        }
        out.iter_mut().zip(&columns).for_each(|(o, &c)| *o = *o / T::from_count(outer * c));
    });
    Ok(())
}

/// `(sum |x|^p)^(1/p)` over each window of every plane; shapes as for [`average_pool`]. Padding counts as zero.
///
/// # Errors
/// Fails when `p` is 0, the geometry is inconsistent or a slice has another length.
pub fn lp_pool<T: Real>(
    geometry: &ConvGeometry,
    ceil_mode: bool,
    p: u32,
    planes: usize,
    x: &[T],
    out: &mut [T],
) -> Result<(), KernelError> {
    if p == 0 {
        return Err(KernelError::Geometry("p of an Lp pooling must be at least 1".to_owned()));
    }
    let sizes = PoolSizes::check(geometry, ceil_mode, planes, (x.len(), out.len()))?;
    for_rows(geometry, &sizes, x, out, |input, rows, _, out| {
        sum_windows(geometry, input, rows, out, |v| v.abs_pow(p));
        for o in out {
            *o = o.root(p);
        }
    });
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::kernel::conv::tests::sweep;
    use crate::kernel::testing::{Noise, assert_close, same_on_any_threads};

    /// The elements of each window by direct loops: positions in the plane, and the number of taps inside the padded
    /// input.
    pub(crate) fn windows(g: &ConvGeometry, ceil_mode: bool) -> Vec<(Vec<usize>, usize)> {
        let o = g.pooled_shape(ceil_mode).unwrap();
        let taps: usize = g.kernel.iter().product();
        let window = |pixel: usize| {
            let (mut inside, mut padded) = (Vec::new(), 0);
            for tap in 0..taps {
                let (mut p, mut t, mut at, mut scale) = (pixel, tap, 0, 1);
                let (mut in_input, mut in_padded) = (true, true);
                for d in (0..o.len()).rev() {
                    let v = p % o[d] * g.strides[d] + t % g.kernel[d] * g.dilations[d];
                    in_padded &= v < g.pads_begin[d] + g.input[d] + g.pads_end[d];
                    in_input &= v >= g.pads_begin[d] && v < g.pads_begin[d] + g.input[d];
                    at += v.wrapping_sub(g.pads_begin[d]).wrapping_mul(scale) % (1 << 30);
                    scale *= g.input[d];
                    p /= o[d];
                    t /= g.kernel[d];
                }
                padded += usize::from(in_padded);
                if in_input {
                    inside.push(at);
                }
            }
            (inside, padded)
        };
        (0..o.iter().product()).map(window).collect()
    }

    #[test]
    fn averages_match_direct_loops() {
        let planes = 3;
        for ceil_mode in [false, true] {
            for include in [false, true] {
                sweep(1, |g| {
                    if g.output_shape().is_err() {
                        return;
                    }
                    let plane: usize = g.input.iter().product();
                    let x: Vec<f64> = Noise::new(1).floats(planes * plane);
                    let windows = windows(g, ceil_mode);
                    let mean = |(i, (w, padded)): (usize, &(Vec<usize>, usize))| {
                        let sum: f64 = w.iter().map(|&at| x[i / windows.len() * plane + at]).sum();
                        sum / if include { *padded } else { w.len() } as f64
                    };
                    let all = windows.iter().cycle().take(planes * windows.len());
                    let expected: Vec<f64> = all.enumerate().map(mean).collect();
                    let mut out = vec![0.0; expected.len()];
                    average_pool(g, (ceil_mode, include), planes, &x, &mut out).unwrap();
                    // A window without elements has no average.
                    let finite: Vec<bool> = expected.iter().map(|v| v.is_finite()).collect();
                    assert_eq!(out.iter().map(|v| v.is_finite()).collect::<Vec<_>>(), finite);
                    let keep = |v: &[f64]| v.iter().copied().filter(|v| v.is_finite()).collect::<Vec<_>>();
                    assert_close(&keep(&out), &keep(&expected), 1e-12);
                });
            }
        }
    }

    #[test]
    fn lp_matches_direct_loops() {
        for p in [1, 2, 3] {
            sweep(1, |g| {
                if g.output_shape().is_err() {
                    return;
                }
                let x: Vec<f64> = Noise::new(p as u64).floats(g.input.iter().product());
                let norm = |(w, _): &(Vec<usize>, usize)| {
                    w.iter().map(|&at| x[at].abs().powi(p)).sum::<f64>().powf(1.0 / f64::from(p))
                };
                let expected: Vec<f64> = windows(g, true).iter().map(norm).collect();
                let mut out = vec![0.0; expected.len()];
                lp_pool(g, true, p as u32, 1, &x, &mut out).unwrap();
                assert_close(&out, &expected, 1e-12);
            });
        }
        let g = ConvGeometry::new(&[2], &[1]);
        assert!(lp_pool(&g, false, 0, 1, &[1.0f32; 2], &mut [0.0; 2]).is_err());
    }

    #[test]
    fn known_ceil_averages() {
        let g = ConvGeometry {
            strides: vec![2, 2],
            pads_begin: vec![1, 1],
            pads_end: vec![1, 1],
            ..ConvGeometry::new(&[4, 4], &[3, 3])
        };
        let x: Vec<f32> = [0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 15, 16, 17, 18].map(|v| v as f32).to_vec();
        let mut out = [0.0f32; 9];
        average_pool(&g, (true, true), 1, &x, &mut out).unwrap();
        assert_eq!(out, [12.0 / 9.0, 3.0, 11.0 / 6.0, 7.0, 12.0, 6.5, 31.0 / 6.0, 8.5, 4.5]);
    }

    #[test]
    fn kernels_longer_than_the_row_end_soon() {
        let far = 1 << 40;
        let g = ConvGeometry {
            strides: vec![far],
            pads_begin: vec![far - 1],
            pads_end: vec![far - 1],
            ..ConvGeometry::new(&[3], &[far])
        };
        let mut out = [0.0; 2];
        average_pool(&g, (false, false), 1, &[1.0f64, 2.0, 4.0], &mut out).unwrap();
        assert_eq!(out, [1.0, 3.0]);
    }

    #[test]
    fn bits_do_not_depend_on_threads() {
        let g = ConvGeometry { pads_begin: vec![1, 1], ..ConvGeometry::new(&[40, 50], &[3, 3]) };
        let x: Vec<f32> = Noise::new(1).floats(20 * 2000);
        same_on_any_threads(|| {
            let mut out = vec![0.0f32; 20 * 39 * 49];
            average_pool(&g, (false, false), 20, &x, &mut out).unwrap();
            out
        });
        assert!(average_pool(&g, (false, false), 20, &x, &mut [0.0f32; 3]).is_err());
        assert!(average_pool(&g, (false, false), 21, &x, &mut [0.0f32; 3]).is_err());
    }
}
