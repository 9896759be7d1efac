//! Where the borders between `f32` and 16-bit floats lie: where casts cost least.
//!
//! Every node gets a label, 1 for `f32`. A minimum cut weighs a cast for each value that is needed in a type other than that in which it is
//! computed, against what a node loses by staying in `f32`: little, unless it multiplies matrices or has weights.
use super::reasons::is_weight;
use super::slots::{Slots, casts_to_f32, is_f32};
use crate::layout::solve::cut::{Cut, SINK, SOURCE};
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Def, Graph, NodeId, Use, ValueId};
use std::collections::HashMap;

/// Price of a cast.
const CAST: u64 = 16;
/// Price of a node in `f32` that could compute in fewer bits.
const LIGHT: u64 = 2;
/// The same for one that multiplies matrices or has weights.
const HEAVY: u64 = 8 * CAST;

/// Operators whose time or whose weights are the point of fewer bits.
const MULTIPLIES: &[&str] = &[
    "attention",
    "conv",
    "conv_transpose",
    "einsum",
    "fused_conv",
    "fused_gemm",
    "fused_mat_mul",
    "gemm",
    "group_query_attention",
    "gru",
    "lstm",
    "mat_mul",
    "multi_head_attention",
    "rnn",
];

/// The nodes of `free` that compute with 16 bits.
pub fn choose(g: &Graph, free: &HashMap<NodeId, Slots>, to: DType) -> Vec<NodeId> {
    let mut cut = Cut::default();
    let vertices: HashMap<NodeId, usize> =
        g.order().filter(|n| free.contains_key(n)).map(|n| (n, cut.vertex())).collect();
    let at = |n: NodeId| vertices.get(&n).copied().unwrap_or(SOURCE);
    for n in g.order().filter(|n| free.contains_key(n)) {
        cut.edge(at(n), SINK, price(g, n, to));
        for v in g.node(n).outputs().iter().filter(|v| is_f32(g, **v)) {
            border(g, *v, &mut cut, &at, free);
        }
    }
    // What nodes that stay compute, and what the caller gives, is in f32.
    let others = g.order().filter(|n| !free.contains_key(n)).flat_map(|n| g.node(n).outputs().to_vec());
    for v in others.chain(g.inputs().iter().copied()).filter(|v| is_f32(g, *v)) {
        border(g, v, &mut cut, &at, free);
    }
    let labels = cut.solve();
    g.order().filter(|n| vertices.get(n).is_some_and(|at| !labels[*at])).collect()
}

/// What node `n` loses in `f32`.
fn price(g: &Graph, n: NodeId, to: DType) -> u64 {
    let node = g.node(n);
    let op = node.op().name();
    if op == "cast" {
        // A cast between both types goes when its other side computes in 16 bits.
        let of = |v: Option<ValueId>| v.and_then(|v| g.ty(v).as_tensor()).map(|t| t.dtype);
        let between = of(node.input(0)) == Some(to) && casts_to_f32(node.op())
            || of(node.outputs().first().copied()) == Some(to);
        return if between { CAST } else { LIGHT };
    }
    let weights = node.inputs().iter().flatten().any(|v| is_weight(g, *v));
    if weights || MULTIPLIES.contains(&op) { HEAVY } else { LIGHT }
}

/// Casts of value `v`: one where it is computed in 16 bits and a user wants `f32`, and one the other way round.
fn border(g: &Graph, v: ValueId, cut: &mut Cut, at: &dyn Fn(NodeId) -> usize, free: &HashMap<NodeId, Slots>) {
    let def = match g.value(v).def() {
        Def::Node { node, slot } if moves(free, node, |s| &s.results, slot) => at(node),
        Def::Const | Def::Erased => return,
        _ => SOURCE,
    };
    let mut users: Vec<usize> = vec![];
    for u in g.value(v).uses() {
        users.push(match u {
            Use::Node { node, slot } if moves(free, *node, |s| &s.operands, *slot) => at(*node),
            _ => SOURCE,
        });
    }
    cut.shared(def, users, (CAST, CAST));
}

fn moves(free: &HashMap<NodeId, Slots>, n: NodeId, side: impl Fn(&Slots) -> &Vec<usize>, slot: u32) -> bool {
    free.get(&n).is_some_and(|s| side(s).contains(&(slot as usize)))
}
