//! Numerical differentiation.
use crate::pytorch::lift::cx::{Cx, Out, R, V, malformed, unsupported};
use crate::pytorch::lift::emit::wrap;

pub(super) const TABLE: super::Table = &[("gradient", gradient)];

/// Distances of the samples along an axis.
enum Spacing {
    /// All alike.
    Even(f64),
    /// By coordinates.
    At(V),
}

/// Central differences inside, one-sided ones of order `edge_order` at both ends, per dimension.
fn gradient(cx: &mut Cx) -> R<Out> {
    let x = cx.float_t("self")?;
    let order = cx.int_or("edge_order", 1)?;
    if !(1..=2).contains(&order) {
        return Err(malformed(format!("edge order {order}")));
    }
    let rank = cx.rank(x)?;
    let axes: Vec<usize> = if cx.has("dim") {
        cx.ints("dim")?.into_iter().map(|a| wrap(a, rank)).collect::<R<_>>()?
    } else {
        (0..rank).collect()
    };
    let spacings = spacings(cx, axes.len())?;
    let mut outs = vec![];
    for (axis, spacing) in axes.into_iter().zip(spacings) {
        let n = cx.known(x, axis).unwrap_or(i64::MAX);
        if n <= order {
            return Err(malformed(format!("a gradient along an axis of {n} positions")));
        }
        let y = match spacing {
            Spacing::Even(h) => even(cx, x, axis, h, order)?,
            Spacing::At(line) => uneven(cx, x, axis, line, order)?,
        };
        outs.push(Out::Fresh(y));
    }
    Ok(Out::Many(outs))
}
fn spacings(cx: &mut Cx, count: usize) -> R<Vec<Spacing>> {
    if !cx.has("spacing") {
        return Ok((0..count).map(|_| Spacing::Even(1.0)).collect());
    }
    let many = |all: Vec<Spacing>| {
        if all.len() == count { Ok(all) } else { Err(malformed("as many spacings as dimensions are needed")) }
    };
    if let Ok(h) = cx.float("spacing") {
        return Ok((0..count).map(|_| Spacing::Even(h)).collect());
    }
    if let Ok(Some(list)) = cx.opt_floats("spacing") {
        return many(list.into_iter().map(Spacing::Even).collect());
    }
    many(cx.ts("spacing")?.into_iter().map(Spacing::At).collect())
}
/// Positions `from..to` of an axis, negative ones counted from the end.
fn cut(cx: &mut Cx, x: V, axis: usize, from: i64, to: i64) -> R<V> {
    let to = if to == 0 { i64::MAX } else { to };
    cx.slice(x, axis, &from.into(), &to.into(), 1)
}
/// The sum of three terms, or of those whose factor is not 0.
fn weighted(cx: &mut Cx, x: V, axis: usize, terms: &[(i64, f64)]) -> R<V> {
    let mut sum = None;
    for (at, k) in terms {
        let v = cut(cx, x, axis, *at, at + 1)?;
        let v = cx.bn("mul", v, *k)?;
        sum = Some(match sum {
            None => v,
            Some(s) => cx.b("add", s, v)?,
        });
    }
    sum.ok_or_else(|| unsupported("a difference of nothing"))
}
fn even(cx: &mut Cx, x: V, axis: usize, h: f64, order: i64) -> R<V> {
    let (after, before) = (cut(cx, x, axis, 2, 0)?, cut(cx, x, axis, 0, -2)?);
    let d = cx.b("sub", after, before)?;
    let d = cx.bn("div", d, h)?;
    let centre = cx.bn("div", d, 2.0)?;
    let (a, b) = if order == 1 {
        (weighted(cx, x, axis, &[(1, 1.0), (0, -1.0)])?, weighted(cx, x, axis, &[(-1, 1.0), (-2, -1.0)])?)
    } else {
        (
            weighted(cx, x, axis, &[(0, -1.5), (1, 2.0), (2, -0.5)])?,
            weighted(cx, x, axis, &[(-3, 0.5), (-2, -2.0), (-1, 1.5)])?,
        )
    };
    let (a, b) = (cx.bn("div", a, h)?, cx.bn("div", b, h)?);
    cx.concat(&[a, centre, b], axis)
}
/// Factors of the three samples of a second-order difference at the middle one (0), the left (-1) or the right one (1), whose distances
/// are `p` and `q`: the derivative of the parabola through them.
fn factors(cx: &mut Cx, p: V, q: V, place: i64) -> R<[V; 3]> {
    let (sum, product) = (cx.b("add", p, q)?, cx.b("mul", p, q)?);
    let (left, right) = (cx.b("mul", p, sum)?, cx.b("mul", q, sum)?);
    let (a, b, c) = match place {
        0 => (cx.u("neg", q)?, cx.b("sub", q, p)?, p),
        -1 => {
            let s = cx.b("add", sum, p)?;
            (cx.u("neg", s)?, sum, cx.u("neg", p)?)
        }
        _ => (q, cx.u("neg", sum)?, cx.b("add", sum, q)?),
    };
    Ok([cx.b("div", a, left)?, cx.b("div", b, product)?, cx.b("div", c, right)?])
}
fn uneven(cx: &mut Cx, x: V, axis: usize, line: V, order: i64) -> R<V> {
    let (after, before) = (cut(cx, line, 0, 1, 0)?, cut(cx, line, 0, 0, -1)?);
    let steps = cx.b("sub", after, before)?;
    let dtype = cx.dtype(x)?;
    let steps = cx.cast(steps, dtype)?;
    let mut sizes = vec![1; cx.rank(x)?];
    sizes[axis] = -1;
    let steps = cx.reshape_to(steps, &sizes)?;
    let combine = |cx: &mut Cx, k: [V; 3], parts: [V; 3]| {
        let mut sum = None;
        for (k, v) in k.into_iter().zip(parts) {
            let t = cx.b("mul", k, v)?;
            sum = Some(match sum {
                None => t,
                Some(s) => cx.b("add", s, t)?,
            });
        }
        sum.ok_or_else(|| unsupported("a difference of nothing"))
    };
    let (p, q) = (cut(cx, steps, axis, 0, -1)?, cut(cx, steps, axis, 1, 0)?);
    let k = factors(cx, p, q, 0)?;
    let parts = [cut(cx, x, axis, 0, -2)?, cut(cx, x, axis, 1, -1)?, cut(cx, x, axis, 2, 0)?];
    let centre = combine(cx, k, parts)?;
    let ends = if order == 1 {
        let mut ends = vec![];
        for (at, terms) in [(0, [(1, 1.0), (0, -1.0)]), (-1, [(-1, 1.0), (-2, -1.0)])] {
            let d = weighted(cx, x, axis, &terms)?;
            let h = cut(cx, steps, axis, at, at + 1)?;
            ends.push(cx.b("div", d, h)?);
        }
        ends
    } else {
        let mut ends = vec![];
        for (place, at, from) in [(-1, [0, 1], 0), (1, [-2, -1], -3)] {
            let [p, q] = at.map(|i| cut(cx, steps, axis, i, i + 1));
            let k = factors(cx, p?, q?, place)?;
            let parts = [0, 1, 2].map(|i| cut(cx, x, axis, from + i, from + i + 1));
            let [a, b, c] = parts;
            ends.push(combine(cx, k, [a?, b?, c?])?);
        }
        ends
    };
    cx.concat(&[ends[0], centre, ends[1]], axis)
}
