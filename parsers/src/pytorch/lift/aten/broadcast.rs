//! Broadcasting to given sizes, and back.
use super::view::{copied, target};
use crate::pytorch::lift::alias::Step;
use crate::pytorch::lift::alias::TensorId;
use crate::pytorch::lift::cx::{Cx, Out, R, Size, malformed};

/// Rows of this family.
pub(super) const TABLE: super::Table = &[
    ("expand", expand),
    ("expand_copy", |cx| copied(cx, expand)),
    ("broadcast_to", expand),
    ("expand_as", expand_as),
    ("broadcast_tensors", broadcast_tensors),
    ("meshgrid", meshgrid),
    ("sum_to_size", sum_to_size),
];

/// The sizes of the result, -1 keeping the operand's.
fn expand(cx: &mut Cx) -> R<Out> {
    let id = cx.tensor_id("self")?;
    cx.bool_or("implicit", false)?;
    let v = cx.read_tensor(id)?;
    let mut sizes = target(cx, "size")?;
    let lead = sizes.len().saturating_sub(cx.rank(v)?);
    for (i, s) in sizes.iter_mut().enumerate().skip(lead) {
        if *s == Size::Known(-1) {
            *s = cx.dim(v, i - lead)?;
        }
    }
    Ok(Out::View(id, vec![Step::Expand(sizes)]))
}
fn expand_as(cx: &mut Cx) -> R<Out> {
    let (id, other) = (cx.tensor_id("self")?, cx.t("other")?);
    let sizes = cx.shape_of(other)?;
    Ok(Out::View(id, vec![Step::Expand(sizes)]))
}
fn broadcast_tensors(cx: &mut Cx) -> R<Out> {
    let ids = cx.tensor_ids("tensors")?;
    let mut sizes: Vec<Size> = vec![];
    for id in &ids {
        let v = cx.read_tensor(*id)?;
        let own = cx.shape_of(v)?;
        while sizes.len() < own.len() {
            sizes.insert(0, Size::Known(1));
        }
        let lead = sizes.len() - own.len();
        for (i, s) in own.into_iter().enumerate() {
            if sizes[lead + i] == Size::Known(1) {
                sizes[lead + i] = s;
            }
        }
    }
    Ok(Out::Many(ids.into_iter().map(|id| Out::View(id, vec![Step::Expand(sizes.clone())])).collect()))
}
fn meshgrid(cx: &mut Cx) -> R<Out> {
    let ids = cx.tensor_ids("tensors")?;
    let xy = cx.str_or("indexing", "ij")? == "xy" && ids.len() >= 2;
    let place = |i: usize| if xy && i < 2 { 1 - i } else { i };
    let mut sizes = vec![Size::Known(1); ids.len()];
    let mut lines = vec![];
    for (i, id) in ids.iter().enumerate() {
        let v = cx.read_tensor(*id)?;
        let n = if cx.rank(v)? == 0 { Size::Known(1) } else { cx.dim(v, 0)? };
        sizes[place(i)] = n.clone();
        let mut line = vec![Size::Known(1); ids.len()];
        line[place(i)] = n;
        lines.push((line, cx.shape_of(v)?));
    }
    let view = |(id, (line, from)): (TensorId, (Vec<Size>, Vec<Size>))| {
        Out::View(id, vec![Step::Reshape(line, from), Step::Expand(sizes.clone())])
    };
    Ok(Out::Many(ids.into_iter().zip(lines).map(view).collect()))
}
fn sum_to_size(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let to = cx.sizes("size")?;
    let now = cx.shape_of(x)?;
    let lead = now.len().checked_sub(to.len()).ok_or_else(|| malformed("more sizes than dimensions"))?;
    let mut axes: Vec<usize> = (0..lead).collect();
    axes.extend((lead..now.len()).filter(|i| to[i - lead] == Size::Known(1) && now[*i] != Size::Known(1)));
    let y = if axes.is_empty() { cx.u("identity", x)? } else { cx.reduce("reduce_sum", x, &axes, true)? };
    Ok(Out::Fresh(cx.reshape(y, &to)?))
}
