//! Singular value decomposition with the signs that LAPACK gives its vectors: the bidiagonal form, then the implicit iterations of
//! LAPACK's `bdsqr`. `gesdd`, which PyTorch calls, takes this way for matrices whose smaller side is at most 25.
//!
//! Every matrix of a stack is at its own point of the iteration: an iteration of the loop takes one step of each.
use super::eigh::some;
use super::jacobi::sorted;
use super::loops::{repeat, repeat_while};
use super::matrix::{across, axis, flags, size, sum};
use super::pair::{decompose, smaller_value};
use super::places::{and, between, clamped, most, number, pick, put, rotated, turn};
use crate::pytorch::lift::cx::{Cx, R, Size, V};
use hoist_ir::dtype::DType;

/// Looks for what is still coupled, and takes off what is not.
const SCAN: f64 = 0.0;
/// Walks along the block to see whether it falls apart, and to choose a shift.
const TEST: f64 = 1.0;
/// Rotates one pair of columns of each side.
const ROTATE: f64 = 2.0;
/// Nothing.
const DONE: f64 = 3.0;

/// State of all matrices. `d`, `e` are `[.., 1, k]`, `u` and `v` hold `k` columns, all others are `[.., 1, 1]`.
#[derive(Clone, Copy, Debug)]
struct State {
    /// Diagonal, and what stands above it; the last element of that has no meaning.
    d: V,
    e: V,
    u: V,
    v: V,
    mode: V,
    /// Ends of the block, and those of the block before.
    low: V,
    high: V,
    old_low: V,
    old_high: V,
    /// 1 when sweeps go up in position, -1 when down.
    way: V,
    /// Position of a walk.
    j: V,
    mu: V,
    least: V,
    greatest: V,
    /// Whether the sweep has a shift, 0 or 1.
    shifted: V,
    f: V,
    g: V,
    c1: V,
    c2: V,
    s2: V,
}
impl State {
    fn list(self) -> [V; 20] {
        let Self { d, e, u, v, mode, low, high, old_low, old_high, way, .. } = self;
        let Self { j, mu, least, greatest, shifted, f, g, c1, c2, s2, .. } = self;
        [
            d, e, u, v, mode, low, high, old_low, old_high, way, j, mu, least, greatest, shifted, f, g, c1,
            c2, s2,
        ]
    }
    fn of(list: [V; 20]) -> Self {
        let [
            d,
            e,
            u,
            v,
            mode,
            low,
            high,
            old_low,
            old_high,
            way,
            j,
            mu,
            least,
            greatest,
            shifted,
            f,
            g,
            c1,
            c2,
            s2,
        ] = list;
        Self {
            d,
            e,
            u,
            v,
            mode,
            low,
            high,
            old_low,
            old_high,
            way,
            j,
            mu,
            least,
            greatest,
            shifted,
            f,
            g,
            c1,
            c2,
            s2,
        }
    }
}
/// What stays the same: positions `[1, k]`, the size below which an element counts as 0, and the precision.
#[derive(Clone, Copy, Debug)]
struct Fixed {
    at: V,
    threshold: V,
    last: f64,
    epsilon: f64,
}
impl Fixed {
    /// Relative accuracy of singular values.
    fn tolerance(&self) -> f64 {
        self.epsilon.powf(-0.125).clamp(10.0, 100.0) * self.epsilon
    }
}

