//! Scales of weights, shared per tensor, channel or block, and found by the error that they leave.
use crate::quantize::spec::{Grid, Interval, Params};
use crate::quantize::weights::Quantized;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::ValueId;
use hoist_ir::ops::quant::dequantize_linear::DequantizeLinear;
use hoist_ir::tensor::{Tensor, TensorError};
use pulp::Arch;
use rayon::prelude::*;

/// Which elements of weights share a scale.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sharing {
    /// All.
    All,
    /// Those of one position of this axis.
    Axis(usize),
    /// Those of `size` positions of `axis`, for each position of the other axes. The last block may be shorter.
    Blocks {
        /// Axis that is cut into blocks.
        axis: usize,
        /// Positions of a block.
        size: usize,
    },
}

impl Sharing {
    /// Sizes of the scales of weights of `shape`.
    pub fn sizes(self, shape: &[usize]) -> Vec<usize> {
        match self {
            Self::All => vec![],
            Self::Axis(axis) => shape.get(axis).copied().into_iter().collect(),
            Self::Blocks { axis, size } => {
                let cut = |(i, d): (usize, &usize)| if i == axis { d.div_ceil(size.max(1)) } else { *d };
                shape.iter().enumerate().map(cut).collect()
            }
        }
    }
    /// Views of `w` in two axes whose rows share a scale each, with the position of the first scale and the distance to the next in runs of `inner`.
    fn rows(self, w: &Tensor) -> Result<Vec<Rows>, TensorError> {
        let flat = |view: Tensor, rows: usize| -> Result<Vec<Rows>, TensorError> {
            let len = w.len().checked_div(rows).unwrap_or(0);
            Ok(vec![Rows {
                view: view.reshape(&[rows, len])?,
                at: Places { first: 0, run: rows.max(1), step: 0 },
            }])
        };
        match self {
            Self::All => flat(w.clone(), 1),
            Self::Axis(axis) => {
                let order = std::iter::once(axis).chain((0..w.rank()).filter(|a| *a != axis));
                flat(w.permute(&order.collect::<Vec<_>>())?, w.shape()[axis])
            }
            Self::Blocks { axis, size } => {
                let (whole, rest) = (w.shape()[axis] / size, w.shape()[axis] % size);
                let blocks = w.shape()[axis].div_ceil(size);
                let mut all = vec![];
                for (start, count, size) in [(0, whole, size), (whole * size, usize::from(rest > 0), rest)] {
                    if count > 0 {
                        all.push(blocks_of(w, axis, (start, count, size), blocks)?);
                    }
                }
                Ok(all)
            }
        }
    }
}

/// `count` blocks of `size` positions of `axis`, from position `start` on, as rows; there are `blocks` in all.
fn blocks_of(
    w: &Tensor,
    axis: usize,
    (start, count, size): (usize, usize, usize),
    blocks: usize,
) -> Result<Rows, TensorError> {
    let shape = w.shape();
    let (outer, inner): (usize, usize) =
        (shape[..axis].iter().copied().fold(1, usize::saturating_mul), shape[axis + 1..].iter().product());
    let part = if count * size == shape[axis] {
        w.clone()
    } else {
        let mut starts = vec![0; shape.len()];
        starts[axis] = start;
        let mut sizes = shape.to_vec();
        sizes[axis] = count * size;
        w.slice(&starts, &sizes)?
    };
    let view = part.reshape(&[outer, count, size, inner])?.permute(&[0, 1, 3, 2])?;
    let view = view.reshape(&[outer * count * inner, size])?;
    // The rest is the last block.
    let first = if start > 0 { (blocks - 1) * inner } else { 0 };
    Ok(Rows { view, at: Places { first, run: count * inner, step: blocks * inner } })
}

/// Which scale each row of a view has: runs of `run` consecutive ones from `first` on, `step` from one run to the next.
struct Places {
    first: usize,
    run: usize,
    step: usize,
}

/// Rows of elements that share a scale.
struct Rows {
    view: Tensor,
    at: Places,
}

/// Elements of one piece that is read at a time, at least.
const PIECE: usize = 1 << 16;

