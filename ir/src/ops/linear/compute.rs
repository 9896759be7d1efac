//! Floating-point types that operators compute in, and the way from tensors to slices and back.
use crate::dtype::DType;
use crate::kernel::{KernelError, Real};
use crate::op::OpError;
use crate::ops::words::Layout;
use crate::tensor::convert::Wide;
use crate::tensor::{Element, Tensor, TensorError};
use rayon::prelude::*;
use std::borrow::Cow;

/// Elements from which on independent outputs are spread over threads.
pub(crate) const PARALLEL: usize = 1 << 16;

/// `f32` (which also stands for the 16-bit floats) or `f64`.
pub(crate) trait Compute: Real + Element + std::ops::Sub<Output = Self> + std::iter::Sum {
    /// Elements of `t`: borrowed when they have this type, else converted.
    fn read(t: &Tensor) -> Result<Cow<'_, [Self]>, TensorError>;
    /// Elements of `t`, in its own storage when nothing else shares it.
    fn own(t: Tensor) -> Result<Vec<Self>, TensorError> {
        if t.dtype() == Self::DTYPE { t.into_vec() } else { Ok(Self::read(&t)?.into_owned()) }
    }
    /// A tensor of `dtype`; values are rounded once where it is narrower.
    fn tensor(dtype: DType, shape: &[usize], values: Vec<Self>) -> Result<Tensor, TensorError>;
    /// Nearest value.
    fn from_f64(v: f64) -> Self;
    /// The value as `f64`.
    fn to_f64(self) -> f64;
}

impl Compute for f32 {
    fn read(t: &Tensor) -> Result<Cow<'_, [Self]>, TensorError> {
        t.to_f32s()
    }
    fn tensor(dtype: DType, shape: &[usize], values: Vec<Self>) -> Result<Tensor, TensorError> {
        fitting(shape, values.len())?;
        if dtype == DType::F32 {
            return Ok(Tensor::from_vec(shape, values));
        }
        Tensor::from_wide(dtype, shape, &Wide::F32(values), false)
    }
    fn from_f64(v: f64) -> Self {
        v as Self
    }
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

impl Compute for f64 {
    fn read(t: &Tensor) -> Result<Cow<'_, [Self]>, TensorError> {
        if t.dtype() == DType::F64 { t.view() } else { Ok(Cow::Owned(t.to_f64s()?)) }
    }
    fn tensor(dtype: DType, shape: &[usize], values: Vec<Self>) -> Result<Tensor, TensorError> {
        fitting(shape, values.len())?;
        if dtype == DType::F64 {
            return Ok(Tensor::from_vec(shape, values));
        }
        Tensor::from_wide(dtype, shape, &Wide::F64(values), false)
    }
    fn from_f64(v: f64) -> Self {
        v
    }
    fn to_f64(self) -> f64 {
        self
    }
}

fn fitting(shape: &[usize], len: usize) -> Result<(), TensorError> {
    if crate::tensor::element_count(shape) == Some(len) {
        return Ok(());
    }
    Err(TensorError::Shape(format!("{len} values do not fill shape {shape:?}")))
}

impl From<KernelError> for OpError {
    fn from(e: KernelError) -> Self {
        Self::eval(e.to_string())
    }
}

/// Number of elements of `shape`.
///
/// # Errors
/// When it does not fit the address space.
pub(crate) fn count(shape: &[usize]) -> Result<usize, OpError> {
    Ok(crate::tensor::element_count(shape).ok_or_else(|| TensorError::TooLarge(shape.to_vec()))?)
}

/// A vector of `n` zeros.
///
/// # Errors
/// When there is no memory for it.
pub(crate) fn zeros<T: bytemuck::Zeroable + Copy>(n: usize) -> Result<Vec<T>, OpError> {
    if n.checked_mul(size_of::<T>()).is_none_or(|b| isize::try_from(b).is_err()) {
        return Err(OpError::new("E0307", format!("{n} elements exceed the address space")));
    }
    Ok(vec![T::zeroed(); n])
}

/// Exchanges the two inner axes of `[outer, rows, cols]` data.
pub(crate) fn swap_axes<T: Copy + Send + Sync + bytemuck::Zeroable>(
    x: &[T],
    rows: usize,
    cols: usize,
) -> Vec<T> {
    const TILE: usize = 16;
    let mut out = vec![T::zeroed(); x.len()];
    let plane = rows * cols;
    if plane == 0 {
        return out;
    }
    let one = |(x, out): (&[T], &mut [T])| {
        for r0 in (0..rows).step_by(TILE) {
            for (c, line) in out.chunks_exact_mut(rows).enumerate() {
                let last = (r0 + TILE).min(rows);
                for (r, o) in line[r0..last].iter_mut().enumerate() {
                    *o = x[(r0 + r) * cols + c];
                }
            }
        }
    };
    if x.len() < PARALLEL {
        x.chunks_exact(plane).zip(out.chunks_exact_mut(plane)).for_each(one);
    } else {
        x.par_chunks_exact(plane).zip(out.par_chunks_exact_mut(plane)).for_each(one);
    }
    out
}

/// Channels-first sizes of data of these sizes in `layout`.
pub(crate) fn channels_first_sizes(shape: &[usize], layout: Layout) -> Vec<usize> {
    layout.to_channels_first(shape.len()).into_iter().map(|a| shape[a]).collect()
}

/// Sizes in `layout` of data of these channels-first sizes.
pub(crate) fn layout_sizes(shape: &[usize], layout: Layout) -> Vec<usize> {
    layout.from_channels_first(shape.len()).into_iter().map(|a| shape[a]).collect()
}

/// Brings data of channels-first sizes `shape` from `layout` to channels first.
pub(crate) fn to_channels_first<'a, T: Copy + Send + Sync + bytemuck::Zeroable>(
    x: Cow<'a, [T]>,
    shape: &[usize],
    layout: Layout,
) -> Cow<'a, [T]> {
    let (channels, pixels) = planes(shape);
    if layout == Layout::ChannelsFirst || channels == 1 || pixels == 1 {
        return x;
    }
    Cow::Owned(swap_axes(&x, pixels, channels))
}

/// Brings channels-first data of channels-first sizes `shape` to `layout`.
pub(crate) fn from_channels_first<T: Copy + Send + Sync + bytemuck::Zeroable>(
    x: Vec<T>,
    shape: &[usize],
    layout: Layout,
) -> Vec<T> {
    let (channels, pixels) = planes(shape);
    if layout == Layout::ChannelsFirst || channels == 1 || pixels == 1 {
        return x;
    }
    swap_axes(&x, channels, pixels)
}

/// Channels and pixels of channels-first sizes.
fn planes(shape: &[usize]) -> (usize, usize) {
    let pixels = shape.get(2..).unwrap_or_default().iter().product();
    (shape.get(1).copied().unwrap_or(1), pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_round_trip() {
        let x: Vec<u16> = (0..2 * 3 * 20 * 2).collect();
        let shape = [2, 3, 20, 2];
        let last = from_channels_first(x.clone(), &shape, Layout::ChannelsLast);
        assert_eq!(last[..4], [0, 40, 80, 1]);
        assert_eq!(*to_channels_first(Cow::Owned(last), &shape, Layout::ChannelsLast), x);
    }
}
