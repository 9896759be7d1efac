//! `attention`
use super::bias::{Offset, Sight, bias, blind};
use super::causal_conv_with_state::agreed;
use super::steps::{Built, Size, Steps};
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dim::{Dim, SymInt};
use crate::dtype::{BOOL_ONLY, DType, FLOATS, I64_ONLY, NUMERIC};
use crate::eval::{EvalCx, Value};
use crate::expand;
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::ops::elementwise::arithmetic::Sub;
use crate::ops::elementwise::select::Where;
use crate::ops::reduce::softmax::Softmax;
use crate::types::{Shape, TensorType, Type};

crate::op! {
    /// `softmax(q k^T * scale + mask) v` per head: `q` `[B, H, S, D]`, `k` `[B, G, T, D]`, `v` `[B, G, T, Dv]`, where `H` is a multiple of
    /// `G`; or all three with heads and features in one last axis, with `q_num_heads` and `kv_num_heads`. Past keys and values, `[B, G,
    /// P, ..]`, come before the given ones. `attn_mask` broadcasts to `[B, H, S, P + T]`: what may be seen, or numbers that are added; keys
    /// beyond a shorter one are not seen. `nonpad_kv_seqlen` `[B]` counts the keys that are no padding. A query that sees no key gives 0.
    attention Attention(
        q: One<T1>, k: One<T1>, v: One<T2>, attn_mask: Opt<U>, past_key: Opt<T1>, past_value: Opt<T2>, nonpad_kv_seqlen: Opt<I>
    ) -> (y: One<T1>, present_key: Opt<T1>, present_value: Opt<T2>, qk_matmul_output: Opt<T1>) {
        /// Whether a query sees no key after it. Its position counts the keys before the first query: past ones, or those that are no
        /// padding less the queries.
        is_causal: bool = false,
        /// Heads of keys and values of rank 3.
        kv_num_heads: Option<i64> = None,
        /// How many positions before its own a query sees; -1 is all.
        left_window_size: i64 = -1,
        /// Heads of queries of rank 3.
        q_num_heads: Option<i64> = None,
        /// What the fourth result holds: 0 the scaled products, 1 those after `softcap`, 2 those with the mask, 3 the probabilities.
        qk_matmul_output_mode: i64 = 0,
        /// How many positions after its own a query sees; -1 is all.
        right_window_size: i64 = -1,
        /// Factor of the products; `1 / sqrt(D)` when absent. Its root multiplies queries and keys.
        scale: Option<f32> = None,
        /// Products become `softcap * tanh(product / softcap)`, when above 0.
        softcap: f32 = 0.0,
        /// Element type of the softmax.
        softmax_precision: Option<DType> = None,
    } where T1: FLOATS, T2: FLOATS, U: NUMERIC.or(BOOL_ONLY), I: I64_ONLY;
}

/// Sizes of the operands, heads apart.
struct Sizes {
    batch: Dim,
    heads: Dim,
    queries: Dim,
    groups: Dim,
    keys: Dim,
    features: Dim,
    v_features: Dim,
}

/// Sizes `[B, heads, S, D]` of an operand of rank 3 or 4.
fn apart(shape: Option<&Shape>, rank: usize, heads: Option<i64>) -> Result<[Dim; 4], OpError> {
    let unknown = || [Dim::Unknown, Dim::Unknown, Dim::Unknown, Dim::Unknown];
    let Some(shape) = shape else { return Ok(unknown()) };
    match (&shape[..], heads) {
        ([b, h, s, d], given) if rank == 4 => {
            let given = given.map(|n| Dim::from_sym(Some(SymInt::from(n))));
            if given.as_ref().is_some_and(|g| g.surely_differs(h)) {
                return Err(OpError::attr(format!("data of {h} heads, the attribute says {given:?}")));
            }
            Ok([b.clone(), h.clone(), s.clone(), d.clone()])
        }
        ([b, s, last], Some(n)) if rank == 3 && n > 0 => {
            let count = SymInt::from(n);
            if last.known().is_some_and(|d| !d.is_multiple_of(n.unsigned_abs())) {
                return Err(OpError::shape(format!("{last} features are no multiple of {n} heads")));
            }
            let each = last.combine(&Dim::from_sym(Some(count)), SymInt::floor_div);
            Ok([b.clone(), Dim::Known(n.unsigned_abs()), s.clone(), each])
        }
        ([_, _, _], _) if rank == 3 => {
            Err(OpError::attr("operands of rank 3 need `q_num_heads` and `kv_num_heads` of at least 1"))
        }
        _ => Err(OpError::shape("queries, keys and values have all rank 3 or all rank 4")),
    }
}