impl Rows {
    /// What `of` makes of every row, with the position of its scale; rows are read in pieces, by several threads.
    fn map<T: Send>(
        &self,
        of: impl Fn(&[f32]) -> Result<T, TensorError> + Sync,
    ) -> Result<Vec<(usize, T)>, TensorError> {
        let &[rows, len] = self.view.shape() else { return Ok(vec![]) };
        let flat = self.view.reshape(&[self.view.len()])?;
        let at_once = (PIECE / len.max(1)).max(1);
        let piece = |n: usize| {
            let start = n * at_once;
            let count = at_once.min(rows - start);
            let part = flat.slice(&[start * len], &[count * len])?;
            let place = |r: usize| self.at.first + r / self.at.run * self.at.step + r % self.at.run;
            let data = part.to_f32s()?;
            let each = data.chunks(len.max(1)).enumerate();
            each.map(|(i, row)| Ok((place(start + i), of(row)?))).collect::<Result<Vec<_>, TensorError>>()
        };
        let pieces: Vec<Vec<_>> =
            (0..rows.div_ceil(at_once)).into_par_iter().map(piece).collect::<Result<_, _>>()?;
        Ok(pieces.into_iter().flatten().collect())
    }
}

/// Bits up to which scales are searched: the end of the interval is no good scale where steps are wide.
const SEARCHED: u32 = 4;

/// `f32` weights on a grid. With more than 4 bits no number leaves the grid; else scale and zero point are those of least squared error. Scales of symmetric grids may be
/// negative where `signed`, so that the number of largest magnitude takes the end that has one step more. Scales are of type `scale`. The numbers
/// are computed while they are read.
///
/// # Errors
/// When the weights cannot be read or are not finite, a scale is no normal number of its type, or the grid is none of at most 8 bits.
pub fn share(
    w: &Tensor,
    sharing: Sharing,
    grid: Grid,
    signed: bool,
    scale: DType,
) -> Result<Quantized, TensorError> {
    let sizes = sharing.sizes(w.shape());
    let mut all =
        vec![Params { scale: 1.0, zero_point: 0 }; sizes.iter().copied().fold(1, usize::saturating_mul)];
    let searched = grid.dtype.is_int() && grid.dtype.bits() <= SEARCHED;
    for rows in sharing.rows(w)? {
        let found = rows.map(|row| {
            if !row.iter().all(|v| v.is_finite()) {
                return Err(TensorError::Shape("there are numbers that are not finite".to_owned()));
            }
            let search = || search(row, grid, signed);
            Ok(if searched { Arch::new().dispatch(search) } else { grid.params(interval(row)) })
        })?;
        for (at, params) in found {
            if let Some(p) = all.get_mut(at) {
                *p = params;
            }
        }
    }
    let (scales, zeros): (Vec<f32>, Vec<i32>) = all.into_iter().map(|p| (p.scale, p.zero_point)).unzip();
    let scales = Tensor::from_vec(&sizes, scales).cast(scale, false)?;
    let stored = scales.to_f32s()?.into_owned();
    if !stored.iter().all(|s| s.is_normal()) {
        return Err(TensorError::Shape(format!("a scale is no normal number of {scale}")));
    }
    let data = stored_numbers(w, sharing, (stored, zeros.clone()), grid.dtype)?;
    let zero_points = zeros.iter().any(|z| *z != 0).then(|| Tensor::from_vec(&sizes, zeros));
    let zero_points = zero_points.map(|z| z.cast(grid.dtype, false)).transpose()?;
    let (axis, block) = match sharing {
        Sharing::All => (0, 0),
        Sharing::Axis(axis) => (axis, 0),
        Sharing::Blocks { axis, size } => (axis, size),
    };
    Ok(Quantized { data, scales, zero_points, axis, block })
}

fn stored_numbers(
    w: &Tensor,
    sharing: Sharing,
    (scales, zeros): (Vec<f32>, Vec<i32>),
    dtype: DType,
) -> Result<Tensor, TensorError> {
    match sharing {
        Sharing::Axis(axis) => w.quantize_channels(scales, zeros, axis, dtype),
        Sharing::Blocks { axis, size } => w.quantize_blocks(scales, zeros, axis, size, dtype),
        Sharing::All => {
            w.reshape(&[1, w.len()])?.quantize_channels(scales, zeros, 0, dtype)?.reshape(w.shape())
        }
    }
}

fn interval(row: &[f32]) -> Interval {
    let zero = Interval { low: 0.0, high: 0.0 };
    row.iter().fold(zero, |i, v| Interval { low: i.low.min(*v), high: i.high.max(*v) })
}

