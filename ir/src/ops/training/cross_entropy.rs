//! `negative_log_likelihood_loss` and `softmax_cross_entropy_loss`
use super::expansions;
use crate::attr::Word;
use crate::builder::Builder;
use crate::dim::Dim;
use crate::dtype::{FLOATS, INDEX};
use crate::eval::{EvalCx, Value};
use crate::expand::Expanded;
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::{PARALLEL, count};
use crate::tensor::Tensor;
use crate::tensor::convert::Wide;
use crate::types::{Shape, TensorType, Type};
use rayon::prelude::*;

/// What becomes of the losses of all samples.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LossReduction {
    /// Their sum divided by the sum of their weights: 1 each, or what the weights of their classes are; 0 for ignored ones.
    #[default]
    Mean,
    /// Their sum.
    Sum,
    /// They are the result.
    None,
}

impl Word for LossReduction {
    const KIND: &'static str = "loss_reduction";
    const WORDS: &'static [(Self, &'static str)] =
        &[(Self::Mean, "mean"), (Self::Sum, "sum"), (Self::None, "none")];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

crate::op! {
    /// `-input` at the class that `target` names for each sample, times the weight of the class. `input` is `[N, C, ...]`, `target`
    /// `[N, ...]`, `weight` `[C]`. Computed in 64 bits and rounded once.
    negative_log_likelihood_loss NegativeLogLikelihoodLoss(input: One<T>, target: One<I>, weight: Opt<T>) -> (loss: One<T>) {
        /// A class whose samples have no loss and no weight; it may be out of range.
        ignore_index: Option<i64> = None,
        /// What becomes of the losses of all samples.
        reduction: LossReduction = LossReduction::Mean,
    } where T: FLOATS, I: INDEX;
}
crate::op! {
    /// [`NegativeLogLikelihoodLoss`] of `log_prob`, the logarithms of the softmax of `scores` over its axis of classes.
    softmax_cross_entropy_loss SoftmaxCrossEntropyLoss(scores: One<T>, labels: One<I>, weights: Opt<T>)
        -> (output: One<T>, log_prob: Opt<T>) {
        /// A class whose samples have no loss and no weight; it may be out of range.
        ignore_index: Option<i64> = None,
        /// What becomes of the losses of all samples.
        reduction: LossReduction = LossReduction::Mean,
    } where T: FLOATS, I: INDEX;
}

/// The attributes of both.
#[derive(Clone, Copy)]
struct Loss {
    ignore: Option<i64>,
    reduction: LossReduction,
}

impl Loss {
    /// Type of the loss.
    fn infer(self, cx: &InferCx<'_>) -> Result<TensorType, OpError> {
        let (x, target) = (cx.tensor(0)?, cx.tensor(1)?);
        let samples = samples_of(x, target)?;
        if cx.has(2) {
            let classes = x.shape.as_ref().map_or(Dim::Unknown, |s| s[1].clone());
            if cx.shape(2)?.is_some_and(|s| s.len() != 1 || s[0].surely_differs(&classes)) {
                return Err(OpError::shape(format!("weights {} are not one for each class", cx.tensor(2)?)));
            }
        }
        let shape = if self.reduction == LossReduction::None { samples } else { Some(vec![]) };
        Ok(TensorType { dtype: x.dtype, shape })
    }
    /// The loss of logarithms of probabilities `[N, C, inner]`.
    fn eval(self, cx: &EvalCx<'_>, logs: &[f64]) -> Result<Tensor, OpError> {
        let (x, target) = (cx.tensor(0)?, cx.tensor(1)?);
        let (classes, inner) = (x.shape()[1], count(&x.shape()[2..])?);
        let weights = cx.opt(2)?.map(Tensor::to_f64s).transpose()?;
        if weights.as_ref().is_some_and(|w| w.len() != classes)
            || x.len() != target.len().saturating_mul(classes)
        {
            return Err(OpError::shape(format!("targets {} do not fit {}", target.ty(), x.ty())));
        }
        let (mut total, mut weight) = (0.0, 0.0);
        let mut losses = Vec::with_capacity(target.len());
        for (i, class) in target.to_i64s()?.into_iter().enumerate() {
            if Some(class) == self.ignore {
                losses.push(0.0);
                continue;
            }
            let outside = || OpError::eval(format!("class {class} is not one of {classes}"));
            let c = usize::try_from(class).ok().filter(|c| *c < classes).ok_or_else(outside)?;
            let w = weights.as_ref().map_or(1.0, |w| w[c]);
            let loss = -logs[(i / inner * classes + c) * inner + i % inner] * w;
            losses.push(loss);
            total += loss;
            weight += w;
        }
        let (shape, values) = match self.reduction {
            LossReduction::None => (target.shape(), losses),
            LossReduction::Sum => (&[][..], vec![total]),
            LossReduction::Mean => (&[][..], vec![total / weight]),
        };
        Ok(Tensor::from_wide(x.dtype(), shape, &Wide::F64(values), false)?)
    }
}

