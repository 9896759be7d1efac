//! Numbers on a grid, computed while they are read.
use super::super::convert::{f8_kind, pack};
use super::super::numeric::encode_f8;
use super::super::{Sizes, Storage, Tensor, TensorError, element_count};
use super::{Lazy, channels, inner_size, read_part};
use crate::dtype::DType;

impl Tensor {
    /// Lazy [`Lazy::Quantize`] to `dtype` with a scale per position of `axis`.
    ///
    /// # Errors
    /// When the operand, the parameters or `dtype` do not fit.
    pub fn quantize_channels(
        &self,
        scales: Vec<f32>,
        zero_points: Vec<i32>,
        axis: usize,
        dtype: DType,
    ) -> Result<Self, TensorError> {
        channels(self, axis, scales.len())?;
        self.quantize(scales, zero_points, (axis, 0), dtype)
    }
    /// Lazy [`Lazy::Quantize`] to `dtype` with a scale per `block` positions of `axis`, for each position of the other axes.
    ///
    /// # Errors
    /// When the operand, the parameters or `dtype` do not fit.
    pub fn quantize_blocks(
        &self,
        scales: Vec<f32>,
        zero_points: Vec<i32>,
        axis: usize,
        block: usize,
        dtype: DType,
    ) -> Result<Self, TensorError> {
        let mut shape: Sizes = self.shape().into();
        let size = shape.get_mut(axis).filter(|_| block > 0 && self.dtype() == DType::F32);
        let bad = || TensorError::Shape(format!("blocks of {block} along axis {axis} of {}", self.ty()));
        let size = size.ok_or_else(bad)?;
        *size = size.div_ceil(block);
        if element_count(&shape) != Some(scales.len()) {
            return Err(bad());
        }
        self.quantize(scales, zero_points, (axis, block), dtype)
    }
    /// The packed bytes of this tensor as `u8` elements of `shape`.
    ///
    /// # Errors
    /// When the shape has not as many elements as there are bytes, and for strings.
    pub fn packed_bytes(&self, shape: &[usize]) -> Result<Self, TensorError> {
        if let Storage::Lazy(_) = self.storage() {
            if element_count(shape) != Some(self.byte_len()) {
                return Err(TensorError::Shape(format!(
                    "{} bytes are not of shape {shape:?}",
                    self.byte_len()
                )));
            }
            return Self::from_lazy(DType::U8, shape, Lazy::Reshape { x: self.clone() });
        }
        Self::from_bytes(DType::U8, shape, self.to_shared_bytes()?, None)
    }
    /// Lazy [`Lazy::Dequantize`]: `axis` has one scale per position, or, where `block` is not 0, one per block for each position of the other axes. One scale without an axis
    /// is for all.
    ///
    /// # Errors
    /// When the operand or the parameters do not fit.
    pub fn dequantize(
        &self,
        scales: Vec<f32>,
        zero_points: Vec<f32>,
        axis: Option<usize>,
        block: usize,
    ) -> Result<Self, TensorError> {
        let Some(axis) = axis else {
            let flat = self.reshape(&[1, self.len()])?;
            return flat.dequantize(scales, zero_points, Some(0), 0)?.reshape(self.shape());
        };
        let mut shape: Sizes = self.shape().into();
        let bad =
            || TensorError::Shape(format!("{} scales along axis {axis} of {}", scales.len(), self.ty()));
        let size = shape.get_mut(axis).ok_or_else(bad)?;
        let count = if block == 0 {
            Some(*size)
        } else {
            *size = size.div_ceil(block);
            element_count(&shape)
        };
        if count != Some(scales.len()) || zero_points.len() != scales.len() {
            return Err(bad());
        }
        let dtype = self.dtype();
        if !(dtype.is_int() && dtype.bits() <= 32 || f8_kind(dtype).is_some()) {
            return Err(TensorError::DType { what: "dequantization while reading", dtype });
        }
        let x = self.clone();
        Self::from_lazy(DType::F32, self.shape(), Lazy::Dequantize { x, scales, zero_points, axis, block })
    }
    fn quantize(
        &self,
        scales: Vec<f32>,
        zero_points: Vec<i32>,
        (axis, block): (usize, usize),
        dtype: DType,
    ) -> Result<Self, TensorError> {
        let float = f8_kind(dtype).is_some() && dtype != DType::F8E8M0 && zero_points.iter().all(|z| *z == 0);
        let int = dtype.is_int() && dtype.bits() <= 8;
        if zero_points.len() != scales.len() || !(int || float) {
            return Err(TensorError::DType { what: "quantization while reading", dtype });
        }
        let x = self.clone();
        Self::from_lazy(dtype, self.shape(), Lazy::Quantize { x, scales, zero_points, axis, block })
    }
}

