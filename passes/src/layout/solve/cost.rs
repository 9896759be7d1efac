//! What it costs to move values, and the labels that make the sum least.
use super::cut::{ALWAYS, Cut, SINK, SOURCE};
use super::frames::{Frames, Plan};
use super::order::Order;
use crate::fault::planted;
use crate::layout::rules::{Change, Mode, Site, Slot, permutation, plain};
use hoist_ir::attr::Attr;
use hoist_ir::dim::{Dim, SymInt};
use hoist_ir::entity::SideTable;
use hoist_ir::graph::{Def, Graph, Node, NodeId, Use, ValueId};
use hoist_ir::ops::words::Layout;
use std::collections::BTreeSet;

/// Size taken for a size that is not known, unless it counts a batch.
const SOME_SIZE: u64 = 64;
/// Constants of fewer bytes may be kept in several orders.
const SMALL: u64 = 1 << 16;

/// Operators that TFLite computes along the last axis only.
const LAST_AXIS: &[&str] = &["log_softmax", "softmax", "top_k"];

/// Names of sizes that the first axis of an input has: batches.
pub fn batch_names(g: &Graph) -> BTreeSet<String> {
    let first = |v: &ValueId| {
        let shape = g.ty(*v).as_tensor()?.shape.as_ref()?;
        Some(shape.first()?.to_sym()?.as_symbol()?.to_owned())
    };
    g.inputs().iter().filter_map(first).collect()
}

/// Bytes of `v`. A size that is not known counts as 1 where it is that of a batch, or of the first axis, and as 64 elsewhere.
pub fn bytes(g: &Graph, v: ValueId, batches: &BTreeSet<String>) -> u64 {
    let Some(ty) = g.ty(v).as_tensor() else { return 0 };
    let symbol = |name: &str| Some(SymInt::from(if batches.contains(name) { 1 } else { SOME_SIZE as i64 }));
    let one = |(i, d): (usize, &Dim)| match d {
        Dim::Known(n) => *n,
        Dim::Expr(e) => {
            let value = e.substitute(&symbol).and_then(|v| v.as_const());
            value.map_or(SOME_SIZE, |v| u64::try_from(v).unwrap_or(1).max(1))
        }
        Dim::Unknown => {
            if i == 0 {
                1
            } else {
                SOME_SIZE
            }
        }
    };
    let count = ty.shape.iter().flatten().enumerate().map(one).fold(1u64, u64::saturating_mul);
    count.saturating_mul(u64::from(ty.dtype.bits())).div_ceil(8)
}

/// Axes of `v` that are surely of size 1.
pub fn ones(g: &Graph, v: ValueId) -> Vec<bool> {
    let shape = g.ty(v).as_tensor().and_then(|t| t.shape.as_ref());
    shape.map_or(vec![], |s| s.iter().map(|d| *d == Dim::Known(1)).collect())
}

/// Who gives or takes a value, and in which order with which label.
#[derive(Clone, Copy, Debug)]
struct End {
    /// Position of its label; `None` when it has none.
    label: Option<usize>,
    orders: [Order; 2],
}

impl End {
    fn fixed(order: Order) -> Self {
        Self { label: None, orders: [order; 2] }
    }
}

/// A value that may be needed in several orders.
struct Moved {
    bytes: u64,
    ones: Vec<bool>,
    from: End,
    to: Vec<End>,
}

impl Moved {
    /// What it costs to bring the value from order `have` to `want`, where a node costs `unit`. Between two ways that move the same
    /// bytes, the one with fewer nodes is taken.
    fn cost(&self, have: Order, want: Order, unit: u64) -> u64 {
        if have == want {
            0
        } else if have.settled(&self.ones) == want.settled(&self.ones) {
            unit
        } else {
            self.bytes + unit
        }
    }
}

/// The choice as a whole: labels and what they cost.
pub struct Problem {
    moved: Vec<Moved>,
    /// Whether label 1 is needed.
    pinned: Vec<bool>,
    /// Labels of nodes that the target would have to transpose around, and what that costs with label 0 and 1.
    own: Vec<(usize, [u64; 2])>,
    at: SideTable<Node, Option<usize>>,
    /// What a node costs beside the bytes that it moves.
    unit: u64,
}

/// What a node costs where fewer nodes are worth more than any bytes.
const NODE: u64 = 1 << 40;

