//! `slice`
use super::lists::{SymList, at_least_zero, elements, int_list, resolve_axes, steps, sym_list, tensor_list};
use super::strided::copy_strided;
use crate::dim::{Dim, SymInt};
use crate::dtype::{ANY, INDEX};
use crate::eval::{EvalCx, Value, one};
use crate::infer::{Content, InferCx};
use crate::op::{OpError, Semantics};
use crate::tensor::Tensor;
use crate::types::{Shape, TensorType, Type};

crate::op! {
    /// Every `steps`-th position of `axes` from `starts` on and before `ends`. Negative positions count from the end, positions out
    /// of range stop at the border, negative steps go backwards. Without `axes` the first ones are meant.
    slice Slice(data: One<T>, starts: One<I>, ends: One<I>, axes: Opt<I>, steps: Opt<I>) -> (output: One<T>) {} where T: ANY, I: INDEX;
}

/// First position and number of positions along an axis of size `d`; `step` is not 0.
fn span(start: i64, end: i64, step: i64, d: u64) -> (u64, u64) {
    let d = i128::from(d);
    let from_front = |v: i64| if v < 0 { i128::from(v) + d } else { i128::from(v) };
    // Backwards, the position before the first one is a border too.
    let (low, high) = if step > 0 { (0, d) } else { (-1, d - 1) };
    let first = from_front(start).max(if step > 0 { 0 } else { -1 }).min(high);
    let end = from_front(end).max(low).min(high);
    let step = i128::from(step);
    let distance = if step > 0 { end - first } else { first - end };
    if distance <= 0 || first < 0 {
        return (0, 0);
    }
    let count = (distance + step.abs() - 1) / step.abs();
    (first as u64, count as u64)
}

/// Ends beyond this mean "to the border": exporters write the largest 32- or 64-bit integer.
const BORDER: i64 = i32::MAX as i64;

/// A position that may be symbolic, of an axis of size `d`, before it is cut at the borders.
enum At {
    /// At the end of the axis or beyond.
    End,
    /// Counted from the front; not negative.
    Front(SymInt),
    /// `d` plus a negative constant.
    Back(SymInt),
}

fn at(v: &SymInt, d: &SymInt) -> Option<At> {
    match v.as_const() {
        Some(c) if c >= BORDER => return Some(At::End),
        Some(c) if c < 0 => return Some(At::Back(d.add(v)?)),
        _ => {}
    }
    if v.sub(d)?.is_non_negative() {
        Some(At::End)
    } else if v.is_non_negative() {
        Some(At::Front(v.clone()))
    } else {
        // The sign, which decides from which end it counts, is not known.
        None
    }
}

/// Number of positions between `start` and `end` going forwards.
fn distance(start: &SymInt, end: &SymInt, d: &SymInt) -> Option<SymInt> {
    match (at(start, d)?, at(end, d)?) {
        (At::End, _) => Some(SymInt::default()),
        (At::Front(s), At::End) => at_least_zero(&d.sub(&s)?),
        (At::Back(s), At::End) => d.sub(&s)?.smaller(d),
        (At::Front(s), At::Front(e)) if s.as_const() == Some(0) => e.smaller(d),
        (At::Front(s), At::Front(e)) => {
            let count = at_least_zero(&e.sub(&s)?)?;
            if d.sub(&e)?.is_non_negative() {
                return Some(count);
            }
            count.smaller(&at_least_zero(&d.sub(&s)?)?)
        }
        // Where `e` is before the front the result is empty, and `e - s` is negative too.
        (At::Front(s), At::Back(e)) => at_least_zero(&e.sub(&s)?),
        (At::Back(s), At::Back(e)) => at_least_zero(&at_least_zero(&e)?.sub(&at_least_zero(&s)?)?),
        (At::Back(s), At::Front(e)) => at_least_zero(&e.smaller(d)?.sub(&at_least_zero(&s)?)?),
    }
}

fn sliced(d: &Dim, start: Option<&SymInt>, end: Option<&SymInt>, step: Option<i64>) -> Dim {
    let (Some(start), Some(end), Some(step)) = (start, end, step) else { return Dim::Unknown };
    if let (Some(s), Some(e), Some(d)) = (start.as_const(), end.as_const(), d.known()) {
        return Dim::Known(span(s, e, step, d).1);
    }
    let count = || {
        let d = d.to_sym()?;
        if step > 0 {
            return distance(start, end, &d)?.ceil_div(&SymInt::from(step));
        }
        let (s, e) = (start.as_const()?, end.as_const()?);
        let whole = (s == -1 || s >= BORDER) && e <= -BORDER;
        if whole { d.ceil_div(&SymInt::from(step.checked_neg()?)) } else { None }
    };
    Dim::from_sym(count())
}

