//! Picking elements by positions.
use super::reduce::{at_least_1d, back};
use crate::pytorch::lift::cx::{Cx, Operand, Out, R, Size, V, malformed, unsupported};
use crate::pytorch::lift::emit::wrap;
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;

pub(super) const TABLE: super::Table = &[
    ("index", index),
    ("_unsafe_index", index),
    ("_unsafe_masked_index", unsafe_masked_index),
    ("index_select", index_select),
    ("gather", gather),
    ("take", take),
    ("take_along_dim", take_along_dim),
    ("embedding", embedding),
    ("embedding_bag", embedding_bag),
    ("_embedding_bag", embedding_bag),
    ("nonzero", nonzero),
    ("nonzero_numpy", nonzero_numpy),
    ("argwhere", nonzero),
    ("nonzero_static", nonzero_static),
    ("masked_select", masked_select),
    ("roll", roll),
    ("flip", flip),
    ("fliplr", |cx| flipped(cx, &[1])),
    ("flipud", |cx| flipped(cx, &[0])),
    ("rot90", rot90),
    ("repeat", repeat),
    ("tile", repeat),
    ("repeat_interleave", repeat_interleave),
    ("tril", |cx| triangle(cx, false)),
    ("triu", |cx| triangle(cx, true)),
    ("combinations", combinations),
    ("cartesian_prod", cartesian_prod),
    ("unravel_index", unravel_index),
];

