//! `reshape` and `flatten`: which axes become which.
use super::{Edit, Fixed, Mode, Site, Slot};
use crate::layout::solve::order::Order;
use hoist_ir::attr::Attr;
use hoist_ir::dim::{Dim, SymInt};
use hoist_ir::tensor::Tensor;
use std::ops::Range;

const APART: Fixed = "it merges axes that are not side by side";

/// Axes of the operand that become axes of the result: the least such parts, so that none splits further.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Part {
    before: Range<usize>,
    after: Range<usize>,
}

/// Products of the first 0, 1, .. sizes.
fn products<'a>(dims: impl Iterator<Item = &'a Dim>) -> Vec<Option<SymInt>> {
    let mut out = vec![Some(SymInt::from(1))];
    for d in dims {
        let last = out.last().cloned().flatten();
        out.push(last.zip(d.to_sym()).and_then(|(p, d)| p.mul(&d)));
    }
    out
}

/// The least parts of a reshape between these sizes.
fn parts(before: &[Dim], after: &[Dim]) -> Result<Vec<Part>, Fixed> {
    if before.iter().chain(after).any(|d| *d == Dim::Known(0)) {
        return Err("it has no elements");
    }
    let (from, to) = (products(before.iter()), products(after.iter()));
    let (from_end, to_end) = (products(before.iter().rev()), products(after.iter().rev()));
    let same = |a: &Option<SymInt>, b: &Option<SymInt>| a.is_some() && a == b;
    let cut = |i: usize, j: usize| {
        same(&from[i], &to[j]) || same(&from_end[before.len() - i], &to_end[after.len() - j])
    };
    let (mut out, mut i, mut j) = (vec![], 0, 0);
    while (i, j) != (before.len(), after.len()) {
        let ahead = (i..=before.len()).flat_map(|a| (j..=after.len()).map(move |b| (a, b)));
        // The nearest place where both sides have passed the same number of elements; all that is left when there is none.
        let next = ahead
            .filter(|p| *p != (i, j) && cut(p.0, p.1))
            .min_by_key(|(a, b)| (a - i).max(b - j) * 64 + a + b);
        let (a, b) = next.unwrap_or((before.len(), after.len()));
        out.push(Part { before: i..a, after: j..b });
        (i, j) = (a, b);
    }
    Ok(out)
}

/// Axes of `range` that are not surely of size 1.
fn large(range: &Range<usize>, dims: &[Dim]) -> Vec<usize> {
    range.clone().filter(|a| dims[*a] != Dim::Known(1)).collect()
}

/// The order of the other side of a reshape whose one side, of sizes `dims`, is stored in `order`: parts are pairs of ranges of this
/// side and of the other.
fn across(
    order: &Order,
    dims: &[Dim],
    others: &[Dim],
    parts: &[(Range<usize>, Range<usize>)],
) -> Result<Order, Fixed> {
    let stored: Vec<usize> = order.axes().filter(|a| dims[*a] != Dim::Known(1)).collect();
    let mut placed = vec![];
    for (here, there) in parts {
        let (own, other) = (large(here, dims), large(there, others));
        match own.first() {
            None if other.is_empty() => {}
            None => return Err("sizes are not known well enough"),
            Some(first) => {
                let at = stored.iter().position(|a| a == first).unwrap_or(0);
                if stored.get(at..at + own.len()) != Some(own.as_slice()) {
                    return Err(APART);
                }
                placed.push((at, other));
            }
        }
    }
    placed.sort_unstable();
    let large: Vec<usize> = placed.into_iter().flat_map(|p| p.1).collect();
    let ones: Vec<usize> = (0..others.len()).filter(|a| others[*a] == Dim::Known(1)).collect();
    let below = |a: usize| ones.iter().filter(|o| **o < a).count();
    let packed: Vec<usize> = large.iter().map(|a| a - below(*a)).collect();
    Order::new(&packed).map(|o| o.with(&ones)).filter(|o| o.rank() == others.len()).ok_or("too many axes")
}

/// Orders before and after, when `slot` is stored in `order`.
fn orders(site: Site<'_>, slot: Slot, order: Order) -> Result<(Order, Order), Fixed> {
    let before = site.shape(Slot::In(0)).ok_or("the rank is not known")?;
    let after = site.shape(Slot::Out(0)).ok_or("the rank is not known")?;
    let parts = parts(before, after)?;
    match slot {
        Slot::In(0) => {
            let pairs: Vec<_> = parts.into_iter().map(|p| (p.before, p.after)).collect();
            Ok((order, across(&order, before, after, &pairs)?))
        }
        Slot::In(_) => Err("the sizes are a list"),
        Slot::Out(_) => {
            let pairs: Vec<_> = parts.into_iter().map(|p| (p.after, p.before)).collect();
            Ok((across(&order, after, before, &pairs)?, order))
        }
    }
}

/// A reshape between the same axes where they are stored.
pub fn reshape(site: Site<'_>, slot: Slot, order: Order) -> Result<Mode, Fixed> {
    let (before, after) = orders(site, slot, order)?;
    let edit = if let Some(sizes) = site.ints(1) {
        Edit::Const(sizes_in(site, &sizes, &before, &after)?)
    } else {
        no_zeros(site)?;
        Edit::Pick(after.perm())
    };
    Ok(site.kept().takes(0, before).gives(0, after).edit(1, edit))
}

