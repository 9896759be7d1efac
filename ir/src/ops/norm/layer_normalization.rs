//! `layer_normalization`
use super::expansions;
use super::stats::{Stretched, moments, same_as_first};
use crate::builder::Builder;
use crate::dim::Dim;
use crate::dtype::{DType, DTypeSet, FLOATS};
use crate::eval::{EvalCx, Value};
use crate::expand::Expanded;
use crate::graph::ValueId;
use crate::infer::{InferCx, broadcast, resolve_axis};
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::{Compute, PARALLEL, count};
use crate::tensor::Tensor;
use crate::types::{Shape, TensorType, Type};
use rayon::prelude::*;

/// Types that statistics may have.
pub(super) const STASH: DTypeSet = DTypeSet::of(&[DType::F32, DType::BF16, DType::F64, DType::F16]);

crate::op! {
    /// Normalizes over all axes from `axis` on: `(x - mean) / sqrt(var + epsilon) * scale + b`, where `scale` and `b` stretch to
    /// `x`. The other results are the means and `1 / sqrt(var + epsilon)`, of size 1 along normalized axes and of type
    /// `stash_type`. Statistics are computed in 64 bits and the rest in at least 32 bits, whatever `stash_type`.
    layer_normalization LayerNormalization(x: One<T>, scale: One<T>, b: Opt<T>) -> (y: One<T>, mean: Opt<U>, inv_std_dev: Opt<U>) {
        /// First normalized axis.
        axis: i64 = -1,
        /// Added to the variance.
        epsilon: f32 = 1e-5,
        /// Type of the further results.
        stash_type: DType = DType::F32,
    } where T: FLOATS;
}

/// Refuses operand `i` unless it stretches to `shape`.
pub(super) fn check_stretches(cx: &InferCx<'_>, i: usize, shape: &Shape) -> Result<(), OpError> {
    let Some(own) = cx.shape(i)? else { return Ok(()) };
    let both = broadcast(own, shape)?;
    if both.len() > shape.len() || both.iter().zip(shape).any(|(a, b)| a.surely_differs(b)) {
        return Err(OpError::shape(format!(
            "operand {i} is {}, which does not stretch to operand 0",
            cx.ty(i)?
        )));
    }
    Ok(())
}

/// Number of rows and elements of a row when the axes from `axis` on are normalized together.
pub(super) fn rows(shape: &[usize], axis: i64) -> Result<(usize, usize, usize), OpError> {
    let axis = resolve_axis(axis, shape.len())?;
    Ok((axis, count(&shape[..axis])?, count(&shape[axis..])?))
}

/// Parameters of the second stage: factor and addend of every element.
struct Affine<T> {
    scale: Stretched<T>,
    bias: Option<Stretched<T>>,
}

impl<T: Compute> Affine<T> {
    /// Normalizes row `r` in place and gives its mean and inverse deviation.
    fn row(&self, r: usize, row: &mut [T], epsilon: f64) -> (T, T) {
        let (mean, var) = moments(row);
        let inv = (var + epsilon).sqrt().recip();
        let (m, k) = (T::from_f64(mean), T::from_f64(inv));
        let start = r * row.len();
        match (&self.scale, &self.bias) {
            (Stretched::Row(s), Some(Stretched::Row(b))) => {
                for ((v, s), b) in row.iter_mut().zip(s).zip(b) {
                    *v = (*v - m) * k * *s + *b;
                }
            }
            (Stretched::Row(s), None) => row.iter_mut().zip(s).for_each(|(v, s)| *v = (*v - m) * k * *s),
            _ => {
                for (j, v) in row.iter_mut().enumerate() {
                    let scaled = (*v - m) * k * self.scale.at(start + j, j);
                    *v = self.bias.as_ref().map_or(scaled, |b| scaled + b.at(start + j, j));
                }
            }
        }
        (m, k)
    }
}

