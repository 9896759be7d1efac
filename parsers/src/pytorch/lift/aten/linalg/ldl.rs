//! LDL factorisation of symmetric indefinite matrices with the diagonal pivoting of Bunch and Kaufman, packed as LAPACK's `sytrf`
//! packs it for the lower triangle.
use super::eigh::symmetric;
use super::loops::repeat;
use super::lu::shown;
use super::matrix::{
    across, axis, code, down, flags, greatest, joined, matrix, minus, only, outer, reorder, same_outer, size,
    square, sum, transposed, zeros,
};
use crate::pytorch::lift::cx::{Cx, Out, R, Size, V};
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;

/// `(1 + sqrt(17)) / 8`, for which the growth of elements in one step is bounded best.
const ALPHA: f64 = 0.640_388_203_202_208;

/// What a step eliminates in each matrix; all `[.., 1, 1]`.
#[derive(Clone, Copy, Debug)]
struct Pivot {
    /// Whether anything is left to eliminate.
    active: V,
    /// A block of two, not of one.
    two: V,
    /// Position exchanged with the last one of the block.
    with: V,
    /// The column is 0.
    zero: V,
}

/// Whether `flag` is false.
fn not(cx: &mut Cx, flag: V) -> R<V> {
    cx.u("not", flag)
}
/// Position of the greatest of `x` (`[.., n, 1]`).
fn place(cx: &mut Cx, x: V) -> R<V> {
    let at = axis(cx, x, 2)? as i64;
    cx.with("arg_max", &[x], &[("axis", Attr::Int(at)), ("keepdims", Attr::Bool(true))])
}
/// Chooses the pivot of column `k` of the symmetric matrix `s`.
fn choose_pivot(cx: &mut Cx, s: V, k: V, rows: V, active: V) -> R<Pivot> {
    let col = reorder(cx, s, k, 1)?;
    let own = reorder(cx, col, k, 2)?;
    let (own, sizes) = (cx.u("abs", own)?, cx.u("abs", col)?);
    let below = cx.b("greater", rows, k)?;
    let below_sizes = only(cx, below, sizes)?;
    let (i, most) = (place(cx, below_sizes)?, greatest(cx, below_sizes, 2)?);
    let largest = cx.op("max", &[own, most])?;
    let zero = cx.bn("equal", largest, 0.0)?;

    let other = reorder(cx, s, i, 1)?;
    let other = cx.u("abs", other)?;
    let from_k = cx.b("greater_or_equal", rows, k)?;
    let off = cx.b("equal", rows, i)?;
    let off = not(cx, off)?;
    let off = cx.b("and", from_k, off)?;
    let off_sizes = only(cx, off, other)?;
    let row_most = greatest(cx, off_sizes, 2)?;
    let diagonal = reorder(cx, other, i, 2)?;

    let bound = cx.bn("mul", most, ALPHA)?;
    let stays = cx.b("greater_or_equal", own, bound)?;
    let stays = cx.b("or", zero, stays)?;
    let flat = cx.bn("equal", row_most, 0.0)?;
    let one = cx.num(row_most, 1.0)?;
    let safe = cx.choose(flat, one, row_most)?;
    let ratio = cx.b("div", most, safe)?;
    let bound = cx.b("mul", bound, ratio)?;
    let enough = cx.b("greater_or_equal", own, bound)?;
    let stays = cx.b("or", stays, enough)?;
    let row_bound = cx.bn("mul", row_most, ALPHA)?;
    let single = cx.b("greater_or_equal", diagonal, row_bound)?;
    let single = cx.b("or", stays, single)?;
    let two = not(cx, single)?;
    let two = cx.b("and", active, two)?;
    Ok(Pivot { active, two, with: cx.choose(stays, k, i)?, zero })
}
/// Rows (`[n, 1]`) with the last of the block at `k` and its partner exchanged.
fn exchange(cx: &mut Cx, rows: V, k: V, p: &Pivot) -> R<V> {
    let last = block_end(cx, k, p.two)?;
    let (is_last, is_with) = (cx.b("equal", rows, last)?, cx.b("equal", rows, p.with)?);
    let order = cx.choose(is_with, last, rows)?;
    let order = cx.choose(is_last, p.with, order)?;
    cx.choose(p.active, order, rows)
}
/// `k`, or `k + 1` of a block of two.
fn block_end(cx: &mut Cx, k: V, two: V) -> R<V> {
    let step = cx.cast(two, DType::I64)?;
    cx.b("add", k, step)
}
/// The elements of the block: `d11`, `d21`, `d22` of a block of two and its determinant; of a single one `d11`, 0, 1 and `d11`. 1 in
/// place of a determinant of 0.
fn block(cx: &mut Cx, first: V, second: V, k: V, next: V, two: V) -> R<[V; 4]> {
    let d11 = reorder(cx, first, k, 2)?;
    let (d21, d22) = (reorder(cx, first, next, 2)?, reorder(cx, second, next, 2)?);
    let (zero, one) = (cx.num(d11, 0.0)?, cx.num(d11, 1.0)?);
    let (d21, d22) = (cx.choose(two, d21, zero)?, cx.choose(two, d22, one)?);
    let (a, b) = (cx.b("mul", d11, d22)?, cx.b("mul", d21, d21)?);
    let det = cx.b("sub", a, b)?;
    let flat = cx.bn("equal", det, 0.0)?;
    Ok([d11, d21, d22, cx.choose(flat, one, det)?])
}
/// `x D^-1` for the block `d` and two columns or rows `x1`, `x2`.
fn divided(cx: &mut Cx, [d11, d21, d22, det]: [V; 4], x1: V, x2: V) -> R<(V, V)> {
    let pair = |cx: &mut Cx, a: V, x: V, b: V, y: V| -> R<V> {
        let (p, q) = (cx.b("mul", a, x)?, cx.b("mul", b, y)?);
        let d = cx.b("sub", p, q)?;
        cx.b("div", d, det)
    };
    Ok((pair(cx, d22, x1, d21, x2)?, pair(cx, d11, x2, d21, x1)?))
}
/// `k` and the position after it, both moved inside the matrix.
fn inside(cx: &mut Cx, k: V, last: V) -> R<(V, V)> {
    let next = cx.bn("add", k, 1.0)?;
    Ok((cx.op("min", &[k, last])?, cx.op("min", &[next, last])?))
}

