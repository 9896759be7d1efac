//! LiteRT's integer kernels.
//!
//! What they cost beside those for floats was measured with LiteRT 2.3 and its default delegate, which computes much of this in integers and nothing in words.
use super::{Kernel, Scales, bias_of_product, conv, first, is_constant, moves, number, product};
use crate::quantize::spec::{Params, Quantization};
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId};
use hoist_ir::ops::Op;
use hoist_ir::ops::movement::pad::PadMode;

/// The kernel for `n`.
///
/// # Errors
/// Why there is none.
pub fn kernel(g: &Graph, n: NodeId, q: &Quantization) -> Result<Kernel, &'static str> {
    if let Some(product) = bias_of_product(g, n) {
        return Ok(Kernel::new([product], Scales::Bound));
    }
    let name = g.node(n).op().name();
    let kernel = match name {
        "conv" => convolution(g, n)?,
        "conv_transpose" => transposed(g, n)?,
        "mat_mul" => matrices(g, n, q)?,
        "average_pool" => Kernel::new([0], Scales::Same).losing(pooled(g, n)),
        "relu" | "clip" => bound(g, n, q)?,
        "pad" => pad(g, n)?,
        "where" => Kernel::new([1, 2], Scales::Same),
        "max" | "min" if g.node(n).inputs().len() == 2 => Kernel::new([0, 1], Scales::Same),
        _ => match simple(name, q).or_else(|| Some((moves(name)?, Scales::Same, 0))) {
            Some((count, scales, loss)) => Kernel::new(first(g, n, count), scales).losing(loss),
            None => return Err(why_not(name)),
        },
    };
    let wide = q.activations.dtype == DType::I16;
    if wide && ONLY_BYTES.contains(&name) {
        return Err("LiteRT computes the operator in bytes or floats, not in words");
    }
    // Words are asked for in spite of their cost.
    Ok(if wide { kernel.losing(0) } else { kernel })
}

/// Operators that LiteRT computes in bytes only.
const ONLY_BYTES: &[&str] =
    &["depth_to_space", "elu", "hard_swish", "log_softmax", "p_relu", "space_to_depth"];

/// Operands with data, scales, and cost.
fn simple(name: &str, q: &Quantization) -> Option<(usize, Scales, u64)> {
    let wide = q.activations.dtype == DType::I16;
    let fixed = |shift: i32, zero_point: i32| {
        let words = Params { scale: 0.5f32.powi(15), zero_point: 0 };
        Scales::Fixed(if wide { words } else { Params { scale: 0.5f32.powi(shift), zero_point } })
    };
    Some(match name {
        "add" | "sub" => (2, Scales::Any, 0),
        "mul" => (2, Scales::Any, 4),
        "elu" | "leaky_relu" | "reduce_mean" | "reduce_sum" => (1, Scales::Any, 0),
        "exp" | "gelu" => (1, Scales::Any, 3),
        "sqrt" => (1, Scales::Any, 67),
        "p_relu" => (2, Scales::Any, 100),
        "hard_swish" => (1, Scales::Any, 106),
        "abs" => (1, Scales::Any, 160),
        "reduce_max" | "reduce_min" | "max_pool" | "resize" | "tile" | "depth_to_space"
        | "space_to_depth" | "gather_nd" => (1, Scales::Same, 0),
        "sigmoid" => (1, fixed(8, -128), 0),
        "tanh" => (1, fixed(7, 0), 0),
        "softmax" => (1, fixed(8, -128), 55),
        "log_softmax" => (1, fixed(4, 127), 0),
        _ => return None,
    })
}

/// Why there is no kernel.
fn why_not(name: &str) -> &'static str {
    match name {
        "div" | "neg" => "LiteRT's kernel is wrong for negative integers",
        "reduce_prod" => "LiteRT's kernel overflows on integers",
        "log" => "LiteRT's kernel is far off near zero",
        _ => "LiteRT has no integer kernel for the operator",
    }
}