impl LayerNormalization {
    fn compute<T: Compute>(&self, mut cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.take(0)?;
        let (dtype, shape) = (x.dtype(), x.shape().to_vec());
        let (axis, n, row) = rows(&shape, self.axis)?;
        let operand = |t: &Tensor| Stretched::new(&T::read(t)?, t.shape(), &shape, row);
        let affine = Affine { scale: operand(cx.tensor(1)?)?, bias: cx.opt(2)?.map(operand).transpose()? };
        let mut values = T::own(x)?;
        let epsilon = f64::from(self.epsilon);
        let statistics: Vec<(T, T)> = if row == 0 {
            vec![(T::from_f64(f64::NAN), T::from_f64(f64::NAN)); if cx.outputs > 1 { n } else { 0 }]
        } else if values.len() < PARALLEL {
            values.chunks_mut(row).enumerate().map(|(r, c)| affine.row(r, c, epsilon)).collect()
        } else {
            values.par_chunks_mut(row).enumerate().map(|(r, c)| affine.row(r, c, epsilon)).collect()
        };
        let mut results = vec![Value::Tensor(T::tensor(dtype, &shape, values)?)];
        let reduced: Vec<usize> =
            shape.iter().enumerate().map(|(i, d)| if i < axis { *d } else { 1 }).collect();
        if cx.outputs > 1 {
            let means = statistics.iter().map(|s| s.0).collect();
            results.push(T::tensor(self.stash_type, &reduced, means)?.into());
        }
        if cx.outputs > 2 {
            let inverse = statistics.iter().map(|s| s.1).collect();
            results.push(T::tensor(self.stash_type, &reduced, inverse)?.into());
        }
        Ok(results)
    }
}

impl Semantics for LayerNormalization {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        if !STASH.contains(self.stash_type) {
            return Err(OpError::attr(format!("stash_type {} is no float type", self.stash_type)));
        }
        let (ty, shape) = same_as_first(cx)?;
        let Some(shape) = shape else {
            let stash: Type = TensorType::unranked(self.stash_type).into();
            return Ok(vec![ty, stash.clone(), stash]);
        };
        let axis = resolve_axis(self.axis, shape.len())?;
        check_stretches(cx, 1, shape)?;
        if cx.has(2) {
            check_stretches(cx, 2, shape)?;
        }
        let one = |(i, d): (usize, &Dim)| if i < axis { d.clone() } else { Dim::Known(1) };
        let reduced: Shape = shape.iter().enumerate().map(one).collect();
        let stash: Type = TensorType::new(self.stash_type, reduced).into();
        Ok(vec![ty, stash.clone(), stash])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        if cx.tensor(0)?.dtype() == DType::F64 { self.compute::<f64>(cx) } else { self.compute::<f32>(cx) }
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], outputs: usize) -> Expanded {
        expansions::layer_normalization(self, b, inputs, outputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{assert_near, eval, eval_n, f32s, infer, iota, shapes};

    #[test]
    fn rows_with_statistics() {
        let (s, b) = (f32s(&[2], &[1., 2.]), f32s(&[2], &[0., 10.]));
        let op = LayerNormalization { epsilon: 0.75, ..LayerNormalization::default() };
        let x = f32s(&[2, 2], &[1., 2., 5., 8.]);
        let y = eval_n(&op, &[Some(&x), Some(&s), Some(&b)], 3).expect("fits");
        let k = 3f64.sqrt().recip();
        assert_near(&y[0], &[2, 2], &[-0.5, 11., -1.5 * k, 10. + 3. * k]);
        assert_near(&y[1], &[2, 1], &[1.5, 6.5]);
        assert_near(&y[2], &[2, 1], &[1., k]);
    }

    #[test]
    fn scale_stretches() {
        let op = LayerNormalization { axis: 1, ..LayerNormalization::default() };
        let x = iota(&[1, 2, 2]);
        let k = (1.25f64 + 1e-5).sqrt().recip();
        let y = eval(&op, &[Some(&x), Some(&f32s(&[2, 1], &[1., 2.])), None]).expect("fits");
        assert_near(&y[0], &[1, 2, 2], &[-1.5 * k, -0.5 * k, k, 3. * k]);
        let y = eval(&op, &[Some(&x), Some(&f32s(&[], &[2.])), None]).expect("fits");
        assert_near(&y[0], &[1, 2, 2], &[-3. * k, -k, k, 3. * k]);
        assert!(eval(&op, &[Some(&x), Some(&iota(&[3])), None]).is_err());
    }

    #[test]
    fn types() {
        let op = LayerNormalization { stash_type: DType::BF16, ..LayerNormalization::default() };
        assert_eq!(
            infer(&op, &shapes(&["f16[N, 4]", "f16[4]", "_"])).expect("fits")[0].to_string(),
            "f16[N, 4]"
        );
        let bad = LayerNormalization { axis: 2, ..op };
        assert!(infer(&bad, &shapes(&["f16[N, 4]", "f16[4]", "_"])).is_err());
    }
}