/// Scale and zero point of least squared error for `row`. The interval is narrowed step by step; for the integers of each step the best factor is known:
/// with `q` what is stored less the zero point, `sum(w q) / sum(q q)`, which leaves `sum(w w) - sum(w q)^2 / sum(q q)`.
#[inline(always)]
fn search(row: &[f32], grid: Grid, signed: bool) -> Params {
    /// Widest and narrowest interval tried, and steps between them, in parts of the whole.
    const TRIED: std::ops::RangeInclusive<u32> = 50..=112;
    const STEP: usize = 2;
    let around = interval(row);
    let (low, high) = grid.dtype.int_range().map_or((-8, 7), |(l, h)| (l as i32, h as i32));
    let middle = (high - low + 1) / 2 + low;
    let start = if grid.symmetric { middle } else { 0i32.max(low) };
    let mut best = (0.0f64, None);
    for part in TRIED.step_by(STEP) {
        let part = part as f32 / 100.0;
        let (scale, zero) = if grid.symmetric {
            // The end below the middle is one step farther away.
            let below = (middle - low) as f32;
            let farther = if -around.low >= around.high { around.low } else { around.high };
            let most = if signed { -farther } else { (-around.low).max(around.high * below / (below - 1.0)) };
            (most * part / below, middle)
        } else {
            let scale = (around.high - around.low) * part / (high - low) as f32;
            let zero = (low as f32 - around.low * part / scale).round_ties_even();
            (scale, zero.clamp(low as f32, high as f32) as i32)
        };
        if !scale.is_normal() || !scale.recip().is_normal() {
            continue;
        }
        let (least, most, inverse) = ((low - zero) as f32, (high - zero) as f32, scale.recip());
        let (products, squares) = sums(row, inverse, least, most);
        let gain = f64::from(products) * f64::from(products) / f64::from(squares);
        if squares > 0.0 && gain > best.0 {
            best = (gain, Some((inverse, least, most, zero)));
        }
    }
    match best.1 {
        Some((inverse, least, most, zero)) => {
            Params { scale: factor(row, inverse, least, most), zero_point: zero }
        }
        None => Params { scale: 1.0, zero_point: start },
    }
}

/// The integer next to `v * inverse`, halves to even, between `least` and `most`.
#[inline(always)]
fn step(v: f32, inverse: f32, least: f32, most: f32) -> f32 {
    /// Added to and taken off a number below 2^22, this leaves the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    ((v * inverse + ROUND) - ROUND).max(least).min(most)
}

/// With `q` the steps of a row: the sums of `v q` and `q q`, in 32 bits and, whatever the processor, in one order.
#[inline(always)]
fn sums(row: &[f32], inverse: f32, least: f32, most: f32) -> (f32, f32) {
    const LANES: usize = 16;
    let (mut products, mut squares) = ([0.0f32; LANES], [0.0f32; LANES]);
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for ((v, p), s) in chunk.iter().zip(&mut products).zip(&mut squares) {
            let q = step(*v, inverse, least, most);
            *p += *v * q;
            *s += q * q;
        }
    }
    for ((v, p), s) in rest.iter().zip(&mut products).zip(&mut squares) {
        let q = step(*v, inverse, least, most);
        *p += *v * q;
        *s += q * q;
    }
    (products.iter().sum(), squares.iter().sum())
}

/// `sum(v q) / sum(q q)`.
fn factor(row: &[f32], inverse: f32, least: f32, most: f32) -> f32 {
    let (mut products, mut squares) = (0.0f64, 0.0f64);
    for v in row {
        let q = f64::from(step(*v, inverse, least, most));
        products += f64::from(*v) * q;
        squares += q * q;
    }
    (products / squares) as f32
}

