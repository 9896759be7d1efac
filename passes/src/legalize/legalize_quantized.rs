//! `legalize-quantized`
//!
//! ```text
//! %y = q_linear_conv(%x, 0.1, 128, %w, 0.2, 0, 0.3, 128)   ->   %a = dequantize_linear(%x, 0.1, 128)
//!                                                               %b = dequantize_linear(%w, 0.2)
//!                                                               %c = conv(%a, %b)
//!                                                               %y = quantize_linear(%c, 0.3, 128)
//! ```
//! - The target has no form of the node.
//! - The operator says what it means in simpler ones, for these operands. What that is depends on what is constant, and on whether rounding
//!   can differ.
//! - Before `quantize_linear` and `dequantize_linear` are looked at, which have a form where only such nodes are around them.
use super::legalize_expand::expand;
use super::where_lacking;
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Pass, PassInfo};
use hoist_ir::diag::Diag;
use hoist_ir::graph::Graph;

/// The pass.
pub struct LegalizeQuantized;

const INFO: PassInfo = PassInfo {
    name: "legalize-quantized",
    doc: "Replaces operators on quantized tensors that the target lacks by their meaning in simpler ones.",
};

/// Operators whose operands or results are integers with a scale.
const OPS: &[&str] = &[
    "gather_block_quantized",
    "mat_mul_n_bits",
    "q_gemm",
    "q_linear_add",
    "q_linear_average_pool",
    "q_linear_concat",
    "q_linear_conv",
    "q_linear_global_average_pool",
    "q_linear_leaky_relu",
    "q_linear_mat_mul",
    "q_linear_mul",
    "q_linear_sigmoid",
    "q_linear_softmax",
    "q_linear_where",
];

impl Pass for LegalizeQuantized {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(g, cx, OPS, |g, n, _, reason| expand(g, n, reason, planted("legalize-quantized"))))
    }
}
