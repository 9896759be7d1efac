//! What follows from singular values: ranks, pseudoinverses, condition numbers and matrix norms.
use super::eigh::{composed, eigen, symmetric};
use super::matrix::{Mat, axis, joined, larger, matrix, only, outer, size, square, wide, zeros};
use super::solve::inverse;
use super::svd::{decomposed, leading, values};
use crate::pytorch::lift::aten::reduce::p_norm;
use crate::pytorch::lift::cx::{Cx, Out, R, Size, V, malformed, unsupported};
use crate::pytorch::lift::emit::wrap;
use hoist_ir::dtype::DType;

/// Distance of 1 from the next larger number.
fn epsilon(dtype: DType) -> f64 {
    if dtype == DType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) }
}
/// A tolerance with one value for each matrix, or one for all, as `f64` that goes with `[.., k]`.
fn tolerance(cx: &mut Cx, name: &str) -> R<Option<V>> {
    let Some(given) = cx.opt_operand(name)? else { return Ok(None) };
    let v = cx.value_of(&given, DType::F64)?;
    Ok(Some(if cx.rank(v)? == 0 { v } else { cx.unsqueeze(v, &[-1])? }))
}
/// `max(m, n)` times the precision of the program's type.
fn default_rtol(cx: &mut Cx, a: Mat) -> R<V> {
    let (m, n) = (size(cx, a.v, 2)?, size(cx, a.v, 1)?);
    let most = larger(cx, &m, &n)?;
    let most = cx.size_scalar(&most)?;
    let most = cx.cast(most, DType::F64)?;
    cx.bn("mul", most, epsilon(a.dtype))
}
/// The size up to which singular values `s` count as 0: the larger of `atol` and of `rtol` times the greatest of them. Without `rtol`
/// the default holds, unless `atol` is above 0.
fn limit(cx: &mut Cx, a: Mat, s: V, atol: Option<V>, rtol: Option<V>) -> R<V> {
    let rtol = match (rtol, atol) {
        (Some(r), _) => r,
        (None, None) => default_rtol(cx, a)?,
        (None, Some(t)) => {
            let usual = default_rtol(cx, a)?;
            let zero = cx.num_of(DType::F64, 0.0)?;
            let given = cx.bn("greater", t, 0.0)?;
            cx.choose(given, zero, usual)?
        }
    };
    let top = leading(cx, s)?;
    let relative = cx.b("mul", rtol, top)?;
    match atol {
        Some(t) => cx.op("max", &[t, relative]),
        None => Ok(relative),
    }
}
/// Tolerances by the names they have in the overloads.
fn tolerances(cx: &mut Cx, absolute: &str, relative: &str) -> R<(Option<V>, Option<V>)> {
    let zero = cx.num_of(DType::F64, 0.0)?;
    if let Some(tol) = tolerance(cx, absolute)? {
        return Ok((Some(tol), Some(zero)));
    }
    if let Some(tol) = tolerance(cx, relative)? {
        return Ok((Some(zero), Some(tol)));
    }
    Ok((tolerance(cx, "atol")?, tolerance(cx, "rtol")?))
}
fn is_empty(cx: &Cx, x: V) -> bool {
    cx.known_len(x) == Some(0)
}

/// Number of singular values above the tolerance; of a `hermitian` matrix they are the sizes of the eigenvalues.
pub(super) fn matrix_rank(cx: &mut Cx) -> R<Out> {
    let a = matrix(cx, if cx.names("input") { "input" } else { "self" })?;
    let hermitian = cx.bool_or("hermitian", false)?;
    let (atol, rtol) = tolerances(cx, "tol", "")?;
    if is_empty(cx, a.v) {
        let sizes = outer(cx, a.v, 2)?;
        return Ok(Out::Fresh(zeros(cx, &sizes, DType::I64)?));
    }
    let s = if hermitian {
        let m = symmetric(cx, a.v, false)?;
        let (w, _) = eigen(cx, m, false)?;
        cx.u("abs", w)?
    } else {
        values(cx, a.v)?
    };
    let limit = limit(cx, a, s, atol, rtol)?;
    let above = cx.b("greater", s, limit)?;
    let above = cx.cast(above, DType::I64)?;
    let at = axis(cx, above, 1)?;
    Ok(Out::Fresh(cx.reduce("reduce_sum", above, &[at], false)?))
}
/// The pseudoinverse by the singular values (the eigenvalues, when `hermitian`) above the tolerance.
fn pseudoinverse(cx: &mut Cx, a: Mat, hermitian: bool, atol: Option<V>, rtol: Option<V>) -> R<V> {
    if is_empty(cx, a.v) {
        let (sizes, m, n) = (outer(cx, a.v, 2)?, size(cx, a.v, 2)?, size(cx, a.v, 1)?);
        return zeros(cx, &joined(&sizes, &[&n, &m]), DType::F64);
    }
    let (u, signed, s, v) = if hermitian {
        let m = symmetric(cx, a.v, false)?;
        let (w, v) = eigen(cx, m, true)?;
        (v, w, cx.u("abs", w)?, v)
    } else {
        let (u, s, v) = decomposed(cx, a.v, false)?;
        (u, s, s, v)
    };
    let limit = limit(cx, a, s, atol, rtol)?;
    let above = cx.b("greater", s, limit)?;
    let one = cx.num(signed, 1.0)?;
    let divisor = cx.choose(above, signed, one)?;
    let inverted = cx.u("reciprocal", divisor)?;
    let inverted = only(cx, above, inverted)?;
    composed(cx, v, inverted, u)
}
pub(super) fn pinv(cx: &mut Cx) -> R<Out> {
    let a = matrix(cx, "self")?;
    let hermitian = cx.bool_or("hermitian", false)?;
    let (atol, rtol) = tolerances(cx, "", "rcond")?;
    let y = pseudoinverse(cx, a, hermitian, atol, rtol)?;
    Ok(Out::Fresh(cx.cast(y, a.dtype)?))
}
pub(super) fn legacy_pinverse(cx: &mut Cx) -> R<Out> {
    let a = matrix(cx, "self")?;
    let rtol = cx.float_or("rcond", 1e-15)?;
    let (zero, rtol) = (cx.num_of(DType::F64, 0.0)?, cx.num_of(DType::F64, rtol)?);
    let y = pseudoinverse(cx, a, false, Some(zero), Some(rtol))?;
    Ok(Out::Fresh(cx.cast(y, a.dtype)?))
}