/// The greatest of the elements of `x` in `from <= position < to`, at least 0.
fn most_of(cx: &mut Cx, x: V, f: &Fixed, from: V, to: V) -> R<V> {
    let (a, b) = (cx.b("greater_or_equal", f.at, from)?, cx.b("less", f.at, to)?);
    let inside = cx.b("and", a, b)?;
    let own = super::matrix::only(cx, inside, x)?;
    most(cx, own)
}
/// Finds the last block that is still coupled. One of a single row is done; one of two is solved; of another the end that already
/// converged is taken off, or a walk begins.
fn scan(cx: &mut Cx, s: State, f: &Fixed) -> R<State> {
    let on = cx.bn("equal", s.mode, SCAN)?;
    let (zero, one) = (number(cx, 0.0)?, number(cx, 1.0)?);
    let done = cx.b("less_or_equal", s.high, zero)?;
    let sizes = cx.u("abs", s.e)?;
    let tiny = cx.b("less_or_equal", sizes, f.threshold)?;
    let before = cx.b("less", f.at, s.high)?;
    let found = and(cx, &[tiny, before])?;
    let minus = number(cx, -1.0)?;
    let cut = cx.choose(found, f.at, minus)?;
    let cut = most(cx, cut)?;
    let none = cx.num(s.e, 0.0)?;
    let e = put(cx, s.e, f.at, cut, none, on)?;
    let low = cx.b("add", cut, one)?;
    let under = cx.b("sub", s.high, one)?;
    let single = cx.b("equal", low, s.high)?;
    let single = cx.b("or", single, done)?;
    let pair = cx.b("equal", low, under)?;
    let coupled = cx.b("less", low, under)?;
    let on_pair = and(cx, &[on, pair])?;
    let s = solve_pair(cx, State { e, ..s }, f, low, on_pair)?;

    let (d_low, d_high) = (clamped(cx, low, f.last)?, clamped(cx, s.high, f.last)?);
    let diagonal = cx.u("abs", s.d)?;
    let (first, end) = (pick(cx, diagonal, d_low)?, pick(cx, diagonal, d_high)?);
    let (a, b) = (cx.b("greater", low, s.old_high)?, cx.b("less", s.high, s.old_low)?);
    let fresh = cx.b("or", a, b)?;
    let down = cx.b("greater_or_equal", first, end)?;
    let chosen = cx.choose(down, one, minus)?;
    let way = cx.choose(fresh, chosen, s.way)?;
    let forth = cx.bn("greater", way, 0.0)?;
    let edge = cx.choose(forth, under, low)?;
    let edge = clamped(cx, edge, f.last)?;
    let sizes = cx.u("abs", s.e)?;
    let beside = pick(cx, sizes, edge)?;
    let reference = cx.choose(forth, end, first)?;
    let bound = cx.bn("mul", reference, f.tolerance())?;
    let converged = cx.b("less_or_equal", beside, bound)?;
    let dropped = and(cx, &[on, coupled, converged])?;
    let e = put(cx, s.e, f.at, edge, none, dropped)?;
    let open = cx.u("not", converged)?;
    let walks = and(cx, &[on, coupled, open])?;
    let after = cx.b("add", s.high, one)?;
    let (p, q) = (most_of(cx, diagonal, f, low, after)?, most_of(cx, sizes, f, low, s.high)?);
    let greatest = cx.op("max", &[p, q])?;
    let mu = cx.choose(forth, first, end)?;

    let two = cx.b("sub", under, one)?;
    let high = cx.choose(pair, two, s.high)?;
    let high = cx.choose(single, under, high)?;
    let (test, stop) = (number(cx, TEST)?, number(cx, DONE)?);
    let mode = cx.choose(walks, test, s.mode)?;
    let ended = and(cx, &[on, done])?;
    let j = cx.choose(forth, low, s.high)?;
    let on_coupled = and(cx, &[on, coupled])?;
    Ok(State {
        e,
        mode: cx.choose(ended, stop, mode)?,
        low: cx.choose(on, low, s.low)?,
        high: cx.choose(on, high, s.high)?,
        way: cx.choose(on_coupled, way, s.way)?,
        j: cx.choose(walks, j, s.j)?,
        mu: cx.choose(walks, mu, s.mu)?,
        least: cx.choose(walks, mu, s.least)?,
        greatest: cx.choose(walks, greatest, s.greatest)?,
        ..s
    })
}
/// Both singular values of the block of two at `low`.
fn solve_pair(cx: &mut Cx, s: State, f: &Fixed, low: V, flag: V) -> R<State> {
    let a = clamped(cx, low, f.last)?;
    let one = number(cx, 1.0)?;
    let b = cx.b("add", a, one)?;
    let b = clamped(cx, b, f.last)?;
    let (x, y, z) = (pick(cx, s.d, a)?, pick(cx, s.e, a)?, pick(cx, s.d, b)?);
    let pair = decompose(cx, x, y, z)?;
    let d = put(cx, s.d, f.at, a, pair.large, flag)?;
    let d = put(cx, d, f.at, b, pair.small, flag)?;
    let zero = cx.num(s.e, 0.0)?;
    Ok(State {
        d,
        e: put(cx, s.e, f.at, a, zero, flag)?,
        u: rotated(cx, s.u, f.at, (a, b), pair.left, flag)?,
        v: rotated(cx, s.v, f.at, (a, b), pair.right, flag)?,
        ..s
    })
}
/// One step of the walk that bounds the least singular value. At its end a sweep begins.
fn test(cx: &mut Cx, s: State, f: &Fixed) -> R<State> {
    let on = cx.bn("equal", s.mode, TEST)?;
    let next = cx.b("add", s.j, s.way)?;
    let (j, k) = (clamped(cx, s.j, f.last)?, clamped(cx, next, f.last)?);
    let edge = between(cx, j, k, f.last)?;
    let (beside, ahead) = (pick(cx, s.e, edge)?, pick(cx, s.d, k)?);
    let (beside, ahead) = (cx.u("abs", beside)?, cx.u("abs", ahead)?);
    let bound = cx.bn("mul", s.mu, f.tolerance())?;
    let apart = cx.b("less_or_equal", beside, bound)?;
    let falls = and(cx, &[on, apart])?;
    let none = cx.num(s.e, 0.0)?;
    let e = put(cx, s.e, f.at, edge, none, falls)?;
    let sum = cx.b("add", s.mu, beside)?;
    let ratio = cx.b("div", s.mu, sum)?;
    let mu = cx.b("mul", ahead, ratio)?;
    let least = cx.op("min", &[s.least, mu])?;
    let forth = cx.bn("greater", s.way, 0.0)?;
    let target = cx.choose(forth, s.high, s.low)?;
    let arrived = cx.b("equal", next, target)?;
    let holds = cx.u("not", apart)?;
    let begins = and(cx, &[on, arrived, holds])?;
    let s = State { e, least: cx.choose(on, least, s.least)?, ..s };

    let (shift, start) = shift(cx, &s, f)?;
    let shifted = cx.bn("greater", shift, 0.0)?;
    let shifted = cx.cast(shifted, DType::I64)?;
    let first = pick(cx, s.d, start)?;
    let size = cx.u("abs", first)?;
    let gap = cx.b("sub", size, shift)?;
    let sign = cx.u("sign", first)?;
    let ratio = cx.b("div", shift, first)?;
    let sum = cx.b("add", sign, ratio)?;
    let bulge = cx.b("mul", gap, sum)?;
    let after = cx.b("add", start, s.way)?;
    let after = clamped(cx, after, f.last)?;
    let edge = between(cx, start, after, f.last)?;
    let g = pick(cx, s.e, edge)?;
    let one = cx.num(g, 1.0)?;
    let (again, rotate) = (number(cx, SCAN)?, number(cx, ROTATE)?);
    let mode = cx.choose(falls, again, s.mode)?;
    let walked = cx.choose(on, next, s.j)?;
    Ok(State {
        mode: cx.choose(begins, rotate, mode)?,
        old_low: cx.choose(begins, s.low, s.old_low)?,
        old_high: cx.choose(begins, s.high, s.old_high)?,
        j: cx.choose(begins, start, walked)?,
        mu: cx.choose(on, mu, s.mu)?,
        shifted: cx.choose(begins, shifted, s.shifted)?,
        f: cx.choose(begins, bulge, s.f)?,
        g: cx.choose(begins, g, s.g)?,
        c1: cx.choose(begins, one, s.c1)?,
        c2: cx.choose(begins, one, s.c2)?,
        s2: cx.choose(begins, one, s.s2)?,
        ..s
    })
}
/// The shift of a sweep, 0 where it would spoil small singular values, and the position where the sweep begins.
fn shift(cx: &mut Cx, s: &State, f: &Fixed) -> R<(V, V)> {
    let forth = cx.bn("greater", s.way, 0.0)?;
    let one = number(cx, 1.0)?;
    let under = cx.b("sub", s.high, one)?;
    let a = cx.choose(forth, under, s.low)?;
    let a = clamped(cx, a, f.last)?;
    let b = cx.b("add", a, one)?;
    let b = clamped(cx, b, f.last)?;
    let (x, y, z) = (pick(cx, s.d, a)?, pick(cx, s.e, a)?, pick(cx, s.d, b)?);
    let value = smaller_value(cx, x, y, z)?;
    let start = cx.choose(forth, s.low, s.high)?;
    let start = clamped(cx, start, f.last)?;
    let first = pick(cx, s.d, start)?;
    let ratio = cx.b("div", value, first)?;
    let square = cx.b("mul", ratio, ratio)?;
    let small = cx.bn("less", square, f.epsilon)?;
    // Where the block is nearly singular.
    let tolerance = f.tolerance();
    let limit = f.epsilon.max(0.01 * tolerance) / ((f.last + 1.0) * tolerance);
    let relative = cx.b("div", s.least, s.greatest)?;
    let flat = cx.bn("less_or_equal", relative, limit)?;
    let none = cx.b("or", small, flat)?;
    let empty = cx.bn("equal", first, 0.0)?;
    let none = cx.b("or", none, empty)?;
    let zero = cx.num(value, 0.0)?;
    Ok((cx.choose(none, zero, value)?, start))
}
/// One step of a sweep: a rotation of columns and one of rows, with the shift or without.
fn rotate(cx: &mut Cx, s: State, f: &Fixed) -> R<State> {
    let on = cx.bn("equal", s.mode, ROTATE)?;
    let forth = cx.bn("greater", s.way, 0.0)?;
    let shifted = cx.bn("equal", s.shifted, 1.0)?;
    let (next, back) = (cx.b("add", s.j, s.way)?, cx.b("sub", s.j, s.way)?);
    let (j, k) = (clamped(cx, s.j, f.last)?, clamped(cx, next, f.last)?);
    let beyond = cx.b("add", next, s.way)?;
    let beyond = clamped(cx, beyond, f.last)?;
    let (edge, ahead) = (between(cx, j, k, f.last)?, between(cx, k, beyond, f.last)?);
    let behind = between(cx, j, back, f.last)?;
    let start = cx.choose(forth, s.low, s.high)?;
    let target = cx.choose(forth, s.high, s.low)?;
    let started = cx.b("equal", s.j, start)?;
    let later = cx.u("not", started)?;
    let later = and(cx, &[on, later])?;
    let ends = cx.b("equal", next, target)?;
    let goes_on = cx.u("not", ends)?;
    let ends = and(cx, &[on, ends])?;
    let (own, other, beside) = (pick(cx, s.d, j)?, pick(cx, s.d, k)?, pick(cx, s.e, edge)?);

    let plain = cx.b("mul", own, s.c1)?;
    let (x, y) = (cx.choose(shifted, s.f, plain)?, cx.choose(shifted, s.g, beside)?);
    let (c1, s1, r1) = turn(cx, x, y)?;
    let scaled = cx.b("mul", s.s2, r1)?;
    let stored = cx.choose(shifted, r1, scaled)?;
    let e = put(cx, s.e, f.at, behind, stored, later)?;
    let (p, q) = (cx.b("mul", c1, own)?, cx.b("mul", s1, beside)?);
    let with_shift = cx.b("add", p, q)?;
    let without = cx.b("mul", s.c2, r1)?;
    let x = cx.choose(shifted, with_shift, without)?;
    let y = cx.b("mul", s1, other)?;
    let (p, q) = (cx.b("mul", c1, beside)?, cx.b("mul", s1, own)?);
    let upper = cx.b("sub", p, q)?;
    let lower = cx.b("mul", c1, other)?;
    let (c2, s2, r2) = turn(cx, x, y)?;
    let d = put(cx, s.d, f.at, j, r2, on)?;
    let (p, q) = (cx.b("mul", c2, upper)?, cx.b("mul", s2, lower)?);
    let bulge = cx.b("add", p, q)?;
    let (p, q) = (cx.b("mul", c2, lower)?, cx.b("mul", s2, upper)?);
    let rest = cx.b("sub", p, q)?;
    let (h, last) = (cx.b("mul", lower, c2)?, cx.b("mul", lower, s2)?);
    let unshifted_end = cx.choose(ends, h, other)?;
    let new_other = cx.choose(shifted, rest, unshifted_end)?;
    let d = put(cx, d, f.at, k, new_other, on)?;

    let far = pick(cx, e, ahead)?;
    let g = cx.b("mul", s2, far)?;
    let reduced = cx.b("mul", c2, far)?;
    let chases = and(cx, &[on, shifted, goes_on])?;
    let e = put(cx, e, f.at, ahead, reduced, chases)?;
    let last = cx.choose(shifted, bulge, last)?;
    let size = cx.u("abs", last)?;
    let tiny = cx.b("less_or_equal", size, f.threshold)?;
    let zero = cx.num(last, 0.0)?;
    let last = cx.choose(tiny, zero, last)?;
    let e = put(cx, e, f.at, edge, last, ends)?;
    let (cv, sv) = (cx.choose(forth, c1, c2)?, cx.choose(forth, s1, s2)?);
    let (cu, su) = (cx.choose(forth, c2, c1)?, cx.choose(forth, s2, s1)?);
    let scan = number(cx, SCAN)?;
    Ok(State {
        d,
        e,
        u: rotated(cx, s.u, f.at, (j, k), (cu, su), on)?,
        v: rotated(cx, s.v, f.at, (j, k), (cv, sv), on)?,
        mode: cx.choose(ends, scan, s.mode)?,
        j: cx.choose(on, next, s.j)?,
        f: cx.choose(on, bulge, s.f)?,
        g: cx.choose(on, g, s.g)?,
        c1: cx.choose(on, c1, s.c1)?,
        c2: cx.choose(on, c2, s.c2)?,
        s2: cx.choose(on, s2, s.s2)?,
        ..s
    })
}

