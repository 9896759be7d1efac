//! Names of values and nodes in the file: the source's where they are unique, else fresh ones, always the same for the same graph.
use hoist_ir::diag::Diag;
use hoist_ir::entity::SideTable;
use hoist_ir::graph::{Def, Graph, Value, ValueId};
use std::collections::HashSet;
use std::sync::Arc;

/// Names of one graph's values; `None` for values that are not written.
pub(super) type Names = SideTable<Value, Option<Arc<str>>>;

/// Hands out names that no enclosing graph uses.
#[derive(Default)]
pub(super) struct Namer {
    taken: HashSet<Arc<str>>,
    nodes: HashSet<Arc<str>>,
    next: usize,
}

impl Namer {
    /// Names all values of `graph`. For a body, `outer` are the names of its captured inputs, which are its last.
    ///
    /// # Errors
    /// `E0701` when an output shows no node result of its own: `legalize-onnx` makes them.
    pub(super) fn graph(
        &mut self,
        graph: &Graph,
        outer: Option<&[Arc<str>]>,
    ) -> Result<(Names, Vec<Arc<str>>), Diag> {
        let (is_main, outer) = (outer.is_none(), outer.unwrap_or_default());
        let mut names = Names::new(None);
        let mut own = vec![];
        let formal = graph.inputs().len() - outer.len();
        for (v, name) in graph.inputs()[formal..].iter().zip(outer) {
            names.set(*v, Some(name.clone()));
        }
        for v in &graph.inputs()[..formal] {
            self.set(&mut names, &mut own, *v, graph.value(*v).name.as_ref(), "input");
        }
        for o in graph.outputs() {
            if is_main && names.get(o.value).as_ref() == Some(&o.name) {
                continue;
            }
            if !matches!(graph.value(o.value).def(), Def::Node { .. }) || names.get(o.value).is_some() {
                let m = format!("output `{}` shows a value that is no node result of its own", o.name);
                return Err(Diag::error("E0701", m).hint("run the pass legalize-onnx"));
            }
            self.set(&mut names, &mut own, o.value, Some(&o.name), "output");
            // Names of the model's outputs are its interface; those of a body are free.
            if is_main && names.get(o.value).as_ref() != Some(&o.name) {
                let m = format!(
                    "`{}` is the name of an output and of something else, which ONNX cannot hold",
                    o.name
                );
                return Err(
                    Diag::error("E0302", m).hint("give the inputs and outputs of the source different names")
                );
            }
        }
        for (v, value) in graph.values() {
            if names.get(v).is_some() || (value.uses().is_empty() && value.def() == Def::Const) {
                continue;
            }
            let base = match value.def() {
                Def::Const => "const",
                Def::Node { .. } => "value",
                Def::Input(_) | Def::Erased => continue,
            };
            self.set(&mut names, &mut own, v, value.name.as_ref(), base);
        }
        Ok((names, own))
    }
    /// A name for a constant that the graph does not have.
    pub(super) fn constant(&mut self) -> Arc<str> {
        let name = self.fresh(None, "const");
        self.taken.insert(name.clone());
        name
    }
    /// Frees the names of a finished body.
    pub(super) fn release(&mut self, own: &[Arc<str>]) {
        for name in own {
            self.taken.remove(name);
        }
    }
    fn set(
        &mut self,
        names: &mut Names,
        own: &mut Vec<Arc<str>>,
        v: ValueId,
        wish: Option<&Arc<str>>,
        base: &str,
    ) {
        let name = self.fresh(wish, base);
        self.taken.insert(name.clone());
        own.push(name.clone());
        names.set(v, Some(name));
    }
    fn fresh(&mut self, wish: Option<&Arc<str>>, base: &str) -> Arc<str> {
        let wish = wish.filter(|w| !w.is_empty());
        if let Some(w) = wish
            && !self.taken.contains(w)
        {
            return w.clone();
        }
        loop {
            let name: Arc<str> = format!("{}_{}", wish.map_or(base, |w| w), self.next).into();
            self.next += 1;
            if !self.taken.contains(&name) {
                return name;
            }
        }
    }
    /// A node's name, made unique; empty stays empty.
    pub(super) fn node(&mut self, wish: Option<&Arc<str>>) -> Option<String> {
        let wish = wish.filter(|w| !w.is_empty())?;
        let mut name = wish.clone();
        let mut i = 1;
        while !self.nodes.insert(name.clone()) {
            name = format!("{wish}_{i}").into();
            i += 1;
        }
        Some(name.to_string())
    }
}
