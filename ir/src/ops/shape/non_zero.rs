//! `non_zero`
use crate::dim::Dim;
use crate::dtype::{ANY, DType, I64_ONLY};
use crate::eval::{EvalCx, Limits, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::tensor::convert::Wide;
use crate::tensor::{Tensor, strides};
use crate::types::{TensorType, Type};

crate::op! {
    /// Positions of the elements that are not zero (not false, not the empty text), in row-major order: one column per element, one row per axis.
    non_zero NonZero(x: One<T>) -> (y: One<I>) {} where T: ANY, I: I64_ONLY;
}

/// Flat positions of elements that are not zero.
fn positions(x: &Tensor) -> Result<Vec<usize>, OpError> {
    fn of<T>(values: &[T], zero: impl Fn(&T) -> bool) -> Vec<usize> {
        (0..values.len()).filter(|i| !zero(&values[*i])).collect()
    }
    if x.dtype() == DType::Bool {
        return Ok(of(&x.bytes()?, |b| *b == 0));
    }
    Ok(match x.widen()? {
        Wide::F32(v) => of(&v, |v| *v == 0.0),
        Wide::F64(v) => of(&v, |v| *v == 0.0),
        Wide::I64(v) => of(&v, |v| *v == 0),
        Wide::U64(v) => of(&v, |v| *v == 0),
        Wide::C128(v) => of(&v, |v| v.re == 0.0 && v.im == 0.0),
        Wide::Str(v) => of(&v, String::is_empty),
    })
}

impl Semantics for NonZero {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let rank = cx.tensor(0)?.rank().map_or(Dim::Unknown, Dim::from);
        Ok(vec![TensorType::new(DType::I64, vec![rank, Dim::Unknown]).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        let at = positions(x)?;
        let count = at.len().checked_mul(x.rank()).filter(|n| *n <= Limits::default().result_bytes / 8);
        let count = count.ok_or_else(|| OpError::new("E0307", "too many elements are not zero"))?;
        let mut out = Vec::with_capacity(count);
        for (stride, size) in strides(x.shape()).iter().zip(x.shape()) {
            out.extend(at.iter().map(|i| (i / stride % size) as i64));
        }
        one(Tensor::from_vec(&[x.rank(), at.len()], out))
    }
}
