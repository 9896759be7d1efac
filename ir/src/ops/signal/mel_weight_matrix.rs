//! `mel_weight_matrix`
use super::window::{check_dtype, size};
use super::{COUNT, narrowed, room};
use crate::dim::Dim;
use crate::dtype::{DType, FLOATS};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::OpError;
use crate::ops::linear::compute::count;
use crate::types::{TensorType, Type};
use std::cmp::Ordering;

crate::op! {
    /// Triangular filters of peak 1 that turn a spectrum of `dft_length / 2 + 1` values into `num_mel_bins` bands between two
    /// frequencies, equally wide on the mel scale `2595 log10(1 + f / 700)`: `[dft_length / 2 + 1, num_mel_bins]`. What lies beyond
    /// the spectrum is left out.
    mel_weight_matrix MelWeightMatrix(
        num_mel_bins: One<T1>, dft_length: One<T1>, sample_rate: One<T1>,
        lower_edge_hertz: One<T2>, upper_edge_hertz: One<T2>,
    ) -> (output: One<T3>) {
        /// Element type of the result.
        output_datatype: DType = DType::F32,
    } where T1: COUNT, T2: FLOATS;
    infer = infer,
    eval = |op: &MelWeightMatrix, cx| eval(op, &cx);
}

fn infer(op: &MelWeightMatrix, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    check_dtype(op.output_datatype)?;
    let bins = size(cx, 1)?.and_then(|n| n.floor_div(&2.into())?.add(&1.into()));
    let shape = vec![Dim::from_sym(bins), Dim::from_sym(size(cx, 0)?)];
    Ok(vec![TensorType::new(op.output_datatype, shape).into()])
}

fn eval(op: &MelWeightMatrix, cx: &EvalCx<'_>) -> Result<Vec<Value>, OpError> {
    let integer = |i: usize| {
        let n = cx.tensor(i)?.as_int().and_then(|n| usize::try_from(n).ok());
        n.ok_or_else(|| OpError::operand(format!("operand {i} must be one integer that is not negative")))
    };
    let frequency = |i: usize| {
        let f = cx.tensor(i)?.as_f64().filter(|f| f.is_finite() && *f >= 0.0);
        f.ok_or_else(|| OpError::operand(format!("operand {i} must be one frequency that is not negative")))
    };
    let (bands, length, rate) = (integer(0)?, integer(1)?, integer(2)?);
    let (low, high) = (frequency(3)?, frequency(4)?);
    if rate == 0 || high < low {
        let m = format!("no filters from {low} to {high} hertz at {rate} samples per second");
        return Err(OpError::operand(m));
    }
    let bins = length / 2 + 1;
    let shape = [bins, bands];
    let mut out = room(count(&shape)?)?;
    if bands > 0 {
        let mel = |f: f64| 2595.0 * libm::log1p(f / 700.0) / std::f64::consts::LN_10;
        let step = (mel(high) - mel(low)) / (bands as f64 + 2.0);
        let bin = |i: usize| {
            let f = 700.0 * libm::expm1((i as f64 * step + mel(low)) / 2595.0 * std::f64::consts::LN_10);
            ((length as f64 + 1.0) * f / rate as f64).floor() as usize
        };
        for band in 0..bands {
            let (left, center, right) = (bin(band), bin(band + 1), bin(band + 2));
            for j in left..right.min(bins).max(center.saturating_add(1).min(bins)) {
                out[j * bands + band] = weight(j, left, center, right);
            }
        }
    }
    one(narrowed(op.output_datatype, &shape, out)?)
}

/// Height at `j` of the triangle over `left..right` with its peak at `center`.
fn weight(j: usize, left: usize, center: usize, right: usize) -> f64 {
    match j.cmp(&center) {
        Ordering::Less => (j - left) as f64 / (center - left) as f64,
        Ordering::Equal => 1.0,
        Ordering::Greater => (right - j) as f64 / (right - center) as f64,
    }
}
