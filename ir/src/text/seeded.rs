//! Reproducible pseudo-random tensors.
use crate::dtype::DType;
use crate::tensor::convert::Wide;
use crate::tensor::{Tensor, TensorError, element_count};
use num_complex::Complex;

/// Output `i` of the `SplitMix64` generator (Steele, Lea and Flood, 2014) started at `seed`.
fn splitmix(seed: u64, i: u64) -> u64 {
    let mut z = seed.wrapping_add(i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The four 16-bit parts of `z` added up, centred and scaled to a standard deviation of about 0.1: nearly normal, within ±0.35,
/// and the same on every machine.
fn bell(z: u64) -> f64 {
    let sum: u64 = (0..4).map(|k| (z >> (16 * k)) & 0xffff).sum();
    (sum as f64 - 131_070.0) / 65_536.0 * 0.173
}

/// A tensor whose element `i` depends on `seed` and `i` alone. With `z` the output `i` of `SplitMix64`: floats are the sum of the
/// 16-bit parts of `z`, scaled to about normal with deviation 0.1; signed integers lie in -8..8 and unsigned ones in 0..16, or in
/// the type's range if that is smaller; `bool` is the highest bit; texts are `s0` to `s15`; powers of two (`f8e8m0`) are 1/8 to 1.
///
/// # Errors
/// When the shape has too many elements.
pub fn seeded(dtype: DType, shape: &[usize], seed: u64) -> Result<Tensor, TensorError> {
    let n = element_count(shape).ok_or_else(|| TensorError::TooLarge(shape.to_vec()))?;
    let raw = |i: usize| splitmix(seed, i as u64);
    let bits = dtype.bits().min(4);
    let wide = if dtype.is_signed_int() {
        let half = 1i64 << (bits.max(1) - 1);
        Wide::I64((0..n).map(|i| (raw(i) >> (64 - bits)) as i64 - half).collect())
    } else if dtype.is_unsigned_int() {
        Wide::U64((0..n).map(|i| raw(i) >> (64 - bits)).collect())
    } else if dtype.is_complex() {
        Wide::C128((0..n).map(|i| Complex::new(bell(raw(2 * i)), bell(raw(2 * i + 1)))).collect())
    } else {
        match dtype {
            DType::Bool => Wide::I64((0..n).map(|i| (raw(i) >> 63) as i64).collect()),
            DType::String => Wide::Str((0..n).map(|i| format!("s{}", raw(i) >> 60)).collect()),
            DType::F8E8M0 => Wide::F32((0..n).map(|i| 1.0 / (1u64 << (raw(i) >> 62)) as f32).collect()),
            DType::F64 => Wide::F64((0..n).map(|i| bell(raw(i))).collect()),
            _ => Wide::F32((0..n).map(|i| bell(raw(i)) as f32).collect()),
        }
    };
    Tensor::from_wide(dtype, shape, &wide, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_splitmix64() {
        // First outputs for seed 1234567 as published with the reference code.
        assert_eq!(splitmix(1234567, 0), 6457827717110365317);
        assert_eq!(splitmix(1234567, 1), 3203168211198807973);
    }

    #[test]
    fn floats_are_spread_as_documented() {
        let t = seeded(DType::F64, &[10_000], 1).expect("small").to_f64s().expect("floats");
        let mean = t.iter().sum::<f64>() / 1e4;
        let deviation = (t.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1e4).sqrt();
        assert!(mean.abs() < 0.005 && (deviation - 0.1).abs() < 0.005, "{mean} {deviation}");
    }

    #[test]
    fn every_type_has_content_that_differs_by_seed() {
        for d in DType::all() {
            let (a, b) = (seeded(d, &[64], 1).expect("ok"), seeded(d, &[64], 2).expect("ok"));
            assert!(a == seeded(d, &[64], 1).expect("ok") && a != b, "{d}");
        }
        let i = seeded(DType::I64, &[1000], 3).expect("ok").to_i64s().expect("ints");
        assert_eq!((i.iter().min(), i.iter().max()), (Some(&-8), Some(&7)));
    }
}
