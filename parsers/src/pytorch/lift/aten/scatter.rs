//! Writing to positions of a tensor, as pure operators.
use super::index::{cut_to, indexed_axes, to_front, tuple};
use super::reduce::{at_least_1d, back};
use super::strided::diagonal_of;
use super::view::range;
use crate::pytorch::lift::alias::Step;
use crate::pytorch::lift::cx::{Cx, Operand, Out, R, Size, V, malformed, unsupported};
use crate::pytorch::lift::emit::wrap;
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;

pub(super) const TABLE: super::Table = &[
    ("copy", copy),
    ("fill", fill),
    ("zero", zero),
    ("index_put", |cx| index_put(cx, false)),
    ("_unsafe_index_put", |cx| index_put(cx, false)),
    ("_index_put_impl", |cx| index_put(cx, false)),
    ("_unsafe_masked_index_put_accumulate", |cx| index_put(cx, true)),
    ("index_add", index_add),
    ("index_copy", index_copy),
    ("index_fill", index_fill),
    ("scatter", |cx| scatter(cx, "none")),
    ("scatter_add", |cx| scatter(cx, "add")),
    ("scatter_reduce", scatter_reduce),
    ("index_reduce", index_reduce),
    ("masked_scatter", masked_scatter),
    ("select_scatter", select_scatter),
    ("slice_scatter", slice_scatter),
    ("diagonal_scatter", diagonal_scatter),
    ("put", put),
];

