//! Floating-point element types and their vectors.

use bytemuck::Pod;
use pulp::Simd;

/// A float that kernels compute in: `f32` or `f64`.
pub trait Real:
    Copy
    + Default
    + PartialOrd
    + Send
    + Sync
    + std::fmt::Debug
    + std::ops::Add<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::Div<Output = Self>
    + Pod
{
    /// The number 0.
    const ZERO: Self;
    /// The number 1.
    const ONE: Self;
    /// The vector of `Self` in instruction set `S`.
    type Vector<S: Simd>: Pod;
    /// Splits a slice into whole vectors and the rest.
    fn vectors<S: Simd>(slice: &[Self]) -> (&[Self::Vector<S>], &[Self]);
    /// A vector with `x` in every lane.
    fn splat<S: Simd>(simd: S, x: Self) -> Self::Vector<S>;
    /// `a * b + c` per lane with one rounding.
    fn fused<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>, c: Self::Vector<S>)
    -> Self::Vector<S>;
    /// `self * b + c` with one rounding.
    #[must_use]
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// `|self| ^ p`.
    #[must_use]
    fn abs_pow(self, p: u32) -> Self;
    /// The `p`-th root of a non-negative number.
    #[must_use]
    fn root(self, p: u32) -> Self;
    /// Nearest float to a count.
    fn from_count(n: usize) -> Self;
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    type Vector<S: Simd> = S::f32s;
    #[inline(always)]
    fn vectors<S: Simd>(slice: &[Self]) -> (&[S::f32s], &[Self]) {
        S::as_simd_f32s(slice)
    }
    #[inline(always)]
    fn splat<S: Simd>(simd: S, x: Self) -> S::f32s {
        simd.splat_f32s(x)
    }
    #[inline(always)]
    fn fused<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
        simd.mul_add_f32s(a, b, c)
    }
    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        f32::mul_add(self, b, c)
    }
    fn abs_pow(self, p: u32) -> Self {
        abs_pow(f64::from(self), p) as f32
    }
    fn root(self, p: u32) -> Self {
        root(f64::from(self), p) as f32
    }
    fn from_count(n: usize) -> Self {
        n as f32
    }
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    type Vector<S: Simd> = S::f64s;
    #[inline(always)]
    fn vectors<S: Simd>(slice: &[Self]) -> (&[S::f64s], &[Self]) {
        S::as_simd_f64s(slice)
    }
    #[inline(always)]
    fn splat<S: Simd>(simd: S, x: Self) -> S::f64s {
        simd.splat_f64s(x)
    }
    #[inline(always)]
    fn fused<S: Simd>(simd: S, a: S::f64s, b: S::f64s, c: S::f64s) -> S::f64s {
        simd.mul_add_f64s(a, b, c)
    }
    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        f64::mul_add(self, b, c)
    }
    fn abs_pow(self, p: u32) -> Self {
        abs_pow(self, p)
    }
    fn root(self, p: u32) -> Self {
        root(self, p)
    }
    fn from_count(n: usize) -> Self {
        n as f64
    }
}

/// `|x| ^ p` by multiplication for the usual small powers.
fn abs_pow(x: f64, p: u32) -> f64 {
    match p {
        1 => x.abs(),
        2 => x * x,
        _ => x.abs().powi(i32::try_from(p).unwrap_or(i32::MAX)),
    }
}

/// `p`-th root.
fn root(x: f64, p: u32) -> f64 {
    match p {
        1 => x,
        2 => x.sqrt(),
        _ => x.powf(1.0 / f64::from(p)),
    }
}

/// An output element into which blocks of products, computed in `T`, are added.
pub(crate) trait Accumulate<T>: Copy + Send + Sync + Default {
    /// `out[i] += alpha * sums[i]` over the shorter length.
    fn accumulate(out: &mut [Self], sums: &[T], alpha: T);
    /// `out[i] = start + sums[i]` over the shorter length.
    fn store(out: &mut [Self], sums: &[T], start: Self);
}

impl<T: Real> Accumulate<T> for T {
    #[inline(always)]
    fn accumulate(out: &mut [T], sums: &[T], alpha: T) {
        for (o, &s) in out.iter_mut().zip(sums) {
            *o = Real::mul_add(alpha, s, *o);
        }
    }
    #[inline(always)]
    fn store(out: &mut [T], sums: &[T], start: T) {
        for (o, &s) in out.iter_mut().zip(sums) {
            *o = start + s;
        }
    }
}

/// Integer sums that are exact in `f32` (magnitude below 2^24) added with wrap-around.
impl Accumulate<f32> for i32 {
    #[inline(always)]
    fn accumulate(out: &mut [i32], sums: &[f32], _alpha: f32) {
        for (o, &s) in out.iter_mut().zip(sums) {
            *o = o.wrapping_add(s as i32);
        }
    }
    #[inline(always)]
    fn store(out: &mut [i32], sums: &[f32], start: i32) {
        for (o, &s) in out.iter_mut().zip(sums) {
            *o = start.wrapping_add(s as i32);
        }
    }
}

/// Element types of integer matrix products and convolutions.
pub trait Byte: Copy + Send + Sync + Default {
    /// The value as a 32-bit integer.
    fn widen(self) -> i32;
}

impl Byte for u8 {
    #[inline(always)]
    fn widen(self) -> i32 {
        i32::from(self)
    }
}

impl Byte for i8 {
    #[inline(always)]
    fn widen(self) -> i32 {
        i32::from(self)
    }
}
