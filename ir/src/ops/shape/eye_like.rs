//! `eye_like`
use crate::dtype::{ANY, BOOL_ONLY, DType, DTypeSet, NUMERIC};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::tensor::{Tensor, byte_count};
use crate::types::{TensorType, Type};

crate::op! {
    /// A matrix of the sizes of `input` with ones on a diagonal and zeros elsewhere.
    eye_like EyeLike(input: One<T>) -> (output: One<U>) {
        /// Element type of the result; that of the operand when absent.
        dtype: Option<DType> = None,
        /// How far right of the main diagonal the ones are.
        k: i64 = 0,
    } where T: ANY, U: RESULTS;
}

/// Element types a result can have.
const RESULTS: DTypeSet = NUMERIC.or(BOOL_ONLY);

impl EyeLike {
    fn result(&self, of: DType) -> Result<DType, OpError> {
        let dtype = self.dtype.unwrap_or(of);
        if RESULTS.contains(dtype) {
            Ok(dtype)
        } else {
            Err(OpError::attr(format!("there is no unit matrix of {dtype}")))
        }
    }
}

impl Semantics for EyeLike {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let x = cx.tensor(0)?;
        let dtype = self.result(x.dtype)?;
        match &x.shape {
            Some(s) if s.len() != 2 => Err(OpError::shape(format!("a matrix is expected, got {x}"))),
            Some(s) => Ok(vec![TensorType::new(dtype, s.clone()).into()]),
            None => Ok(vec![TensorType::of_rank(dtype, 2).into()]),
        }
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        let dtype = self.result(x.dtype())?;
        let [rows, columns] = *x.shape() else { return Err(OpError::shape("a matrix is expected")) };
        let mut raw = vec![0u8; byte_count(dtype, x.shape())?];
        let unit = Tensor::scalar(1i64).cast(dtype, false)?.bytes()?.into_owned();
        // A matrix without columns may claim any number of rows.
        for i in 0..if raw.is_empty() { 0 } else { rows } {
            let column = i128::from(self.k) + i as i128;
            if let Some(j) = usize::try_from(column).ok().filter(|j| *j < columns) {
                let at = (i * columns + j) * unit.len();
                raw[at..at + unit.len()].copy_from_slice(&unit);
            }
        }
        one(Tensor::from_bytes(dtype, x.shape(), raw.into(), None)?)
    }
}
