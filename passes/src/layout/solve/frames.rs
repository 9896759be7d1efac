//! Two ways for each node: with label 0 it works as it does, with label 1 as the target wants it, or as nodes around it then do.
//!
//! Nodes of another layout than the target's are where this starts; from there the pairs of orders spread over operands and results to
//! every node that can follow, from large values first. A pair that reaches a node first stays; where others differ, what moves between is paid for.
use super::cost::{batch_names, bytes};
use super::order::Order;
use crate::layout::rules::{
    Change, Edit, Fixed, Mode, Site, Slot, flip, is_movable, plain, relate, says_layout,
};
use crate::pass::Target;
use hoist_formats::tflite::lower::LAYOUT;
use hoist_ir::entity::SideTable;
use hoist_ir::graph::{Def, Graph, Node, NodeId, Use, Value, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::words::Layout;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};

/// The two ways of a node.
#[derive(Clone, Debug)]
pub struct Plan {
    /// By label.
    pub modes: [Mode; 2],
    /// Whether label 1 is needed.
    pub pinned: bool,
}

/// Orders with label 0 and 1.
pub type Pair = [Order; 2];

/// Ways of nodes and orders of values, where there are two.
pub struct Frames {
    plans: SideTable<Node, Option<Box<Plan>>>,
    pairs: SideTable<Value, Option<Pair>>,
    /// Values whose neighbours are to be visited: by bytes, then in order of arrival.
    queue: BinaryHeap<(u64, Reverse<usize>)>,
    arrived: Vec<ValueId>,
    batches: BTreeSet<String>,
    /// Nodes that can follow one label only, tried when nothing else is left.
    halves: VecDeque<(NodeId, Slot)>,
    /// Whether any node must change.
    pub any: bool,
    /// Whether nodes may change only as long as their number does not.
    frugal: bool,
}

/// The layout of the target.
pub fn wanted(target: &Target) -> Layout {
    match target {
        Target::Onnx(_) => Layout::ChannelsFirst,
        Target::Tflite(_) => Layout::ChannelsLast,
    }
}

/// Operators that have a form in either layout once they are expanded.
const EXPANDED: &[&str] =
    &["batch_normalization", "group_normalization", "instance_normalization", "grid_sample"];

/// The way of node `n` in the layout of the target, when it must take it.
fn needed(g: &Graph, n: NodeId, target: &Target) -> Option<Mode> {
    let site = Site { g, n };
    let flip = flip(site, wanted(target))?;
    let lacks = target.lacks(g, n)?;
    if lacks != LAYOUT && matches!(target, Target::Tflite(_)) && EXPANDED.contains(&site.op().name()) {
        return None;
    }
    if flip.order.is_identity() {
        return crate::layout::rules::turned(site, flip).ok();
    }
    relate(g, n, Slot::In(0), flip.order).ok()
}

/// Whether a node that works so needs others before it.
fn adds_nodes(g: &Graph, n: NodeId, mode: &Mode) -> bool {
    let Change::Node { edits, .. } = &mode.change else { return false };
    edits.iter().any(|(slot, edit)| {
        let constant = g.node(n).input(*slot).is_some_and(|v| g.constant(v).is_some());
        !matches!(edit, Edit::Const(_)) && !constant
    })
}

/// Whether with one of the labels all that `n` takes and gives is as it is.
fn is_plain_once(g: &Graph, n: NodeId, modes: [&Mode; 2]) -> bool {
    let node = g.node(n);
    let sides = (0..node.inputs().len()).map(Slot::In).chain((0..node.outputs().len()).map(Slot::Out));
    sides.into_iter().all(|slot| {
        let orders = modes.map(|m| m.order(slot));
        orders[0] == orders[1] || orders.iter().any(|o| o.is_none_or(|o| o.is_identity()))
    })
}

