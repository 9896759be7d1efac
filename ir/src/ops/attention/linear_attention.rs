//! `linear_attention`
use super::causal_conv_with_state::agreed;
use super::recurrence::{Plan, Run};
use super::rotary_embedding::SINGLE;
use crate::attr::Word;
use crate::builder::Builder;
use crate::dim::{Dim, SymInt};
use crate::dtype::DType;
use crate::eval::{EvalCx, Value};
use crate::expand::Expanded;
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::tensor::Tensor;
use crate::tensor::convert::Wide;
use crate::types::{Shape, TensorType, Type};

/// How the state of linear attention goes from one token to the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum UpdateRule {
    /// `S + k v^T`.
    Linear,
    /// `e^g S + k v^T`.
    Gated,
    /// `S + b k (v - S^T k)^T`.
    Delta,
    /// `e^g S + b k (v - e^g S^T k)^T`.
    #[default]
    GatedDelta,
}

impl Word for UpdateRule {
    const KIND: &'static str = "update_rule";
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::Linear, "linear"),
        (Self::Gated, "gated"),
        (Self::Delta, "delta"),
        (Self::GatedDelta, "gated_delta"),
    ];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

impl UpdateRule {
    /// Whether the state decays.
    pub fn decays(self) -> bool {
        matches!(self, Self::Gated | Self::GatedDelta)
    }
    /// Whether what the state already gives for the key is taken off.
    pub fn corrects(self) -> bool {
        matches!(self, Self::Delta | Self::GatedDelta)
    }
}

crate::op! {
    /// Attention with a state `[B, G, D, Dv]` in place of keys and values, updated token by token by `update_rule`; the result is
    /// `scale * q^T S` of the new state. `query` `[B, T, H * D]`, `key` `[B, T, G * D]`, `value` `[B, T, G * Dv]`, `decay` `[B, T, G]` or
    /// `[B, T, G * D]`, `beta` `[B, T, G]` or `[B, T, 1]`; `H` is a multiple of `G`. Computed in `f32`.
    linear_attention LinearAttention(
        query: One<T>, key: One<T>, value: One<T>, past_state: Opt<S>, decay: Opt<T>, beta: Opt<T>
    ) -> (output: One<T>, present_state: One<S>) {
        /// Tokens that an implementation may take together. Without meaning.
        chunk_size: i64 = 64,
        /// Heads of keys and values.
        kv_num_heads: i64 = 0,
        /// Heads of queries.
        q_num_heads: i64 = 0,
        /// Factor of the result; 0 is `1 / sqrt(D)`.
        scale: f32 = 0.0,
        /// How the state goes from one token to the next.
        update_rule: UpdateRule = UpdateRule::GatedDelta,
    } where T: SINGLE, S: SINGLE;
}

fn split(d: &Dim, heads: i64, what: &str) -> Result<Dim, OpError> {
    if d.known().is_some_and(|d| !d.is_multiple_of(heads.unsigned_abs())) {
        return Err(OpError::shape(format!("{what}: {d} features are no multiple of {heads} heads")));
    }
    Ok(d.combine(&Dim::from_sym(Some(heads.into())), SymInt::floor_div))
}

impl LinearAttention {
    fn check(&self, cx: &InferCx<'_>) -> Result<(), OpError> {
        let (h, g) = (self.q_num_heads, self.kv_num_heads);
        if g <= 0 || h <= 0 || h % g != 0 {
            return Err(OpError::attr(format!("{h} heads of queries are no multiple of {g} of keys")));
        }
        let rule = self.update_rule;
        for (slot, needed, name) in [(4, rule.decays(), "decay"), (5, rule.corrects(), "beta")] {
            if cx.has(slot) != needed {
                let verb = if needed { "needs" } else { "has no" };
                return Err(OpError::operand(format!("the rule `{}` {verb} `{name}`", rule.word())));
            }
        }
        Ok(())
    }
}

/// Sizes of operand `i`, unknown ones where it is absent or of unknown rank.
fn sizes<const N: usize>(cx: &InferCx<'_>, i: usize) -> Result<[Dim; N], OpError> {
    let open = || std::array::from_fn(|_| Dim::Unknown);
    if !cx.has(i) {
        return Ok(open());
    }
    let Some(shape) = cx.shape(i)? else { return Ok(open()) };
    shape.clone().try_into().map_err(|s: Shape| {
        OpError::shape(format!("operand {i} of `linear_attention` has rank {N}, not {}", s.len()))
    })
}

