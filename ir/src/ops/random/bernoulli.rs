//! `bernoulli`
use super::fill::{RandomUniformLike, like};
use super::generator::{Generator, fill};
use crate::builder::Builder;
use crate::dtype::{BOOL_ONLY, DType, DTypeSet, FLOATS, NUMERIC};
use crate::eval::{EvalCx, Value, one};
use crate::expand::{Expanded, dtype_of, narrowed, operand};
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::ops::elementwise::compare::Less;
use crate::tensor::Tensor;
use crate::tensor::convert::Wide;
use crate::types::Type;

const DRAWN: DTypeSet = NUMERIC.or(BOOL_ONLY);

crate::op! {
    /// 1 with the probability that each element of `input` is, else 0, by the generator of `ir/src/ops/random/generator.rs`.
    bernoulli Bernoulli(input: One<T1>) -> (output: One<T2>) {
        /// Element type of the result; that of `input` when absent.
        dtype: Option<DType> = None,
        /// Seed; its bits count. 0 when absent.
        seed: Option<f32> = None,
    } where T1: FLOATS, T2: DRAWN;
}

impl Semantics for Bernoulli {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        like(cx, self.dtype, DRAWN)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        let p = x.to_f64s()?;
        if let Some(bad) = p.iter().find(|p| !(0.0..=1.0).contains(*p)) {
            return Err(OpError::eval(format!("{bad} is no probability")));
        }
        let g = Generator::of_float(self.seed);
        let drawn = fill(p.len(), |i| i64::from(g.uniform(i) < p[i]));
        one(Tensor::from_wide(self.dtype.unwrap_or(x.dtype()), x.shape(), &Wide::I64(drawn), false)?)
    }
    /// Numbers between 0 and 1 that are below the probabilities.
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
        let x = operand(inputs, 0)?;
        let Some(given) = dtype_of(b, x).filter(|d| *d != DType::F64) else { return Ok(None) };
        let p = narrowed(b, x, DType::F32)?;
        let draw =
            RandomUniformLike { dtype: Some(DType::F32), seed: self.seed, ..RandomUniformLike::default() };
        let drawn = b.random_uniform_like(draw, p)?;
        let below = b.less(Less {}, drawn, p)?;
        Ok(Some(vec![narrowed(b, below, self.dtype.unwrap_or(given))?]))
    }
    fn pure(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{eval, f32s};

    #[test]
    fn certain_and_even_odds() {
        let sure = f32s(&[4], &[0.0, 1.0, 1.0, 0.0]);
        let op = Bernoulli { dtype: Some(DType::Bool), ..Bernoulli::default() };
        let y = eval(&op, &[Some(&sure)]).expect("fits");
        assert_eq!(y[0], Tensor::from_bools(&[4], vec![false, true, true, false]));
        let even = f32s(&[10_000], &vec![0.25; 10_000]);
        let ones: f64 = eval(&Bernoulli::default(), &[Some(&even)]).expect("fits")[0]
            .to_f64s()
            .expect("numbers")
            .iter()
            .sum();
        assert!((2300.0..2700.0).contains(&ones), "{ones}");
        for bad in [f32::NAN, -0.1, 1.5] {
            assert!(eval(&op, &[Some(&f32s(&[1], &[bad]))]).is_err());
        }
    }
}