/// Order of a matrix norm.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    Frobenius,
    Nuclear,
    /// 1, 2 or infinity, or the negative of one, which takes the least instead of the greatest.
    Number(f64),
}
fn order(cx: &Cx, name: &str) -> R<Order> {
    if let Ok(text) = cx.str_or(name, "fro") {
        return match text {
            "fro" => Ok(Order::Frobenius),
            "nuc" => Ok(Order::Nuclear),
            other => Err(unsupported(format!("a matrix norm of order `{other}`"))),
        };
    }
    let p = cx.float(name)?;
    match p.abs() {
        1.0 | 2.0 | f64::INFINITY => Ok(Order::Number(p)),
        _ => Err(malformed(format!("a matrix norm of order {p} is not defined"))),
    }
}
/// Norms of the matrices of the last two axes.
fn norms(cx: &mut Cx, x: V, order: Order) -> R<V> {
    let (rows, columns) = (axis(cx, x, 2)?, axis(cx, x, 1)?);
    if is_empty(cx, x) {
        let sizes = outer(cx, x, 2)?;
        return zeros(cx, &sizes, DType::F64);
    }
    match order {
        Order::Frobenius => p_norm(cx, x, 2.0, &[rows, columns], false),
        Order::Nuclear => {
            let s = values(cx, x)?;
            let at = axis(cx, s, 1)?;
            cx.reduce("reduce_sum", s, &[at], false)
        }
        Order::Number(p) => {
            let s = if p.abs() == 2.0 {
                values(cx, x)?
            } else {
                let size = cx.u("abs", x)?;
                cx.reduce("reduce_sum", size, &[if p.abs() == 1.0 { rows } else { columns }], false)?
            };
            let at = axis(cx, s, 1)?;
            cx.reduce(if p > 0.0 { "reduce_max" } else { "reduce_min" }, s, &[at], false)
        }
    }
}
/// Matrix norms over the two axes `dim`.
fn norm_over(cx: &mut Cx, dim: &[i64], order: Order) -> R<Out> {
    let x = cx.t("self")?;
    let to = cx.opt_dtype("dtype")?.unwrap_or(cx.dtype(x)?);
    let (keep, rank) = (cx.bool_or("keepdim", false)?, cx.rank(x)?);
    let x = cx.cast(x, to)?;
    let x = wide(cx, x)?;
    let at: Vec<usize> = dim.iter().map(|d| wrap(*d, rank)).collect::<R<_>>()?;
    let [i, j] = at[..] else { return Err(malformed("a matrix norm is over two axes")) };
    if i == j || rank < 2 {
        return Err(malformed("a matrix norm is over two different axes"));
    }
    let mut perm: Vec<usize> = (0..rank).filter(|a| *a != i && *a != j).collect();
    perm.extend([i, j]);
    let m = cx.permute(x.v, &perm)?;
    let mut y = norms(cx, m, order)?;
    if keep {
        y = cx.unsqueeze(y, &[i.min(j) as i64, i.max(j) as i64])?;
    }
    Ok(Out::Fresh(cx.cast(y, to)?))
}
pub(super) fn matrix_norm(cx: &mut Cx) -> R<Out> {
    let order = order(cx, "ord")?;
    let dim = if cx.has("dim") { cx.ints("dim")? } else { vec![-2, -1] };
    norm_over(cx, &dim, order)
}
pub(super) fn nuclear_norm(cx: &mut Cx) -> R<Out> {
    let dim = if cx.has("dim") { cx.ints("dim")? } else { vec![-2, -1] };
    norm_over(cx, &dim, Order::Nuclear)
}
/// The matrix norm that `linalg_norm` means: with an order, of two axes. `None` when it means a vector norm.
pub(in super::super) fn as_matrix_norm(cx: &mut Cx) -> R<Option<Out>> {
    let x = cx.t("self")?;
    let dim = cx.ints_or_empty("dim")?;
    let two = if cx.has("dim") { dim.len() == 2 } else { cx.rank(x)? == 2 };
    if !two || !cx.has("ord") {
        return Ok(None);
    }
    let order = order(cx, "ord")?;
    let dim = if dim.is_empty() { vec![-2, -1] } else { dim };
    norm_over(cx, &dim, order).map(Some)
}
/// The condition number: the ratio of singular values, or the product of the norms of a matrix and its inverse. A matrix without an
/// inverse has an infinite one.
pub(super) fn cond(cx: &mut Cx) -> R<Out> {
    let a = matrix(cx, "self")?;
    let order = if cx.has("p") { order(cx, "p")? } else { Order::Number(2.0) };
    let y = match order {
        _ if is_empty(cx, a.v) => {
            let sizes = outer(cx, a.v, 2)?;
            zeros(cx, &sizes, DType::F64)?
        }
        Order::Number(p) if p.abs() == 2.0 => {
            let s = values(cx, a.v)?;
            let at = axis(cx, s, 1)?;
            let most = cx.reduce("reduce_max", s, &[at], false)?;
            let least = cx.reduce("reduce_min", s, &[at], false)?;
            if p > 0.0 { cx.b("div", most, least)? } else { cx.b("div", least, most)? }
        }
        other => {
            let a = square(cx, "self")?;
            let (inverted, f) = inverse(cx, a.v)?;
            let (own, back) = (norms(cx, a.v, other)?, norms(cx, inverted, other)?);
            let y = cx.b("mul", own, back)?;
            let bad = cx.bn("greater", f.info, 0.0)?;
            let bad = cx.squeeze(bad, &[-2, -1])?;
            let infinite = cx.num(y, f64::INFINITY)?;
            cx.choose(bad, infinite, y)?
        }
    };
    Ok(Out::Fresh(cx.cast(y, a.dtype)?))
}