/// The constant sizes in the other order, written out as far as they are known: one may follow from the others, and one may be taken
/// from the same place of the operand.
fn sizes_in(site: Site<'_>, sizes: &[i64], before: &Order, after: &Order) -> Result<Tensor, Fixed> {
    let (dims, operand) = (site.shape(Slot::Out(0)), site.shape(Slot::In(0)));
    let (Some(dims), Some(operand)) = (dims, operand) else { return Err("the rank is not known") };
    let (mut free, copies) = (true, !site.flag("allowzero"));
    let mut written = vec![];
    for (place, axis) in after.axes().enumerate() {
        let dim = dims.get(axis).filter(|_| axis < sizes.len()).ok_or("the sizes do not fit")?;
        let same = || place < before.rank() && operand[before.at(place)].surely_equals(dim);
        written.push(match dim.known() {
            Some(known) => i64::try_from(known).map_err(|_| "a size is too large")?,
            None if copies && same() => 0,
            None if std::mem::replace(&mut free, false) => -1,
            None => return Err("several sizes are known at run time only"),
        });
    }
    Ok(Tensor::from_ints(&written))
}

/// Sizes computed at run time are in the order of the result, unless a 0 takes one from the place in the operand.
fn no_zeros(site: Site<'_>) -> Result<(), Fixed> {
    if site.flag("allowzero") {
        return Ok(());
    }
    let content = site.value(Slot::In(1)).and_then(|v| site.g.value(v).content());
    let unknown = "the sizes are not known well enough";
    let is_size = |e: &Option<SymInt>| e.as_ref().is_some_and(|e| e.as_const() != Some(0));
    if content.ok_or(unknown)?.iter().all(is_size) { Ok(()) } else { Err(unknown) }
}

/// A `flatten` whose leading axes are the same, and in the same order.
pub fn flatten(site: Site<'_>, slot: Slot, order: Order) -> Result<Mode, Fixed> {
    let dims = site.shape(Slot::In(0)).ok_or("the rank is not known")?;
    let axis = match site.int("axis") {
        Some(a) if usize::try_from(a) == Ok(dims.len()) => dims.len(),
        Some(a) => super::resolved(a, dims.len())?,
        None => 1,
    };
    let stored: Vec<usize> = order.axes().filter(|a| dims.get(*a) != Some(&Dim::Known(1))).collect();
    if slot != Slot::In(0) || !stored.is_sorted() {
        return Err(APART);
    }
    let last = order.axes().rposition(|a| a < axis && dims[a] != Dim::Known(1));
    let op = site.op_with("axis", &Attr::Int(last.map_or(0, |p| p as i64 + 1)))?;
    Ok(site.kept().takes(0, order).with_op(op))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(sizes: &[u64]) -> Vec<Dim> {
        sizes.iter().map(|n| Dim::Known(*n)).collect()
    }
    /// The order behind a reshape, as its axes.
    fn behind(order: &[usize], before: &[Dim], after: &[Dim]) -> Result<Vec<usize>, Fixed> {
        let pairs: Vec<_> = parts(before, after)?.into_iter().map(|p| (p.before, p.after)).collect();
        let order = Order::new(order).expect("a permutation");
        across(&order, before, after, &pairs).map(|o| o.axes().collect())
    }

    #[test]
    fn merged_axes_must_lie_side_by_side() {
        let (image, rows) = (known(&[2, 3, 4, 5]), known(&[2, 3, 20]));
        assert_eq!(behind(&[0, 2, 3, 1], &image, &rows), Ok(vec![0, 2, 1]));
        assert_eq!(behind(&[0, 3, 2, 1], &image, &rows), Err(APART));
        assert_eq!(behind(&[0, 2, 3, 1], &image, &known(&[2, 60])), Err(APART));
        assert_eq!(behind(&[0, 2, 1], &rows, &image), Ok(vec![0, 2, 3, 1]));
    }

    #[test]
    fn split_axes_stay_together() {
        let shuffled = known(&[2, 2, 3, 4, 5]);
        assert_eq!(behind(&[0, 2, 3, 1], &known(&[2, 6, 4, 5]), &shuffled), Ok(vec![0, 3, 4, 1, 2]));
        let windows = known(&[2, 8, 2, 3, 5, 7]);
        assert_eq!(behind(&[0, 2, 3, 1], &known(&[2, 8, 6, 35]), &windows), Ok(vec![0, 2, 3, 4, 5, 1]));
    }

    #[test]
    fn axes_of_one_element_come_and_go() {
        assert_eq!(behind(&[0, 2, 3, 1], &known(&[2, 3, 1, 1]), &known(&[2, 3])), Ok(vec![0, 1]));
        assert_eq!(behind(&[0, 1], &known(&[2, 3]), &known(&[2, 1, 3])), Ok(vec![0, 1, 2]));
        assert_eq!(behind(&[1, 0], &known(&[2, 3]), &known(&[2, 1, 3])), Ok(vec![2, 0, 1]));
    }

    #[test]
    fn sizes_may_be_symbols() {
        let (n, h, w) = (Dim::symbol("N"), Dim::symbol("h"), Dim::symbol("w"));
        let hw = h.combine(&w, SymInt::mul);
        let image = [n.clone(), Dim::Known(3), h.clone(), w.clone()];
        let rows = [n.clone(), Dim::Known(3), hw];
        assert_eq!(behind(&[0, 2, 3, 1], &image, &rows), Ok(vec![0, 2, 1]));
        // What is left over on both sides of the batch axis is the same.
        let pooled = [Dim::Unknown, Dim::Known(3), Dim::Known(1), Dim::Known(1)];
        assert_eq!(behind(&[0, 2, 3, 1], &pooled, &[Dim::Unknown, Dim::Known(3)]), Ok(vec![0, 1]));
        assert!(behind(&[0, 2, 3, 1], &image, &[Dim::Unknown, Dim::Unknown]).is_err());
    }
}
