//! Operators that work along axes which an attribute or a list names.
use super::{Edit, Fixed, Mode, Site, Slot, elementwise, positions, resolved, resolved_all};
use crate::fault::planted;
use crate::layout::solve::order::Order;
use hoist_ir::attr::Attr;
use hoist_ir::tensor::Tensor;

/// The first `count` operands and all results of the rank of `order` take it; attribute `axis` follows.
pub fn along(site: Site<'_>, order: Order, count: usize) -> Result<Mode, Fixed> {
    let axis = resolved(site.int("axis").ok_or("the axis is not known")?, order.rank())?;
    let moved = planted("legalize-layout") || planted("cancel-transposes");
    let at = if moved { axis } else { order.position(axis) };
    let op = site.op_with("axis", &Attr::Int(at as i64))?;
    let mut mode = site.kept().with_op(op);
    for i in 0..count.min(mode.ins.len()) {
        if site.ranked(Slot::In(i))? != order.rank() {
            return Err("operands of several ranks");
        }
        mode = mode.takes(i, order);
    }
    for i in 0..mode.outs.len() {
        mode = mode.gives(i, order);
    }
    Ok(mode)
}

/// The axis is an operand.
pub fn cumulative(site: Site<'_>, order: Order) -> Result<Mode, Fixed> {
    let [axis] = site.ints(1).ok_or("the axis is not constant")?[..] else {
        return Err("the axis is not one number");
    };
    let at = order.position(resolved(axis, order.rank())?) as i64;
    let shape = if site.rank(Slot::In(1)) == Some(0) { &[][..] } else { &[1][..] };
    let list = site.list(&[at], 1)?.reshape(shape).map_err(|_| "the axis is not one number")?;
    Ok(site.kept().takes(0, order).gives(0, order).edit(1, Edit::Const(list)))
}

/// Orders before and after axes of the operand are reduced to 1 or dropped.
fn around(slot: Slot, order: Order, axes: &[usize], kept: bool) -> (Order, Order) {
    match slot {
        _ if kept => (order, order),
        Slot::In(_) => (order, order.without(axes)),
        Slot::Out(_) => (order.with(axes), order),
    }
}

/// The place of the largest or smallest element along one axis.
pub fn arg(site: Site<'_>, slot: Slot, order: Order) -> Result<Mode, Fixed> {
    let axis = resolved(site.int("axis").unwrap_or(0), site.ranked(Slot::In(0))?)?;
    let (before, after) = around(slot, order, &[axis], site.flag("keepdims"));
    let op = site.op_with("axis", &Attr::Int(before.position(axis) as i64))?;
    Ok(site.kept().takes(0, before).gives(0, after).with_op(op))
}

/// Reductions over constant axes, or over all.
pub fn reduce(site: Site<'_>, slot: Slot, order: Order) -> Result<Mode, Fixed> {
    let rank = site.ranked(Slot::In(0))?;
    let axes = if site.has(1) { Some(site.ints(1).ok_or("the axes are not constant")?) } else { None };
    let axes = axes.filter(|a| !a.is_empty());
    if axes.is_none() && site.flag("noop_with_empty_axes") {
        return Ok(site.kept().takes(0, order).gives(0, order).changed());
    }
    let all = axes.is_none();
    let axes = axes.map_or(Ok((0..rank).collect()), |a| resolved_all(&a, rank))?;
    let (before, after) = around(slot, order, &axes, site.flag("keepdims"));
    let mode = site.kept().takes(0, before).gives(0, after);
    Ok(if all {
        mode.changed()
    } else {
        mode.edit(1, Edit::Const(Tensor::from_ints(&positions(&before, &axes))))
    })
}

/// `gather` along one axis; the axes of the indices take its place.
pub fn gather(site: Site<'_>, slot: Slot, order: Order) -> Result<Mode, Fixed> {
    let (rank, wide) = (site.ranked(Slot::In(0))?, site.ranked(Slot::In(1))?);
    let axis = resolved(site.int("axis").unwrap_or(0), rank)?;
    let (before, after) = match slot {
        Slot::In(0) => (order, gathered(&order, axis, wide)?),
        Slot::In(_) => return Err("the indices are needed as they are"),
        Slot::Out(_) if wide == 0 => (order.with(&[axis]), order),
        Slot::Out(_) if wide == 1 => (order, order),
        Slot::Out(_) => (ungathered(&order, axis, wide)?, order),
    };
    let op = site.op_with("axis", &Attr::Int(before.position(axis) as i64))?;
    Ok(site.kept().takes(0, before).gives(0, after).with_op(op))
}

