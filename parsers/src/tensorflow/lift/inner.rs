//! Functions as bodies of other nodes.
use super::Lifter;
use super::cx::{R, V};
use super::val::Val;
use crate::tensorflow::attrs::Attrs;
use hoist_ir::builder::Builder;
use hoist_ir::graph::{Graph, Origin};
use std::collections::HashMap;

/// A body on its way, and what it captures.
pub(super) struct Inner {
    pub(super) graph: Graph,
    /// What the arguments are inside.
    pub(super) args: Vec<Val>,
    /// Values outside that the inputs stand for, in the inputs' order.
    pub(super) outside: Vec<V>,
}

impl Inner {
    /// A body in which the values `args` of `outer` are there: constants as constants, others as inputs.
    pub(super) fn new(outer: &Graph, name: &str, args: &[Val]) -> Self {
        let mut made = Self { graph: Graph::new(name), args: vec![], outside: vec![] };
        made.capture(outer, args);
        made
    }
    /// Captures `args` of `outer` too.
    pub(super) fn capture(&mut self, outer: &Graph, args: &[Val]) {
        let mut map: HashMap<V, V> = HashMap::new();
        for arg in args {
            let mut parts = vec![];
            for v in arg.parts() {
                parts.push(*map.entry(v).or_insert_with(|| {
                    if let Some(t) = outer.constant(v) {
                        return self.graph.add_const(t.clone());
                    }
                    self.outside.push(v);
                    self.graph.add_input(&outer.value_label(v), outer.ty(v).clone())
                }));
            }
            self.args.push(arg.rebuilt(&mut parts.into_iter()));
        }
    }
    /// Lifts function `name` of the arguments behind the first `skip`.
    pub(super) fn call(&mut self, l: &mut Lifter<'_>, name: &str, attrs: &Attrs, skip: usize) -> R<Vec<Val>> {
        let mut b = Builder::at_end(&mut self.graph, Origin::default());
        l.call(&mut b, name, &self.args[skip..], attrs)
    }
}
