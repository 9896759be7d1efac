//! `batch_normalization`
use super::stats::{check_per_channel, for_chunks, same_as_first};
use crate::dim::Dim;
use crate::dtype::{DType, FLOATS};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::Compute;
use crate::ops::words::Layout;
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

crate::op! {
    /// `(x - input_mean) / sqrt(input_var + epsilon) * scale + b` per channel. 1-d data has one channel. Training mode, which also
    /// gives the running mean and variance, is typed and passes through, and is not evaluated.
    batch_normalization BatchNormalization(x: One<T>, scale: One<T1>, b: One<T1>, input_mean: One<T2>, input_var: One<T2>)
        -> (y: One<T>, running_mean: Opt<T2>, running_var: Opt<T2>) {
        /// Added to the variance.
        epsilon: f32 = 1e-5,
        /// Weight of the previous running statistics.
        momentum: f32 = 0.9,
        /// Whether statistics are those of the batch.
        training_mode: bool = false,
        /// Where the channel axis of data is.
        layout: Layout = Layout::ChannelsFirst,
    } where T: FLOATS, T1: FLOATS, T2: FLOATS;
}

/// Factor, mean and addend of each channel.
struct Channels<T> {
    factor: Vec<T>,
    mean: Vec<T>,
    bias: Vec<T>,
}

impl BatchNormalization {
    fn channels<T: Compute>(&self, cx: &EvalCx<'_>) -> Result<Channels<T>, OpError> {
        let (scale, var) = (cx.tensor(1)?.to_f64s()?, cx.tensor(4)?.to_f64s()?);
        let epsilon = f64::from(self.epsilon);
        let factor = scale.iter().zip(var).map(|(s, v)| T::from_f64(s / (v + epsilon).sqrt())).collect();
        let own = |i: usize| -> Result<Vec<T>, OpError> { Ok(T::read(cx.tensor(i)?)?.into_owned()) };
        Ok(Channels { factor, bias: own(2)?, mean: own(3)? })
    }
    fn compute<T: Compute>(&self, mut cx: EvalCx<'_>) -> Result<Tensor, OpError> {
        let p = self.channels::<T>(&cx)?;
        let x = cx.take(0)?;
        let (dtype, shape) = (x.dtype(), x.shape().to_vec());
        let mut values = T::own(x)?;
        let n = p.factor.len();
        if self.layout == Layout::ChannelsLast && shape.len() > 2 {
            for_chunks(&mut values, n, |_, pixel| {
                for (((v, m), k), b) in pixel.iter_mut().zip(&p.mean).zip(&p.factor).zip(&p.bias) {
                    *v = (*v - *m) * *k + *b;
                }
            });
        } else {
            let plane: usize = if shape.len() < 2 { values.len() } else { shape[2..].iter().product() };
            for_chunks(&mut values, plane, |i, plane| {
                let (m, k, b) = (p.mean[i % n], p.factor[i % n], p.bias[i % n]);
                for v in plane {
                    *v = (*v - m) * k + b;
                }
            });
        }
        Ok(T::tensor(dtype, &shape, values)?)
    }
}

impl Semantics for BatchNormalization {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let (ty, shape) = same_as_first(cx)?;
        if cx.outputs() > 1 && !self.training_mode {
            return Err(OpError::operand("running statistics exist in training mode only"));
        }
        let channels = match shape.map(Vec::as_slice) {
            None => Dim::Unknown,
            Some([]) => return Err(OpError::shape("a scalar has no channel axis")),
            Some([_]) => Dim::Known(1),
            Some(s) => s[self.layout.channel_axis(s.len())].clone(),
        };
        (1..5).try_for_each(|i| check_per_channel(cx, i, &channels))?;
        let running = || TensorType::new(cx.dtype(3).unwrap_or(DType::F32), vec![channels.clone()]).into();
        Ok(vec![ty, running(), running()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        if self.training_mode {
            return Err(OpError::eval(
                "batch_normalization in training mode is not evaluated: its statistics depend on the batch",
            )
            .hint("export the model in inference mode"));
        }
        one(if cx.tensor(0)?.dtype() == DType::F64 {
            self.compute::<f64>(cx)?
        } else {
            self.compute::<f32>(cx)?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{assert_near, eval, f32s, infer, iota, shapes};

    #[test]
    fn channels_in_both_layouts() {
        let p = [[2., 1.], [0.5, 0.], [1., 2.], [3., 0.]].map(|v| f32s(&[2], &v));
        let op = BatchNormalization { epsilon: 1.0, ..BatchNormalization::default() };
        let x = iota(&[1, 2, 2]);
        let run = |op: &BatchNormalization, x: &Tensor| {
            eval(op, &[Some(x), Some(&p[0]), Some(&p[1]), Some(&p[2]), Some(&p[3])]).expect("fits").remove(0)
        };
        assert_near(&run(&op, &x), &[1, 2, 2], &[-0.5, 0.5, 0., 1.]);
        let last = BatchNormalization { layout: Layout::ChannelsLast, ..op.clone() };
        assert_near(&run(&last, &x), &[1, 2, 2], &[-0.5, -1., 1.5, 1.]);
        let training = BatchNormalization { training_mode: true, ..op };
        assert!(eval(&training, &[Some(&x), Some(&p[0]), Some(&p[1]), Some(&p[2]), Some(&p[3])]).is_err());
    }

    #[test]
    fn types() {
        let op = BatchNormalization::default();
        let ok = ["f16[N, C, 4]", "f32[3]", "f32[3]", "f64[3]", "f64[3]"];
        assert_eq!(infer(&op, &shapes(&ok)).expect("fits")[0].to_string(), "f16[N, C, 4]");
        assert!(infer(&op, &shapes(&["f32[N, 4, 4]", "f32[3]", "f32[3]", "f32[3]", "f32[3]"])).is_err());
        assert!(infer(&op, &shapes(&["f32[]", "f32[1]", "f32[1]", "f32[1]", "f32[1]"])).is_err());
    }
}
