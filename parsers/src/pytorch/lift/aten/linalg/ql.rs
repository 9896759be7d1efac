//! Eigenvectors of symmetric matrices with the signs that LAPACK gives them: Householder's tridiagonal form, then the implicit QL and QR
//! iterations of LAPACK's `steqr`. `syevd`, which PyTorch calls, takes this way for matrices of up to 25 rows.
//!
//! Every matrix of a stack is at its own point of the iteration: an iteration of the loop takes one step of each.
use super::jacobi::sorted;
use super::loops::repeat_while;
use super::matrix::{across, axis, down, flags, only, sum};
use super::places::{and, clamped, givens, least, most, number, pick, put, rotated};
use super::tridiagonal::{backwards, tridiagonal};
use crate::pytorch::lift::cx::{Cx, R, Size, V};
use hoist_ir::dtype::DType;

/// Most rows of matrices that `syevd` treats this way.
pub(super) const LARGEST: i64 = 25;

// What a matrix does next.
/// Finds the next block that does not fall apart.
const BLOCK: f64 = 0.0;
/// Looks how far the block holds together from its end `l`, and begins a sweep.
const SCAN: f64 = 1.0;
/// Rotates one pair of columns.
const ROTATE: f64 = 2.0;
/// Nothing.
const DONE: f64 = 3.0;

/// State of all matrices. `d`, `e` are `[.., 1, n]` and `z` is `[.., n, n]`, all others `[.., 1, 1]`.
#[derive(Clone, Copy, Debug)]
struct State {
    /// Diagonal.
    d: V,
    /// What stands beside it; the last element has no meaning.
    e: V,
    /// Columns that become eigenvectors.
    z: V,
    mode: V,
    /// End of the block where eigenvalues emerge, and its other end.
    l: V,
    far: V,
    /// Beginning of the next block.
    next: V,
    /// Where the sweep begins, and the position it is at.
    m: V,
    j: V,
    g: V,
    s: V,
    c: V,
    p: V,
}
impl State {
    fn list(self) -> [V; 13] {
        let Self { d, e, z, mode, l, far, next, m, j, g, s, c, p } = self;
        [d, e, z, mode, l, far, next, m, j, g, s, c, p]
    }
    fn of([d, e, z, mode, l, far, next, m, j, g, s, c, p]: [V; 13]) -> Self {
        Self { d, e, z, mode, l, far, next, m, j, g, s, c, p }
    }
}
/// What stays the same: positions `[1, n]`, each one's successor `[n]`, the precision.
#[derive(Clone, Copy, Debug)]
struct Fixed {
    at: V,
    successor: V,
    last: f64,
    epsilon: f64,
}

/// Sizes of the diagonal and of the next element of it, and of what is between.
fn sizes(cx: &mut Cx, s: &State, f: &Fixed) -> R<(V, V, V)> {
    let d = cx.u("abs", s.d)?;
    let at = axis(cx, d, 1)?;
    let after = cx.gather(d, f.successor, at)?;
    Ok((d, after, cx.u("abs", s.e)?))
}

