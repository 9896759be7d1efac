//! `random_normal`, `random_uniform` and their forms that take sizes from an operand.
use super::generator::{Generator, fill};
use crate::dim::Dim;
use crate::dtype::{ANY, DType, FLOATS};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::count;
use crate::tensor::Tensor;
use crate::tensor::convert::Wide;
use crate::types::{Shape, TensorType, Type};

crate::op! {
    /// Numbers with a normal distribution, from the generator of `ir/src/ops/random/generator.rs`.
    random_normal RandomNormal() -> (output: One<T>) {
        /// Element type.
        dtype: DType = DType::F32,
        /// Mean.
        mean: f32 = 0.0,
        /// Standard deviation.
        scale: f32 = 1.0,
        /// Seed; its bits count. 0 when absent.
        seed: Option<f32> = None,
        /// Sizes.
        shape: Vec<i64> = vec![],
    } where T: FLOATS;
}
crate::op! {
    /// [`RandomNormal`] with the sizes of `input`, and its element type where `dtype` does not say.
    random_normal_like RandomNormalLike(input: One<T1>) -> (output: One<T2>) {
        /// Element type.
        dtype: Option<DType> = None,
        /// Mean.
        mean: f32 = 0.0,
        /// Standard deviation.
        scale: f32 = 1.0,
        /// Seed; its bits count. 0 when absent.
        seed: Option<f32> = None,
    } where T1: ANY, T2: FLOATS;
}
crate::op! {
    /// Numbers evenly distributed between `low` and `high`, from the generator of `ir/src/ops/random/generator.rs`.
    random_uniform RandomUniform() -> (output: One<T>) {
        /// Element type.
        dtype: DType = DType::F32,
        /// Upper bound.
        high: f32 = 1.0,
        /// Lower bound.
        low: f32 = 0.0,
        /// Seed; its bits count. 0 when absent.
        seed: Option<f32> = None,
        /// Sizes.
        shape: Vec<i64> = vec![],
    } where T: FLOATS;
}
crate::op! {
    /// [`RandomUniform`] with the sizes of `input`, and its element type where `dtype` does not say.
    random_uniform_like RandomUniformLike(input: One<T1>) -> (output: One<T2>) {
        /// Element type.
        dtype: Option<DType> = None,
        /// Upper bound.
        high: f32 = 1.0,
        /// Lower bound.
        low: f32 = 0.0,
        /// Seed; its bits count. 0 when absent.
        seed: Option<f32> = None,
    } where T1: ANY, T2: FLOATS;
}

/// Type of a result that has the sizes of operand 0 and the element type of `dtype`, or else of the operand.
///
/// # Errors
/// When that is none of `allowed`.
pub(super) fn like(
    cx: &InferCx<'_>,
    dtype: Option<DType>,
    allowed: crate::dtype::DTypeSet,
) -> Result<Vec<Type>, OpError> {
    let x = cx.tensor(0)?;
    let dtype = dtype.unwrap_or(x.dtype);
    if !allowed.contains(dtype) {
        return Err(OpError::attr(format!("random numbers of type {dtype}")).hint("set `dtype`"));
    }
    Ok(vec![TensorType::new(dtype, x.shape.clone()).into()])
}

/// Type of a result of these sizes.
fn given(dtype: DType, shape: &[i64]) -> Result<Vec<Type>, OpError> {
    if !FLOATS.contains(dtype) {
        return Err(OpError::attr(format!("random numbers of type {dtype}")));
    }
    let size = |v: &i64| u64::try_from(*v).map(Dim::Known);
    let dims = shape.iter().map(size).collect::<Result<Shape, _>>();
    let dims = dims.map_err(|_| OpError::attr(format!("{shape:?} are no sizes")))?;
    Ok(vec![TensorType::new(dtype, dims).into()])
}

fn sizes(shape: &[i64]) -> Result<Vec<usize>, OpError> {
    let all: Option<Vec<usize>> = shape.iter().map(|v| usize::try_from(*v).ok()).collect();
    all.ok_or_else(|| OpError::attr(format!("{shape:?} are no sizes")))
}

