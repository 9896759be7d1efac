//! `SplitMix64` (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).

/// A stream of random numbers.
pub(super) struct SplitMix64(u64);

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl SplitMix64 {
    /// Stream number `stream` of `seed`.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut mixed = Self(seed);
        let mut start = mixed.next();
        start ^= Self(stream.wrapping_add(1).wrapping_mul(GAMMA)).next();
        Self(start)
    }
    /// 64 random bits.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// A number in `0..n`, by the high half of a 128-bit product; `n` is at least 1.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }
    /// A number of mean 0 and variance 1 without any function whose last bit depends on the platform: four uniform 16-bit numbers,
    /// each of variance `(2^32 - 1) / 12`, summed and centred.
    pub(super) fn normal(&mut self) -> f64 {
        let bits = self.next();
        let sum: u64 = (0..4).map(|i| (bits >> (16 * i)) & 0xffff).sum();
        (sum as f64 - 131_070.0) * (3f64.sqrt() / 65_536.0)
    }
}

#[cfg(test)]
mod tests {
    use super::SplitMix64;

    #[test]
    fn known_stream() {
        // First outputs for state 1234567, from the reference implementation.
        let mut r = SplitMix64(1_234_567);
        assert_eq!(r.next(), 6_457_827_717_110_365_317);
        assert_eq!(r.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn moments() {
        let mut r = SplitMix64::new(7, 0);
        let v: Vec<f64> = (0..100_000).map(|_| r.normal()).collect();
        let mean = v.iter().sum::<f64>() / 1e5;
        let variance = v.iter().map(|x| x * x).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
        assert!(v.iter().all(|x| x.abs() < 3.47));
    }

    #[test]
    fn below_stays_below() {
        let mut r = SplitMix64::new(1, 2);
        let v: Vec<u64> = (0..1000).map(|_| r.below(5)).collect();
        assert!((0..5).all(|k| v.contains(&k)) && v.iter().all(|x| *x < 5));
    }
}
