//! Operators of the family `signal`.
pub mod dft;
mod fft;
pub mod mel_weight_matrix;
pub mod stft;
pub mod window;

use crate::dtype::{DType, DTypeSet};
use crate::op::OpError;
use crate::ops::linear::compute::Compute;
use crate::tensor::convert::Wide;
use crate::tensor::{Tensor, TensorError};
use fft::C64;

/// Type of counts: `i32` or `i64`.
const COUNT: DTypeSet = crate::dtype::INDEX;

/// Most elements of a window or filter: they are computed in double precision, whatever the result's width.
const LARGEST: usize = 1 << 27;

/// Number `i` of data whose last axis holds one number (real) or two (real and imaginary part).
fn complex<T: Compute>(values: &[T], i: usize, parts: usize) -> C64 {
    match values[i * parts..][..parts] {
        [re, im] => C64::new(re.to_f64(), im.to_f64()),
        [re, ..] => C64::new(re.to_f64(), 0.0),
        [] => C64::default(),
    }
}

fn not_complex() -> OpError {
    OpError::shape("the last axis must have size 1 (real numbers) or 2 (real and imaginary parts)")
}

/// Zeros for the elements of a window or filter.
fn room(elements: usize) -> Result<Vec<f64>, OpError> {
    if elements > LARGEST {
        return Err(OpError::new(
            "E0307",
            format!("{elements} elements are more than the {LARGEST} that are computed"),
        ));
    }
    Ok(vec![0.0; elements])
}

/// A tensor of `dtype` from double precision, rounded once; for integers truncated, as in `cast`.
fn narrowed(dtype: DType, shape: &[usize], values: Vec<f64>) -> Result<Tensor, TensorError> {
    if dtype == DType::F64 {
        return f64::tensor(dtype, shape, values);
    }
    Tensor::from_wide(dtype, shape, &Wide::F64(values), false)
}
