//! `lrn`
use super::stats::{for_chunks, same_as_first};
use crate::dtype::{DType, FLOATS};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::{
    Compute, channels_first_sizes, count, from_channels_first, to_channels_first, zeros,
};
use crate::ops::words::Layout;
use crate::tensor::Tensor;
use crate::types::Type;

crate::op! {
    /// `x / (bias + alpha / size * s)^beta`, where `s` is the sum of squares over the `size` channels around the element's.
    lrn Lrn(x: One<T>) -> (y: One<T>) {
        /// Factor of the sum.
        alpha: f32 = 1e-4,
        /// Exponent.
        beta: f32 = 0.75,
        /// Addend.
        bias: f32 = 1.0,
        /// Channels that are summed: `floor((size - 1) / 2)` before, `ceil((size - 1) / 2)` after.
        size: i64 = 1,
        /// Where the channel axis of data is.
        layout: Layout = Layout::ChannelsFirst,
    } where T: FLOATS;
}

impl Lrn {
    fn size(&self) -> Result<usize, OpError> {
        let valid = usize::try_from(self.size).ok().filter(|s| *s > 0);
        valid.ok_or_else(|| OpError::attr(format!("size {} must be at least 1", self.size)))
    }
    fn compute<T: Compute>(&self, x: &Tensor) -> Result<Tensor, OpError> {
        let size = self.size()?;
        let first = channels_first_sizes(x.shape(), self.layout);
        let (channels, plane) = (first[1], count(&first[2..])?);
        let data = to_channels_first(T::read(x)?, &first, self.layout);
        let mut out = zeros::<T>(data.len())?;
        let (before, after) = ((size - 1) / 2, size / 2);
        let (alpha, bias) = (f64::from(self.alpha) / size as f64, f64::from(self.bias));
        for_chunks(&mut out, plane, |i, out| {
            let (start, c) = (i - i % channels, i % channels);
            let near = c.saturating_sub(before)..=c.saturating_add(after).min(channels - 1);
            for (p, o) in out.iter_mut().enumerate() {
                let square = |c: usize| data[(start + c) * plane + p].to_f64().powi(2);
                let sum: f64 = near.clone().map(square).sum();
                let v = data[i * plane + p].to_f64();
                *o = T::from_f64(v / (bias + alpha * sum).powf(f64::from(self.beta)));
            }
        });
        Ok(T::tensor(x.dtype(), x.shape(), from_channels_first(out, &first, self.layout))?)
    }
}

impl Semantics for Lrn {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        self.size()?;
        let (ty, shape) = same_as_first(cx)?;
        if shape.is_some_and(|s| s.len() < 2) {
            return Err(OpError::shape("data needs a batch and a channel axis"));
        }
        Ok(vec![ty])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        one(if x.dtype() == DType::F64 { self.compute::<f64>(x)? } else { self.compute::<f32>(x)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{assert_near, eval, f32s};

    #[test]
    fn an_even_size_reaches_further_after() {
        let op = Lrn { alpha: 2.0, beta: 1.0, bias: 1.0, size: 2, layout: Layout::ChannelsFirst };
        let x = f32s(&[1, 3, 1, 1], &[1., 2., 3.]);
        let y = eval(&op, &[Some(&x)]).expect("fits");
        assert_near(&y[0], &[1, 3, 1, 1], &[1. / 6., 2. / 14., 3. / 10.]);
        let last = Lrn { layout: Layout::ChannelsLast, ..op };
        let y = eval(&last, &[Some(&x.reshape(&[1, 1, 1, 3]).expect("3"))]).expect("fits");
        assert_near(&y[0], &[1, 1, 1, 3], &[1. / 6., 2. / 14., 3. / 10.]);
    }
}
