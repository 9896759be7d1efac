//! `multi_head_attention`
use super::attention::{I32_ONLY, times};
use super::heads::{Heads, check_bias, check_mask, plus, shape_of, split, wide};
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dim::Dim;
use crate::expand;
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::op::OpError;
use crate::ops::attention::causal_conv_with_state::agreed;
use crate::ops::attention::rotary_embedding::SINGLE;
use crate::ops::attention::steps::{Built, Steps};
use crate::types::{Shape, TensorType, Type};

crate::op! {
    /// ONNX Runtime's `MultiHeadAttention`: `softmax(q k^T * scale + attention_bias + mask) v` per head, of `query` `[B, S, N * H]`, `key` `[B,
    /// L, N * H]` and `value` `[B, L, N * Hv]`, or the latter two with heads apart, `[B, N, L, H]`. `bias` is added to all three before, to
    /// the query alone when heads are apart. Past keys and values, `[B, N, P, H]`, come first. `key_padding_mask` of integers: `[B]` keys
    /// counted from the first, `[B, P + L]` or `[B, S, P + L]` what is seen, above 0. `qk` has what the softmax is taken of.
    multi_head_attention MultiHeadAttention(
        query: One<T>, key: One<T>, value: One<T>, bias: Opt<T>, key_padding_mask: Opt<M>, attention_bias: Opt<T>, past_key: Opt<T>,
        past_value: Opt<T>
    ) -> (output: One<T>, present_key: Opt<T>, present_value: Opt<T>, qk: Opt<T>) {
        /// What is added to the score of a key that the mask hides.
        mask_filter_value: f32 = -10000.0,
        /// Number of heads.
        num_heads: i64 = 0,
        /// Factor of the products; 0 is `1 / sqrt(H)`.
        scale: f32 = 0.0,
        /// Whether a query sees no key after it. There are as many new keys as queries then.
        unidirectional: bool = false,
    } where T: SINGLE, M: I32_ONLY;
    infer = infer, eval = expand::eval, expand = expand;
}

/// Sizes `[B, L, H]` of keys or values, per head.
fn apart(shape: Option<&Shape>, heads: i64, what: &str) -> Result<[Dim; 3], OpError> {
    match shape.map(Vec::as_slice) {
        Some([b, l, d]) => Ok([b.clone(), l.clone(), split(d, heads, what)?]),
        Some([b, n, l, h]) => {
            agreed(n, &Dim::Known(heads.unsigned_abs()), what)?;
            Ok([b.clone(), l.clone(), h.clone()])
        }
        _ => Ok([Dim::Unknown, Dim::Unknown, Dim::Unknown]),
    }
}

