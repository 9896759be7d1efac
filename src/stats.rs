//! Figures about a graph: operators, parameters, arithmetic, memory of activations.
use hoist_ir::graph::{Def, Graph, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::types::Type;
use std::collections::BTreeMap;

/// What a graph holds and asks for. Bodies are counted once, however often they run.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Nodes, those in bodies included.
    pub nodes: usize,
    /// Nodes of each operator, most frequent first, then by name.
    pub ops: Vec<(String, usize)>,
    /// Elements of all constants.
    pub parameters: u64,
    /// Bytes of all constants.
    pub parameter_bytes: u64,
    /// Multiply-accumulate operations of the nodes whose sizes are known.
    pub macs: u64,
    /// Bytes of all results whose sizes are known.
    pub result_bytes: u64,
    /// Most bytes of values alive at one time in the main graph, constants apart, when each is freed after its last use.
    pub peak_bytes: u64,
    /// Results whose sizes are not known, and which therefore are in none of the three figures above.
    pub unknown: usize,
    /// Whether a node repeats its body, so that its cost depends on data.
    pub repeats: bool,
}

/// Figures of `graph`.
pub fn of(graph: &Graph) -> Stats {
    let mut stats = Stats::default();
    let mut ops = BTreeMap::new();
    collect(graph, &mut stats, &mut ops);
    stats.ops = ops.into_iter().collect();
    stats.ops.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    stats.peak_bytes = peak(graph);
    stats
}

/// Name of an operator for lists: that of its format for operators Hoist does not know.
pub fn op_name(op: &Op) -> String {
    match op {
        Op::Custom(custom) if custom.domain.is_empty() => format!("custom {}", custom.name),
        Op::Custom(custom) => format!("custom {}.{}", custom.domain, custom.name),
        _ => op.name().to_owned(),
    }
}

fn collect(graph: &Graph, stats: &mut Stats, ops: &mut BTreeMap<String, usize>) {
    for (v, value) in graph.values() {
        if let (Def::Const, false, Some(tensor)) = (value.def(), value.uses().is_empty(), graph.constant(v)) {
            stats.parameters += tensor.len() as u64;
            stats.parameter_bytes += tensor.byte_len() as u64;
        }
    }
    for n in graph.order() {
        let node = graph.node(n);
        stats.nodes += 1;
        *ops.entry(op_name(node.op())).or_insert(0) += 1;
        let inputs: Vec<Option<&Type>> = node.inputs().iter().map(|v| v.map(|v| graph.ty(v))).collect();
        let outputs: Vec<&Type> = node.outputs().iter().map(|v| graph.ty(*v)).collect();
        stats.macs = stats.macs.saturating_add(node.op().def().macs(&inputs, &outputs).unwrap_or(0));
        for v in node.outputs() {
            match bytes_of(graph, *v) {
                Some(bytes) => stats.result_bytes = stats.result_bytes.saturating_add(bytes),
                None => stats.unknown += 1,
            }
        }
        stats.repeats |= matches!(node.op().name(), "loop" | "scan" | "sequence_map" | "while");
        for body in node.bodies() {
            collect(body, stats, ops);
        }
    }
}

/// Bytes of a value whose sizes are all known.
fn bytes_of(graph: &Graph, v: ValueId) -> Option<u64> {
    let ty = graph.ty(v).as_tensor()?;
    let count = ty.sizes()?.iter().try_fold(1usize, |n, size| n.checked_mul(*size))?;
    Some(ty.dtype.bytes(count)? as u64)
}

fn peak(graph: &Graph) -> u64 {
    let size = |v: ValueId| bytes_of(graph, v).unwrap_or(0);
    let mut left: Vec<usize> = graph.values().map(|(_, value)| value.uses().len()).collect();
    let mut live: u64 = graph.inputs().iter().map(|v| size(*v)).fold(0, u64::saturating_add);
    let mut most = live;
    for n in graph.order() {
        let node = graph.node(n);
        live = node.outputs().iter().fold(live, |sum, v| sum.saturating_add(size(*v)));
        most = most.max(live);
        for v in node.inputs().iter().flatten() {
            left[v.index()] = left[v.index()].saturating_sub(1);
            if left[v.index()] == 0 && !matches!(graph.value(*v).def(), Def::Const) {
                live = live.saturating_sub(size(*v));
            }
        }
        let unused = node.outputs().iter().filter(|v| graph.value(**v).uses().is_empty());
        live = unused.fold(live, |sum, v| sum.saturating_sub(size(*v)));
    }
    most
}
