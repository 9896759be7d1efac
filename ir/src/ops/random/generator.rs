//! Random numbers by position: draw `i` of a seed is a function of both alone.
//!
//! The function is the output step of `SplitMix64` (G. Steele, D. Lea, C. Flood: "Fast splittable pseudorandom number generators",
//! 2014) on a state that advances by the golden ratio. Logarithm and cosine are those of the crate `libm`, which are the same bits on
//! every machine.
use crate::ops::linear::compute::PARALLEL;
use rayon::prelude::*;

/// `2^64` divided by the golden ratio, odd.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Numbers of one seed.
#[derive(Clone, Copy, Debug)]
pub struct Generator {
    key: u64,
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Generator {
    /// The generator of an integer seed; 0 when absent.
    pub fn of_int(seed: Option<i64>) -> Self {
        // Mixed, so that neighbouring seeds share no stretch of their numbers.
        Self { key: mix((seed.unwrap_or(0) as u64).wrapping_add(GOLDEN)) }
    }
    /// The generator of the bits of a float seed; 0 when absent.
    pub fn of_float(seed: Option<f32>) -> Self {
        Self::of_int(seed.map(|s| i64::from(s.to_bits())))
    }
    /// Draw `i`: 64 random bits.
    pub fn bits(self, i: usize) -> u64 {
        mix(self.key.wrapping_add(GOLDEN.wrapping_mul((i as u64).wrapping_add(1))))
    }
    /// Draw `i` as a number that is evenly distributed over `0 <= u < 1`, a multiple of `2^-53`.
    pub fn uniform(self, i: usize) -> f64 {
        (self.bits(i) >> 11) as f64 * f64::EPSILON / 2.0
    }
    /// Draws `2 * i` and `2 * i + 1` as a number with the standard normal distribution (G. Box, M. Muller, 1958).
    pub fn normal(self, i: usize) -> f64 {
        let i = i.wrapping_mul(2);
        let radius = (-2.0 * libm::log(1.0 - self.uniform(i))).sqrt();
        radius * libm::cos(2.0 * std::f64::consts::PI * self.uniform(i.wrapping_add(1)))
    }
}

/// `count` values by position, on several threads when they are many.
pub fn fill<T: Send>(count: usize, value: impl Fn(usize) -> T + Sync + Send) -> Vec<T> {
    if count < PARALLEL {
        return (0..count).map(value).collect();
    }
    (0..count).into_par_iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_what_they_are() {
        // SplitMix64 of state 0, from its published reference.
        let zero = Generator { key: 0 };
        assert_eq!([zero.bits(0), zero.bits(1)], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
        let g = Generator::of_float(Some(2.0));
        assert_ne!(g.bits(0), Generator::of_float(None).bits(0));
        assert_eq!(Generator::of_int(None).bits(5), Generator::of_int(Some(0)).bits(5));
    }

    #[test]
    fn distributions_have_their_moments() {
        let (g, n) = (Generator::of_int(Some(7)), 100_000);
        let moments = |v: &[f64]| {
            let mean = v.iter().sum::<f64>() / n as f64;
            (mean, v.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n as f64)
        };
        let u = fill(n, |i| g.uniform(i));
        assert!(u.iter().all(|v| (0.0..1.0).contains(v)));
        let (m, v) = moments(&u);
        assert!((m - 0.5).abs() < 5e-3 && (v - 1.0 / 12.0).abs() < 2e-3, "{m} {v}");
        let (m, v) = moments(&fill(n, |i| g.normal(i)));
        assert!(m.abs() < 0.015 && (v - 1.0).abs() < 0.02, "{m} {v}");
    }
}