impl Attention {
    fn sizes(&self, cx: &InferCx<'_>, rank: usize) -> Result<Sizes, OpError> {
        let [qb, heads, queries, qd] = apart(cx.shape(0)?, rank, self.q_num_heads)?;
        let [kb, kg, kt, kd] = apart(cx.shape(1)?, rank, self.kv_num_heads)?;
        let [vb, vg, vt, v_features] = apart(cx.shape(2)?, rank, self.kv_num_heads)?;
        let batch = agreed(&agreed(&qb, &kb, "batch")?, &vb, "batch")?;
        let groups = agreed(&kg, &vg, "heads of keys and values")?;
        if let (Some(h), Some(g)) = (heads.known(), groups.known())
            && (g == 0 || h % g != 0)
        {
            return Err(OpError::shape(format!("{h} heads of queries are no multiple of {g} of keys")));
        }
        let keys = agreed(&kt, &vt, "number of keys and values")?;
        let features = agreed(&qd, &kd, "features of queries and keys")?;
        Ok(Sizes { batch, heads, queries, groups, keys, features, v_features })
    }
    fn check(&self, cx: &InferCx<'_>) -> Result<(), OpError> {
        if cx.has(4) != cx.has(5) {
            return Err(OpError::operand("`past_key` and `past_value` come together"));
        }
        if cx.has(4) && cx.has(6) {
            return Err(OpError::operand("`nonpad_kv_seqlen` excludes past keys and values"));
        }
        if self.left_window_size < -1 || self.right_window_size < -1 {
            return Err(OpError::attr("window sizes are -1 or not negative"));
        }
        if !(0..=3).contains(&self.qk_matmul_output_mode) {
            return Err(OpError::attr(format!(
                "`qk_matmul_output_mode` {} is none",
                self.qk_matmul_output_mode
            )));
        }
        if self.softmax_precision.is_some_and(|d| !FLOATS.contains(d)) {
            return Err(OpError::attr("`softmax_precision` is a type of floats"));
        }
        Ok(())
    }
}

/// Keys or values with past ones `[B, G, P, D]` before them.
fn with_past(cx: &InferCx<'_>, slot: usize, sizes: &Sizes, features: &Dim) -> Result<Shape, OpError> {
    let mut shape = vec![sizes.batch.clone(), sizes.groups.clone(), sizes.keys.clone(), features.clone()];
    if !cx.has(slot) {
        return Ok(shape);
    }
    match cx.shape(slot)?.map(Vec::as_slice) {
        Some([b, g, p, d]) => {
            shape[0] = agreed(&shape[0], b, "batch of past and present")?;
            shape[1] = agreed(&shape[1], g, "heads of past and present")?;
            shape[2] = shape[2].combine(p, |t, p| p.add(t));
            shape[3] = agreed(&shape[3], d, "features of past and present")?;
        }
        Some(_) => return Err(OpError::shape("past keys and values have rank 4")),
        None => shape[2] = Dim::Unknown,
    }
    Ok(shape)
}

/// Refuses a mask that does not fit scores of that shape.
fn check_mask(mask: &Shape, scores: &Shape) -> Result<(), OpError> {
    let over = |(m, s): (&Dim, &Dim)| m.surely_differs(s) && m.known() != Some(1);
    let (Some(last), Some(keys)) = (mask.last(), scores.last()) else {
        return Err(OpError::shape("a mask has a last axis of keys"));
    };
    let long = matches!((last.known(), keys.known()), (Some(m), Some(k)) if m > k);
    let skip = scores.len().checked_sub(mask.len());
    let outer = skip.is_none_or(|n| mask[..mask.len() - 1].iter().zip(&scores[n..]).any(over));
    if long || outer {
        let text = |s: &Shape| s.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let m = format!("a mask [{}] does not fit scores [{}]", text(mask), text(scores));
        return Err(OpError::shape(m));
    }
    Ok(())
}

