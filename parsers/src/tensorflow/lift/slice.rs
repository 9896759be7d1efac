//! Parts of values, and values in another order.
use super::Row;
use super::bridge::Arg;
use super::cx::{Cx, R, V};
use super::reduce::both;
use super::val::Val;
use hoist_ir::dim::Dim;
use hoist_ir::ops::index::scatter_nd::ScatterNd;
use hoist_ir::ops::movement::reverse_sequence::ReverseSequence;
use hoist_ir::ops::movement::slice::Slice;
use hoist_ir::ops::movement::split::Split;
use hoist_ir::ops::reduce::reductions::ReduceSum;
use hoist_ir::tensor::Tensor;

pub(super) const TABLE: &[Row] = &[
    ("Slice", "", |cx| both(cx, slice)),
    ("StridedSlice", "", |cx| both(cx, strided_slice)),
    ("TensorStridedSliceUpdate", "", update),
    ("Split", "output*num_split", |cx| both(cx, split)),
    ("SplitV", "output*num_split", |cx| both(cx, split_v)),
    ("ReverseV2", "", |cx| both(cx, reverse)),
    ("Reverse", "", reverse_flags),
    ("ReverseSequence", "", reverse_sequence),
    ("Roll", "", roll),
];

/// `x` from `from` to before `to` in steps along `axes`.
fn cut(cx: &mut Cx<'_, '_, '_>, x: V, [from, to]: [V; 2], axes: &[i64], steps: &[i64]) -> R<V> {
    let axes = cx.int_list(axes);
    let steps = if steps.iter().all(|s| *s == 1) { None } else { Some(cx.int_list(steps)) };
    cx.op_opt(Slice::default(), &[Some(x), Some(from), Some(to), Some(axes), steps])
}

fn slice(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, begin, size) = (cx.arg(0)?, cx.wide(1)?, cx.wide(2)?);
    let rank = match cx.size(begin, 0) {
        Some(n) => usize::try_from(n).unwrap_or(usize::MAX),
        None => cx.rank(x)?,
    };
    if rank > 64 {
        return Err(cx.bad(format!("{rank} axes")));
    }
    let axes: Vec<i64> = (0..rank as i64).collect();
    let zero = cx.int_list(&[0]);
    let most = cx.int_list(&[i64::MAX]);
    // A size of -1 reaches to the end.
    let open = cx.named("less", &[size, zero])?;
    let sum = cx.named("add", &[begin, size])?;
    let end = cx.named("where", &[open, most, sum])?;
    let (known, stated) = (cx.elements(size, rank), cx.elements(begin, rank));
    let y = cut(cx, x, [begin, end], &axes, &vec![1; rank])?;
    // Sizes that are stated are those of the result, wherever it begins.
    let dims: Vec<Dim> = (0..rank)
        .map(|i| match known.get(i).copied().flatten() {
            Some(n) if n >= 0 => Dim::Known(n as u64),
            _ if stated.get(i).copied().flatten() == Some(0) && known.get(i) == Some(&Some(-1)) => {
                cx.shape(x).and_then(|s| s.get(i).cloned()).unwrap_or(Dim::Unknown)
            }
            _ => Dim::Unknown,
        })
        .collect();
    cx.declare(y, &dims);
    Ok(vec![y.into()])
}

/// One entry of a strided slice.
enum Entry {
    /// An axis of the result that the data has not.
    New,
    /// An axis as it is.
    Whole,
    /// An axis that one element is taken of: the number of the entry.
    One(usize),
    /// A part of an axis: the number of the entry.
    Part(usize),
}

