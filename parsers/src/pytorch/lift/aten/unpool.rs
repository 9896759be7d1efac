//! The reverse of max pooling.
use crate::pytorch::lift::cx::{Cx, Out, R, Size, V};
use hoist_ir::attr::Attr;

pub(super) const TABLE: super::Table = &[
    ("max_unpool2d", |cx| max_unpool(cx, 2)),
    ("max_unpool3d", |cx| max_unpool(cx, 3)),
    ("max_pool2d_with_indices_backward", pool_backward),
];

/// Channels flattened over their spatial axes.
fn lines(cx: &mut Cx, x: V, axes: usize, last: Size) -> R<V> {
    let rank = cx.rank(x)?;
    let mut sizes = cx.shape_of(x)?;
    sizes.truncate(rank - axes);
    sizes.push(last);
    cx.reshape(x, &sizes)
}
fn max_unpool(cx: &mut Cx, axes: usize) -> R<Out> {
    let (x, at) = (cx.t("self")?, cx.t("indices")?);
    let out = cx.sizes("output_size")?;
    cx.ints_or_empty("stride")?;
    cx.ints_or_empty("padding")?;
    let rank = cx.rank(x)?;
    let mut sizes = cx.shape_of(x)?;
    sizes.truncate(rank - axes);
    let area = cx.size_product(&out)?;
    let mut flat = sizes.clone();
    flat.push(area);
    let zero = cx.num(x, 0.0)?;
    let empty = cx.full(&flat, zero)?;
    let (x, at) = (lines(cx, x, axes, Size::Known(-1))?, lines(cx, at, axes, Size::Known(-1))?);
    let axis = [("axis", Attr::Int((rank - axes) as i64))];
    let y = cx.with("scatter_elements", &[empty, at, x], &axis)?;
    sizes.extend(out);
    Ok(Out::Fresh(cx.reshape(y, &sizes)?))
}
/// Gradients added up at the positions the maxima came from.
fn pool_backward(cx: &mut Cx) -> R<Out> {
    let (grad, x, at) = (cx.t("grad_output")?, cx.t("self")?, cx.t("indices")?);
    for name in ["kernel_size", "stride", "padding", "dilation"] {
        cx.ints_or_empty(name)?;
    }
    cx.bool_or("ceil_mode", false)?;
    let sizes = cx.shape_of(x)?;
    let zero = cx.num(x, 0.0)?;
    let empty = cx.full(&sizes, zero)?;
    let area = Size::Known(-1);
    let (empty, grad, at) =
        (lines(cx, empty, 2, area.clone())?, lines(cx, grad, 2, area.clone())?, lines(cx, at, 2, area)?);
    let axis = cx.rank(empty)? as i64 - 1;
    let attrs = [("axis", Attr::Int(axis)), ("reduction", Attr::Str("add".into()))];
    let y = cx.with("scatter_elements", &[empty, at, grad], &attrs)?;
    Ok(Out::Fresh(cx.reshape(y, &sizes)?))
}
