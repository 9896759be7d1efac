//! Convolution of channels that are each their own group.
//!
//! Output rows are computed in bands. The input rows of a band are copied once with their horizontal padding and, for
//! strides above one, sorted by their position modulo the stride; every tap then reads contiguous vectors and no
//! border needs a case of its own.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::conv::ConvSizes;
use super::im2col::inside;
use super::parallel::Exec;
use super::real::{Accumulate, Real};
use super::{Channels, ConvGeometry};

/// Largest horizontal stride: bounds the scratch memory.
const MAX_STRIDE: usize = 4;
/// Largest number of taps: bounds the sums of the integer convolution below 2^24.
const MAX_TAPS: usize = 256;
/// Elements by which a window may exceed the input.
const MAX_OVERHANG: usize = 1 << 12;
/// Elements of a band's rows.
const BAND_LEN: usize = 1 << 15;
/// Longest output row of a plane that is computed as one run: longer rows fill the vectors by themselves.
const FLAT_COLS: usize = 32;
/// Elements by which a vector may reach beyond the last output of a row: the most lanes there are.
const SLACK: usize = 16;

/// Whether [`Depthwise`] computes this geometry. Padded rows must not be much longer than the input's and the output's.
pub(crate) fn applies(g: &ConvGeometry, sizes: &ConvSizes) -> bool {
    let last = g.rank().saturating_sub(1);
    sizes.group_in == 1
        && sizes.taps <= MAX_TAPS
        && g.strides.get(last).is_some_and(|&s| s <= MAX_STRIDE)
        && g.window(last).is_ok_and(|w| w <= g.input[last].saturating_add(MAX_OVERHANG))
}

/// A depthwise convolution with checked sizes. `map` turns an input element into the computing type.
pub(crate) struct Depthwise<'a, E, T, C, F> {
    pub(crate) geometry: &'a ConvGeometry,
    pub(crate) channels: Channels,
    pub(crate) sizes: &'a ConvSizes,
    pub(crate) input: &'a [E],
    /// `[out channels, taps]`.
    pub(crate) weights: &'a [T],
    /// Start of each output channel's sums; zero where absent.
    pub(crate) bias: Option<&'a [C]>,
    pub(crate) map: F,
}

/// Extents of the last two dimensions (the second to last is 1 where there is only one).
#[derive(Clone, Copy)]
struct Plane {
    rows_in: usize,
    cols_in: usize,
    rows_out: usize,
    cols_out: usize,
    kernel_rows: usize,
    kernel_cols: usize,
    row_stride: usize,
    col_stride: usize,
    row_dilation: usize,
    col_dilation: usize,
    pad_top: usize,
    pad_left: usize,
    /// Elements of one phase (columns of equal position modulo the stride) of a padded row.
    phase_len: usize,
}

impl Plane {
    fn new(g: &ConvGeometry, output: &[usize]) -> Self {
        let last = |v: &[usize], one: usize| {
            let (&cols, rest) = v.split_last().unwrap_or((&one, &[]));
            (rest.last().copied().unwrap_or(one), cols)
        };
        let (rows_in, cols_in) = last(&g.input, 1);
        let (rows_out, cols_out) = last(output, 1);
        let (kernel_rows, kernel_cols) = last(&g.kernel, 1);
        let (row_stride, col_stride) = last(&g.strides, 1);
        let (row_dilation, col_dilation) = last(&g.dilations, 1);
        let (_, pad_left) = last(&g.pads_begin, 0);
        let pad_top = if g.rank() > 1 { last(&g.pads_begin, 0).0 } else { 0 };
        let phase_len = cols_out + SLACK + (kernel_cols - 1) * col_dilation / col_stride + 1;
        Self {
            rows_in,
            cols_in,
            rows_out,
            cols_out,
            kernel_rows,
            kernel_cols,
            row_stride,
            col_stride,
            row_dilation,
            col_dilation,
            pad_top,
            pad_left,
            phase_len,
        }
    }

