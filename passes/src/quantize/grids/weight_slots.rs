//! Which operands are weights, and which of their axes channels and sums lie along.
use crate::quantize::spec::Quantization;
use hoist_formats::onnx::bind::write_rows;
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, Use, ValueId};
use hoist_ir::ops::Op;
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// What an operator does with weights.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Convolves.
    Filter,
    /// Multiplies matrices.
    Matrix,
    /// Multiplies by their transpose (`gemm` with `trans_b`).
    Turned,
    /// Picks rows.
    Table,
    /// Multiplies at each step of a sequence, or inside an operator of several steps.
    Inner,
}

/// Weights as an operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Weight {
    /// What becomes of them.
    pub role: Role,
    /// Axis of output channels; of a table, that of a row's elements.
    pub output: usize,
    /// Axis that is summed over; of a table, that of a row's elements.
    pub reduced: usize,
}

/// What operand `slot` of `n` is when it is weights of `rank` axes.
pub fn weight(g: &Graph, n: NodeId, slot: usize, rank: usize) -> Option<Weight> {
    let op = g.node(n).op();
    let at = |role, output, reduced| Some(Weight { role, output, reduced });
    let sets = |attr: &str| op.def().attr(attr) == Some(Attr::Bool(true));
    match (op.name(), slot) {
        ("conv" | "fused_conv", 1) if rank >= 3 => at(Role::Filter, 0, 1),
        ("conv_transpose", 1) if rank >= 3 => at(Role::Filter, 1, 0),
        ("gemm" | "fused_gemm", 1) if rank == 2 && sets("trans_b") => at(Role::Turned, 0, 1),
        ("gemm" | "fused_gemm", 1) if rank == 2 => at(Role::Matrix, 1, 0),
        ("gemm" | "fused_gemm", 0) if rank == 2 => {
            let turned = usize::from(sets("trans_a"));
            at(Role::Inner, turned, 1 - turned)
        }
        ("fused_mat_mul", 1) if rank >= 2 && sets("trans_b") => at(Role::Inner, rank - 2, rank - 1),
        ("fused_mat_mul", 1) if rank >= 2 => at(Role::Inner, rank - 1, rank - 2),
        ("mat_mul", 1) if rank >= 2 => at(Role::Matrix, rank - 1, rank - 2),
        ("mat_mul", 0) if rank >= 2 => at(Role::Inner, rank - 2, rank - 1),
        ("gather", 0) if rank >= 2 => match op {
            Op::Gather(op) if op.axis == 0 => at(Role::Table, rank - 1, rank - 1),
            _ => None,
        },
        ("lstm" | "gru" | "rnn", 1 | 2) if rank == 3 => at(Role::Inner, 1, 2),
        ("contrib_attention", 1) if rank == 2 => at(Role::Inner, 1, 0),
        _ => None,
    }
}

/// What constant `v` is for each of its users, bodies that capture it included; in the order of the graph.
///
/// # Errors
/// Where something else reads it.
pub fn uses(g: &Graph, v: ValueId, q: &Quantization) -> Result<Vec<(NodeId, usize, Weight)>, &'static str> {
    let rank = g.constant(v).map_or(0, |t| t.rank());
    let mut all = vec![];
    for u in g.value(v).uses() {
        let Use::Node { node, slot } = *u else { return Err("a graph output shows the weights") };
        let slot = slot as usize;
        if stays_float(g, node, q) {
            return Err("the node is asked to stay in floats");
        }
        let found = weight(g, node, slot, rank).or_else(|| captured(g, node, slot, rank));
        all.push((node, slot, found.ok_or("something else uses the weights as they are")?));
    }
    all.sort_by(|(a, i, _), (b, k, _)| match (g.comes_before(*a, *b), g.comes_before(*b, *a)) {
        (true, _) => Ordering::Less,
        (_, true) => Ordering::Greater,
        _ => i.cmp(k),
    });
    Ok(all)
}

