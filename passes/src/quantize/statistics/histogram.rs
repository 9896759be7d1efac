//! A histogram of fixed size over a range that grows.
//!
//! Bin `i` holds the numbers in `[i, i + 1) * 2^exponent`. The exponent is the smallest with which zero and all numbers seen lie in at most
//! [`BINS`] bins; when it grows, neighbours are joined. So the histogram depends on the numbers alone, never on their order, and every number
//! is counted exactly once. At least about half of the bins are in use.
use super::extremes::{BLOCK, Extremes};
use pulp::{Arch, Simd, WithSimd};

/// Bins; a power of two.
pub(super) const BINS: usize = 1 << 12;
/// Smallest exponent: the inverse of the width is a normal `f32`.
const LEAST: i32 = -126;
/// Tables that count alternately, so that equal neighbours do not wait for each other.
const TABLES: usize = 4;
/// Numbers that are placed at a time: so many that compilers use vectors and no registers.
const LANES: usize = 256;
/// Adding it to an integer of small magnitude leaves that integer in the lowest bits.
const SHIFT: f32 = 12_582_912.0;
/// Blocks after which a count of 16 bits may be full.
const MOST_BLOCKS: usize = (1 << 16) / BLOCK - 1;

/// The histogram. Only finite numbers are taken in.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Histogram {
    exponent: i32,
    /// Numbers of the first and the last bin in use.
    first: i32,
    last: i32,
    /// Count of bin `i` at `i` modulo [`BINS`].
    counts: Box<[u64]>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { exponent: LEAST, first: 0, last: 0, counts: vec![0; BINS].into() }
    }
}

/// The bins in use, from the lowest on.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Bins {
    /// Width of each.
    pub width: f64,
    /// Lower end of the first, which is `first * width`.
    pub first: i32,
    /// Numbers in each.
    pub counts: Vec<u64>,
}

impl Histogram {
    /// Takes in `values`; returns their extremes.
    pub(super) fn take_in(&mut self, values: &[f32]) -> Extremes {
        let mut all = Extremes::default();
        let arch = Arch::new();
        let mut tables = Tables::new(if values.len() < BINS { 1 } else { TABLES });
        for (i, block) in values.chunks(BLOCK).enumerate() {
            let before = all;
            let seen = Extremes::of(block);
            all = all.with(seen);
            if !seen.any() {
                continue;
            }
            let exponent = self.exponent_with(all);
            let wider = exponent != self.exponent;
            if wider || (i > 0 && i % MOST_BLOCKS == 0) {
                self.add(&mut tables);
            }
            if wider {
                self.cover(before);
                self.widen(exponent);
            }
            let inverse = scale(-exponent);
            if seen.others == 0 {
                arch.dispatch(Place { values: block, inverse, tables: &mut tables });
            } else {
                block.iter().filter(|v| v.is_finite()).for_each(|v| tables.count(place(*v, inverse)));
            }
        }
        self.add(&mut tables);
        self.cover(all);
        all
    }
    /// Bins of twice the width until the exponent is `exponent`.
    fn widen(&mut self, exponent: i32) {
        let by = (exponent - self.exponent).clamp(0, 31);
        let old = std::mem::replace(&mut self.counts, vec![0; BINS].into());
        for i in self.first..=self.last {
            self.counts[slot(i >> by)] += old[slot(i)];
        }
        (self.first, self.last) = (self.first >> by, self.last >> by);
        self.exponent = exponent;
    }
    fn add(&mut self, tables: &mut Tables) {
        for table in &mut tables.0 {
            for (sum, count) in self.counts.iter_mut().zip(table.iter_mut()) {
                *sum += u64::from(std::mem::take(count));
            }
        }
    }
    /// Uses the bins of these extremes.
    fn cover(&mut self, seen: Extremes) {
        if seen.any() {
            let inverse = scale(-self.exponent);
            self.first = self.first.min(bin(seen.low, inverse));
            self.last = self.last.max(bin(seen.high, inverse));
        }
    }
    /// The smallest exponent that also has room for these extremes.
    fn exponent_with(&self, seen: Extremes) -> i32 {
        let ends = |e: i32| (bin(seen.low, scale(-e)), bin(seen.high, scale(-e)));
        self.fitting(exponent(seen.low, seen.high).max(self.exponent), &ends)
    }
    /// The smallest exponent from `least` on with which the bins in use and those from the first to the second of `ends` are few enough.
    fn fitting(&self, least: i32, ends: &dyn Fn(i32) -> (i32, i32)) -> i32 {
        let mut e = least;
        loop {
            let (own, other) = (self.ends(e), ends(e));
            if own.1.max(other.1) - own.0.min(other.0) < BINS as i32 {
                return e;
            }
            e += 1;
        }
    }
    /// The first and the last bin in use, once the exponent is `exponent`.
    fn ends(&self, exponent: i32) -> (i32, i32) {
        let by = (exponent - self.exponent).clamp(0, 31);
        (self.first >> by, self.last >> by)
    }
    /// Takes in all that `other` counts.
    pub(super) fn merge(&mut self, other: &Self) {
        let ends = |e: i32| other.ends(e);
        let exponent = self.fitting(self.exponent.max(other.exponent), &ends);
        self.widen(exponent);
        let by = (exponent - other.exponent).clamp(0, 31);
        for i in other.first..=other.last {
            self.counts[slot(i >> by)] += other.counts[slot(i)];
        }
        self.first = self.first.min(other.first >> by);
        self.last = self.last.max(other.last >> by);
    }
    /// The bins from the one of the smallest number, or of zero, to that of the largest.
    pub(super) fn bins(&self) -> Bins {
        Bins {
            width: f64::from(scale(self.exponent)),
            first: self.first,
            counts: (self.first..=self.last).map(|i| self.counts[slot(i)]).collect(),
        }
    }
}

