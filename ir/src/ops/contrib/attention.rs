//! `contrib_attention`
use super::heads::{Heads, check_bias, check_mask, plus, shape_of, split, wide};
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dim::{Dim, SymInt};
use crate::dtype::{DType, DTypeSet};
use crate::expand;
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::op::OpError;
use crate::ops::attention::causal_conv_with_state::agreed;
use crate::ops::attention::rotary_embedding::SINGLE;
use crate::ops::attention::steps::Steps;
use crate::ops::linear::mat_mul::MatMul;
use crate::ops::movement::squeeze::Squeeze;
use crate::types::{Shape, TensorType, Type};

/// Only `i32`.
pub(super) const I32_ONLY: DTypeSet = DTypeSet::of(&[DType::I32]);

crate::op! {
    /// ONNX Runtime's `Attention`: `input` `[B, S, I]` becomes queries, keys and values by one product with `weights` `[I, 2 * D + Dv]`, then
    /// `softmax(q k^T * scale + attention_bias + mask) v` per head. `past` `[2, B, N, P, H]` comes before the new keys and values,
    /// `present` has all of them. `mask_index` of integers: `[B]` keys counted from the first, `[2 * B]` ends and then starts, `[B, P + S]`
    /// or `[B, S, P + S]` what is seen, above 0.
    contrib_attention ContribAttention(
        input: One<T>, weights: One<T>, bias: Opt<T>, mask_index: Opt<M>, past: Opt<T>, attention_bias: Opt<T>
    ) -> (output: One<T>, present: Opt<T>) {
        /// What is added to the score of a key that the mask hides.
        mask_filter_value: f32 = -10000.0,
        /// Number of heads.
        num_heads: i64 = 0,
        /// Features of all heads of queries, keys and values; thirds of the weights' when empty.
        qkv_hidden_sizes: Vec<i64> = vec![],
        /// Factor of the products; 0 is `1 / sqrt(H)`.
        scale: f32 = 0.0,
        /// Whether a query sees no key after it.
        unidirectional: bool = false,
    } where T: SINGLE, M: I32_ONLY;
    infer = infer, eval = expand::eval, expand = expand;
}

/// Bound of hidden sizes, so that their sum is one.
const MAX_HIDDEN: i64 = 1 << 40;

impl ContribAttention {
    /// Features of all heads of queries or keys, and of values.
    fn hidden(&self, columns: &Dim) -> Result<(Dim, Dim), OpError> {
        let (qk, v) = match self.qkv_hidden_sizes[..] {
            [] => {
                let third = split(columns, 3, "weights of queries, keys and values")?;
                (third.clone(), third)
            }
            [q, k, v] if q == k && (1..MAX_HIDDEN).contains(&q) && (1..MAX_HIDDEN).contains(&v) => {
                let size = |n: i64| Dim::from_sym(Some(n.into()));
                agreed(&plus(&plus(&size(q), &size(k)), &size(v)), columns, "columns of the weights")?;
                (size(q), size(v))
            }
            ref other => {
                return Err(OpError::attr(format!(
                    "`qkv_hidden_sizes` {other:?} are no sizes, or differ between queries and keys"
                )));
            }
        };
        split(&qk, self.num_heads, "queries")?;
        split(&v, self.num_heads, "values")?;
        Ok((qk, v))
    }
}

fn infer(op: &ContribAttention, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    let dtype = cx.dtype(0)?;
    let open = vec![Dim::Unknown; 5];
    let x = shape_of(cx, 0, &[3])?.unwrap_or(&open);
    let w = shape_of(cx, 1, &[2])?.unwrap_or(&open);
    agreed(&x[2], &w[0], "features of data and weights")?;
    let (qk, v) = op.hidden(&w[1])?;
    if let Some(bias) = shape_of(cx, 2, &[1])? {
        agreed(&bias[0], &w[1], "features of weights and bias")?;
    }
    let (head, v_head) = (split(&qk, op.num_heads, "queries")?, split(&v, op.num_heads, "values")?);
    let heads = Dim::Known(op.num_heads.unsigned_abs());
    let mut batch = x[0].clone();
    let mut total = x[1].clone();
    if (cx.has(4) || cx.outputs() > 1) && head.surely_differs(&v_head) {
        return Err(OpError::attr("past and present need keys and values of one size"));
    }
    if cx.has(4) {
        let past = shape_of(cx, 4, &[5])?.unwrap_or(&open);
        agreed(&past[0], &Dim::Known(2), "keys and values of `past`")?;
        batch = agreed(&batch, &past[1], "batch")?;
        agreed(&past[2], &heads, "heads of `past`")?;
        agreed(&past[4], &head, "features of `past`")?;
        total = plus(&past[3], &x[1]);
    }
    check_mask(cx, 3, [&batch, &x[1], &total], true)?;
    check_bias(cx, 5, [&batch, &heads, &x[1], &total])?;
    let y = vec![batch.clone(), x[1].clone(), v];
    let present = vec![Dim::Known(2), batch, heads, total, head];
    let ty = |s: Shape| Type::from(TensorType::new(dtype, s));
    Ok(vec![ty(y), ty(present)])
}