impl Frames {
    fn empty(g: &Graph, frugal: bool) -> Self {
        Self {
            plans: SideTable::new(None),
            pairs: SideTable::new(None),
            queue: BinaryHeap::new(),
            arrived: vec![],
            batches: batch_names(g),
            halves: VecDeque::new(),
            any: false,
            frugal,
        }
    }
    /// The ways of the nodes of `g` around each `transpose`: with label 0 what is before it works in the order that it makes, with label 1
    /// what is behind it works in the order that it takes. Operators keep their layout, and no node is added.
    pub fn of_transposes(g: &Graph) -> Self {
        let mut out = Self::empty(g, true);
        for n in g.order() {
            let (Op::Transpose(_), Some(y)) = (g.node(n).op(), g.node(n).outputs().first()) else { continue };
            if out.plans.get(n).is_some() {
                continue;
            }
            let as_it_is = plain(g, *y);
            let before = relate(g, n, Slot::Out(0), as_it_is);
            if let (Ok(zero), Ok(one)) = (before, relate(g, n, Slot::In(0), as_it_is)) {
                out.any = true;
                out.plan(g, n, Plan { modes: [zero, one], pinned: false });
                out.spread(g);
            }
        }
        out
    }
    /// The ways of the nodes of `g`.
    pub fn of(g: &Graph, target: &Target) -> Self {
        let mut out = Self::empty(g, false);
        for n in g.order() {
            if let Some(mode) = needed(g, n, target) {
                out.any = true;
                let kept = Site { g, n }.kept();
                out.plan(g, n, Plan { modes: [kept, mode], pinned: true });
            }
        }
        out.spread(g);
        out
    }
    /// The ways of `n`, when it has two.
    pub fn of_node(&self, n: NodeId) -> Option<&Plan> {
        self.plans.get(n).as_deref()
    }
    /// The orders of `v`, when it has two.
    pub fn of_value(&self, v: ValueId) -> Option<Pair> {
        *self.pairs.get(v)
    }
    fn plan(&mut self, g: &Graph, n: NodeId, plan: Plan) {
        let node = g.node(n);
        let slots = (0..node.inputs().len()).map(Slot::In).chain((0..node.outputs().len()).map(Slot::Out));
        for slot in slots {
            let pair = (plan.modes[0].order(slot), plan.modes[1].order(slot));
            if let (Some(v), (Some(a), Some(b))) = (Site { g, n }.value(slot), pair) {
                self.propose(g, v, [a, b]);
            }
        }
        self.plans.set(n, Some(Box::new(plan)));
    }
    fn propose(&mut self, g: &Graph, v: ValueId, pair: Pair) {
        if pair[0] != pair[1] && self.pairs.get(v).is_none() && is_movable(g, v) {
            self.pairs.set(v, Some(pair));
            self.queue.push((bytes(g, v, &self.batches), Reverse(self.arrived.len())));
            self.arrived.push(v);
        }
    }
    fn spread(&mut self, g: &Graph) {
        loop {
            if let Some((_, Reverse(at))) = self.queue.pop() {
                let v = self.arrived[at];
                if let Def::Node { node, slot } = g.value(v).def() {
                    self.visit(g, node, Slot::Out(slot as usize), v);
                }
                for u in g.value(v).uses() {
                    if let Use::Node { node, slot } = u {
                        self.visit(g, *node, Slot::In(*slot as usize), v);
                    }
                }
            } else if let Some((n, slot)) = self.halves.pop_front() {
                self.visit_half(g, n, slot);
            } else {
                return;
            }
        }
    }
    /// How `n` works with `slot` in `order`.
    fn follow(&self, g: &Graph, n: NodeId, slot: Slot, order: Order) -> Result<Mode, Fixed> {
        let mode = relate(g, n, slot, order)?;
        let site = Site { g, n };
        let spatial = || site.op().name() == "resize" || says_layout(site).is_some();
        if self.frugal && mode.change != Change::Keep && (spatial() || adds_nodes(g, n, &mode)) {
            return Err("it would be another layout, or more nodes");
        }
        Ok(mode)
    }
    fn visit(&mut self, g: &Graph, n: NodeId, slot: Slot, v: ValueId) {
        let Some([a, b]) = self.of_value(v).filter(|_| self.plans.get(n).is_none()) else { return };
        match (self.follow(g, n, slot, a), self.follow(g, n, slot, b)) {
            (Ok(zero), Ok(one)) if self.frugal && !is_plain_once(g, n, [&zero, &one]) => {}
            (Ok(zero), Ok(one)) => self.plan(g, n, Plan { modes: [zero, one], pinned: false }),
            (Err(_), Err(_)) => {}
            _ => self.halves.push_back((n, slot)),
        }
    }
    /// With the label that it cannot follow, the node stays as it is.
    fn visit_half(&mut self, g: &Graph, n: NodeId, slot: Slot) {
        let pair = Site { g, n }.value(slot).and_then(|v| self.of_value(v));
        let Some(pair) = pair.filter(|_| self.plans.get(n).is_none()) else { return };
        let kept = Site { g, n }.kept();
        let [zero, one] = pair.map(|order| self.follow(g, n, slot, order).unwrap_or_else(|_| kept.clone()));
        if zero != one {
            self.plan(g, n, Plan { modes: [zero, one], pinned: false });
        }
    }
}
