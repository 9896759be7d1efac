//! Scaled dot-product attention in primitive operators.
use super::linear::matmul;
use super::reduce::softmax_or_zero;
use crate::pytorch::lift::cx::{Cx, Out, R, Size, V, malformed, unsupported};
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;

pub(super) const TABLE: super::Table =
    &[("scaled_dot_product_attention", sdpa), ("_scaled_dot_product_flash_attention_for_cpu", flash)];

fn sdpa(cx: &mut Cx) -> R<Out> {
    Ok(Out::Fresh(attention(cx)?.0))
}
/// The result and the logarithm of the sum of exponentials.
fn flash(cx: &mut Cx) -> R<Out> {
    let (y, scores) = attention(cx)?;
    let last = cx.rank(scores)? - 1;
    let l = super::reduce::log_sum_exp(cx, scores, &[last], false)?;
    Ok(Out::Many(vec![Out::Fresh(y), Out::Fresh(l)]))
}
/// `softmax(q k' scale + mask) v` and the scores before softmax.
fn attention(cx: &mut Cx) -> R<(V, V)> {
    let (q, k, v) = (cx.t("query")?, cx.t("key")?, cx.t("value")?);
    let drop = cx.float_or("dropout_p", 0.0)?;
    if !(0.0..=1.0).contains(&drop) {
        return Err(malformed(format!("a probability of {drop}")));
    }
    cx.bool_or("return_debug_mask", false)?;
    let dtype = cx.dtype(q)?;
    let (k, v) = if cx.bool_or("enable_gqa", false)? {
        (repeat_heads(cx, k, q)?, repeat_heads(cx, v, q)?)
    } else {
        (k, v)
    };
    let (q, k, v) = (cx.wide(q)?, cx.wide(k)?, cx.wide(v)?);
    let scale = if cx.has("scale") { Some(cx.float("scale")?) } else { None };
    let q = scaled(cx, q, scale)?;
    let k_rank = cx.rank(k)?;
    let k = cx.swap(k, k_rank - 2, k_rank - 1)?;
    let mut scores = matmul(cx, q, k)?;
    let mut masked = false;
    if cx.bool_or("is_causal", false)? {
        let keep = causal(cx, scores)?;
        scores = forbid(cx, scores, keep)?;
    }
    if let Some(mask) = cx.opt_t("attn_mask")? {
        masked = true;
        scores = if cx.dtype(mask)? == DType::Bool {
            forbid(cx, scores, mask)?
        } else {
            let wide = cx.dtype(scores)?;
            let mask = cx.cast(mask, wide)?;
            cx.b("add", scores, mask)?
        };
    }
    let last = cx.rank(scores)? - 1;
    // Only a mask can forbid a whole row; PyTorch gives 0 there.
    let weights = if masked {
        softmax_or_zero(cx, scores, last)?
    } else {
        cx.with("softmax", &[scores], &[("axis", Attr::Int(last as i64))])?
    };
    let weights = match drop {
        0.0 => weights,
        1.0 => cx.bn("mul", weights, 0.0)?,
        p => super::random::dropped(cx, weights, p, false)?.0,
    };
    let y = matmul(cx, weights, v)?;
    Ok((cx.cast(y, dtype)?, scores))
}
/// The scale, by default `1 / sqrt(head size)`, on the queries.
fn scaled(cx: &mut Cx, q: V, scale: Option<f64>) -> R<V> {
    let last = cx.rank(q)? - 1;
    match (scale, cx.known(q, last)) {
        (Some(s), _) => cx.bn("mul", q, s),
        (None, Some(e)) => cx.bn("mul", q, 1.0 / (e as f64).sqrt()),
        (None, None) => {
            let e = cx.dim(q, last)?;
            let e = cx.size_scalar(&e)?;
            let dtype = cx.dtype(q)?;
            let e = cx.cast(e, dtype)?;
            let e = cx.u("sqrt", e)?;
            cx.b("div", q, e)
        }
    }
}
/// Position `(i, j)` is allowed where `j <= i`, for any numbers of queries and keys.
fn causal(cx: &mut Cx, scores: V) -> R<V> {
    let n = cx.rank(scores)?;
    let (rows, columns): (Size, Size) = (cx.dim(scores, n - 2)?, cx.dim(scores, n - 1)?);
    let (i, j) = (cx.iota(&rows)?, cx.iota(&columns)?);
    let i = cx.unsqueeze(i, &[1])?;
    cx.b("less_or_equal", j, i)
}
fn forbid(cx: &mut Cx, scores: V, keep: V) -> R<V> {
    let never = cx.num(scores, f64::NEG_INFINITY)?;
    cx.choose(keep, scores, never)
}
/// Each head of keys or values serves a group of consecutive heads of queries.
fn repeat_heads(cx: &mut Cx, k: V, q: V) -> R<V> {
    let (axis_q, rank) = (cx.rank(q)? - 3, cx.rank(k)?);
    let axis = rank - 3;
    let (Some(heads), Some(own)) = (cx.known(q, axis_q), cx.known(k, axis)) else {
        return Err(unsupported("grouped-query attention with a dynamic number of heads"));
    };
    if own == heads {
        return Ok(k);
    }
    if own == 0 || heads % own != 0 {
        return Err(unsupported(format!("{heads} query heads for {own} key heads")));
    }
    let mut sizes = cx.shape_of(k)?;
    let wide = cx.unsqueeze(k, &[axis as i64 + 1])?;
    sizes.insert(axis + 1, Size::Known(heads / own));
    let wide = cx.expand(wide, &sizes)?;
    sizes.remove(axis + 1);
    sizes[axis] = Size::Known(heads);
    cx.reshape(wide, &sizes)
}