fn expand(
    op: &ContribAttention,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    outputs: usize,
) -> Result<Option<Vec<ValueId>>, Diag> {
    let operand = |i: usize| inputs.get(i).copied().flatten();
    let (Some(x), Some(w)) = (operand(0), operand(1)) else { return Ok(None) };
    let mut s = Steps { b };
    let dtype = s.dtype(x);
    let to = wide(dtype);
    let Some(columns) = s.dims(w).and_then(|d| d.get(1).cloned()) else { return Ok(None) };
    let hidden = op.hidden(&columns).map_err(|e| Diag::error(e.code, e.message))?;
    let known = |d: &Dim| d.known().and_then(|n| i64::try_from(n).ok());
    let (Some(qk), Some(v)) = (known(&hidden.0), known(&hidden.1)) else { return Ok(None) };
    let (x, w) = (s.cast(x, to)?, s.cast(w, to)?);
    let mut all = s.op(MatMul {}, &[x, w])?;
    if let Some(bias) = operand(2) {
        let bias = s.cast(bias, to)?;
        all = s.plus(all, bias)?;
    }
    let core = Projected {
        all,
        hidden: (qk, v),
        heads: op.num_heads,
        scale: op.scale,
        causal: op.unidirectional,
        filter: op.mask_filter_value,
    };
    let bias = operand(5).map(|b| s.cast(b, to)).transpose()?;
    let past = operand(4).map(|p| s.cast(p, to)).transpose()?;
    let Some(results) = core.attend(&mut s, operand(3), past, bias, outputs)? else { return Ok(None) };
    Ok(Some(results.into_iter().map(|r| s.cast(r, dtype)).collect::<Result<_, _>>()?))
}

/// Queries, keys and values one after the other, and what is done with them.
pub(super) struct Projected {
    /// `[B, S, 2 * D + Dv]`.
    pub all: ValueId,
    /// `D` and `Dv`.
    pub hidden: (i64, i64),
    /// Number of heads.
    pub heads: i64,
    /// Factor of the products; 0 is `1 / sqrt(H)`.
    pub scale: f32,
    /// Whether a query sees no key after it.
    pub causal: bool,
    /// What is added where the mask hides a key.
    pub filter: f32,
}

impl Projected {
    /// The result, and when two are wanted all keys and values.
    pub fn attend(
        &self,
        s: &mut Steps<'_, '_>,
        mask: Option<ValueId>,
        past: Option<ValueId>,
        bias: Option<ValueId>,
        outputs: usize,
    ) -> Result<Option<Vec<ValueId>>, Diag> {
        let (qk, v) = self.hidden;
        let mut part = |from: i64, to: i64| {
            let part = s.slice(self.all, 2, (from, to, 1))?;
            s.heads(part, self.heads)
        };
        let (q, mut k, mut v) = (part(0, qk)?, part(qk, 2 * qk)?, part(2 * qk, 2 * qk + v)?);
        if let Some(past) = past {
            let mut side = |at: i64, new: ValueId| {
                let old = s.slice(past, 0, (at, at + 1, 1))?;
                let axis = s.b.ints(&[0]);
                let old = s.op(Squeeze {}, &[old, axis])?;
                s.concat(&[old, new], 2)
            };
            (k, v) = (side(0, k)?, side(1, v)?);
        }
        let (count, scale, causal, filter) = (self.heads, self.scale, self.causal, self.filter);
        let core = Heads { q, k, v, count, scale, causal, filter };
        let Some((y, _)) = core.attend(s, mask, bias)? else { return Ok(None) };
        let mut results = vec![y];
        if outputs > 1 {
            let (k, v) = (s.unsqueeze(k, &[0])?, s.unsqueeze(v, &[0])?);
            results.push(s.concat(&[k, v], 0)?);
        }
        Ok(Some(results))
    }
}

/// Product of sizes.
pub(super) fn times(a: &Dim, n: i64) -> Dim {
    a.combine(&Dim::from_sym(Some(n.into())), SymInt::mul)
}
