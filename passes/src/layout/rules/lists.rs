//! Operators that take a list with an entry, or two, for each axis.
use super::{Edit, Fixed, Mode, Site, Slot, elementwise, resolved};
use crate::layout::solve::order::Order;
use hoist_ir::attr::Attr;
use hoist_ir::tensor::Tensor;

fn through(site: Site<'_>, order: Order) -> Mode {
    site.kept().takes(0, order).gives(0, order)
}

/// Positions of the entries of `order` in a list of beginnings and ends.
fn both(order: &Order) -> Vec<i64> {
    order.axes().chain(order.axes().map(|a| a + order.rank())).map(|a| a as i64).collect()
}

/// `expand` to the sizes in the other order.
pub fn expand(site: Site<'_>, slot: Slot, order: Order) -> Result<Mode, Fixed> {
    let rank = site.ranked(Slot::Out(0))?;
    if slot == Slot::In(1) {
        return Err("the sizes are a list");
    }
    let full = order.widened(rank);
    let mode = elementwise::broadcast(site, site.kept().gives(0, full), 0, full)?;
    let edit = match (site.list_len(1), site.ints(1)) {
        (_, Some(sizes)) if sizes.len() <= rank => {
            let lead = rank - sizes.len();
            let size = |a: usize| a.checked_sub(lead).map_or(1, |a| sizes[a]);
            Edit::Const(Tensor::from_ints(&full.axes().map(size).collect::<Vec<_>>()))
        }
        (Some(n), None) if n == rank => Edit::Pick(full.perm()),
        _ => return Err("the sizes are computed for fewer axes"),
    };
    Ok(mode.edit(1, edit))
}

/// `tile` with the counts in the other order.
pub fn tile(site: Site<'_>, order: Order) -> Mode {
    through(site, order).edit(1, Edit::Pick(order.perm()))
}

/// `pad` with the amounts in the other order, or the axes where they are stored.
pub fn pad(site: Site<'_>, order: Order) -> Result<Mode, Fixed> {
    let mode = through(site, order);
    if site.has(3) {
        return Ok(mode.edit(3, Edit::Const(moved_axes(site, 3, &order)?)));
    }
    Ok(mode.edit(1, Edit::Pick(both(&order))))
}

/// The constant axes at operand `i`, where they are stored.
fn moved_axes(site: Site<'_>, i: usize, order: &Order) -> Result<Tensor, Fixed> {
    let axes = site.ints(i).ok_or("the axes are not constant")?;
    let at = |a: &i64| resolved(*a, order.rank()).map(|a| order.position(a) as i64);
    site.list(&axes.iter().map(at).collect::<Result<Vec<_>, _>>()?, i)
}

/// `slice` of the axes where they are stored.
pub fn slice(site: Site<'_>, order: Order) -> Result<Mode, Fixed> {
    let mode = through(site, order);
    if site.has(3) {
        return Ok(mode.edit(3, Edit::Const(moved_axes(site, 3, &order)?)));
    }
    let count = site.list_len(1).filter(|n| *n <= order.rank()).ok_or("the number of bounds is not known")?;
    let axes: Vec<i64> = (0..count).map(|a| order.position(a) as i64).collect();
    Ok(mode.edit(3, Edit::Const(site.list(&axes, 1)?)))
}

/// `resize` of the axes where they are stored.
pub fn resize(site: Site<'_>, order: Order) -> Result<Mode, Fixed> {
    let mut mode = through(site, order);
    if let Some(Attr::Ints(axes)) = site.op().def().attr("axes").filter(|a| *a != Attr::Ints(vec![])) {
        let at = |a: &i64| resolved(*a, order.rank()).map(|a| order.position(a) as i64);
        let axes = axes.iter().map(at).collect::<Result<Vec<_>, _>>()?;
        return Ok(mode.with_op(site.op_with("axes", &Attr::Ints(axes))?));
    }
    for (i, parts) in [(1, 2), (2, 1), (3, 1)] {
        if !site.has(i) {
            continue;
        }
        match site.list_len(i).ok_or("the number of sizes is not known")? {
            0 => {}
            n if n == parts * order.rank() => {
                let all = both(&order);
                mode = mode.edit(i, Edit::Pick(all[..n].to_vec()));
            }
            _ => return Err("a list does not fit the axes"),
        }
    }
    Ok(mode)
}
