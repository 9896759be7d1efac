//! Complex tensors as pairs of real ones, for operators that are linear in their data.
use crate::dtype::DType;
use crate::tensor::convert::Wide;
use crate::tensor::{Tensor, TensorError};
use num_complex::Complex;

/// Real and imaginary parts, in double precision.
///
/// # Errors
/// When `x` is not complex.
pub(super) fn split(x: &Tensor) -> Result<[Tensor; 2], TensorError> {
    let Wide::C128(values) = x.widen()? else {
        return Err(TensorError::DType { what: "real and imaginary parts", dtype: x.dtype() });
    };
    let part = |f: fn(&Complex<f64>) -> f64| Tensor::from_vec(x.shape(), values.iter().map(f).collect());
    Ok([part(|v| v.re), part(|v| v.im)])
}

/// A tensor of `dtype` from its parts.
///
/// # Errors
/// When their number does not fit `shape`.
pub(super) fn join(dtype: DType, shape: &[usize], re: &[f64], im: &[f64]) -> Result<Tensor, TensorError> {
    let values = re.iter().zip(im).map(|(re, im)| Complex::new(*re, *im)).collect();
    Tensor::from_wide(dtype, shape, &Wide::C128(values), false)
}
