//! Cutting a tensor into pieces and joining pieces.
use super::view::{copied, part};
use crate::pytorch::lift::alias::Step;
use crate::pytorch::lift::alias::TensorId;
use crate::pytorch::lift::cx::{Cx, Out, R, Size, V, malformed, unsupported};
use crate::pytorch::lift::emit::wrap;

/// Rows of this family.
pub(super) const TABLE: super::Table = &[
    ("split", split),
    ("split_copy", |cx| copied(cx, split)),
    ("unsafe_split", |cx| copied(cx, split)),
    ("split_with_sizes", split_sizes),
    ("split_with_sizes_copy", |cx| copied(cx, split_sizes)),
    ("unsafe_split_with_sizes", |cx| copied(cx, split_sizes)),
    ("chunk", chunk),
    ("unsafe_chunk", |cx| copied(cx, chunk)),
    ("tensor_split", tensor_split),
    ("hsplit", |cx| n_split(cx, 1)),
    ("vsplit", |cx| n_split(cx, 0)),
    ("dsplit", |cx| n_split(cx, 2)),
    ("unbind", unbind),
    ("unbind_copy", |cx| copied(cx, unbind)),
    ("cat", cat),
    ("concat", cat),
    ("concatenate", cat),
    ("stack", stack),
    ("_stack", stack),
    ("_chunk_cat", chunk_cat),
    ("hstack", |cx| n_stack(cx, 1, 1)),
    ("vstack", |cx| n_stack(cx, 2, 0)),
    ("dstack", |cx| n_stack(cx, 3, 2)),
    ("column_stack", column_stack),
];