    /// Columns of the padded input when the stride is 1.
    fn pitch(&self) -> usize {
        self.cols_out + (self.kernel_cols - 1) * self.col_dilation
    }

    /// Elements of the padded input when the strides are 1; `None` when they exceed the address range.
    fn flat_len(&self) -> Option<usize> {
        (self.kernel_rows - 1)
            .checked_mul(self.row_dilation)?
            .checked_add(self.rows_out)?
            .checked_mul(self.pitch())
    }

    /// Elements of a padded row.
    fn row_len(&self) -> usize {
        self.phase_len * self.col_stride
    }

    /// Position of each kernel column's first element in a padded row.
    fn columns(&self) -> Vec<usize> {
        let at = |x: usize| x % self.col_stride * self.phase_len + x / self.col_stride;
        (0..self.kernel_cols).map(|kx| at(kx * self.col_dilation)).collect()
    }

    /// Output rows per band so that the band's input rows stay near [`BAND_LEN`].
    fn band(&self, slabs: usize) -> usize {
        let rows = BAND_LEN / (self.row_len() * slabs.max(1));
        let overlap = (self.kernel_rows - 1) * self.row_dilation;
        (rows.saturating_sub(overlap) / self.row_stride).clamp(4, self.rows_out.max(4))
    }

    /// Rows of the padded input that output rows `rows` read, cut to the input.
    fn input_rows(&self, rows: &Range<usize>) -> Range<usize> {
        let first = rows.start * self.row_stride;
        let last = (rows.end - 1) * self.row_stride + (self.kernel_rows - 1) * self.row_dilation;
        let end = (last + 1).saturating_sub(self.pad_top).min(self.rows_in);
        first.saturating_sub(self.pad_top).min(end)..end
    }
}

/// Working memory of a thread.
#[derive(Default)]
struct Scratch<T, C> {
    /// Padded input rows of a band.
    rows: Vec<T>,
    /// Positions that an output row reads, counted from its first input row, and their weights.
    taps: Vec<(usize, T)>,
    phases: Vec<Phase>,
    /// Output rows of a plane computed as one run, with what lies between them.
    flat: Vec<C>,
}

/// A plane of the input that contributes to an output plane, and the first tap of its kernel plane.
struct Slab {
    start: usize,
    tap: usize,
}

impl<E, T, C, F> Depthwise<'_, E, T, C, F>
where
    E: Copy + Send + Sync,
    T: Real,
    C: Accumulate<T>,
    F: Fn(E) -> T + Copy + Sync,
{
    /// Writes the convolution to `out`.
    pub(crate) fn run(&self, out: &mut [C]) {
        self.run_on(Arch::new(), out);
    }

    /// [`Self::run`] with the instructions of `arch`.
    fn run_on(&self, arch: Arch, out: &mut [C]) {
        let plane = Plane::new(self.geometry, &self.sizes.output);
        let plane_out = plane.rows_out * plane.cols_out;
        if out.is_empty() {
            return;
        }
        let exec = Exec::for_work(&[out.len(), self.sizes.taps]);
        let outer = self.sizes.pixels_out / plane_out;
        let slabs: Vec<_> = (0..outer).map(|i| self.slabs(i, plane.rows_in * plane.cols_in)).collect();
        let columns = plane.columns();
        exec.for_chunks(out, plane_out, |scratch: &mut Scratch<T, C>, index, out| {
            let (channel, slabs) = (index / outer, &slabs[index % outer]);
            let sample = channel / self.channels.output;
            let channel = channel % self.channels.output;
            let input =
                (sample * self.channels.input + channel / self.sizes.group_out) * self.sizes.pixels_in;
            let input = &self.input[input..input + self.sizes.pixels_in];
            let weights = &self.weights[channel * self.sizes.taps..(channel + 1) * self.sizes.taps];
            let start = self.bias.map_or(C::default(), |b| b[channel]);
            let band = plane.band(slabs.len());
            for (i, out) in out.chunks_mut(band * plane.cols_out).enumerate() {
                let rows = i * band..i * band + out.len() / plane.cols_out;
                let columns = &columns;
                arch.dispatch(Band {
                    plane,
                    slabs,
                    columns,
                    input,
                    weights,
                    map: self.map,
                    rows,
                    scratch,
                    start,
                    out,
                });
            }
        });
    }

    /// Input planes that lie inside the input for the `index`-th output plane.
    fn slabs(&self, index: usize, plane_in: usize) -> Vec<Slab> {
        let g = self.geometry;
        let outer = g.rank().saturating_sub(2);
        let kernel_plane: usize = g.kernel[outer..].iter().product();
        let kernel_planes: usize = g.kernel[..outer].iter().product();
        (0..kernel_planes)
            .filter_map(|k| {
                let (mut rest, mut tap, mut start, mut scale) = (index, k, 0, plane_in);
                for d in (0..outer).rev() {
                    let position =
                        rest % self.sizes.output[d] * g.strides[d] + tap % g.kernel[d] * g.dilations[d];
                    let position = position.checked_sub(g.pads_begin[d]).filter(|&p| p < g.input[d])?;
                    start += position * scale;
                    scale *= g.input[d];
                    rest /= self.sizes.output[d];
                    tap /= g.kernel[d];
                }
                Some(Slab { start, tap: k * kernel_plane })
            })
            .collect()
    }
}