/// `order` with `wide` axes in the place of `axis`.
fn gathered(order: &Order, axis: usize, wide: usize) -> Result<Order, Fixed> {
    let mut out = vec![];
    for a in order.axes() {
        match a.cmp(&axis) {
            std::cmp::Ordering::Less => out.push(a),
            std::cmp::Ordering::Equal => out.extend(axis..axis + wide),
            std::cmp::Ordering::Greater => out.push(a + wide - 1),
        }
    }
    Order::new(&out).ok_or("too many axes")
}

/// The order before `wide` axes took the place of `axis`.
fn ungathered(order: &Order, axis: usize, wide: usize) -> Result<Order, Fixed> {
    let at = order.position(axis);
    if !(0..wide).all(|i| at + i < order.rank() && order.at(at + i) == axis + i) {
        return Err("the axes of the indices are apart");
    }
    Ok(order.without(&(axis + 1..axis + wide).collect::<Vec<_>>()))
}

/// Normalization of the last axes together: they may change places among themselves only.
pub fn normalization(site: Site<'_>, order: Order) -> Result<Mode, Fixed> {
    let rank = order.rank();
    let axis = resolved(site.int("axis").unwrap_or(-1), rank)?;
    if (axis..rank).any(|i| order.at(i) < axis) {
        return Err("it normalizes the last axes");
    }
    let op = site.op_with("axis", &Attr::Int(axis as i64))?;
    let mut mode = site.kept().takes(0, order).with_op(op);
    for i in 1..mode.ins.len() {
        mode = elementwise::broadcast(site, mode, i, order)?;
    }
    for i in 0..mode.outs.len() {
        mode = mode.gives(i, order);
    }
    Ok(mode)
}

/// Normalization over axes that an attribute lists.
pub fn mean_variance(site: Site<'_>, order: Order) -> Result<Mode, Fixed> {
    let Some(Attr::Ints(axes)) = site.op().def().attr("axes") else { return Err("the axes are not known") };
    let axes = positions(&order, &resolved_all(&axes, order.rank())?);
    Ok(site.kept().takes(0, order).gives(0, order).with_op(site.op_with("axes", &Attr::Ints(axes))?))
}

/// Scales and zero points are for all elements, along one axis, or for blocks.
pub fn quantize(site: Site<'_>, order: Order) -> Result<Mode, Fixed> {
    let mut mode = site.kept().takes(0, order).gives(0, order);
    let scales = site.ranked(Slot::In(1))?;
    if site.ranked(Slot::In(0))? != order.rank() {
        return Err("the scales are needed as they are");
    }
    if scales == 0 {
        return Ok(mode.changed());
    }
    let axis = resolved(site.int("axis").unwrap_or(1), order.rank())?;
    let op = site.op_with("axis", &Attr::Int(order.position(axis) as i64))?;
    if scales == order.rank() && scales > 1 {
        mode = mode.takes(1, order).takes(2, order);
    }
    Ok(mode.with_op(op))
}

/// The rows of a product with one matrix may be in any order; so may the batches of products of as many axes.
pub fn mat_mul(site: Site<'_>, slot: Slot, order: Order) -> Result<Mode, Fixed> {
    let (left, right) = (site.ranked(Slot::In(0))?, site.ranked(Slot::In(1))?);
    let rank = order.rank();
    if rank < 2 || left != rank || order.at(rank - 1) != rank - 1 {
        return Err("it multiplies along its last axes");
    }
    let mode = site.kept().takes(0, order).gives(0, order).changed();
    if right == rank && order.at(rank - 2) == rank - 2 {
        return Ok(mode.takes(1, order));
    }
    if right == 2 && slot != Slot::In(1) { Ok(mode) } else { Err("it multiplies along its last axes") }
}
