//! `dropout`
use crate::dim::Dim;
use crate::dtype::{BOOL_ONLY, DType, DTypeSet, FLOATS};
use crate::eval::{EvalCx, Value};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::ops::random::generator::{Generator, fill};
use crate::tensor::Tensor;
use crate::tensor::convert::Wide;
use crate::types::{TensorType, Type};

/// `FLOATS` and the 8-bit floats that have a sign.
const DROPPED: DTypeSet =
    FLOATS.or(DTypeSet::of(&[DType::F8E4M3FN, DType::F8E4M3FNUZ, DType::F8E5M2, DType::F8E5M2FNUZ]));

crate::op! {
    /// While training, `data * mask / (1 - ratio)`, where `mask` is false for a random part of the elements, `ratio` (0.5 when absent)
    /// of them on average, by the generator of `ir/src/ops/random/generator.rs`. Passes `data` through otherwise, and when `ratio`
    /// is 0, with a `mask` that is true everywhere.
    dropout Dropout(data: One<T>, ratio: Opt<T1>, training_mode: Opt<T2>) -> (output: One<T>, mask: Opt<T2>) {
        /// Seed of the random numbers; 0 when absent.
        seed: Option<i64> = None,
    } where T: DROPPED, T1: DROPPED, T2: BOOL_ONLY;
}

impl Dropout {
    /// Elements without those that are dropped, the others enlarged to make up for them; and which ones stay.
    fn drop(&self, data: &Tensor, ratio: f64) -> Result<Vec<Value>, OpError> {
        let g = Generator::of_int(self.seed);
        let (values, scale) = (data.to_f64s()?, 1.0 / (1.0 - ratio));
        let mask = fill(values.len(), |i| g.uniform(i) >= ratio);
        let kept = fill(values.len(), |i| values[i] * f64::from(u8::from(mask[i])) * scale);
        let output = Tensor::from_wide(data.dtype(), data.shape(), &Wide::F64(kept), true)?;
        Ok(vec![output.into(), Tensor::from_bools(data.shape(), mask).into()])
    }
}

impl Semantics for Dropout {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let data = cx.tensor(0)?;
        for i in 1..3 {
            if cx.has(i) && cx.shape(i)?.is_some_and(|s| s.iter().any(|d| d.surely_differs(&Dim::Known(1)))) {
                return Err(OpError::operand(format!("operand {i} of dropout is {}", cx.tensor(i)?)));
            }
        }
        let mask = TensorType::new(DType::Bool, data.shape.clone());
        Ok(vec![data.clone().into(), mask.into()])
    }
    fn eval(&self, mut cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let training = match cx.opt(2)? {
            Some(t) => t.to_bools()?.contains(&true),
            None => false,
        };
        let ratio = cx.opt(1)?.map_or(Some(0.5), Tensor::as_f64);
        if training && ratio != Some(0.0) {
            let ratio = ratio.filter(|r| (0.0..1.0).contains(r));
            let bad =
                || OpError::eval("the ratio of `dropout` must be a number of at least 0 and less than 1");
            return self.drop(cx.tensor(0)?, ratio.ok_or_else(bad)?);
        }
        let data = cx.take(0)?;
        let mask = Tensor::splat(&Tensor::from_bools(&[], vec![true]), data.shape())?;
        Ok(vec![data.into(), mask.into()])
    }
    fn pure(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{eval_n, f32s};

    #[test]
    fn training_drops_and_enlarges() {
        let x = f32s(&[2, 2000], &[2.0; 4000]);
        let (ratio, yes) = (Tensor::scalar(0.25f32), Tensor::from_bools(&[], vec![true]));
        let run = |seed| eval_n(&Dropout { seed }, &[Some(&x), Some(&ratio), Some(&yes)], 2).expect("fits");
        let (y, mask) =
            (run(Some(1))[0].to_f64s().expect("numbers"), run(Some(1))[1].to_bools().expect("truths"));
        assert!(y.iter().zip(&mask).all(|(v, m)| (*v - if *m { 8.0 / 3.0 } else { 0.0 }).abs() < 1e-6));
        let kept = mask.iter().filter(|m| **m).count();
        assert!((2880..3120).contains(&kept), "{kept}");
        assert_ne!(run(Some(1))[1], run(Some(2))[1]);
        for bad in [1.0, -0.5, f32::NAN] {
            assert!(
                eval_n(&Dropout::default(), &[Some(&x), Some(&Tensor::scalar(bad)), Some(&yes)], 1).is_err()
            );
        }
    }

    #[test]
    fn inference_passes_through() {
        let x = f32s(&[2], &[f32::NAN, 2.0]);
        for inputs in [vec![Some(&x)], vec![Some(&x), None, Some(&Tensor::from_bools(&[], vec![false]))]] {
            let y = eval_n(&Dropout::default(), &inputs, 2).expect("fits");
            assert!(y[0].same_bits(&x));
            assert_eq!(y[1].to_bools().expect("truths"), [true, true]);
        }
    }
}
