//! Writes to diagonals.
use crate::pytorch::lift::cx::{Cx, Out, R, Size, V, malformed};
use hoist_ir::attr::Attr;

pub(super) const TABLE: super::Table = &[("fill_diagonal", fill)];

/// A number on the main diagonal; with `wrap`, that of a tall matrix begins again below each full square and a row.
fn fill(cx: &mut Cx) -> R<Out> {
    let (x, value) = (cx.t("self")?, cx.operand("fill_value")?);
    let dtype = cx.dtype(x)?;
    let value = cx.value_of(&value, dtype)?;
    let sizes = cx.shape_of(x)?;
    let on = match (&sizes[..], cx.bool_or("wrap", false)?) {
        ([] | [_], _) => return Err(malformed("a diagonal of a tensor of fewer than two dimensions")),
        ([_, width], true) => wrapped(cx, &sizes, &width.clone())?,
        _ => main(cx, &sizes)?,
    };
    Ok(Out::Fresh(cx.choose(on, value, x)?))
}
/// Where all positions are equal.
fn main(cx: &mut Cx, sizes: &[Size]) -> R<V> {
    let mut positions = vec![];
    for (axis, size) in sizes.iter().enumerate() {
        let at = cx.iota(size)?;
        let mut line = vec![1; sizes.len()];
        line[axis] = -1;
        positions.push(cx.reshape_to(at, &line)?);
    }
    let mut on: Option<V> = None;
    for pair in positions.windows(2) {
        let same = cx.b("equal", pair[0], pair[1])?;
        on = Some(match on {
            Some(on) => cx.b("and", on, same)?,
            None => same,
        });
    }
    on.ok_or_else(|| malformed("a diagonal of nothing"))
}
/// Every `width + 1`-th element.
fn wrapped(cx: &mut Cx, sizes: &[Size], width: &Size) -> R<V> {
    let count = cx.size_product(sizes)?;
    let all = cx.iota(&count)?;
    let step = cx.size_add(width, &Size::Known(1))?;
    let step = cx.size_value(&step);
    let rest = cx.with("mod", &[all, step], &[("fmod", Attr::Bool(false))])?;
    let on = cx.bn("equal", rest, 0.0)?;
    cx.reshape(on, sizes)
}
