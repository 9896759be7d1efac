//! What formats attach to nodes and values as encoded messages ([`Notes::opaque`](crate::graph::Notes::opaque)): listing and dropping it.
use crate::graph::{Graph, Notes};
use crate::model::Model;
use std::collections::BTreeSet;

impl Model {
    /// Each encoded message of a node or value that is still in the model, as `kind of label`.
    pub fn annotations(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        list(&self.graph, &mut found);
        found
    }
    /// Drops the encoded messages of nodes and values, and those of the model that `drops` says by kind.
    pub fn drop_annotations(&mut self, drops: impl Fn(&str) -> bool) {
        self.opaque.retain(|(kind, _)| !drops(kind));
        clear(&mut self.graph);
    }
}

fn list(g: &Graph, found: &mut BTreeSet<String>) {
    let mut add = |notes: &Option<Box<Notes>>, label: &dyn Fn() -> String| {
        for (kind, _) in notes.iter().flat_map(|n| &n.opaque) {
            found.insert(format!("{} of `{}`", kind.trim_end_matches(':'), label()));
        }
    };
    for (v, value) in g.values().filter(|(_, value)| value.def() != crate::graph::Def::Erased) {
        add(&value.notes, &|| g.value_label(v));
    }
    for n in g.order() {
        add(&g.node(n).notes, &|| g.node_label(n));
    }
    for n in g.order() {
        g.node(n).stored_bodies().iter().for_each(|b| list(b, found));
    }
}

fn clear(g: &mut Graph) {
    let forget = |notes: &mut Option<Box<Notes>>| {
        if let Some(n) = notes {
            n.opaque.clear();
        }
        if notes.as_deref() == Some(&Notes::default()) {
            *notes = None;
        }
    };
    for v in g.values().map(|(v, _)| v).collect::<Vec<_>>() {
        forget(&mut g.values[v].notes);
    }
    for n in g.order_list() {
        let node = &mut g.nodes[n];
        forget(&mut node.notes);
        node.bodies.iter_mut().for_each(clear);
    }
}
