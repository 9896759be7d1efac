//! Making a graph from another one, node by node, with all types inferred anew.
use hoist_ir::diag::Diag;
use hoist_ir::edit::NewNode;
use hoist_ir::graph::{Graph, NodeId, Notes, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::Type;
use std::collections::HashMap;

/// A graph being made from another one.
pub struct Rebuild<'a> {
    old: &'a Graph,
    new: Graph,
    map: HashMap<ValueId, ValueId>,
}

impl<'a> Rebuild<'a> {
    /// Nothing taken over yet but the name.
    pub fn new(old: &'a Graph) -> Self {
        let mut new = Graph::new(&old.name);
        new.notes.clone_from(&old.notes);
        Self { old, new, map: HashMap::new() }
    }
    /// The graph that is copied.
    pub fn old(&self) -> &'a Graph {
        self.old
    }
    /// The graph as it is so far.
    pub fn graph(&self) -> &Graph {
        &self.new
    }
    /// The graph as it is so far, for adding nodes.
    pub fn graph_mut(&mut self) -> &mut Graph {
        &mut self.new
    }
    /// Makes an input of type `ty` that stands for old value `v`, under its name.
    pub fn input(&mut self, v: ValueId, name: &str, ty: Type) -> ValueId {
        let new = self.new.add_input(name, ty);
        if let Some(notes) = &self.old.value(v).notes {
            self.new.set_notes(new, (**notes).clone());
        }
        self.map.insert(v, new);
        new
    }
    /// What stands for old value `v` so far.
    pub fn found(&self, v: ValueId) -> Option<ValueId> {
        self.map.get(&v).copied()
    }
    /// Whether there is something for old value `v` already.
    pub fn has(&self, v: ValueId) -> bool {
        self.map.contains_key(&v)
    }
    /// Makes `new` stand for old value `v`.
    pub fn set(&mut self, v: ValueId, new: ValueId) {
        self.map.insert(v, new);
    }
    /// What stands for old value `v`; constants are copied when first asked for.
    ///
    /// # Errors
    /// When nothing does.
    pub fn get(&mut self, v: ValueId) -> Result<ValueId, Diag> {
        if let Some(new) = self.map.get(&v) {
            return Ok(*new);
        }
        let tensor = self.old.constant(v);
        let tensor = tensor.ok_or_else(|| Diag::error("E0401", "a value is used before it is defined"))?;
        let new = self.new.add_const(tensor.clone());
        self.describe(v, new);
        self.map.insert(v, new);
        Ok(new)
    }
    /// What stands for the operands of `n`.
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    pub fn operands(&mut self, n: NodeId) -> Result<Vec<Option<ValueId>>, Diag> {
        self.old.node(n).inputs().iter().map(|v| v.map(|v| self.get(v)).transpose()).collect()
    }
    fn describe(&mut self, old: ValueId, new: ValueId) {
        let value = self.old.value(old);
        self.new.set_name(new, value.name.clone());
        if let Some(notes) = &value.notes {
            self.new.set_notes(new, (**notes).clone());
        }
    }
    /// Adds node `n` with these operands. What stands for a result already stays.
    ///
    /// # Errors
    /// When the operands do not fit.
    pub fn add(&mut self, n: NodeId, op: Op, inputs: Vec<Option<ValueId>>) -> Result<NodeId, Diag> {
        let node = self.old.node(n);
        let new = self.new.append(NewNode { op, ..NewNode::like(node, inputs) })?;
        self.new.describe_node(new, node.name.clone(), node.notes.clone());
        let results = self.new.node(new).outputs().to_vec();
        for (old, new) in node.outputs().iter().zip(results) {
            if !self.has(*old) {
                self.describe(*old, new);
                self.map.insert(*old, new);
            }
        }
        Ok(new)
    }
    /// Puts constants in place of results of old node `n`, which new node `new` computes.
    pub fn fold(&mut self, n: NodeId, new: NodeId, results: Vec<Tensor>) {
        for (old, tensor) in self.old.node(n).outputs().iter().zip(results) {
            let v = self.new.add_const(tensor);
            self.describe(*old, v);
            self.map.insert(*old, v);
        }
        // Its operands may be wanted again. Nothing uses its results.
        let _ = self.new.erase(new);
    }
    /// Adds node `n` with what stands for its operands.
    ///
    /// # Errors
    /// When these do not fit.
    pub fn copy(&mut self, n: NodeId) -> Result<NodeId, Diag> {
        let inputs = self.operands(n)?;
        self.add(n, self.old.node(n).op().clone(), inputs)
    }
    /// Adds an output.
    ///
    /// # Errors
    /// When nothing stands for `v`.
    pub fn output(&mut self, name: &str, v: ValueId, notes: Option<&Notes>) -> Result<(), Diag> {
        let at = self.new.outputs().len();
        let new = self.get(v)?;
        self.new.add_output(name, new);
        if let Some(notes) = notes {
            self.new.set_output_notes(at, notes.clone());
        }
        Ok(())
    }
    /// Adds all outputs of the old graph.
    ///
    /// # Errors
    /// Those of [`output`](Self::output).
    pub fn outputs(&mut self) -> Result<(), Diag> {
        for o in self.old.outputs() {
            self.output(&o.name, o.value, o.notes.as_deref())?;
        }
        Ok(())
    }
    /// The new graph.
    pub fn finish(self) -> Graph {
        self.new
    }
}
