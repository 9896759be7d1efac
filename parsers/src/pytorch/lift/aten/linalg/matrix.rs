//! Stacks of matrices: operands, sizes, positions, and the small products and masks that factorisations are made of.
use crate::pytorch::lift::cx::{Cx, R, Size, V, malformed, unsupported};
use hoist_ir::dtype::DType;

/// A stack of matrices, widened to 64 bits, in which all factorisations are computed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mat {
    /// The elements as `f64`, `[.., m, n]`.
    pub v: V,
    /// Element type of the program's own tensor.
    pub dtype: DType,
}

/// Argument `name`, which must hold at least one matrix of real floats.
pub(super) fn matrix(cx: &mut Cx, name: &str) -> R<Mat> {
    let x = cx.t(name)?;
    if cx.rank(x)? < 2 {
        return Err(malformed(format!("argument `{name}` holds no matrix")));
    }
    wide(cx, x)
}
/// A square [`matrix`].
pub(super) fn square(cx: &mut Cx, name: &str) -> R<Mat> {
    let a = matrix(cx, name)?;
    let dims = cx.dims(a.v)?;
    if let [.., m, n] = dims.as_slice()
        && m.surely_differs(n)
    {
        return Err(malformed(format!("argument `{name}` holds {m} by {n} matrices, which are not square")));
    }
    Ok(a)
}
/// `x` in 64 bits.
pub(super) fn wide(cx: &mut Cx, x: V) -> R<Mat> {
    let dtype = cx.dtype(x)?;
    if !matches!(dtype, DType::F32 | DType::F64) {
        return Err(unsupported(format!("linear algebra on {} is not supported", dtype.name()))
            .hint("only f32 and f64 matrices are"));
    }
    Ok(Mat { v: cx.cast(x, DType::F64)?, dtype })
}

