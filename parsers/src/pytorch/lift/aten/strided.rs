//! Views by strides: diagonals, windows, and the elements of a storage at given distances.
use super::view::{copied, row_major};
use crate::pytorch::lift::alias::Step;
use crate::pytorch::lift::cx::{Cx, Out, R, Size, V, malformed, unsupported};
use crate::pytorch::lift::emit::wrap;
use hoist_ir::attr::Attr;

pub(super) const TABLE: super::Table = &[
    ("diagonal", diagonal),
    ("linalg_diagonal", diagonal),
    ("diagonal_copy", |cx| copied(cx, diagonal)),
    ("unfold", unfold),
    ("unfold_copy", |cx| copied(cx, unfold)),
    ("as_strided", as_strided),
    ("as_strided_scatter", as_strided_scatter),
    ("as_strided_copy", |cx| copied(cx, as_strided)),
    ("resize_as", resize_as),
];

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
    fn diagonals() {
        assert_eq!(diagonal_of(&[3, 4], 0, 1, 1).unwrap(), (vec![1, 6, 11], vec![3]));
        assert_eq!(diagonal_of(&[3, 4], 0, 1, -1).unwrap(), (vec![4, 9], vec![2]));
        assert_eq!(diagonal_of(&[2, 2, 2], 0, 2, 0).unwrap(), (vec![0, 5, 2, 7], vec![2, 2]));
    }
}
