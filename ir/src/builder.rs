//! Adding nodes: [`Builder`] has one method per operator, generated from its declaration, and applies a rewrite wholly or not
//! at all.
use crate::diag::Diag;
use crate::edit::NewNode;
use crate::graph::{Graph, NodeId, Origin, ValueId};
use crate::ops::Op;
use crate::tensor::{Element, Tensor};
use std::sync::Arc;

/// Adds nodes at one place of a graph, with one origin.
pub struct Builder<'g> {
    graph: &'g mut Graph,
    anchor: Option<NodeId>,
    origin: Origin,
    name: Option<Arc<str>>,
    added: Vec<NodeId>,
    constants: Vec<ValueId>,
}

impl<'g> Builder<'g> {
    /// Adds at the end of `graph`.
    pub fn at_end(graph: &'g mut Graph, origin: Origin) -> Self {
        Self { graph, anchor: None, origin, name: None, added: vec![], constants: vec![] }
    }
    /// Adds before `anchor`.
    pub fn before(graph: &'g mut Graph, anchor: NodeId, origin: Origin) -> Self {
        Self { graph, anchor: Some(anchor), origin, name: None, added: vec![], constants: vec![] }
    }
    /// The graph being built.
    pub fn graph(&self) -> &Graph {
        self.graph
    }
    /// The graph being built, for edits beyond adding nodes.
    pub fn graph_mut(&mut self) -> &mut Graph {
        self.graph
    }
    /// The nodes added so far.
    pub fn added(&self) -> &[NodeId] {
        &self.added
    }
    /// Origin of the nodes added from now on.
    pub fn set_origin(&mut self, origin: Origin) {
        self.origin = origin;
    }
    /// Name that nodes added from now on carry.
    pub fn set_name(&mut self, name: Option<Arc<str>>) {
        self.name = name;
    }
    /// Adds a node with the fewest results its operator allows.
    ///
    /// # Errors
    /// When the operands do not fit.
    pub fn add(&mut self, op: impl Into<Op>, inputs: &[Option<ValueId>]) -> Result<Vec<ValueId>, Diag> {
        self.add_node(NewNode::new(op, inputs))
    }
    /// Adds a node with `outputs` results.
    ///
    /// # Errors
    /// When the operands do not fit.
    pub fn add_n(
        &mut self,
        op: impl Into<Op>,
        inputs: &[Option<ValueId>],
        outputs: usize,
    ) -> Result<Vec<ValueId>, Diag> {
        self.add_node(NewNode { outputs, ..NewNode::new(op, inputs) })
    }
    /// Adds a node; an empty origin and name are filled in from the builder.
    ///
    /// # Errors
    /// When the operands do not fit.
    pub fn add_node(&mut self, mut new: NewNode) -> Result<Vec<ValueId>, Diag> {
        if new.origin.is_empty() {
            new.origin = self.origin.clone();
        }
        if new.name.is_none() {
            new.name.clone_from(&self.name);
        }
        let n = match self.anchor {
            Some(a) => self.graph.insert_before(new, a)?,
            None => self.graph.append(new)?,
        };
        self.added.push(n);
        Ok(self.graph.node(n).outputs().to_vec())
    }
    /// Adds a constant.
    pub fn constant(&mut self, tensor: Tensor) -> ValueId {
        let v = self.graph.add_const(tensor);
        self.constants.push(v);
        v
    }
    /// Adds a 1-d `i64` constant.
    pub fn ints(&mut self, values: &[i64]) -> ValueId {
        self.constant(Tensor::from_ints(values))
    }
    /// Adds a 0-d constant.
    pub fn scalar<T: Element>(&mut self, value: T) -> ValueId {
        self.constant(Tensor::scalar(value))
    }
    /// Adds a 0-d constant of the element type of `like`, converted from `value`.
    ///
    /// # Errors
    /// When `like` is no tensor of numbers.
    pub fn scalar_like(&mut self, value: f64, like: ValueId) -> Result<ValueId, Diag> {
        let ty = self.graph.ty(like);
        let dtype = ty.as_tensor().map(|t| t.dtype);
        let tensor = dtype.and_then(|d| Tensor::scalar(value).cast(d, false).ok());
        let tensor =
            tensor.ok_or_else(|| Diag::error("E0303", format!("no scalar of type {ty} can be made")))?;
        Ok(self.constant(tensor))
    }
}

impl Graph {
    /// Replaces node `root` by what `build` adds before it. `build` returns one value per result of `root`. The new nodes get
    /// `root`'s origin joined with those of `also`; results keep their names; what becomes dead is removed.
    ///
    /// # Errors
    /// When `build` fails or its values do not fit `root`'s uses; the graph is unchanged then.
    pub fn rewrite(
        &mut self,
        root: NodeId,
        also: &[NodeId],
        build: impl FnOnce(&mut Builder<'_>) -> Result<Vec<ValueId>, Diag>,
    ) -> Result<(), Diag> {
        let origin = also.iter().fold(self.node(root).origin.clone(), |o, n| o.union(&self.node(*n).origin));
        let name = self.node(root).name.clone();
        let mut builder = Builder::before(self, root, origin);
        builder.name = name;
        let built = build(&mut builder);
        let (added, constants) = (builder.added, builder.constants);
        let done = built.and_then(|new| self.commit(root, &new));
        if done.is_err() {
            for n in added.into_iter().rev() {
                self.erase_dead(n);
            }
            for v in constants {
                self.drop_unused_const(v);
            }
            return done;
        }
        self.erase_dead(root);
        Ok(())
    }
    /// Checks all replacements, then makes them.
    fn commit(&mut self, root: NodeId, new: &[ValueId]) -> Result<(), Diag> {
        let old = self.node(root).outputs().to_vec();
        if new.len() != old.len() {
            let m = format!(
                "`{}` has {} results, the rewrite gives {}",
                self.node_label(root),
                old.len(),
                new.len()
            );
            return Err(Diag::error("E0403", m));
        }
        for (o, n) in old.iter().zip(new) {
            let fits = self.ty(*o).meet(self.ty(*n)).is_some();
            let late = self.producer(*n).is_some_and(|p| !self.comes_before(p, root));
            if !fits || late {
                let m = format!("a value of type {} cannot replace `{}`", self.ty(*n), self.value_label(*o));
                return Err(Diag::error("E0403", m));
            }
        }
        for (o, n) in old.into_iter().zip(new) {
            self.replace_uses(o, *n)?;
        }
        Ok(())
    }
}
