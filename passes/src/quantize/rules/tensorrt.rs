//! What `TensorRT` computes in 8 bits: zero points are 0.
use super::{Kernel, Scales, conv, first, gemm, moves, product};
use crate::quantize::spec::Quantization;
use hoist_ir::graph::{Graph, NodeId};

/// The kernel for `n`.
///
/// # Errors
/// Why there is none.
pub fn kernel(g: &Graph, n: NodeId, q: &Quantization) -> Result<Kernel, &'static str> {
    let name = g.node(n).op().name();
    if !q.activations.dtype.is_int() && !matches!(name, "conv" | "gemm" | "mat_mul") {
        return Err("only convolutions and matrix products are quantized to this type");
    }
    let count = |i: usize, scales| Kernel::new(first(g, n, i), scales);
    Ok(match name {
        "conv" => conv(g, n)?.may_stay_float(),
        "gemm" => gemm(g, n)?.may_stay_float(),
        "mat_mul" => product(g, n).may_stay_float(),
        "add" => count(2, Scales::Any).may_stay_float(),
        "average_pool" | "global_average_pool" => count(1, Scales::Any).may_stay_float(),
        // TensorRT fuses it into what computes its operand, whatever the range.
        "relu" => Kernel::new([0], Scales::Bound),
        "max_pool" | "resize" => count(1, Scales::Same),
        _ => match moves(name) {
            Some(n) => count(n, Scales::Same),
            None => return Err("TensorRT computes the operator in floats"),
        },
    })
}
