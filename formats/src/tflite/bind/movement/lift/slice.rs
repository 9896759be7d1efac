//! Parts of tensors and borders around them.
use crate::tflite::lift::{Cx, Lifted};
use crate::tflite::schema::Builtin;
use hoist_ir::diag::Diag;
use hoist_ir::dim::Dim;
use hoist_ir::graph::ValueId;
use hoist_ir::ops::elementwise::arithmetic::{Add, Mod, Sub};
use hoist_ir::ops::elementwise::compare::Less;
use hoist_ir::ops::elementwise::select::Where;
use hoist_ir::ops::elementwise::unary::Neg;
use hoist_ir::ops::elementwise::variadic::Min;
use hoist_ir::ops::index::gather::Gather;
use hoist_ir::ops::movement::pad::{Pad, PadMode};
use hoist_ir::ops::movement::slice::Slice;
use hoist_ir::ops::movement::split::Split;
use hoist_ir::ops::movement::transpose::Transpose;
use hoist_ir::ops::movement::unsqueeze::Unsqueeze;
use hoist_ir::ops::reduce::reductions::ReduceSum;
use hoist_ir::ops::shape::range::Range;
use hoist_ir::ops::shape::shape::Shape;

/// Sizes of -1 reach to the end.
pub(super) fn slice(cx: &mut Cx<'_, '_>) -> Lifted {
    let x = cx.arg(0)?;
    let (begin, size) = (cx.wide(1)?, cx.wide(2)?);
    let ends = match (cx.ints(1), cx.ints(2)) {
        (Some(begin), Some(size)) => {
            let end = |(b, s): (&i64, &i64)| if *s == -1 { i64::MAX } else { b.saturating_add(*s) };
            let ends: Vec<i64> = begin.iter().zip(&size).map(end).collect();
            cx.b.ints(&ends)
        }
        (_, known) => {
            let sum = cx.op(Add {}, &[begin, size])?;
            if known.is_some_and(|k| k.iter().all(|n| *n >= 0)) {
                sum
            } else {
                let (zero, far) = (cx.b.scalar(0i64), cx.b.scalar(i64::MAX));
                let open = cx.op(Less {}, &[size, zero])?;
                cx.op(Where {}, &[open, far, sum])?
            }
        }
    };
    Ok(vec![cx.op(Slice {}, &[x, begin, ends])?])
}

/// The lists of a `STRIDED_SLICE`, entry by entry.
struct Entries {
    axes: Vec<i64>,
    starts: Vec<ValueId>,
    ends: Vec<ValueId>,
    steps: Vec<ValueId>,
    /// Positions that stand for an axis.
    single: Vec<(i64, ValueId)>,
    /// Axes of the result that are new.
    new: Vec<i64>,
}

/// Entry `i` of operand `operand`: known, or a list of one.
fn entry(cx: &mut Cx<'_, '_>, operand: usize, i: usize) -> Result<(Option<i64>, ValueId), Diag> {
    if let Some(v) = cx.ints(operand).and_then(|l| l.get(i).copied()) {
        return Ok((Some(v), cx.b.ints(&[v])));
    }
    let list = cx.wide(operand)?;
    Ok((None, cx.pick(list, &[i as i64])?))
}

fn entries(cx: &mut Cx<'_, '_>, rank: usize) -> Result<Entries, Diag> {
    let begin = cx.arg(1)?;
    let count = cx.shape(begin).and_then(|s| s.first()?.known()).filter(|n| *n <= 32);
    let count = count.ok_or_else(|| cx.unsupported("positions of unknown number"))? as usize;
    let bit = |cx: &Cx<'_, '_>, mask: &str, i: usize| cx.int(mask) >> i & 1 != 0;
    let named = (0..count).filter(|i| !bit(cx, "ellipsis_mask", *i) && !bit(cx, "new_axis_mask", *i)).count();
    let skipped = rank.checked_sub(named).ok_or_else(|| cx.bad("more positions than axes"))?;
    let mut e =
        Entries { axes: vec![], starts: vec![], ends: vec![], steps: vec![], single: vec![], new: vec![] };
    let (mut axis, mut at) = (0i64, 0i64);
    for i in 0..count {
        if bit(cx, "ellipsis_mask", i) {
            axis += skipped as i64;
            at += skipped as i64;
        } else if bit(cx, "new_axis_mask", i) {
            e.new.push(at);
            at += 1;
        } else {
            if bit(cx, "shrink_axis_mask", i) {
                let from = if bit(cx, "begin_mask", i) { cx.b.ints(&[0]) } else { entry(cx, 1, i)?.1 };
                e.single.push((axis, from));
                axis += 1;
                continue;
            }
            one(cx, &mut e, i, axis)?;
            axis += 1;
            at += 1;
        }
    }
    Ok(e)
}