/// A tensor of drawn values.
fn drawn(
    dtype: DType,
    shape: &[usize],
    value: impl Fn(usize) -> f64 + Sync + Send,
) -> Result<Vec<Value>, OpError> {
    let n = count(shape)?;
    let values =
        if dtype == DType::F64 { Wide::F64(fill(n, value)) } else { Wide::F32(fill(n, |i| value(i) as f32)) };
    one(Tensor::from_wide(dtype, shape, &values, false)?)
}

/// Draws with mean and standard deviation.
fn normal(seed: Option<f32>, mean: f32, scale: f32) -> impl Fn(usize) -> f64 {
    let (g, mean, scale) = (Generator::of_float(seed), f64::from(mean), f64::from(scale));
    move |i| g.normal(i) * scale + mean
}

/// Draws between bounds.
fn uniform(seed: Option<f32>, low: f32, high: f32) -> impl Fn(usize) -> f64 {
    let (g, low, high) = (Generator::of_float(seed), f64::from(low), f64::from(high));
    move |i| g.uniform(i) * (high - low) + low
}

impl Semantics for RandomNormal {
    fn infer(&self, _: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        given(self.dtype, &self.shape)
    }
    fn eval(&self, _: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        drawn(self.dtype, &sizes(&self.shape)?, normal(self.seed, self.mean, self.scale))
    }
    fn pure(&self) -> bool {
        false
    }
}
impl Semantics for RandomNormalLike {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        like(cx, self.dtype, FLOATS)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        drawn(self.dtype.unwrap_or(x.dtype()), x.shape(), normal(self.seed, self.mean, self.scale))
    }
    fn pure(&self) -> bool {
        false
    }
}
impl Semantics for RandomUniform {
    fn infer(&self, _: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        given(self.dtype, &self.shape)
    }
    fn eval(&self, _: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        drawn(self.dtype, &sizes(&self.shape)?, uniform(self.seed, self.low, self.high))
    }
    fn pure(&self) -> bool {
        false
    }
}
impl Semantics for RandomUniformLike {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        like(cx, self.dtype, FLOATS)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        drawn(self.dtype.unwrap_or(x.dtype()), x.shape(), uniform(self.seed, self.low, self.high))
    }
    fn pure(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{eval, infer, shapes};

    #[test]
    fn seeds_decide_and_bounds_hold() {
        let op =
            |seed| RandomUniform { shape: vec![3, 500], low: -2.0, high: 6.0, seed, ..Default::default() };
        let run = |seed| eval(&op(seed), &[]).expect("fits").remove(0);
        assert_eq!(run(Some(1.0)), run(Some(1.0)));
        assert_ne!(run(Some(1.0)), run(Some(2.0)));
        assert_eq!(run(None), run(Some(0.0)));
        assert!(run(None).to_f64s().expect("numbers").iter().all(|v| (-2.0..=6.0).contains(v)));
    }

    #[test]
    fn like_takes_what_is_not_said() {
        let t = |dtype, x: &str| infer(&RandomNormalLike { dtype, ..Default::default() }, &shapes(&[x]));
        assert_eq!(t(None, "f16[N, 2]").expect("fits")[0].to_string(), "f16[N, 2]");
        assert_eq!(t(Some(DType::F64), "bool[N]").expect("fits")[0].to_string(), "f64[N]");
        assert!(t(None, "i32[N]").is_err() && t(Some(DType::I8), "f32[N]").is_err());
        assert!(infer(&RandomNormal { shape: vec![-1], ..Default::default() }, &[]).is_err());
        let huge = RandomNormal { shape: vec![i64::MAX, i64::MAX], ..Default::default() };
        assert!(eval(&huge, &[]).is_err());
        let mean = RandomNormal { shape: vec![4], mean: 3.5, scale: 0.0, ..Default::default() };
        assert_eq!(eval(&mean, &[]).expect("fits")[0], Tensor::from_vec(&[4], vec![3.5f32; 4]));
    }
}
