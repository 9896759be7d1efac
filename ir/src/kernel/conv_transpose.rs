//! Transposed convolution, channels first: input `[batch, channels, spatial...]`, weights
//! `[in, out / groups, kernel...]`.
//!
//! Some output channels at a time, the products of all taps with some input pixels are formed by a matrix product and
//! added to the output, tap after tap. Which channels and pixels go together depends on the shape only.

use super::conv::{fill_bias, per_group};
use super::gemm::{Matrix, Output, gemm_on};
use super::im2col::inside;
use super::parallel::Exec;
use super::real::Real;
use super::{Channels, ConvGeometry, KernelError, check_len, product};

/// Products that are formed at once.
const WORKSPACE: usize = 1 << 18;
/// Rows of products (output channels times taps) that are formed at once, unless one channel has more taps.
const ROWS: usize = 128;

/// Transposed convolution of `x` with `w` plus an optional bias per output channel; `out` has the spatial extents of
/// [`ConvGeometry::transposed_shape`], and `geometry.input` are those of `x`.
///
/// # Errors
/// Fails when the geometry is inconsistent, channels do not divide into groups, or a slice has another length.
pub fn conv_transpose<T: Real>(
    geometry: &ConvGeometry,
    output_padding: &[usize],
    channels: Channels,
    (x, w): (&[T], &[T]),
    bias: Option<&[T]>,
    out: &mut [T],
) -> Result<(), KernelError> {
    let output = geometry.transposed_shape(output_padding)?;
    if output.is_empty() {
        return Err(KernelError::Geometry("a transposed convolution needs a spatial dimension".to_owned()));
    }
    let group_in = per_group("input", channels.input, geometry.groups)?;
    let group_out = per_group("output", channels.output, geometry.groups)?;
    let taps = geometry.taps()?;
    let pixels_in = product("the input", geometry.input.iter().copied())?;
    let pixels_out = product("the output", output.iter().copied())?;
    check_len("the input", product("the input", [channels.batch, channels.input, pixels_in])?, x.len())?;
    check_len("the weights", product("the weights", [channels.input, group_out, taps])?, w.len())?;
    check_len(
        "the output",
        product("the output", [channels.batch, channels.output, pixels_out])?,
        out.len(),
    )?;
    if let Some(bias) = bias {
        check_len("the bias", channels.output, bias.len())?;
    }
    fill_bias(out, bias, pixels_out);
    if out.is_empty() || x.is_empty() {
        return Ok(());
    }
    let scatter = Scatter { geometry, output, taps: tap_coordinates(geometry, taps) };
    let task = Task { scatter, x, w, group_in, group_out, taps, pixels_in, pixels_out };
    task.run(channels, out)
}

/// Coordinates of every tap in the kernel, times the dilation.
fn tap_coordinates(g: &ConvGeometry, taps: usize) -> Vec<Vec<usize>> {
    let coordinates = |mut tap: usize| {
        let mut at = vec![0; g.rank()];
        for d in (0..g.rank()).rev() {
            at[d] = tap % g.kernel[d] * g.dilations[d];
            tap /= g.kernel[d];
        }
        at
    };
    (0..taps).map(coordinates).collect()
}

/// A transposed convolution with checked sizes.
struct Task<'a, T> {
    scatter: Scatter<'a>,
    x: &'a [T],
    w: &'a [T],
    group_in: usize,
    group_out: usize,
    taps: usize,
    pixels_in: usize,
    pixels_out: usize,
}

