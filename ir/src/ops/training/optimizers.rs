//! `adagrad`, `adam` and `momentum`: one step of an optimizer, of the operator set `ai.onnx.preview.training`.
//!
//! Operands are a learning rate, the number of steps done before, then for `n` tensors the values of all, the gradients of all, and one or
//! two states of all. Results are the new values of all and the new states of all. Numbers are computed in 64 bits and rounded once.
use crate::attr::Word;
use crate::dtype::{DType, DTypeSet, I64_ONLY};
use crate::eval::{EvalCx, Value};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::tensor::Tensor;
use crate::tensor::convert::Wide;
use crate::types::{TensorType, Type};

const WIDE: DTypeSet = DTypeSet::of(&[DType::F32, DType::F64]);

/// How a momentum moves the values.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MomentumMode {
    /// Along the momentum.
    #[default]
    Standard,
    /// Along the gradient and the next momentum (Nesterov).
    Nesterov,
}

impl Word for MomentumMode {
    const KIND: &'static str = "momentum_mode";
    const WORDS: &'static [(Self, &'static str)] =
        &[(Self::Standard, "standard"), (Self::Nesterov, "nesterov")];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

crate::op! {
    /// `h' = h + g'^2`, `x' = x - r / (1 + t * decay_factor) * g' / (sqrt(h') + epsilon)` with `g' = g + norm_coefficient * x`. Operands
    /// after `r` and `t` are all `x`, all `g`, all `h`; results all `x'`, all `h'`.
    adagrad Adagrad(r: One<T1>, t: One<T2>, inputs: Many<T3>) -> (outputs: Many<T3>) {
        /// How fast the learning rate falls.
        decay_factor: f32 = 0.0,
        /// Added to the root.
        epsilon: f32 = 1e-6,
        /// Weight of the values in their gradient.
        norm_coefficient: f32 = 0.0,
    } where T1: WIDE, T2: I64_ONLY, T3: WIDE;
}
crate::op! {
    /// `v' = alpha * v + (1 - alpha) * g'`, `h' = beta * h + (1 - beta) * g'^2`, and
    /// `x' = (1 - norm_coefficient_post) * (x - r' * v' / (sqrt(h') + epsilon))` with `g' = g + norm_coefficient * x` and
    /// `r' = r * sqrt(1 - beta^t) / (1 - alpha^t)`, or `r` at step 0. Operands after `r` and `t` are all `x`, all `g`, all `v`, all `h`;
    /// results all `x'`, all `v'`, all `h'`.
    adam Adam(r: One<T1>, t: One<T2>, inputs: Many<T3>) -> (outputs: Many<T3>) {
        /// Share of `v` that stays.
        alpha: f32 = 0.9,
        /// Share of `h` that stays.
        beta: f32 = 0.999,
        /// Added to the root.
        epsilon: f32 = 1e-6,
        /// Weight of the values in their gradient.
        norm_coefficient: f32 = 0.0,
        /// Share of the values that is lost after the step.
        norm_coefficient_post: f32 = 0.0,
    } where T1: WIDE, T2: I64_ONLY, T3: WIDE;
}
crate::op! {
    /// `v' = alpha * v + beta * g'`, with a `beta` of 1 at step 0, and `x' = x - r * v'`, or `x - r * (g' + alpha * v')` after Nesterov,
    /// with `g' = g + norm_coefficient * x`. Operands after `r` and `t` are all `x`, all `g`, all `v`; results all `x'`, all `v'`.
    momentum Momentum(r: One<T1>, t: One<T2>, inputs: Many<T3>) -> (outputs: Many<T3>) {
        /// Share of `v` that stays.
        alpha: f32 = 0.0,
        /// Weight of the gradient.
        beta: f32 = 1.0,
        /// How the momentum moves the values.
        mode: MomentumMode = MomentumMode::Standard,
        /// Weight of the values in their gradient.
        norm_coefficient: f32 = 0.0,
    } where T1: WIDE, T2: I64_ONLY, T3: WIDE;
}

/// Learning rate and number of steps.
#[derive(Clone, Copy)]
struct Step {
    rate: f64,
    done: i64,
}

/// Number of optimized tensors of a node whose tensors come `per` at a time.
fn tensors(operands: usize, per: usize) -> Result<usize, OpError> {
    let all = operands.saturating_sub(2);
    if all == 0 || !all.is_multiple_of(per) {
        return Err(OpError::operand(format!("{all} tensors are not {per} for each that is optimized")));
    }
    Ok(all / per)
}

/// Types of the results: those of the values for each result of each tensor. An optimizer has `states` states.
fn infer(cx: &InferCx<'_>, states: usize) -> Result<Vec<Type>, OpError> {
    let n = tensors(cx.len(), states + 2)?;
    for i in 0..2 {
        if cx.shape(i)?.is_some_and(|s| s.iter().any(|d| d.known().is_some_and(|d| d != 1))) {
            return Err(OpError::operand(format!("operand {i} must be one number, is {}", cx.tensor(i)?)));
        }
    }
    let mut types: Vec<TensorType> = vec![];
    for i in 0..n {
        let mut ty = Type::from(cx.tensor(2 + i)?.clone());
        for k in 1..states + 2 {
            let other = cx.ty(2 + k * n + i)?;
            let differ = || OpError::shape(format!("{other} does not belong to values {ty}"));
            ty = ty.meet(other).ok_or_else(differ)?;
        }
        types.extend(ty.as_tensor().cloned());
    }
    let one = |_: usize| types.iter().cloned().map(Type::from);
    Ok((0..=states).flat_map(one).collect())
}

