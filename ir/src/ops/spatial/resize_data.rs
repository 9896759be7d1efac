//! Moving and interpolating elements for `resize`.
use super::resize_axis::{AxisPlan, Rules, Taps};
use crate::op::OpError;
use crate::ops::linear::compute::{Compute, PARALLEL, count, zeros};
use rayon::prelude::*;

/// Elements of `x` (of sizes `shape`) at the positions `maps` gives for each axis; `None` keeps an axis.
pub(super) fn gather<T: Clone + Send + Sync>(
    x: &[T],
    shape: &[usize],
    maps: &[Option<Vec<usize>>],
) -> Result<Vec<T>, OpError> {
    let out: Vec<usize> = shape.iter().zip(maps).map(|(d, m)| m.as_ref().map_or(*d, Vec::len)).collect();
    let total = count(&out)?;
    let Some((&row, lead)) = out.split_last().filter(|_| total > 0) else {
        return Ok(if total == 0 { vec![] } else { x.to_vec() });
    };
    let steps = crate::tensor::strides(shape);
    let one = |r: usize| {
        let (mut rest, mut base) = (r, 0);
        for d in (0..lead.len()).rev() {
            let i = rest % lead[d];
            base += maps[d].as_ref().map_or(i, |m| m[i]) * steps[d];
            rest /= lead[d];
        }
        let source = &x[base..base + shape[lead.len()]];
        let map = maps[lead.len()].as_ref();
        (0..row).map(move |i| source[map.map_or(i, |m| m[i])].clone())
    };
    let rows = total / row;
    Ok(if total < PARALLEL {
        (0..rows).flat_map(one).collect()
    } else {
        let pieces: Vec<Vec<T>> = (0..rows).into_par_iter().map(|r| one(r).collect()).collect();
        pieces.concat()
    })
}

/// Interpolates `[outer, input, inner]` data along the middle axis.
fn along<T: Compute>(x: &[T], inner: usize, plan: &AxisPlan, taps: &Taps) -> Result<Vec<T>, OpError> {
    let plane = plan.input * inner;
    let outer = x.len() / plane.max(1);
    let mut out = zeros::<T>(count(&[outer, plan.output, inner])?)?;
    let weights: Vec<T> = taps.weights.iter().map(|w| T::from_f64(*w)).collect();
    if inner == 1 {
        let line = |(x, out): (&[T], &mut [T])| {
            let all = taps.at.chunks_exact(taps.count).zip(weights.chunks_exact(taps.count));
            for (o, (at, w)) in out.iter_mut().zip(all) {
                *o = match (at, w) {
                    ([a, b], [v, w]) => x[*a] * *v + x[*b] * *w,
                    _ => at.iter().zip(w).fold(T::ZERO, |sum, (a, w)| sum + x[*a] * *w),
                };
            }
        };
        if out.len() < PARALLEL {
            x.chunks_exact(plane).zip(out.chunks_exact_mut(plan.output)).for_each(line);
        } else {
            x.par_chunks_exact(plane).zip(out.par_chunks_exact_mut(plan.output)).for_each(line);
        }
        return Ok(out);
    }
    let row = |(i, out): (usize, &mut [T])| {
        let (o, x) = (i % plan.output, &x[i / plan.output * plane..]);
        let range = o * taps.count..(o + 1) * taps.count;
        let row = |at: usize| &x[at * inner..(at + 1) * inner];
        if let ([a, b], [v, w]) = (&taps.at[range.clone()], &weights[range.clone()]) {
            let pairs = row(*a).iter().zip(row(*b));
            out.iter_mut().zip(pairs).for_each(|(o, (x, y))| *o = *x * *v + *y * *w);
            return;
        }
        for (at, w) in taps.at[range.clone()].iter().zip(&weights[range]) {
            out.iter_mut().zip(row(*at)).for_each(|(o, x)| *o = *o + *x * *w);
        }
    };
    if out.len() < PARALLEL {
        out.chunks_exact_mut(inner).enumerate().for_each(row);
    } else {
        out.par_chunks_exact_mut(inner).enumerate().for_each(row);
    }
    Ok(out)
}

/// Interpolates axis after axis: shrinking axes first, from the front; then growing ones, from the back, so that the least is computed.
pub(super) fn interpolate<T: Compute>(
    x: &[T],
    shape: &[usize],
    plans: &[Option<AxisPlan>],
    rules: &Rules,
) -> Result<Vec<T>, OpError> {
    let mut order: Vec<(usize, AxisPlan)> =
        plans.iter().enumerate().filter_map(|(i, p)| p.map(|p| (i, p))).collect();
    order.sort_by_key(|(i, p)| if p.output <= p.input { (0, *i) } else { (1, usize::MAX - *i) });
    let mut shape = shape.to_vec();
    let mut data: Option<Vec<T>> = None;
    for (axis, plan) in order {
        let inner = count(&shape[axis + 1..])?;
        shape[axis] = plan.output;
        if count(&shape)? == 0 {
            data = Some(vec![]);
            continue;
        }
        let source = data.as_deref().unwrap_or(x);
        if source.is_empty() {
            continue;
        }
        data = Some(along(source, inner, &plan, &plan.taps(rules))?);
    }
    Ok(data.unwrap_or_else(|| x.to_vec()))
}

/// Overwrites elements whose position along any axis is one of `outside`'s.
pub(super) fn fill_outside<T: Clone>(out: &mut [T], shape: &[usize], outside: &[Vec<usize>], value: &T) {
    let steps = crate::tensor::strides(shape);
    for (axis, positions) in outside.iter().enumerate() {
        for block in out.chunks_mut((steps[axis] * shape[axis]).max(1)) {
            for p in positions {
                block[p * steps[axis]..(p + 1) * steps[axis]].fill(value.clone());
            }
        }
    }
}