/// The entries of a strided slice of `rank` axes whose masks the attributes hold.
fn entries(cx: &Cx<'_, '_, '_>, n: usize, rank: usize) -> R<Vec<Entry>> {
    let mask = |name: &str, i: usize| cx.attrs.int(name).unwrap_or(0) >> i.min(63) & 1 == 1;
    let dots = (0..n).find(|i| mask("ellipsis_mask", *i));
    let taken = |i: usize| !mask("new_axis_mask", i) && Some(i) != dots;
    let used = (0..n).filter(|i| taken(*i)).count();
    let rest = rank.checked_sub(used).ok_or_else(|| cx.bad(format!("{used} axes of {rank}")))?;
    let mut out = vec![];
    for i in 0..n {
        if Some(i) == dots {
            out.extend((0..rest).map(|_| Entry::Whole));
        } else if mask("ellipsis_mask", i) {
            return Err(cx.bad("more than one ellipsis"));
        } else if mask("new_axis_mask", i) {
            out.push(Entry::New);
        } else if mask("shrink_axis_mask", i) {
            out.push(Entry::One(i));
        } else {
            out.push(Entry::Part(i));
        }
    }
    if dots.is_none() {
        out.extend((0..rest).map(|_| Entry::Whole));
    }
    Ok(out)
}

fn strided_slice(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, begin, end) = (cx.arg(0)?, cx.wide(1)?, cx.wide(2)?);
    let stride = cx.wide(3)?;
    let rank = cx.rank(x)?;
    let n = [stride, begin, end].into_iter().find_map(|v| cx.size(v, 0)).filter(|n| *n <= 64);
    let n = n.ok_or_else(|| cx.unsupported("an unknown number of entries"))? as usize;
    let list = entries(cx, n, rank)?;
    let steps = cx.elements(stride, n);
    let (begins, ends) = (cx.elements(begin, n), cx.elements(end, n));
    let bit = |name: &str, i: usize| cx.attrs.int(name).unwrap_or(0) >> i.min(63) & 1 == 1;
    let (mut axes, mut strides, mut from, mut to) = (vec![], vec![], vec![], vec![]);
    let (mut singles, mut added, mut axis, mut place) = (vec![], vec![], 0i64, 0i64);
    for entry in &list {
        match *entry {
            Entry::New => added.push(place),
            Entry::Whole => axis += 1,
            Entry::One(i) => {
                singles.push((axis, i));
                axis += 1;
                continue;
            }
            Entry::Part(i) => {
                let step = steps[i];
                let masked = [bit("begin_mask", i), bit("end_mask", i)];
                let (first, last) = match step {
                    Some(step) if step < 0 => (i64::MAX, i64::MIN),
                    Some(_) => (0, i64::MAX),
                    None => {
                        // Open ends lie where the step comes from and leads to.
                        let forth = masked.contains(&true).then(|| ends_of(cx, stride, i)).transpose()?;
                        let [first, last] = forth.unwrap_or([begin, end]);
                        axes.push(axis);
                        strides.push((step, stride, i));
                        from.push(if masked[0] { (None, first, 0) } else { (begins[i], begin, i) });
                        to.push(if masked[1] { (None, last, 0) } else { (ends[i], end, i) });
                        axis += 1;
                        place += 1;
                        continue;
                    }
                };
                let start = if masked[0] { Some(first) } else { begins[i] };
                let stop = if masked[1] { Some(last) } else { ends[i] };
                if !(step == Some(1) && start == Some(0) && stop == Some(i64::MAX)) {
                    axes.push(axis);
                    strides.push((step, stride, i));
                    from.push((start, begin, i));
                    to.push((stop, end, i));
                }
                axis += 1;
            }
        }
        place += 1;
    }
    if strides.iter().any(|s| s.0 == Some(0)) {
        return Err(cx.bad("a step of 0"));
    }
    let mut y = x;
    if !axes.is_empty() {
        let (from, to) = (listed(cx, &from)?, listed(cx, &to)?);
        let (axes, strides) = (cx.int_list(&axes), listed(cx, &strides)?);
        let by = Some(strides).filter(|s| cx.known_ints(*s).is_none_or(|all| all.iter().any(|s| *s != 1)));
        y = cx.op_opt(Slice::default(), &[Some(y), Some(from), Some(to), Some(axes), by])?;
    }
    for (axis, i) in singles.into_iter().rev() {
        let at = if let Some(at) = begins[i] {
            cx.konst(Tensor::scalar(at))
        } else {
            let at = cx.konst(Tensor::scalar(i as i64));
            cx.gather(begin, at, 0)?
        };
        y = cx.gather(y, at, axis)?;
    }
    Ok(vec![cx.unsqueeze(y, &added)?.into()])
}

