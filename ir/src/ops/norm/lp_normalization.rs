//! `lp_normalization`
use super::stats::{for_chunks, same_as_first};
use crate::dtype::{DType, FLOATS};
use crate::eval::{EvalCx, Value, one};
use crate::infer::{InferCx, resolve_axis};
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::{Compute, count};
use crate::tensor::Tensor;
use crate::types::Type;

crate::op! {
    /// `x / norm` along `axis`, where the norm is the sum of magnitudes (`p` 1) or the root of the sum of squares (`p` 2). Zero where
    /// the norm is zero.
    lp_normalization LpNormalization(x: One<T>) -> (y: One<T>) {
        /// Axis of the norms.
        axis: i64 = -1,
        /// Order of the norm, 1 or 2.
        p: i64 = 2,
    } where T: FLOATS;
}

impl LpNormalization {
    fn compute<T: Compute>(&self, x: Tensor) -> Result<Tensor, OpError> {
        let (dtype, shape) = (x.dtype(), x.shape().to_vec());
        let axis = resolve_axis(self.axis, shape.len())?;
        let (n, inner) = (shape[axis], count(&shape[axis + 1..])?);
        let mut values = T::own(x)?;
        let squares = self.p == 2;
        for_chunks(&mut values, n.saturating_mul(inner), |_, block| {
            for i in 0..inner {
                let term = |v: &T| if squares { v.to_f64() * v.to_f64() } else { v.to_f64().abs() };
                let sum: f64 = block[i..].iter().step_by(inner).map(term).sum();
                let norm = if squares { sum.sqrt() } else { sum };
                for v in block[i..].iter_mut().step_by(inner) {
                    *v = if norm == 0.0 { T::ZERO } else { T::from_f64(v.to_f64() / norm) };
                }
            }
        });
        Ok(T::tensor(dtype, &shape, values)?)
    }
}

impl Semantics for LpNormalization {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let (ty, shape) = same_as_first(cx)?;
        if !matches!(self.p, 1 | 2) {
            return Err(OpError::attr(format!("p {} is neither 1 nor 2", self.p)));
        }
        if let Some(shape) = shape {
            resolve_axis(self.axis, shape.len())?;
        }
        Ok(vec![ty])
    }
    fn eval(&self, mut cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.take(0)?;
        one(if x.dtype() == DType::F64 { self.compute::<f64>(x)? } else { self.compute::<f32>(x)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{assert_near, eval, f32s};

    #[test]
    fn norms_along_an_axis() {
        let x = f32s(&[2, 2], &[3., 0., -4., 0.]);
        let op = LpNormalization { axis: 0, p: 2 };
        assert_near(&eval(&op, &[Some(&x)]).expect("fits")[0], &[2, 2], &[0.6, 0., -0.8, 0.]);
        let op = LpNormalization { axis: 0, p: 1 };
        assert_near(&eval(&op, &[Some(&x)]).expect("fits")[0], &[2, 2], &[3. / 7., 0., -4. / 7., 0.]);
        assert!(eval(&LpNormalization { axis: 2, p: 2 }, &[Some(&x)]).is_err());
        assert!(eval(&LpNormalization { axis: 0, p: 3 }, &[Some(&x)]).is_err());
    }
}