/// Size of axis `-back`.
pub(super) fn size(cx: &mut Cx, x: V, back: usize) -> R<Size> {
    let at = axis(cx, x, back)?;
    cx.dim(x, at)
}
/// Position of axis `-back`.
pub(super) fn axis(cx: &Cx, x: V, back: usize) -> R<usize> {
    cx.rank(x)?.checked_sub(back).ok_or_else(|| malformed("a matrix is expected here"))
}
/// Sizes in front of the last `back` axes.
pub(super) fn outer(cx: &mut Cx, x: V, back: usize) -> R<Vec<Size>> {
    let mut sizes = cx.shape_of(x)?;
    let keep = sizes.len().checked_sub(back).ok_or_else(|| malformed("a matrix is expected here"))?;
    sizes.truncate(keep);
    Ok(sizes)
}
/// The smaller one.
pub(super) fn smaller(cx: &mut Cx, a: &Size, b: &Size) -> R<Size> {
    cx.size_op("min", a, b, |a, b| Some(a.min(b)))
}
/// The larger one.
pub(super) fn larger(cx: &mut Cx, a: &Size, b: &Size) -> R<Size> {
    cx.size_op("max", a, b, |a, b| Some(a.max(b)))
}
/// `a - b`.
pub(super) fn minus(cx: &mut Cx, a: &Size, b: i64) -> R<Size> {
    cx.size_op("sub", a, &Size::Known(b), i64::checked_sub)
}
/// `outer` followed by `last`.
pub(super) fn joined(outer: &[Size], last: &[&Size]) -> Vec<Size> {
    outer.iter().cloned().chain(last.iter().map(|s| (*s).clone())).collect()
}
/// Zeros of these sizes.
pub(super) fn zeros(cx: &mut Cx, sizes: &[Size], dtype: DType) -> R<V> {
    let zero = cx.num_of(dtype, 0.0)?;
    cx.full(sizes, zero)
}
/// `0, 1, .. n-1` as a column `[n, 1]`.
pub(super) fn down(cx: &mut Cx, n: &Size) -> R<V> {
    let i = cx.iota(n)?;
    cx.unsqueeze(i, &[1])
}
/// `0, 1, .. n-1` as a row `[1, n]`.
pub(super) fn across(cx: &mut Cx, n: &Size) -> R<V> {
    let i = cx.iota(n)?;
    cx.unsqueeze(i, &[0])
}
/// The `m` by `n` matrix with ones on its diagonal.
pub(super) fn eye(cx: &mut Cx, m: &Size, n: &Size, dtype: DType) -> R<V> {
    let (i, j) = (down(cx, m)?, across(cx, n)?);
    let same = cx.b("equal", i, j)?;
    cx.cast(same, dtype)
}
/// [`eye`] once for each matrix of a stack with these outer sizes.
pub(super) fn eyes(cx: &mut Cx, outer: &[Size], m: &Size, n: &Size) -> R<V> {
    let one = eye(cx, m, n, DType::F64)?;
    cx.expand(one, &joined(outer, &[m, n]))
}
/// The last two axes exchanged.
pub(super) fn transposed(cx: &mut Cx, x: V) -> R<V> {
    let rank = cx.rank(x)?;
    if rank < 2 {
        return Err(malformed("a matrix is expected here"));
    }
    cx.swap(x, rank - 2, rank - 1)
}
/// Row `k` (an index of shape `[1]`) as `[.., 1, n]`.
pub(super) fn row(cx: &mut Cx, x: V, k: V) -> R<V> {
    let at = axis(cx, x, 2)?;
    cx.gather(x, k, at)
}
/// Column `k` (an index of shape `[1]`) as `[.., m, 1]`.
pub(super) fn column(cx: &mut Cx, x: V, k: V) -> R<V> {
    let at = axis(cx, x, 1)?;
    cx.gather(x, k, at)
}
/// `x` where `mask`, else 0.
pub(super) fn only(cx: &mut Cx, mask: V, x: V) -> R<V> {
    let zero = cx.num(x, 0.0)?;
    cx.choose(mask, x, zero)
}
/// Elements `[i, j]` for which `i op j`, else 0.
pub(super) fn part(cx: &mut Cx, x: V, op: &str) -> R<V> {
    let (m, n) = (size(cx, x, 2)?, size(cx, x, 1)?);
    let (i, j) = (down(cx, &m)?, across(cx, &n)?);
    let mask = cx.b(op, i, j)?;
    only(cx, mask, x)
}
/// The diagonal as `[.., min(m, n)]`.
pub(super) fn diagonal(cx: &mut Cx, x: V) -> R<V> {
    let (m, n) = (size(cx, x, 2)?, size(cx, x, 1)?);
    let own = part(cx, x, "equal")?;
    // A column of a wide matrix behind the diagonal, and a row of a tall one, hold nothing of it.
    let tall = matches!((&m, &n), (Size::Known(m), Size::Known(n)) if m >= n);
    let at = axis(cx, x, if tall { 2 } else { 1 })?;
    let d = cx.reduce("reduce_sum", own, &[at], false)?;
    let k = smaller(cx, &m, &n)?;
    first(cx, d, 1, &k)
}
/// The first `count` positions of axis `-back`.
pub(super) fn first(cx: &mut Cx, x: V, back: usize, count: &Size) -> R<V> {
    let at = axis(cx, x, back)?;
    if cx.dim(x, at)? == *count {
        return Ok(x);
    }
    cx.slice(x, at, &Size::Known(0), count, 1)
}
/// Sum along axis `-back`, which stays with size 1.
pub(super) fn sum(cx: &mut Cx, x: V, back: usize) -> R<V> {
    let at = axis(cx, x, back)?;
    cx.reduce("reduce_sum", x, &[at], true)
}
/// Greatest element along axis `-back`, which stays with size 1.
pub(super) fn greatest(cx: &mut Cx, x: V, back: usize) -> R<V> {
    let at = axis(cx, x, back)?;
    cx.reduce("reduce_max", x, &[at], true)
}
/// Elements of axis `-back` in the order of `index`, which has the shape of `x` but for axes of size 1.
pub(super) fn reorder(cx: &mut Cx, x: V, index: V, back: usize) -> R<V> {
    let at = axis(cx, x, back)?;
    let mut sizes = cx.shape_of(x)?;
    sizes[at] = cx.dim(index, axis(cx, index, back)?)?;
    let index = cx.expand(index, &sizes)?;
    cx.with("gather_elements", &[x, index], &[("axis", hoist_ir::attr::Attr::Int(at as i64))])
}
/// Both with the outer sizes of both, broadcast.
pub(super) fn same_outer(cx: &mut Cx, a: V, b: V) -> R<(V, V)> {
    let one = |cx: &mut Cx, x: V, like: V| -> R<V> {
        let (own, other) = (cx.dims(x)?, cx.dims(like)?);
        let (own, other) = (&own[..own.len().saturating_sub(2)], &other[..other.len().saturating_sub(2)]);
        if own == other {
            return Ok(x);
        }
        // `expand` broadcasts both ways.
        let sizes = outer(cx, like, 2)?;
        let sizes = joined(&sizes, &[&Size::Known(1), &Size::Known(1)]);
        let shape = cx.shape_value(&sizes)?;
        cx.b("expand", x, shape)
    };
    Ok((one(cx, a, b)?, one(cx, b, a)?))
}
/// `info` as the program sees it: `i32`, one for each matrix, of an `i64` value `[.., 1, 1]`.
pub(super) fn code(cx: &mut Cx, info: V) -> R<V> {
    let info = cx.squeeze(info, &[-2, -1])?;
    cx.cast(info, DType::I32)
}
/// Zeros `[.., 1, 1]` for a stack of matrices.
pub(super) fn flags(cx: &mut Cx, x: V) -> R<V> {
    let sizes = outer(cx, x, 2)?;
    zeros(cx, &joined(&sizes, &[&Size::Known(1), &Size::Known(1)]), DType::I64)
}