impl Quantized {
    /// Dequantizes `data`, which is of the type of this one's. Its axis of scales is `axis`, which counts from the end where it is negative.
    ///
    /// # Errors
    /// When the parts do not fit each other.
    pub fn dequantize(&self, b: &mut Builder<'_>, data: ValueId, axis: i64) -> Result<ValueId, Diag> {
        let scales = b.constant(self.scales.clone());
        let zeros = self.zero_points.clone().map(|z| b.constant(z));
        let op = DequantizeLinear { axis, block_size: self.block as i64, output_dtype: None };
        let mut operands = vec![Some(data), Some(scales)];
        operands.extend(zeros.map(Some));
        Ok(b.add(op, &operands)?[0])
    }
    /// Bytes of all parts.
    pub fn byte_len(&self) -> usize {
        let zeros = self.zero_points.as_ref().map_or(0, Tensor::byte_len);
        self.data.byte_len().saturating_add(self.scales.byte_len()).saturating_add(zeros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(shape: &[usize]) -> Tensor {
        let value = |i: usize| ((i * 37 % 101) as f32 - 50.0) / 40.0 + (i % 7) as f32 * 0.1;
        Tensor::from_vec(
            shape,
            (0..shape.iter().copied().fold(1, usize::saturating_mul)).map(value).collect(),
        )
    }
    const I4: Grid = Grid { dtype: DType::I4, symmetric: true };

    /// The numbers that `q` stands for, and what they miss `w` by.
    fn error(w: &Tensor, q: &Quantized, sharing: Sharing) -> f64 {
        let (data, scales) = (q.data.to_f64s().expect("read"), q.scales.to_f64s().expect("read"));
        let zeros = q.zero_points.as_ref().map_or(vec![0.0; scales.len()], |z| z.to_f64s().expect("read"));
        let scale_of = |i: usize| match sharing {
            Sharing::All => 0,
            Sharing::Axis(a) => {
                i / w.shape()[a + 1..].iter().copied().fold(1, usize::saturating_mul) % w.shape()[a]
            }
            Sharing::Blocks { axis, size } => {
                let inner: usize = w.shape()[axis + 1..].iter().copied().fold(1, usize::saturating_mul);
                let (d, blocks) = (w.shape()[axis], w.shape()[axis].div_ceil(size));
                (i / inner / d * blocks + i / inner % d / size) * inner + i % inner
            }
        };
        let real = |(i, v): (usize, &f64)| (v - zeros[scale_of(i)]) * scales[scale_of(i)];
        let real: Vec<f64> = data.iter().enumerate().map(real).collect();
        real.iter().zip(w.to_f64s().expect("read")).map(|(a, b)| (a - b).powi(2)).sum()
    }

    #[test]
    fn every_sharing_finds_its_own_scales() {
        let w = weights(&[4, 10, 6]);
        let of = |sharing: Sharing, grid: Grid| {
            let q = share(&w, sharing, grid, true, DType::F32).expect("fits");
            assert_eq!(q.scales.shape(), sharing.sizes(w.shape()));
            error(&w, &q, sharing)
        };
        let energy: f64 = w.to_f64s().expect("read").iter().map(|v| v * v).sum();
        // Numbers that lie evenly in their steps miss them by a twelfth of the step's square each; the widest step is that of all numbers together.
        let most = w.to_f64s().expect("read").iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let evenly =
            w.shape().iter().copied().fold(1, usize::saturating_mul) as f64 * (most / 127.0).powi(2) / 12.0;
        let blocks = |axis| Sharing::Blocks { axis, size: 4 };
        for sharing in
            [Sharing::All, Sharing::Axis(0), Sharing::Axis(1), Sharing::Axis(2), blocks(1), blocks(2)]
        {
            assert!(of(sharing, I4) < energy * 0.006, "{sharing:?}: {} of {energy}", of(sharing, I4));
            let narrow = of(sharing, Grid { symmetric: false, ..I4 });
            assert!(narrow < energy * 0.005, "{sharing:?}: {narrow} of {energy}");
            let bytes = of(sharing, Grid { dtype: DType::I8, symmetric: true });
            assert!(bytes < evenly * 1.05, "{sharing:?}: {bytes}, {evenly} from the step alone");
            assert!(of(sharing, Grid { dtype: DType::F8E4M3FN, symmetric: true }) < energy * 2e-3);
        }
        assert!(of(blocks(1), I4) < of(Sharing::All, I4) * 0.8);
    }

    #[test]
    fn steps_are_no_wider_than_needed() {
        // One number is far from all others: it is cut off.
        let mut v = vec![0.1f32; 64];
        v[0] = 1.0;
        let w = Tensor::from_vec(
            &[1, 64],
            v.iter().enumerate().map(|(i, v)| v * (i as f32 * 0.7).sin()).collect(),
        );
        let all = Sharing::Axis(0);
        let found = error(&w, &share(&w, all, I4, true, DType::F32).expect("fits"), all);
        let ends = crate::quantize::weights::per_channel(
            &w,
            Some(0),
            Grid { dtype: DType::I8, symmetric: true },
            &[],
        );
        assert!(ends.is_ok() && found < 0.05);
        let w = Tensor::from_vec(&[2], vec![f32::NAN, 1.0]);
        assert!(share(&w, Sharing::All, I4, true, DType::F32).is_err());
        let w = Tensor::from_vec(&[2], vec![1e-9f32, 1e-10]);
        assert!(share(&w, Sharing::All, I4, true, DType::F16).is_err(), "a scale of 0");
        assert!(share(&weights(&[0, 3]), Sharing::Axis(1), I4, true, DType::F32).is_ok());
    }
}