/// Consecutive parts of these sizes.
fn parts(cx: &mut Cx, id: TensorId, axis: usize, sizes: &[Size]) -> R<Out> {
    let mut start = Size::Known(0);
    let mut outs = vec![];
    for s in sizes {
        let end = cx.size_add(&start, s)?;
        outs.push(part(id, axis, start, end.clone(), 1));
        start = end;
    }
    Ok(Out::Many(outs))
}
fn split_axis(cx: &mut Cx) -> R<(TensorId, V, usize)> {
    let id = cx.tensor_id("self")?;
    let v = cx.read_tensor(id)?;
    let axis = wrap(cx.int_or("dim", 0)?, cx.rank(v)?)?;
    Ok((id, v, axis))
}
fn fixed_len(cx: &Cx, v: V, axis: usize) -> R<i64> {
    cx.known(v, axis).ok_or_else(|| unsupported("splitting an axis of dynamic size at these positions"))
}
/// Parts of `size` elements, the last one shorter. Of an axis of dynamic size there are as many as the program names results.
fn equal_parts(cx: &mut Cx, id: TensorId, v: V, axis: usize, size: &Size) -> R<Out> {
    let n = cx.dim(v, axis)?;
    let (Size::Known(n), Size::Known(size)) = (&n, size) else {
        return counted_parts(cx, id, axis, &n, size);
    };
    let (n, size) = (*n, *size);
    if size <= 0 && n > 0 {
        return Err(malformed("parts without elements"));
    }
    let count = if n == 0 { 1 } else { ceil_div(n, size) };
    let sizes: Vec<Size> = (0..count).map(|i| Size::Known(size.min(n - i * size))).collect();
    parts(cx, id, axis, &sizes)
}
fn counted_parts(cx: &mut Cx, id: TensorId, axis: usize, n: &Size, size: &Size) -> R<Out> {
    let count = cx.call.results.len();
    if count == 0 {
        return Err(unsupported("splitting an axis of dynamic size into an unknown number of parts"));
    }
    let mut start = Size::Known(0);
    let mut outs = vec![];
    for i in 0..count {
        // The last one takes what is left.
        let end = if i + 1 == count { n.clone() } else { cx.size_add(&start, size)? };
        outs.push(part(id, axis, start, end.clone(), 1));
        start = end;
    }
    Ok(Out::Many(outs))
}
fn split(cx: &mut Cx) -> R<Out> {
    let (id, v, axis) = split_axis(cx)?;
    if cx.names("split_sizes") {
        let sizes = cx.sizes("split_sizes")?;
        return parts(cx, id, axis, &sizes);
    }
    let size = cx.sizes("split_size")?;
    match size.as_slice() {
        [n] => equal_parts(cx, id, v, axis, n),
        many => parts(cx, id, axis, many),
    }
}
fn split_sizes(cx: &mut Cx) -> R<Out> {
    let (id, _, axis) = split_axis(cx)?;
    let sizes = cx.sizes("split_sizes")?;
    parts(cx, id, axis, &sizes)
}
fn chunk(cx: &mut Cx) -> R<Out> {
    let (id, v, axis) = split_axis(cx)?;
    let chunks = cx.int("chunks")?;
    if chunks <= 0 {
        return Err(malformed("no chunks"));
    }
    let n = cx.dim(v, axis)?;
    if n == Size::Known(0) {
        return parts(cx, id, axis, &vec![Size::Known(0); chunks.min(1 << 16) as usize]);
    }
    let up = cx.size_add(&n, &Size::Known(chunks - 1))?;
    let size = cx.size_op("div", &up, &Size::Known(chunks), i64::checked_div)?;
    equal_parts(cx, id, v, axis, &size)
}
/// Sections as equal as can be, or parts between positions.
fn sections(cx: &mut Cx, id: TensorId, axis: usize, n: i64, by: Result<i64, Vec<i64>>) -> R<Out> {
    let sizes: Vec<i64> = match by {
        Ok(k) if (1..=1 << 16).contains(&k) => (0..k).map(|i| n / k + i64::from(i < n % k)).collect(),
        Ok(_) => return Err(malformed("no sections")),
        Err(at) => {
            let at: Vec<i64> = at.iter().map(|p| if *p < 0 { (p + n).max(0) } else { *p.min(&n) }).collect();
            let starts = std::iter::once(0).chain(at.iter().copied());
            let ends = at.iter().copied().chain([n]);
            let bounds: Vec<(i64, i64)> = starts.zip(ends).collect();
            let outs =
                bounds.into_iter().map(|(a, b)| part(id, axis, a.into(), b.max(a).into(), 1)).collect();
            return Ok(Out::Many(outs));
        }
    };
    let sizes: Vec<Size> = sizes.into_iter().map(Size::Known).collect();
    parts(cx, id, axis, &sizes)
}
fn tensor_split(cx: &mut Cx) -> R<Out> {
    let (id, v, axis) = split_axis(cx)?;
    let n = fixed_len(cx, v, axis)?;
    let by = if cx.has("indices") {
        Err(cx.ints("indices")?)
    } else if cx.has("sections") {
        Ok(cx.int("sections")?)
    } else {
        let t = cx.t("tensor_indices_or_sections")?;
        match cx.graph.const_ints(Some(t)) {
            Some(list) if cx.rank(t)? == 0 => Ok(list.first().copied().unwrap_or(0)),
            Some(list) => Err(list),
            // The program names each of the sections.
            None if cx.rank(t)? == 0 && !cx.call.results.is_empty() => Ok(cx.call.results.len() as i64),
            None => return computed_parts(cx, id, axis, n, t),
        }
    };
    sections(cx, id, axis, n, by)
}
/// Parts between computed positions, counted as Python's slices are.
fn computed_parts(cx: &mut Cx, id: TensorId, axis: usize, n: i64, at: V) -> R<Out> {
    let count = match cx.fixed_sizes(at)?[..] {
        [k] if k <= 1 << 16 => k,
        _ => return Err(unsupported("splitting at computed positions")),
    };
    let below = cx.bn("less", at, 0.0)?;
    let moved = cx.bn("add", at, n as f64)?;
    let at = cx.choose(below, moved, at)?;
    let (low, high) = (cx.num(at, 0.0)?, cx.num(at, n as f64)?);
    let at = cx.b("max", at, low)?;
    let at = cx.b("min", at, high)?;
    let mut places = vec![];
    for i in 0..count {
        places.push(cx.slice_known(at, 0, i, i + 1)?);
    }
    let mut start = Size::Known(0);
    let mut outs = vec![];
    for i in 0..=count as usize {
        let end = match places.get(i) {
            None => Size::Known(n),
            Some(p) => Size::Value(match start {
                Size::Known(_) => *p,
                Size::Value(s) => cx.b("max", *p, s)?,
            }),
        };
        outs.push(part(id, axis, start, end, 1));
        start = places.get(i).map_or(Size::Known(n), |p| Size::Value(*p));
    }
    Ok(Out::Many(outs))
}
fn n_split(cx: &mut Cx, axis: usize) -> R<Out> {
    let id = cx.tensor_id("self")?;
    let v = cx.read_tensor(id)?;
    let axis = axis.min(cx.rank(v)?.saturating_sub(1));
    let n = fixed_len(cx, v, axis)?;
    let by = if cx.has("indices") { Err(cx.ints("indices")?) } else { Ok(cx.int("sections")?) };
    sections(cx, id, axis, n, by)
}
fn unbind(cx: &mut Cx) -> R<Out> {
    let (id, v, axis) = split_axis(cx)?;
    let n = fixed_len(cx, v, axis)?;
    if n > 1 << 16 {
        return Err(unsupported(format!("{n} results")));
    }
    Ok(Out::Many((0..n).map(|i| Out::View(id, vec![Step::Select(axis, Size::Known(i))])).collect()))
}
/// Operands in their common type.
fn joined(cx: &mut Cx, name: &str) -> R<Vec<V>> {
    let xs = cx.ts(name)?;
    let operands: Vec<_> = xs.iter().map(|x| crate::pytorch::lift::cx::Operand::Tensor(*x)).collect();
    let dtype = cx.common(&operands.iter().collect::<Vec<_>>())?;
    xs.into_iter().map(|x| cx.cast(x, dtype)).collect()
}
fn cat(cx: &mut Cx) -> R<Out> {
    let xs = joined(cx, "tensors")?;
    let rank = xs.iter().map(|x| cx.rank(*x)).collect::<R<Vec<_>>>()?.into_iter().max().unwrap_or(1);
    // An empty line joins anything.
    let mut kept = vec![];
    for x in &xs {
        if !(rank != 1 && cx.known_sizes(*x) == Some(vec![0])) {
            kept.push(*x);
        }
    }
    let axis = wrap(cx.int_or("dim", 0)?, rank)?;
    Ok(Out::Fresh(cx.concat(&kept, axis)?))
}
fn stack(cx: &mut Cx) -> R<Out> {
    let xs = joined(cx, "tensors")?;
    let first = xs.first().copied().ok_or_else(|| malformed("nothing to stack"))?;
    let axis = wrap(cx.int_or("dim", 0)?, cx.rank(first)? + 1)?;
    let xs = xs.into_iter().map(|x| cx.unsqueeze(x, &[axis as i64])).collect::<R<Vec<_>>>()?;
    Ok(Out::Fresh(cx.concat(&xs, axis)?))
}
/// Tensors filled up with zeros to `num_chunks` equal parts of an axis, each part with what follows that axis as one line, side by side.
fn chunk_cat(cx: &mut Cx) -> R<Out> {
    let xs = cx.ts("tensors")?;
    let chunks = cx.int("num_chunks")?;
    let first = xs.first().copied().ok_or_else(|| malformed("nothing to join"))?;
    let axis = wrap(cx.int("dim")?, cx.rank(first)?)?;
    if chunks < 1 {
        return Err(malformed("no chunks"));
    }
    let mut parts = vec![];
    for x in xs {
        let sizes = cx.fixed_sizes(x)?;
        let n = sizes.get(axis).copied().ok_or_else(|| malformed("tensors of different ranks"))?;
        let mut pads = vec![0; 2 * sizes.len()];
        pads[sizes.len() + axis] = ceil_div(n, chunks) * chunks - n;
        let (pads, zero) = (cx.int_list(&pads), cx.num(x, 0.0)?);
        let wide = cx.op("pad", &[x, pads, zero])?;
        let mut rows = sizes[..axis].to_vec();
        rows.extend([chunks, -1]);
        parts.push(cx.reshape_to(wide, &rows)?);
    }
    Ok(Out::Fresh(cx.concat(&parts, axis + 1)?))
}
fn n_stack(cx: &mut Cx, rank: usize, axis: usize) -> R<Out> {
    let xs = joined(cx, "tensors")?;
    let mut high = vec![];
    for x in xs {
        let axes: Vec<i64> = match (cx.rank(x)?, rank) {
            (0, n) => (0..n as i64).collect(),
            (1, 2) => vec![0],
            (1, 3) => vec![0, 2],
            (2, 3) => vec![2],
            _ => vec![],
        };
        high.push(cx.unsqueeze(x, &axes)?);
    }
    let first = high.first().copied().ok_or_else(|| malformed("nothing to stack"))?;
    let axis = axis.min(cx.rank(first)? - 1);
    Ok(Out::Fresh(cx.concat(&high, axis)?))
}
fn column_stack(cx: &mut Cx) -> R<Out> {
    let xs = joined(cx, "tensors")?;
    let mut high = vec![];
    for x in xs {
        high.push(if cx.rank(x)? < 2 { cx.reshape_to(x, &[-1, 1])? } else { x });
    }
    Ok(Out::Fresh(cx.concat(&high, 1)?))
}

/// Quotient rounded up, of a size and a positive number.
fn ceil_div(n: i64, by: i64) -> i64 {
    n / by + i64::from(n % by != 0)
}
