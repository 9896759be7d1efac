//! Statistics of each position of one axis.
//!
//! A tensor is seen as `[outer, channels, inner]`. Sums are added in an order that the shape alone fixes: by lanes along a long `inner`; by
//! blocks of rows where `inner` is short, each row holding `channels * inner` numbers. Threads take whole channels or whole parts of rows.
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Most positions of an axis that are told apart: bounds the memory.
const MOST_CHANNELS: usize = 1 << 16;
/// Numbers below which one thread does all.
const SERIAL: usize = 1 << 17;
/// Shortest `inner` that is summed by itself.
const LONG: usize = 16;
/// Shortest `inner` that is summed by itself where rows are narrow: pieces far from each other are slow to read.
const PIECE: usize = 256;
/// Longest row that counts as narrow.
const NARROW: usize = 1 << 13;
/// Numbers that are added independently of each other.
const LANES: usize = 16;
/// Rows that are joined before they are added to the sums.
const ROWS: usize = 4;
/// Parts of the rows, at most.
const PARTS: usize = 8;

/// Per position of an axis: extremes, sums and sums of squares of all finite numbers seen.
#[derive(Clone, PartialEq, Debug)]
pub struct Channels {
    /// The axis, counted from the first dimension.
    pub axis: usize,
    /// Smallest finite number; infinity where none was seen.
    pub low: Vec<f32>,
    /// Largest finite number; minus infinity where none was seen.
    pub high: Vec<f32>,
    /// Sum.
    pub sum: Vec<f64>,
    /// Sum of squares.
    pub square: Vec<f64>,
    /// Numbers seen at each position, those that are not finite included; they count as zeros.
    pub count: u64,
}

impl Channels {
    /// Nothing seen yet of `size` positions along `axis`; `None` for more positions than are worth their memory.
    pub(super) fn new(axis: usize, size: usize) -> Option<Self> {
        (size <= MOST_CHANNELS).then(|| Self {
            axis,
            low: vec![f32::INFINITY; size],
            high: vec![f32::NEG_INFINITY; size],
            sum: vec![0.0; size],
            square: vec![0.0; size],
            count: 0,
        })
    }
    /// Positions of the axis.
    pub fn len(&self) -> usize {
        self.low.len()
    }
    /// Whether the axis has no positions.
    pub fn is_empty(&self) -> bool {
        self.low.is_empty()
    }
    /// Mean of what was seen at position `c`; 0 where nothing was.
    pub fn mean(&self, c: usize) -> f64 {
        self.average(&self.sum, c)
    }
    /// Mean of the squares at position `c`; 0 where nothing was seen.
    pub fn mean_square(&self, c: usize) -> f64 {
        self.average(&self.square, c)
    }
    /// Mean squared distance from the mean at position `c`.
    pub fn variance(&self, c: usize) -> f64 {
        (self.mean_square(c) - self.mean(c).powi(2)).max(0.0)
    }
    /// Largest magnitude seen at position `c`; 0 where nothing was seen.
    pub fn magnitude(&self, c: usize) -> f32 {
        match (self.low.get(c), self.high.get(c)) {
            (Some(low), Some(high)) if low <= high => low.abs().max(high.abs()),
            _ => 0.0,
        }
    }
    fn average(&self, sums: &[f64], c: usize) -> f64 {
        if self.count == 0 { 0.0 } else { sums.get(c).map_or(0.0, |s| s / self.count as f64) }
    }
    /// Takes in `values` of `shape`, whose size along the axis is this one's; `finite` says that all are.
    pub(super) fn take_in(&mut self, shape: &[usize], values: &[f32], finite: bool) {
        let Some((before, after)) = shape.split_at_checked(self.axis) else { return };
        let Some((channels, after)) = after.split_first() else { return };
        let (outer, inner): (usize, usize) =
            (before.iter().copied().fold(1, usize::saturating_mul), after.iter().product());
        if values.is_empty() || *channels != self.len() || values.len() != outer * channels * inner {
            return;
        }
        self.count += (outer * inner) as u64;
        if !finite {
            let zeroed: Vec<f32> = values.iter().map(|v| if v.is_finite() { *v } else { 0.0 }).collect();
            let sums = Sums::of(&zeroed, outer, *channels, inner);
            return self.fold(&sums, &extremes(values, *channels, inner));
        }
        let sums = Sums::of(values, outer, *channels, inner);
        let extremes: Vec<_> = sums.low.iter().copied().zip(sums.high.iter().copied()).collect();
        self.fold(&sums, &extremes);
    }
    fn fold(&mut self, sums: &Sums, extremes: &[(f32, f32)]) {
        for (c, (low, high)) in extremes.iter().enumerate() {
            self.low[c] = self.low[c].min(*low);
            self.high[c] = self.high[c].max(*high);
            self.sum[c] += sums.sum[c];
            self.square[c] += sums.square[c];
        }
    }
    /// Takes in all that `other` saw after it.
    pub(super) fn merge(&mut self, other: &Self) {
        for c in 0..self.len().min(other.len()) {
            self.low[c] = self.low[c].min(other.low[c]);
            self.high[c] = self.high[c].max(other.high[c]);
            self.sum[c] += other.sum[c];
            self.square[c] += other.square[c];
        }
        self.count += other.count;
    }
}

