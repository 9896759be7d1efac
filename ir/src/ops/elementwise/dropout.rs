//! `dropout`
use crate::dtype::{BOOL_ONLY, DType, DTypeSet, FLOATS};
use crate::eval::{EvalCx, Value};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

/// `FLOATS` and the 8-bit floats that have a sign.
const DROPPED: DTypeSet =
    FLOATS.or(DTypeSet::of(&[DType::F8E4M3FN, DType::F8E4M3FNUZ, DType::F8E5M2, DType::F8E5M2FNUZ]));

crate::op! {
    /// Sets a random part of the elements to zero while training; passes `data` through otherwise, with a `mask` that is true
    /// everywhere. Training is not evaluated, unless `ratio` is 0.
    dropout Dropout(data: One<T>, ratio: Opt<T1>, training_mode: Opt<T2>) -> (output: One<T>, mask: Opt<T2>) {
        /// Seed of the random numbers.
        seed: Option<i64> = None,
    } where T: DROPPED, T1: DROPPED, T2: BOOL_ONLY;
}

impl Semantics for Dropout {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let data = cx.tensor(0)?;
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
            return Err(OpError::eval("`dropout` is set to training, which has no single result")
                .hint("export the model for inference"));
        }
        let data = cx.take(0)?;
        let mask = Tensor::splat(&Tensor::from_bools(&[], vec![true]), data.shape())?;
        Ok(vec![data.into(), mask.into()])
    }
}