fn infer(op: &MultiHeadAttention, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    let (dtype, n) = (cx.dtype(0)?, op.num_heads);
    let [qb, queries, qh] = apart(shape_of(cx, 0, &[3])?, n, "queries")?;
    let [kb, kl, kh] = apart(shape_of(cx, 1, &[3, 4])?, n, "keys")?;
    let [vb, vl, vh] = apart(shape_of(cx, 2, &[3, 4])?, n, "values")?;
    if n <= 0 {
        return Err(OpError::attr("`num_heads` is at least 1"));
    }
    let mut batch = agreed(&agreed(&qb, &kb, "batch")?, &vb, "batch")?;
    let fresh = agreed(&kl, &vl, "number of keys and values")?;
    let head = agreed(&qh, &kh, "features of queries and keys")?;
    if cx.has(6) != cx.has(7) {
        return Err(OpError::operand("`past_key` and `past_value` come together"));
    }
    if op.unidirectional && queries.surely_differs(&fresh) {
        return Err(OpError::attr("`unidirectional` needs as many keys as queries"));
    }
    let mut total = fresh;
    if cx.has(6) {
        let open = vec![Dim::Unknown; 4];
        let pk = shape_of(cx, 6, &[4])?.unwrap_or(&open);
        let pv = shape_of(cx, 7, &[4])?.unwrap_or(&open);
        let [b, p, h] = apart(Some(pk), n, "heads of `past_key`")?;
        let [vb, vp, h2] = apart(Some(pv), n, "heads of `past_value`")?;
        batch = agreed(&agreed(&batch, &b, "batch")?, &vb, "batch")?;
        agreed(&h, &head, "features of `past_key`")?;
        agreed(&h2, &vh, "features of `past_value`")?;
        total = plus(&agreed(&p, &vp, "past keys and values")?, &total);
    }
    if let Some(bias) = shape_of(cx, 3, &[1])? {
        agreed(&bias[0], &plus(&times(&head, 2 * n.min(1 << 31)), &times(&vh, n)), "features of the bias")?;
    }
    let heads = Dim::Known(n.unsigned_abs());
    check_mask(cx, 4, [&batch, &queries, &total], false)?;
    check_bias(cx, 5, [&batch, &heads, &queries, &total])?;
    let ty = |s: Shape| Type::from(TensorType::new(dtype, s));
    Ok(vec![
        ty(vec![batch.clone(), queries.clone(), times(&vh, n)]),
        ty(vec![batch.clone(), heads.clone(), total.clone(), head]),
        ty(vec![batch.clone(), heads.clone(), total.clone(), vh]),
        ty(vec![batch, heads, queries, total]),
    ])
}

/// Heads of `x` with its part of `bias` added; data whose heads are apart stays as it is.
fn heads(s: &mut Steps<'_, '_>, x: ValueId, bias: Option<ValueId>, n: i64) -> Built {
    if s.rank(x) == Some(4) {
        return Ok(x);
    }
    let x = match bias {
        Some(bias) => s.plus(x, bias)?,
        None => x,
    };
    s.heads(x, n)
}

fn expand(
    op: &MultiHeadAttention,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    outputs: usize,
) -> Result<Option<Vec<ValueId>>, Diag> {
    let mut s = Steps { b };
    let dtype = inputs.first().copied().flatten().map_or(crate::dtype::DType::F32, |q| s.dtype(q));
    let to = wide(dtype);
    let mut operand = |i: usize| match inputs.get(i).copied().flatten() {
        Some(v) if i != 4 => s.cast(v, to).map(Some),
        other => Ok(other),
    };
    let (Some(q), Some(k), Some(v)) = (operand(0)?, operand(1)?, operand(2)?) else { return Ok(None) };
    let (bias, mask, added) = (operand(3)?, operand(4)?, operand(5)?);
    let past = (operand(6)?, operand(7)?);
    let (Some(width), true) = (s.known(q, 2), s.rank(k).is_some() && s.rank(v).is_some()) else {
        return Ok(None);
    };
    let mut part = |from: i64, to: i64| bias.map(|b| s.slice(b, 0, (from, to, 1))).transpose();
    let parts = [part(0, width)?, part(width, 2 * width)?, part(2 * width, i64::MAX)?];
    let q = heads(&mut s, q, parts[0], op.num_heads)?;
    let mut k = heads(&mut s, k, parts[1], op.num_heads)?;
    let mut v = heads(&mut s, v, parts[2], op.num_heads)?;
    if let (Some(pk), Some(pv)) = past {
        (k, v) = (s.concat(&[pk, k], 2)?, s.concat(&[pv, v], 2)?);
    }
    let core = Heads {
        q,
        k,
        v,
        count: op.num_heads,
        scale: op.scale,
        causal: op.unidirectional,
        filter: op.mask_filter_value,
    };
    let Some((y, scores)) = core.attend(&mut s, mask, added)? else { return Ok(None) };
    let all = [y, k, v, scores];
    let all = all[..outputs.clamp(1, 4)].iter().map(|v| s.cast(*v, dtype));
    Ok(Some(all.collect::<Result<_, _>>()?))
}
