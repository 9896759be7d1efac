//! The graph: values, nodes, and the use lists that tie them together. Read access; [`crate::edit`] changes it.
use crate::entity::{Arena, Id};
use crate::infer::Content;
use crate::ops::Op;
use crate::tensor::Tensor;
use crate::types::Type;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// A value of a graph.
pub type ValueId = Id<Value>;
/// A node of a graph.
pub type NodeId = Id<Node>;

/// What defines a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Def {
    /// Graph input of this position.
    Input(u32),
    /// A constant; see [`Graph::constant`].
    Const,
    /// Result `slot` of a node.
    Node {
        /// The node.
        node: NodeId,
        /// Position among its results.
        slot: u32,
    },
    /// Nothing any more: the value was erased.
    Erased,
}

/// One use of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// Operand `slot` of a node.
    Node {
        /// The node.
        node: NodeId,
        /// Position among its operands.
        slot: u32,
    },
    /// Graph output of this position.
    Output(u32),
}

/// Documentation and key-value pairs that a format attaches to an entity; carried along, never interpreted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Notes {
    /// Free text.
    pub doc: String,
    /// Pairs in file order.
    pub props: Vec<(String, String)>,
    /// Encoded messages by kind, as the format's crate names them.
    pub opaque: Vec<(String, Bytes)>,
}

/// An edge of the graph.
#[derive(Clone, Debug)]
pub struct Value {
    /// Name in the source, unique in its graph where set by an importer.
    pub name: Option<Arc<str>>,
    /// Attached documentation.
    pub notes: Option<Box<Notes>>,
    pub(crate) ty: Type,
    pub(crate) content: Option<Content>,
    pub(crate) def: Def,
    pub(crate) uses: Vec<Use>,
    pub(crate) tensor: Option<Box<Tensor>>,
}

impl Value {
    /// Its type.
    pub fn ty(&self) -> &Type {
        &self.ty
    }
    /// Its symbolic elements, where it takes part in shape arithmetic.
    pub fn content(&self) -> Option<&Content> {
        self.content.as_ref()
    }
    /// What defines it.
    pub fn def(&self) -> Def {
        self.def
    }
    /// All uses, graph outputs included, in no particular order.
    pub fn uses(&self) -> &[Use] {
        &self.uses
    }
}

/// An operation.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it computes. Change it through [`Graph::set_op`](Graph::set_op), which keeps types right.
    pub(crate) op: Op,
    /// Name in the source.
    pub name: Option<Arc<str>>,
    /// Attached documentation.
    pub notes: Option<Box<Notes>>,
    /// Where it comes from.
    pub origin: Origin,
    pub(crate) inputs: Vec<Option<ValueId>>,
    /// For each operand, its position in the value's use list.
    pub(crate) use_at: Vec<u32>,
    pub(crate) outputs: Vec<ValueId>,
    pub(crate) bodies: Vec<Graph>,
    pub(crate) captures: u32,
    pub(crate) prev: Option<NodeId>,
    pub(crate) next: Option<NodeId>,
    /// Grows along the order; makes "comes before" a comparison.
    pub(crate) rank: u64,
    pub(crate) erased: bool,
}

impl Node {
    /// What it computes.
    pub fn op(&self) -> &Op {
        &self.op
    }
    /// Operands; `None` where an optional one is absent. The last [`Node::captures`] are captured by the bodies.
    pub fn inputs(&self) -> &[Option<ValueId>] {
        &self.inputs
    }
    /// Operand `i`, if present.
    pub fn input(&self, i: usize) -> Option<ValueId> {
        self.inputs.get(i).copied().flatten()
    }
    /// Results.
    pub fn outputs(&self) -> &[ValueId] {
        &self.outputs
    }
    /// Bodies. What a body uses from outside is among its last [`Node::captures`] inputs, in the order of the node's last operands.
    pub fn bodies(&self) -> &[Graph] {
        &self.bodies
    }
    /// Bodies that formats store with the node: all but the definition of a called function.
    pub fn stored_bodies(&self) -> &[Graph] {
        let defined = matches!(&self.op, Op::Custom(c) if c.defined);
        &self.bodies[..self.bodies.len().saturating_sub(usize::from(defined))]
    }
    /// How many of the last operands are captured by the bodies.
    pub fn captures(&self) -> usize {
        self.captures as usize
    }
    /// Whether it was erased.
    pub fn is_erased(&self) -> bool {
        self.erased
    }
}