/// The next block from `next` on, which ends where an element beside the diagonal counts as 0.
fn block(cx: &mut Cx, s: State, f: &Fixed) -> R<State> {
    let on = cx.bn("equal", s.mode, BLOCK)?;
    let (one, last) = (number(cx, 1.0)?, number(cx, f.last)?);
    let done = cx.b("greater", s.next, last)?;
    let before = cx.b("sub", s.next, one)?;
    let zero = cx.num(s.e, 0.0)?;
    let e = put(cx, s.e, f.at, before, zero, on)?;
    let (d, after, between) = sizes(cx, &State { e, ..s }, f)?;
    let (d, after) = (cx.u("sqrt", d)?, cx.u("sqrt", after)?);
    let bound = cx.b("mul", d, after)?;
    let bound = cx.bn("mul", bound, f.epsilon)?;
    let tiny = cx.b("less_or_equal", between, bound)?;
    let from = cx.b("greater_or_equal", f.at, s.next)?;
    let found = and(cx, &[tiny, from])?;
    let ends = cx.choose(found, f.at, last)?;
    let m = least(cx, ends)?;
    let m = cx.op("min", &[m, last])?;
    let e = put(cx, e, f.at, m, zero, on)?;
    // The end whose diagonal element is smaller is where eigenvalues emerge.
    let start = clamped(cx, s.next, f.last)?;
    let values = cx.u("abs", s.d)?;
    let (first, end) = (pick(cx, values, start)?, pick(cx, values, m)?);
    let turned = cx.b("less", end, first)?;
    let (l, far) = (cx.choose(turned, m, start)?, cx.choose(turned, start, m)?);
    let single = cx.b("equal", m, start)?;
    let (again, scan, stop) = (number(cx, BLOCK)?, number(cx, SCAN)?, number(cx, DONE)?);
    let mode = cx.choose(single, again, scan)?;
    let mode = cx.choose(done, stop, mode)?;
    let next = cx.b("add", m, one)?;
    Ok(State {
        e,
        mode: cx.choose(on, mode, s.mode)?,
        l: cx.choose(on, l, s.l)?,
        far: cx.choose(on, far, s.far)?,
        next: cx.choose(on, next, s.next)?,
        ..s
    })
}

