//! Operators on images and signals, which say where their channels are.
use super::{Fixed, Mode, Site, Slot};
use crate::layout::solve::order::Order;
use hoist_ir::attr::{Attr, Word};
use hoist_ir::ops::words::Layout;

/// Turning a node to another layout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flip {
    /// Order in which it then takes its data.
    pub order: Order,
    /// The layout it then has, where it says which.
    pub layout: Option<Layout>,
}

/// The layout that the operator of `site` says.
fn layout(site: Site<'_>) -> Option<Layout> {
    if let Some(Attr::Word(w)) = site.op().def().attr("layout") { Layout::from_word(w) } else { None }
}

/// The layout that the operator of `site` says, as its word.
pub fn says_layout(site: Site<'_>) -> Option<&'static str> {
    layout(site).map(Word::word)
}

/// How the node is turned to layout `to`, if it says another one or, for `resize`, works on the axes of another one. `None` when it is
/// of that layout, or not about layouts.
pub fn flip(site: Site<'_>, to: Layout) -> Option<Flip> {
    let rank = site.rank(Slot::In(0))?;
    let order = match to {
        Layout::ChannelsLast => Layout::ChannelsLast.from_channels_first(rank),
        Layout::ChannelsFirst => Layout::ChannelsLast.to_channels_first(rank),
    };
    let order = Order::new(&order)?;
    if site.op().name() == "resize" {
        return (resized_layout(site, rank)? != to).then_some(Flip { order, layout: None });
    }
    (layout(site)? != to).then_some(Flip { order, layout: Some(to) })
}

/// Where the channels of a `resize` must be, as the axes whose size changes are those of an image. `None` when they tell nothing.
fn resized_layout(site: Site<'_>, rank: usize) -> Option<Layout> {
    let (from, to) = (site.shape(Slot::In(0))?, site.shape(Slot::Out(0))?);
    if rank < 3 || to.len() != rank {
        return None;
    }
    let axes = if let Some(Attr::Ints(axes)) = site.op().def().attr("axes") { axes } else { vec![] };
    let axes: Vec<usize> = axes.iter().filter_map(|a| super::resolved(*a, rank).ok()).collect();
    let scales = site.value(Slot::In(2)).and_then(|v| site.g.constant(v)?.to_f64s().ok());
    let scales = scales.filter(|s| s.len() == rank).unwrap_or_default();
    let kept = |axis: usize| {
        let named = axes.is_empty() || axes.contains(&axis);
        !named || scales.get(axis) == Some(&1.0) || from[axis].surely_equals(&to[axis])
    };
    match (kept(0), kept(1), kept(rank - 1)) {
        (true, true, false) => Some(Layout::ChannelsFirst),
        (true, false, true) => Some(Layout::ChannelsLast),
        _ => None,
    }
}

/// The node turned as `flip` says, where that moves nothing.
pub fn turned(site: Site<'_>, flip: Flip) -> Result<Mode, Fixed> {
    match flip.layout {
        Some(to) => Ok(site.kept().with_op(site.op_with("layout", &Attr::Word(to.word()))?)),
        None => Err("nothing moves"),
    }
}

/// Data and results turn together; weights, scales and all else stay.
pub fn spatial(site: Site<'_>, order: Order) -> Result<Mode, Fixed> {
    let Some(now) = layout(site) else {
        return Err("it computes on axes at fixed places");
    };
    let to = if now == Layout::ChannelsFirst { Layout::ChannelsLast } else { Layout::ChannelsFirst };
    let flip = flip(site, to).ok_or("the rank is not known")?;
    if flip.order != order {
        return Err("it takes its channels first or last only");
    }
    let op = site.op_with("layout", &Attr::Word(to.word()))?;
    let mut mode = site.kept().takes(0, order).with_op(op);
    for i in 0..mode.outs.len() {
        if site.rank(Slot::Out(i)) == Some(order.rank()) {
            mode = mode.gives(i, order);
        }
    }
    Ok(mode)
}