/// One block of each matrix. State: what is left, the result, pivots, position, error code.
fn step(cx: &mut Cx, [s, ld, pivots, k, info]: [V; 5], [rows, columns, last]: [V; 3]) -> R<[V; 5]> {
    let active = cx.b("less_or_equal", k, last)?;
    let (at, next) = inside(cx, k, last)?;
    let p = choose_pivot(cx, s, at, rows, active)?;
    let order = exchange(cx, rows, at, &p)?;
    let s = reorder(cx, s, order, 2)?;
    let flat = transposed(cx, order)?;
    let s = reorder(cx, s, flat, 1)?;

    let (c1, c2) = (reorder(cx, s, at, 1)?, reorder(cx, s, next, 1)?);
    let d = block(cx, c1, c2, at, next, p.two)?;
    let end = block_end(cx, at, p.two)?;
    let behind = cx.b("greater", rows, end)?;
    let paired = cx.b("and", behind, p.two)?;
    let (x1, x2) = (only(cx, behind, c1)?, only(cx, paired, c2)?);
    let (w1, w2) = divided(cx, d, x1, x2)?;
    let w2 = only(cx, paired, w2)?;
    let (t1, t2) = (transposed(cx, x1)?, transposed(cx, x2)?);
    let (q1, q2) = (cx.b("mul", w1, t1)?, cx.b("mul", w2, t2)?);
    let change = cx.b("add", q1, q2)?;
    let change = only(cx, active, change)?;
    let s = cx.b("sub", s, change)?;

    let from = cx.b("less_or_equal", rows, end)?;
    let from_k = cx.b("greater_or_equal", rows, at)?;
    let own = cx.b("and", from, from_k)?;
    let l1 = cx.choose(own, c1, w1)?;
    let is_next = cx.b("equal", rows, next)?;
    let l2 = cx.choose(is_next, c2, w2)?;
    let put = |cx: &mut Cx, ld: V, column: V, position: V, flag: V| -> R<V> {
        let here = cx.b("equal", columns, position)?;
        let here = cx.b("and", here, flag)?;
        cx.choose(here, column, ld)
    };
    let ld = put(cx, ld, l1, at, active)?;
    let ld = put(cx, ld, l2, next, p.two)?;

    let pivot = cx.bn("add", p.with, 1.0)?;
    let negated = cx.u("neg", pivot)?;
    let pivot = cx.choose(p.two, negated, pivot)?;
    let now = cx.b("and", own, active)?;
    let pivots = cx.choose(now, pivot, pivots)?;
    let fine = cx.bn("equal", info, 0.0)?;
    let bad = cx.b("and", p.zero, fine)?;
    let bad = cx.b("and", bad, active)?;
    let k1 = cx.bn("add", k, 1.0)?;
    Ok([s, ld, pivots, block_end(cx, k1, p.two)?, cx.choose(bad, k1, info)?])
}

