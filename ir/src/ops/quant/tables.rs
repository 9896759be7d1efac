//! Operators on 8-bit integers that depend on one element: tables of 256 results.
use super::requantize::{Affine, PIECE, byte_tensor, of_byte, rounded};
use crate::dtype::DType;
use crate::op::OpError;
use crate::tensor::Tensor;
use rayon::prelude::*;

/// The result's byte for each byte of the operand.
pub(super) type Table = [u8; 256];

/// The byte of `v` in steps of `y`: `saturate(round(v / scale) + zero)`.
pub(super) fn quantized(v: f32, y: Affine, dtype: DType) -> u8 {
    let q = v / y.scale;
    if dtype == DType::I8 { rounded::<i8>(q, y.zero as f32) as u8 } else { rounded::<u8>(q, y.zero as f32) }
}

/// The table of `quantize(f(dequantize(x)))` for operand and result of `dtype`, computed in `f32`.
pub(super) fn table(dtype: DType, x: Affine, y: Affine, f: impl Fn(f32) -> f32) -> Table {
    std::array::from_fn(|i| quantized(f(x.real(of_byte(dtype, i as u8))), y, dtype))
}

/// The elements of `x` looked up.
pub(super) fn look_up(x: &Tensor, table: &Table) -> Result<Tensor, OpError> {
    let mut bytes = x.raw_u8()?.into_owned();
    let piece = |part: &mut [u8]| part.iter_mut().for_each(|b| *b = table[usize::from(*b)]);
    if bytes.len() < PIECE {
        piece(&mut bytes);
    } else {
        bytes.par_chunks_mut(PIECE).for_each(piece);
    }
    Ok(byte_tensor(x.dtype(), x.shape(), bytes))
}

/// `x` in other steps: `saturate(round((x - zero) * scale / other_scale) + other_zero)`; untouched when they are the same.
pub(super) fn restep(x: &Tensor, from: Affine, to: Affine) -> Result<Tensor, OpError> {
    if from == to {
        return Ok(x.clone());
    }
    look_up(x, &table(x.dtype(), from, to, |v| v))
}
