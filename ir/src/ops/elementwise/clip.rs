//! `clip`
use super::broadcast::each;
use super::expansions;
use super::map::zip_tensors;
use super::variadic::{larger, smaller};
use crate::builder::Builder;
use crate::dtype::{DType, NUMERIC};
use crate::eval::{EvalCx, Value, one};
use crate::expand::Expanded;
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::tensor::Tensor;
use crate::types::Type;

crate::op! {
    /// `output = min(max, max(input, min))`, where an absent bound does not bound.
    clip Clip(input: One<T>, min: Opt<T>, max: Opt<T>) -> (output: One<T>) {} where T: NUMERIC;
}

impl Semantics for Clip {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        for i in (1..3).filter(|i| cx.has(*i)) {
            let bound = cx.tensor(i)?;
            if bound.sizes().is_some_and(|s| s.iter().any(|n| *n != 1)) {
                return Err(OpError::shape(format!("a bound of `clip` must be a single number, is {bound}")));
            }
        }
        Ok(vec![cx.tensor(0)?.clone().into()])
    }
    fn eval(&self, mut cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let mut x = cx.take(0)?;
        let shape = x.shape().to_vec();
        let scalar = |t: Option<&Tensor>| t.map(|t| t.reshape(&[])).transpose();
        let (low, high) = (scalar(cx.opt(1)?)?, scalar(cx.opt(2)?)?);
        if x.dtype() == DType::F32 {
            let bound = |t: Option<Tensor>, absent: f32| -> Result<f32, OpError> {
                Ok(t.map_or(Ok(vec![absent]), |t| t.into_vec::<f32>())?.first().copied().unwrap_or(absent))
            };
            let (low, high) = (bound(low, f32::NEG_INFINITY)?, bound(high, f32::INFINITY)?);
            let mut values = x.into_vec::<f32>()?;
            each(&mut values, move |v| smaller(larger(v, low), high));
            return one(Tensor::from_vec(&shape, values));
        }
        if let Some(low) = low {
            x = zip_tensors(x, low, larger, larger, larger, larger)?;
        }
        if let Some(high) = high {
            x = zip_tensors(x, high, smaller, smaller, smaller, smaller)?;
        }
        one(x)
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], outputs: usize) -> Expanded {
        expansions::clip(self, b, inputs, outputs)
    }
}