/// Some rows of one output plane.
struct Band<'a, E, T, C, F> {
    plane: Plane,
    slabs: &'a [Slab],
    columns: &'a [usize],
    input: &'a [E],
    weights: &'a [T],
    map: F,
    rows: Range<usize>,
    scratch: &'a mut Scratch<T, C>,
    start: C,
    out: &'a mut [C],
}

impl<E: Copy, T: Real, C: Accumulate<T>, F: Fn(E) -> T> WithSimd for Band<'_, E, T, C, F> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let plane = self.plane;
        if self.is_flat() {
            self.run_flat(simd);
            return;
        }
        let input_rows = plane.input_rows(&self.rows);
        self.copy_rows(&input_rows);
        let Scratch { rows, taps, .. } = &mut *self.scratch;
        let mut former = 0..0;
        taps.clear();
        for (i, out) in self.out.chunks_mut(plane.cols_out).enumerate() {
            let top = ((self.rows.start + i) * plane.row_stride) as isize - plane.pad_top as isize;
            let valid = inside(0..plane.kernel_rows, plane.row_dilation, top, plane.rows_in);
            let first = (valid.start * plane.row_dilation).saturating_add_signed(top);
            if valid != former {
                taps.clear();
                for (number, slab) in self.slabs.iter().enumerate() {
                    for ky in valid.clone() {
                        let row = number * input_rows.len() + (ky - valid.start) * plane.row_dilation;
                        let weights = &self.weights[slab.tap + ky * plane.kernel_cols..];
                        let columns = self.columns.iter().map(|&at| row * plane.row_len() + at);
                        taps.extend(columns.zip(weights.iter().copied()));
                    }
                }
                former = valid;
            }
            let base = first.saturating_sub(input_rows.start) * plane.row_len();
            row::<T, C, S>(simd, rows.get(base..).unwrap_or_default(), taps, self.start, out);
        }
    }
}

