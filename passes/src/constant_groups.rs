//! Nodes that compute constants from constants, taken together.
//!
//! ```text
//! %a = slice(%w, [0], [4], [0])
//! %b = slice(%w, [4], [8], [0])      one constant in the place of %w, where folding %a or %b alone would keep %w too
//! %y = concat(%b, %a)
//! ```
use hoist_ir::entity::SideTable;
use hoist_ir::graph::{Def, Graph, Node, NodeId, Use, ValueId};
use hoist_ir::types::Type;
use std::collections::HashMap;

use crate::queries::{fixed_bytes, is_deterministic};

/// A set of nodes whose operands are constants or results of nodes of the set.
pub struct Group {
    /// The nodes, in order.
    pub nodes: Vec<NodeId>,
    /// Constants that nothing else uses.
    pub freed: Vec<ValueId>,
    /// Results that something else uses.
    pub shown: Vec<ValueId>,
}

/// Whether `n` could become constants, given whether each operand could.
fn may_fold(g: &Graph, n: NodeId, known: impl Fn(ValueId) -> bool) -> bool {
    let node = g.node(n);
    let mut operands = node.inputs().iter().flatten().peekable();
    operands.peek().is_some()
        && operands.all(|v| known(*v))
        && node.bodies().is_empty()
        && node.op().name() != "dequantize_linear"
        && is_deterministic(g, n)
        && node
            .outputs()
            .iter()
            .all(|v| matches!(g.ty(*v), Type::Tensor(_)) && fixed_bytes(g.ty(*v)).is_some())
}

/// Every group of `g`: nodes are together when one uses a result of the other, or both use a constant.
pub fn groups(g: &Graph) -> Vec<Group> {
    let mut member: SideTable<Node, Option<usize>> = SideTable::new(None);
    let (mut nodes, mut sets): (Vec<NodeId>, Sets) = (vec![], Sets(vec![]));
    let mut users: HashMap<ValueId, usize> = HashMap::new();
    for n in g.order() {
        let by =
            |v: ValueId| if let Def::Node { node, .. } = g.value(v).def() { *member.get(node) } else { None };
        if !may_fold(g, n, |v| g.constant(v).is_some() || by(v).is_some()) {
            continue;
        }
        let own = sets.add();
        for v in g.node(n).inputs().iter().flatten() {
            let other = by(*v).unwrap_or_else(|| *users.entry(*v).or_insert(own));
            sets.join(own, other);
        }
        member.set(n, Some(own));
        nodes.push(n);
    }
    let mut out: Vec<Group> = vec![];
    let mut at: HashMap<usize, usize> = HashMap::new();
    for (i, n) in nodes.iter().enumerate() {
        let k = *at.entry(sets.root(i)).or_insert_with(|| {
            out.push(Group { nodes: vec![], freed: vec![], shown: vec![] });
            out.len() - 1
        });
        out[k].nodes.push(*n);
        let inside = |u: &Use| matches!(u, Use::Node { node, .. } if member.get(*node).is_some());
        let shown = g.node(*n).outputs().iter().filter(|v| !g.value(**v).uses().iter().all(inside));
        out[k].shown.extend(shown);
    }
    let mut constants: Vec<(ValueId, usize)> = users.into_iter().collect();
    constants.sort_unstable();
    for (v, own) in constants {
        let inside = |u: &Use| matches!(u, Use::Node { node, .. } if member.get(*node).is_some());
        if let Some(k) = at.get(&sets.root(own)).filter(|_| g.value(v).uses().iter().all(inside)) {
            out[*k].freed.push(v);
        }
    }
    out
}

/// Disjoint sets of numbers.
struct Sets(Vec<usize>);

impl Sets {
    fn add(&mut self) -> usize {
        self.0.push(self.0.len());
        self.0.len() - 1
    }
    fn root(&mut self, mut i: usize) -> usize {
        while self.0[i] != i {
            self.0[i] = self.0[self.0[i]];
            i = self.0[i];
        }
        i
    }
    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }
}