impl<T: Real> Task<'_, T> {
    fn run(&self, channels: Channels, out: &mut [T]) -> Result<(), KernelError> {
        let together = (ROWS / self.taps).clamp(1, self.group_out);
        let exec =
            Exec::for_work(&[channels.batch, channels.input, self.group_out, self.taps, self.pixels_in]);
        // Blocks of channels that do not reach over the end of a group.
        let mut blocks = Vec::new();
        for (index, group) in out.chunks_mut(self.group_out * self.pixels_out).enumerate() {
            for (part, block) in group.chunks_mut(together * self.pixels_out).enumerate() {
                blocks.push((index, part * together, block));
            }
        }
        let failure = std::sync::OnceLock::new();
        exec.for_each(&mut blocks, |products: &mut Vec<T>, (index, first, block)| {
            if let Err(error) = self.block(*index, *first, block, products) {
                failure.get_or_init(|| error);
            }
        });
        failure.into_inner().map_or(Ok(()), Err)
    }

    /// Computes the output channels from `first` on of the `index`-th group over all samples.
    fn block(
        &self,
        index: usize,
        first: usize,
        out: &mut [T],
        products: &mut Vec<T>,
    ) -> Result<(), KernelError> {
        let group = index % self.scatter.geometry.groups;
        let rows = out.len() / self.pixels_out * self.taps;
        let w = &self.w[(group * self.group_in * self.group_out + first) * self.taps..];
        let lhs = Matrix::new(w, (rows, self.group_in), (1, self.group_out * self.taps))?;
        let x = &self.x[index * self.group_in * self.pixels_in..][..self.group_in * self.pixels_in];
        let together = (WORKSPACE / rows).max(1);
        for start in (0..self.pixels_in).step_by(together) {
            let count = together.min(self.pixels_in - start);
            let rhs = Matrix::new(&x[start..], (self.group_in, count), (self.pixels_in, 1))?;
            products.resize(rows * count, T::ZERO);
            gemm_on(Exec::Serial, T::ONE, lhs, rhs, Output::Replace, products)?;
            let planes = out.chunks_mut(self.pixels_out);
            for (plane, products) in planes.zip(products.chunks(self.taps * count)) {
                for (tap, products) in products.chunks(count).enumerate() {
                    self.scatter.add(tap, start, products, plane);
                }
            }
        }
        Ok(())
    }
}

/// Where the products of a tap go.
struct Scatter<'a> {
    geometry: &'a ConvGeometry,
    output: Vec<usize>,
    taps: Vec<Vec<usize>>,
}

