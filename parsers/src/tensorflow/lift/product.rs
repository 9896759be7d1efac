//! Products of matrices.
use super::Row;
use super::bridge::Arg;
use super::cx::{Cx, R, V};
use super::val::Val;
use hoist_ir::dtype::DType;

pub(super) const TABLE: &[Row] = &[
    ("MatMul", "", |cx| Ok(vec![product(cx)?.into()])),
    ("BatchMatMul", "", batch_product),
    ("BatchMatMulV2", "", batch_product),
    ("BatchMatMulV3", "", batch_product),
];

/// `v` with its last two axes exchanged; at once for constants.
fn turned(cx: &mut Cx<'_, '_, '_>, v: V) -> R<V> {
    let rank = cx.rank(v)?;
    if rank < 2 {
        return Err(cx.bad(format!("a matrix of {rank} axes")));
    }
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(rank - 1, rank - 2);
    if let Some(t) = cx.constant(v) {
        let t = t.permute(&perm).map_err(|e| cx.bad(e))?;
        return Ok(cx.konst(t));
    }
    let perm: Vec<i64> = perm.into_iter().map(|p| p as i64).collect();
    cx.transpose(v, &perm)
}

fn multiplied(cx: &mut Cx<'_, '_, '_>, [left, right]: [&str; 2]) -> R<V> {
    let (mut x, mut y) = (cx.arg(0)?, cx.arg(1)?);
    if cx.attrs.flag(left) {
        x = turned(cx, x)?;
    }
    if cx.attrs.flag(right) {
        y = turned(cx, y)?;
    }
    // Products of short integers are sums of the wider type that is asked for.
    let to = if cx.attrs.has("Tout") { cx.attrs.dtype("Tout")? } else { cx.dtype(x)? };
    if to.is_int() && to != cx.dtype(x)? {
        (x, y) = (cx.cast(x, to)?, cx.cast(y, to)?);
    }
    let z = cx.named("mat_mul", &[x, y])?;
    if cx.dtype(z)? != to && matches!(to, DType::F32 | DType::F16 | DType::BF16 | DType::F64) {
        return cx.cast(z, to);
    }
    Ok(z)
}

/// The product of two matrices, either of them turned.
pub(super) fn product(cx: &mut Cx<'_, '_, '_>) -> R<V> {
    multiplied(cx, ["transpose_a", "transpose_b"])
}

/// Products of stacks of matrices; the adjoint of a real matrix is the matrix turned.
fn batch_product(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    if let (Val::Complex(x), Val::Complex(y)) = (cx.val(0)?.clone(), cx.val(1)?.clone()) {
        if cx.attrs.flag("adj_x") || cx.attrs.flag("adj_y") {
            return Err(cx.unsupported("adjoints of complex numbers"));
        }
        let out = cx.aten_all("matmul", &[("self", Arg::C(x)), ("other", Arg::C(y))])?;
        return Ok(out.into_iter().map(Val::from).collect());
    }
    Ok(vec![multiplied(cx, ["adj_x", "adj_y"])?.into()])
}
