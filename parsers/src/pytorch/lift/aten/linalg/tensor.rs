//! Inverses and solutions of tensors seen as matrices.
use super::matrix::wide;
use super::solve::{inverse, solution};
use crate::pytorch::lift::cx::{Cx, Out, R, Size, V, malformed};
use crate::pytorch::lift::emit::wrap;

/// `x` as a square matrix, its axes from `split` on as columns.
fn as_matrix(cx: &mut Cx, x: V, sizes: &[Size], split: usize) -> R<V> {
    let (rows, columns) = sizes.split_at(split);
    let (m, n) = (cx.size_product(rows)?, cx.size_product(columns)?);
    if matches!((&m, &n), (Size::Known(m), Size::Known(n)) if m != n) {
        return Err(malformed("the tensor is no square matrix"));
    }
    cx.reshape(x, &[m, n])
}
/// The inverse over the first `ind` axes.
pub(super) fn tensorinv(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let a = wide(cx, x)?;
    let sizes = cx.shape_of(a.v)?;
    let ind = usize::try_from(cx.int_or("ind", 2)?).unwrap_or(0);
    if ind == 0 || ind > sizes.len() {
        return Err(malformed("`ind` must name a number of axes"));
    }
    let m = as_matrix(cx, a.v, &sizes, ind)?;
    let y = inverse(cx, m)?.0;
    let (rows, columns) = sizes.split_at(ind);
    let back: Vec<Size> = columns.iter().chain(rows).cloned().collect();
    let y = cx.reshape(y, &back)?;
    Ok(Out::Fresh(cx.cast(y, a.dtype)?))
}
/// The tensor whose product with `self` over its own axes is `other`; axes `dims` of `self` are moved to its end first.
pub(super) fn tensorsolve(cx: &mut Cx) -> R<Out> {
    let (a, b) = (cx.t("self")?, cx.t("other")?);
    let (a, b) = (wide(cx, a)?, wide(cx, b)?);
    let rank = cx.rank(a.v)?;
    let dims: Vec<usize> = cx.ints_or_empty("dims")?.into_iter().map(|d| wrap(d, rank)).collect::<R<_>>()?;
    let mut perm: Vec<usize> = (0..rank).filter(|i| !dims.contains(i)).collect();
    perm.extend(&dims);
    if perm.len() != rank {
        return Err(malformed("an axis is named twice"));
    }
    let moved = cx.permute(a.v, &perm)?;
    let (sizes, split) = (cx.shape_of(moved)?, cx.rank(b.v)?);
    if split > rank {
        return Err(malformed("the right-hand side has more axes than the tensor"));
    }
    let m = as_matrix(cx, moved, &sizes, split)?;
    let line = cx.reshape_to(b.v, &[-1])?;
    let line = cx.unsqueeze(line, &[1])?;
    let x = solution(cx, m, line)?;
    let x = cx.reshape(x, &sizes[split..])?;
    Ok(Out::Fresh(cx.cast(x, b.dtype)?))
}