/// Packed factors `[.., n, n]`, pivots `[.., n, 1]` and error codes.
fn factor(cx: &mut Cx, a: V) -> R<(V, V, V)> {
    let (n, stack, sizes) = (size(cx, a, 1)?, outer(cx, a, 2)?, cx.shape_of(a)?);
    let s = symmetric(cx, a, false)?;
    let ld = zeros(cx, &sizes, DType::F64)?;
    let pivots = zeros(cx, &joined(&stack, &[&n, &Size::Known(1)]), DType::I64)?;
    let (start, info) = (flags(cx, a)?, flags(cx, a)?);
    let last = minus(cx, &n, 1)?;
    let uses = [down(cx, &n)?, across(cx, &n)?, cx.size_value(&last)];
    let [_, ld, pivots, _, info] =
        repeat(cx, &n, [s, ld, pivots, start, info], uses, |cx, _, state, uses| step(cx, state, uses))?;
    Ok((ld, pivots, info))
}
fn factored(cx: &mut Cx) -> R<(V, V, V)> {
    cx.bool_or("hermitian", false)?;
    cx.bool_or("check_errors", false)?;
    let a = square(cx, "self")?;
    let (ld, pivots, info) = factor(cx, a.v)?;
    Ok((cx.cast(ld, a.dtype)?, shown(cx, pivots)?, info))
}
pub(super) fn ldl_factor(cx: &mut Cx) -> R<Out> {
    let (ld, pivots, _) = factored(cx)?;
    Ok(Out::Many(vec![Out::Fresh(ld), Out::Fresh(pivots)]))
}
pub(super) fn ldl_factor_ex(cx: &mut Cx) -> R<Out> {
    let (ld, pivots, info) = factored(cx)?;
    Ok(Out::Many(vec![Out::Fresh(ld), Out::Fresh(pivots), Out::Fresh(code(cx, info)?)]))
}

