//! Views and their copies, joining and splitting.
use crate::pytorch::lift::alias::Step;
use crate::pytorch::lift::alias::TensorId;
use crate::pytorch::lift::cx::{Cx, Meta, Out, R, Size, V, Val, malformed, unsupported};
use crate::pytorch::lift::emit::wrap;
use hoist_ir::dtype::DType;

pub(super) const TABLE: super::Table = &[
    ("view", view),
    ("_unsafe_view", view),
    ("_reshape_alias", view),
    ("view_copy", |cx| copied(cx, view)),
    ("reshape", reshape),
    ("_reshape_copy", |cx| copied(cx, reshape)),
    ("view_as", |cx| like(cx, true)),
    ("reshape_as", |cx| like(cx, false)),
    ("flatten", flatten),
    ("unflatten", unflatten),
    ("ravel", ravel),
    ("permute", permute),
    ("permute_copy", |cx| copied(cx, permute)),
    ("transpose", transpose),
    ("transpose_copy", |cx| copied(cx, transpose)),
    ("swapaxes", transpose),
    ("swapdims", transpose),
    ("t", turned),
    ("t_copy", |cx| copied(cx, turned)),
    ("numpy_T", reversed),
    ("mT", last_two),
    ("mH", last_two),
    ("matrix_H", last_two),
    ("adjoint", last_two),
    ("movedim", movedim),
    ("moveaxis", movedim),
    ("unsqueeze", unsqueeze),
    ("unsqueeze_copy", |cx| copied(cx, unsqueeze)),
    ("squeeze", squeeze),
    ("squeeze_copy", |cx| copied(cx, squeeze)),
    ("select", select),
    ("select_copy", |cx| copied(cx, select)),
    ("slice", slice),
    ("slice_copy", |cx| copied(cx, slice)),
    ("narrow", narrow),
    ("narrow_copy", |cx| copied(cx, narrow)),
    ("atleast_1d", |cx| at_least(cx, 1)),
    ("atleast_2d", |cx| at_least(cx, 2)),
    ("atleast_3d", |cx| at_least(cx, 3)),
    ("alias", same),
    ("detach", same),
    ("lift", same),
    ("alias_copy", |cx| copied(cx, same)),
    ("lift_fresh_copy", |cx| copied(cx, same)),
    ("lift_fresh", same),
    ("contiguous", contiguous),
    ("clone", |cx| copied(cx, same)),
    ("to", to),
    ("_to_copy", |cx| copied(cx, to)),
    ("type_as", type_as),
];