/// How far the block holds together from `l`: one eigenvalue found, two found, or a sweep begun with the shift of Wilkinson.
fn scan(cx: &mut Cx, s: State, f: &Fixed) -> R<State> {
    let on = cx.bn("equal", s.mode, SCAN)?;
    let one = number(cx, 1.0)?;
    let back = cx.b("less", s.far, s.l)?;
    let (d, after, between) = sizes(cx, &s, f)?;
    let bound = cx.b("mul", d, after)?;
    let bound = cx.bn("mul", bound, f.epsilon * f.epsilon)?;
    let bound = cx.bn("add", bound, f64::MIN_POSITIVE)?;
    let square = cx.b("mul", between, between)?;
    let tiny = cx.b("less_or_equal", square, bound)?;
    let (after_l, before_far) = (cx.b("greater_or_equal", f.at, s.l)?, cx.b("less", f.at, s.far)?);
    let found = and(cx, &[tiny, after_l, before_far])?;
    let m_forth = cx.choose(found, f.at, s.far)?;
    let m_forth = least(cx, m_forth)?;
    let (after_far, before_l) = (cx.b("greater_or_equal", f.at, s.far)?, cx.b("less", f.at, s.l)?);
    let found = and(cx, &[tiny, after_far, before_l])?;
    let ends = cx.b("add", f.at, one)?;
    let m_back = cx.choose(found, ends, s.far)?;
    let m_back = most(cx, m_back)?;
    let m = cx.choose(back, m_back, m_forth)?;
    let edge_back = cx.b("sub", m, one)?;
    let edge = cx.choose(back, edge_back, m)?;
    let inner = cx.b("equal", m, s.far)?;
    let inner = cx.u("not", inner)?;
    let cut = and(cx, &[on, inner])?;
    let zero = cx.num(s.e, 0.0)?;
    let e = put(cx, s.e, f.at, edge, zero, cut)?;
    let s = State { e, ..s };

    let minus = number(cx, -1.0)?;
    let way = cx.choose(back, minus, one)?;
    let neighbour = cx.b("add", s.l, way)?;
    let (first, second) = (cx.b("equal", m, s.l)?, cx.b("equal", m, neighbour)?);
    let pair = and(cx, &[on, second])?;
    let s = solve_pair(cx, s, f, neighbour, pair)?;
    let beyond = cx.b("add", neighbour, way)?;
    let l = cx.choose(first, neighbour, beyond)?;
    let deflated = cx.b("or", first, second)?;
    let moved = and(cx, &[on, deflated])?;
    let begins = cx.u("not", deflated)?;
    let begins = and(cx, &[on, begins])?;
    // Behind the far end nothing is left of the block.
    let rest = cx.b("sub", s.far, l)?;
    let rest = cx.b("mul", rest, way)?;
    let left = cx.bn("greater_or_equal", rest, 0.0)?;
    let (again, scan, rotate) = (number(cx, BLOCK)?, number(cx, SCAN)?, number(cx, ROTATE)?);
    let mode = cx.choose(left, scan, again)?;
    let mode = cx.choose(moved, mode, s.mode)?;
    let mode = cx.choose(begins, rotate, mode)?;
    let g = shift(cx, &s, f, neighbour, m)?;
    let (unit, none) = (cx.num(g, 1.0)?, cx.num(g, 0.0)?);
    Ok(State {
        mode,
        l: cx.choose(moved, l, s.l)?,
        m: cx.choose(on, m, s.m)?,
        j: cx.choose(on, m, s.j)?,
        g: cx.choose(begins, g, s.g)?,
        s: cx.choose(begins, unit, s.s)?,
        c: cx.choose(begins, unit, s.c)?,
        p: cx.choose(begins, none, s.p)?,
        ..s
    })
}
/// Position of what is between `a` and its neighbour `b`.
fn edge(cx: &mut Cx, a: V, b: V, f: &Fixed) -> R<V> {
    let low = cx.op("min", &[a, b])?;
    clamped(cx, low, f.last)
}
/// `d[m] - d[l] + e / (g + sign(g) sqrt(g² + 1))`, `g = (d[k] - d[l]) / 2 e`, with `e` between `l` and its neighbour `k`.
fn shift(cx: &mut Cx, s: &State, f: &Fixed, neighbour: V, m: V) -> R<V> {
    let (l, k) = (clamped(cx, s.l, f.last)?, clamped(cx, neighbour, f.last)?);
    let m = clamped(cx, m, f.last)?;
    let between = edge(cx, l, k, f)?;
    let e = pick(cx, s.e, between)?;
    let (own, other, first) = (pick(cx, s.d, l)?, pick(cx, s.d, k)?, pick(cx, s.d, m)?);
    let gap = cx.b("sub", other, own)?;
    let twice = cx.b("add", e, e)?;
    let g = cx.b("div", gap, twice)?;
    let square = cx.b("mul", g, g)?;
    let square = cx.bn("add", square, 1.0)?;
    let r = cx.u("sqrt", square)?;
    let opposite = cx.u("neg", r)?;
    let negative = cx.bn("less", g, 0.0)?;
    let r = cx.choose(negative, opposite, r)?;
    let sum = cx.b("add", g, r)?;
    let part = cx.b("div", e, sum)?;
    let base = cx.b("sub", first, own)?;
    cx.b("add", base, part)
}
/// Both eigenvalues of the block of two at `l` and its neighbour, where `flag` holds; the formulas of LAPACK's `laev2`.
fn solve_pair(cx: &mut Cx, s: State, f: &Fixed, neighbour: V, flag: V) -> R<State> {
    let low = edge(cx, s.l, neighbour, f)?;
    let one = number(cx, 1.0)?;
    let high = cx.b("add", low, one)?;
    let high = clamped(cx, high, f.last)?;
    let (a, b, d) = (pick(cx, s.d, low)?, pick(cx, s.e, low)?, pick(cx, s.d, high)?);
    let (sum, gap, twice) = (cx.b("add", a, d)?, cx.b("sub", a, d)?, cx.b("add", b, b)?);
    let (p, q) = (cx.b("mul", gap, gap)?, cx.b("mul", twice, twice)?);
    let root = cx.b("add", p, q)?;
    let root = cx.u("sqrt", root)?;
    let opposite = cx.u("neg", root)?;
    let negative = cx.bn("less", sum, 0.0)?;
    let signed = cx.choose(negative, opposite, root)?;
    let large = cx.b("add", sum, signed)?;
    let large = cx.bn("mul", large, 0.5)?;
    // The other one by the determinant, in an order that does not cancel.
    let (size_a, size_d) = (cx.u("abs", a)?, cx.u("abs", d)?);
    let first = cx.b("greater", size_a, size_d)?;
    let (big, small) = (cx.choose(first, a, d)?, cx.choose(first, d, a)?);
    let (p, q) = (cx.b("div", big, large)?, cx.b("div", b, large)?);
    let (p, q) = (cx.b("mul", p, small)?, cx.b("mul", q, b)?);
    let other = cx.b("sub", p, q)?;
    let half = cx.bn("mul", root, -0.5)?;
    let level = cx.bn("equal", sum, 0.0)?;
    let other = cx.choose(level, half, other)?;

    let falling = cx.bn("greater_or_equal", gap, 0.0)?;
    let signed = cx.choose(falling, root, opposite)?;
    let cs = cx.b("add", gap, signed)?;
    let (size_cs, size_twice) = (cx.u("abs", cs)?, cx.u("abs", twice)?);
    let steep = cx.b("greater", size_cs, size_twice)?;
    let (above, below) = (cx.choose(steep, twice, cs)?, cx.choose(steep, cs, twice)?);
    let ratio = cx.b("div", above, below)?;
    let ratio = cx.u("neg", ratio)?;
    let unit = super::jacobi::cosines(cx, ratio)?;
    let part = cx.b("mul", ratio, unit)?;
    let (cosine, sine) = (cx.choose(steep, part, unit)?, cx.choose(steep, unit, part)?);
    let rising = cx.u("not", falling)?;
    let same = cx.b("equal", negative, rising)?;
    let turned = cx.u("neg", sine)?;
    let (cosine, sine) = (cx.choose(same, turned, cosine)?, cx.choose(same, cosine, sine)?);
    let z = rotated(cx, s.z, f.at, (low, high), (cosine, sine), flag)?;
    let zero = cx.num(s.e, 0.0)?;
    let d = put(cx, s.d, f.at, low, large, flag)?;
    let d = put(cx, d, f.at, high, other, flag)?;
    Ok(State { d, e: put(cx, s.e, f.at, low, zero, flag)?, z, ..s })
}
/// One rotation of a sweep, of position `j` and the one before it on the way to `l`.
fn rotate(cx: &mut Cx, s: State, f: &Fixed) -> R<State> {
    let on = cx.bn("equal", s.mode, ROTATE)?;
    let back = cx.b("less", s.far, s.l)?;
    let (one, minus) = (number(cx, 1.0)?, number(cx, -1.0)?);
    let way = cx.choose(back, minus, one)?;
    let near = cx.b("sub", s.j, way)?;
    let behind = cx.b("add", s.j, way)?;
    let (j, k) = (clamped(cx, s.j, f.last)?, clamped(cx, near, f.last)?);
    let (own, previous) = (edge(cx, j, k, f)?, edge(cx, s.j, behind, f)?);
    let beside = pick(cx, s.e, own)?;
    let (g, b) = (cx.b("mul", s.s, beside)?, cx.b("mul", s.c, beside)?);
    let (c, sine, r) = givens(cx, s.g, g)?;
    let started = cx.b("equal", s.j, s.m)?;
    let later = cx.u("not", started)?;
    let later = and(cx, &[on, later])?;
    let e = put(cx, s.e, f.at, previous, r, later)?;
    let (first, second) = (pick(cx, s.d, j)?, pick(cx, s.d, k)?);
    let g = cx.b("sub", first, s.p)?;
    let gap = cx.b("sub", second, g)?;
    let gap = cx.b("mul", gap, sine)?;
    let cross = cx.b("mul", c, b)?;
    let cross = cx.bn("mul", cross, 2.0)?;
    let r = cx.b("add", gap, cross)?;
    let p = cx.b("mul", sine, r)?;
    let moved = cx.b("add", g, p)?;
    let d = put(cx, s.d, f.at, j, moved, on)?;
    let g = cx.b("mul", c, r)?;
    let g = cx.b("sub", g, b)?;
    let z = rotated(cx, s.z, f.at, (j, k), (c, sine), on)?;

    let ends = cx.b("equal", near, s.l)?;
    let ends = and(cx, &[on, ends])?;
    let rest = cx.b("sub", second, p)?;
    let d = put(cx, d, f.at, k, rest, ends)?;
    let e = put(cx, e, f.at, own, g, ends)?;
    let scan = number(cx, SCAN)?;
    Ok(State {
        d,
        e,
        z,
        mode: cx.choose(ends, scan, s.mode)?,
        j: cx.choose(on, near, s.j)?,
        g: cx.choose(on, g, s.g)?,
        s: cx.choose(on, sine, s.s)?,
        c: cx.choose(on, c, s.c)?,
        p: cx.choose(on, p, s.p)?,
        ..s
    })
}