/// A convolution; sums of few numbers, as of one channel each, gain less.
fn convolution(g: &Graph, n: NodeId) -> Result<Kernel, &'static str> {
    let kernel = conv(g, n)?;
    let weights = g.node(n).input(1).and_then(|w| g.constant(w)).map_or(&[][..], |t| t.shape());
    let summed: usize = weights.iter().skip(1).copied().fold(1, usize::saturating_mul);
    Ok(if summed < 16 { kernel.gaining(16) } else { kernel.gaining(4) })
}

/// A matrix product; that of two activations is slower on integers.
fn matrices(g: &Graph, n: NodeId, q: &Quantization) -> Result<Kernel, &'static str> {
    let kernel = product(g, n);
    if kernel.weights.is_none() && q.activations.dtype != DType::I16 && !q.full {
        return Err("LiteRT multiplies two computed matrices faster in floats");
    }
    Ok(kernel.gaining(4))
}

/// What each number costs that a mean over windows reads or gives: LiteRT's kernel for bytes reads every window anew.
fn pooled(g: &Graph, n: NodeId) -> u64 {
    let Op::AveragePool(op) = g.node(n).op() else { return 0 };
    let area = op.kernel_shape.iter().copied().fold(1, i64::saturating_mul).max(1);
    let strides = op.strides.iter().copied().fold(1, i64::saturating_mul).max(1);
    // A window over everything is read once.
    let whole = g.node(n).outputs().first().and_then(|y| {
        let shape = g.ty(*y).as_tensor()?.shape.as_deref()?;
        let first = op.layout.first_spatial_axis();
        Some(shape.get(first..first + op.kernel_shape.len())?.iter().all(|d| d.known() == Some(1)))
    });
    if whole == Some(true) { 2 } else { 13 * (area / strides).max(1).unsigned_abs() }
}

/// A transposed convolution with constant weights.
fn transposed(g: &Graph, n: NodeId) -> Result<Kernel, &'static str> {
    let bias = g.node(n).input(2).is_none_or(|b| g.constant(b).is_some());
    if !is_constant(g, n, 1) || !bias {
        return Err("the weights or the bias are computed");
    }
    Ok(Kernel::weighted(1, Some(1)))
}

/// A bound is part of what computes its operand where that takes it as an activation, or where the integers end there.
fn bound(g: &Graph, n: NodeId, q: &Quantization) -> Result<Kernel, &'static str> {
    let relu = g.node(n).op().name() == "relu";
    let bounds = (number(g, n, 1), number(g, n, 2));
    let fused = relu || matches!(bounds, (Some(0.0), Some(6.0)) | (Some(-1.0), Some(1.0)));
    let producer = g.node(n).input(0).and_then(|v| g.producer(v)).map(|p| g.node(p).op().name());
    let alone = g.node(n).input(0).is_some_and(|v| g.single_user(v).is_some());
    let takes = alone && producer.is_some_and(|p| ACTIVATED.contains(&p));
    if takes && (fused || !q.activations.symmetric) {
        return Ok(Kernel::new([0], Scales::Bound));
    }
    if fused {
        Ok(Kernel::new([0], Scales::Any).losing(95))
    } else {
        Err("LiteRT has no integer kernel for these bounds")
    }
}

/// Operators that take activations.
const ACTIVATED: &[&str] = &["add", "conv", "conv_transpose", "mat_mul", "mul", "sub"];

/// Borders of zeros, of a number, or of what is near.
fn pad(g: &Graph, n: NodeId) -> Result<Kernel, &'static str> {
    let Op::Pad(op) = g.node(n).op() else { return Err("there is no integer kernel") };
    let constant = op.mode == PadMode::Constant;
    let number = number(g, n, 2);
    if constant && g.node(n).input(2).is_some() && number.is_none() {
        return Err("the border is computed");
    }
    let pooled = g
        .node(n)
        .outputs()
        .iter()
        .all(|y| g.single_user(*y).is_some_and(|u| g.node(u).op().name() == "max_pool"));
    if number.is_some_and(|c| !(c.is_finite() || c < 0.0 && pooled)) {
        return Err("the border is infinite");
    }
    Ok(Kernel::new([0], Scales::Same))
}
