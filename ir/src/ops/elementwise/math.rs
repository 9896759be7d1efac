//! Elementary functions of `f32` without branches, so that loops over them become vector code.
//!
//! They use only operations that IEEE 754 defines exactly, never a fused multiply-add: results are the same on every machine.
//! Polynomials are least-squares fits, weighted towards least relative error, that were made for these ranges.
#![expect(clippy::inline_always, reason = "a call would keep the loop around it from becoming vector code")]

/// Value at `x` of the polynomial with these coefficients, highest power first.
#[inline(always)]
fn poly<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[0];
    let mut i = 1;
    while i < N {
        sum = sum * x + coefficients[i];
        i += 1;
    }
    sum
}

/// `(exp(r) - 1 - r) / r^2` for `|r| <= ln(2) / 2`, within 1.3e-7.
const EXP: [f32; 5] = [0.0013901284, 0.008363146, 0.041666854, 0.16666578, 0.5];
/// `log(1 + e) / e` for `0 <= e <= 1`, within 5e-9.
const LOG1P: [f32; 10] = [
    -0.0032439807,
    0.019851262,
    -0.05695916,
    0.10603617,
    -0.1530557,
    0.19675931,
    -0.24954133,
    0.33329964,
    -0.49999902,
    1.0,
];
/// `erf(z) / z` as a polynomial in `z^2` for `z <= ERF_SPLIT`, within 9e-9.
const ERF_SMALL: [f32; 6] =
    [-0.00062032527, 0.005032181, -0.026791463, 0.11282455, -0.3761255, std::f32::consts::FRAC_2_SQRT_PI];
/// `(1 + z) exp(z^2) erfc(z)` as a polynomial in `(z - 1.5) / (z + 1.5)` for `ERF_SPLIT <= z <= 10.3`, within 1.1e-8.
const ERFCX: [f32; 8] = [
    0.0025622374,
    -0.0026081032,
    -0.009327707,
    0.001245283,
    0.052410774,
    -0.021625135,
    -0.2624156,
    0.80396354,
];
const ERF_SPLIT: f32 = 0.875;

/// Adding and subtracting it rounds a number below `2^22` to the nearest integer, which its low bits then hold.
const ROUND: f32 = 12_582_912.0;
/// `ln(2)` in two parts; the first has so few bits that multiples of it are exact.
const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];

/// `n` and `exp(r) - 1` with `x = n ln(2) + r`, for `|x|` of at most some hundreds.
#[inline(always)]
fn split_exp(x: f32) -> (i32, f32) {
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN2[0]) - n * LN2[1];
    let count = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    (count, r + r * r * poly(r, EXP))
}

/// `2^n` for `-126 <= n <= 127`.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// `a` where `first`, else `b`. A plain `if` would move the computation of either behind a branch.
#[inline(always)]
fn choose(first: bool, a: f32, b: f32) -> f32 {
    let mask = u32::from(first).wrapping_neg();
    f32::from_bits((a.to_bits() & mask) | (b.to_bits() & !mask))
}

/// `x`, but not above `high`; NaN stays.
#[inline(always)]
fn at_most(x: f32, high: f32) -> f32 {
    if x > high { high } else { x }
}

/// `x` moved into `low..=high`; NaN stays.
#[inline(always)]
fn bounded(x: f32, low: f32, high: f32) -> f32 {
    at_most(if x < low { low } else { x }, high)
}

/// `e^x`.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let (n, p) = split_exp(bounded(x, -105.0, 90.0));
    // Two factors: one alone overflows where the result does not, and would be lost where the result is subnormal.
    let half = n >> 1;
    (1.0 + p) * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// `e^x - 1` for `x <= 88`.
#[inline(always)]
pub fn exp_m1(x: f32) -> f32 {
    let (n, p) = split_exp(bounded(x, -40.0, 88.0));
    let scale = power_of_two(n);
    // -0.0 must stay, and the sum would lose it.
    if x == 0.0 { x } else { scale * p + (scale - 1.0) }
}

/// Hyperbolic tangent.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let e = exp_m1(2.0 * at_most(x.abs(), 10.0));
    (e / (e + 2.0)).copysign(x)
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    let top = if x < 0.0 { e } else { 1.0 };
    top / (1.0 + e)
}

/// `log(1 + e^x)`.
#[inline(always)]
pub fn softplus(x: f32) -> f32 {
    let e = exp(-x.abs());
    let base = if x < 0.0 { 0.0 } else { x };
    base + e * poly(e, LOG1P)
}

/// `x tanh(softplus(x))`, as `x n / (n + 2)` with `n = e^x (e^x + 2)`.
#[inline(always)]
pub fn mish(x: f32) -> f32 {
    let e = exp(bounded(x, -105.0, 20.0));
    let n = e * (e + 2.0);
    if x > 20.0 { x } else { x * (n / (n + 2.0)) }
}

/// `erf(z)` for `0 <= z <= ERF_SPLIT`.
#[inline(always)]
fn erf_small(z: f32) -> f32 {
    z * poly(z * z, ERF_SMALL)
}

/// `1 - erf(z)` for `ERF_SPLIT <= z <= 11` from `z` and `z^2 = square + rest`.
#[inline(always)]
fn erfc_large(z: f32, square: f32, rest: f32) -> f32 {
    let t = (z - 1.5) / (z + 1.5);
    exp(-square) * (1.0 - rest) * poly(t, ERFCX) / (1.0 + z)
}