/// Positions as `i64`, negative ones counted from the end.
fn positions(cx: &mut Cx, at: V, n: &Size) -> R<V> {
    let at = cx.cast(at, DType::I64)?;
    if let Some(t) = cx.graph.constant(at)
        && t.to_i64s().is_ok_and(|v| v.iter().all(|i| *i >= 0))
    {
        return Ok(at);
    }
    let n = cx.size_scalar(n)?;
    let below = cx.bn("less", at, 0.0)?;
    let moved = cx.b("add", at, n)?;
    cx.choose(below, moved, at)
}
/// Index tensors with the axes they index; masks become one index tensor per axis they cover.
pub(super) fn indexed_axes(cx: &mut Cx, x: V, list: Vec<Option<V>>) -> R<Vec<(usize, V)>> {
    let (mut axis, mut out) = (0, vec![]);
    let rank = cx.rank(x)?;
    for i in list {
        let Some(i) = i else {
            axis += 1;
            continue;
        };
        if matches!(cx.dtype(i)?, DType::Bool | DType::U8) {
            let covered = cx.rank(i)?;
            let mask = cx.cast(i, DType::Bool)?;
            let all = nonzero_of(cx, mask)?;
            for k in 0..covered {
                out.push((axis + k, cx.select(all, 1, k as i64)?));
            }
            axis += covered;
        } else {
            out.push((axis, i));
            axis += 1;
        }
    }
    if axis > rank {
        return Err(malformed(format!("{axis} indices for {rank} dimensions")));
    }
    Ok(out)
}
/// `x[list]`: indices are broadcast; their axes go where they stood when adjacent, else to the front.
fn index(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let list = cx.opt_ts("indices")?;
    Ok(Out::Fresh(indexed(cx, x, list)?))
}
fn indexed(cx: &mut Cx, x: V, list: Vec<Option<V>>) -> R<V> {
    let pairs = indexed_axes(cx, x, list)?;
    let axes: Vec<usize> = pairs.iter().map(|p| p.0).collect();
    let (Some(first), Some(last)) = (axes.first().copied(), axes.last().copied()) else {
        return cx.u("identity", x);
    };
    if let [(axis, at)] = pairs[..] {
        let n = cx.dim(x, axis)?;
        let at = positions(cx, at, &n)?;
        return cx.gather(x, at, axis);
    }
    let adjacent = last - first + 1 == axes.len();
    let at = tuple(cx, x, &pairs)?;
    let at_rank = cx.rank(at)? - 1;
    let (front, _) = to_front(cx, x, &axes)?;
    let y = cx.op("gather_nd", &[front, at])?;
    if !adjacent || first == 0 {
        return Ok(y);
    }
    // [index axes.., axes before.., axes behind..] -> index axes between the others.
    let rank = cx.rank(y)?;
    let perm: Vec<usize> =
        (at_rank..at_rank + first).chain(0..at_rank).chain(at_rank + first..rank).collect();
    cx.permute(y, &perm)
}
/// Index tensors broadcast and stacked as the last axis.
pub(super) fn tuple(cx: &mut Cx, x: V, pairs: &[(usize, V)]) -> R<V> {
    let mut all = vec![];
    for (axis, at) in pairs {
        let n = cx.dim(x, *axis)?;
        all.push(positions(cx, *at, &n)?);
    }
    // Adding zeros of the others' sizes broadcasts, whatever is known of them.
    let known: Option<Vec<Vec<i64>>> = all.iter().map(|v| cx.known_sizes(*v)).collect();
    let same = known.as_ref().is_some_and(|k| k.windows(2).all(|w| w[0] == w[1]));
    if !same {
        let zero = cx.constant(Tensor::scalar(0i64));
        let mut shape = zero;
        for v in &all {
            let z = cx.b("mul", *v, zero)?;
            shape = cx.b("add", shape, z)?;
        }
        all = all.into_iter().map(|v| cx.b("add", v, shape)).collect::<R<_>>()?;
    }
    let last = cx.rank(all[0])?;
    let wide = all.into_iter().map(|v| cx.unsqueeze(v, &[last as i64])).collect::<R<Vec<_>>>()?;
    cx.concat(&wide, last)
}
/// The axes first, the others behind in order; with the permutation.
pub(super) fn to_front(cx: &mut Cx, x: V, axes: &[usize]) -> R<(V, Vec<usize>)> {
    let rank = cx.rank(x)?;
    let perm: Vec<usize> = axes.iter().copied().chain((0..rank).filter(|a| !axes.contains(a))).collect();
    Ok((cx.permute(x, &perm)?, perm))
}
/// Positions outside give `fill`.
fn unsafe_masked_index(cx: &mut Cx) -> R<Out> {
    let (x, mask) = (cx.t("self")?, cx.t("mask")?);
    let list = cx.opt_ts("indices")?;
    let fill = cx.operand("fill")?;
    let list = clamped(cx, x, list)?;
    let y = indexed(cx, x, list)?;
    let dtype = cx.dtype(y)?;
    let fill = cx.value_of(&fill, dtype)?;
    Ok(Out::Fresh(cx.choose(mask, y, fill)?))
}
/// Positions brought into their axes.
pub(super) fn clamped(cx: &mut Cx, x: V, list: Vec<Option<V>>) -> R<Vec<Option<V>>> {
    let mut out = vec![];
    for (axis, i) in list.into_iter().enumerate() {
        out.push(match i {
            None => None,
            Some(i) => {
                let i = cx.cast(i, DType::I64)?;
                let n = cx.dim(x, axis)?;
                let last = cx.size_add(&n, &Size::Known(-1))?;
                let last = cx.size_scalar(&last)?;
                let i = cx.bn("max", i, 0.0)?;
                Some(cx.b("min", i, last)?)
            }
        });
    }
    Ok(out)
}
fn index_select(cx: &mut Cx) -> R<Out> {
    let (x, at) = (cx.t("self")?, cx.t("index")?);
    let axis = wrap(cx.int("dim")?, cx.rank(x)?)?;
    let (x, scalar) = at_least_1d(cx, x)?;
    let (at, _) = at_least_1d(cx, at)?;
    let y = cx.gather(x, at, axis)?;
    Ok(Out::Fresh(back(cx, y, scalar)?))
}
fn gather(cx: &mut Cx) -> R<Out> {
    let (x, at) = (cx.t("self")?, cx.t("index")?);
    cx.bool_or("sparse_grad", false)?;
    let axis = wrap(cx.int("dim")?, cx.rank(x)?.max(cx.rank(at)?))?;
    let scalar = cx.rank(at)? == 0;
    let at = cx.cast(at, DType::I64)?;
    let ((x, _), (at, _)) = (at_least_1d(cx, x)?, at_least_1d(cx, at)?);
    if cx.rank(x)? != cx.rank(at)? {
        // Only where nothing is taken.
        if cx.known_len(at) != Some(0) {
            return Err(malformed("positions with another number of axes than the tensor"));
        }
        let (sizes, zero) = (cx.shape_of(at)?, cx.num(x, 0.0)?);
        return Ok(Out::Fresh(cx.full(&sizes, zero)?));
    }
    // PyTorch lets the positions be smaller along other axes.
    let x = cut_to(cx, x, at, axis)?;
    let y = cx.with("gather_elements", &[x, at], &[("axis", Attr::Int(axis as i64))])?;
    Ok(Out::Fresh(back(cx, y, scalar)?))
}
/// `x` cut to the sizes of `like` along all axes but one.
pub(super) fn cut_to(cx: &mut Cx, x: V, like: V, axis: usize) -> R<V> {
    let mut x = x;
    for i in 0..cx.rank(like)?.min(cx.rank(x)?) {
        let same = cx.known(x, i).is_some() && cx.known(x, i) == cx.known(like, i);
        if i != axis && !same && cx.dims(x)?[i] != cx.dims(like)?[i] {
            let n = cx.dim(like, i)?;
            x = cx.slice(x, i, &Size::Known(0), &n, 1)?;
        }
    }
    Ok(x)
}
fn take(cx: &mut Cx) -> R<Out> {
    let (x, at) = (cx.t("self")?, cx.t("index")?);
    let flat = cx.reshape_to(x, &[-1])?;
    let n = cx.dim(flat, 0)?;
    let at = positions(cx, at, &n)?;
    Ok(Out::Fresh(cx.gather(flat, at, 0)?))
}
fn take_along_dim(cx: &mut Cx) -> R<Out> {
    let (x, at) = (cx.t("self")?, cx.t("indices")?);
    if !cx.has("dim") {
        let (x, at) = (cx.reshape_to(x, &[-1])?, cx.reshape_to(at, &[-1])?);
        let n = cx.dim(x, 0)?;
        let at = positions(cx, at, &n)?;
        return Ok(Out::Fresh(cx.gather(x, at, 0)?));
    }
    let axis = wrap(cx.int("dim")?, cx.rank(x)?)?;
    // Both are broadcast along the other axes.
    let mut sizes = vec![];
    for i in 0..cx.rank(x)? {
        let (a, b) = (cx.dim(x, i)?, cx.dim(at, i)?);
        sizes.push(if a == Size::Known(1) { (b.clone(), b) } else { (a.clone(), a) });
    }
    sizes[axis] = (cx.dim(x, axis)?, cx.dim(at, axis)?);
    let (to_x, to_at): (Vec<Size>, Vec<Size>) = sizes.into_iter().unzip();
    let (x, at) = (cx.expand(x, &to_x)?, cx.expand(at, &to_at)?);
    let n = cx.dim(x, axis)?;
    let at = positions(cx, at, &n)?;
    Ok(Out::Fresh(cx.with("gather_elements", &[x, at], &[("axis", Attr::Int(axis as i64))])?))
}
fn embedding(cx: &mut Cx) -> R<Out> {
    let (w, at) = (cx.t("weight")?, cx.t("indices")?);
    // These concern gradients only.
    for name in ["padding_idx", "scale_grad_by_freq", "sparse"] {
        cx.has(name);
    }
    Ok(Out::Fresh(cx.gather(w, at, 0)?))
}
/// Sums, means or maxima of looked-up rows, per bag.
fn embedding_bag(cx: &mut Cx) -> R<Out> {
    let (w, at, starts) = (cx.t("weight")?, cx.t("indices")?, cx.t("offsets")?);
    for name in ["scale_grad_by_freq", "sparse"] {
        cx.has(name);
    }
    let (mode, closed) = (cx.int_or("mode", 0)?, cx.bool_or("include_last_offset", false)?);
    let padding = if cx.has("padding_idx") { cx.int("padding_idx")? } else { -1 };
    let (at, starts) = (cx.cast(at, DType::I64)?, cx.cast(starts, DType::I64)?);
    let weights = cx.opt_t("per_sample_weights")?;
    let dtype = cx.dtype(w)?;
    let rows = cx.gather(w, at, 0)?;
    let n = cx.dim(at, 0)?;
    let bags = if closed { super::cumulate::slice_until(cx, starts, 0, -1)? } else { starts };
    // Bag of an element: number of starts at or before it, less one. Membership as a matrix [bags, elements].
    let line = cx.iota(&n)?;
    let column = cx.unsqueeze(line, &[1])?;
    let begun = cx.b("less_or_equal", bags, column)?;
    let begun = cx.cast(begun, DType::I64)?;
    let bag = cx.reduce("reduce_sum", begun, &[1], false)?;
    let bag = cx.bn("sub", bag, 1.0)?;
    let count = cx.dim(bags, 0)?;
    let each = cx.iota(&count)?;
    let each = cx.unsqueeze(each, &[1])?;
    let mut member = cx.b("equal", each, bag)?;
    if padding >= 0 {
        let pad = cx.bn("equal", at, padding as f64)?;
        let real = cx.u("not", pad)?;
        member = cx.b("and", member, real)?;
    }
    let matrix = cx.cast(member, dtype)?;
    let mut place = None;
    let sizes = cx.reduce("reduce_sum", matrix, &[1], true)?;
    let y = match mode {
        0 | 1 => {
            let m = match weights {
                Some(s) => cx.b("mul", matrix, s)?,
                None => matrix,
            };
            let total = super::linear::matmul(cx, m, rows)?;
            if mode == 0 {
                total
            } else {
                let some = cx.bn("max", sizes, 1.0)?;
                cx.b("div", total, some)?
            }
        }
        2 => {
            let rows = cx.unsqueeze(rows, &[0])?;
            let member = cx.unsqueeze(member, &[2])?;
            let low = cx.num(rows, f64::NEG_INFINITY)?;
            let own = cx.choose(member, rows, low)?;
            let y = cx.reduce("reduce_max", own, &[1], false)?;
            let first =
                cx.with("arg_max", &[own], &[("axis", Attr::Int(1)), ("keepdims", Attr::Bool(false))])?;
            place = Some(cx.gather(at, first, 0)?);
            let empty = cx.bn("equal", sizes, 0.0)?;
            let zero = cx.num(y, 0.0)?;
            cx.choose(empty, zero, y)?
        }
        _ => return Err(malformed(format!("embedding_bag mode {mode}"))),
    };
    let sizes = cx.squeeze(sizes, &[1])?;
    let sizes = cx.cast(sizes, DType::I64)?;
    // The other results serve gradients; only those that nothing reads can be made up.
    let most = cx.declared(3).map_or(1, |m| m.sizes.len());
    let none = match place {
        _ if most == 1 => sizes,
        Some(at) => at,
        None => cx.int_list(&[]),
    };
    // PyTorch leaves the bags out where its kernel has no use for them.
    let unused = cx.declared(1).is_some_and(|m| m.sizes == [Some(0)]);
    let bag = if unused { cx.int_list(&[]) } else { bag };
    Ok(Out::Many(vec![Out::Fresh(y), Out::Fresh(bag), Out::Fresh(sizes), Out::Fresh(none)]))
}
/// Positions of true elements as rows.
pub(super) fn nonzero_of(cx: &mut Cx, x: V) -> R<V> {
    let at = cx.u("non_zero", x)?;
    cx.permute(at, &[1, 0])
}
fn nonzero(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let x = cx.cast(x, DType::Bool)?;
    if cx.rank(x)? == 0 {
        // One row without columns, or none.
        let line = cx.reshape_to(x, &[1])?;
        let at = nonzero_of(cx, line)?;
        return Ok(Out::Fresh(cx.slice_known(at, 1, 0, 0)?));
    }
    Ok(Out::Fresh(nonzero_of(cx, x)?))
}
fn nonzero_numpy(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let x = cx.cast(x, DType::Bool)?;
    nonzero_tuple(cx, x)
}
/// One line of positions per axis.
pub(super) fn nonzero_tuple(cx: &mut Cx, x: V) -> R<Out> {
    let (x, _) = at_least_1d(cx, x)?;
    let at = nonzero_of(cx, x)?;
    let rank = cx.rank(x)?;
    Ok(Out::Many((0..rank).map(|i| cx.select(at, 1, i as i64).map(Out::Fresh)).collect::<R<_>>()?))
}
/// The first positions, as many as asked for, the rest filled.
fn nonzero_static(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let (n, fill) = (cx.int("size")?, cx.int_or("fill_value", -1)?);
    let rank = cx.rank(x)?;
    let x = cx.cast(x, DType::Bool)?;
    let (x, scalar) = at_least_1d(cx, x)?;
    let at = nonzero_of(cx, x)?;
    let at = if scalar { cx.slice_known(at, 1, 0, 0)? } else { at };
    let fill = cx.constant(Tensor::scalar(fill));
    let rest = cx.full(&[Size::Known(n), Size::Known(rank as i64)], fill)?;
    let all = cx.concat(&[at, rest], 0)?;
    Ok(Out::Fresh(cx.slice(all, 0, &Size::Known(0), &Size::Known(n), 1)?))
}
fn masked_select(cx: &mut Cx) -> R<Out> {
    let (x, mask) = (cx.t("self")?, cx.t("mask")?);
    // Broadcast against each other.
    let no = cx.cast(x, DType::Bool)?;
    let no = cx.b("xor", no, no)?;
    let mask = cx.b("or", mask, no)?;
    let x = cx.expand_like(x, mask)?;
    let (x, mask) = (cx.reshape_to(x, &[-1])?, cx.reshape_to(mask, &[-1])?);
    Ok(Out::Fresh(cx.with("compress", &[x, mask], &[("axis", Attr::Int(0))])?))
}
fn rolled(cx: &mut Cx, x: V, axis: usize, by: i64) -> R<V> {
    let n = cx.known(x, axis).ok_or_else(|| unsupported("rolling an axis of dynamic size"))?;
    let by = if n == 0 { 0 } else { by.rem_euclid(n) };
    if by == 0 {
        return Ok(x);
    }
    let (a, b) = (cx.slice_known(x, axis, n - by, n)?, cx.slice_known(x, axis, 0, n - by)?);
    cx.concat(&[a, b], axis)
}
fn roll(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let (by, dims) = (cx.ints("shifts")?, cx.ints_or_empty("dims")?);
    let rank = cx.rank(x)?;
    if dims.is_empty() {
        let sizes = cx.shape_of(x)?;
        let flat = cx.reshape_to(x, &[-1])?;
        let y = rolled(cx, flat, 0, by.first().copied().unwrap_or(0))?;
        return Ok(Out::Fresh(cx.reshape(y, &sizes)?));
    }
    let mut y = x;
    for (b, d) in by.iter().zip(dims) {
        if rank > 0 {
            y = rolled(cx, y, wrap(d, rank)?, *b)?;
        }
    }
    Ok(Out::Fresh(y))
}
fn reverse(cx: &mut Cx, x: V, axes: &[usize]) -> R<V> {
    if axes.is_empty() || cx.rank(x)? == 0 {
        return Ok(x);
    }
    let n = axes.len();
    let (start, end) = (cx.int_list(&vec![-1; n]), cx.int_list(&vec![i64::MIN; n]));
    let at = cx.int_list(&axes.iter().map(|a| *a as i64).collect::<Vec<_>>());
    let step = cx.int_list(&vec![-1; n]);
    cx.op("slice", &[x, start, end, at, step])
}
fn flip(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let rank = cx.rank(x)?;
    let axes: Vec<usize> = cx.ints("dims")?.into_iter().map(|d| wrap(d, rank)).collect::<R<_>>()?;
    Ok(Out::Fresh(reverse(cx, x, &axes)?))
}
fn flipped(cx: &mut Cx, axes: &[usize]) -> R<Out> {
    let x = cx.t("self")?;
    Ok(Out::Fresh(reverse(cx, x, axes)?))
}
fn rot90(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let rank = cx.rank(x)?;
    let k = cx.int_or("k", 1)?.rem_euclid(4);
    let dims = if cx.has("dims") { cx.ints("dims")? } else { vec![0, 1] };
    let [a, b] = dims[..] else { return Err(malformed("a rotation needs two dimensions")) };
    let (a, b) = (wrap(a, rank)?, wrap(b, rank)?);
    let y = match k {
        0 => x,
        1 => {
            let y = reverse(cx, x, &[b])?;
            cx.swap(y, a, b)?
        }
        2 => reverse(cx, x, &[a, b])?,
        _ => {
            let y = reverse(cx, x, &[a])?;
            cx.swap(y, a, b)?
        }
    };
    Ok(Out::Fresh(y))
}
fn repeat(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let mut times = cx.sizes(if cx.has("repeats") { "repeats" } else { "dims" })?;
    let rank = cx.rank(x)?;
    while times.len() < rank {
        times.insert(0, Size::Known(1));
    }
    let lead = times.len() - rank;
    let x = cx.unsqueeze(x, &(0..lead as i64).collect::<Vec<_>>())?;
    if times.is_empty() {
        return Ok(Out::Fresh(x));
    }
    let times = cx.shape_value(&times)?;
    Ok(Out::Fresh(cx.b("tile", x, times)?))
}
fn repeat_interleave(cx: &mut Cx) -> R<Out> {
    if !cx.names("self") {
        // Only the positions.
        cx.has("output_size");
        let counts = cx.t("repeats")?;
        let counts = cx.cast(counts, DType::I64)?;
        return Ok(Out::Fresh(repeats(cx, counts, 0, counts)?));
    }
    let x = cx.t("self")?;
    if cx.has("output_size") {
        cx.size("output_size")?;
    }
    let times = cx.operand("repeats")?;
    let (x, axis) = if cx.has("dim") {
        let axis = wrap(cx.int("dim")?, cx.rank(x)?)?;
        (x, axis)
    } else {
        (cx.reshape_to(x, &[-1])?, 0)
    };
    let counts = match times {
        Operand::Scalar(crate::pytorch::lift::cx::Scalar::Int(k)) => {
            let n = cx.dim(x, axis)?;
            let wide = cx.unsqueeze(x, &[axis as i64 + 1])?;
            let mut sizes = cx.shape_of(x)?;
            sizes.insert(axis + 1, k.clone());
            let wide = cx.expand(wide, &sizes)?;
            sizes.remove(axis + 1);
            sizes[axis] = cx.size_mul(&n, &k)?;
            return Ok(Out::Fresh(cx.reshape(wide, &sizes)?));
        }
        Operand::Tensor(t) => match cx.graph.const_ints(Some(t)) {
            None => return repeated(cx, x, axis, t),
            counts => counts,
        },
        Operand::Scalar(_) | Operand::Number(_) => None,
    };
    let counts = counts.ok_or_else(|| unsupported("repeating by computed counts"))?;
    let mut at = vec![];
    let n = cx.known(x, axis).unwrap_or(counts.len() as i64);
    for i in 0..n {
        let k = if counts.len() == 1 { counts.first() } else { counts.get(i as usize) };
        let k =
            k.copied().filter(|k| (0..=1 << 20).contains(k)).ok_or_else(|| malformed("bad repeat counts"))?;
        at.extend(std::iter::repeat_n(i, k as usize));
        if at.len() > 1 << 24 {
            return Err(unsupported("this many repetitions"));
        }
    }
    let at = cx.int_list(&at);
    Ok(Out::Fresh(cx.gather(x, at, axis)?))
}
/// Positions of an axis, each as often as `counts` says: position `i` of the result is past that many running sums.
fn repeated(cx: &mut Cx, x: V, axis: usize, counts: V) -> R<Out> {
    let counts = cx.cast(counts, DType::I64)?;
    let at = repeats(cx, x, axis, counts)?;
    Ok(Out::Fresh(cx.gather(x, at, axis)?))
}
fn repeats(cx: &mut Cx, x: V, axis: usize, counts: V) -> R<V> {
    let n = cx.dim(x, axis)?;
    let counts = cx.reshape_to(counts, &[-1])?;
    let counts = if cx.known(counts, 0) == Some(1) { cx.expand(counts, &[n])? } else { counts };
    let ends = super::cumulate::running_sum(cx, counts, 0)?;
    let total = cx.reduce("reduce_sum", counts, &[0], true)?;
    let line = cx.iota(&Size::Value(total))?;
    let line = cx.unsqueeze(line, &[1])?;
    let past = cx.b("greater_or_equal", line, ends)?;
    let past = cx.cast(past, DType::I64)?;
    cx.reduce("reduce_sum", past, &[1], false)
}
fn triangle(cx: &mut Cx, upper: bool) -> R<Out> {
    let x = cx.t("self")?;
    let k = cx.int_or("diagonal", 0)?;
    let dtype = cx.dtype(x)?;
    let k = cx.constant(Tensor::scalar(k));
    let y = cx.with("trilu", &[x, k], &[("upper", Attr::Bool(upper))])?;
    Ok(Out::Fresh(cx.cast(y, dtype)?))
}
fn combinations(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let (r, again) = (cx.int_or("r", 2)?, cx.bool_or("with_replacement", false)?);
    let n = cx.known(x, 0).ok_or_else(|| unsupported("combinations of a dynamic number of elements"))?;
    if r <= 0 {
        let zero = cx.num(x, 0.0)?;
        return Ok(Out::Fresh(cx.full(&[Size::Known(0)], zero)?));
    }
    let mut rows: Vec<Vec<i64>> = vec![vec![]];
    for _ in 0..r {
        let longer = rows.iter().flat_map(|row| {
            let from = row.last().map_or(0, |l| if again { *l } else { l + 1 });
            (from..n).map(move |i| row.iter().copied().chain([i]).collect::<Vec<i64>>())
        });
        rows = longer.take(1 << 20).collect();
        if rows.len() >= 1 << 20 {
            return Err(unsupported("this many combinations"));
        }
    }
    let at: Vec<i64> = rows.iter().flatten().copied().collect();
    let at = cx.constant(Tensor::from_vec(&[rows.len(), r as usize], at));
    Ok(Out::Fresh(cx.gather(x, at, 0)?))
}
fn cartesian_prod(cx: &mut Cx) -> R<Out> {
    let xs = cx.ts("tensors")?;
    if let [x] = xs[..] {
        return Ok(Out::Fresh(cx.u("identity", x)?));
    }
    let n = xs.len();
    let sizes = xs.iter().map(|x| cx.dim(*x, 0)).collect::<R<Vec<_>>>()?;
    let mut columns = vec![];
    for (i, x) in xs.into_iter().enumerate() {
        let mut line = vec![1; n];
        line[i] = -1;
        let x = if cx.known(x, 0) == Some(0) { x } else { cx.reshape_to(x, &line)? };
        let x = cx.expand(x, &sizes)?;
        columns.push(cx.reshape_to(x, &[-1, 1])?);
    }
    Ok(Out::Fresh(cx.concat(&columns, 1)?))
}
fn unravel_index(cx: &mut Cx) -> R<Out> {
    let at = cx.t(if cx.has("indices") { "indices" } else { "self" })?;
    let sizes = cx.ints("shape")?;
    let mut rest = at;
    let mut out = vec![];
    for n in sizes.iter().rev() {
        let n = cx.num(rest, *n as f64)?;
        out.push(Out::Fresh(cx.b("mod", rest, n)?));
        rest = cx.b("div", rest, n)?;
    }
    out.reverse();
    Ok(Out::Many(out))
}