/// `src` in the type and sizes of the tensor it is copied to.
fn copy(cx: &mut Cx) -> R<Out> {
    let (x, src) = (cx.t("self")?, cx.t("src")?);
    let dtype = cx.dtype(x)?;
    let y = cx.cast(src, dtype)?;
    Ok(Out::Fresh(cx.expand_like(y, x)?))
}
fn filled(cx: &mut Cx, value: &Operand) -> R<Out> {
    let x = cx.t("self")?;
    let dtype = cx.dtype(x)?;
    let v = cx.value_of(value, dtype)?;
    let sizes = cx.shape_of(x)?;
    Ok(Out::Fresh(cx.full(&sizes, v)?))
}
fn fill(cx: &mut Cx) -> R<Out> {
    let value = cx.operand("value")?;
    filled(cx, &value)
}
fn zero(cx: &mut Cx) -> R<Out> {
    filled(cx, &Operand::Scalar(crate::pytorch::lift::cx::Scalar::Int(Size::Known(0))))
}
fn reduction(word: &str) -> [(&'static str, Attr); 1] {
    [("reduction", Attr::Str(word.to_owned()))]
}
fn index_put(cx: &mut Cx, masked: bool) -> R<Out> {
    let x = cx.t("self")?;
    let list = cx.opt_ts("indices")?;
    let values = cx.t("values")?;
    let add = masked || cx.bool_or("accumulate", false)?;
    cx.bool_or("unsafe", false)?;
    let dtype = cx.dtype(x)?;
    let mut values = cx.cast(values, dtype)?;
    let list = if masked {
        let mask = cx.t("mask")?;
        let none = cx.num(values, 0.0)?;
        values = cx.choose(mask, values, none)?;
        super::index::clamped(cx, x, list)?
    } else {
        list
    };
    // One mask over leading axes and one value: a choice.
    if let [Some(mask)] = list[..]
        && cx.dtype(mask)? == DType::Bool
        && cx.known_len(values) == Some(1)
        && !add
    {
        let extra = cx.rank(x)? - cx.rank(mask)?;
        let from = cx.rank(mask)? as i64;
        let mask = cx.unsqueeze(mask, &(from..from + extra as i64).collect::<Vec<_>>())?;
        let value = cx.reshape_to(values, &[])?;
        return Ok(Out::Fresh(cx.choose(mask, value, x)?));
    }
    let pairs = indexed_axes(cx, x, list)?;
    if pairs.is_empty() {
        return Err(malformed("no index"));
    }
    let axes: Vec<usize> = pairs.iter().map(|p| p.0).collect();
    let (first, last) = (axes[0], axes[axes.len() - 1]);
    let adjacent = last - first + 1 == axes.len();
    let at = tuple(cx, x, &pairs)?;
    let at_rank = cx.rank(at)? - 1;
    let (front, perm) = to_front(cx, x, &axes)?;
    // Values come in the axes that reading would give: [before.., index.., behind..] or [index.., others..].
    let mut sizes: Vec<Size> = (0..at_rank).map(|i| cx.dim(at, i)).collect::<R<_>>()?;
    for i in axes.len()..cx.rank(front)? {
        sizes.push(cx.dim(front, i)?);
    }
    let values = if adjacent && first > 0 {
        let n = sizes.len();
        let order: Vec<usize> =
            (at_rank..at_rank + first).chain(0..at_rank).chain(at_rank + first..n).collect();
        let seen: Vec<Size> = order.iter().map(|i| sizes[*i].clone()).collect();
        let values = cx.expand(values, &seen)?;
        let mut inverse = vec![0; n];
        for (i, o) in order.into_iter().enumerate() {
            inverse[o] = i;
        }
        cx.permute(values, &inverse)?
    } else {
        cx.expand(values, &sizes)?
    };
    let y = added(cx, "scatter_nd", &[front, at, values], if add { "add" } else { "none" }, None)?;
    let mut inverse = vec![0; perm.len()];
    for (i, p) in perm.into_iter().enumerate() {
        inverse[p] = i;
    }
    Ok(Out::Fresh(cx.permute(y, &inverse)?))
}
/// A scatter; sums of truth values are disjunctions, which go through integers.
fn added(cx: &mut Cx, op: &str, xs: &[V; 3], how: &str, axis: Option<usize>) -> R<V> {
    let dtype = cx.dtype(xs[0])?;
    let widen = dtype == DType::Bool && how != "none";
    let (x, src) =
        if widen { (cx.cast(xs[0], DType::I32)?, cx.cast(xs[2], DType::I32)?) } else { (xs[0], xs[2]) };
    let mut attrs = reduction(how).to_vec();
    attrs.extend(axis.map(|a| ("axis", Attr::Int(a as i64))));
    let y = cx.with(op, &[x, xs[1], src], &attrs)?;
    cx.cast(y, dtype)
}
/// A line of positions in the sizes of `src`, along `axis`.
fn spread(cx: &mut Cx, at: V, src: V, axis: usize) -> R<V> {
    let (at, _) = at_least_1d(cx, at)?;
    let at = cx.cast(at, DType::I64)?;
    let mut line = vec![1; cx.rank(src)?];
    line[axis] = -1;
    let at = cx.reshape_to(at, &line)?;
    cx.expand_like(at, src)
}
/// `self`, positions and source of the `index_*` family, 0-d tensors as lines.
fn parts(cx: &mut Cx) -> R<(V, V, V, usize, bool)> {
    let (x, at, src) = (cx.t("self")?, cx.t("index")?, cx.t("source")?);
    let axis = wrap(cx.int("dim")?, cx.rank(x)?)?;
    let dtype = cx.dtype(x)?;
    let src = cx.cast(src, dtype)?;
    let ((x, scalar), (src, _)) = (at_least_1d(cx, x)?, at_least_1d(cx, src)?);
    let at = spread(cx, at, src, axis)?;
    Ok((x, at, src, axis, scalar))
}
fn index_add(cx: &mut Cx) -> R<Out> {
    let (x, at, src, axis, scalar) = parts(cx)?;
    let dtype = cx.dtype(x)?;
    let src = match cx.opt_operand("alpha")? {
        Some(k) if !k.is_one() => {
            let k = cx.value_of(&k, dtype)?;
            super::arithmetic::times(cx, src, k)?
        }
        _ => src,
    };
    let y = added(cx, "scatter_elements", &[x, at, src], "add", Some(axis))?;
    Ok(Out::Fresh(back(cx, y, scalar)?))
}
fn index_copy(cx: &mut Cx) -> R<Out> {
    let (x, at, src, axis, scalar) = parts(cx)?;
    let y = added(cx, "scatter_elements", &[x, at, src], "none", Some(axis))?;
    Ok(Out::Fresh(back(cx, y, scalar)?))
}
fn index_fill(cx: &mut Cx) -> R<Out> {
    let (x, at, value) = (cx.t("self")?, cx.t("index")?, cx.operand("value")?);
    let axis = wrap(cx.int("dim")?, cx.rank(x)?)?;
    let dtype = cx.dtype(x)?;
    let value = cx.value_of(&value, dtype)?;
    let (x, scalar) = at_least_1d(cx, x)?;
    let (at, _) = at_least_1d(cx, at)?;
    let mut sizes = cx.shape_of(x)?;
    sizes[axis] = cx.dim(at, 0)?;
    let src = cx.expand(value, &sizes)?;
    let at = spread(cx, at, src, axis)?;
    let y = added(cx, "scatter_elements", &[x, at, src], "none", Some(axis))?;
    Ok(Out::Fresh(back(cx, y, scalar)?))
}
fn scatter(cx: &mut Cx, how: &str) -> R<Out> {
    let how = match cx.str_or("reduce", "")? {
        "" => how,
        "add" => "add",
        "multiply" => "mul",
        other => return Err(malformed(format!("reduction `{other}` is unknown"))),
    };
    let (x, at) = (cx.t("self")?, cx.t("index")?);
    let dtype = cx.dtype(x)?;
    let axis = wrap(cx.int("dim")?, cx.rank(x)?)?;
    let ((x, scalar), (at, _)) = (at_least_1d(cx, x)?, at_least_1d(cx, at)?);
    let src = if let Some(s) = cx.opt_t("src")? {
        let (s, _) = at_least_1d(cx, s)?;
        cut_source(cx, s, at)?
    } else {
        let v = cx.operand("value")?;
        let v = cx.value_of(&v, dtype)?;
        cx.expand_like(v, at)?
    };
    let y = added(cx, "scatter_elements", &[x, at, src], how, Some(axis))?;
    Ok(Out::Fresh(back(cx, y, scalar)?))
}
/// PyTorch lets the source be larger than the positions.
fn cut_source(cx: &mut Cx, src: V, at: V) -> R<V> {
    cut_to(cx, src, at, usize::MAX)
}
fn scatter_reduce(cx: &mut Cx) -> R<Out> {
    let how = &cx.str_or("reduce", "")?.to_owned();
    let include = cx.bool_or("include_self", true)?;
    let (x, at, src) = (cx.t("self")?, cx.t("index")?, cx.t("src")?);
    let axis = wrap(cx.int("dim")?, cx.rank(x)?)?;
    let ((x, scalar), (at, _), (src, _)) = (at_least_1d(cx, x)?, at_least_1d(cx, at)?, at_least_1d(cx, src)?);
    let src = cut_source(cx, src, at)?;
    let y = reduced(cx, x, at, src, axis, how, include)?;
    Ok(Out::Fresh(back(cx, y, scalar)?))
}
fn index_reduce(cx: &mut Cx) -> R<Out> {
    let how = &cx.str_or("reduce", "")?.to_owned();
    let include = cx.bool_or("include_self", true)?;
    let (x, at, src, axis, scalar) = parts(cx)?;
    let y = reduced(cx, x, at, src, axis, how, include)?;
    Ok(Out::Fresh(back(cx, y, scalar)?))
}
/// Reduction of `src` into `x` at positions; without `include` what was there does not count where something arrives.
fn reduced(cx: &mut Cx, x: V, at: V, src: V, axis: usize, how: &str, include: bool) -> R<V> {
    let dtype = cx.dtype(x)?;
    let (word, neutral) = match how {
        "sum" | "mean" => ("add", 0.0),
        "prod" => ("mul", 1.0),
        "amax" => ("max", f64::NEG_INFINITY),
        "amin" => ("min", f64::INFINITY),
        other => return Err(malformed(format!("reduction `{other}` is unknown"))),
    };
    let start = if include {
        x
    } else {
        let v = match (word, dtype.is_float()) {
            ("max" | "min", false) => {
                let (low, high) =
                    dtype.int_range().ok_or_else(|| unsupported(format!("extrema of {dtype}")))?;
                let end = if word == "max" { low } else { high };
                let end = i64::try_from(end).map_err(|_| unsupported(format!("extrema of {dtype}")))?;
                cx.int_of(dtype, end)?
            }
            _ => cx.num(x, neutral)?,
        };
        let v = cx.expand_like(v, at)?;
        added(cx, "scatter_elements", &[x, at, v], "none", Some(axis))?
    };
    let y = added(cx, "scatter_elements", &[start, at, src], word, Some(axis))?;
    if how != "mean" {
        return Ok(y);
    }
    let one = cx.num(x, 1.0)?;
    let ones = cx.expand_like(one, at)?;
    let base = cx.num(x, if include { 1.0 } else { 0.0 })?;
    let base = cx.expand_like(base, x)?;
    let n = added(cx, "scatter_elements", &[base, at, ones], "add", Some(axis))?;
    let n = cx.bn("max", n, 1.0)?;
    if dtype.is_float() { cx.b("div", y, n) } else { super::arithmetic::floor_quotient(cx, y, n) }
}
/// True places take the source's elements in order.
fn masked_scatter(cx: &mut Cx) -> R<Out> {
    let (x, mask, src) = (cx.t("self")?, cx.t("mask")?, cx.t("source")?);
    let x = {
        // The mask may have more axes.
        let no = cx.b("and", mask, mask)?;
        if cx.rank(no)? > cx.rank(x)? { cx.expand_like(x, no)? } else { x }
    };
    let mask = cx.expand_like(mask, x)?;
    let sizes = cx.shape_of(x)?;
    let flat = cx.reshape_to(mask, &[-1])?;
    let count = cx.cast(flat, DType::I64)?;
    let at = super::cumulate::running_sum(cx, count, 0)?;
    let at = cx.bn("sub", at, 1.0)?;
    let at = cx.bn("max", at, 0.0)?;
    let src = cx.reshape_to(src, &[-1])?;
    let new = cx.gather(src, at, 0)?;
    let new = cx.reshape(new, &sizes)?;
    Ok(Out::Fresh(cx.choose(mask, new, x)?))
}
fn source(cx: &mut Cx, x: V) -> R<V> {
    let src = cx.t("src")?;
    let dtype = cx.dtype(x)?;
    cx.cast(src, dtype)
}
fn select_scatter(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let axis = wrap(cx.int("dim")?, cx.rank(x)?)?;
    let i = cx.int("index")?;
    let i = if i < 0 {
        i + cx.known(x, axis).ok_or_else(|| unsupported("a position from the end of a dynamic axis"))?
    } else {
        i
    };
    let src = source(cx, x)?;
    let src = cx.unsqueeze(src, &[axis as i64])?;
    Ok(Out::Fresh(cx.replace_slice(x, axis, (&Size::Known(i), &Size::Known(i + 1), 1), src)?))
}
fn slice_scatter(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let axis = wrap(cx.int_or("dim", 0)?, cx.rank(x)?)?;
    let (start, end, step) = range(cx, x, axis)?;
    let src = source(cx, x)?;
    Ok(Out::Fresh(cx.replace_slice(x, axis, (&start, &end, step), src)?))
}
fn diagonal_scatter(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let sizes = cx.fixed_sizes(x)?;
    let (a, b) = (wrap(cx.int_or("dim1", 0)?, sizes.len())?, wrap(cx.int_or("dim2", 1)?, sizes.len())?);
    let (at, out) = diagonal_of(&sizes, a, b, cx.int_or("offset", 0)?)?;
    let src = source(cx, x)?;
    let id = cx.new_tensor(x, crate::pytorch::lift::alias::Owner::Local);
    let view = cx.new_view(id, vec![Step::Pick(at, out)])?;
    cx.write_tensor(view, src)?;
    Ok(Out::Fresh(cx.read_tensor(id)?))
}
/// Positions of the flattened tensor.
fn put(cx: &mut Cx) -> R<Out> {
    let (x, at, src) = (cx.t("self")?, cx.t("index")?, cx.t("source")?);
    let add = cx.bool_or("accumulate", false)?;
    let sizes = cx.shape_of(x)?;
    let (flat, at, src) = (cx.reshape_to(x, &[-1])?, cx.reshape_to(at, &[-1])?, cx.reshape_to(src, &[-1])?);
    let y = added(cx, "scatter_elements", &[flat, at, src], if add { "add" } else { "none" }, Some(0))?;
    Ok(Out::Fresh(cx.reshape(y, &sizes)?))
}