/// An entry that takes some positions of an axis.
fn one(cx: &mut Cx<'_, '_>, e: &mut Entries, i: usize, axis: i64) -> Result<(), Diag> {
    let masked = |cx: &Cx<'_, '_>, mask: &str| cx.int(mask) >> i & 1 != 0;
    let (open_start, open_end) = (masked(cx, "begin_mask"), masked(cx, "end_mask"));
    let (stride, step) = entry(cx, 3, i)?;
    if open_start && open_end && stride == Some(1) {
        return Ok(());
    }
    // Where the whole axis begins and ends, by the sign of the stride.
    let mut border = |forwards: i64, backwards: i64| -> Result<ValueId, Diag> {
        let (f, b) = (cx.b.ints(&[forwards]), cx.b.ints(&[backwards]));
        if let Some(s) = stride {
            Ok(if s > 0 { f } else { b })
        } else {
            let zero = cx.b.ints(&[0]);
            let back = cx.op(Less {}, &[step, zero])?;
            cx.op(Where {}, &[back, b, f])
        }
    };
    let (first, last) = (border(0, i64::MAX)?, border(i64::MAX, i64::MIN)?);
    let (from, start) =
        if open_start { (stride.map(|s| if s > 0 { 0 } else { i64::MAX }), first) } else { entry(cx, 1, i)? };
    let end = if open_end {
        last
    } else {
        let (to, end) = entry(cx, 2, i)?;
        match (cx.flag("offset"), from, to) {
            (false, ..) | (true, Some(0), _) => end,
            (true, Some(from), Some(to)) if from > 0 && to >= 0 && from < i64::MAX => {
                cx.b.ints(&[from.saturating_add(to)])
            }
            _ => return Err(cx.unsupported("ends that count from computed or negative beginnings")),
        }
    };
    e.axes.push(axis);
    e.starts.push(start);
    e.ends.push(end);
    e.steps.push(step);
    Ok(())
}

pub(super) fn strided_slice(cx: &mut Cx<'_, '_>) -> Lifted {
    let mut x = cx.arg(0)?;
    let rank = cx.rank(x)?;
    let masks = ["begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask", "offset"];
    let begin = cx.arg(1)?;
    if masks.iter().all(|m| cx.int(m) == 0) && cx.shape(begin).is_some_and(|s| *s == [Dim::from(rank)]) {
        let axes = cx.b.ints(&(0..rank as i64).collect::<Vec<_>>());
        let operands = [x, cx.wide(1)?, cx.wide(2)?, axes, cx.wide(3)?];
        let one_by_one = cx.ints(3).is_some_and(|s| s.iter().all(|s| *s == 1));
        return Ok(vec![cx.op(Slice {}, if one_by_one { &operands[..3] } else { &operands })?]);
    }
    let e = entries(cx, rank)?;
    if !e.axes.is_empty() {
        let joined = |cx: &mut Cx<'_, '_>, parts: &[ValueId]| -> Result<ValueId, Diag> {
            let known: Option<Vec<i64>> = parts
                .iter()
                .map(|v| cx.b.graph().const_ints(Some(*v)).and_then(|l| l.first().copied()))
                .collect();
            if let Some(k) = known { Ok(cx.b.ints(&k)) } else { cx.concat(parts, 0) }
        };
        let (starts, ends) = (joined(cx, &e.starts)?, joined(cx, &e.ends)?);
        let (axes, steps) = (cx.b.ints(&e.axes), joined(cx, &e.steps)?);
        let mut operands = vec![x, starts, ends, axes];
        if cx.b.graph().const_ints(Some(steps)).is_none_or(|s| s.iter().any(|s| *s != 1)) {
            operands.push(steps);
        }
        x = cx.op(Slice {}, &operands)?;
    }
    for (axis, at) in e.single.iter().rev() {
        let at = cx.reshape(*at, &[])?;
        x = cx.op(Gather { axis: *axis }, &[x, at])?;
    }
    if !e.new.is_empty() {
        let axes = cx.b.ints(&e.new);
        x = cx.op(Unsqueeze {}, &[x, axes])?;
    }
    if e.axes.is_empty() && e.single.is_empty() && e.new.is_empty() {
        x = cx.op(hoist_ir::ops::elementwise::identity::Identity {}, &[x])?;
    }
    Ok(vec![x])
}

pub(super) fn split(cx: &mut Cx<'_, '_>) -> Lifted {
    let axis = cx.ints(0).and_then(|a| a.first().copied());
    let axis = axis.ok_or_else(|| cx.unsupported("a computed axis"))?;
    let (x, count) = (cx.arg(1)?, cx.results.len());
    let op = Split { axis, num_outputs: Some(count as i64) };
    cx.b.add_n(op, &[Some(x)], count)
}

