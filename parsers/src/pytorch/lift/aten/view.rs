//! Views and their copies, joining and splitting.
use crate::pytorch::lift::alias::Step;
use crate::pytorch::lift::alias::TensorId;
use crate::pytorch::lift::cx::{Cx, Meta, Out, R, Size, V, Val, malformed, unsupported};
use crate::pytorch::lift::emit::wrap;
use hoist_ir::attr::Attr;
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
    ("diagonal", diagonal),
    ("linalg_diagonal", diagonal),
    ("diagonal_copy", |cx| copied(cx, diagonal)),
    ("unfold", unfold),
    ("unfold_copy", |cx| copied(cx, unfold)),
    ("as_strided", as_strided),
    ("as_strided_scatter", as_strided_scatter),
    ("as_strided_copy", |cx| copied(cx, as_strided)),
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
    ("resize_as", resize_as),
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
fn row_major(meta: &Meta) -> Option<bool> {
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
/// Elements where two positions differ by `offset`, as the last axis.
fn diagonal(cx: &mut Cx) -> R<Out> {
    let id = cx.tensor_id(if cx.names("A") { "A" } else { "self" })?;
    let v = cx.read_tensor(id)?;
    let rank = cx.rank(v)?;
    let linalg = cx.target().contains("linalg");
    let (a, b) = if linalg { (-2, -1) } else { (0, 1) };
    let (a, b) = (wrap(cx.int_or("dim1", a)?, rank)?, wrap(cx.int_or("dim2", b)?, rank)?);
    let offset = cx.int_or("offset", 0)?;
    let sizes = cx.fixed_sizes(v)?;
    let (pick, out) = diagonal_of(&sizes, a, b, offset)?;
    Ok(Out::View(id, vec![Step::Pick(pick, out)]))
}
/// Flat positions of a diagonal and the sizes of the result.
pub(super) fn diagonal_of(sizes: &[i64], a: usize, b: usize, offset: i64) -> R<(Vec<i64>, Vec<i64>)> {
    if a == b {
        return Err(malformed("a diagonal needs two dimensions"));
    }
    let strides = strides_of(sizes)?;
    let (down, right) = ((-offset).max(0), offset.max(0));
    let n = (sizes[a] - down).min(sizes[b] - right).max(0);
    let rest: Vec<usize> = (0..sizes.len()).filter(|i| *i != a && *i != b).collect();
    let mut out: Vec<i64> = rest.iter().map(|i| sizes[*i]).collect();
    let mut steps: Vec<i64> = rest.iter().map(|i| strides[*i]).collect();
    out.push(n);
    steps.push(strides[a] + strides[b]);
    Ok((positions(&out, &steps, down * strides[a] + right * strides[b])?, out))
}
/// Row-major strides.
fn strides_of(sizes: &[i64]) -> R<Vec<i64>> {
    let mut out = vec![1i64; sizes.len()];
    for i in (0..sizes.len().saturating_sub(1)).rev() {
        out[i] = out[i + 1].checked_mul(sizes[i + 1]).ok_or_else(|| malformed("sizes overflow"))?;
    }
    Ok(out)
}
/// Most elements a view by positions may have.
const MAX_PICKED: i64 = 1 << 24;

/// Flat positions of a strided view.
fn positions(sizes: &[i64], strides: &[i64], offset: i64) -> R<Vec<i64>> {
    let count = sizes.iter().try_fold(1i64, |a, b| a.checked_mul(*b)).filter(|n| *n <= MAX_PICKED);
    let count = count.ok_or_else(|| unsupported("a strided view of this size"))?;
    let mut out = Vec::with_capacity(count.max(0) as usize);
    if sizes.is_empty() {
        return Ok(vec![offset]);
    }
    super::pool::each(sizes, &mut |at| {
        out.push(at.iter().zip(strides).fold(offset, |p, (i, s)| p.saturating_add(i.saturating_mul(*s))));
    });
    Ok(out)
}
/// Overlapping windows of an axis, as the last axis.
fn unfold(cx: &mut Cx) -> R<Out> {
    let id = cx.tensor_id("self")?;
    let v = cx.read_tensor(id)?;
    let (size, step) = (cx.int("size")?, cx.int("step")?);
    let Some(sizes) = cx.known_sizes(v) else {
        let axis = wrap(cx.int("dimension")?, cx.rank(v)?)?;
        let y = windows(cx, v, axis, size, step)?;
        // A write to the windows would have to go to the tensor.
        cx.mark_doubtful(id);
        return Ok(Out::Fresh(y));
    };
    let axis = wrap(cx.int("dimension")?, sizes.len())?;
    if sizes.is_empty() {
        return Ok(Out::View(id, vec![Step::Pick(vec![0; size.clamp(0, 1) as usize], vec![size])]));
    }
    if step <= 0 || size < 0 || size > sizes[axis] {
        return Err(malformed("a window larger than its axis"));
    }
    let strides = strides_of(&sizes)?;
    let (mut out, mut steps) = (sizes.clone(), strides.clone());
    out[axis] = (sizes[axis] - size) / step + 1;
    steps[axis] *= step;
    out.push(size);
    steps.push(strides[axis]);
    Ok(Out::View(id, vec![Step::Pick(positions(&out, &steps, 0)?, out)]))
}
/// [`unfold`] where sizes are dynamic: positions of the windows are computed.
fn windows(cx: &mut Cx, x: V, axis: usize, size: i64, step: i64) -> R<V> {
    if step <= 0 || size < 0 || cx.known(x, axis).is_some_and(|n| size > n) {
        return Err(malformed("a window larger than its axis"));
    }
    let rest = cx.dim(x, axis)?;
    let rest = cx.size_add(&rest, &Size::Known(-size))?;
    let count = cx.size_op("div", &rest, &Size::Known(step), i64::checked_div)?;
    let count = cx.size_add(&count, &Size::Known(1))?;
    let (first, within) = (cx.iota(&count)?, cx.iota(&Size::Known(size))?);
    let first = cx.bn("mul", first, step as f64)?;
    let first = cx.unsqueeze(first, &[1])?;
    let at = cx.b("add", first, within)?;
    let y = cx.gather(x, at, axis)?;
    let mut perm: Vec<usize> = (0..cx.rank(y)?).filter(|i| *i != axis + 1).collect();
    perm.push(axis + 1);
    cx.permute(y, &perm)
}
/// A view by strides of the storage, which must itself be dense and row-major.
fn as_strided(cx: &mut Cx) -> R<Out> {
    let id = cx.tensor_id("self")?;
    let (sizes, strides) = (cx.sizes("size")?, cx.sizes("stride")?);
    let meta = cx.declared_arg("self");
    let dense = meta.is_some_and(|m| row_major(m) == Some(true));
    if !dense || !cx.is_whole(id) || sizes.len() != strides.len() {
        return Err(unsupported("a strided view of a tensor that is itself a view"));
    }
    let offset = cx.int_or("storage_offset", 0)?;
    let v = cx.read_tensor(id)?;
    if offset == 0 && sizes.iter().any(|s| matches!(s, Size::Value(_))) && lies_row_by_row(&sizes, &strides) {
        return Ok(Out::View(id, vec![Step::Reshape(sizes, cx.shape_of(v)?)]));
    }
    let n = cx.known_len(v).ok_or_else(|| unsupported("a strided view of dynamic sizes"))?;
    let (sizes, strides) = (cx.ints("size")?, cx.ints("stride")?);
    let at = positions(&sizes, &strides, offset)?;
    if at.iter().any(|p| !(0..n).contains(p)) {
        return Err(malformed("a strided view leaves its storage"));
    }
    Ok(Out::View(id, vec![Step::Pick(at, sizes)]))
}
/// Whether these strides are those of a new tensor of these sizes, of which the first one other than 1 may be dynamic.
fn lies_row_by_row(sizes: &[Size], strides: &[Size]) -> bool {
    let mut expected = Some(1i64);
    sizes.iter().zip(strides).rev().all(|(size, stride)| {
        if *size == Size::Known(1) {
            return true;
        }
        let fits = expected.is_some_and(|e| *stride == Size::Known(e));
        expected = match (expected, size) {
            (Some(e), Size::Known(n)) => e.checked_mul(*n),
            _ => None,
        };
        fits
    })
}
/// `src` written to a strided view of a copy.
fn as_strided_scatter(cx: &mut Cx) -> R<Out> {
    let (x, src) = (cx.t("self")?, cx.t("src")?);
    let (sizes, strides, offset) = (cx.ints("size")?, cx.ints("stride")?, cx.int_or("storage_offset", 0)?);
    let dense = cx.declared_arg("self").is_none_or(|m| row_major(m) == Some(true));
    let now = cx.fixed_sizes(x)?;
    let n = cx.known_len(x).unwrap_or(0);
    if !dense || sizes.len() != strides.len() {
        return Err(unsupported("a strided view of a tensor that is itself a view"));
    }
    let at = positions(&sizes, &strides, offset)?;
    let mut seen = at.clone();
    seen.sort_unstable();
    seen.dedup();
    if seen.len() != at.len() {
        return Err(unsupported("writing to a strided view that shows elements twice"));
    }
    if at.iter().any(|p| !(0..n).contains(p)) {
        return Err(malformed("a strided view leaves its storage"));
    }
    let (flat, new) = (cx.reshape_to(x, &[-1])?, cx.reshape_to(src, &[-1])?);
    let at = cx.int_list(&at);
    let y = cx.with("scatter_elements", &[flat, at, new], &[("axis", Attr::Int(0))])?;
    Ok(Out::Fresh(cx.reshape_to(y, &now)?))
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
/// Other sizes for the storage; growing it would show memory that holds nothing.
fn resize_as(cx: &mut Cx) -> R<Out> {
    let (id, like) = (cx.tensor_id("self")?, cx.t("the_template")?);
    let v = cx.read_tensor(id)?;
    let (now, to) = (cx.fixed_sizes(v)?, cx.fixed_sizes(like)?);
    let (n, m) = (now.iter().product::<i64>(), to.iter().product::<i64>());
    if m > n {
        return Err(unsupported("a tensor that grows shows memory without content"));
    }
    Ok(Out::View(id, vec![Step::Pick((0..m).collect(), to)]))
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

    #[test]
    fn diagonals() {
        assert_eq!(diagonal_of(&[3, 4], 0, 1, 1).unwrap(), (vec![1, 6, 11], vec![3]));
        assert_eq!(diagonal_of(&[3, 4], 0, 1, -1).unwrap(), (vec![4, 9], vec![2]));
        assert_eq!(diagonal_of(&[2, 2, 2], 0, 2, 0).unwrap(), (vec![0, 5, 2, 7], vec![2, 2]));
    }
}
