//! The sign of zero: who can tell it, and where it means nothing.
//!
//! `x + 0.0` is `x` but for the sign of a zero. It is no more than that where an operator adds up products or many elements to get `x`: the
//! sign of a zero sum depends on the order of the additions, which no operator defines. Nor does it matter where every user computes
//! the same from both zeros.
use hoist_ir::graph::{Def, Graph, Node, NodeId, Use, ValueId};

/// Most uses looked at; a sign that may go further is taken to show.
const MOST_USES: usize = 96;
/// Most producers looked at in a row.
const DEPTH: usize = 12;

/// Operators that add up many numbers: the sign of a zero result is not defined.
const SUMS: &[&str] = &[
    "mat_mul",
    "gemm",
    "conv",
    "conv_transpose",
    "fused_conv",
    "fused_gemm",
    "fused_mat_mul",
    "einsum",
    "reduce_sum",
    "reduce_mean",
    "average_pool",
    "global_average_pool",
    "batch_normalization",
    "layer_normalization",
    "group_normalization",
    "instance_normalization",
    "lstm",
    "gru",
    "rnn",
    "cum_sum",
    "dft",
    "stft",
];

/// Operators that compute the same from both zeros, whatever operand they are.
const BLIND: &[&str] = &[
    "sigmoid",
    "exp",
    "cos",
    "cosh",
    "abs",
    "softmax",
    "log_softmax",
    "softplus",
    "hard_sigmoid",
    "log",
    "equal",
    "less",
    "less_or_equal",
    "greater",
    "greater_or_equal",
    "is_nan",
    "is_inf",
    "arg_max",
    "arg_min",
    "quantize_linear",
    "dynamic_quantize_linear",
    "shape",
    "size",
    "non_zero",
    "reduce_l1",
    "reduce_l2",
    "reduce_sum_square",
    "reduce_log_sum_exp",
    "mean_variance_normalization",
    "bias_softmax",
];

/// Operators whose result has the sign where it is a zero too, and depends on it in nothing else.
const PASSED_ON: &[&str] = &[
    "identity",
    "dropout",
    "relu",
    "leaky_relu",
    "p_relu",
    "elu",
    "celu",
    "selu",
    "gelu",
    "bias_gelu",
    "fast_gelu",
    "swish",
    "mish",
    "hard_swish",
    "tanh",
    "erf",
    "softsign",
    "sin",
    "tan",
    "asin",
    "atan",
    "sinh",
    "asinh",
    "sqrt",
    "neg",
    "round",
    "floor",
    "ceil",
    "mul",
    "add",
    "sub",
    "max",
    "min",
    "sum",
    "mean",
    "clip",
    "reduce_max",
    "reduce_min",
    "max_pool",
    "global_max_pool",
    "transpose",
    "reshape",
    "squeeze",
    "unsqueeze",
    "flatten",
    "slice",
    "split",
    "concat",
    "expand",
    "tile",
    "pad",
    "depth_to_space",
    "space_to_depth",
    "gather",
    "resize",
    "rms_normalization",
    "lp_normalization",
    "skip_layer_normalization",
    "skip_simplified_layer_normalization",
];

/// Operators that only move elements: the sign of a zero is that of the operand's.
const MOVED: &[&str] = &[
    "identity",
    "transpose",
    "reshape",
    "squeeze",
    "unsqueeze",
    "flatten",
    "slice",
    "split",
    "expand",
    "tile",
    "depth_to_space",
    "space_to_depth",
    "relu",
];

/// Whether `x` may be used for `y`, which is `x` but for the signs of zeros: they mean nothing, or nobody can tell.
pub fn sign_of_zero_is_free(g: &Graph, x: ValueId, y: ValueId) -> bool {
    !has_signed_zeros(g, x, DEPTH) || !sign_of_zero_shows(g, y)
}

/// Whether the sign of a zero in `v` may mean something: `v` does not come from a sum of many numbers.
fn has_signed_zeros(g: &Graph, v: ValueId, depth: usize) -> bool {
    let Some(p) = g.producer(v).filter(|_| depth > 0) else { return true };
    let node = g.node(p);
    let name = node.op().name();
    if SUMS.contains(&name) {
        return false;
    }
    let signed = |i: usize| node.input(i).is_none_or(|x| has_signed_zeros(g, x, depth / 2));
    match name {
        "mul" => signed(0) || signed(1),
        // A sum is -0 only where both terms are.
        "add" => signed(0) && signed(1),
        _ if MOVED.contains(&name) => node.input(0).is_none_or(|x| has_signed_zeros(g, x, depth - 1)),
        _ => true,
    }
}

/// Whether some result of the graph may differ, in more than signs of zeros that mean nothing, when a zero in `v` changes its sign.
/// Looks at a bounded number of uses.
pub fn sign_of_zero_shows(g: &Graph, v: ValueId) -> bool {
    let mut open = vec![v];
    let mut left = MOST_USES;
    let mut seen: Vec<NodeId> = vec![];
    while let Some(v) = open.pop() {
        for u in g.value(v).uses() {
            let Use::Node { node: n, slot } = u else { return true };
            if left == 0 {
                return true;
            }
            left -= 1;
            match effect(g, g.node(*n), *slot as usize) {
                Effect::None => {}
                Effect::Shows => return true,
                Effect::PassedOn if seen.contains(n) => {}
                Effect::PassedOn => {
                    seen.push(*n);
                    open.extend(g.node(*n).outputs());
                }
            }
        }
    }
    false
}

/// What the sign of a zero in one operand does to the results.
enum Effect {
    /// Nothing that means anything.
    None,
    /// It is the sign of zeros of the results.
    PassedOn,
    /// Anything.
    Shows,
}

fn effect(g: &Graph, node: &Node, slot: usize) -> Effect {
    let name = node.op().name();
    if !node.bodies().is_empty() {
        return Effect::Shows;
    }
    if SUMS.contains(&name) || BLIND.contains(&name) {
        return Effect::None;
    }
    match name {
        "add" if node.input(1 - slot.min(1)).is_some_and(|other| hides_in_sum(g, other)) => Effect::None,
        "div" if slot == 0 => Effect::PassedOn,
        "where" if slot > 0 => Effect::PassedOn,
        "cast" => cast(g, node),
        "pow" if slot == 0 && even_power(g, node) => Effect::None,
        _ if PASSED_ON.contains(&name) => Effect::PassedOn,
        _ => Effect::Shows,
    }
}

/// Whether adding `other` to a zero gives a zero whose sign means nothing, or no zero.
fn hides_in_sum(g: &Graph, other: ValueId) -> bool {
    const MOST: usize = 1 << 12;
    match g.value(other).def() {
        Def::Const => {
            let t = g.constant(other).filter(|t| t.len() <= MOST);
            t.is_some_and(|t| t.to_f64s().is_ok_and(|v| v.iter().all(|x| *x != 0.0 || x.is_sign_positive())))
        }
        _ => !has_signed_zeros(g, other, DEPTH),
    }
}

fn cast(g: &Graph, node: &Node) -> Effect {
    let to = node.outputs().first().and_then(|v| g.ty(*v).as_tensor()).map(|t| t.dtype);
    match to {
        Some(d) if d.is_int() || d == hoist_ir::dtype::DType::Bool => Effect::None,
        Some(d) if d.is_float() => Effect::PassedOn,
        _ => Effect::Shows,
    }
}

fn even_power(g: &Graph, node: &Node) -> bool {
    g.const_f64(node.input(1)).is_some_and(|e| e > 0.0 && e % 2.0 == 0.0)
}