/// Eigenvalues in ascending order and eigenvectors of symmetric matrices of `n` rows; `upper` says from which triangle LAPACK would have
/// computed them, which matters for signs, and `dtype` in which precision.
pub(super) fn eigen(cx: &mut Cx, a: V, n: i64, upper: bool, dtype: DType) -> R<(V, V)> {
    let (i, j) = (axis(cx, a, 2)?, axis(cx, a, 1)?);
    // The upper form is the lower one of the matrix read backwards.
    let a = if upper { backwards(cx, a, n, &[i, j])? } else { a };
    let (t, q) = tridiagonal(cx, a, n)?;
    let (t, q) = if upper { (backwards(cx, t, n, &[i, j])?, backwards(cx, q, n, &[i, j])?) } else { (t, q) };
    let positions = across(cx, &Size::Known(n))?;
    let successor = cx.int_list(&(1..=n).map(|k| k.min(n - 1)).collect::<Vec<_>>());
    let rows = down(cx, &Size::Known(n))?;
    let own = cx.b("equal", rows, positions)?;
    let d = only(cx, own, t)?;
    let d = sum(cx, d, 2)?;
    let below = cx.bn("add", positions, 1.0)?;
    let beside = cx.b("equal", rows, below)?;
    let e = only(cx, beside, t)?;
    let e = sum(cx, e, 2)?;
    let state = start(cx, a, d, e, q)?;
    let epsilon = if dtype == DType::F64 { f64::EPSILON / 2.0 } else { f64::from(f32::EPSILON) / 2.0 };
    let trips = Size::Known(40 * n * n + 10 * n);
    let [d, _, z, ..] =
        repeat_while(cx, &trips, state.list(), [positions, successor], |cx, _, state, [at, successor]| {
            let f = Fixed { at, successor, last: (n - 1) as f64, epsilon };
            let s = State::of(state);
            let s = rotate(cx, s, &f)?;
            let s = scan(cx, s, &f)?;
            let s = block(cx, s, &f)?;
            let open = cx.bn("less", s.mode, DONE)?;
            Ok((Some(super::eigh::some(cx, open)?), s.list()))
        })?;
    let values = cx.squeeze(d, &[-2])?;
    let (values, follow) = sorted(cx, values, &[z], false)?;
    Ok((values, follow.first().copied().unwrap_or(z)))
}
/// All matrices before their first block; those that hold no numbers are done.
fn start(cx: &mut Cx, a: V, d: V, e: V, z: V) -> R<State> {
    let zero = flags(cx, a)?;
    let none = cx.cast(zero, DType::F64)?;
    let nothing = cx.bn("mul", a, 0.0)?;
    let total = sum(cx, nothing, 1)?;
    let total = sum(cx, total, 2)?;
    let sound = cx.bn("equal", total, 0.0)?;
    let (block, done) = (number(cx, BLOCK)?, number(cx, DONE)?);
    let mode = cx.choose(sound, block, done)?;
    Ok(State {
        d,
        e,
        z,
        mode,
        l: zero,
        far: zero,
        next: zero,
        m: zero,
        j: zero,
        g: none,
        s: none,
        c: none,
        p: none,
    })
}
