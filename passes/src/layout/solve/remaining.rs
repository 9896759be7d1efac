//! Transposes that a graph has, and why each is where it is.
use super::cost::{batch_names, bytes};
use super::order::Order;
use crate::layout::rules::{Site, Slot, permutation, relate, says_layout};
use hoist_ir::graph::{Def, Graph, NodeId, Use, ValueId};
use std::fmt;

/// Users that an explanation names.
const MOST_USERS: usize = 3;

/// A transpose of the graph.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remaining {
    /// The node.
    pub node: NodeId,
    /// Label of the value it moves.
    pub value: String,
    /// Bytes it moves. Sizes that are not known count as 1 for batches and as 64 elsewhere.
    pub bytes: u64,
    /// Its permutation.
    pub perm: Vec<i64>,
    /// What gives the value, and why in this order.
    pub above: String,
    /// What takes the moved value, and why in that order.
    pub below: String,
}

impl fmt::Display for Remaining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { value, bytes, perm, above, below, .. } = self;
        write!(f, "{bytes} bytes of `{value}` are moved by {perm:?}, between {above} and {below}")
    }
}

/// Every transpose of `g` that moves data, in order; those of bodies are not among them.
pub fn remaining(g: &Graph) -> Vec<Remaining> {
    let batches = batch_names(g);
    let one = |n: NodeId| {
        let perm = permutation(Site { g, n }).filter(|_| g.node(n).op().name() == "transpose")?;
        let (x, y) = (g.node(n).input(0)?, *g.node(n).outputs().first()?);
        let value = if g.value(x).name.is_some() { g.value_label(x) } else { source_label(g, x) };
        let (above, below) = (above(g, x, perm), below(g, y, perm));
        Some(Remaining { node: n, value, bytes: bytes(g, x, &batches), perm: perm.perm(), above, below })
    };
    g.order().filter_map(one).collect()
}

fn source_label(g: &Graph, v: ValueId) -> String {
    g.producer(v).map_or_else(|| g.value_label(v), |n| g.node_label(n))
}

/// What is said of node `n` that would have to work in `order` at `slot`.
fn why(g: &Graph, n: NodeId, slot: Slot, order: Order) -> String {
    let (op, label) = (g.node(n).op().name(), g.node_label(n));
    if let Some(word) = says_layout(Site { g, n }) {
        return format!("`{label}` ({op}, {word})");
    }
    match relate(g, n, slot, order) {
        Ok(_) => format!("`{label}` ({op}, past which it would move no fewer bytes)"),
        Err(reason) => format!("`{label}` ({op}: {reason})"),
    }
}

fn above(g: &Graph, x: ValueId, perm: Order) -> String {
    match g.value(x).def() {
        Def::Input(_) => format!("input `{}`, whose order stays,", g.value_label(x)),
        Def::Node { node, slot } => why(g, node, Slot::Out(slot as usize), perm),
        _ => format!("constant `{}`", g.value_label(x)),
    }
}

fn below(g: &Graph, y: ValueId, perm: Order) -> String {
    let uses = g.value(y).uses();
    let mut nodes: Vec<(NodeId, u32)> = vec![];
    let mut said: Vec<String> = vec![];
    for u in uses {
        match u {
            Use::Node { node, slot } => nodes.push((*node, *slot)),
            Use::Output(i) => {
                let name = g.outputs().get(*i as usize).map_or("", |o| &o.name);
                said.push(format!("output `{name}`, whose order stays"));
            }
        }
    }
    said.sort_unstable();
    nodes.sort_by(|a, b| (g.comes_before(b.0, a.0), a.1).cmp(&(g.comes_before(a.0, b.0), b.1)));
    said.extend(nodes.into_iter().map(|(n, slot)| why(g, n, Slot::In(slot as usize), perm.inverse())));
    let more = said.len().saturating_sub(MOST_USERS);
    said.truncate(MOST_USERS);
    let end = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{end}", said.join(", "))
}