/// Extremes of the finite numbers of each channel.
fn extremes(values: &[f32], channels: usize, inner: usize) -> Vec<(f32, f32)> {
    let mut all = vec![(f32::INFINITY, f32::NEG_INFINITY); channels];
    for (row, values) in values.chunks(inner).enumerate() {
        let (low, high) = &mut all[row % channels];
        for v in values.iter().filter(|v| v.is_finite()) {
            *low = low.min(*v);
            *high = high.max(*v);
        }
    }
    all
}

/// Statistics of one tensor without infinities.
struct Sums {
    low: Vec<f32>,
    high: Vec<f32>,
    sum: Vec<f64>,
    square: Vec<f64>,
}

impl Sums {
    fn new(size: usize) -> Self {
        Self {
            low: vec![f32::INFINITY; size],
            high: vec![f32::NEG_INFINITY; size],
            sum: vec![0.0; size],
            square: vec![0.0; size],
        }
    }
    fn of(values: &[f32], outer: usize, channels: usize, inner: usize) -> Self {
        let narrow = channels.saturating_mul(inner) <= NARROW && outer >= 2 * ROWS;
        if outer > 1 && inner < if narrow { PIECE } else { LONG } {
            let rows = Self::of_rows(values, outer, channels * inner);
            return if inner == 1 { rows } else { rows.joined(inner) };
        }
        let mut all = Self::new(channels);
        let arch = Arch::new();
        let step = channels * inner;
        let channel = |c: usize| arch.dispatch(Channel { values, start: c * inner, step, outer, inner });
        let lines: Vec<Line> = if values.len() < SERIAL {
            (0..channels).map(channel).collect()
        } else {
            (0..channels).into_par_iter().map(channel).collect()
        };
        for (c, line) in lines.iter().enumerate() {
            (all.low[c], all.high[c], all.sum[c], all.square[c]) =
                (line.low, line.high, line.sum, line.square);
        }
        all
    }
    /// Of rows of `width` numbers, each position by itself.
    fn of_rows(values: &[f32], rows: usize, width: usize) -> Self {
        let arch = Arch::new();
        let part = |values: &[f32]| {
            let mut sums = Self::new(width);
            arch.dispatch(Rows { values, width, sums: &mut sums });
            sums
        };
        if values.len() < SERIAL {
            return part(values);
        }
        let length = rows.div_ceil(PARTS).next_multiple_of(ROWS) * width;
        let parts: Vec<Self> = values.par_chunks(length).map(part).collect();
        parts.iter().fold(Self::new(width), Self::with)
    }
    fn with(mut self, other: &Self) -> Self {
        for i in 0..self.low.len() {
            self.low[i] = self.low[i].min(other.low[i]);
            self.high[i] = self.high[i].max(other.high[i]);
            self.sum[i] += other.sum[i];
            self.square[i] += other.square[i];
        }
        self
    }
    /// Joins each `inner` neighbours.
    fn joined(&self, inner: usize) -> Self {
        Self {
            low: self.low.chunks(inner).map(|v| v.iter().copied().fold(f32::INFINITY, f32::min)).collect(),
            high: self
                .high
                .chunks(inner)
                .map(|v| v.iter().copied().fold(f32::NEG_INFINITY, f32::max))
                .collect(),
            sum: self.sum.chunks(inner).map(|v| v.iter().sum()).collect(),
            square: self.square.chunks(inner).map(|v| v.iter().sum()).collect(),
        }
    }
}