/// `x^2` as a rounded product and what the rounding lost (Dekker, "A floating-point technique for extending the available
/// precision", 1971).
#[inline(always)]
fn square_exactly(x: f32) -> (f32, f32) {
    let product = x * x;
    let high = f32::from_bits(x.to_bits() & 0xffff_f000);
    let low = x - high;
    (product, (high * high - product) + 2.0 * high * low + low * low)
}

/// Error function.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let z = x.abs();
    let inside = at_most(z, 5.0);
    let large = 1.0 - erfc_large(inside, inside * inside, 0.0);
    choose(z <= ERF_SPLIT, erf_small(z), large).copysign(x)
}

/// `x / 2 (1 + erf(x / sqrt(2)))`, without the cancellation that this form has for negative `x`.
#[inline(always)]
pub fn gelu(x: f32) -> f32 {
    let m = at_most(x.abs(), 15.0);
    let (square, rest) = square_exactly(m);
    let large = erfc_large(m * std::f32::consts::FRAC_1_SQRT_2, 0.5 * square, 0.5 * rest);
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let complement = choose(z <= ERF_SPLIT, 1.0 - erf_small(z), large);
    0.5 * x * if x < 0.0 { complement } else { 2.0 - complement }
}

/// `x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`, as `x sigmoid(2 sqrt(2 / pi) (...))`.
#[inline(always)]
pub fn gelu_tanh(x: f32) -> f32 {
    const SCALE: f32 = 1.595_769;
    x * sigmoid(SCALE * x * (1.0 + 0.044_715 * x * x))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest distance in units of the last place between `f` and the rounded `exact`, over a grid of `low..=high`.
    fn worst(f: fn(f32) -> f32, exact: fn(f64) -> f64, low: f32, high: f32) -> f64 {
        let steps = 200_000u32;
        let error = |i: u32| {
            let x = low + (high - low) * (i as f32 / steps as f32);
            let (y, e) = (f64::from(f(x)), exact(f64::from(x)));
            let ulp = f64::from((e as f32).abs().next_up() - (e as f32).abs());
            (y - e).abs() / ulp
        };
        (0..=steps).map(error).fold(0.0, f64::max)
    }
    fn exact_sigmoid(x: f64) -> f64 {
        1.0 / (1.0 + libm::exp(-x))
    }
    fn exact_gelu(x: f64) -> f64 {
        0.5 * x * libm::erfc(-x / std::f64::consts::SQRT_2)
    }
    fn exact_gelu_tanh(x: f64) -> f64 {
        let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
        x * exact_sigmoid(2.0 * u)
    }
    fn exact_softplus(x: f64) -> f64 {
        x.max(0.0) + libm::log1p(libm::exp(-x.abs()))
    }

    #[test]
    fn functions_are_close_to_double_precision() {
        let cases: [(&str, f64, f64); 10] = [
            ("exp", worst(exp, libm::exp, -103.0, 88.7), 1.5),
            ("exp_m1", worst(exp_m1, libm::expm1, -20.0, 80.0), 2.5),
            ("tanh", worst(tanh, libm::tanh, -10.0, 10.0), 3.0),
            ("sigmoid", worst(sigmoid, exact_sigmoid, -80.0, 80.0), 3.0),
            ("softplus", worst(softplus, exact_softplus, -80.0, 80.0), 3.0),
            ("mish", worst(mish, |x| x * libm::tanh(exact_softplus(x)), -40.0, 40.0), 4.0),
            ("erf", worst(erf, libm::erf, -5.0, 5.0), 2.5),
            ("gelu", worst(gelu, exact_gelu, -12.0, 12.0), 8.0),
            ("gelu_tanh, body", worst(gelu_tanh, exact_gelu_tanh, -1.0, 8.0), 6.0),
            ("gelu_tanh, vanishing tail", worst(gelu_tanh, exact_gelu_tanh, -4.0, -1.0), 40.0),
        ];
        let bad: Vec<_> = cases.iter().filter(|c| c.1.is_nan() || c.1 > c.2).collect();
        assert!(bad.is_empty(), "(function, ulp, allowed): {bad:?} of {cases:?}");
    }

    #[test]
    fn limits() {
        let inf = f32::INFINITY;
        assert_eq!((exp(inf), exp(-inf), exp(89.0), exp(-104.0)), (inf, 0.0, inf, 0.0));
        assert_eq!((tanh(inf), tanh(-inf), erf(inf), erf(-inf)), (1.0, -1.0, 1.0, -1.0));
        assert_eq!((sigmoid(inf), sigmoid(-inf), softplus(inf), softplus(-inf)), (1.0, 0.0, inf, 0.0));
        assert_eq!((exp_m1(-inf), gelu(inf), gelu_tanh(inf), mish(inf)), (-1.0, inf, inf, inf));
        for f in [exp, exp_m1, tanh, sigmoid, softplus, mish, erf, gelu, gelu_tanh] {
            assert!(f(f32::NAN).is_nan());
        }
        for f in [exp_m1, tanh, erf, gelu, gelu_tanh, mish] {
            assert!(f(-0.0) == 0.0 && f(-0.0).is_sign_negative());
        }
    }
}