/// Solutions of least squares, the smallest where several are equally good: `(X, residuals, rank, singular values)`. What a driver does not
/// compute is empty, as in PyTorch.
pub(super) fn lstsq(cx: &mut Cx) -> R<Out> {
    let a = matrix(cx, "self")?;
    let driver = cx.str_or("driver", "gelsy")?.to_owned();
    let values_wanted = matches!(driver.as_str(), "gelsd" | "gelss");
    let taller = cx.known_sizes(a.v).is_none_or(|s| s[s.len() - 2] > s[s.len() - 1]);
    if values_wanted && taller {
        return Err(unsupported("the size of the residuals of least squares depends on the rank")
            .hint("driver `gelsy` has none, `gels` has them for every rank"));
    }
    let b = cx.t("b")?;
    let vector = cx.rank(b)? + 1 == cx.rank(a.v)?;
    let b = if vector { cx.unsqueeze(b, &[-1])? } else { b };
    let b = wide(cx, b)?;
    let rtol = tolerance(cx, "rcond")?;
    let zero = cx.num_of(DType::F64, 0.0)?;
    let s = values(cx, a.v)?;
    let limit = limit(cx, a, s, rtol.map(|_| zero), rtol)?;
    let above = cx.b("greater", s, limit)?;
    let above = cx.cast(above, DType::I64)?;
    let at = axis(cx, above, 1)?;
    let inverted = pseudoinverse(cx, a, false, rtol.map(|_| zero), rtol)?;
    let x = cx.b("mat_mul", inverted, b.v)?;
    let residuals = if driver == "gels" && taller {
        let y = cx.b("mat_mul", a.v, x)?;
        let d = cx.b("sub", y, b.v)?;
        let squares = cx.b("mul", d, d)?;
        let rows = axis(cx, squares, 2)?;
        let r = cx.reduce("reduce_sum", squares, &[rows], false)?;
        cx.cast(r, b.dtype)?
    } else {
        zeros(cx, &[Size::Known(0)], b.dtype)?
    };
    let rank = if driver == "gels" {
        zeros(cx, &[Size::Known(0)], DType::I64)?
    } else {
        cx.reduce("reduce_sum", above, &[at], false)?
    };
    let s = if values_wanted { cx.cast(s, a.dtype)? } else { zeros(cx, &[Size::Known(0)], a.dtype)? };
    let x = if vector { cx.squeeze(x, &[-1])? } else { x };
    let x = cx.cast(x, b.dtype)?;
    Ok(Out::Many([x, residuals, rank, s].into_iter().map(Out::Fresh).collect()))
}
