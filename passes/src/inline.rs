//! Copying a body into the graph around it.
use hoist_ir::diag::Diag;
use hoist_ir::edit::NewNode;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Names already taken in a graph, so that copied values do not repeat one.
pub struct Names(HashSet<Arc<str>>);

impl Names {
    /// Names of the values of `g`.
    pub fn of(g: &Graph) -> Self {
        Self(g.values().filter_map(|(_, v)| v.name.clone()).collect())
    }
    /// `name`, unless it is taken.
    fn claim(&mut self, name: Option<&Arc<str>>) -> Option<Arc<str>> {
        name.filter(|n| self.0.insert(Arc::clone(n))).cloned()
    }
}

/// Replaces `n` by the nodes of `body`, with `args` in place of its inputs; the body's outputs take the place of the results.
///
/// # Errors
/// When `args` or results do not fit the body; the graph is unchanged then.
pub fn inline(
    g: &mut Graph,
    n: NodeId,
    body: &Graph,
    args: &[ValueId],
    names: &mut Names,
) -> Result<(), Diag> {
    if args.len() != body.inputs().len() {
        let m = format!("a body of {} inputs is given {} values", body.inputs().len(), args.len());
        return Err(Diag::error("E0403", m));
    }
    let map = body.inputs().iter().copied().zip(args.iter().copied()).collect();
    let mut copier = Copier { g, body, map, names, added: vec![], constants: vec![] };
    match copier.copy(n).and_then(|shown| copier.pair(n, shown)) {
        Ok(pairs) => {
            pairs.into_iter().try_for_each(|(old, new)| g.replace_uses(old, new))?;
            g.erase_dead(n);
            Ok(())
        }
        Err(d) => {
            copier.undo();
            Err(d)
        }
    }
}

struct Copier<'a> {
    g: &'a mut Graph,
    body: &'a Graph,
    /// What each value of the body is outside.
    map: HashMap<ValueId, ValueId>,
    names: &'a mut Names,
    added: Vec<NodeId>,
    constants: Vec<ValueId>,
}

impl Copier<'_> {
    fn outside(&self, v: ValueId) -> Result<ValueId, Diag> {
        let known = self.map.get(&v).copied();
        known.ok_or_else(|| Diag::error("E0401", "a body uses a value it does not define"))
    }
    fn copy(&mut self, anchor: NodeId) -> Result<Vec<ValueId>, Diag> {
        let body = self.body;
        for (v, value) in body.values().filter(|(_, value)| !value.uses().is_empty()) {
            let Some(t) = body.constant(v) else { continue };
            let copy = self.g.add_const(t.clone());
            self.g.set_name(copy, self.names.claim(value.name.as_ref()));
            self.constants.push(copy);
            self.map.insert(v, copy);
        }
        for n in body.order() {
            self.node(n, anchor)?;
        }
        body.outputs().iter().map(|o| self.outside(o.value)).collect()
    }
    fn node(&mut self, n: NodeId, anchor: NodeId) -> Result<(), Diag> {
        let (body, node) = (self.body, self.body.node(n));
        let operands = node.inputs().iter().map(|v| v.map(|v| self.outside(v)).transpose());
        let new = NewNode::like(node, operands.collect::<Result<_, _>>()?);
        let copy = self.g.insert_before(new, anchor)?;
        self.added.push(copy);
        self.g.describe_node(copy, node.name.clone(), node.notes.clone());
        for (old, new) in node.outputs().iter().zip(self.g.node(copy).outputs().to_vec()) {
            self.g.set_name(new, self.names.claim(body.value(*old).name.as_ref()));
            // What the body declares and inference cannot see holds outside too; where both contradict, inference wins.
            let _ = self.g.declare_type(new, body.ty(*old));
            self.map.insert(*old, new);
        }
        Ok(())
    }
    /// Results of `n`, each with the value that replaces it.
    fn pair(&self, n: NodeId, shown: Vec<ValueId>) -> Result<Vec<(ValueId, ValueId)>, Diag> {
        let results = self.g.node(n).outputs().to_vec();
        if shown.len() < results.len() {
            return Err(Diag::error("E0401", "a body shows fewer values than its node has results"));
        }
        let pairs: Vec<_> = results.into_iter().zip(shown).collect();
        let fits = |(old, new): &(ValueId, ValueId)| self.g.ty(*old).meet(self.g.ty(*new)).is_some();
        if !pairs.iter().all(fits) {
            return Err(Diag::error("E0402", "a result is declared with a type that contradicts the body"));
        }
        Ok(pairs)
    }
    fn undo(&mut self) {
        for n in self.added.drain(..).rev() {
            // Nothing outside uses a copy yet, and later copies are gone.
            let _ = self.g.erase(n);
        }
        for v in self.constants.drain(..) {
            self.g.drop_unused_const(v);
        }
    }
}
