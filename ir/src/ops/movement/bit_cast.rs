//! `bit_cast`
use crate::dtype::{ANY_FIXED, DType};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::types::{TensorType, Type};

crate::op! {
    /// The same bits read as elements of another type of the same width.
    bit_cast BitCast(input: One<T1>) -> (output: One<T2>) {
        /// Element type of the result.
        to: DType = DType::F32,
    } where T1: ANY_FIXED, T2: ANY_FIXED;
}

impl Semantics for BitCast {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let x = cx.tensor(0)?;
        if x.dtype.bits() != self.to.bits() || self.to == DType::String {
            return Err(OpError::attr(format!(
                "the bits of {} are no elements of type {}",
                x.dtype, self.to
            )));
        }
        Ok(vec![TensorType::new(self.to, x.shape.clone()).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        one(cx.tensor(0)?.bitcast(self.to)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{eval, infer, shapes};
    use crate::tensor::Tensor;

    #[test]
    fn bits_stay() {
        let x = Tensor::from_vec(&[2], vec![1.0f32, -0.0]);
        let y = eval(&BitCast { to: DType::I32 }, &[Some(&x)]).expect("fits");
        assert_eq!(y[0], Tensor::from_vec(&[2], vec![0x3f80_0000i32, i32::MIN]));
        let x = Tensor::from_vec(&[3], vec![-1i8, 3, 8]).cast(DType::I4, false).expect("numbers");
        let y = eval(&BitCast { to: DType::U4 }, &[Some(&x)]).expect("fits");
        assert_eq!(y[0].to_i64s().expect("integers"), [15, 3, 8]);
    }

    #[test]
    fn types() {
        let to = |to| infer(&BitCast { to }, &shapes(&["f16[N, 2]"]));
        assert_eq!(to(DType::U16).expect("fits")[0].to_string(), "u16[N, 2]");
        assert!(to(DType::F32).is_err() && to(DType::String).is_err());
    }
}
