//! Covariance, traces and comparisons of whole tensors.
use crate::pytorch::lift::cx::{Cx, Out, R, V, malformed};
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;

pub(super) const TABLE: super::Table = &[
    ("trace", trace),
    ("cov", |cx| {
        let x = cx.float_t("self")?;
        Ok(Out::Fresh(covariance(cx, x)?))
    }),
    ("corrcoef", corrcoef),
    ("allclose", allclose),
    ("_is_all_true", |cx| whole(cx, "reduce_min")),
    ("_is_any_true", |cx| whole(cx, "reduce_max")),
    ("_shape_as_tensor", |cx| {
        let x = cx.t("self")?;
        Ok(Out::Fresh(cx.u("shape", x)?))
    }),
    ("_dim_arange", |cx| {
        let x = cx.t("like")?;
        let axis = crate::pytorch::lift::emit::wrap(cx.int("dim")?, cx.rank(x)?)?;
        let n = cx.dim(x, axis)?;
        Ok(Out::Fresh(cx.iota(&n)?))
    }),
    ("affine_grid_generator", |cx| {
        let (theta, size) = (cx.t("theta")?, cx.sizes("size")?);
        let corners = cx.bool_or("align_corners", false)?;
        let size = cx.shape_value(&size)?;
        Ok(Out::Fresh(cx.with("affine_grid", &[theta, size], &[("align_corners", Attr::Bool(corners))])?))
    }),
];

/// Sum of the diagonal; that of integers is `i64`.
fn trace(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let x = if cx.dtype(x)?.is_float() { x } else { cx.cast(x, DType::I64)? };
    if cx.rank(x)? != 2 {
        return Err(malformed("the trace of no matrix"));
    }
    let (rows, columns) = (cx.dim(x, 0)?, cx.dim(x, 1)?);
    let (i, j) = (cx.iota(&rows)?, cx.iota(&columns)?);
    let i = cx.unsqueeze(i, &[1])?;
    let on = cx.b("equal", i, j)?;
    let zero = cx.num(x, 0.0)?;
    let d = cx.choose(on, x, zero)?;
    Ok(Out::Fresh(cx.reduce("reduce_sum", d, &[0, 1], false)?))
}
/// Covariance of the rows of `x`, observations weighted by `fweights` and `aweights`: `sum w d d' / max(sum w - correction .., 0)`.
fn covariance(cx: &mut Cx, x: V) -> R<V> {
    let correction = cx.float_or("correction", 1.0)?;
    let dtype = cx.dtype(x)?;
    let scalar_rows = cx.rank(x)? < 2;
    let x = if scalar_rows { cx.reshape_to(x, &[1, -1])? } else { x };
    let mut counts = vec![];
    for name in ["fweights", "aweights"] {
        let w = cx.opt_t(name)?;
        counts.push(match w {
            Some(w) => {
                let w = cx.cast(w, dtype)?;
                Some(cx.reshape_to(w, &[-1])?)
            }
            None => None,
        });
    }
    let w = match (counts[0], counts[1]) {
        (Some(f), Some(a)) => Some(cx.b("mul", f, a)?),
        (f, a) => f.or(a),
    };
    let sum = if let Some(w) = w {
        cx.reduce("reduce_sum", w, &[0], false)?
    } else {
        let n = cx.dim(x, 1)?;
        let n = cx.size_scalar(&n)?;
        cx.cast(n, dtype)?
    };
    let weighted = |cx: &mut Cx, v: V| w.map_or(Ok(v), |w| cx.b("mul", v, w));
    let total = weighted(cx, x)?;
    let total = cx.reduce("reduce_sum", total, &[1], true)?;
    let mean = cx.b("div", total, sum)?;
    let d = cx.b("sub", x, mean)?;
    let own = weighted(cx, d)?;
    let turned = cx.permute(d, &[1, 0])?;
    let c = cx.b("mat_mul", own, turned)?;
    let norm = match (w, counts[1]) {
        (Some(w), Some(a)) if correction != 0.0 => {
            let wa = cx.b("mul", w, a)?;
            let wa = cx.reduce("reduce_sum", wa, &[0], false)?;
            let share = cx.b("div", wa, sum)?;
            let share = cx.bn("mul", share, correction)?;
            cx.b("sub", sum, share)?
        }
        _ => cx.bn("sub", sum, correction)?,
    };
    let norm = cx.u("relu", norm)?;
    let c = cx.b("div", c, norm)?;
    if scalar_rows { cx.reshape_to(c, &[]) } else { Ok(c) }
}
/// Covariance over the product of deviations, within -1 to 1.
fn corrcoef(cx: &mut Cx) -> R<Out> {
    let x = cx.float_t("self")?;
    let c = covariance(cx, x)?;
    if cx.rank(c)? == 0 {
        return Ok(Out::Fresh(cx.b("div", c, c)?));
    }
    let n = cx.dim(c, 0)?;
    let line = cx.iota(&n)?;
    let column = cx.unsqueeze(line, &[1])?;
    let on = cx.b("equal", line, column)?;
    let zero = cx.num(c, 0.0)?;
    let d = cx.choose(on, c, zero)?;
    let d = cx.reduce("reduce_sum", d, &[1], false)?;
    let d = cx.u("sqrt", d)?;
    let (column, row) = (cx.unsqueeze(d, &[1])?, cx.unsqueeze(d, &[0])?);
    let y = cx.b("div", c, column)?;
    let y = cx.b("div", y, row)?;
    Ok(Out::Fresh(super::unary::clip(cx, y, Some(-1.0), Some(1.0))?))
}
/// Whether all elements hold, or any, as a 0-d truth value.
fn reduced(cx: &mut Cx, x: V, op: &str) -> R<V> {
    let x = cx.cast(x, DType::I32)?;
    let flat = cx.reshape_to(x, &[-1])?;
    let neutral = cx.constant(hoist_ir::tensor::Tensor::from_vec(&[1], vec![i32::from(op == "reduce_min")]));
    let all = cx.concat(&[flat, neutral], 0)?;
    let y = cx.reduce(op, all, &[0], false)?;
    cx.cast(y, DType::Bool)
}
fn whole(cx: &mut Cx, op: &str) -> R<Out> {
    let x = cx.t("self")?;
    Ok(Out::Fresh(reduced(cx, x, op)?))
}
/// `|a - b| <= atol + rtol |b|` everywhere.
fn allclose(cx: &mut Cx) -> R<Out> {
    let Out::Fresh(y) = super::compare::isclose(cx)? else { return Err(malformed("no comparison")) };
    Ok(Out::Bool(reduced(cx, y, "reduce_min")?))
}
