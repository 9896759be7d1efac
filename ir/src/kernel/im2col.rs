//! The input of a convolution as the right operand of a matrix product.
//!
//! The matrix has a row per (channel, tap) and a column per output pixel. It is never formed: blocks of it are
//! written straight into the panels that the product reads.

use std::ops::Range;

use super::pack::PackRhs;
use super::{ConvGeometry, KernelError, product};

/// Precomputed positions of one convolution.
pub(crate) struct WindowPlan {
    /// Extents of the input, the last one apart.
    outer_input: Vec<usize>,
    row_input: usize,
    /// Extents of the output, the last one apart.
    outer_output: Vec<usize>,
    row_output: usize,
    outer_strides: Vec<usize>,
    row_stride: usize,
    /// Per tap: offset of the tap from a window's first element in padded coordinates minus the padding, for all
    /// dimensions.
    taps: Vec<isize>,
    rank: usize,
}

impl WindowPlan {
    /// Plan for a geometry of at least one dimension whose output has the extents `output`.
    pub(crate) fn new(geometry: &ConvGeometry, output: &[usize]) -> Result<Self, KernelError> {
        let rank = geometry.rank();
        let count = geometry.taps()?;
        product("the taps of a kernel", [count, rank])?;
        let mut taps = Vec::with_capacity(count * rank);
        for tap in 0..count {
            let first = taps.len();
            let mut rest = tap;
            for d in (0..rank).rev() {
                let offset = rest % geometry.kernel[d] * geometry.dilations[d];
                taps.push(offset as isize - geometry.pads_begin[d] as isize);
                rest /= geometry.kernel[d];
            }
            taps[first..].reverse();
        }
        let (&row_input, outer_input) = geometry.input.split_last().ok_or_else(no_dimension)?;
        let (&row_output, outer_output) = output.split_last().ok_or_else(no_dimension)?;
        let (&row_stride, outer_strides) = geometry.strides.split_last().ok_or_else(no_dimension)?;
        Ok(Self {
            outer_input: outer_input.to_vec(),
            row_input,
            outer_output: outer_output.to_vec(),
            row_output,
            outer_strides: outer_strides.to_vec(),
            row_stride,
            taps,
            rank,
        })
    }

    /// Elements of one channel of the input.
    fn channel_len(&self) -> usize {
        self.outer_input.iter().product::<usize>() * self.row_input
    }

    /// The runs of output pixels in `cols` that lie in one row.
    fn segments(&self, cols: &Range<usize>) -> Vec<Segment> {
        let mut segments = Vec::new();
        let mut at = cols.start;
        while at < cols.end {
            let x = at % self.row_output;
            let len = (self.row_output - x).min(cols.end - at);
            segments.push(Segment { at: at - cols.start, len, x, row: at / self.row_output });
            at += len;
        }
        segments
    }

    /// Number of the input row that a tap reads for output row `row`; none in the padding.
    fn input_row(&self, row: usize, tap: &[isize]) -> Option<usize> {
        let mut rest = row;
        let mut index = 0;
        let mut scale = 1;
        for d in (0..self.rank - 1).rev() {
            let position =
                (rest % self.outer_output[d] * self.outer_strides[d]).checked_add_signed(tap[d])?;
            if position >= self.outer_input[d] {
                return None;
            }
            index += position * scale;
            scale *= self.outer_input[d];
            rest /= self.outer_output[d];
        }
        Some(index)
    }
}

fn no_dimension() -> KernelError {
    KernelError::Geometry("a convolution needs at least one spatial dimension".to_owned())
}

/// A run of output pixels in one row of the output.
struct Segment {
    /// Position in the block of columns.
    at: usize,
    len: usize,
    /// First pixel's coordinate in the row.
    x: usize,
    /// Number of the row.
    row: usize,
}

/// Output coordinates `x` in `range` for which `x * stride + offset` lies in `0..input`.
pub(crate) fn inside(range: Range<usize>, stride: usize, offset: isize, input: usize) -> Range<usize> {
    let low = if offset < 0 { offset.unsigned_abs().div_ceil(stride) } else { 0 };
    let high = match input.checked_add_signed(-offset) {
        Some(room) => room.div_ceil(stride),
        None => 0,
    };
    let start = range.start.max(low).min(range.end);
    start..range.end.min(high).max(start)
}

/// The channels of one group of one sample as the matrix `[channels * taps, output pixels]`.
pub(crate) struct Im2col<'a, E, F> {
    /// The channels, spatial extents as in the plan.
    pub(crate) input: &'a [E],
    pub(crate) plan: &'a WindowPlan,
    /// Turns an element into the product's type; padding is `T::default()` and does not pass through it.
    pub(crate) map: F,
}

impl<E: Copy + Sync, T: Copy + Default, F: Fn(E) -> T + Sync> PackRhs<T> for Im2col<'_, E, F> {
    fn pack(&self, depth: Range<usize>, cols: Range<usize>, width: usize, dst: &mut [T]) {
        let plan = self.plan;
        let segments = plan.segments(&cols);
        let mut line = vec![T::default(); cols.len()];
        let tap_count = plan.taps.len() / plan.rank;
        let panel_len = depth.len() * width;
        let channel_len = plan.channel_len();
        for (row, k) in depth.enumerate() {
            let (channel, tap) = (k / tap_count, k % tap_count);
            let tap = &plan.taps[tap * plan.rank..(tap + 1) * plan.rank];
            let channel = &self.input[channel * channel_len..][..channel_len];
            for segment in &segments {
                self.fill(channel, tap, segment, &mut line[segment.at..segment.at + segment.len]);
            }
            for (panel, chunk) in dst.chunks_mut(panel_len).zip(line.chunks(width)) {
                panel[row * width..][..chunk.len()].copy_from_slice(chunk);
            }
        }
    }
}

impl<E: Copy, T: Copy + Default, F: Fn(E) -> T> Im2col<'_, E, F> {
    /// Values that a tap reads for the pixels of a segment.
    fn fill(&self, channel: &[E], tap: &[isize], segment: &Segment, line: &mut [T]) {
        let plan = self.plan;
        let Some(row) = plan.input_row(segment.row, tap) else {
            line.fill(T::default());
            return;
        };
        let row = &channel[row * plan.row_input..][..plan.row_input];
        let offset = tap[plan.rank - 1];
        let end = segment.x + segment.len;
        let valid = inside(segment.x..end, plan.row_stride, offset, plan.row_input);
        line[..valid.start - segment.x].fill(T::default());
        line[valid.end - segment.x..].fill(T::default());
        let target = &mut line[valid.start - segment.x..valid.end - segment.x];
        if target.is_empty() {
            return;
        }
        let Some(first) = (valid.start * plan.row_stride).checked_add_signed(offset) else { return };
        if plan.row_stride == 1 {
            let source = &row[first..first + target.len()];
            target.iter_mut().zip(source).for_each(|(t, &s)| *t = (self.map)(s));
        } else {
            let source = row[first..].iter().step_by(plan.row_stride);
            target.iter_mut().zip(source).for_each(|(t, &s)| *t = (self.map)(s));
        }
    }
}