fn shape(
    x: &[Dim],
    starts: &SymList,
    ends: &SymList,
    axes: &[usize],
    steps: &SymList,
) -> Result<Shape, OpError> {
    if [ends.len(), axes.len(), steps.len()].iter().any(|n| *n != starts.len()) {
        return Err(OpError::shape("`starts`, `ends`, `axes` and `steps` differ in length"));
    }
    let mut out = x.to_vec();
    for (i, axis) in axes.iter().enumerate() {
        let step = match &steps[i] {
            Some(s) if s.as_const() == Some(0) => return Err(OpError::attr("a step of 0 goes nowhere")),
            s => s.as_ref().and_then(SymInt::as_const),
        };
        out[*axis] = sliced(&x[*axis], starts[i].as_ref(), ends[i].as_ref(), step);
    }
    Ok(out)
}

fn ones(n: usize) -> SymList {
    vec![Some(SymInt::from(1)); n]
}

fn infer(cx: &InferCx<'_>) -> Result<TensorType, OpError> {
    let x = cx.tensor(0)?;
    let (starts, ends) = (sym_list(cx, 1)?, sym_list(cx, 2)?);
    let axes = if cx.has(3) { int_list(cx, 3)? } else { None };
    let Some(dims) = x.shape.as_deref() else { return Ok(TensorType::unranked(x.dtype)) };
    let (Some(starts), Some(ends)) = (starts, ends) else {
        return Ok(TensorType::of_rank(x.dtype, dims.len()));
    };
    if cx.has(3) && axes.is_none() {
        return Ok(TensorType::of_rank(x.dtype, dims.len()));
    }
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let axes = resolve_axes(&axes, dims.len())?;
    let steps = if cx.has(4) { sym_list(cx, 4)? } else { Some(ones(starts.len())) };
    let steps = steps.unwrap_or_else(|| vec![None; starts.len()]);
    Ok(TensorType::new(x.dtype, shape(dims, &starts, &ends, &axes, &steps)?))
}

/// First position, step and number of positions of each axis of `x`.
fn spans(x: &Tensor, operands: [Option<&Tensor>; 4]) -> Result<Vec<(usize, i64, usize)>, OpError> {
    let list = |t: Option<&Tensor>| t.map(tensor_list).transpose();
    let [starts, ends, axes, steps] = operands;
    let starts = list(starts)?.unwrap_or_default();
    let ends = list(ends)?.unwrap_or_default();
    let axes = list(axes)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = list(steps)?.unwrap_or_else(|| vec![1; starts.len()]);
    let axes = resolve_axes(&axes, x.rank())?;
    if [ends.len(), axes.len(), steps.len()].iter().any(|n| *n != starts.len()) || steps.contains(&0) {
        return Err(OpError::shape("`starts`, `ends`, `axes` and `steps` do not fit"));
    }
    let mut out: Vec<_> = x.shape().iter().map(|n| (0, 1, *n)).collect();
    for (i, axis) in axes.into_iter().enumerate() {
        let (first, count) = span(starts[i], ends[i], steps[i], x.shape()[axis] as u64);
        out[axis] = (first as usize, steps[i], count as usize);
    }
    Ok(out)
}

