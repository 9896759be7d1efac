//! What nodes are made of before they are in a graph.
use crate::graph::{Graph, Node, Origin, ValueId};
use crate::ops::Op;
use std::sync::Arc;

/// Everything a new node is made of.
pub struct NewNode {
    /// What it computes.
    pub op: Op,
    /// Operands.
    pub inputs: Vec<Option<ValueId>>,
    /// Number of results.
    pub outputs: usize,
    /// Bodies.
    pub bodies: Vec<Graph>,
    /// How many of the last operands the bodies capture.
    pub captures: usize,
    /// Where it comes from.
    pub origin: Origin,
    /// Name in the source.
    pub name: Option<Arc<str>>,
}

impl NewNode {
    /// A node without bodies that has the fewest results its op allows.
    pub fn new(op: impl Into<Op>, inputs: &[Option<ValueId>]) -> Self {
        let op = op.into();
        let outputs = op.schema().output_count().0.max(1);
        Self {
            op,
            inputs: inputs.to_vec(),
            outputs,
            bodies: vec![],
            captures: 0,
            origin: Origin::default(),
            name: None,
        }
    }
    /// `node` once more with other operands.
    pub fn like(node: &Node, inputs: Vec<Option<ValueId>>) -> Self {
        Self {
            op: node.op().clone(),
            inputs,
            outputs: node.outputs().len(),
            bodies: node.bodies().to_vec(),
            captures: node.captures(),
            origin: node.origin.clone(),
            name: node.name.clone(),
        }
    }
}
