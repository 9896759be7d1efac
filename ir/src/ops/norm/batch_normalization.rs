//! `batch_normalization`
use super::stats::{check_per_channel, for_chunks, same_as_first, sum};
use crate::dim::Dim;
use crate::dtype::{DType, FLOATS};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::{Compute, channels_first_sizes, count, to_channels_first};
use crate::ops::words::Layout;
use crate::tensor::Tensor;
use crate::tensor::convert::Wide;
use crate::types::{TensorType, Type};
use rayon::prelude::*;

crate::op! {
    /// `(x - input_mean) / sqrt(input_var + epsilon) * scale + b` per channel. 1-d data has one channel. In training mode mean and
    /// population variance are those of the data, and the running ones are `input * momentum + current * (1 - momentum)`.
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

/// Mean and variance of each channel.
type Moments = (Vec<f64>, Vec<f64>);

impl BatchNormalization {
    fn channels<T: Compute>(
        &self,
        cx: &EvalCx<'_>,
        current: Option<&Moments>,
    ) -> Result<Channels<T>, OpError> {
        let given = cx.tensor(4)?.to_f64s()?;
        let (scale, var) = (cx.tensor(1)?.to_f64s()?, current.map_or(&given, |c| &c.1));
        let epsilon = f64::from(self.epsilon);
        let factor = scale.iter().zip(var).map(|(s, v)| T::from_f64(s / (v + epsilon).sqrt())).collect();
        let own = |i: usize| -> Result<Vec<T>, OpError> { Ok(T::read(cx.tensor(i)?)?.into_owned()) };
        let mean = match current {
            Some((mean, _)) => mean.iter().map(|m| T::from_f64(*m)).collect(),
            None => own(3)?,
        };
        Ok(Channels { factor, bias: own(2)?, mean })
    }
    /// Statistics of the channels of `x`, of which there are `n`.
    fn moments<T: Compute>(&self, x: &Tensor, n: usize) -> Result<Moments, OpError> {
        if x.is_empty() {
            return Ok((vec![f64::NAN; n], vec![f64::NAN; n]));
        }
        let values = T::read(x)?;
        let first = match x.rank() {
            0 | 1 => vec![x.len(), 1],
            _ => channels_first_sizes(x.shape(), self.layout),
        };
        let values = if x.rank() < 3 { values } else { to_channels_first(values, &first, self.layout) };
        let plane = count(&first[2..])?;
        let size = first[0] as f64 * plane as f64;
        // One number per sample and channel, then one per channel: both sums are in an order that the sizes alone decide.
        let over = |map: &(dyn Fn(usize, f64) -> f64 + Sync)| -> Vec<f64> {
            let one = |c: usize| {
                let planes = (0..first[0]).map(|s| &values[(s * n + c) * plane..(s * n + c + 1) * plane]);
                planes.map(|p| sum(p, |v| map(c, v))).sum::<f64>() / size
            };
            (0..n).into_par_iter().map(one).collect()
        };
        let mean = over(&|_, v| v);
        let var = over(&|c, v| (v - mean[c]) * (v - mean[c]));
        Ok((mean, var))
    }
    /// The running statistics after a batch with those of `current`.
    fn running(&self, cx: &EvalCx<'_>, current: &Moments) -> Result<[Value; 2], OpError> {
        let momentum = f64::from(self.momentum);
        let blend = |i: usize, current: &[f64]| -> Result<Value, OpError> {
            let t = cx.tensor(i)?;
            // A weight of 0 leaves nothing of the former ones, whatever they are.
            let old = |v: f64| if momentum == 0.0 { 0.0 } else { v * momentum };
            let all =
                t.to_f64s()?.into_iter().zip(current).map(|(v, c)| old(v) + c * (1.0 - momentum)).collect();
            Ok(Tensor::from_wide(t.dtype(), t.shape(), &Wide::F64(all), false)?.into())
        };
        Ok([blend(3, &current.0)?, blend(4, &current.1)?])
    }
    fn train<T: Compute>(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let current = self.moments::<T>(cx.tensor(0)?, cx.tensor(1)?.len())?;
        let [mean, var] = self.running(&cx, &current)?;
        let y = self.compute::<T>(cx, Some(&current))?;
        Ok(vec![y.into(), mean, var])
    }
    fn compute<T: Compute>(&self, mut cx: EvalCx<'_>, current: Option<&Moments>) -> Result<Tensor, OpError> {
        let p = self.channels::<T>(&cx, current)?;
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
        let channels = (1..5).try_fold(channels, |c, i| check_per_channel(cx, i, &c))?;
        let running = || TensorType::new(cx.dtype(3).unwrap_or(DType::F32), vec![channels.clone()]).into();
        Ok(vec![ty, running(), running()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let wide = cx.tensor(0)?.dtype() == DType::F64;
        match (self.training_mode, wide) {
            (true, true) => self.train::<f64>(cx),
            (true, false) => self.train::<f32>(cx),
            (false, true) => one(self.compute::<f64>(cx, None)?),
            (false, false) => one(self.compute::<f32>(cx, None)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{assert_near, eval, eval_n, f32s, infer, infer_full, iota, shapes};

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
    }

    #[test]
    fn training_uses_and_gives_the_statistics_of_the_batch() {
        let op =
            BatchNormalization { training_mode: true, epsilon: 0.0, momentum: 0.75, ..Default::default() };
        let p = [[2., 1.], [0.5, 0.], [8., 4.], [4., 0.]].map(|v| f32s(&[2], &v));
        let run = |op: &BatchNormalization, x: &Tensor| {
            eval_n(op, &[Some(x), Some(&p[0]), Some(&p[1]), Some(&p[2]), Some(&p[3])], 3).expect("fits")
        };
        let x = f32s(&[2, 2, 2], &[1., 3., 0., 2., 5., 7., 4., 2.]);
        let (a, b) = (5f64.sqrt(), 2f64.sqrt());
        let want = [0.5 - 6. / a, 0.5 - 2. / a, -2. / b, 0., 0.5 + 2. / a, 0.5 + 6. / a, 2. / b, 0.];
        let y = run(&op, &x);
        assert_near(&y[0], &[2, 2, 2], &want);
        assert_near(&y[1], &[2], &[7.0, 3.5]);
        assert_near(&y[2], &[2], &[4.25, 0.5]);
        let none = f32s(&[0], &[]).reshape(&[1 << 40, 2, 0]).expect("empty");
        assert!(run(&op, &none)[1].to_f64s().expect("numbers").iter().all(|v| v.is_nan()));
        let turned = x.permute(&[0, 2, 1]).expect("ok").materialize().expect("ok");
        let last = run(&BatchNormalization { layout: Layout::ChannelsLast, ..op }, &turned);
        assert_eq!(last[1..], y[1..]);
        assert_near(&last[0], &[2, 2, 2], &[0, 2, 1, 3, 4, 6, 5, 7].map(|i| want[i]));
    }

    #[test]
    fn types() {
        let op = BatchNormalization::default();
        let ok = ["f16[N, C, 4]", "f32[3]", "f32[3]", "f64[3]", "f64[3]"];
        assert_eq!(infer(&op, &shapes(&ok)).expect("fits")[0].to_string(), "f16[N, C, 4]");
        let training = BatchNormalization { training_mode: true, ..op.clone() };
        let mean = ["f32[N, C, 4]", "f32[D]", "f32[D]", "f32[3]", "f32[D]"];
        let types = infer_full(&training, &shapes(&mean), &[], 3).expect("fits");
        assert_eq!(types[1].to_string(), "f32[3]");
        assert!(infer(&op, &shapes(&["f32[N, 4, 4]", "f32[3]", "f32[3]", "f32[3]", "f32[3]"])).is_err());
        assert!(infer(&op, &shapes(&["f32[]", "f32[1]", "f32[1]", "f32[1]", "f32[1]"])).is_err());
    }
}