/// The size below which what stands above the diagonal counts as 0: the tolerance times a bound of the least singular value.
fn threshold(cx: &mut Cx, d: V, e: V, k: i64, f: (f64, f64)) -> R<V> {
    let (tolerance, tiny) = f;
    let (d, e) = (cx.u("abs", d)?, cx.u("abs", e)?);
    let zero = cx.int_list(&[0]);
    let at = axis(cx, d, 1)?;
    let first = cx.gather(d, zero, at)?;
    let [_, least] =
        repeat(cx, &Size::Known(k - 1), [first, first], [d, e], |cx, i, [mu, least], [d, e]| {
            let next = cx.bn("add", i, 1.0)?;
            let at = axis(cx, d, 1)?;
            let (beside, ahead) = (cx.gather(e, i, at)?, cx.gather(d, next, at)?);
            let sum = cx.b("add", mu, beside)?;
            let ratio = cx.b("div", mu, sum)?;
            let next = cx.b("mul", ahead, ratio)?;
            // Once 0, it stays so.
            let none = cx.bn("equal", mu, 0.0)?;
            let mu = cx.choose(none, mu, next)?;
            Ok([mu, cx.op("min", &[least, mu])?])
        })?;
    let scaled = cx.bn("mul", least, tolerance / (k as f64).sqrt())?;
    let floor = cx.num(scaled, 6.0 * (k * k) as f64 * tiny)?;
    cx.op("max", &[scaled, floor])
}
/// The decomposition of `u B v'`, where `B` has the diagonal `d` and `e` above it (`[.., 1, k]`); `u` and `v` have `k` columns. Gives
/// `(U, s, V)` with `s` in descending order.
pub(super) fn iterate(cx: &mut Cx, d: V, e: V, u: V, v: V, dtype: DType) -> R<(V, V, V)> {
    let k = cx.known(d, axis(cx, d, 1)?).unwrap_or(1);
    let (epsilon, tiny) = if dtype == DType::F64 {
        (f64::EPSILON / 2.0, f64::MIN_POSITIVE)
    } else {
        (f64::from(f32::EPSILON) / 2.0, f64::from(f32::MIN_POSITIVE))
    };
    let positions = across(cx, &Size::Known(k))?;
    let fixed = Fixed { at: positions, threshold: positions, last: (k - 1) as f64, epsilon };
    let threshold = threshold(cx, d, e, k, (fixed.tolerance(), tiny))?;
    let state = start(cx, d, e, u, v)?;
    let trips = Size::Known(40 * k * k + 20 * k);
    let [d, _, u, v, ..] =
        repeat_while(cx, &trips, state.list(), [positions, threshold], |cx, _, state, [at, threshold]| {
            let f = Fixed { at, threshold, ..fixed };
            let s = State::of(state);
            let s = rotate(cx, s, &f)?;
            let s = test(cx, s, &f)?;
            let s = scan(cx, s, &f)?;
            let open = cx.bn("less", s.mode, DONE)?;
            Ok((Some(some(cx, open)?), s.list()))
        })?;
    let negative = cx.bn("less", d, 0.0)?;
    // LAPACK turns the right vector, of a single column the left one.
    let side = if k == 1 { u } else { v };
    let turned = cx.u("neg", side)?;
    let side = cx.choose(negative, turned, side)?;
    let (u, v) = if k == 1 { (side, v) } else { (u, side) };
    let values = cx.u("abs", d)?;
    let values = cx.squeeze(values, &[-2])?;
    let (s, follow) = sorted(cx, values, &[u, v], true)?;
    Ok((follow.first().copied().unwrap_or(u), s, follow.get(1).copied().unwrap_or(v)))
}
/// All matrices before their first block; those that hold no numbers are done.
fn start(cx: &mut Cx, d: V, e: V, u: V, v: V) -> R<State> {
    let zero = flags(cx, d)?;
    let none = cx.cast(zero, DType::F64)?;
    let both = cx.b("add", d, e)?;
    let nothing = cx.bn("mul", both, 0.0)?;
    let total = sum(cx, nothing, 1)?;
    let sound = cx.bn("equal", total, 0.0)?;
    let (scan, done) = (number(cx, SCAN)?, number(cx, DONE)?);
    let mode = cx.choose(sound, scan, done)?;
    let k = size(cx, d, 1)?;
    let last = super::matrix::minus(cx, &k, 1)?;
    let last = cx.size_value(&last);
    let high = cx.b("add", zero, last)?;
    let before = cx.bn("sub", zero, 1.0)?;
    let way = cx.bn("add", zero, 1.0)?;
    Ok(State {
        d,
        e,
        u,
        v,
        mode,
        low: zero,
        high,
        old_low: before,
        old_high: before,
        way,
        j: zero,
        mu: none,
        least: none,
        greatest: none,
        shifted: zero,
        f: none,
        g: none,
        c1: none,
        c2: none,
        s2: none,
    })
}
