//! Why a node stays in `f32`.
use super::slots::{Slots, casts_to_f32};
use crate::fault::planted;
use crate::quantize::ranges::Floats;
use hoist_formats::onnx::bind::write_rows;
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::tensor::Tensor;

/// Operators whose result depends on the last bits of their operands, or that add up so much that 16 bits lose it.
const SENSITIVE: &[&str] = &[
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "cos",
    "cosh",
    "cum_prod",
    "cum_sum",
    "exp",
    "group_normalization",
    "instance_normalization",
    "log",
    "log_softmax",
    "lp_normalization",
    "lp_pool",
    "global_lp_pool",
    "lrn",
    "mean_variance_normalization",
    "pow",
    "reduce_l1",
    "reduce_l2",
    "reduce_log_sum",
    "reduce_log_sum_exp",
    "reduce_mean",
    "reduce_prod",
    "reduce_sum",
    "reduce_sum_square",
    "sin",
    "sinh",
    "softmax",
    "tan",
];

/// Operators that have element types of their own, draw random numbers, or count.
const OWN_TYPES: &[&str] = &[
    "bernoulli",
    "blackman_window",
    "dequantize_linear",
    "dft",
    "dynamic_quantize_linear",
    "eye_like",
    "hamming_window",
    "hann_window",
    "mel_weight_matrix",
    "multinomial",
    "non_max_suppression",
    "one_hot",
    "quantize_linear",
    "random_normal",
    "random_normal_like",
    "random_uniform",
    "random_uniform_like",
    "range",
    "stft",
    "unique",
];

/// Part of the largest number that values may reach when the model runs: other inputs give larger ones.
const MARGIN: f64 = 0.25;
/// Constants of more elements are weights: only their largest magnitude counts.
const FEW: usize = 64;

/// Why node `n` stays in `f32`; `None` when it may change.
pub fn of(g: &Graph, n: NodeId, slots: &Slots, floats: &Floats) -> Option<String> {
    let node = g.node(n);
    let op = node.op().name();
    if asked(g, n, floats) {
        return Some("it is to stay in f32".to_owned());
    }
    if SENSITIVE.contains(&op) && !is_short_mean(g, n, floats) && !planted("convert-floats") {
        return Some(format!("`{op}` needs more bits"));
    }
    if OWN_TYPES.contains(&op) || op.starts_with("sequence_") || op.starts_with("optional") {
        return Some(format!("`{op}` has types of its own"));
    }
    if matches!(node.op().def().attr("stash_type"), Some(Attr::Int(t)) if t != 1) {
        return Some("it would add up in 16 bits".to_owned());
    }
    let operands = slots.operands.iter().filter_map(|i| node.input(*i));
    let constants = operands.clone().filter_map(|v| g.constant(v));
    if op != "clip"
        && let Some(reason) = constants.into_iter().find_map(|t| beyond(t, floats))
    {
        return Some(reason);
    }
    if matches!(op, "cast" | "cast_like")
        && let Some(reason) = counts(g, n, floats)
    {
        return Some(reason);
    }
    let results = slots.results.iter().filter_map(|i| node.outputs().get(*i).copied());
    operands.chain(results).find_map(|v| too_large(g, v, floats))
}

/// Whether `n` is a mean over few elements whose sum stays far below the largest number, as pooling is.
fn is_short_mean(g: &Graph, n: NodeId, floats: &Floats) -> bool {
    const SHORT: u64 = 1024;
    let node = g.node(n);
    let known = |v: ValueId| {
        let sizes = g.ty(v).as_tensor()?.sizes()?;
        sizes.iter().try_fold(1u64, |n, d| n.checked_mul(*d as u64))
    };
    let summed = || {
        let x = node.input(0).filter(|_| node.op().name() == "reduce_mean")?;
        let count = known(x)?.checked_div(known(*node.outputs().first()?)?)?;
        Some((count, floats.ranges.largest(x)?))
    };
    summed()
        .is_some_and(|(count, largest)| count <= SHORT && count as f64 * largest <= floats.most() * MARGIN)
}

/// Whether the node is among those that the caller wants in `f32`.
fn asked(g: &Graph, n: NodeId, floats: &Floats) -> bool {
    let node = g.node(n);
    let is = |name: &String| {
        name == node.op().name() || write_rows(node.op().name()).iter().any(|r| r.foreign == name)
    };
    if floats.f32_ops.iter().any(is) {
        return true;
    }
    let label = g.node_label(n);
    let from = |name: &String| *name == label || node.origin.parts().iter().any(|p| *p.name == **name);
    floats.f32_nodes.iter().any(from)
}