/// The pivot that is stored for position `k`.
fn stored_pivot(cx: &mut Cx, pivots: V, k: V, active: V) -> R<Pivot> {
    let p = reorder(cx, pivots, k, 2)?;
    let negative = cx.bn("less", p, 0.0)?;
    let two = cx.b("and", negative, active)?;
    let size = cx.u("abs", p)?;
    let with = cx.bn("sub", size, 1.0)?;
    Ok(Pivot { active, two, with, zero: negative })
}
/// `x` with `line` in row `at` where `flag` holds.
fn put_row(cx: &mut Cx, x: V, line: V, rows: V, at: V, flag: V) -> R<V> {
    let here = cx.b("equal", rows, at)?;
    let here = cx.b("and", here, flag)?;
    cx.choose(here, line, x)
}
/// Undoes one block of `L`, then divides by the block of `D`.
fn forward(cx: &mut Cx, [x, k]: [V; 2], [ld, pivots, rows, last]: [V; 4]) -> R<[V; 2]> {
    let active = cx.b("less_or_equal", k, last)?;
    let (at, next) = inside(cx, k, last)?;
    let p = stored_pivot(cx, pivots, at, active)?;
    let order = exchange(cx, rows, at, &p)?;
    let x = reorder(cx, x, order, 2)?;
    let (c1, c2) = (reorder(cx, ld, at, 1)?, reorder(cx, ld, next, 1)?);
    let (x1, x2) = (reorder(cx, x, at, 2)?, reorder(cx, x, next, 2)?);
    let end = block_end(cx, at, p.two)?;
    let behind = cx.b("greater", rows, end)?;
    let behind = cx.b("and", behind, active)?;
    let paired = cx.b("and", behind, p.two)?;
    let (l1, l2) = (only(cx, behind, c1)?, only(cx, paired, c2)?);
    let (q1, q2) = (cx.b("mul", l1, x1)?, cx.b("mul", l2, x2)?);
    let change = cx.b("add", q1, q2)?;
    let x = cx.b("sub", x, change)?;
    let d = block(cx, c1, c2, at, next, p.two)?;
    let x2 = only(cx, p.two, x2)?;
    let (y1, y2) = divided(cx, d, x1, x2)?;
    let x = put_row(cx, x, y1, rows, at, active)?;
    let x = put_row(cx, x, y2, rows, next, p.two)?;
    let k = cx.bn("add", k, 1.0)?;
    Ok([x, block_end(cx, k, p.two)?])
}
/// Undoes one block of `L'`, from the end; `k` is its last position.
fn backward(cx: &mut Cx, [x, k]: [V; 2], [ld, pivots, rows]: [V; 3]) -> R<[V; 2]> {
    let active = cx.bn("greater_or_equal", k, 0.0)?;
    let zero = cx.num(k, 0.0)?;
    let before = cx.bn("sub", k, 1.0)?;
    let (at, before_at) = (cx.op("max", &[k, zero])?, cx.op("max", &[before, zero])?);
    let p = stored_pivot(cx, pivots, at, active)?;
    let behind = cx.b("greater", rows, at)?;
    let taken = |cx: &mut Cx, position: V| -> R<V> {
        let col = reorder(cx, ld, position, 1)?;
        let col = only(cx, behind, col)?;
        let products = cx.b("mul", col, x)?;
        let sum = sum(cx, products, 2)?;
        let own = reorder(cx, x, position, 2)?;
        cx.b("sub", own, sum)
    };
    let (y1, y2) = (taken(cx, at)?, taken(cx, before_at)?);
    let x = put_row(cx, x, y1, rows, at, active)?;
    let x = put_row(cx, x, y2, rows, before_at, p.two)?;
    let never = cx.bn("less", at, 0.0)?;
    let order = exchange(cx, rows, at, &Pivot { two: never, ..p })?;
    let x = reorder(cx, x, order, 2)?;
    let step = cx.cast(p.two, DType::I64)?;
    let k = cx.b("sub", before, step)?;
    Ok([x, k])
}
/// The `X` for which `A X = B`, from packed factors of `A`.
pub(super) fn ldl_solve(cx: &mut Cx) -> R<Out> {
    cx.bool_or("hermitian", false)?;
    let (ld, b, pivots) = (square(cx, "LD")?, matrix(cx, "B")?, cx.t("pivots")?);
    let (own, x) = same_outer(cx, ld.v, b.v)?;
    let pivots = cx.cast(pivots, DType::I64)?;
    let pivots = cx.unsqueeze(pivots, &[-1])?;
    let (pivots, _) = same_outer(cx, pivots, x)?;
    let n = size(cx, own, 1)?;
    let last = minus(cx, &n, 1)?;
    let last = cx.size_value(&last);
    let start = flags(cx, own)?;
    let rows = down(cx, &n)?;
    let uses = [own, pivots, rows, last];
    let [x, _] = repeat(cx, &n, [x, start], uses, |cx, _, state, uses| forward(cx, state, uses))?;
    let end = cx.b("add", start, last)?;
    let uses = [own, pivots, rows];
    let [x, _] = repeat(cx, &n, [x, end], uses, |cx, _, state, uses| backward(cx, state, uses))?;
    Ok(Out::Fresh(cx.cast(x, b.dtype)?))
}
