//! Copying the nodes of one graph into another.
use crate::builder::Builder;
use crate::diag::Diag;
use crate::edit::NewNode;
use crate::graph::{Graph, ValueId};
use std::collections::HashMap;

/// Copies a body into a graph, as often as wanted; all copies share the body's constants.
pub struct Splicer<'a> {
    body: &'a Graph,
    constants: HashMap<ValueId, ValueId>,
}

impl<'a> Splicer<'a> {
    /// Copies of `body`.
    pub fn new(body: &'a Graph) -> Self {
        Self { body, constants: HashMap::new() }
    }
    /// Adds the nodes of the body, with `args` in place of its inputs. Returns what its outputs show.
    ///
    /// # Errors
    /// When `args` do not fit the body.
    pub fn splice(&mut self, b: &mut Builder<'_>, args: &[ValueId]) -> Result<Vec<ValueId>, Diag> {
        let body = self.body;
        if args.len() != body.inputs().len() {
            let m = format!("a body of {} inputs is given {} values", body.inputs().len(), args.len());
            return Err(Diag::error("E0403", m));
        }
        let mut map: HashMap<ValueId, ValueId> =
            body.inputs().iter().copied().zip(args.iter().copied()).collect();
        for n in body.order() {
            let node = body.node(n);
            let operands = node.inputs().iter().map(|v| v.map(|v| self.outside(b, &map, v)).transpose());
            let new = NewNode::like(node, operands.collect::<Result<_, _>>()?);
            let results = b.add_node(new)?;
            for (old, new) in node.outputs().iter().zip(results) {
                // What the body declares and inference cannot see holds here too; where both contradict, inference wins.
                let _ = b.graph_mut().declare_type(new, body.ty(*old));
                map.insert(*old, new);
            }
        }
        body.outputs().iter().map(|o| self.outside(b, &map, o.value)).collect()
    }
    fn outside(
        &mut self,
        b: &mut Builder<'_>,
        map: &HashMap<ValueId, ValueId>,
        v: ValueId,
    ) -> Result<ValueId, Diag> {
        if let Some(known) = map.get(&v).or_else(|| self.constants.get(&v)) {
            return Ok(*known);
        }
        let tensor = self.body.constant(v);
        let tensor = tensor.ok_or_else(|| Diag::error("E0401", "a body uses a value it does not define"))?;
        let copy = b.constant(tensor.clone());
        self.constants.insert(v, copy);
        Ok(copy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Origin;
    use crate::text::parse_graph;

    #[test]
    fn copies_share_constants() {
        let body = parse_graph(
            "graph @b(%x: f32[2]) {\n  %c = const f32[2] [1.0, 2.0]\n  %y = add(%x, %c)\n  return y: %y\n}",
        );
        let body = body.expect("reads");
        let mut g = parse_graph("graph @main(%x: f32[2]) {\n  return\n}").expect("reads");
        let x = g.inputs()[0];
        let mut b = Builder::at_end(&mut g, Origin::default());
        let mut splicer = Splicer::new(&body);
        let first = splicer.splice(&mut b, &[x]).expect("fits");
        let second = splicer.splice(&mut b, &first).expect("fits");
        assert!(splicer.splice(&mut b, &[]).is_err());
        g.add_output("y", second[0]);
        let constants = g.values().filter(|(v, _)| g.constant(*v).is_some()).count();
        assert_eq!((g.node_count(), constants), (2, 1));
        assert!(!g.verify().has_errors());
    }
}