impl Semantics for Attention {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        self.check(cx)?;
        let (t1, t2) = (cx.dtype(0)?, cx.dtype(2)?);
        let shapes = [cx.shape(0)?, cx.shape(1)?, cx.shape(2)?];
        let Some(rank) = shapes.iter().flatten().map(|s| s.len()).next() else {
            let y = TensorType::unranked(t1);
            let four = |d| Type::from(TensorType::of_rank(d, 4));
            return Ok(vec![y.into(), four(t1), four(t2), four(t1)]);
        };
        let mut sizes = self.sizes(cx, rank)?;
        let key = with_past(cx, 4, &sizes, &sizes.features)?;
        let value = with_past(cx, 5, &sizes, &sizes.v_features)?;
        sizes.batch = agreed(&key[0], &value[0], "batch")?;
        let total = agreed(&key[2], &value[2], "number of keys and values")?;
        let scores = vec![sizes.batch.clone(), sizes.heads.clone(), sizes.queries.clone(), total];
        if cx.has(3)
            && let Some(mask) = cx.shape(3)?
        {
            check_mask(mask, &scores)?;
        }
        if cx.has(6)
            && let Some(n) = cx.shape(6)?
            && (n.len() != 1 || n[0].surely_differs(&sizes.batch))
        {
            return Err(OpError::shape("`nonpad_kv_seqlen` has one number for each of the batch"));
        }
        let y = if rank == 4 {
            vec![sizes.batch, sizes.heads, sizes.queries, value[3].clone()]
        } else {
            vec![sizes.batch, sizes.queries, sizes.heads.combine(&value[3], SymInt::mul)]
        };
        let ty = |d, s: Shape| Type::from(TensorType::new(d, s));
        Ok(vec![ty(t1, y), ty(t1, key), ty(t2, value), ty(t1, scores)])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        expand::eval(self, cx)
    }
    fn expand(
        &self,
        b: &mut Builder<'_>,
        inputs: &[Option<ValueId>],
        outputs: usize,
    ) -> Result<Option<Vec<ValueId>>, Diag> {
        let operand = |i: usize| inputs.get(i).copied().flatten();
        let (Some(q), Some(k), Some(v)) = (operand(0), operand(1), operand(2)) else { return Ok(None) };
        let mut s = Steps { b };
        let Some(rank) = s.rank(q) else { return Ok(None) };
        let [q, k, v] = if rank == 4 {
            [q, k, v]
        } else {
            let (Some(heads), Some(groups)) = (self.q_num_heads, self.kv_num_heads) else { return Ok(None) };
            [s.heads(q, heads)?, s.heads(k, groups)?, s.heads(v, groups)?]
        };
        let (Some(heads), Some(groups), Some(features)) = (s.known(q, 1), s.known(k, 1), s.known(q, 3))
        else {
            return Ok(None);
        };
        let (key, value) = match (operand(4), operand(5)) {
            (Some(pk), Some(pv)) => (s.concat(&[pk, k], 2)?, s.concat(&[pv, v], 2)?),
            _ => (k, v),
        };
        let sight = Sight {
            queries: s.size(q, 2),
            keys: s.size(key, 2),
            offset: offset(&mut s, q, operand(4), operand(6))?,
            valid: operand(6),
            causal: self.is_causal,
            left: self.left_window_size,
            right: self.right_window_size,
        };
        let core = Core { op: self, heads, groups, features };
        let (y, seen) = core.attend(&mut s, [q, key, value], &sight, operand(3))?;
        let y = if rank == 4 { y } else { s.merge(y)? };
        let all = [y, key, value, seen];
        Ok(Some(all[..outputs.clamp(1, 4)].to_vec()))
    }
    fn macs(&self, inputs: &[Option<&Type>], outputs: &[&Type]) -> Option<u64> {
        let sizes = |i: usize| inputs.get(i).copied().flatten()?.as_tensor()?.sizes();
        let (q, k, y) = (sizes(0)?, sizes(1)?, outputs.first()?.as_tensor()?.sizes()?);
        let past = if inputs.get(4).copied().flatten().is_some() { *sizes(4)?.get(2)? } else { 0 };
        let keys = k.get(k.len().checked_sub(2)?)?.checked_add(past)? as u64;
        let count = |s: &[usize]| s.iter().try_fold(1u64, |n, d| n.checked_mul(*d as u64));
        count(&q)?.checked_add(count(&y)?)?.checked_mul(keys)
    }
}

