//! `multinomial`
use super::generator::{Generator, fill};
use crate::dim::Dim;
use crate::dtype::{DType, FLOATS, INDEX};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::count;
use crate::tensor::Tensor;
use crate::tensor::convert::Wide;
use crate::types::{TensorType, Type};

crate::op! {
    /// `sample_size` outcomes for each row of `input`, which holds the logarithms of their probabilities up to a constant, by the
    /// generator of `ir/src/ops/random/generator.rs`. An outcome whose logarithm is not finite never occurs.
    multinomial Multinomial(input: One<T1>) -> (output: One<T2>) {
        /// Element type of the result.
        dtype: DType = DType::I32,
        /// Number of outcomes drawn.
        sample_size: i64 = 1,
        /// Seed; its bits count. 0 when absent.
        seed: Option<f32> = None,
    } where T1: FLOATS, T2: INDEX;
}

impl Multinomial {
    fn samples(&self) -> Result<u64, OpError> {
        let bad = || OpError::attr(format!("sample_size {} must be at least 1", self.sample_size));
        u64::try_from(self.sample_size).ok().filter(|n| *n > 0).ok_or_else(bad)
    }
}

/// Sums of the probabilities up to each outcome, times a constant.
fn sums(row: &[f64]) -> Result<Vec<f64>, OpError> {
    let best = row.iter().copied().filter(|v| v.is_finite()).reduce(f64::max);
    let best = best.ok_or_else(|| OpError::eval("a row of `multinomial` has no possible outcome"))?;
    let mut total = 0.0;
    let next = |v: &f64| {
        total += if v.is_finite() { libm::exp(v - best) } else { 0.0 };
        total
    };
    Ok(row.iter().map(next).collect())
}

impl Semantics for Multinomial {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        if !INDEX.contains(self.dtype) {
            return Err(OpError::attr(format!("outcomes are i32 or i64, not {}", self.dtype)));
        }
        let batch = match cx.shape(0)?.map(Vec::as_slice) {
            None => Dim::Unknown,
            Some([n, _]) => n.clone(),
            Some(_) => {
                return Err(OpError::shape(format!("outcomes are [batch, class], got {}", cx.tensor(0)?)));
            }
        };
        Ok(vec![TensorType::new(self.dtype, vec![batch, Dim::Known(self.samples()?)]).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        let &[batch, classes] = x.shape() else { return Err(OpError::shape("outcomes have two axes")) };
        let samples =
            usize::try_from(self.samples()?).map_err(|_| OpError::attr("sample_size is too large"))?;
        if batch > 0 && classes == 0 {
            return Err(OpError::shape("there is nothing to draw from no classes"));
        }
        let rows = x.to_f64s()?.chunks_exact(classes.max(1)).map(sums).collect::<Result<Vec<_>, _>>()?;
        let g = Generator::of_float(self.seed);
        let draw = |i: usize| {
            let row = &rows[i / samples];
            let at = g.uniform(i) * row.last().copied().unwrap_or(0.0);
            // The first outcome whose sum lies above; a product that is rounded up to the total belongs to the last possible one.
            let found = row.partition_point(|s| *s <= at);
            let last = || row.partition_point(|s| Some(s) < row.last());
            (if found < row.len() { found } else { last() }) as i64
        };
        let shape = [batch, samples];
        one(Tensor::from_wide(self.dtype, &shape, &Wide::I64(fill(count(&shape)?, draw)), false)?)
    }
    fn pure(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{eval, f32s, infer, shapes};

    #[test]
    fn outcomes_follow_their_odds() {
        let op = Multinomial { sample_size: 4000, dtype: DType::I64, ..Multinomial::default() };
        let x = f32s(&[2, 3], &[3f32.ln(), f32::NEG_INFINITY, 0.0, f32::NAN, 5.0, f32::INFINITY]);
        let y = eval(&op, &[Some(&x)]).expect("fits")[0].to_i64s().expect("i64");
        let share = |v: i64| y[..4000].iter().filter(|o| **o == v).count();
        assert!((2850..3150).contains(&share(0)) && share(1) == 0 && share(2) == 4000 - share(0));
        assert!(y[4000..].iter().all(|o| *o == 1));
        assert!(eval(&op, &[Some(&f32s(&[1, 1], &[f32::NEG_INFINITY]))]).is_err());
        assert!(eval(&op, &[Some(&f32s(&[1, 0], &[]))]).is_err());
    }

    #[test]
    fn types() {
        let t = infer(&Multinomial { sample_size: 5, ..Multinomial::default() }, &shapes(&["f16[N, 3]"]));
        assert_eq!(t.expect("fits")[0].to_string(), "i32[N, 5]");
        assert!(infer(&Multinomial::default(), &shapes(&["f32[3]"])).is_err());
        for op in [
            Multinomial { sample_size: 0, ..Default::default() },
            Multinomial { dtype: DType::F32, ..Default::default() },
        ] {
            assert!(infer(&op, &shapes(&["f32[N, 3]"])).is_err());
        }
    }
}
