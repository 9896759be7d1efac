//! Operators that only change how axes are counted.
use super::{Change, Edit, Fixed, Mode, Site, Slot, positions, resolved_all};
use crate::layout::solve::order::Order;
use hoist_ir::attr::Attr;
use hoist_ir::tensor::Tensor;

/// The permutation of a `transpose`.
pub fn permutation(site: Site<'_>) -> Option<Order> {
    let Some(Attr::Ints(perm)) = site.op().def().attr("perm") else { return None };
    Order::of_perm(&perm, site.rank(Slot::In(0))?)
}

/// A `transpose` moves nothing when both sides are stored alike.
pub fn transpose(site: Site<'_>, slot: Slot, order: Order) -> Result<Mode, Fixed> {
    let perm = permutation(site).ok_or("the permutation is not known")?;
    let (before, after) = match slot {
        Slot::In(_) => (order, perm.inverse().then(&order)),
        Slot::Out(_) => (perm.then(&order), order),
    };
    let mut mode = site.kept().takes(0, before).gives(0, after);
    mode.change = Change::Vanish;
    Ok(mode)
}

/// Axes that a `squeeze` removes.
fn squeezed(site: Site<'_>) -> Result<Vec<usize>, Fixed> {
    let shape = site.shape(Slot::In(0)).ok_or("the rank is not known")?;
    if site.has(1) {
        let axes = site.ints(1).ok_or("the axes are not constant")?;
        return resolved_all(&axes, shape.len());
    }
    if shape.iter().any(|d| d.known().is_none()) {
        return Err("the axes of size 1 are not known");
    }
    Ok((0..shape.len()).filter(|i| shape[*i].known() == Some(1)).collect())
}

/// `squeeze` with the axes where they are stored.
pub fn squeeze(site: Site<'_>, slot: Slot, order: Order) -> Result<Mode, Fixed> {
    let axes = squeezed(site)?;
    let (before, after) = match slot {
        Slot::In(_) => (order, order.without(&axes)),
        Slot::Out(_) => (order.with(&axes), order),
    };
    let list = Tensor::from_ints(&positions(&before, &axes));
    Ok(site.kept().takes(0, before).gives(0, after).edit(1, Edit::Const(list)))
}

/// `unsqueeze` with the new axes where they are stored.
pub fn unsqueeze(site: Site<'_>, slot: Slot, order: Order) -> Result<Mode, Fixed> {
    let axes = site.ints(1).ok_or("the axes are not constant")?;
    let axes = resolved_all(&axes, site.ranked(Slot::Out(0))?)?;
    let (before, after) = match slot {
        Slot::In(0) => (order, order.with(&axes)),
        Slot::In(_) => return Err("the axes are a list"),
        Slot::Out(_) => (order.without(&axes), order),
    };
    let list = Tensor::from_ints(&positions(&after, &axes));
    Ok(site.kept().takes(0, before).gives(0, after).edit(1, Edit::Const(list)))
}