/// What the heart of the operator needs beside its operands.
struct Core<'a> {
    op: &'a Attention,
    heads: i64,
    groups: i64,
    features: i64,
}

impl Core<'_> {
    /// Result per head, and what the fourth result shows.
    fn attend(
        &self,
        s: &mut Steps<'_, '_>,
        [q, k, v]: [ValueId; 3],
        sight: &Sight,
        mask: Option<ValueId>,
    ) -> Result<(ValueId, ValueId), Diag> {
        let dtype = s.dtype(q);
        let scale = self.op.scale.map_or(1.0 / (self.features as f64).sqrt(), f64::from).sqrt();
        let (q, k) = (s.scaled(q, scale)?, s.scaled(k, scale)?);
        let raw = s.scores(q, k, self.heads, self.groups)?;
        let capped = s.capped(raw, self.op.softcap)?;
        let allowed = sight.allowed(s)?;
        let bias = bias(s, mask, allowed, sight.keys, dtype)?;
        let masked = match bias {
            Some(bias) => s.plus(capped, bias)?,
            None => capped,
        };
        let mut likely = self.softmax(s, masked)?;
        let none = bias.map(|b| blind(s, b)).transpose()?;
        let shows_likely = self.op.qk_matmul_output_mode == 3;
        if shows_likely && let Some(none) = none {
            likely = unless(s, none, likely)?;
        }
        let wide = s.cast(v, dtype)?;
        let mut y = s.grouped(likely, wide, self.heads, self.groups)?;
        // Zeroed here, not among the probabilities: it is the same, on less data.
        if !shows_likely && let Some(none) = none {
            y = unless(s, none, y)?;
        }
        let seen = match self.op.qk_matmul_output_mode {
            0 => raw,
            1 => capped,
            2 => masked,
            _ => likely,
        };
        Ok((y, seen))
    }
    fn softmax(&self, s: &mut Steps<'_, '_>, x: ValueId) -> Built {
        let own = s.dtype(x);
        let x = s.cast(x, self.op.softmax_precision.unwrap_or(own))?;
        let y = s.op(Softmax { axis: -1 }, &[x])?;
        s.cast(y, own)
    }
}

/// Keys before the first query: past ones, or those that are no padding less the queries.
fn offset(
    s: &mut Steps<'_, '_>,
    q: ValueId,
    past: Option<ValueId>,
    valid: Option<ValueId>,
) -> Result<Offset, Diag> {
    match (past, valid) {
        (Some(past), _) => Ok(Offset::All(s.size(past, 2))),
        (None, Some(valid)) => {
            let queries = s.size_list(s.size(q, 2))?;
            s.op(Sub {}, &[valid, queries]).map(Offset::Each)
        }
        (None, None) => Ok(Offset::All(Size::Known(0))),
    }
}

/// 0 where `condition`, else `x`.
fn unless(s: &mut Steps<'_, '_>, condition: ValueId, x: ValueId) -> Built {
    let zero = s.b.scalar_like(0.0, x)?;
    s.op(Where {}, &[condition, zero, x])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_checked_from_the_end() {
        let dims = |s: &[usize]| s.iter().map(|n| Dim::from(*n)).collect::<Shape>();
        let scores = dims(&[2, 4, 3, 6]);
        for good in [&[6][..], &[3, 6], &[1, 6], &[3, 5], &[4, 3, 6], &[2, 1, 1, 2]] {
            assert!(check_mask(&dims(good), &scores).is_ok(), "{good:?}");
        }
        for bad in [&[][..], &[7], &[2, 6], &[3, 3, 6], &[1, 2, 4, 3, 6]] {
            assert!(check_mask(&dims(bad), &scores).is_err(), "{bad:?}");
        }
    }
}