/// Fills `out` with the bytes of quantized `x` from byte `start` on.
pub(super) fn read(
    this: &Tensor,
    x: &Tensor,
    (scales, zero_points): (&[f32], &[i32]),
    (axis, block): (usize, usize),
    start: usize,
    out: &mut [u8],
) -> Result<(), TensorError> {
    let per = 8 / this.dtype().bits() as usize;
    let first = start * per;
    let count = (out.len() * per).min(this.len().saturating_sub(first));
    let part = read_part(x, first, count)?;
    let scale_of = places(this, axis, block);
    let encode = encoder(this.dtype());
    let code = |(i, v): (usize, &f32)| {
        let c = scale_of(first + i);
        encode(v / scales[c], zero_points[c])
    };
    let part = part.view::<f32>()?;
    if per == 1 {
        out.iter_mut().zip(part.iter().enumerate().map(code)).for_each(|(o, c)| *o = c);
    } else {
        out.copy_from_slice(&pack(part.iter().enumerate().map(code), this.dtype().bits()));
    }
    Ok(())
}

/// Which scale each element of `t` has.
fn places(t: &Tensor, axis: usize, block: usize) -> impl Fn(usize) -> usize {
    let (size, inner) = (t.shape()[axis], inner_size(t, axis));
    let blocks = size.div_ceil(block.max(1));
    move |i| match block {
        0 => i / inner % size,
        _ => (i / inner / size * blocks + i / inner % size / block) * inner + i % inner,
    }
}

/// Fills `out` with the `f32` numbers that `x` stands for, from byte `start` on.
pub(super) fn read_real(
    this: &Tensor,
    x: &Tensor,
    (scales, zero_points): (&[f32], &[f32]),
    (axis, block): (usize, usize),
    start: usize,
    out: &mut [u8],
) -> Result<(), TensorError> {
    const WIDTH: usize = 4;
    if !start.is_multiple_of(WIDTH) || !out.len().is_multiple_of(WIDTH) {
        return Err(TensorError::Shape("lazy tensors are read in whole elements".to_owned()));
    }
    let (first, count) = (start / WIDTH, out.len() / WIDTH);
    // Elements that share a byte are read together.
    let per = (8 / x.dtype().bits() as usize).max(1);
    let (before, width) = (first % per, (x.dtype().bits() as usize / 8).max(1));
    let elements = (before + count).next_multiple_of(per).min(x.len() - (first - before));
    let mut bytes = vec![0; elements.div_ceil(per) * width];
    x.read_bytes((first - before) / per * width, &mut bytes)?;
    let part = Tensor::from_bytes(x.dtype(), &[elements], bytes.into(), None)?;
    let scale_of = places(this, axis, block);
    let values = part.to_f32s()?;
    for (i, (v, o)) in values.iter().skip(before).zip(out.chunks_exact_mut(WIDTH)).enumerate() {
        let c = scale_of(first + i);
        o.copy_from_slice(&((v - zero_points[c]) * scales[c]).to_le_bytes());
    }
    Ok(())
}

