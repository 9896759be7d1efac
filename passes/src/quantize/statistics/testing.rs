//! Numbers of known distributions.

/// Uniform numbers in [0, 1) of a linear congruential generator.
pub(super) fn uniform(n: usize) -> Vec<f32> {
    let mut state = 12345u64;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    (0..n).map(|_| next()).collect()
}

/// Numbers of mean 0 and variance 1, by Box and Muller's formula.
pub(super) fn normal(n: usize) -> Vec<f32> {
    let both = |p: &[f32]| {
        let r = (-2.0 * (1.0 - p[0]).ln()).sqrt();
        r * (std::f32::consts::TAU * p[1]).cos()
    };
    uniform(2 * n).chunks(2).map(both).collect()
}

/// Numbers of density `exp(-|x|) / 2`.
pub(super) fn laplace(n: usize) -> Vec<f32> {
    let one = |p: &[f32]| -(1.0 - p[0]).ln() * if p[1] < 0.5 { -1.0 } else { 1.0 };
    uniform(2 * n).chunks(2).map(one).collect()
}