/// A graph output: its name is the interface's and stays, whatever value it shows.
#[derive(Clone, PartialEq, Debug)]
pub struct Output {
    /// Interface name.
    pub name: Arc<str>,
    /// What it shows.
    pub value: ValueId,
    /// Attached documentation.
    pub notes: Option<Box<Notes>>,
}

/// Where something comes from: one part per source node. Rewrites keep the union.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Origin(Option<Arc<[OriginPart]>>);

/// One source of an entity.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct OriginPart {
    /// Node name in the source file.
    pub name: Arc<str>,
    /// Operator in the source's own terms.
    pub op: Arc<str>,
    /// Module path such as `encoder.layer.0`, where the format records one.
    pub module: Option<Arc<str>>,
    /// Source line such as `model.py:42`, where the format records one.
    pub line: Option<Arc<str>>,
}

/// Parts kept in a union: enough for any fusion, bounded for hostile files.
const MAX_PARTS: usize = 64;

impl Origin {
    /// A single source.
    pub fn new(part: OriginPart) -> Self {
        Self(Some(Arc::new([part])))
    }
    /// All sources.
    pub fn parts(&self) -> &[OriginPart] {
        self.0.as_deref().unwrap_or_default()
    }
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.parts().is_empty()
    }
    /// The parts of both, without repeats, in order.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        if other.is_empty() || self == other {
            return self.clone();
        }
        let mut parts = self.parts().to_vec();
        for p in other.parts() {
            if parts.len() < MAX_PARTS && !parts.contains(p) {
                parts.push(p.clone());
            }
        }
        Self(Some(parts.into()))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, p) in self.parts().iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(f, "{comma}{}", p.name)?;
            if !p.op.is_empty() {
                write!(f, " ({})", p.op)?;
            }
            if let Some(m) = &p.module {
                write!(f, " in {m}")?;
            }
            if let Some(l) = &p.line {
                write!(f, " at {l}")?;
            }
        }
        Ok(())
    }
}

/// A graph of operations. The order of nodes is always topological.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Name in the source.
    pub name: Arc<str>,
    /// Attached documentation.
    pub notes: Option<Box<Notes>>,
    pub(crate) values: Arena<Value>,
    pub(crate) nodes: Arena<Node>,
    pub(crate) first: Option<NodeId>,
    pub(crate) last: Option<NodeId>,
    pub(crate) live: usize,
    pub(crate) inputs: Vec<ValueId>,
    pub(crate) outputs: Vec<Output>,
}