/// Where a slice in steps of element `i` of `strides` begins and ends when both are open, as lists of one.
fn ends_of(cx: &mut Cx<'_, '_, '_>, strides: V, i: usize) -> R<[V; 2]> {
    let at = cx.int_list(&[i as i64]);
    let step = cx.gather(strides, at, 0)?;
    let (zero, most, least) = (cx.int_list(&[0]), cx.int_list(&[i64::MAX]), cx.int_list(&[i64::MIN]));
    let back = cx.named("less", &[step, zero])?;
    Ok([cx.named("where", &[back, most, zero])?, cx.named("where", &[back, least, most])?])
}

/// A list of numbers, each known or an element of a list.
fn listed(cx: &mut Cx<'_, '_, '_>, parts: &[(Option<i64>, V, usize)]) -> R<V> {
    if let Some(all) = parts.iter().map(|p| p.0).collect::<Option<Vec<i64>>>() {
        return Ok(cx.int_list(&all));
    }
    let mut out = vec![];
    for (known, list, i) in parts {
        out.push(if let Some(n) = known {
            cx.int_list(&[*n])
        } else {
            let at = cx.int_list(&[*i as i64]);
            cx.gather(*list, at, 0)?
        });
    }
    cx.concat(&out, 0)
}

/// `x` with a part of it replaced: the positions of the part are picked from those of all elements.
fn update(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, value) = (cx.arg(0)?, cx.arg(4)?);
    let sizes = cx.sizes(x).ok_or_else(|| cx.unsupported("sizes that are not known"))?;
    let count = hoist_ir::tensor::element_count(&sizes).filter(|n| *n <= 1 << 22);
    let count = count.ok_or_else(|| cx.unsupported("that many elements"))?;
    let numbers = Tensor::from_vec(&sizes, (0..count as i64).collect::<Vec<_>>());
    let numbers = cx.konst(numbers);
    cx.inputs[0] = numbers.into();
    let Some(Val::Tensor(places)) = strided_slice(cx)?.pop() else {
        return Err(cx.bad("no part"));
    };
    let shape = cx.shape_of(places)?;
    let value = cx.expand(value, shape)?;
    let (value, places) = (cx.reshape(value, &[-1])?, cx.reshape(places, &[-1, 1])?);
    let flat = cx.reshape(x, &[-1])?;
    let flat = cx.op(ScatterNd::default(), &[flat, places, value])?;
    let sizes: Vec<i64> = sizes.into_iter().map(|n| n as i64).collect();
    Ok(vec![cx.reshape(flat, &sizes)?.into()])
}

fn split(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let axis = cx.int(0, "an axis")?;
    let x = cx.arg(1)?;
    let axis = cx.axis(x, axis)?;
    let n = cx.attrs.int("num_split").unwrap_or(0);
    let n = usize::try_from(n).ok().filter(|n| (1..=1 << 16).contains(n));
    let n = n.ok_or_else(|| cx.bad("the number of parts"))?;
    if n == 1 {
        return Ok(vec![x.into()]);
    }
    let equal = match cx.size(x, axis) {
        Some(size) if size % n as u64 == 0 => cx.int_list(&vec![(size / n as u64) as i64; n]),
        Some(size) => return Err(cx.bad(format!("{n} equal parts of {size} elements"))),
        None => {
            let size = cx.size_of(x, axis)?;
            let parts = cx.int_list(&[n as i64]);
            let one = cx.named("div", &[size, parts])?;
            let times = cx.int_list(&[n as i64]);
            cx.expand(one, times)?
        }
    };
    let op = Split { axis: axis as i64, num_outputs: None };
    let out = cx.op_n(op, &[Some(x), Some(equal)], n)?;
    Ok(out.into_iter().map(Val::from).collect())
}