/// Why constant `t` cannot be stored with 16 bits.
fn beyond(t: &Tensor, floats: &Floats) -> Option<String> {
    let few = t.len() <= FEW;
    let (mut most, mut least) = (0.0f64, f64::INFINITY);
    each(t, &mut |v| {
        let v = v.abs();
        if v.is_finite() {
            most = most.max(v);
            least = if v > 0.0 { least.min(v) } else { least };
        }
    })?;
    if most > floats.most() {
        return Some(format!("a constant reaches {most:e}"));
    }
    // A table of small numbers is as good as zero in places; a single small number means what it says.
    let small = if few { least } else { most };
    (small > 0.0 && small < floats.least()).then(|| format!("a constant of {small:e} would lose bits"))
}

/// Shows all elements of an `f32` tensor, piece by piece.
fn each(t: &Tensor, seen: &mut dyn FnMut(f64)) -> Option<()> {
    const PIECE: usize = 1 << 18;
    let total = t.byte_len();
    let mut piece = vec![0u8; PIECE.min(total)];
    let mut at = 0;
    while at < total {
        let n = piece.len().min(total - at);
        t.read_bytes(at, &mut piece[..n]).ok()?;
        for four in piece[..n].chunks_exact(4) {
            seen(f64::from(f32::from_le_bytes([four[0], four[1], four[2], four[3]])));
        }
        at += n;
    }
    Some(())
}

/// Why a cast from or to integers needs `f32`: positions and counts are larger than what 16 bits count to.
fn counts(g: &Graph, n: NodeId, floats: &Floats) -> Option<String> {
    let node = g.node(n);
    let x = node.input(0)?;
    let from = g.ty(x).as_tensor()?.dtype;
    let to_f32 = casts_to_f32(node.op()) || node.op().name() == "cast_like";
    if from == DType::Bool || to_f32 && from.is_float() {
        return None;
    }
    if to_f32 && from.int_range().is_some_and(|(_, high)| high as f64 <= floats.exact()) {
        return None;
    }
    let to_bool = node.op().def().attr("to") == Some(Attr::DType(DType::Bool));
    if !to_f32 && to_bool {
        return Some("a number near zero would be taken for zero".to_owned());
    }
    let other_float = matches!(node.op().def().attr("to"), Some(Attr::DType(d)) if d.is_float());
    (!other_float || from.is_int()).then(|| "integers are counted with more bits".to_owned())
}

/// Why value `v` is too large for 16 bits.
fn too_large(g: &Graph, v: ValueId, floats: &Floats) -> Option<String> {
    let largest = floats.ranges.largest(v)?;
    (largest > floats.most() * MARGIN).then(|| format!("`{}` reaches {largest:.3e}", g.value_label(v)))
}

/// Nodes from which an angle or the argument of a logarithm is made, each shown with the reason: an error of a thousandth of a large angle is a
/// turn, and the logarithm of a small difference of large numbers shows what they lost. Goes back to inputs and weights; what multiplies
/// weights is among the nodes for a logarithm, as the transform of a spectrogram is, and not for an angle.
pub fn arguments(g: &Graph, kept: &mut dyn FnMut(NodeId, &'static str)) {
    const MOST: usize = 64;
    let weighty = |n: NodeId| g.node(n).inputs().iter().flatten().any(|v| is_weight(g, *v));
    for n in g.order() {
        let (reason, transforms) = match g.node(n).op().name() {
            "sin" | "cos" => ("its result is an angle", false),
            "log" => ("a logarithm is taken of its result", true),
            _ => continue,
        };
        let mut stack = vec![n];
        for _ in 0..MOST {
            let Some(n) = stack.pop() else { break };
            let results = g.node(n).inputs().iter().flatten().filter(|v| super::slots::is_f32(g, **v));
            for p in results.filter_map(|v| g.producer(*v)) {
                if !weighty(p) {
                    stack.push(p);
                }
                if transforms || !weighty(p) {
                    kept(p, reason);
                }
            }
        }
    }
}

/// Whether `v` is a constant that is worth storing in fewer bits.
pub fn is_weight(g: &Graph, v: ValueId) -> bool {
    const SOME: usize = 4096;
    g.constant(v).is_some_and(|t| t.len() >= SOME)
}