/// One of the sizes may be -1: what is left.
pub(super) fn split_v(cx: &mut Cx<'_, '_>) -> Lifted {
    let axis = cx.ints(2).and_then(|a| a.first().copied());
    let axis = axis.ok_or_else(|| cx.unsupported("a computed axis"))?;
    let (x, count) = (cx.arg(0)?, cx.results.len());
    let mut sizes = cx.wide(1)?;
    match cx.ints(1) {
        Some(known) if known.iter().all(|n| *n >= 0) => {}
        Some(known) => {
            let rest: i64 = known.iter().filter(|n| **n >= 0).sum();
            let rank = cx.rank(x)?;
            let axis = cx.axis(axis, rank)? as i64;
            let all = cx.op(Shape { start: axis, end: Some(axis + 1) }, &[x])?;
            let rest = cx.b.ints(&[rest]);
            let rest = cx.op(Sub {}, &[all, rest])?;
            let mut parts = vec![];
            for n in known {
                parts.push(if n >= 0 { cx.b.ints(&[n]) } else { rest });
            }
            sizes = cx.concat(&parts, 0)?;
        }
        None => {
            // At most one is negative; it is what the sum of all, less it, leaves.
            let rank = cx.rank(x)?;
            let axis = cx.axis(axis, rank)? as i64;
            let all = cx.op(Shape { start: axis, end: Some(axis + 1) }, &[x])?;
            let sum = cx.op(ReduceSum { keepdims: true, ..ReduceSum::default() }, &[sizes])?;
            let (zero, one) = (cx.b.ints(&[0]), cx.b.ints(&[1]));
            let others = cx.op(Add {}, &[sum, one])?;
            let rest = cx.op(Sub {}, &[all, others])?;
            let open = cx.op(Less {}, &[sizes, zero])?;
            sizes = cx.op(Where {}, &[open, rest, sizes])?;
        }
    }
    cx.b.add_n(Split { axis, num_outputs: None }, &[Some(x), Some(sizes)], count)
}

/// Rows of borders as lists of beginnings and ends.
fn borders(cx: &mut Cx<'_, '_>) -> Result<ValueId, Diag> {
    if let Some(rows) = cx.ints(1) {
        let list: Vec<i64> = rows.iter().step_by(2).chain(rows.iter().skip(1).step_by(2)).copied().collect();
        return Ok(cx.b.ints(&list));
    }
    let rows = cx.wide(1)?;
    let ends = cx.op(Transpose { perm: vec![1, 0] }, &[rows])?;
    cx.reshape(ends, &[-1])
}

pub(super) fn pad(cx: &mut Cx<'_, '_>) -> Lifted {
    let (x, pads) = (cx.arg(0)?, borders(cx)?);
    if cx.builtin == Builtin::Padv2 {
        let value = cx.arg(2)?;
        let value = cx.reshape(value, &[])?;
        return Ok(vec![cx.op(Pad::default(), &[x, pads, value])?]);
    }
    Ok(vec![cx.op(Pad::default(), &[x, pads])?])
}

/// Mirrored with the border position repeated, there is no mode of `pad`: the parts are reversed and joined.
pub(super) fn mirror_pad(cx: &mut Cx<'_, '_>) -> Lifted {
    let mut x = cx.arg(0)?;
    if cx.int("mode") == 0 {
        let pads = borders(cx)?;
        return Ok(vec![cx.op(Pad { mode: PadMode::Reflect }, &[x, pads])?]);
    }
    let Some(rows) = cx.ints(1) else { return gathered(cx, x) };
    for (axis, row) in rows.chunks_exact(2).enumerate() {
        if row == [0, 0] {
            continue;
        }
        let backwards = |cx: &mut Cx<'_, '_>, start: i64, end: i64| {
            let lists = [start, end, axis as i64, -1].map(|v| cx.b.ints(&[v]));
            cx.op(Slice {}, &[x, lists[0], lists[1], lists[2], lists[3]])
        };
        let mut parts = vec![];
        if row[0] > 0 {
            parts.push(backwards(cx, row[0] - 1, i64::MIN)?);
        }
        parts.push(x);
        if row[1] > 0 {
            parts.push(backwards(cx, -1, -1 - row[1])?);
        }
        x = cx.concat(&parts, axis as i64)?;
    }
    Ok(vec![x])
}

/// Computed borders: positions of twice the axis, of which the second half goes backwards, are gathered.
fn gathered(cx: &mut Cx<'_, '_>, mut x: ValueId) -> Lifted {
    let (pads, rank) = (borders(cx)?, cx.rank(x)?);
    for axis in 0..rank as i64 {
        let size = cx.op(Shape { start: axis, end: Some(axis + 1) }, &[x])?;
        let (low, high) = (cx.pick(pads, &[axis])?, cx.pick(pads, &[axis + rank as i64])?);
        let (start, end) = (cx.op(Neg {}, &[low])?, cx.op(Add {}, &[size, high])?);
        let (start, end, step) = (cx.reshape(start, &[])?, cx.reshape(end, &[])?, cx.b.scalar(1i64));
        let all = cx.op(Range::default(), &[start, end, step])?;
        let period = cx.op(Add {}, &[size, size])?;
        let at = cx.op(Mod::default(), &[all, period])?;
        let one = cx.b.ints(&[1]);
        let last = cx.op(Sub {}, &[period, one])?;
        let back = cx.op(Sub {}, &[last, at])?;
        let at = cx.op(Min {}, &[at, back])?;
        x = cx.op(Gather { axis }, &[x, at])?;
    }
    Ok(vec![x])
}