/// Statistics of some numbers of one channel.
struct Line {
    low: f32,
    high: f32,
    sum: f64,
    square: f64,
}

impl Default for Line {
    fn default() -> Self {
        Self { low: f32::INFINITY, high: f32::NEG_INFINITY, sum: 0.0, square: 0.0 }
    }
}

/// One channel: `outer` pieces of `inner` numbers that lie together.
struct Channel<'a> {
    values: &'a [f32],
    start: usize,
    step: usize,
    outer: usize,
    inner: usize,
}

impl WithSimd for Channel<'_> {
    type Output = Line;
    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> Line {
        let mut low = [f32::INFINITY; LANES];
        let mut high = [f32::NEG_INFINITY; LANES];
        let mut sum = [0f64; LANES];
        let mut square = [0f64; LANES];
        for o in 0..self.outer {
            let piece = &self.values[self.start + o * self.step..][..self.inner];
            let (chunks, rest) = piece.as_chunks::<LANES>();
            for chunk in chunks {
                for i in 0..LANES {
                    let x = chunk[i];
                    low[i] = smaller(x, low[i]);
                    high[i] = larger(x, high[i]);
                    let x = f64::from(x);
                    sum[i] += x;
                    square[i] += x * x;
                }
            }
            for (i, x) in rest.iter().enumerate() {
                low[i] = smaller(*x, low[i]);
                high[i] = larger(*x, high[i]);
                let x = f64::from(*x);
                sum[i] += x;
                square[i] += x * x;
            }
        }
        let mut line = Line::default();
        for i in 0..LANES {
            line.low = smaller(low[i], line.low);
            line.high = larger(high[i], line.high);
            line.sum += sum[i];
            line.square += square[i];
        }
        line
    }
}

/// Rows of numbers, each position of which is a channel.
struct Rows<'a> {
    values: &'a [f32],
    width: usize,
    sums: &'a mut Sums,
}

impl WithSimd for Rows<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let width = self.width;
        let Sums { low, high, sum, square } = self.sums;
        let all = || low.len().min(high.len()).min(sum.len()).min(square.len()).min(width);
        let width_all = all();
        let (low, high) = (&mut low[..width_all], &mut high[..width_all]);
        let (sum, square) = (&mut sum[..width_all], &mut square[..width_all]);
        let mut blocks = self.values.chunks_exact(width * ROWS);
        for block in &mut blocks {
            let (a, rest) = block.split_at(width);
            let (b, rest) = rest.split_at(width);
            let (c, d) = rest.split_at(width);
            let (a, b, c, d) = (&a[..width_all], &b[..width_all], &c[..width_all], &d[..width_all]);
            for i in 0..width_all {
                let least = smaller(smaller(a[i], b[i]), smaller(c[i], d[i]));
                let most = larger(larger(a[i], b[i]), larger(c[i], d[i]));
                low[i] = smaller(least, low[i]);
                high[i] = larger(most, high[i]);
                let (p, q) = (f64::from(a[i]), f64::from(b[i]));
                let (r, s) = (f64::from(c[i]), f64::from(d[i]));
                sum[i] += (p + q) + (r + s);
                square[i] += (p * p + q * q) + (r * r + s * s);
            }
        }
        for row in blocks.remainder().chunks_exact(width) {
            for i in 0..width_all {
                low[i] = smaller(row[i], low[i]);
                high[i] = larger(row[i], high[i]);
                let x = f64::from(row[i]);
                sum[i] += x;
                square[i] += x * x;
            }
        }
    }
}