/// Runs `step` on each element: value, gradient and states, which it makes the next value and states.
fn optimize<const S: usize>(
    cx: &EvalCx<'_>,
    step: impl Fn(Step, f64, f64, [f64; S]) -> (f64, [f64; S]),
) -> Result<Vec<Value>, OpError> {
    let n = tensors(cx.len(), S + 2)?;
    let bad = || OpError::operand("the learning rate and the number of steps must be one number each");
    let now =
        Step { rate: cx.tensor(0)?.as_f64().ok_or_else(bad)?, done: cx.tensor(1)?.as_int().ok_or_else(bad)? };
    let mut results: Vec<Vec<Value>> = vec![vec![]; S + 1];
    for i in 0..n {
        let part = |k: usize| -> Result<Vec<f64>, OpError> { Ok(cx.tensor(2 + k * n + i)?.to_f64s()?) };
        let (mut x, g) = (part(0)?, part(1)?);
        let mut states = (2..S + 2).map(part).collect::<Result<Vec<_>, _>>()?;
        if g.len() != x.len() || states.iter().any(|s| s.len() != x.len()) {
            return Err(OpError::shape("values, gradients and states differ in size"));
        }
        for (j, x) in x.iter_mut().enumerate() {
            let (next, new) = step(now, *x, g[j], std::array::from_fn(|s| states[s][j]));
            *x = next;
            states.iter_mut().zip(new).for_each(|(s, v)| s[j] = v);
        }
        let like = cx.tensor(2 + i)?;
        for (results, values) in results.iter_mut().zip(std::iter::once(x).chain(states)) {
            let t = Tensor::from_wide(like.dtype(), like.shape(), &Wide::F64(values), false)?;
            results.push(t.into());
        }
    }
    Ok(results.into_iter().flatten().collect())
}

impl Semantics for Adagrad {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        infer(cx, 1)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let [decay, epsilon, norm] = [self.decay_factor, self.epsilon, self.norm_coefficient].map(f64::from);
        optimize(&cx, |now, x, g, [h]| {
            let (rate, g) = (now.rate / (1.0 + now.done as f64 * decay), norm * x + g);
            let h = h + g * g;
            (x - rate * g / (h.sqrt() + epsilon), [h])
        })
    }
}

impl Semantics for Adam {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        infer(cx, 2)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let [alpha, beta, epsilon] = [self.alpha, self.beta, self.epsilon].map(f64::from);
        let [norm, after] = [self.norm_coefficient, self.norm_coefficient_post].map(f64::from);
        optimize(&cx, |now, x, g, [v, h]| {
            let g = norm * x + g;
            let (v, h) = (alpha * v + (1.0 - alpha) * g, beta * h + (1.0 - beta) * g * g);
            let rate = if now.done > 0 {
                let power = |b: f64| 1.0 - libm::pow(b, now.done as f64);
                now.rate * power(beta).sqrt() / power(alpha)
            } else {
                now.rate
            };
            ((1.0 - after) * (x - rate * v / (h.sqrt() + epsilon)), [v, h])
        })
    }
}

impl Semantics for Momentum {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        infer(cx, 1)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let [alpha, beta, norm] = [self.alpha, self.beta, self.norm_coefficient].map(f64::from);
        optimize(&cx, |now, x, g, [v]| {
            let g = norm * x + g;
            let v = alpha * v + if now.done > 0 { beta } else { 1.0 } * g;
            let along = match self.mode {
                MomentumMode::Standard => v,
                MomentumMode::Nesterov => g + alpha * v,
            };
            (x - now.rate * along, [v])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{assert_near, eval_n, f32s, infer, shapes};

    #[test]
    fn results_of_several_tensors_come_by_kind() {
        let op = Momentum { alpha: 0.5, beta: 2.0, ..Momentum::default() };
        let (r, t) = (Tensor::scalar(0.1f32), Tensor::scalar(1i64));
        let [a, b] = [f32s(&[1], &[1.0]), f32s(&[2], &[2.0, 3.0])];
        let all = [&r, &t, &a, &b, &a, &b, &a, &b].map(Some);
        let y = eval_n(&op, &all, 4).expect("fits");
        assert_near(&y[0], &[1], &[0.75]);
        assert_near(&y[1], &[2], &[1.5, 2.25]);
        assert_near(&y[2], &[1], &[2.5]);
        assert_near(&y[3], &[2], &[5.0, 7.5]);
        assert!(eval_n(&op, &all[..7], 2).is_err() && eval_n(&op, &all[..2], 0).is_err());
    }

    #[test]
    fn types() {
        let op = Adagrad::default();
        let t = infer(&op, &shapes(&["f32[]", "i64[]", "f64[N, ?]", "f64[?, 3]", "f64[*]"])).expect("fits");
        assert_eq!(t[0].to_string(), "f64[N, 3]");
        assert!(infer(&op, &shapes(&["f32[]", "i64[]", "f64[2]", "f64[3]", "f64[*]"])).is_err());
        assert!(infer(&op, &shapes(&["f32[2]", "i64[]", "f64[2]", "f64[2]", "f64[2]"])).is_err());
    }
}
