//! Sparse tensors: indices `[count, axes]`, values `[count]` and sizes `[axes]`.
use super::Row;
use super::cx::{Cx, R, V};
use super::val::Val;
use hoist_ir::dtype::DType;
use hoist_ir::ops::index::scatter::Reduction;
use hoist_ir::ops::index::scatter_nd::ScatterNd;
use hoist_ir::ops::reduce::cumulative::CumProd;
use hoist_ir::ops::reduce::reductions::{ReduceProd, ReduceSum};
use hoist_ir::tensor::Tensor;

pub(super) const TABLE: &[Row] = &[
    ("SparseReshape", "output_indices output_shape", reshape),
    ("SparseToDense", "", to_dense),
    ("SparseTensorDenseMatMul", "", product),
    ("SparseTensorDenseAdd", "", |cx| {
        let dense = cx.arg(3)?;
        scattered(cx, dense, Reduction::Add)
    }),
];

/// The distance between elements along each axis, for sizes `[axes]`.
fn strides(cx: &mut Cx<'_, '_, '_>, sizes: V) -> R<V> {
    let axis = cx.konst(Tensor::scalar(0i64));
    cx.op(CumProd { exclusive: true, reverse: true }, &[sizes, axis])
}

fn reshape(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (at, sizes, wanted) = (cx.wide(0)?, cx.wide(1)?, cx.wide(2)?);
    let all = |keepdims| ReduceProd { keepdims, noop_with_empty_axes: false };
    let total = cx.op(all(true), &[sizes])?;
    // The product of what is stated has the other sign where one size is open.
    let (zero, one) = (cx.int_list(&[0]), cx.int_list(&[1]));
    let open = cx.named("less", &[wanted, zero])?;
    let stated = cx.named("where", &[open, one, wanted])?;
    let stated = cx.op(all(true), &[stated])?;
    let some = cx.named("max", &[stated, one])?;
    let rest = cx.named("div", &[total, some])?;
    let wanted = cx.named("where", &[open, rest, wanted])?;
    let (from, to) = (strides(cx, sizes)?, strides(cx, wanted)?);
    let places = cx.named("mul", &[at, from])?;
    let last = cx.int_list(&[1]);
    let places = cx.op(ReduceSum { keepdims: true, noop_with_empty_axes: false }, &[places, last])?;
    let to = cx.named("max", &[to, one])?;
    let (whole, size) = (cx.named("div", &[places, to])?, cx.named("max", &[wanted, one])?);
    let at = cx.named("mod", &[whole, size])?;
    Ok(vec![at.into(), wanted.into()])
}

/// Indices of any rank as rows.
fn rows(cx: &mut Cx<'_, '_, '_>, at: V) -> R<V> {
    match cx.rank(at)? {
        0 => cx.reshape(at, &[1, 1]),
        1 => cx.unsqueeze(at, &[1]),
        _ => Ok(at),
    }
}

fn to_dense(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (at, sizes, values, fill) = (cx.wide(0)?, cx.wide(1)?, cx.arg(2)?, cx.arg(3)?);
    let base = cx.expand(fill, sizes)?;
    let at = rows(cx, at)?;
    let count = cx.size_of(at, 0)?;
    let values = cx.expand(values, count)?;
    Ok(vec![cx.op(ScatterNd::default(), &[base, at, values])?.into()])
}

/// `base` with the values of the operands at their indices.
fn scattered(cx: &mut Cx<'_, '_, '_>, base: V, reduction: Reduction) -> R<Vec<Val>> {
    let (at, values) = (cx.wide(0)?, cx.arg(1)?);
    Ok(vec![cx.op(ScatterNd { reduction }, &[base, at, values])?.into()])
}

/// The product with a matrix, of the dense form.
fn product(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (at, values, sizes, mut y) = (cx.wide(0)?, cx.arg(1)?, cx.wide(2)?, cx.arg(3)?);
    let dtype = cx.dtype(values)?;
    if !matches!(dtype, DType::F32 | DType::F64) {
        return Err(cx.unsupported(format!("{dtype}")));
    }
    let zero = cx.number(0.0, values)?;
    let base = cx.expand(zero, sizes)?;
    let mut x = cx.op(ScatterNd { reduction: Reduction::Add }, &[base, at, values])?;
    if cx.attrs.flag("adjoint_a") {
        x = cx.transpose(x, &[1, 0])?;
    }
    if cx.attrs.flag("adjoint_b") {
        y = cx.transpose(y, &[1, 0])?;
    }
    Ok(vec![cx.named("mat_mul", &[x, y])?.into()])
}
