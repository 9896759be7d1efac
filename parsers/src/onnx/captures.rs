//! Which outer values the bodies of a node use: ONNX leaves that implicit.
use hoist_formats::onnx::generated::{GraphProto, NodeProto};
use std::collections::HashSet;

/// Bodies of a node, in attribute order.
pub(super) fn bodies(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|a| a.g.as_deref().into_iter().chain(&a.graphs))
}

/// Names that the bodies of `node` use from outside, in order of first use, without repeats.
pub(super) fn of_node(node: &NodeProto) -> Vec<String> {
    let (mut out, mut seen) = (vec![], HashSet::new());
    for body in bodies(node) {
        for name in free(body) {
            if seen.insert(name.clone()) {
                out.push(name);
            }
        }
    }
    out
}

/// Names that `graph` uses and does not define.
fn free(graph: &GraphProto) -> Vec<String> {
    let mut defined: HashSet<&str> = graph.input.iter().map(|i| i.name()).collect();
    defined.extend(graph.initializer.iter().map(|t| t.name()));
    defined.extend(graph.sparse_initializer.iter().filter_map(|s| s.values.as_ref()).map(|t| t.name()));
    // Nodes may be stored in any order, so every result counts as defined.
    defined.extend(graph.node.iter().flat_map(|n| n.output.iter().map(String::as_str)));
    let mut out = vec![];
    let mut seen = HashSet::new();
    let mut used = |name: &str, out: &mut Vec<String>| {
        if !name.is_empty() && !defined.contains(name) && seen.insert(name.to_owned()) {
            out.push(name.to_owned());
        }
    };
    for node in &graph.node {
        for i in &node.input {
            used(i, &mut out);
        }
        for name in of_node(node) {
            used(&name, &mut out);
        }
    }
    for o in &graph.output {
        used(o.name(), &mut out);
    }
    out
}
