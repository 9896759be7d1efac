//! What logarithms are taken of.
use crate::quantize::rules::is_f32;
use hoist_ir::graph::{Graph, NodeId};
use std::collections::BTreeSet;

/// Operators that bound numbers or make them anew: what is before them has no more range than they let pass.
const BOUNDS: &[&str] = &[
    "batch_normalization",
    "elu",
    "gelu",
    "group_normalization",
    "hard_sigmoid",
    "hard_swish",
    "instance_normalization",
    "layer_normalization",
    "relu",
    "rms_normalization",
    "selu",
    "sigmoid",
    "softmax",
    "swish",
    "tanh",
];
/// Most nodes that are looked at.
const MOST: usize = 1 << 14;

/// Nodes from which the argument of a logarithm is made, back to activations and inputs: spectrograms and the filters before them. The logarithm shows small numbers beside large
/// ones, which share a step of 8 bits.
pub fn before_logarithms(g: &Graph) -> BTreeSet<NodeId> {
    let mut found = BTreeSet::new();
    let mut open: Vec<NodeId> = g.order().filter(|n| g.node(*n).op().name() == "log").collect();
    while let Some(n) = open.pop().filter(|_| found.len() < MOST) {
        let operands = g.node(n).inputs().iter().flatten().filter(|v| is_f32(g, **v));
        for p in operands.filter_map(|v| g.producer(*v)) {
            if !BOUNDS.contains(&g.node(p).op().name()) && found.insert(p) {
                open.push(p);
            }
        }
    }
    found
}
