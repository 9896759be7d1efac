//! `mean_variance_normalization`
use super::stats::same_as_first;
use crate::dtype::{DType, FLOATS};
use crate::eval::{EvalCx, Value, one};
use crate::infer::{InferCx, resolve_axis};
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::Compute;
use crate::tensor::{Tensor, strides};
use crate::types::Type;

crate::op! {
    /// `(x - mean) / (sqrt(var) + 1e-9)` over `axes`, as ONNX's function body has it.
    mean_variance_normalization MeanVarianceNormalization(x: One<T>) -> (y: One<T>) {
        /// Axes that statistics go over; negative ones count from the end.
        axes: Vec<i64> = vec![0, 2, 3],
    } where T: FLOATS;
}

/// ONNX's addend of the deviation.
const EPSILON: f64 = 1e-9;

impl MeanVarianceNormalization {
    fn axes(&self, rank: usize) -> Result<Vec<usize>, OpError> {
        let axes: Vec<usize> = self.axes.iter().map(|a| resolve_axis(*a, rank)).collect::<Result<_, _>>()?;
        // Without axes, reductions go over all.
        Ok(if axes.is_empty() { (0..rank).collect() } else { axes })
    }
    fn compute<T: Compute>(&self, x: Tensor) -> Result<Tensor, OpError> {
        let (dtype, shape) = (x.dtype(), x.shape().to_vec());
        let axes = self.axes(shape.len())?;
        let kept: Vec<usize> =
            shape.iter().enumerate().map(|(i, d)| if axes.contains(&i) { 1 } else { *d }).collect();
        let (steps, sizes) = (strides(&kept), strides(&shape));
        let mut values = T::own(x)?;
        if values.is_empty() {
            return Ok(T::tensor(dtype, &shape, values)?);
        }
        let group = |i: usize| -> usize {
            let place = |d: usize| if kept[d] == 1 { 0 } else { i / sizes[d] % shape[d] * steps[d] };
            (0..shape.len()).map(place).sum()
        };
        let groups: usize = kept.iter().product();
        let n = (values.len() / groups) as f64;
        let (mut mean, mut var) = (vec![0.0; groups], vec![0.0; groups]);
        for (i, v) in values.iter().enumerate() {
            mean[group(i)] += v.to_f64();
        }
        for m in &mut mean {
            *m /= n;
        }
        for (i, v) in values.iter().enumerate() {
            var[group(i)] += (v.to_f64() - mean[group(i)]).powi(2);
        }
        for (i, v) in values.iter_mut().enumerate() {
            let g = group(i);
            *v = T::from_f64((v.to_f64() - mean[g]) / ((var[g] / n).sqrt() + EPSILON));
        }
        Ok(T::tensor(dtype, &shape, values)?)
    }
}

impl Semantics for MeanVarianceNormalization {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let (ty, shape) = same_as_first(cx)?;
        if let Some(shape) = shape {
            self.axes(shape.len())?;
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
    fn statistics_over_axes() {
        let x = f32s(&[2, 2], &[1., 5., 3., 5.]);
        let op = MeanVarianceNormalization { axes: vec![-2] };
        assert_near(&eval(&op, &[Some(&x)]).expect("fits")[0], &[2, 2], &[-1., 0., 1., 0.]);
        assert!(eval(&MeanVarianceNormalization::default(), &[Some(&x)]).is_err());
    }
}