/// Sizes of the targets for data of type `x`.
fn samples_of(x: &TensorType, target: &TensorType) -> Result<Option<Shape>, OpError> {
    let Some(shape) = &x.shape else { return Ok(target.shape.clone()) };
    let bad = || OpError::shape(format!("targets {target} do not fit {x}"));
    let [batch, _, inner @ ..] = shape.as_slice() else { return Err(bad()) };
    let mut own: Shape = std::iter::once(batch).chain(inner).cloned().collect();
    if let Some(t) = &target.shape {
        if t.len() != own.len() || t.iter().zip(&own).any(|(a, b)| a.surely_differs(b)) {
            return Err(bad());
        }
        for (a, b) in own.iter_mut().zip(t) {
            if b.known().is_some() || *a == Dim::Unknown {
                *a = b.clone();
            }
        }
    }
    Ok(Some(own))
}

/// Logarithms of the softmax over the middle axis of `[N, classes, inner]`.
fn log_softmax(x: &mut [f64], classes: usize, inner: usize) {
    if x.is_empty() {
        return;
    }
    let sample = |x: &mut [f64]| {
        for i in 0..inner {
            let at = |c: usize| c * inner + i;
            let largest = (0..classes).map(|c| x[at(c)]).fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = (0..classes).map(|c| (x[at(c)] - largest).exp()).sum();
            let log = sum.ln();
            (0..classes).for_each(|c| x[at(c)] = x[at(c)] - largest - log);
        }
    };
    let size = classes * inner;
    if x.len() < PARALLEL {
        x.chunks_mut(size).for_each(sample);
    } else {
        x.par_chunks_mut(size).for_each(sample);
    }
}

impl Semantics for NegativeLogLikelihoodLoss {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let loss = Loss { ignore: self.ignore_index, reduction: self.reduction };
        Ok(vec![loss.infer(cx)?.into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let loss = Loss { ignore: self.ignore_index, reduction: self.reduction };
        Ok(vec![loss.eval(&cx, &cx.tensor(0)?.to_f64s()?)?.into()])
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], outputs: usize) -> Expanded {
        expansions::negative_log_likelihood(self, b, inputs, outputs)
    }
}