impl Semantics for Slice {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        Ok(vec![infer(cx)?.into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        let spans = spans(x, [cx.opt(1)?, cx.opt(2)?, cx.opt(3)?, cx.opt(4)?])?;
        let shape: Vec<usize> = spans.iter().map(|s| s.2).collect();
        let own = steps(x.shape());
        // A step beyond the axis is taken once at most.
        let step = |(s, o): (&(usize, i64, usize), &isize)| if s.2 > 1 { s.1 as isize * o } else { 0 };
        let steps: Vec<isize> = spans.iter().zip(&own).map(step).collect();
        let offset = if shape.contains(&0) {
            0
        } else {
            spans.iter().zip(&own).map(|(s, o)| s.0 * o.unsigned_abs()).sum()
        };
        one(copy_strided(x, &shape, &steps, offset)?)
    }
    fn contents(&self, cx: &InferCx<'_>) -> Vec<Option<Content>> {
        let single = |i: usize| match int_list(cx, i).ok()??.as_slice() {
            [v] => Some(*v),
            _ => None,
        };
        let content = || {
            let all = elements(cx, 0)?;
            let step = if cx.has(4) { single(4)? } else { 1 };
            if step == 0 || cx.tensor(0).ok()?.rank() != Some(1) {
                return None;
            }
            let (first, count) = span(single(1)?, single(2)?, step, all.len() as u64);
            let pick =
                |i: i64| usize::try_from(first as i64 + i * step).ok().and_then(|at| all.get(at).cloned());
            (0..count as i64).map(pick).collect::<Option<Vec<_>>>().map(Into::into)
        };
        vec![content()]
    }
    fn lazy(&self, inputs: &[Option<&Tensor>]) -> Option<Tensor> {
        let at = |i: usize| inputs.get(i).copied().flatten();
        let spans = spans(at(0)?, [at(1), at(2), at(3), at(4)]).ok()?;
        if spans.iter().any(|s| s.1 != 1) {
            return None;
        }
        let (starts, sizes): (Vec<usize>, Vec<usize>) = spans.into_iter().map(|s| (s.0, s.2)).unzip();
        at(0)?.slice(&starts, &sizes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_numpys() {
        for (s, e, step, d, want) in [
            (0, 5, 1, 5, (0, 5)),
            (1, -1, 1, 5, (1, 3)),
            (-3, i64::MAX, 2, 5, (2, 2)),
            (-1, i64::MIN, -1, 5, (4, 5)),
            (i64::MAX, i64::MIN, -2, 5, (4, 3)),
            (3, 1, 1, 5, (0, 0)),
            (-100, 2, 1, 5, (0, 2)),
            (-100, i64::MIN, -1, 5, (0, 0)),
            (0, i64::MIN, -1, 5, (0, 1)),
            (2, -6, i64::MIN, 5, (2, 1)),
            (0, 9, i64::MAX, 5, (0, 1)),
            (0, 9, 1, 0, (0, 0)),
            (-1, i64::MIN, -1, 0, (0, 0)),
            (9, 20, 1, 5, (0, 0)),
        ] {
            assert_eq!(span(s, e, step, d), want, "{s}:{e}:{step} of {d}");
        }
    }

    fn sized(s: &str, e: &str, step: i64, d: &Dim) -> String {
        let v = |t: &str| t.parse::<i64>().map_or_else(|_| SymInt::symbol(t), SymInt::from);
        sliced(d, Some(&v(s)), Some(&v(e)), Some(step)).to_string()
    }

    #[test]
    fn symbolic_sizes() {
        let n = Dim::symbol("N");
        let max = "9223372036854775807";
        assert_eq!(sized("0", max, 1, &n), "N");
        assert_eq!(sized("0", "2147483647", 1, &n), "N");
        assert_eq!(sized("0", "N", 1, &n), "N");
        assert_eq!(sized("0", max, 2, &n), "-floordiv(N, 2)+N");
        assert_eq!(sized("-1", "-9223372036854775808", -1, &n), "N");
        assert_eq!(sized("5", "2", 1, &n), "0");
        assert_eq!(sized("N", max, 1, &n), "0");
        assert_eq!(sized("0", "M", 1, &Dim::Known(7)), sized("0", "7", 1, &Dim::symbol("M")));
        let np2 = Dim::from_sym(SymInt::symbol("N").add(&2.into()));
        assert_eq!(sized("1", max, 1, &np2), "N+1");
        assert_eq!(sized("0", "-2", 1, &np2), "N");
        assert_eq!(sized("-2", max, 1, &np2), "2");
        assert_eq!(sized("0", "N", 1, &np2), "N");
        assert_eq!(sized("1", "2", 1, &np2), "1");
        assert_eq!(sized("0", "3", 1, &Dim::Unknown), "?");
    }

    /// Every symbolic size agrees with the size for each value of the symbol.
    #[test]
    fn symbolic_sizes_agree_with_numbers() {
        let (n, m) = (SymInt::symbol("N"), SymInt::symbol("M"));
        let mut ends: Vec<SymInt> = (-4..=4).map(SymInt::from).collect();
        ends.extend([
            SymInt::from(i64::MAX),
            n.clone(),
            m.clone(),
            n.neg().expect("ok"),
            n.add(&m).expect("ok"),
        ]);
        let mut checked = 0;
        for (start, end, step) in ends
            .iter()
            .flat_map(|s| ends.iter().map(move |e| (s, e)))
            .flat_map(|(s, e)| [(s, e, 1), (s, e, 2)])
        {
            let Dim::Expr(size) = sliced(&Dim::symbol("N"), Some(start), Some(end), Some(step)) else {
                continue;
            };
            for (vn, vm) in (0..6).flat_map(|a| (0..6).map(move |b| (a, b))) {
                let at = |e: &SymInt| {
                    let value = |s: &str| Some(SymInt::from(if s == "N" { vn } else { vm }));
                    e.substitute(&value).and_then(|v| v.as_const()).expect("constant")
                };
                let want = span(at(start), at(end), step, vn as u64).1;
                assert_eq!(at(&size), want as i64, "{start}:{end}:{step} N={vn} M={vm} -> {size}");
            }
            checked += 1;
        }
        assert!(checked > 150, "{checked}");
    }
}