impl Problem {
    /// The problem of `g`, which becomes of layout `to`.
    pub fn of(g: &Graph, frames: &Frames, to: Layout) -> Self {
        Self::with(g, frames, 1, to == Layout::ChannelsLast)
    }
    /// The problem of `g` with as few nodes as possible.
    pub fn of_nodes(g: &Graph, frames: &Frames) -> Self {
        Self::with(g, frames, NODE, true)
    }
    fn with(g: &Graph, frames: &Frames, unit: u64, last_axis: bool) -> Self {
        let mut out = Self { moved: vec![], pinned: vec![], own: vec![], at: SideTable::new(None), unit };
        for n in g.order() {
            if let Some(plan) = frames.of_node(n) {
                out.at.set(n, Some(out.pinned.len()));
                out.pinned.push(plan.pinned);
            }
        }
        let batches = batch_names(g);
        if last_axis {
            out.own = g.order().filter_map(|n| out.own(g, n, frames, &batches)).collect();
        }
        for (v, value) in g.values() {
            if value.def() != Def::Erased && !value.uses().is_empty() {
                out.add(g, v, frames, &batches);
            }
        }
        out
    }
    /// What it costs that `n` works along another axis than the last, which is all that the formats with channels last have.
    fn own(
        &self,
        g: &Graph,
        n: NodeId,
        frames: &Frames,
        batches: &BTreeSet<String>,
    ) -> Option<(usize, [u64; 2])> {
        let (plan, node) = (frames.of_node(n)?, g.node(n));
        if !LAST_AXIS.contains(&node.op().name()) {
            return None;
        }
        let cost = bytes(g, node.input(0)?, batches)
            .min(ALWAYS >> 24)
            .saturating_mul(2)
            .saturating_add(self.unit - 1);
        let along = |mode: &Mode| {
            let op = if let Change::Node { op: Some(op), .. } = &mode.change { op } else { node.op() };
            let Some(Attr::Int(axis)) = op.def().attr("axis") else { return false };
            axis == -1 || mode.outs.first().is_some_and(|o| axis + 1 == o.rank() as i64)
        };
        let costs = [&plan.modes[0], &plan.modes[1]].map(|m| if along(m) { 0 } else { cost });
        Some(((*self.at.get(n))?, costs))
    }
    fn end(&self, g: &Graph, frames: &Frames, n: NodeId, slot: Slot) -> Option<End> {
        let order = |p: &Plan, label: usize| p.modes[label].order(slot);
        if let Some(p) = frames.of_node(n) {
            return Some(End { label: *self.at.get(n), orders: [order(p, 0)?, order(p, 1)?] });
        }
        let order = Site { g, n }.kept().order(slot)?;
        Some(End { label: None, orders: [order, order] })
    }
    fn add(&mut self, g: &Graph, v: ValueId, frames: &Frames, batches: &BTreeSet<String>) {
        let as_it_is = End { label: None, orders: [plain(g, v); 2] };
        let mut cost = bytes(g, v, batches);
        let from = match g.value(v).def() {
            Def::Node { node, slot } => self.end(g, frames, node, Slot::Out(slot as usize)),
            // A constant is stored as it is wanted, once.
            Def::Const => match frames.of_value(v) {
                Some(orders) if cost > SMALL && g.value(v).uses().len() > 1 => {
                    self.pinned.push(false);
                    Some(End { label: Some(self.pinned.len() - 1), orders })
                }
                _ => None,
            },
            _ => Some(as_it_is),
        };
        let Some(from) = from else { return };
        let to = |u: &Use| match u {
            Use::Node { node, slot } => self.end(g, frames, *node, Slot::In(*slot as usize)),
            Use::Output(_) => Some(as_it_is),
        };
        let to: Vec<End> = g.value(v).uses().iter().filter_map(to).collect();
        if to.iter().all(|e| e.orders == from.orders && (e.label == from.label || e.orders[0] == e.orders[1]))
        {
            return;
        }
        cost = cost.min(if self.unit > 1 { NODE / 2 } else { ALWAYS >> 8 });
        let to = to.into_iter().map(|e| self.settled(e)).collect();
        self.moved.push(Moved { bytes: cost, ones: ones(g, v), from: self.settled(from), to });
    }
    /// An end whose label is certain has none.
    fn settled(&self, e: End) -> End {
        match e.label {
            Some(l) if self.pinned[l] => End { label: None, orders: [e.orders[1]; 2] },
            _ => e,
        }
    }
    /// What `labels` cost: each value once for every order in which it is needed and not given.
    fn cost(&self, labels: &[bool]) -> u64 {
        let order = |e: &End| e.orders[usize::from(e.label.is_some_and(|l| labels[l]))];
        let one = |m: &Moved| {
            let wanted: BTreeSet<Order> = m.to.iter().map(order).filter(|o| *o != order(&m.from)).collect();
            wanted
                .into_iter()
                .map(|want| m.cost(order(&m.from), want, self.unit))
                .fold(0, u64::saturating_add)
        };
        let own = self.own.iter().map(|(l, costs)| costs[usize::from(labels[*l])]);
        self.moved.iter().map(one).chain(own).fold(0, u64::saturating_add)
    }
    /// Whether `labels` cost less than the graph as it is.
    pub fn pays(&self, g: &Graph, labels: &Labels<'_>) -> bool {
        let batches = batch_names(g);
        let moves = |n: NodeId| {
            let (Some(x), Some(perm)) = (g.node(n).input(0), permutation(Site { g, n })) else { return 0 };
            let bytes = bytes(g, x, &batches).min(NODE / 2);
            let moved = Moved { bytes, ones: ones(g, x), from: End::fixed(plain(g, x)), to: vec![] };
            moved.cost(plain(g, x), perm, self.unit)
        };
        let now = g
            .order()
            .filter(|n| g.node(*n).op().name() == "transpose")
            .map(moves)
            .fold(0, u64::saturating_add);
        let kept = self.own.iter().map(|(_, costs)| costs[0].min(costs[1])).fold(0, u64::saturating_add);
        planted("cancel-transposes") || self.cost(&labels.labels) < now.saturating_add(kept)
    }
    /// The labels that a minimum cut gives, unless all 0 or all 1 cost less: where pairs of orders contradict, the cut counts too much.
    pub fn solve(&self) -> Labels<'_> {
        let mut cut = Cut::default();
        let vertex: Vec<usize> = self.pinned.iter().map(|p| if *p { SOURCE } else { cut.vertex() }).collect();
        for m in &self.moved {
            network(&mut cut, m, &vertex, self.unit);
        }
        for (l, [zero, one]) in &self.own {
            cut.edge(SOURCE, vertex[*l], *zero);
            cut.edge(vertex[*l], SINK, *one);
        }
        let side = cut.solve();
        let solved: Vec<bool> = vertex.iter().map(|v| side[*v]).collect();
        let all = [solved, self.pinned.clone(), vec![true; self.pinned.len()]];
        let best = all.into_iter().min_by_key(|labels| self.cost(labels)).unwrap_or_default();
        Labels { labels: best, at: &self.at }
    }
}