impl Semantics for SoftmaxCrossEntropyLoss {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let loss = Loss { ignore: self.ignore_index, reduction: self.reduction };
        Ok(vec![loss.infer(cx)?.into(), cx.ty(0)?.clone()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        let mut logs = x.to_f64s()?;
        log_softmax(&mut logs, x.shape()[1], count(&x.shape()[2..])?);
        let loss = Loss { ignore: self.ignore_index, reduction: self.reduction };
        let mut results = vec![loss.eval(&cx, &logs)?.into()];
        if cx.outputs > 1 {
            results.push(Tensor::from_wide(x.dtype(), x.shape(), &Wide::F64(logs), false)?.into());
        }
        Ok(results)
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], outputs: usize) -> Expanded {
        expansions::softmax_cross_entropy(self, b, inputs, outputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{assert_near, eval, eval_n, f32s, infer, shapes};

    #[test]
    fn reductions_weights_and_ignored_samples() {
        let x = f32s(&[2, 3, 2], &[1., 2., 2., 2., 3., 2., 0., 1., 2., 2., 1., 2.]);
        let target = Tensor::from_vec(&[2, 2], vec![2i64, 1, 0, 2]);
        let weight = f32s(&[3], &[0.2, 0.3, 0.1]);
        let run = |reduction, ignore_index, weight: Option<&Tensor>| {
            let op = NegativeLogLikelihoodLoss { ignore_index, reduction };
            eval(&op, &[Some(&x), Some(&target), weight]).expect("fits").remove(0)
        };
        // The examples of the specification.
        assert_near(&run(LossReduction::None, None, None), &[2, 2], &[-3., -2., 0., -2.]);
        assert_near(&run(LossReduction::Sum, None, Some(&weight)), &[], &[-1.1]);
        assert_near(&run(LossReduction::Mean, None, Some(&weight)), &[], &[-1.1 / 0.7]);
        assert_near(&run(LossReduction::Mean, Some(2), None), &[], &[-1.0]);
        assert_near(&run(LossReduction::Mean, Some(-1), None), &[], &[-7.0 / 4.0]);
        let hostile = Tensor::from_vec(&[2, 2], vec![0i64, 1, 3, i64::MIN]);
        let op = NegativeLogLikelihoodLoss::default();
        assert!(eval(&op, &[Some(&x), Some(&hostile)]).is_err());
    }

    #[test]
    fn scores_become_logarithms() {
        let x = f32s(&[1, 2], &[1000.0, 1000.0]);
        let op = SoftmaxCrossEntropyLoss::default();
        let y = eval_n(&op, &[Some(&x), Some(&Tensor::from_vec(&[1], vec![1i32]))], 2).expect("fits");
        assert_near(&y[0], &[], &[2f64.ln()]);
        assert_near(&y[1], &[1, 2], &[-2f64.ln(), -2f64.ln()]);
        let none = f32s(&[0], &[]).reshape(&[0, 1 << 40, 1 << 40]).expect("empty");
        let target = Tensor::from_vec::<i32>(&[0], vec![]).reshape(&[0, 1 << 40]).expect("empty");
        assert!(eval(&op, &[Some(&none), Some(&target)]).expect("fits")[0].as_f64().is_some_and(f64::is_nan));
        let all = SoftmaxCrossEntropyLoss { ignore_index: Some(1), ..op };
        let y = eval(&all, &[Some(&x), Some(&Tensor::from_vec(&[1], vec![1i32]))]).expect("fits");
        assert!(y[0].as_f64().is_some_and(f64::is_nan));
    }

    #[test]
    fn types() {
        let none = NegativeLogLikelihoodLoss { reduction: LossReduction::None, ..Default::default() };
        let t = infer(&none, &shapes(&["f16[N, 3, H, 4]", "i32[?, 2, ?]"])).expect("fits");
        assert_eq!(t[0].to_string(), "f16[N, 2, 4]");
        let mean = NegativeLogLikelihoodLoss::default();
        assert_eq!(infer(&mean, &shapes(&["f32[*]", "i64[*]"])).expect("fits")[0].to_string(), "f32[]");
        assert!(infer(&mean, &shapes(&["f32[3]", "i64[3]"])).is_err());
        assert!(infer(&mean, &shapes(&["f32[3, 4]", "i64[4]"])).is_err());
        assert!(infer(&mean, &shapes(&["f32[3, 4]", "i64[3]", "f32[3]"])).is_err());
    }
}
