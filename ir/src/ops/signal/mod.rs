//! Operators of the family `signal`.
pub mod dft;
mod fft;
pub mod mel_weight_matrix;
pub mod stft;
pub mod window;
mod window_expansion;

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

#[cfg(test)]
mod tests {
    use super::dft::Dft;
    use super::mel_weight_matrix::MelWeightMatrix;
    use super::stft::Stft;
    use super::window::HannWindow;
    use crate::dtype::DType;
    use crate::ops::linear::testing::{assert_near, eval, f32s, infer, infer_with, iota, shapes};
    use crate::tensor::Tensor;

    #[test]
    fn spectra_of_symbolic_signals() {
        let op = Dft { onesided: true, ..Dft::default() };
        let of = |op: &Dft, types: &[&str]| infer(op, &shapes(types)).map(|t| t[0].to_string());
        assert_eq!(of(&op, &["f32[N, L, 1]"]).expect("fits"), "f32[N, floordiv(L, 2)+1, 2]");
        let back = Dft { inverse: true, ..op.clone() };
        assert_eq!(of(&back, &["f32[N, L, 2]"]).expect("fits"), "f32[N, 2*L-2, 1]");
        assert_eq!(of(&op, &["f32[*]"]).expect("fits"), "f32[*]");
        assert_eq!(of(&op, &["f32[N, L, 1]", "i64[]", "i64[]"]).expect("fits"), "f32[?, ?, 2]");
        let plain = Dft::default();
        assert_eq!(of(&plain, &["f32[N, L, 1]", "_", "i64[]"]).expect("fits"), "f32[N, L, 2]");
        assert!(of(&op, &["f32[N, L, 2]"]).is_err(), "complex");
        assert!(of(&back, &["f32[N, L, 1]"]).is_err(), "real");
        assert!(of(&Dft::default(), &["f32[N, L, 3]"]).is_err());
        let axis = Tensor::scalar(-1i64);
        let types = shapes(&["f32[2, 4, 1]", "_", "i64[]"]);
        assert!(infer_with(&Dft::default(), &types, &[(2, &axis)]).is_err());
    }

    #[test]
    fn hostile_lengths_are_refused() {
        let x = iota(&[1, 2, 1]);
        for n in [0i64, -1, i64::MAX, 1 << 26] {
            let n = Tensor::scalar(n);
            assert!(eval(&Dft::default(), &[Some(&x), Some(&n)]).is_err());
        }
        let signal = |step: i64, frame: i64| {
            let (step, frame) = (Tensor::scalar(step), Tensor::scalar(frame));
            eval(&Stft::default(), &[Some(&x), Some(&step), None, Some(&frame)])
        };
        assert!(
            signal(1, 2).is_ok() && signal(0, 2).is_err() && signal(-1, 2).is_err() && signal(1, 3).is_err()
        );
        let window = HannWindow { output_datatype: DType::U8, ..HannWindow::default() };
        for n in [-1i64, 1 << 30, i64::MAX] {
            assert!(eval(&window, &[Some(&Tensor::scalar(n))]).is_err(), "{n}");
        }
    }

    #[test]
    fn frames_overlap() {
        let x = f32s(&[1, 4, 1], &[1., 2., 3., 4.]);
        let (step, window) = (Tensor::scalar(2i32), f32s(&[2], &[1.0, 0.5]));
        let y = eval(&Stft::default(), &[Some(&x), Some(&step), Some(&window)]).expect("fits");
        assert_near(&y[0], &[1, 2, 2, 2], &[2., 0., 0., 0., 5., 0., 1., 0.]);
    }

    #[test]
    fn bands_beyond_the_spectrum_are_left_out() {
        let n = |v: i64| Tensor::scalar(v);
        let run = |low: f32, high: f32| {
            let (low, high) = (Tensor::scalar(low), Tensor::scalar(high));
            let counts = [n(2), n(4), n(8)];
            let inputs = [Some(&counts[0]), Some(&counts[1]), Some(&counts[2]), Some(&low), Some(&high)];
            eval(&MelWeightMatrix::default(), &inputs)
        };
        assert_eq!(run(0.0, 1e9).expect("fits")[0].shape(), [3, 2]);
        assert!(run(2.0, 1.0).is_err() && run(-1.0, 1.0).is_err() && run(0.0, f32::NAN).is_err());
    }
}
