//! Topological order of a file's nodes.
use super::captures;
use super::tensor::shorten;
use hoist_formats::onnx::generated::NodeProto;
use hoist_ir::diag::Diag;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Positions of `nodes` in an order where definitions come first, as close to the file's order as possible.
///
/// # Errors
/// When nodes depend on each other in a circle.
pub(super) fn topological(nodes: &[NodeProto]) -> Result<Vec<usize>, Diag> {
    let mut maker: HashMap<&str, usize> = HashMap::new();
    for (i, n) in nodes.iter().enumerate() {
        for o in n.output.iter().filter(|o| !o.is_empty()) {
            maker.entry(o).or_insert(i);
        }
    }
    let mut users: Vec<Vec<usize>> = vec![vec![]; nodes.len()];
    let mut waiting = vec![0usize; nodes.len()];
    for (i, n) in nodes.iter().enumerate() {
        let captured = captures::of_node(n);
        for name in n.input.iter().chain(&captured) {
            if let Some(m) = maker.get(name.as_str()) {
                users[*m].push(i);
                waiting[i] += 1;
            }
        }
    }
    let mut ready: BinaryHeap<Reverse<usize>> =
        (0..nodes.len()).filter(|i| waiting[*i] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(Reverse(i)) = ready.pop() {
        order.push(i);
        for u in &users[i] {
            waiting[*u] -= 1;
            if waiting[*u] == 0 {
                ready.push(Reverse(*u));
            }
        }
    }
    if order.len() == nodes.len() {
        return Ok(order);
    }
    let stuck = (0..nodes.len()).find(|i| waiting[*i] > 0).unwrap_or_default();
    let (n, count) = (&nodes[stuck], nodes.len() - order.len());
    let label = if n.name().is_empty() { n.output.first().map_or("", String::as_str) } else { n.name() };
    Err(Diag::error("E0202", format!("{count} nodes depend on each other in a circle"))
        .op(n.op_type())
        .node(shorten(label)))
}