impl<E: Copy, T: Real, C: Accumulate<T>, F: Fn(E) -> T> Band<'_, E, T, C, F> {
    /// Whether [`Self::run_flat`] computes it: a whole small plane with stride 1.
    fn is_flat(&self) -> bool {
        let plane = &self.plane;
        plane.row_stride == 1
            && plane.col_stride == 1
            && plane.cols_out <= FLAT_COLS
            && self.rows.len() == plane.rows_out
            && self.slabs.len() == 1
            && plane.flat_len().is_some_and(|len| len <= BAND_LEN)
    }

    /// All output rows as one run over the padded plane. Between two rows lie as many meaningless sums as a window is wide.
    #[inline(always)]
    fn run_flat<S: Simd>(&mut self, simd: S) {
        let plane = self.plane;
        let pitch = plane.pitch();
        let len = (plane.rows_out - 1) * pitch + plane.cols_out;
        self.copy_plane(pitch, len);
        let Scratch { rows, taps, flat, .. } = &mut *self.scratch;
        let weights = self.slabs.first().and_then(|slab| self.weights.get(slab.tap..)).unwrap_or_default();
        taps.clear();
        for (ky, weights) in weights.chunks_exact(plane.kernel_cols).take(plane.kernel_rows).enumerate() {
            let at = ky * plane.row_dilation * pitch;
            taps.extend(weights.iter().enumerate().map(|(kx, &w)| (at + kx * plane.col_dilation, w)));
        }
        flat.resize(len, C::default());
        row::<T, C, S>(simd, rows, taps, self.start, flat);
        for (out, sums) in self.out.chunks_mut(plane.cols_out).zip(flat.chunks(pitch)) {
            out.copy_from_slice(&sums[..plane.cols_out]);
        }
    }

    /// Copies the input plane with zeros in the padding, rows `pitch` apart, for `len` sums.
    #[inline(always)]
    fn copy_plane(&mut self, pitch: usize, len: usize) {
        let plane = self.plane;
        let first_of_last_tap = (plane.kernel_rows - 1) * plane.row_dilation * pitch
            + (plane.kernel_cols - 1) * plane.col_dilation;
        let rows = &mut self.scratch.rows;
        rows.clear();
        rows.resize(first_of_last_tap + len + SLACK, T::ZERO);
        let input = self.slabs.first().and_then(|slab| self.input.get(slab.start..)).unwrap_or_default();
        let width = plane.cols_in.min(pitch.saturating_sub(plane.pad_left));
        let lines = rows.chunks_mut(pitch).skip(plane.pad_top).take(plane.rows_in);
        for (line, source) in lines.zip(input.chunks(plane.cols_in.max(1))) {
            let Some(target) = line.get_mut(plane.pad_left..) else { continue };
            target.iter_mut().zip(&source[..width]).for_each(|(t, &s)| *t = (self.map)(s));
        }
    }

    /// Copies the input rows of all slabs: `[slab][row][phase][column]`, zero in the padding.
    #[inline(always)]
    fn copy_rows(&mut self, rows: &Range<usize>) {
        let plane = self.plane;
        let row_len = plane.row_len();
        self.scratch.rows.resize(self.slabs.len() * rows.len() * row_len, T::ZERO);
        let mut targets = self.scratch.rows.chunks_exact_mut(row_len);
        let (phases, stride) = (&mut self.scratch.phases, plane.col_stride);
        phases.clear();
        phases.extend((0..stride).map(|phase| Phase::new(&plane, phase)));
        for slab in self.slabs {
            for (y, target) in rows.clone().zip(&mut targets) {
                let start = slab.start + y * plane.cols_in;
                let source = &self.input[start..start + plane.cols_in];
                for (phase, target) in phases.iter().zip(target.chunks_exact_mut(plane.phase_len)) {
                    phase.copy(source, stride, target, &self.map);
                }
            }
        }
    }
}

/// The columns of a padded row with equal position modulo the stride.
struct Phase {
    /// Those that lie inside the input.
    valid: Range<usize>,
    /// The input column of the first of them.
    first: usize,
}

impl Phase {
    fn new(plane: &Plane, phase: usize) -> Self {
        let offset = phase as isize - plane.pad_left as isize;
        let valid = inside(0..plane.phase_len, plane.col_stride, offset, plane.cols_in);
        let first = (valid.start * plane.col_stride).saturating_add_signed(offset);
        Self { valid, first }
    }