impl Graph {
    /// An empty graph.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
    /// Value `v`.
    pub fn value(&self, v: ValueId) -> &Value {
        &self.values[v]
    }
    /// All values, erased ones included.
    pub fn values(&self) -> impl Iterator<Item = (ValueId, &Value)> {
        self.values.iter()
    }
    /// Node `n`.
    pub fn node(&self, n: NodeId) -> &Node {
        &self.nodes[n]
    }
    /// Nodes in topological order.
    pub fn order(&self) -> Order<'_> {
        Order { graph: self, next: self.first }
    }
    /// Nodes in topological order, as a list that stays valid while the graph is edited: check [`Node::is_erased`].
    pub fn order_list(&self) -> Vec<NodeId> {
        self.order().collect()
    }
    /// The last node in order.
    pub fn order_end(&self) -> Option<NodeId> {
        self.last
    }
    /// Nodes behind `after` in order; all of them after `None`.
    pub fn order_after(&self, after: Option<NodeId>) -> Vec<NodeId> {
        let next = after.map_or(self.first, |n| self.nodes[n].next);
        Order { graph: self, next }.collect()
    }
    /// Number of nodes.
    pub fn node_count(&self) -> usize {
        self.live
    }
    /// Inputs, in interface order.
    pub fn inputs(&self) -> &[ValueId] {
        &self.inputs
    }
    /// Outputs, in interface order.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }
    /// The tensor of a constant.
    pub fn constant(&self, v: ValueId) -> Option<&Tensor> {
        self.values[v].tensor.as_deref()
    }
    /// Integers of a constant `v`.
    pub fn const_ints(&self, v: Option<ValueId>) -> Option<Vec<i64>> {
        self.constant(v?)?.to_i64s().ok()
    }
    /// The single number of a constant `v`.
    pub fn const_f64(&self, v: Option<ValueId>) -> Option<f64> {
        self.constant(v?)?.as_f64()
    }
    /// Type of `v`.
    pub fn ty(&self, v: ValueId) -> &Type {
        &self.values[v].ty
    }
    /// The node that defines `v`.
    pub fn producer(&self, v: ValueId) -> Option<NodeId> {
        if let Def::Node { node, .. } = self.values[v].def { Some(node) } else { None }
    }
    /// Whether `v` is shown by a graph output.
    pub fn is_output(&self, v: ValueId) -> bool {
        self.values[v].uses.iter().any(|u| matches!(u, Use::Output(_)))
    }
    /// The only user of `v`, when it has exactly one use and that is a node's.
    pub fn single_user(&self, v: ValueId) -> Option<NodeId> {
        if let [Use::Node { node, .. }] = self.values[v].uses.as_slice() { Some(*node) } else { None }
    }
    /// Whether `a` comes before `b` in the order.
    pub fn comes_before(&self, a: NodeId, b: NodeId) -> bool {
        self.nodes[a].rank < self.nodes[b].rank
    }
    /// Name of a node for messages: its own, else that of its first result, else its position.
    pub fn node_label(&self, n: NodeId) -> String {
        let node = &self.nodes[n];
        let of_result = || node.outputs.iter().find_map(|o| self.values[*o].name.clone());
        match node.name.clone().filter(|n| !n.is_empty()).or_else(of_result) {
            Some(name) => name.to_string(),
            None => format!("{}{n:?}", node.op.name()),
        }
    }
    /// Name of a value for messages.
    pub fn value_label(&self, v: ValueId) -> String {
        self.values[v].name.as_ref().map_or_else(|| format!("value{v:?}"), ToString::to_string)
    }
    /// Names and types of inputs and outputs: what no pass may change.
    pub fn interface(&self) -> Interface {
        let input =
            |v: &ValueId| (self.values[*v].name.clone().unwrap_or_default(), self.values[*v].ty.clone());
        let output = |o: &Output| (o.name.clone(), self.values[o.value].ty.clone());
        Interface {
            inputs: self.inputs.iter().map(input).collect(),
            outputs: self.outputs.iter().map(output).collect(),
        }
    }
}

/// Names and types of a graph's inputs and outputs.
#[derive(Clone, PartialEq, Debug)]
pub struct Interface {
    /// Inputs in order.
    pub inputs: Vec<(Arc<str>, Type)>,
    /// Outputs in order.
    pub outputs: Vec<(Arc<str>, Type)>,
}

/// Iterator over nodes in topological order.
#[derive(Clone)]
pub struct Order<'a> {
    graph: &'a Graph,
    next: Option<NodeId>,
}

impl Iterator for Order<'_> {
    type Item = NodeId;
    fn next(&mut self) -> Option<NodeId> {
        let n = self.next?;
        self.next = self.graph.nodes[n].next;
        Some(n)
    }
}
