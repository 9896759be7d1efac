//! What an integer input may hold, from where its elements are used.
use super::sizes::Chosen;
use hoist_ir::attr::Attr;
use hoist_ir::graph::{Graph, Use, ValueId};
use hoist_ir::infer::resolve_axis;

/// Values followed before the search ends.
const MAX_SEEN: usize = 256;

/// Operators whose first result holds elements of their first operand and nothing else.
const MOVERS: &[&str] = &[
    "identity",
    "cast",
    "reshape",
    "squeeze",
    "unsqueeze",
    "flatten",
    "transpose",
    "expand",
    "slice",
    "tile",
    "split",
    "concat",
    "dropout",
];

/// One more than the largest index that every use of input `v` allows; `None` when it indexes nothing.
pub(super) fn index_bound(graph: &Graph, v: ValueId, sizes: &Chosen) -> Option<u64> {
    let mut seen = vec![v];
    let mut least: Option<u64> = None;
    let mut at = 0;
    while let Some(&value) = seen.get(at) {
        at += 1;
        for used in graph.value(value).uses() {
            let Use::Node { node, slot } = *used else { continue };
            let node = graph.node(node);
            if let Some(n) = bound_of_use(graph, node, slot as usize, sizes) {
                least = Some(least.map_or(n, |l| l.min(n)));
            }
            let moves = MOVERS.contains(&node.op().name()) && (slot == 0 || node.op().name() == "concat");
            if moves && seen.len() < MAX_SEEN {
                seen.extend(node.outputs().iter().filter(|o| !seen.contains(o)).copied().collect::<Vec<_>>());
            }
        }
    }
    least
}

fn bound_of_use(graph: &Graph, node: &hoist_ir::graph::Node, slot: usize, sizes: &Chosen) -> Option<u64> {
    let size = |operand: usize, axis: usize| {
        let dims = graph.ty(node.input(operand)?).as_tensor()?.shape.as_ref()?;
        sizes.dim(dims.get(axis)?)
    };
    let rank = |operand: usize| graph.ty(node.input(operand)?).as_tensor()?.rank();
    let int = |name: &str| match node.op().def().attr(name) {
        Some(Attr::Int(v)) => Some(v),
        _ => None,
    };
    match (node.op().name(), slot) {
        ("gather" | "gather_elements" | "scatter_elements", 1) => {
            size(0, resolve_axis(int("axis")?, rank(0)?).ok()?)
        }
        ("gather_nd" | "scatter_nd", 1) => {
            let batch = usize::try_from(int("batch_dims").unwrap_or(0)).ok()?;
            let index = rank(1)?.checked_sub(1).and_then(|last| size(1, last))?;
            let depth = usize::try_from(index).ok()?.min(rank(0)?);
            (batch..batch.saturating_add(depth)).filter_map(|axis| size(0, axis)).min()
        }
        ("one_hot", 0) => u64::try_from(graph.constant(node.input(1)?)?.as_int()?).ok(),
        _ => None,
    }
}