/// The same elements in new storage.
pub(super) fn copied(cx: &mut Cx, f: super::Lift) -> R<Out> {
    let out = f(cx)?;
    copy_of(cx, out)
}
fn copy_of(cx: &mut Cx, out: Out) -> R<Out> {
    Ok(match out {
        // Values are never changed, so a new storage may begin with the same one.
        Out::Same(id) => Out::Fresh(cx.read_tensor(id)?),
        Out::View(id, steps) => {
            let mut v = cx.read_tensor(id)?;
            for s in &steps {
                v = cx.forward(s, v)?;
            }
            Out::Fresh(v)
        }
        Out::Many(outs) => Out::Many(outs.into_iter().map(|o| copy_of(cx, o)).collect::<R<_>>()?),
        other => other,
    })
}
fn same(cx: &mut Cx) -> R<Out> {
    cx.bool_or("implicit", false)?;
    Ok(Out::Same(cx.tensor_id("self")?))
}
/// Whether a new tensor of that type is laid out row by row; `None` when that depends on dynamic sizes.
pub(super) fn row_major(meta: &Meta) -> Option<bool> {
    let mut expected = Some(1i64);
    let mut sure = true;
    for (size, stride) in meta.sizes.iter().zip(&meta.strides).rev() {
        match (size, stride) {
            (Some(0), _) => return Some(true),
            (Some(1), _) => {}
            (Some(n), Some(s)) => match expected {
                Some(e) if e == *s => expected = e.checked_mul(*n),
                Some(_) => return Some(false),
                None => sure = false,
            },
            (_, Some(s)) if expected == Some(*s) => expected = None,
            (_, Some(_)) => return Some(false),
            _ => {
                sure = expected.is_none() && sure;
                expected = None;
            }
        }
    }
    sure.then_some(true)
}
/// Known sizes and strides of a type.
fn fixed(meta: &Meta) -> Option<(Vec<i64>, Vec<i64>)> {
    Some((
        meta.sizes.iter().copied().collect::<Option<_>>()?,
        meta.strides.iter().copied().collect::<Option<_>>()?,
    ))
}
/// Whether a tensor of these sizes and strides can be seen under other sizes without a copy.
fn viewable(sizes: &[i64], strides: &[i64], to: &[i64]) -> bool {
    if sizes.contains(&0) {
        return true;
    }
    let kept: Vec<(i64, i64)> =
        sizes.iter().copied().zip(strides.iter().copied()).filter(|s| s.0 != 1).collect();
    let mut to = to.iter().rev().copied().filter(|s| *s != 1).peekable();
    let mut end = kept.len();
    while end > 0 {
        // The longest run of axes that lie behind each other.
        let mut begin = end - 1;
        let mut total = kept[begin].0;
        while begin > 0 && kept[begin - 1].1 == kept[begin].0.saturating_mul(kept[begin].1) {
            begin -= 1;
            total = total.saturating_mul(kept[begin].0);
        }
        let mut covered = 1i64;
        while covered < total {
            match to.next() {
                Some(n) => covered = covered.saturating_mul(n),
                None => return false,
            }
        }
        if covered != total {
            return false;
        }
        end = begin;
    }
    true
}
/// The sizes asked for, -1 replaced where the result's declared size is known.
pub(super) fn target(cx: &Cx, name: &str) -> R<Vec<Size>> {
    let asked = cx.sizes(name)?;
    let Some(declared) = cx.declared(0).filter(|d| d.sizes.len() == asked.len()) else { return Ok(asked) };
    let one = |(i, s): (usize, Size)| declared.sizes[i].map_or(s, Size::Known);
    Ok(asked.into_iter().enumerate().map(one).collect())
}
/// A view under other sizes. A write goes back through the sizes before.
fn reshaped(cx: &mut Cx, id: TensorId, to: Vec<Size>) -> R<Out> {
    let v = cx.read_tensor(id)?;
    let from = cx.shape_of(v)?;
    Ok(Out::View(id, vec![Step::Reshape(to, from)]))
}
fn view(cx: &mut Cx) -> R<Out> {
    let id = cx.tensor_id("self")?;
    if let Some(to) = cx.opt_dtype("dtype")? {
        let v = cx.read_tensor(id)?;
        return if cx.dtype(v)? == to {
            Ok(Out::Same(id))
        } else {
            Err(unsupported("a view of the same bits as another type"))
        };
    }
    cx.has("stride");
    let to = target(cx, "size")?;
    reshaped(cx, id, to)
}
/// A view where the layout allows one, else a copy.
fn reshape_or_copy(cx: &mut Cx, id: TensorId, to: Vec<Size>) -> R<Out> {
    let sees = match (cx.declared_arg("self").and_then(fixed), cx.declared(0).and_then(fixed)) {
        (Some((sizes, strides)), Some((wanted, _))) => Some(viewable(&sizes, &strides, &wanted)),
        _ => cx.declared_arg("self").and_then(row_major).filter(|c| *c),
    };
    if sees.is_none() {
        cx.mark_doubtful(id);
    }
    let out = reshaped(cx, id, to)?;
    if sees == Some(true) { Ok(out) } else { copy_of(cx, out) }
}
fn reshape(cx: &mut Cx) -> R<Out> {
    let id = cx.tensor_id("self")?;
    let to = target(cx, "shape")?;
    reshape_or_copy(cx, id, to)
}
fn like(cx: &mut Cx, must_view: bool) -> R<Out> {
    let (id, other) = (cx.tensor_id("self")?, cx.t("other")?);
    let to = cx.shape_of(other)?;
    if must_view { reshaped(cx, id, to) } else { reshape_or_copy(cx, id, to) }
}
fn flatten(cx: &mut Cx) -> R<Out> {
    let id = cx.tensor_id("self")?;
    let v = cx.read_tensor(id)?;
    let rank = cx.rank(v)?;
    let (from, to) = (wrap(cx.int_or("start_dim", 0)?, rank)?, wrap(cx.int_or("end_dim", -1)?, rank)?);
    if rank > 0 && from == to {
        return Ok(Out::Same(id));
    }
    if from > to {
        return Err(malformed("flatten ends before it starts"));
    }
    let sizes = cx.shape_of(v)?;
    let middle = if rank == 0 { Size::Known(1) } else { cx.size_product(&sizes[from..=to])? };
    let mut out = sizes.get(..from).unwrap_or_default().to_vec();
    out.push(middle);
    out.extend(sizes.get(to + 1..).unwrap_or_default().iter().cloned());
    reshape_or_copy(cx, id, out)
}
fn ravel(cx: &mut Cx) -> R<Out> {
    let id = cx.tensor_id("self")?;
    let v = cx.read_tensor(id)?;
    let sizes = cx.shape_of(v)?;
    if sizes.len() == 1 {
        return Ok(Out::Same(id));
    }
    let n = cx.size_product(&sizes)?;
    reshape_or_copy(cx, id, vec![n])
}
fn unflatten(cx: &mut Cx) -> R<Out> {
    let id = cx.tensor_id("self")?;
    let v = cx.read_tensor(id)?;
    let axis = wrap(cx.int("dim")?, cx.rank(v)?)?;
    let parts = cx.sizes("sizes")?;
    let mut sizes = cx.shape_of(v)?;
    sizes.splice(axis..=axis, parts);
    reshaped(cx, id, sizes)
}
fn permuted(cx: &mut Cx, perm: Vec<usize>) -> R<Out> {
    let id = cx.tensor_id("self")?;
    let v = cx.read_tensor(id)?;
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..cx.rank(v)?) {
        return Err(malformed(format!("{perm:?} is no permutation of the dimensions")));
    }
    Ok(Out::View(id, vec![Step::Permute(perm)]))
}
fn rank_of(cx: &mut Cx) -> R<usize> {
    let v = cx.t("self")?;
    cx.rank(v)
}
fn permute(cx: &mut Cx) -> R<Out> {
    let rank = rank_of(cx)?;
    let dims = cx.ints("dims")?;
    permuted(cx, dims.into_iter().map(|d| wrap(d, rank)).collect::<R<_>>()?)
}
fn swapped(cx: &mut Cx, a: usize, b: usize) -> R<Out> {
    let mut perm: Vec<usize> = (0..rank_of(cx)?).collect();
    if perm.len() >= 2 {
        perm.swap(a, b);
    }
    permuted(cx, perm)
}
fn transpose(cx: &mut Cx) -> R<Out> {
    let rank = rank_of(cx)?;
    let (a, b) = if cx.has("axis0") { ("axis0", "axis1") } else { ("dim0", "dim1") };
    let (a, b) = (wrap(cx.int(a)?, rank)?, wrap(cx.int(b)?, rank)?);
    swapped(cx, a, b)
}
fn turned(cx: &mut Cx) -> R<Out> {
    swapped(cx, 0, 1)
}
fn last_two(cx: &mut Cx) -> R<Out> {
    let rank = rank_of(cx)?;
    if rank < 2 { swapped(cx, 0, 0) } else { swapped(cx, rank - 2, rank - 1) }
}
fn reversed(cx: &mut Cx) -> R<Out> {
    let rank = rank_of(cx)?;
    permuted(cx, (0..rank).rev().collect())
}
fn movedim(cx: &mut Cx) -> R<Out> {
    let rank = rank_of(cx)?;
    let dims = |cx: &Cx, n: &str| cx.ints(n)?.into_iter().map(|d| wrap(d, rank)).collect::<R<Vec<_>>>();
    let (from, to) = (dims(cx, "source")?, dims(cx, "destination")?);
    let mut rest = (0..rank).filter(|i| !from.contains(i));
    let mut perm = vec![];
    for i in 0..rank {
        let moved = to.iter().position(|t| *t == i).and_then(|p| from.get(p).copied());
        perm.extend(moved.or_else(|| rest.next()));
    }
    permuted(cx, perm)
}
fn unsqueeze(cx: &mut Cx) -> R<Out> {
    let id = cx.tensor_id("self")?;
    let rank = rank_of(cx)?;
    let axis = wrap(cx.int("dim")?, rank + 1)?;
    Ok(Out::View(id, vec![Step::Unsqueeze(vec![axis as i64])]))
}
fn squeeze(cx: &mut Cx) -> R<Out> {
    let id = cx.tensor_id("self")?;
    let v = cx.read_tensor(id)?;
    let rank = cx.rank(v)?;
    let dims: Vec<usize> = if cx.has("dim") {
        cx.ints("dim")?.into_iter().map(|d| wrap(d, rank)).collect::<R<_>>()?
    } else {
        (0..rank).collect()
    };
    let mut axes: Vec<i64> =
        (0..rank).filter(|i| dims.contains(i) && cx.known(v, *i) == Some(1)).map(|i| i as i64).collect();
    axes.sort_unstable();
    Ok(if axes.is_empty() { Out::Same(id) } else { Out::View(id, vec![Step::Squeeze(axes)]) })
}
fn select(cx: &mut Cx) -> R<Out> {
    let id = cx.tensor_id("self")?;
    let v = cx.read_tensor(id)?;
    let axis = wrap(cx.int("dim")?, cx.rank(v)?)?;
    let index = match (cx.size("index")?, cx.known(v, axis)) {
        (Size::Known(i), Some(n)) if i < 0 => Size::Known(i + n),
        (Size::Known(i), None) if i < 0 => {
            let n = cx.dim(v, axis)?;
            cx.size_add(&n, &Size::Known(i))?
        }
        (i, _) => i,
    };
    Ok(Out::View(id, vec![Step::Select(axis, index)]))
}
/// A bound of a slice within `0..=n`.
fn bound(cx: &mut Cx, s: Option<Size>, n: &Size, default: &Size) -> R<Size> {
    let Some(s) = s else { return Ok(default.clone()) };
    match (&s, n) {
        (Size::Known(v), Size::Known(n)) => {
            Ok(Size::Known(if *v < 0 { v.saturating_add(*n).max(0) } else { *v.min(n) }))
        }
        (Size::Known(0), _) => Ok(s),
        (Size::Known(i64::MAX), n) => Ok(n.clone()),
        (Size::Known(v), n) if *v < 0 => {
            let at = cx.size_add(n, &s)?;
            cx.size_op("max", &at, &Size::Known(0), |a, b| Some(a.max(b)))
        }
        _ => cx.size_op("min", &s, n, |a, b| Some(a.min(b))),
    }
}
pub(super) fn range(cx: &mut Cx, v: V, axis: usize) -> R<(Size, Size, i64)> {
    let n = cx.dim(v, axis)?;
    let (start, end, step) = (cx.opt_size("start")?, cx.opt_size("end")?, cx.int_or("step", 1)?);
    if step <= 0 {
        return Err(malformed("a slice must step forward"));
    }
    let start = bound(cx, start, &n, &Size::Known(0))?;
    let end = bound(cx, end, &n, &n)?;
    // Nothing lies between when the end is first.
    let end = match (&start, &end) {
        (Size::Known(a), Size::Known(b)) if b < a => start.clone(),
        _ => end,
    };
    Ok((start, end, step))
}
fn slice(cx: &mut Cx) -> R<Out> {
    let id = cx.tensor_id("self")?;
    let v = cx.read_tensor(id)?;
    let axis = wrap(cx.int_or("dim", 0)?, cx.rank(v)?)?;
    let (start, end, step) = range(cx, v, axis)?;
    Ok(part(id, axis, start, end, step))
}
pub(super) fn part(id: TensorId, axis: usize, start: Size, end: Size, step: i64) -> Out {
    Out::View(id, vec![Step::Slice { axis, start, end, step }])
}
fn narrow(cx: &mut Cx) -> R<Out> {
    let id = cx.tensor_id("self")?;
    let v = cx.read_tensor(id)?;
    let axis = wrap(cx.int("dim")?, cx.rank(v)?)?;
    let start = if cx.is_tensor("start") {
        let s = cx.t("start")?;
        let s = cx.cast(s, DType::I64)?;
        if let Some(n) = cx.graph.const_ints(Some(s)).and_then(|v| v.first().copied()) {
            Size::Known(n)
        } else {
            Size::Value(cx.reshape_to(s, &[1])?)
        }
    } else {
        cx.size("start")?
    };
    let start = match (start, cx.known(v, axis)) {
        (Size::Known(s), Some(n)) if s < 0 => Size::Known(s + n),
        (s, _) => s,
    };
    let length = cx.size("length")?;
    let end = cx.size_add(&start, &length)?;
    Ok(part(id, axis, start, end, 1))
}
fn raised(cx: &mut Cx, id: TensorId, rank: usize) -> R<Out> {
    let v = cx.read_tensor(id)?;
    let axes: Vec<i64> = match (cx.rank(v)?, rank) {
        (0, n) => (0..n as i64).collect(),
        (1, 2) => vec![0],
        (1, 3) => vec![0, 2],
        (2, 3) => vec![2],
        _ => return Ok(Out::Same(id)),
    };
    Ok(Out::View(id, vec![Step::Unsqueeze(axes)]))
}
fn at_least(cx: &mut Cx, rank: usize) -> R<Out> {
    if !cx.has("tensors") {
        let id = cx.tensor_id("self")?;
        return raised(cx, id, rank);
    }
    let ids = cx.tensor_ids("tensors")?;
    Ok(Out::Many(ids.into_iter().map(|id| raised(cx, id, rank)).collect::<R<_>>()?))
}
fn contiguous(cx: &mut Cx) -> R<Out> {
    let id = cx.tensor_id("self")?;
    let plain = matches!(cx.arg("memory_format"), None | Some(Val::MemoryFormat(1)));
    match cx.declared_arg("self").and_then(row_major) {
        Some(true) if plain => Ok(Out::Same(id)),
        Some(false) if plain => Ok(Out::Fresh(cx.read_tensor(id)?)),
        _ => {
            cx.mark_doubtful(id);
            Ok(Out::Fresh(cx.read_tensor(id)?))
        }
    }
}
/// The tensor itself when nothing changes and no copy is asked for.
fn converted(cx: &mut Cx, to: Option<DType>) -> R<Out> {
    let id = cx.tensor_id("self")?;
    let v = cx.read_tensor(id)?;
    let from = cx.dtype(v)?;
    let copy = cx.bool_or("copy", false)?;
    match to {
        Some(to) if to != from => Ok(Out::Fresh(cx.cast(v, to)?)),
        _ if copy => Ok(Out::Fresh(v)),
        _ => Ok(Out::Same(id)),
    }
}
fn to(cx: &mut Cx) -> R<Out> {
    let to = match cx.opt_t("other")? {
        Some(o) => Some(cx.dtype(o)?),
        None => cx.opt_dtype("dtype")?,
    };
    converted(cx, to)
}
fn type_as(cx: &mut Cx) -> R<Out> {
    let other = cx.t("other")?;
    let to = cx.dtype(other)?;
    converted(cx, Some(to))
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reshapes_that_need_no_copy() {
        assert!(viewable(&[2, 3, 4], &[12, 4, 1], &[6, 4]));
        assert!(viewable(&[2, 3, 4], &[12, 4, 1], &[2, 2, 6]));
        // A transposed matrix cannot be flattened.
        assert!(!viewable(&[3, 2], &[1, 3], &[6]));
        // Nor joined across the gap of a slice; within rows it can be split.
        assert!(!viewable(&[2, 3], &[4, 1], &[6]));
        assert!(viewable(&[2, 4], &[8, 1], &[2, 2, 2]));
        assert!(viewable(&[2, 1, 3], &[3, 99, 1], &[6]));
    }
}
