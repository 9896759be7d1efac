//! Smallest and largest number of a slice, and how many of it are zero or not finite.
use pulp::{Arch, Simd, WithSimd};

/// What a pass over numbers finds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Extremes {
    /// Smallest finite number; infinity where there is none.
    pub low: f32,
    /// Largest finite number; minus infinity where there is none.
    pub high: f32,
    /// Finite numbers.
    pub count: u64,
    /// Zeros of either sign.
    pub zeros: u64,
    /// Infinities and what is no number.
    pub others: u64,
}

impl Default for Extremes {
    fn default() -> Self {
        Self { low: f32::INFINITY, high: f32::NEG_INFINITY, count: 0, zeros: 0, others: 0 }
    }
}

impl Extremes {
    /// Those of `values`.
    pub(super) fn of(values: &[f32]) -> Self {
        let arch = Arch::new();
        values.chunks(BLOCK).fold(Self::default(), |all, block| all.with(arch.dispatch(Scan(block))))
    }
    /// Those of both.
    pub(super) fn with(self, other: Self) -> Self {
        Self {
            low: self.low.min(other.low),
            high: self.high.max(other.high),
            count: self.count + other.count,
            zeros: self.zeros + other.zeros,
            others: self.others + other.others,
        }
    }
    /// Whether a finite number was seen.
    pub(super) fn any(&self) -> bool {
        self.low <= self.high
    }
    fn add(&mut self, x: f32) {
        if x.is_finite() {
            self.low = self.low.min(x);
            self.high = self.high.max(x);
            self.count += 1;
            self.zeros += u64::from(x == 0.0);
        } else {
            self.others += 1;
        }
    }
}

/// Numbers that are read at a time; counts of a block fit 32 bits.
pub(super) const BLOCK: usize = 1 << 13;
/// Numbers that are compared independently of each other.
const LANES: usize = 16;
/// Bits of infinity; larger ones are no number.
const INFINITE: u32 = 0x7f80_0000;

struct Scan<'a>(&'a [f32]);

impl WithSimd for Scan<'_> {
    type Output = Extremes;
    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> Extremes {
        let (chunks, rest) = self.0.as_chunks::<LANES>();
        let mut low = [f32::INFINITY; LANES];
        let mut high = [f32::NEG_INFINITY; LANES];
        let mut largest = [0u32; LANES];
        let mut zeros = [0u32; LANES];
        for chunk in chunks {
            for i in 0..LANES {
                let x = chunk[i];
                let bits = x.to_bits() & !(1 << 31);
                low[i] = if x < low[i] { x } else { low[i] };
                high[i] = if x > high[i] { x } else { high[i] };
                largest[i] = largest[i].max(bits);
                zeros[i] += u32::from(bits == 0);
            }
        }
        let mut all = Extremes::default();
        if largest.iter().any(|l| *l >= INFINITE) {
            for x in self.0 {
                all.add(*x);
            }
            return all;
        }
        for i in 0..LANES {
            all.low = all.low.min(low[i]);
            all.high = all.high.max(high[i]);
            all.zeros += u64::from(zeros[i]);
        }
        all.count = (chunks.len() * LANES) as u64;
        for x in rest {
            all.add(*x);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_blocks_and_rests() {
        for n in [0usize, 1, 15, 16, 17, 1000, BLOCK, BLOCK + 5, 3 * BLOCK + 33] {
            let values: Vec<f32> = (0..n).map(|i| ((i * 7919) % 1013) as f32 - 500.0).collect();
            let all = Extremes::of(&values);
            assert_eq!(all.count, n as u64);
            assert_eq!(all.any(), n > 0);
            assert_eq!(all.low, values.iter().copied().fold(f32::INFINITY, f32::min));
            assert_eq!(all.high, values.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            assert_eq!(all.zeros, values.iter().filter(|v| **v == 0.0).count() as u64);
        }
    }

    #[test]
    fn what_is_not_finite_is_counted_apart() {
        for at in [0usize, 5, 16, 40] {
            let mut values = vec![1.0f32; 41];
            values[at] = f32::NEG_INFINITY;
            values[(at + 1) % 41] = f32::NAN;
            values[(at + 2) % 41] = -0.0;
            let all = Extremes::of(&values);
            assert_eq!((all.low, all.high, all.others, all.zeros, all.count), (0.0, 1.0, 2, 1, 39));
        }
        let mut values = vec![1.0f32; 41];
        values[7] = f32::INFINITY;
        let all = Extremes::of(&values);
        assert_eq!((all.low, all.high, all.others, all.count), (1.0, 1.0, 1, 40));
        let none = Extremes::of(&[f32::NAN, f32::INFINITY]);
        assert!(!none.any());
        assert_eq!((none.count, none.others), (0, 2));
    }
}