#[cfg(test)]
impl Problem {
    /// What a choice costs.
    pub fn cost_of(&self, labels: &Labels<'_>) -> u64 {
        self.cost(&labels.labels)
    }
    /// The least cost of all choices, where there are at most `most` labels to choose.
    pub fn least_by_trying(&self, most: usize) -> Option<u64> {
        let free: Vec<usize> = (0..self.pinned.len()).filter(|i| !self.pinned[*i]).collect();
        let choice = |bits: u32| {
            let mut labels = self.pinned.clone();
            free.iter().enumerate().for_each(|(i, at)| labels[*at] = bits >> i & 1 == 1);
            self.cost(&labels)
        };
        if free.len() > most { None } else { (0..1u32 << free.len()).map(choice).min() }
    }
}

/// Adds what `m` costs to the network.
fn network(cut: &mut Cut, m: &Moved, vertex: &[usize], unit: u64) {
    let at = |e: &End| e.label.map(|l| vertex[l]);
    let from = at(&m.from).unwrap_or(SOURCE);
    let orders: BTreeSet<Order> = m.to.iter().flat_map(|e| e.orders).collect();
    for o in orders {
        let [zero, one] = m.from.orders.map(|have| m.cost(have, o, unit));
        if m.to.iter().any(|e| e.orders == [o, o]) {
            cut.edge(SOURCE, from, zero);
            cut.edge(from, SINK, one);
            continue;
        }
        let needs = |with: [bool; 2]| m.to.iter().filter(move |e| e.orders.map(|x| x == o) == with);
        let with_one: Vec<usize> = needs([false, true]).filter_map(at).collect();
        let with_zero: Vec<usize> = needs([true, false]).filter_map(at).collect();
        // Where a taker needs with one label what is cheap with the giver's other label, it pays as if it were not: a cut cannot say
        // more.
        if let Some(any) = any_of(cut, &with_one, |cut, any, v| cut.edge(v, any, ALWAYS)) {
            cut.edge(any, SINK, one);
            cut.edge(any, from, zero.saturating_sub(one));
        }
        if let Some(any) = any_of(cut, &with_zero, |cut, any, v| cut.edge(any, v, ALWAYS)) {
            cut.edge(SOURCE, any, zero);
            cut.edge(from, any, one.saturating_sub(zero));
        }
    }
}

/// A vertex that stands for all of `vertices`, tied to each; the vertex itself when it is one.
fn any_of(cut: &mut Cut, vertices: &[usize], tie: impl Fn(&mut Cut, usize, usize)) -> Option<usize> {
    match vertices {
        [] => None,
        [v] => Some(*v),
        _ => {
            let any = cut.vertex();
            for v in vertices {
                tie(cut, any, *v);
            }
            Some(any)
        }
    }
}

/// The choice that was made.
pub struct Labels<'p> {
    labels: Vec<bool>,
    at: &'p SideTable<Node, Option<usize>>,
}

impl Labels<'_> {
    /// The label of `n`.
    pub fn of(&self, n: NodeId) -> usize {
        usize::from(self.at.get(n).and_then(|l| self.labels.get(l).copied()).unwrap_or(false))
    }
}