/// `2^exponent`.
fn scale(exponent: i32) -> f32 {
    f32::from_bits(((exponent + 127).clamp(1, 254) as u32) << 23)
}

/// Where bin `i` is counted.
fn slot(i: i32) -> usize {
    i as usize % BINS
}

/// The smallest exponent with which zero, `low` and `high` lie in at most [`BINS`] bins.
fn exponent(low: f32, high: f32) -> i32 {
    let (low, high) = (f64::from(low).min(0.0), f64::from(high).max(0.0));
    let span = high - low;
    if span == 0.0 {
        return LEAST;
    }
    // The exponent of the span, which is a normal f64.
    let magnitude = ((span.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    let mut e = (magnitude - BINS.ilog2() as i32).max(LEAST);
    let fits = |e: i32| {
        let inverse = 2f64.powi(-e);
        (high * inverse).floor() - (low * inverse).floor() < BINS as f64
    };
    while !fits(e) {
        e += 1;
    }
    e
}

/// Number of the bin of `x`.
fn bin(x: f32, inverse: f32) -> i32 {
    (f64::from(x) * f64::from(inverse)).floor() as i32
}

/// Where `x` is counted, modulo [`BINS`].
#[inline(always)]
fn place(x: f32, inverse: f32) -> u32 {
    // What lies below zero stays there however small it becomes.
    let most = if x < 0.0 { -f32::MIN_POSITIVE } else { f32::INFINITY };
    let x = x * inverse;
    let x = if x < most { x } else { most };
    (x.floor() + SHIFT).to_bits()
}

/// Counts that are added to those of a histogram later.
struct Tables(Vec<[u16; BINS]>);

impl Tables {
    fn new(tables: usize) -> Self {
        Self(vec![[0; BINS]; tables])
    }
    fn count(&mut self, at: u32) {
        if let Some(table) = self.0.first_mut() {
            table[at as usize % BINS] += 1;
        }
    }
    #[inline(always)]
    fn count_all(&mut self, at: &[u32]) {
        let (fours, rest) = at.as_chunks::<TABLES>();
        match self.0.as_mut_slice() {
            [a, b, c, d] => {
                for four in fours {
                    a[four[0] as usize % BINS] += 1;
                    b[four[1] as usize % BINS] += 1;
                    c[four[2] as usize % BINS] += 1;
                    d[four[3] as usize % BINS] += 1;
                }
                for i in rest {
                    a[*i as usize % BINS] += 1;
                }
            }
            [one, ..] => at.iter().for_each(|i| one[*i as usize % BINS] += 1),
            [] => {}
        }
    }
}

/// Counts finite numbers.
struct Place<'a> {
    values: &'a [f32],
    inverse: f32,
    tables: &'a mut Tables,
}

impl WithSimd for Place<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let mut padded = [0.0; LANES];
        let mut at = [0; LANES];
        for chunk in self.values.chunks(LANES) {
            let numbers: &[f32; LANES] = if let Ok(whole) = chunk.try_into() {
                whole
            } else {
                padded[..chunk.len()].copy_from_slice(chunk);
                &padded
            };
            for i in 0..LANES {
                at[i] = place(numbers[i], self.inverse);
            }
            self.tables.count_all(&at[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::uniform;
    use super::*;

    fn of(values: &[f32]) -> Histogram {
        let mut h = Histogram::default();
        h.take_in(values);
        h
    }
    /// Counts every number by itself, with the bins of `h`.
    fn check(values: &[f32]) {
        let bins = of(values).bins();
        let mut plain = vec![0u64; bins.counts.len()];
        for v in values.iter().filter(|v| v.is_finite()) {
            plain[((f64::from(*v) / bins.width).floor() as i64 - i64::from(bins.first)) as usize] += 1;
        }
        assert!(bins.counts == plain);
        assert!(bins.counts.len() <= BINS);
    }

    #[test]
    fn counts_are_exact() {
        let unit = uniform(50_000);
        check(&unit);
        check(&unit.iter().map(|x| x * 7.3 - 2.1).collect::<Vec<_>>());
        check(&unit.iter().enumerate().map(|(i, x)| x * 2f32.powi(i as i32 / 400 - 60)).collect::<Vec<_>>());
        check(&unit.iter().map(|x| (x - 0.5) * 1e-40).collect::<Vec<_>>());
        check(&unit.iter().map(|x| (x - 0.5) * f32::MAX).collect::<Vec<_>>());
        check(&[f32::MAX, -f32::MAX, 1.0, -1e-30, 1e-30, f32::NAN, f32::INFINITY]);
        check(&[-0.0, 0.0, 0.0]);
        check(&[5.0; 3]);
        check(&vec![-5.0; 9000]);
        check(&[]);
        check(&unit[..17]);
    }

    #[test]
    fn order_and_division_do_not_matter() {
        let values: Vec<f32> =
            uniform(30_000).iter().enumerate().map(|(i, x)| (x - 0.4) * 1.001f32.powi(i as i32)).collect();
        let whole = of(&values);
        let mut backwards = values.clone();
        backwards.reverse();
        assert!(of(&backwards) == whole);
        for at in [0, 1, 1000, 29_000] {
            let (a, b) = values.split_at(at);
            let (mut h, other) = (of(a), of(b));
            h.merge(&other);
            assert!(h == whole, "{at}");
            let mut h = other;
            h.merge(&of(a));
            assert!(h == whole, "{at}");
            let mut h = of(a);
            h.take_in(b);
            assert!(h == whole, "{at}");
        }
    }

    #[test]
    fn opposite_ranges_join() {
        for below in [-1.0, -0.99, -0.3] {
            let (a, b) = (uniform(1000), uniform(1000).iter().map(|x| x * below).collect::<Vec<_>>());
            let whole = of(&[a.clone(), b.clone()].concat());
            let (mut h, mut other) = (of(&a), of(&b));
            h.merge(&other);
            other.merge(&of(&a));
            let mut one = of(&a);
            one.take_in(&b);
            assert!(h == whole && other == whole && one == whole, "{below}");
        }
    }

    #[test]
    fn half_of_the_bins_are_in_use() {
        for high in [0.3f32, 1.0, 1.5, 1.99, 2.0, 3e9] {
            let used = of(&[0.0, high]).bins().counts.len();
            assert!(used > BINS / 2 && used <= BINS, "{high}: {used}");
        }
    }
}