#[inline(always)]
fn smaller(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919 + 13) % 2017) as f32 / 64.0 - 12.0).collect()
    }

    /// The plain meaning.
    fn plain(shape: &[usize], axis: usize, values: &[f32]) -> Channels {
        let mut all = Channels::new(axis, shape[axis]).expect("few channels");
        let inner: usize = shape[axis + 1..].iter().copied().fold(1, usize::saturating_mul);
        for (i, v) in values.iter().enumerate() {
            let c = i / inner % shape[axis];
            all.low[c] = all.low[c].min(*v);
            all.high[c] = all.high[c].max(*v);
            all.sum[c] += f64::from(*v);
            all.square[c] += f64::from(*v) * f64::from(*v);
        }
        all.count = (values.len() / shape[axis]) as u64;
        all
    }

    #[test]
    fn any_layout() {
        let shapes: &[(&[usize], usize)] = &[
            (&[2, 3, 5, 7], 1),
            (&[2, 5, 7, 3], 3),
            (&[3, 6, 2], 1),
            (&[7], 0),
            (&[1, 4, 3], 1),
            (&[4, 64, 64, 16], 3),
            (&[2, 32, 64, 64], 1),
            (&[130, 257, 5], 1),
            (&[2, 0, 3], 1),
        ];
        for (shape, axis) in shapes {
            let values = numbers(shape.iter().copied().fold(1, usize::saturating_mul));
            let mut all = Channels::new(*axis, shape[*axis]).expect("few channels");
            all.take_in(shape, &values, true);
            if values.is_empty() {
                assert!(all.is_empty());
                continue;
            }
            // The numbers are multiples of 1/64: sums are exact in any order.
            assert_eq!(all, plain(shape, *axis, &values), "{shape:?}");
            all.take_in(shape, &values, true);
            let mut twice = plain(shape, *axis, &values);
            twice.merge(&plain(shape, *axis, &values));
            assert_eq!(all, twice);
        }
    }

    #[test]
    fn averages() {
        let mut all = Channels::new(1, 2).expect("few channels");
        assert_eq!((all.mean(0), all.magnitude(0), all.mean(9)), (0.0, 0.0, 0.0));
        all.take_in(&[2, 2], &[1.0, -4.0, 3.0, 2.0], true);
        assert_eq!((all.mean(0), all.mean(1)), (2.0, -1.0));
        assert_eq!((all.magnitude(0), all.magnitude(1)), (3.0, 4.0));
        assert_eq!((all.mean_square(1), all.variance(1)), (10.0, 9.0));
        all.take_in(&[2, 3], &[9.0; 6], true);
        assert_eq!(all.count, 2);
    }

    #[test]
    fn infinities_are_zeros_in_sums() {
        let mut all = Channels::new(1, 2).expect("few channels");
        all.take_in(&[2, 2], &[f32::INFINITY, 1.0, 5.0, f32::NAN], false);
        assert_eq!((all.low.clone(), all.high.clone()), (vec![5.0, 1.0], vec![5.0, 1.0]));
        assert_eq!((all.sum.clone(), all.count), (vec![5.0, 1.0], 2));
        assert!(Channels::new(0, MOST_CHANNELS + 1).is_none());
    }

    #[test]
    fn the_same_bits_for_any_number_of_threads() {
        let values: Vec<f32> = (0..300_000).map(|i| (i as f32 * 0.37).sin()).collect();
        for (shape, axis) in [(&[3usize, 100, 1000][..], 1), (&[3000, 100], 1)] {
            let run = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
                let mut all = Channels::new(axis, 100).expect("few channels");
                pool.install(|| all.take_in(shape, &values, true));
                all
            };
            assert_eq!(run(1), run(3));
        }
    }
}