/// Captures of captures that are looked into.
const MOST_NESTED: usize = 8;

/// What operand `slot` of `n` is inside its bodies.
fn captured(g: &Graph, n: NodeId, slot: usize, rank: usize) -> Option<Weight> {
    inside(g, n, slot, rank, MOST_NESTED).map(|w| Weight { role: Role::Inner, ..w })
}

fn inside(g: &Graph, n: NodeId, slot: usize, rank: usize, depth: usize) -> Option<Weight> {
    let node = g.node(n);
    let from_end = node.inputs().len().checked_sub(slot).filter(|k| *k <= node.captures() && depth > 0)?;
    let mut found = None;
    for body in node.bodies() {
        let v = *body.inputs().get(body.inputs().len().checked_sub(from_end)?)?;
        for u in body.value(v).uses() {
            let Use::Node { node, slot } = *u else { return None };
            let slot = slot as usize;
            let own = weight(body, node, slot, rank).or_else(|| inside(body, node, slot, rank, depth - 1))?;
            found = found.or(Some(own));
        }
    }
    found
}

/// Whether the caller wants node `n` in floats, by its label or its operator, which it names as Hoist or ONNX does.
pub fn stays_float(g: &Graph, n: NodeId, q: &Quantization) -> bool {
    let node = g.node(n);
    let name = node.op().name();
    let is = |asked: &String| {
        asked.eq_ignore_ascii_case(name)
            || write_rows(name).iter().any(|r| asked.eq_ignore_ascii_case(r.foreign))
    };
    let label = g.node_label(n);
    let from = |asked: &String| *asked == label || node.origin.parts().iter().any(|p| *p.name == **asked);
    q.float_ops.iter().any(is) || q.float_nodes.iter().any(from)
}

/// Constants of floats that are weights of some node, in the order of their first use.
pub fn constants(g: &Graph) -> Vec<(ValueId, NodeId)> {
    let mut seen = BTreeSet::new();
    let mut all = vec![];
    for n in g.order() {
        for (slot, v) in g.node(n).inputs().iter().enumerate() {
            let Some(v) = *v else { continue };
            let Some(t) = g.constant(v) else { continue };
            let float = matches!(t.dtype(), DType::F32 | DType::F16 | DType::BF16);
            let is = || weight(g, n, slot, t.rank()).or_else(|| captured(g, n, slot, t.rank())).is_some();
            if float && is() && seen.insert(v) {
                all.push((v, n));
            }
        }
    }
    all
}

/// Nodes with weights that no other such node comes before, or behind.
pub fn ends(g: &Graph) -> BTreeSet<NodeId> {
    let weighted = |n: NodeId| {
        g.node(n).inputs().iter().enumerate().any(|(slot, v)| {
            let t = v.and_then(|v| g.constant(v)).filter(|t| t.dtype().is_float());
            t.and_then(|t| weight(g, n, slot, t.rank())).is_some_and(|w| w.role != Role::Table)
        })
    };
    let order = g.order_list();
    let mut all = BTreeSet::new();
    let mut behind = BTreeSet::new();
    for n in &order {
        let fed =
            g.node(*n).inputs().iter().flatten().any(|v| g.producer(*v).is_some_and(|p| behind.contains(&p)));
        let own = weighted(*n);
        if own && !fed {
            all.insert(*n);
        }
        if own || fed {
            behind.insert(*n);
        }
    }
    let mut ahead = BTreeSet::new();
    for n in order.iter().rev() {
        let read = |u: &Use| matches!(u, Use::Node { node, .. } if ahead.contains(node));
        let feeds = g.node(*n).outputs().iter().any(|v| g.value(*v).uses().iter().any(read));
        let own = weighted(*n);
        if own && !feeds {
            all.insert(*n);
        }
        if own || feeds {
            ahead.insert(*n);
        }
    }
    all
}