fn split_v(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let axis = cx.int(2, "an axis")?;
    let axis = cx.axis(x, axis)?;
    let stated = cx.wide(1)?;
    let Some(mut sizes) = cx.known_ints(stated) else { return split_by(cx, x, axis, stated) };
    if sizes.len() == 1 {
        return Ok(vec![x.into()]);
    }
    // One size of -1 takes what the others leave.
    let sizes = match sizes.iter().position(|s| *s == -1) {
        None => cx.int_list(&sizes),
        Some(open) => {
            let others: i64 = sizes.iter().filter(|s| **s >= 0).fold(0, |a, s| a.saturating_add(*s));
            if let Some(n) = cx.size(x, axis) {
                let rest = i64::try_from(n).ok().and_then(|n| n.checked_sub(others)).filter(|r| *r >= 0);
                sizes[open] = rest.ok_or_else(|| cx.bad("parts that are larger than the whole"))?;
                cx.int_list(&sizes)
            } else {
                let (size, others) = (cx.size_of(x, axis)?, cx.int_list(&[others]));
                let rest = cx.named("sub", &[size, others])?;
                let (before, after) = (cx.int_list(&sizes[..open]), cx.int_list(&sizes[open + 1..]));
                cx.concat(&[before, rest, after], 0)?
            }
        }
    };
    let n = cx.size(sizes, 0).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let op = Split { axis: axis as i64, num_outputs: None };
    let out = cx.op_n(op, &[Some(x), Some(sizes)], n)?;
    Ok(out.into_iter().map(Val::from).collect())
}

/// Parts whose sizes are computed; one of -1 takes what the others leave.
fn split_by(cx: &mut Cx<'_, '_, '_>, x: V, axis: usize, sizes: V) -> R<Vec<Val>> {
    let n = cx.attrs.int("num_split").and_then(|n| usize::try_from(n).ok());
    let n = n.filter(|n| (1..=4096).contains(n)).ok_or_else(|| cx.bad("the number of parts"))?;
    let zero = cx.int_list(&[0]);
    let stated = cx.named("max", &[sizes, zero])?;
    let sum = ReduceSum { keepdims: true, noop_with_empty_axes: false };
    let stated = cx.op(sum, &[stated])?;
    let whole = cx.size_of(x, axis)?;
    let rest = cx.named("sub", &[whole, stated])?;
    let open = cx.named("less", &[sizes, zero])?;
    let sizes = cx.named("where", &[open, rest, sizes])?;
    let op = Split { axis: axis as i64, num_outputs: None };
    let out = cx.op_n(op, &[Some(x), Some(sizes)], n)?;
    Ok(out.into_iter().map(Val::from).collect())
}

fn reversed(cx: &mut Cx<'_, '_, '_>, axes: &[i64]) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    if axes.is_empty() {
        return Ok(vec![x.into()]);
    }
    let list = |v: i64| vec![v; axes.len()];
    let (from, to) = (cx.int_list(&list(-1)), cx.int_list(&list(i64::MIN)));
    Ok(vec![cut(cx, x, [from, to], axes, &list(-1))?.into()])
}

fn reverse(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let axes = cx.ints(1, "axes")?;
    let axes: Vec<i64> = axes.into_iter().map(|a| Ok(cx.axis(x, a)? as i64)).collect::<R<_>>()?;
    reversed(cx, &axes)
}

fn reverse_flags(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let flags = cx.ints(1, "axes")?;
    let axes: Vec<i64> = flags.iter().enumerate().filter(|(_, f)| **f != 0).map(|(i, _)| i as i64).collect();
    reversed(cx, &axes)
}

