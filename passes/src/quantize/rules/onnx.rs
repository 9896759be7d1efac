//! ONNX Runtime's kernels on the CPU for operators between `dequantize_linear` and `quantize_linear`.
use super::{Kernel, Scales, conv, first, gemm, moves, product};
use crate::quantize::spec::{Params, Quantization};
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId};

/// Activations that ONNX Runtime makes part of the product before.
const ACTIVATIONS: &[&str] =
    &["elu", "hard_sigmoid", "leaky_relu", "relu", "selu", "sigmoid", "softplus", "softsign", "tanh"];

/// Whether an activation alone reads the result of `n`.
fn is_activated(g: &Graph, n: NodeId) -> bool {
    let user = g.node(n).outputs().first().and_then(|y| g.single_user(*y));
    user.is_some_and(|u| ACTIVATIONS.contains(&g.node(u).op().name()))
}

/// The kernel for `n`.
///
/// # Errors
/// Why there is none.
pub fn kernel(g: &Graph, n: NodeId, q: &Quantization) -> Result<Kernel, &'static str> {
    let dtype = q.activations.dtype;
    let name = g.node(n).op().name();
    if !matches!(dtype, DType::I8 | DType::U8) && !matches!(name, "conv" | "gemm" | "mat_mul") {
        return Err("only convolutions and matrix products are quantized to this type");
    }
    let count = |i: usize| Kernel::new(first(g, n, i), Scales::Any);
    // Results between 0 and 1 in 256 steps.
    let unit = Params { scale: 1.0 / 256.0, zero_point: if dtype == DType::U8 { 0 } else { -128 } };
    Ok(match name {
        "conv" => conv(g, n)?,
        // Its matrix products of integers are found only where the weights have zero points.
        // ONNX Runtime puts an activation behind a product of floats into it, and then does not see that its operands were integers.
        "gemm" if is_activated(g, n) => gemm(g, n)?.with_zeros(),
        "gemm" => gemm(g, n)?.with_zeros().may_stay_float(),
        "mat_mul" => product(g, n).with_zeros().may_stay_float(),
        "add" | "mul" => count(2),
        "average_pool" | "global_average_pool" | "leaky_relu" => count(1),
        "sigmoid" | "softmax" if !q.activations.symmetric => Kernel::new([0], Scales::Fixed(unit)),
        "concat" => count(usize::MAX),
        "relu" | "clip" if !q.activations.symmetric => Kernel::new([0], Scales::Bound),
        "max_pool" => Kernel::new([0], Scales::Same),
        _ => match moves(name) {
            Some(count) => Kernel::new(first(g, n, count), Scales::Same),
            None => return Err("ONNX Runtime has no integer kernel for the operator"),
        },
    })
}
