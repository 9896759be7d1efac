//! The quantization of values, found from the nodes that quantize and dequantize them.
use crate::tflite::program::Quant;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, Use, ValueId};
use hoist_ir::ops::Op;

/// Element types that can carry a scale.
const STORED: &[DType] = &[DType::I8, DType::U8, DType::I16, DType::I4];
/// Most values that are looked at for one.
const MAX_VALUES: usize = 256;
/// Operators that move or choose stored elements, by the number of operands that hold them (from the first on).
const MOVES: &[(&str, usize)] = &[
    ("concat", usize::MAX),
    ("depth_to_space", 1),
    ("expand", 1),
    ("flatten", 1),
    ("gather", 1),
    ("gather_elements", 1),
    ("gather_nd", 1),
    ("identity", 1),
    ("max_pool", 1),
    ("reshape", 1),
    ("slice", 1),
    ("space_to_depth", 1),
    ("split", 1),
    ("squeeze", 1),
    ("tile", 1),
    ("transpose", 1),
    ("unsqueeze", 1),
];
/// Operators that do not read elements as numbers of a scale.
const INDIFFERENT: &[&str] = &["cast", "shape"];

/// Constant scale and zero point of a `quantize_linear` or `dequantize_linear`; none when they are computed or lie in blocks.
pub fn parameters(g: &Graph, n: NodeId) -> Option<Quant> {
    let node = g.node(n);
    let (axis, block, stored) = match node.op() {
        Op::QuantizeLinear(q) if q.precision.is_none() => {
            (q.axis, q.block_size, node.outputs().first().copied()?)
        }
        Op::DequantizeLinear(q) => (q.axis, q.block_size, node.input(0)?),
        _ => return None,
    };
    let scale = g.constant(node.input(1)?)?;
    let scale = (scale.dtype() == DType::F32 && scale.rank() <= 1 && block == 0).then_some(scale)?;
    let scale = scale.to_f32s().ok()?.into_owned();
    let zero_point = match node.input(2) {
        Some(z) => g.constant(z)?.to_i64s().ok()?,
        None => vec![0; scale.len()],
    };
    let usable = zero_point.len() == scale.len() && scale.iter().all(|s| s.is_finite() && *s > 0.0);
    let rank = g.ty(stored).as_tensor()?.rank();
    let axis = match (scale.len(), rank) {
        (0, _) => return None,
        (1, _) => 0,
        (_, Some(rank)) => usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).ok()?,
        (_, None) => return None,
    };
    usable.then_some(Quant { scale, zero_point, axis })
}

/// The quantization that the tensor of `v` can carry: that of the `quantize_linear` and `dequantize_linear` nodes around it and around what its elements are moved from and to,
/// when all agree and nothing else reads them. None for values that are plain integers.
pub fn quant_of(g: &Graph, v: ValueId) -> Option<Quant> {
    let (mut seen, mut open, mut found) = (vec![v], vec![v], None);
    while let Some(v) = open.pop() {
        if !STORED.contains(&g.ty(v).as_tensor()?.dtype) || seen.len() > MAX_VALUES {
            return None;
        }
        let mut next = vec![];
        if let Some(n) = g.producer(v) {
            match g.node(n).op() {
                Op::QuantizeLinear(_) => agreed(&mut found, parameters(g, n)?)?,
                op => next.extend(moved(g, n, op.name())),
            }
        }
        for usage in g.value(v).uses() {
            let Use::Node { node, slot } = *usage else { continue };
            let op = g.node(node).op();
            match op {
                Op::DequantizeLinear(_) if slot == 0 => agreed(&mut found, parameters(g, node)?)?,
                // A zero point is a number of its own.
                Op::DequantizeLinear(_) | Op::QuantizeLinear(_) => return None,
                _ if INDIFFERENT.contains(&op.name()) => {}
                _ if moves(op.name()) > slot as usize => next.extend(moved(g, node, op.name())),
                _ => return None,
            }
        }
        for v in next {
            if !seen.contains(&v) {
                seen.push(v);
                open.push(v);
            }
        }
    }
    // Slices along an axis do not stay where they are when elements move.
    found.filter(|q| q.scale.len() == 1 || seen.len() == 1)
}

fn agreed(found: &mut Option<Quant>, new: Quant) -> Option<()> {
    match found {
        Some(old) if *old != new => None,
        _ => {
            *found = Some(new);
            Some(())
        }
    }
}

fn moves(op: &str) -> usize {
    MOVES.iter().find(|m| m.0 == op).map_or(0, |m| m.1)
}

/// All values whose elements node `n` moves.
fn moved(g: &Graph, n: NodeId, op: &str) -> Vec<ValueId> {
    let count = moves(op);
    let node = g.node(n);
    let results = if op == "max_pool" { 1 } else { usize::MAX };
    let results = node.outputs().iter().take(if count == 0 { 0 } else { results }).copied();
    node.inputs().iter().take(count).flatten().copied().chain(results).collect()
}