    /// Copies the phase of an input row, with zeros in the padding.
    #[inline(always)]
    fn copy<E: Copy, T: Real>(&self, source: &[E], stride: usize, target: &mut [T], map: impl Fn(E) -> T) {
        target[..self.valid.start].fill(T::ZERO);
        target[self.valid.end..].fill(T::ZERO);
        let target = &mut target[self.valid.clone()];
        let source = source.get(self.first..).unwrap_or_default();
        match stride {
            1 => target.iter_mut().zip(source).for_each(|(t, &s)| *t = map(s)),
            2 => {
                let pairs = source.as_chunks::<2>().0;
                target.iter_mut().zip(pairs).for_each(|(t, &[s, _])| *t = map(s));
                if let (Some(t), Some(&s)) = (target.get_mut(pairs.len()), source.get(2 * pairs.len())) {
                    *t = map(s);
                }
            }
            _ => target.iter_mut().zip(source.iter().step_by(stride)).for_each(|(t, &s)| *t = map(s)),
        }
    }
}

/// One output row: `start` plus the sum of `weight * scratch[at + x]` over the taps.
#[inline(always)]
fn row<T: Real, C: Accumulate<T>, S: Simd>(
    simd: S,
    scratch: &[T],
    taps: &[(usize, T)],
    start: C,
    out: &mut [C],
) {
    let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
    let mut x = 0;
    while x < out.len() {
        x += match (out.len() - x).div_ceil(lanes) {
            1 => block::<T, C, S, 1>(simd, scratch, taps, x, start, out),
            2 => block::<T, C, S, 2>(simd, scratch, taps, x, start, out),
            3 => block::<T, C, S, 3>(simd, scratch, taps, x, start, out),
            _ => block::<T, C, S, 4>(simd, scratch, taps, x, start, out),
        };
    }
}

/// `N` vectors of an output row from `x` on; returns their number of elements.
#[inline(always)]
fn block<T: Real, C: Accumulate<T>, S: Simd, const N: usize>(
    simd: S,
    scratch: &[T],
    taps: &[(usize, T)],
    x: usize,
    start: C,
    out: &mut [C],
) -> usize {
    let len = N * size_of::<T::Vector<S>>() / size_of::<T>();
    let mut sums = [T::splat(simd, T::ZERO); N];
    for &(at, weight) in taps {
        let weight = T::splat(simd, weight);
        let Some(source) = scratch.get(at + x..at + x + len) else { continue };
        for (sum, &v) in sums.iter_mut().zip(T::vectors::<S>(source).0) {
            *sum = T::fused(simd, weight, v, *sum);
        }
    }
    let end = out.len().min(x + len);
    C::store(&mut out[x..end], bytemuck::cast_slice(&sums), start);
    len
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Noise, every_arch};
    use super::*;

    #[test]
    fn bits_do_not_depend_on_the_instruction_set() {
        let geometry =
            ConvGeometry { strides: vec![2, 2], groups: 2, ..ConvGeometry::new(&[9, 71], &[3, 3]) };
        let channels = Channels { batch: 1, input: 2, output: 2 };
        let mut noise = Noise::new(12);
        let (x, w): (Vec<f32>, Vec<f32>) = (noise.floats(2 * 9 * 71), noise.floats(18));
        let sizes = ConvSizes::check(&geometry, channels, (x.len(), w.len(), 2 * 4 * 35)).unwrap();
        let task: Depthwise<'_, f32, f32, f32, _> = Depthwise {
            geometry: &geometry,
            channels,
            sizes: &sizes,
            input: &x,
            weights: &w,
            bias: Some(&[0.1, 0.2]),
            map: |v: f32| v,
        };
        let results = every_arch().into_iter().map(|arch| {
            let mut out = vec![0.0f32; 2 * 4 * 35];
            task.run_on(arch, &mut out);
            out.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
        });
        let results: Vec<_> = results.collect();
        assert!(results.iter().all(|r| *r == results[0]));
    }
}