impl Semantics for LinearAttention {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        self.check(cx)?;
        let [qb, qt, qd] = sizes::<3>(cx, 0)?;
        let [kb, kt, kd] = sizes::<3>(cx, 1)?;
        let [vb, vt, vd] = sizes::<3>(cx, 2)?;
        let [sb, sg, sd, sv] = sizes::<4>(cx, 3)?;
        let (h, g) = (self.q_num_heads, self.kv_num_heads);
        let groups = Dim::Known(g.unsigned_abs());
        agreed(&sg, &groups, "heads of the state")?;
        let d = agreed(&split(&qd, h, "queries")?, &split(&kd, g, "keys")?, "features of queries and keys")?;
        let d = agreed(&d, &sd, "features of keys and state")?;
        let dv = agreed(&split(&vd, g, "values")?, &sv, "features of values and state")?;
        let mut batch = agreed(&agreed(&qb, &kb, "batch")?, &agreed(&vb, &sb, "batch")?, "batch")?;
        let mut tokens = agreed(&agreed(&qt, &kt, "tokens")?, &vt, "tokens")?;
        let full = d.known().and_then(|d| d.checked_mul(g.unsigned_abs()));
        for (slot, allowed) in [(4, [Some(g.unsigned_abs()), full]), (5, [Some(g.unsigned_abs()), Some(1)])] {
            let [b, t, last] = sizes::<3>(cx, slot)?;
            batch = agreed(&batch, &b, "batch")?;
            tokens = agreed(&tokens, &t, "tokens")?;
            let complete = allowed.iter().all(Option::is_some);
            if complete && last.known().is_some_and(|n| !allowed.contains(&Some(n))) {
                return Err(OpError::shape(format!("operand {slot} has {last} numbers for each token")));
            }
        }
        let y = vec![batch.clone(), tokens, dv.combine(&Dim::Known(h.unsigned_abs()), SymInt::mul)];
        let state = vec![batch, groups, d, dv];
        let dtype = cx.dtype(0)?;
        let kept = if cx.has(3) { cx.dtype(3)? } else { dtype };
        Ok(vec![TensorType::new(dtype, y).into(), TensorType::new(kept, state).into()])
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _outputs: usize) -> Expanded {
        super::linear_expansion::expand(self, b, inputs)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (q, k, v) = (cx.tensor(0)?, cx.tensor(1)?, cx.tensor(2)?);
        let (&[batch, tokens, q_last], &[_, _, v_last]) = (q.shape(), v.shape()) else {
            return Err(OpError::shape("operands of `linear_attention` have rank 3"));
        };
        let (heads, groups) =
            (self.q_num_heads.unsigned_abs() as usize, self.kv_num_heads.unsigned_abs() as usize);
        let (d, dv) = (q_last / heads.max(1), v_last / groups.max(1));
        let scale = if self.scale == 0.0 { (1.0 / (d as f64).sqrt()) as f32 } else { self.scale };
        let plan = Plan { batch, tokens, heads, groups, d, dv, scale };
        let (past, decay, beta) = (cx.opt(3)?, cx.opt(4)?, cx.opt(5)?);
        let read = |t: Option<&Tensor>| t.map(|t| t.to_f32s().map(std::borrow::Cow::into_owned)).transpose();
        let run = Run {
            plan,
            q: q.to_f32s()?,
            k: k.to_f32s()?,
            v: v.to_f32s()?,
            decay: read(decay)?,
            beta: read(beta)?,
        };
        let (y, state) = run.run(read(past)?)?;
        let kept = past.map_or(q.dtype(), Tensor::dtype);
        let tensor = |dtype: DType, shape: &[usize], values: Vec<f32>| {
            Tensor::from_wide(dtype, shape, &Wide::F32(values), false)
        };
        let y = tensor(q.dtype(), &[batch, tokens, heads * dv], y)?;
        let state = tensor(kept, &[batch, groups, d, dv], state)?;
        Ok(vec![y.into(), state.into()])
    }
    fn macs(&self, inputs: &[Option<&Type>], outputs: &[&Type]) -> Option<u64> {
        let q = (*inputs.first()?)?.as_tensor()?.sizes()?;
        let state = outputs.get(1)?.as_tensor()?.sizes()?;
        let each = state.iter().try_fold(1u64, |n, d| n.checked_mul(*d as u64))?;
        each.checked_mul(*q.get(1)? as u64)?.checked_mul(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{Limits, eval_op};
    use crate::ops::Op;

    fn run(op: LinearAttention, inputs: Vec<Option<Tensor>>) -> Result<Vec<Value>, OpError> {
        let inputs = inputs.into_iter().map(|t| t.map(Value::Tensor)).collect();
        let body = |_: &crate::graph::Graph, _: Vec<Value>| Err(OpError::eval("no body"));
        let cx = EvalCx { inputs, outputs: 2, bodies: &[], captures: 0, run: &body };
        eval_op(&Op::from(op), cx, Limits::default())
    }

    #[test]
    fn without_tokens_the_state_stays() {
        let none = || Some(Tensor::from_vec::<f32>(&[1, 0, 2], vec![]));
        let past = Tensor::from_vec(&[1, 1, 2, 2], vec![1.0f32, 2.0, 3.0, 4.0]);
        let op = LinearAttention {
            q_num_heads: 1,
            kv_num_heads: 1,
            update_rule: UpdateRule::Linear,
            ..LinearAttention::default()
        };
        let y = run(op, vec![none(), none(), none(), Some(past.clone())]).expect("fits");
        assert_eq!(y[0].as_tensor().map(|t| t.shape().to_vec()), Some(vec![1, 0, 2]));
        assert_eq!(y[1], Value::Tensor(past));
    }

    #[test]
    fn heads_that_do_not_divide_are_refused() {
        let x = || Some(Tensor::from_vec(&[1, 1, 4], vec![0.5f32; 4]));
        for (h, g) in [(0, 1), (1, 0), (-1, 1), (3, 2), (i64::MAX, 1), (i64::MIN, i64::MIN), (3, 3)] {
            let op = LinearAttention {
                q_num_heads: h,
                kv_num_heads: g,
                update_rule: UpdateRule::Linear,
                ..LinearAttention::default()
            };
            assert!(run(op, vec![x(), x(), x()]).is_err(), "{h} and {g}");
        }
    }
}
