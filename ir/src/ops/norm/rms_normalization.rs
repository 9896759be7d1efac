//! `rms_normalization`
use super::expansions;
use super::layer_normalization::{STASH, check_stretches, rows};
use super::stats::{Stretched, for_chunks, sum};
use crate::builder::Builder;
use crate::dtype::{DType, FLOATS};
use crate::eval::{EvalCx, Value, one};
use crate::expand::Expanded;
use crate::graph::ValueId;
use crate::infer::{InferCx, resolve_axis};
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::Compute;
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

crate::op! {
    /// `x / sqrt(mean(x^2) + epsilon) * scale` over all axes from `axis` on, where `scale` stretches to `x`. The result has the type
    /// of `scale`. Means are computed in 64 bits and the rest in at least 32 bits, whatever `stash_type`.
    rms_normalization RmsNormalization(x: One<T>, scale: One<V>) -> (y: One<V>) {
        /// First normalized axis.
        axis: i64 = -1,
        /// Added to the mean of squares.
        epsilon: f32 = 1e-5,
        /// Precision of the normalization; see above.
        stash_type: DType = DType::F32,
    } where T: FLOATS, V: FLOATS;
}

impl RmsNormalization {
    fn compute<T: Compute>(&self, mut cx: EvalCx<'_>) -> Result<Tensor, OpError> {
        let x = cx.take(0)?;
        let scale = cx.tensor(1)?;
        let shape = x.shape().to_vec();
        let (_, _, row) = rows(&shape, self.axis)?;
        let factors = Stretched::new(&T::read(scale)?, scale.shape(), &shape, row)?;
        let mut values = T::own(x)?;
        for_chunks(&mut values, row, |r, chunk| {
            let mean = sum(chunk, |v| v * v) / chunk.len() as f64;
            let k = T::from_f64((mean + f64::from(self.epsilon)).sqrt().recip());
            match &factors {
                Stretched::Row(s) => chunk.iter_mut().zip(s).for_each(|(v, s)| *v = *v * k * *s),
                other => {
                    let start = r * row;
                    chunk.iter_mut().enumerate().for_each(|(j, v)| *v = *v * k * other.at(start + j, j));
                }
            }
        });
        Ok(T::tensor(scale.dtype(), &shape, values)?)
    }
}

impl Semantics for RmsNormalization {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        if !STASH.contains(self.stash_type) {
            return Err(OpError::attr(format!("stash_type {} is no float type", self.stash_type)));
        }
        let dtype = cx.dtype(1)?;
        let Some(shape) = cx.shape(0)? else { return Ok(vec![TensorType::unranked(dtype).into()]) };
        resolve_axis(self.axis, shape.len())?;
        check_stretches(cx, 1, shape)?;
        Ok(vec![TensorType::new(dtype, shape.clone()).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let wide = [cx.tensor(0)?.dtype(), cx.tensor(1)?.dtype()].contains(&DType::F64);
        one(if wide { self.compute::<f64>(cx)? } else { self.compute::<f32>(cx)? })
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], outputs: usize) -> Expanded {
        expansions::rms_normalization(self, b, inputs, outputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{assert_near, eval, f32s};

    #[test]
    fn rows_are_scaled() {
        let op = RmsNormalization { epsilon: 0.5, ..RmsNormalization::default() };
        let x = f32s(&[2, 2], &[1., 2., 0.5, -0.5]);
        let y = eval(&op, &[Some(&x), Some(&f32s(&[2], &[1., 3.]))]).expect("fits");
        let k = 0.75f64.sqrt().recip();
        assert_near(&y[0], &[2, 2], &[3f64.sqrt().recip(), 6. / 3f64.sqrt(), 0.5 * k, -1.5 * k]);
        let half = f32s(&[2], &[1., 3.]).cast(DType::F16, false).expect("cast");
        assert_eq!(eval(&op, &[Some(&x), Some(&half)]).expect("fits")[0].dtype(), DType::F16);
    }
}
