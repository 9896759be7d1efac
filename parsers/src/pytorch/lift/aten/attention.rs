//! Scaled dot-product attention: the operator where it fits, else primitive ones.
use super::linear::matmul;
use super::reduce::softmax_or_zero;
use crate::pytorch::lift::cx::{Cx, Out, R, Size, V, malformed, unsupported};
use hoist_ir::attr::Attr;
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;

pub(super) const TABLE: super::Table =
    &[("scaled_dot_product_attention", sdpa), ("_scaled_dot_product_flash_attention_for_cpu", flash)];

/// Operands of the operator.
struct Attention {
    q: V,
    k: V,
    v: V,
    mask: Option<V>,
    causal: bool,
    grouped: bool,
    scale: Option<f64>,
    /// Share of the weights that is dropped at random.
    dropped: f64,
}

/// A mask as the operator `attention` takes it.
enum Fitting {
    /// No mask is given.
    Open,
    /// This one.
    Mask(V),
    /// It cannot be shown to fit.
    Never,
}

impl Attention {
    fn of(cx: &mut Cx) -> R<Self> {
        let dropped = cx.float_or("dropout_p", 0.0)?;
        if !(0.0..=1.0).contains(&dropped) {
            return Err(malformed(format!("a probability of {dropped}")));
        }
        cx.bool_or("return_debug_mask", false)?;
        Ok(Self {
            q: cx.t("query")?,
            k: cx.t("key")?,
            v: cx.t("value")?,
            mask: cx.opt_t("attn_mask")?,
            causal: cx.bool_or("is_causal", false)?,
            grouped: cx.bool_or("enable_gqa", false)?,
            dropped,
            scale: if cx.has("scale") { Some(cx.float("scale")?) } else { None },
        })
    }
    /// The mask `[.., queries, keys]` as the operator `attention` takes it: truth values whose last two axes are not stretched.
    fn fitting_mask(&self, cx: &mut Cx, q: &[Dim], k: &[Dim]) -> R<Fitting> {
        let Some(mask) = self.mask else { return Ok(Fitting::Open) };
        let m = cx.dims(mask)?;
        let Some(skip) = q.len().checked_sub(m.len()).filter(|_| m.len() >= 2) else {
            return Ok(Fitting::Never);
        };
        let full = [&q[..q.len() - 1], &k[k.len() - 2..k.len() - 1]].concat();
        let fits = |(m, f): (&Dim, &Dim)| {
            m == f || m.known() == Some(1) || m.known().is_none() && f.known().is_none()
        };
        // Runtimes take the smallest number of a float mask for minus infinity, which PyTorch does not.
        if cx.dtype(mask)? != DType::Bool || !m.iter().zip(&full[skip..]).all(fits) {
            return Ok(Fitting::Never);
        }
        let (rows, columns) = (m.len() - 2, m.len() - 1);
        let mut mask = mask;
        let same = |a: &Dim, b: &Dim| a == b && *a != Dim::Unknown;
        if !same(&m[rows], &full[q.len() - 2]) || !same(&m[columns], &full[q.len() - 1]) {
            let mut sizes = cx.shape_of(mask)?;
            sizes[rows] = cx.dim(self.q, q.len() - 2)?;
            sizes[columns] = cx.dim(self.k, k.len() - 2)?;
            mask = cx.expand(mask, &sizes)?;
        }
        if q.len() == 3 && m.len() == 3 {
            mask = cx.unsqueeze(mask, &[1])?;
        }
        Ok(Fitting::Mask(mask))
    }
    /// The operator `attention`, where it means the same: one axis of batches, one of heads or none, and no stretched operands.
    fn whole(&self, cx: &mut Cx) -> R<Option<V>> {
        let (q, k, v) = (cx.dims(self.q)?, cx.dims(self.k)?, cx.dims(self.v)?);
        let rank = q.len();
        if !(3..=4).contains(&rank) || k.len() != rank || v.len() != rank || cx.dtype(self.q)? != DType::F32 {
            return Ok(None);
        }
        let fixed = |d: &Dim| d.known().is_some_and(|n| n > 0);
        let heads =
            rank == 3 || fixed(&q[1]) && fixed(&k[1]) && k[1] == v[1] && (self.grouped || q[1] == k[1]);
        let sizes = fixed(&q[rank - 1]) && fixed(&v[rank - 1]) && k[rank - 2].known() != Some(0);
        let same = |a: &Dim, b: &Dim| a == b && *a != Dim::Unknown;
        let batches = same(&q[0], &k[0]) && same(&q[0], &v[0]);
        if self.dropped > 0.0 || !heads || !sizes || !batches || self.scale.is_some_and(|s| s <= 0.0) {
            return Ok(None);
        }
        let mask = match self.fitting_mask(cx, &q, &k)? {
            Fitting::Open => None,
            Fitting::Mask(m) => Some(m),
            Fitting::Never => return Ok(None),
        };
        let mut operands = [self.q, self.k, self.v];
        if rank == 3 {
            for x in &mut operands {
                *x = cx.unsqueeze(*x, &[1])?;
            }
        }
        let mut attrs = vec![("is_causal", Attr::Bool(self.causal))];
        if let Some(s) = self.scale {
            attrs.push(("scale", Attr::Float(s as f32)));
        }
        let mut operands: Vec<Option<V>> = operands.into_iter().map(Some).collect();
        operands.extend(mask.map(Some));
        let y = cx.node1("attention", &operands, &attrs)?;
        if rank == 3 { cx.squeeze(y, &[1]).map(Some) } else { Ok(Some(y)) }
    }
    /// `softmax(q k' scale + mask) v` and the scores before softmax.
    fn steps(&self, cx: &mut Cx) -> R<(V, V)> {
        let dtype = cx.dtype(self.q)?;
        let (k, v) = if self.grouped {
            (repeat_heads(cx, self.k, self.q)?, repeat_heads(cx, self.v, self.q)?)
        } else {
            (self.k, self.v)
        };
        let (q, k, v) = (cx.wide(self.q)?, cx.wide(k)?, cx.wide(v)?);
        let q = scaled(cx, q, self.scale)?;
        let k_rank = cx.rank(k)?;
        let k = cx.swap(k, k_rank - 2, k_rank - 1)?;
        let mut scores = matmul(cx, q, k)?;
        if self.causal {
            let keep = causal(cx, scores)?;
            scores = forbid(cx, scores, keep)?;
        }
        if let Some(mask) = self.mask {
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
        let weights = if self.mask.is_some() {
            softmax_or_zero(cx, scores, last)?
        } else {
            cx.with("softmax", &[scores], &[("axis", Attr::Int(last as i64))])?
        };
        let weights = match self.dropped {
            0.0 => weights,
            1.0 => cx.bn("mul", weights, 0.0)?,
            p => super::random::dropped(cx, weights, p, false)?.0,
        };
        let y = matmul(cx, weights, v)?;
        Ok((cx.cast(y, dtype)?, scores))
    }
}
fn sdpa(cx: &mut Cx) -> R<Out> {
    let a = Attention::of(cx)?;
    if let Some(y) = a.whole(cx)? {
        return Ok(Out::Fresh(y));
    }
    Ok(Out::Fresh(a.steps(cx)?.0))
}
/// The result and the logarithm of the sum of exponentials.
fn flash(cx: &mut Cx) -> R<Out> {
    let a = Attention::of(cx)?;
    let whole = a.whole(cx)?;
    // What nobody reads of this is removed.
    let (y, scores) = a.steps(cx)?;
    let last = cx.rank(scores)? - 1;
    let l = super::reduce::log_sum_exp(cx, scores, &[last], false)?;
    Ok(Out::Many(vec![Out::Fresh(whole.unwrap_or(y)), Out::Fresh(l)]))
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
