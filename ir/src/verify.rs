//! The verifier: checks every invariant of a graph and collects what it finds.
use crate::diag::{Diag, Diags};
use crate::entity::SideTable;
use crate::graph::{Def, Graph, NodeId, Use, ValueId};
use crate::infer::{InferCx, infer_op};
use crate::types::Type;

/// Diagnostics kept before the verifier stops collecting.
const MAX_DIAGS: usize = 50;

impl Graph {
    /// Checks use lists, order, definitions, types and bodies, recursively.
    pub fn verify(&self) -> Diags {
        let mut v = Verifier { graph: self, seen: SideTable::new(false), diags: Diags::default() };
        v.run();
        v.diags
    }
}

struct Verifier<'g> {
    graph: &'g Graph,
    seen: SideTable<crate::graph::Value, bool>,
    diags: Diags,
}

impl Verifier<'_> {
    fn report(&mut self, code: &'static str, at: Option<NodeId>, message: String) {
        if self.diags.0.len() >= MAX_DIAGS {
            return;
        }
        let mut d = Diag::error(code, message);
        if let Some(n) = at {
            let node = self.graph.node(n);
            d = d.op(node.op().name()).node(self.graph.node_label(n)).origin(node.origin.clone());
        }
        self.diags.push(d);
    }
    fn run(&mut self) {
        let g = self.graph;
        for (i, v) in g.inputs().iter().enumerate() {
            if g.value(*v).def() != Def::Input(i as u32) {
                self.report("E0401", None, format!("input {i} is not recorded as such"));
            }
            self.seen.set(*v, true);
        }
        for (v, value) in g.values() {
            if value.def() == Def::Const {
                self.seen.set(v, true);
                let stored = g.constant(v).map(|t| Type::from(t.ty()));
                if stored.as_ref() != Some(value.ty()) {
                    self.report("E0401", None, format!("constant `{}` is not of its type", g.value_label(v)));
                }
            }
        }
        let (mut count, mut rank) = (0, 0);
        for n in g.order() {
            count += 1;
            if g.nodes[n].rank <= rank || g.node(n).is_erased() {
                self.report("E0401", Some(n), "the node order is broken".to_owned());
            }
            rank = g.nodes[n].rank;
            self.node(n);
        }
        if count != g.node_count() {
            self.report("E0401", None, format!("{count} nodes in order, {} counted", g.node_count()));
        }
        for (i, o) in g.outputs().iter().enumerate() {
            if !*self.seen.get(o.value) {
                self.report("E0401", None, format!("output `{}` shows an undefined value", o.name));
            }
            if !g.value(o.value).uses().contains(&Use::Output(i as u32)) {
                self.report("E0401", None, format!("output `{}` is missing from its value's uses", o.name));
            }
        }
        self.uses();
    }
    fn node(&mut self, n: NodeId) {
        let (g, node) = (self.graph, self.graph.node(n));
        for (slot, v) in node.inputs().iter().enumerate() {
            let Some(v) = *v else { continue };
            if !*self.seen.get(v) {
                self.report(
                    "E0401",
                    Some(n),
                    format!("operand `{}` is used before its definition", g.value_label(v)),
                );
            }
            let recorded = g.value(v).uses().get(g.nodes[n].use_at[slot] as usize);
            if recorded != Some(&Use::Node { node: n, slot: slot as u32 }) {
                self.report("E0401", Some(n), format!("operand {slot} is missing from its value's uses"));
            }
        }
        for (slot, v) in node.outputs().iter().enumerate() {
            if g.value(*v).def() != (Def::Node { node: n, slot: slot as u32 }) {
                self.report("E0401", Some(n), format!("result {slot} is not recorded as this node's"));
            }
            self.seen.set(*v, true);
        }
        self.types(n);
        for body in node.bodies() {
            if body.inputs().len() < node.captures() {
                self.report("E0401", Some(n), "a body has fewer inputs than the node captures".to_owned());
            }
            for d in body.verify().0 {
                if self.diags.0.len() < MAX_DIAGS {
                    self.diags.push(d.note(format!("in a body of `{}`", g.node_label(n))));
                }
            }
        }
    }
    fn types(&mut self, n: NodeId) {
        let (g, node) = (self.graph, self.graph.node(n));
        let known = g.known(node.inputs());
        let cx =
            InferCx::new(node.op().schema(), &known, node.bodies(), node.captures(), node.outputs().len());
        match infer_op(node.op(), &cx) {
            Err(e) => self.report(e.code, Some(n), e.message),
            Ok(types) => {
                for (v, ty) in node.outputs().iter().zip(types) {
                    if g.ty(*v).meet(&ty).is_none() {
                        let m = format!(
                            "`{}` is recorded as {} and computed as {ty}",
                            g.value_label(*v),
                            g.ty(*v)
                        );
                        self.report("E0402", Some(n), m);
                    }
                }
            }
        }
    }
    /// Every recorded use is real.
    fn uses(&mut self) {
        let g = self.graph;
        let real = |v: ValueId, u: &Use| match *u {
            Use::Node { node, slot } => {
                !g.node(node).is_erased() && g.node(node).input(slot as usize) == Some(v)
            }
            Use::Output(i) => g.outputs().get(i as usize).is_some_and(|o| o.value == v),
        };
        for (v, value) in g.values() {
            if !value.uses().iter().all(|u| real(v, u)) {
                self.report(
                    "E0401",
                    None,
                    format!("`{}` records a use that does not exist", g.value_label(v)),
                );
            }
        }
    }
}
