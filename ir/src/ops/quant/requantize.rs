//! Operands of quantized operators (scales and zero points), and integers brought back to 8 bits.
use crate::dim::Dim;
use crate::dtype::DType;
use crate::eval::EvalCx;
use crate::infer::InferCx;
use crate::kernel::integer::Byte;
use crate::op::OpError;
use crate::ops::elementwise::broadcast::vectorized;
use crate::tensor::{Element, Tensor};
use pulp::NullaryFnOnce;

/// Elements that a thread requantizes at a time.
pub(super) const PIECE: usize = 1 << 15;

/// 8-bit integers as results.
pub(super) trait Quantized: Byte + Element {
    /// The value in range that is nearest to a whole number; NaN gives the smallest.
    fn saturate(v: f32) -> Self;
}

impl Quantized for u8 {
    #[expect(clippy::inline_always, reason = "part of vector loops")]
    #[expect(clippy::manual_clamp, reason = "NaN becomes the smallest value")]
    #[inline(always)]
    fn saturate(v: f32) -> Self {
        v.max(0.0).min(255.0) as Self
    }
}

impl Quantized for i8 {
    #[expect(clippy::inline_always, reason = "part of vector loops")]
    #[expect(clippy::manual_clamp, reason = "NaN becomes the smallest value")]
    #[inline(always)]
    fn saturate(v: f32) -> Self {
        v.max(-128.0).min(127.0) as Self
    }
}

/// `saturate(round(v) + zero)`, rounded to nearest even.
#[expect(clippy::inline_always, reason = "part of vector loops")]
#[inline(always)]
pub(super) fn rounded<Q: Quantized>(v: f32, zero: f32) -> Q {
    Q::saturate(v.round_ties_even() + zero)
}

/// Scales of neighbouring elements.
#[derive(Clone, Copy)]
pub(super) enum Scales<'a> {
    /// One for all.
    One(f32),
    /// One each.
    Each(&'a [f32]),
}

/// The loop of [`requantize`].
struct Row<'a, Q> {
    sums: &'a [i32],
    bias: i32,
    scales: Scales<'a>,
    zero: f32,
    out: &'a mut [Q],
}

impl<Q: Quantized> NullaryFnOnce for Row<'_, Q> {
    type Output = ();
    #[expect(clippy::inline_always, reason = "a call would keep the loop from becoming vector code")]
    #[inline(always)]
    fn call(self) {
        let Row { sums, bias, scales, zero, out } = self;
        let one = |sum: i32, scale: f32| rounded::<Q>(sum.wrapping_add(bias) as f32 * scale, zero);
        match scales {
            Scales::One(scale) => out.iter_mut().zip(sums).for_each(|(o, s)| *o = one(*s, scale)),
            Scales::Each(scales) => {
                out.iter_mut().zip(sums.iter().zip(scales)).for_each(|(o, (s, scale))| *o = one(*s, *scale));
            }
        }
    }
}

/// `saturate(round((sum + bias) * scale) + zero)` for each sum: the sum wraps in 32 bits and is rounded to `f32`, the product is
/// rounded to `f32`, then to the nearest integer, ties to even.
pub(super) fn requantize<Q: Quantized>(
    sums: &[i32],
    bias: i32,
    scales: Scales<'_>,
    zero: f32,
    out: &mut [Q],
) {
    vectorized(Row { sums, bias, scales, zero, out });
}

fn surely_many(shape: Option<&crate::types::Shape>) -> bool {
    shape.is_some_and(|s| s.len() > 1 || s.first().is_some_and(|d| d.known().is_some_and(|n| n != 1)))
}

/// Refuses operands `which` that surely are not one number.
pub(super) fn check_scalars(cx: &InferCx<'_>, which: &[usize]) -> Result<(), OpError> {
    for &i in which.iter().filter(|i| cx.has(**i)) {
        if surely_many(cx.shape(i)?) {
            return Err(OpError::shape(format!("operand {i} (a scale or zero point) is not one number")));
        }
    }
    Ok(())
}

/// Refuses operands `which` that surely are neither one number nor one for each of `count` positions.
pub(super) fn check_vectors(cx: &InferCx<'_>, which: &[usize], count: &Dim) -> Result<(), OpError> {
    for &i in which.iter().filter(|i| cx.has(**i)) {
        let Some(shape) = cx.shape(i)? else { continue };
        let fits = match shape.as_slice() {
            [] => true,
            [n] => n.known() == Some(1) || !n.surely_differs(count),
            _ => false,
        };
        if !fits {
            let m =
                format!("operand {i} (a scale or zero point) is not one number or one for each of {count}");
            return Err(OpError::shape(m));
        }
    }
    Ok(())
}

/// The single number of a scale operand.
pub(super) fn scale(cx: &EvalCx<'_>, i: usize) -> Result<f32, OpError> {
    match *cx.tensor(i)?.to_f32s()? {
        [v] => Ok(v),
        _ => Err(OpError::shape(format!("operand {i} (a scale) is not one number"))),
    }
}

/// The single number of a zero point operand; 0 when it is absent.
pub(super) fn zero(cx: &EvalCx<'_>, i: usize) -> Result<i32, OpError> {
    let Some(t) = cx.opt(i)? else { return Ok(0) };
    let value = t.as_int().and_then(|v| i32::try_from(v).ok());
    value.ok_or_else(|| OpError::shape(format!("operand {i} (a zero point) is not one number")))
}

/// Numbers of a scale operand: one, or one for each of `count` positions.
pub(super) fn scales(cx: &EvalCx<'_>, i: usize, count: usize) -> Result<Vec<f32>, OpError> {
    let values = cx.tensor(i)?.to_f32s()?.into_owned();
    if values.len() == 1 || values.len() == count {
        return Ok(values);
    }
    Err(OpError::shape(format!("{} scales for {count} positions", values.len())))
}

/// A scale with its zero point.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Affine {
    /// Size of a step.
    pub scale: f32,
    /// The integer that stands for 0.
    pub zero: i32,
}

impl Affine {
    /// Operands `i` (scale) and `i + 1` (zero point).
    pub fn of(cx: &EvalCx<'_>, i: usize) -> Result<Self, OpError> {
        Ok(Self { scale: scale(cx, i)?, zero: zero(cx, i + 1)? })
    }
    /// The number that `q` stands for.
    pub fn real(self, q: i32) -> f32 {
        (q - self.zero) as f32 * self.scale
    }
}

/// The integers of an 8-bit type in the order of their bytes.
pub(super) fn of_byte(dtype: DType, byte: u8) -> i32 {
    if dtype == DType::I8 { i32::from(byte as i8) } else { i32::from(byte) }
}

/// A tensor of `dtype`, `i8` or `u8`, from the bytes of its elements.
pub(super) fn byte_tensor(dtype: DType, shape: &[usize], bytes: Vec<u8>) -> Tensor {
    if dtype == DType::I8 {
        Tensor::from_vec::<i8>(shape, bytemuck::allocation::cast_vec(bytes))
    } else {
        Tensor::from_vec(shape, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_to_even_before_the_zero_point_and_saturation() {
        let sums = [1, 3, 5, -3, 1000, -1000];
        let mut out = [0u8; 6];
        requantize(&sums, 0, Scales::One(0.5), 5.0, &mut out);
        assert_eq!(out, [5, 7, 7, 3, 255, 0]);
        let mut out = [0i8; 6];
        requantize(&sums, 1, Scales::Each(&[1.0, 0.5, 0.25, 1.0, 1.0, f32::NAN]), 0.0, &mut out);
        assert_eq!(out, [2, 2, 2, -2, 127, -128]);
    }
}