/// Added to and taken off a number below 2^22, this leaves the nearest integer.
const ROUND: f32 = 12_582_912.0;

/// What gives the stored bits for a number of steps and a zero point: `saturate(round_half_even(v) + zero_point)` for integers (ONNX `QuantizeLinear`).
fn encoder(dtype: DType) -> impl Fn(f32, i32) -> u8 {
    let kind = f8_kind(dtype);
    let (low, high) = dtype.int_range().map_or((0.0, 0.0), |(l, h)| (l as f32, h as f32));
    move |v: f32, zero: i32| match kind {
        Some(kind) => encode_f8(v, kind, true),
        // The nearest integer, halves to even; larger numbers leave the range anyway.
        None => (((v + ROUND) - ROUND) + zero as f32).clamp(low, high) as i32 as u8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(t: &Tensor, step: usize) -> Vec<u8> {
        let mut out = vec![0; t.byte_len()];
        for (i, piece) in out.chunks_mut(step).enumerate() {
            t.read_bytes(i * step, piece).expect("in range");
        }
        out
    }

    #[test]
    fn two_elements_share_a_byte() {
        let x = Tensor::from_vec(&[3, 3], vec![0.5f32, 1.0, -1.0, 7.0, 8.0, -9.0, 3.0, -0.5, 1.5]);
        let scales = vec![0.5, 1.0, 1.0, 1.0, 1.0, 0.5];
        let q = x.quantize_blocks(scales, vec![0, 0, 0, 1, 0, 0], 0, 2, DType::I4).expect("fits");
        let want = [1i64, 1, -1, 7, 7, -8, 4, 0, 3];
        assert_eq!((q.to_i64s().expect("integers"), q.byte_len()), (want.to_vec(), 5));
        assert_eq!(pieces(&q, 1), pieces(&q, 5));
        let flat = q.reshape(&[9]).expect("same count");
        assert_eq!((flat.to_i64s().expect("integers"), pieces(&flat, 2)), (want.to_vec(), pieces(&q, 5)));
        let real = q
            .dequantize(vec![0.5, 1.0, 2.0, 1.0, 1.0, 0.5], vec![1.0, 0.0, 0.0, 1.0, 0.0, 0.0], Some(0), 2)
            .expect("fits");
        assert_eq!(real.to_f64s().expect("floats"), [0.0, 1.0, -2.0, 3.0, 7.0, -16.0, 3.0, 0.0, 1.5]);
        assert_eq!(pieces(&real, 4), pieces(&real, 12));
        let one = q.dequantize(vec![0.5], vec![1.0], None, 0).expect("fits");
        assert_eq!(one.to_f64s().expect("floats")[..3], [0.0, 0.0, -1.0]);
        assert!(q.dequantize(vec![0.5; 3], vec![1.0; 3], Some(0), 2).is_err(), "two blocks for each column");
        let turned = q.permute(&[1, 0]).expect("valid");
        assert_eq!(
            (turned.dtype(), turned.to_i64s().expect("integers")),
            (DType::I4, vec![1, 7, 4, 1, 7, 0, -1, -8, 3])
        );
        let raw = q.packed_bytes(&[5, 1]).expect("five bytes");
        assert_eq!((raw.dtype(), raw.bytes().expect("read")), (DType::U8, q.bytes().expect("read")));
        assert!(q.packed_bytes(&[9]).is_err());
        let f = x.quantize_channels(vec![0.25, 0.5, 1.0], vec![0; 3], 1, DType::F8E4M3FN).expect("fits");
        assert_eq!(f.to_f64s().expect("floats"), [2.0, 2.0, -1.0, 28.0, 16.0, -9.0, 12.0, -1.0, 1.5]);
        assert!(
            x.quantize_blocks(vec![1.0; 3], vec![0; 3], 0, 2, DType::I4).is_err(),
            "two blocks for each column"
        );
    }
}