impl Scatter<'_> {
    /// Adds the products of a tap with the input pixels from `start` on to an output channel.
    fn add<T: Real>(&self, tap: usize, start: usize, products: &[T], plane: &mut [T]) {
        let g = self.geometry;
        let tap = &self.taps[tap];
        let last = g.rank() - 1;
        let (row_in, row_out, stride) = (g.input[last], self.output[last], g.strides[last]);
        let offset = tap[last] as isize - g.pads_begin[last] as isize;
        let mut done = 0;
        while done < products.len() {
            let (row, x) = ((start + done) / row_in, (start + done) % row_in);
            let len = (row_in - x).min(products.len() - done);
            let valid = inside(x..x + len, stride, offset, row_out);
            let target = self.output_row(row, tap).filter(|_| !valid.is_empty());
            let first = (valid.start * stride).checked_add_signed(offset);
            if let (Some(target), Some(first)) = (target, first) {
                let source = &products[done + valid.start - x..done + valid.end - x];
                let target = plane[target * row_out + first..].iter_mut().step_by(stride);
                target.zip(source).for_each(|(t, &p)| *t = *t + p);
            }
            done += len;
        }
    }

    /// Number of the output row that a tap writes for input row `row`; none when it is cut off.
    fn output_row(&self, row: usize, tap: &[usize]) -> Option<usize> {
        let g = self.geometry;
        let (mut rest, mut index, mut scale) = (row, 0, 1);
        for d in (0..g.rank() - 1).rev() {
            let position = (rest % g.input[d] * g.strides[d] + tap[d]).checked_sub(g.pads_begin[d])?;
            if position >= self.output[d] {
                return None;
            }
            index += position * scale;
            scale *= self.output[d];
            rest /= g.input[d];
        }
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::{Noise, assert_close, same_on_any_threads};

    /// Direct loops over all pixels and taps.
    fn naive(g: &ConvGeometry, op: &[usize], c: Channels, x: &[f64], w: &[f64], bias: &[f64]) -> Vec<f64> {
        let o = g.transposed_shape(op).unwrap();
        let (pi, po): (usize, usize) = (g.input.iter().product(), o.iter().product());
        let taps: usize = g.kernel.iter().product();
        let (gi, go) = (c.input / g.groups, c.output / g.groups);
        let mut out: Vec<f64> = (0..c.batch * c.output * po).map(|i| bias[i / po % c.output]).collect();
        for (i, &value) in x.iter().enumerate() {
            let (pixel, channel, sample) = (i % pi, i / pi % c.input, i / pi / c.input);
            for j in 0..go * taps {
                let (tap, oc) = (j % taps, j / taps);
                let (mut p, mut t, mut at, mut scale, mut ok) = (pixel, tap, 0, 1, true);
                for d in (0..o.len()).rev() {
                    let v = (p % g.input[d] * g.strides[d] + t % g.kernel[d] * g.dilations[d]) as i64
                        - g.pads_begin[d] as i64;
                    ok &= v >= 0 && v < o[d] as i64;
                    at += v * scale;
                    scale *= o[d] as i64;
                    p /= g.input[d];
                    t /= g.kernel[d];
                }
                if ok {
                    let oc = channel / gi * go + oc;
                    out[(sample * c.output + oc) * po + at as usize] += value * w[channel * go * taps + j];
                }
            }
        }
        out
    }

    fn check(g: &ConvGeometry, op: &[usize], c: Channels) {
        let mut noise = Noise::new(8);
        let pixels: usize = g.input.iter().product();
        let taps: usize = g.kernel.iter().product();
        let x: Vec<f64> = noise.floats(c.batch * c.input * pixels);
        let w: Vec<f64> = noise.floats(c.input * c.output / g.groups * taps);
        let bias: Vec<f64> = noise.floats(c.output);
        let expected = naive(g, op, c, &x, &w, &bias);
        let found = same_on_any_threads(|| {
            let mut out = vec![7.0; expected.len()];
            conv_transpose(g, op, c, (&x, &w), Some(&bias), &mut out).unwrap();
            out
        });
        assert_close(&found, &expected, 1e-12);
    }

    #[test]
    fn matches_direct_loops() {
        for (stride, dilation, pads, op, groups) in
            [(1, 1, (0, 0), 0, 1), (2, 1, (1, 0), 1, 2), (3, 2, (1, 2), 2, 1), (1, 2, (2, 2), 0, 4)]
        {
            for input in [&[7][..], &[5, 6], &[3, 4, 3]] {
                let rank = input.len();
                let g = ConvGeometry {
                    strides: vec![stride; rank],
                    dilations: vec![dilation; rank],
                    pads_begin: vec![pads.0; rank],
                    pads_end: vec![pads.1; rank],
                    groups,
                    ..ConvGeometry::new(input, &[3, 2, 3][3 - rank..])
                };
                check(&g, &vec![op; rank], Channels { batch: 2, input: 4, output: 8 });
            }
        }
    }

    #[test]
    fn many_pixels_and_channels() {
        let g = ConvGeometry { strides: vec![2, 2], ..ConvGeometry::new(&[40, 60], &[2, 2]) };
        check(&g, &[0, 0], Channels { batch: 1, input: 5, output: 40 });
    }

    #[test]
    fn refuses_wrong_lengths() {
        let g = ConvGeometry::new(&[3], &[2]);
        let c = Channels { batch: 1, input: 1, output: 1 };
        let run = |x: &[f32], w: &[f32], out: &mut [f32]| conv_transpose(&g, &[0], c, (x, w), None, out);
        assert_eq!(run(&[1.0; 3], &[1.0; 2], &mut [0.0; 4]), Ok(()));
        assert!(run(&[1.0; 2], &[1.0; 2], &mut [0.0; 4]).is_err());
        assert!(run(&[1.0; 3], &[1.0; 3], &mut [0.0; 4]).is_err());
        assert!(run(&[1.0; 3], &[1.0; 2], &mut [0.0; 3]).is_err());
    }
}
