//! Helpers of the kernels' tests.

/// Deterministic noise (a 64-bit linear congruential generator, multiplier of Knuth's MMIX).
pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as u32
    }

    /// Numbers in [-1, 1).
    pub(crate) fn floats<T: FromF64>(&mut self, n: usize) -> Vec<T> {
        (0..n).map(|_| T::from_f64(f64::from(self.next() % 20000) / 10000.0 - 1.0)).collect()
    }

    pub(crate) fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next() as u8).collect()
    }
}

pub(crate) trait FromF64 {
    fn from_f64(x: f64) -> Self;
}

impl FromF64 for f64 {
    fn from_f64(x: f64) -> Self {
        x
    }
}

impl FromF64 for f32 {
    fn from_f64(x: f64) -> Self {
        x as f32
    }
}

pub(crate) fn assert_close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "element {i}: {a} instead of {b}");
    }
}

/// The result of `f`, after checking that pools of 1, 2 and 4 threads agree.
pub(crate) fn same_on_any_threads<R: PartialEq + std::fmt::Debug + Send>(f: impl Fn() -> R + Sync) -> R {
    let run = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(&f);
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(4));
    one
}

/// The instruction sets that this machine has, the portable one first.
pub(crate) fn every_arch() -> Vec<pulp::Arch> {
    #[cfg(not(target_arch = "x86_64"))]
    return vec![pulp::Arch::Scalar, pulp::Arch::new()];
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = pulp::x86::V3::try_new().map(pulp::Arch::V3);
        [Some(pulp::Arch::Scalar), avx2, Some(pulp::Arch::new())].into_iter().flatten().collect()
    }
}