/// The axes of batch and time are the first two in the IR.
fn reverse_sequence(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, lens) = (cx.arg(0)?, cx.wide(1)?);
    let time = cx.axis(x, cx.attrs.int("seq_dim").unwrap_or(0))?;
    let batch = cx.axis(x, cx.attrs.int("batch_dim").unwrap_or(0))?;
    let rank = cx.rank(x)?;
    if time == batch {
        return Err(cx.bad("one axis for batch and time"));
    }
    let mut perm = vec![batch as i64, time as i64];
    perm.extend((0..rank as i64).filter(|a| *a != batch as i64 && *a != time as i64));
    let back: Vec<i64> =
        (0..rank as i64).map(|a| perm.iter().position(|p| *p == a).unwrap_or(0) as i64).collect();
    if time + batch == 1 {
        let op = ReverseSequence { batch_axis: batch as i64, time_axis: time as i64 };
        return Ok(vec![cx.op(op, &[x, lens])?.into()]);
    }
    let x = cx.transpose(x, &perm)?;
    let y = cx.op(ReverseSequence { batch_axis: 0, time_axis: 1 }, &[x, lens])?;
    Ok(vec![cx.transpose(y, &back)?.into()])
}

fn roll(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let (shifts, axes) = (cx.wide(1)?, cx.wide(2)?);
    let rank = cx.rank(x)?;
    if let Some((shifts, axes)) = cx.known_ints(shifts).zip(cx.known_ints(axes)) {
        return rolled(cx, x, &shifts, &axes);
    }
    // Each axis is rolled by the sum of what is named for it.
    let (shifts, axes) = (cx.reshape(shifts, &[-1])?, cx.reshape(axes, &[-1])?);
    let (zero, all) = (cx.int_list(&[0]), cx.int_list(&[rank as i64]));
    let negative = cx.named("less", &[axes, zero])?;
    let counted = cx.named("add", &[axes, all])?;
    let axes = cx.named("where", &[negative, counted, axes])?;
    let mut y = x;
    for axis in 0..rank {
        let at = cx.int_list(&[axis as i64]);
        let mine = cx.named("equal", &[axes, at])?;
        let own = cx.named("where", &[mine, shifts, zero])?;
        let by = cx.op(ReduceSum { keepdims: true, noop_with_empty_axes: false }, &[own])?;
        y = rolled_by(cx, y, axis, by)?;
    }
    Ok(vec![y.into()])
}

fn rolled(cx: &mut Cx<'_, '_, '_>, x: V, shifts: &[i64], axes: &[i64]) -> R<Vec<Val>> {
    if shifts.len() != axes.len() {
        return Err(cx.bad("as many shifts as axes are needed"));
    }
    let mut y = x;
    for (by, axis) in shifts.iter().zip(axes) {
        let (axis, by) = (cx.axis(x, *axis)?, cx.int_list(&[*by]));
        y = rolled_by(cx, y, axis, by)?;
    }
    Ok(vec![y.into()])
}

/// `x` with the last `by` elements of an axis ahead of the others.
fn rolled_by(cx: &mut Cx<'_, '_, '_>, x: V, axis: usize, by: V) -> R<V> {
    let size = cx.size_of(x, axis)?;
    let one = cx.int_list(&[1]);
    let divisor = cx.named("max", &[size, one])?;
    let by = cx.aten("remainder", &[("self", Arg::T(by)), ("other", Arg::T(divisor))])?;
    let from = cx.named("sub", &[size, by])?;
    let (zero, most) = (cx.int_list(&[0]), cx.int_list(&[i64::MAX]));
    let axes = [axis as i64];
    let tail = cut(cx, x, [from, most], &axes, &[1])?;
    let head = cut(cx, x, [zero, from], &axes, &[1])?;
    cx.concat(&[tail, head], axis as i64)
}
