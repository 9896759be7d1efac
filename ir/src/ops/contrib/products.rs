//! Matrix products with something fused: `fused_mat_mul`, `fused_mat_mul_activation`, `fused_gemm`, `gemm_fast_gelu`.
use super::activate::{Activation, Params};
use super::meaning::{eval_wide, infer_ranked, operand, optional, rank};
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dtype::FLOATS;
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::ops::elementwise::activation::{Approximate, Gelu};
use crate::ops::elementwise::arithmetic::{Add, Mul};
use crate::ops::linear::gemm::Gemm;
use crate::ops::linear::mat_mul::MatMul;
use crate::ops::movement::transpose::Transpose;

crate::op! {
    /// `alpha * a' * b'` with the axes of the operands arranged first: `trans_batch_*` makes the first axis the last but one, then
    /// `trans_*` exchanges the last two. Neither matters for operands with one axis.
    fused_mat_mul FusedMatMul(a: One<T>, b: One<T>) -> (y: One<T>) {
        /// Factor of the product.
        alpha: f32 = 1.0,
        /// Whether the last two axes of `a` are exchanged.
        trans_a: bool = false,
        /// Whether the last two axes of `b` are exchanged.
        trans_b: bool = false,
        /// Whether the first axis of `a` becomes the last but one.
        trans_batch_a: bool = false,
        /// Whether the first axis of `b` becomes the last but one.
        trans_batch_b: bool = false,
    } where T: FLOATS;
    infer = |op: &FusedMatMul, cx: &InferCx<'_>| infer_ranked(op, cx, &[0, 1]), eval = eval_wide, expand = expand_product;
}

crate::op! {
    /// [`FusedMatMul`] followed by an activation.
    fused_mat_mul_activation FusedMatMulActivation(a: One<T>, b: One<T>) -> (y: One<T>) {
        /// The activation.
        activation: Option<Activation> = None,
        /// Its parameter `alpha`.
        activation_alpha: Option<f32> = None,
        /// Axis of an activation along an axis; none of the activations has one.
        activation_axis: Option<i64> = None,
        /// Its parameter `beta`.
        activation_beta: Option<f32> = None,
        /// Its parameter `gamma`.
        activation_gamma: Option<f32> = None,
        /// Factor of the product.
        alpha: f32 = 1.0,
        /// As in `fused_mat_mul`.
        trans_a: bool = false,
        /// As in `fused_mat_mul`.
        trans_b: bool = false,
        /// As in `fused_mat_mul`.
        trans_batch_a: bool = false,
        /// As in `fused_mat_mul`.
        trans_batch_b: bool = false,
    } where T: FLOATS;
    infer = |op: &FusedMatMulActivation, cx: &InferCx<'_>| infer_ranked(op, cx, &[0, 1]),
    eval = eval_wide, expand = expand_activated;
}

crate::op! {
    /// [`Gemm`] followed by an activation. Parameters that the activation has must be given.
    fused_gemm FusedGemm(a: One<T>, b: One<T>, c: Opt<T>) -> (y: One<T>) {
        /// The activation.
        activation: Option<Activation> = None,
        /// Its parameter `alpha`.
        activation_alpha: Option<f32> = None,
        /// Its parameter `beta`.
        activation_beta: Option<f32> = None,
        /// Its parameter `gamma`.
        activation_gamma: Option<f32> = None,
        /// Factor of the product.
        alpha: f32 = 1.0,
        /// Factor of `c`.
        beta: f32 = 1.0,
        /// Whether `a` is transposed.
        trans_a: bool = false,
        /// Whether `b` is transposed.
        trans_b: bool = false,
    } where T: FLOATS;
    infer = crate::expand::infer, eval = eval_wide, expand = expand_gemm;
}

crate::op! {
    /// `gelu(x * w + bias)` with the approximation by the hyperbolic tangent.
    gemm_fast_gelu GemmFastGelu(x: One<T>, w: One<T>, bias: Opt<T>) -> (y: One<T>) {} where T: FLOATS;
    infer = crate::expand::infer, eval = eval_wide, expand = expand_gemm_fast_gelu;
}

/// `v` with its axes arranged; `None` when its rank is needed but not known.
fn arranged(b: &mut Builder<'_>, v: ValueId, trans: bool, batch: bool) -> Result<Option<ValueId>, Diag> {
    if !trans && !batch {
        return Ok(Some(v));
    }
    let Some(rank) = rank(b, v) else { return Ok(None) };
    if rank == 2 && batch {
        return Err(Diag::error("E0304", "batch axes are transposed, but an operand has only two axes"));
    }
    if rank < 2 {
        return Ok(Some(v));
    }
    let mut perm: Vec<i64> = (0..rank as i64).collect();
    if batch {
        perm[..rank - 1].rotate_left(1);
    }
    if trans {
        perm.swap(rank - 1, rank - 2);
    }
    if perm.is_sorted() { Ok(Some(v)) } else { b.transpose(Transpose { perm }, v).map(Some) }
}

fn expand_product(
    op: &FusedMatMul,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    _: usize,
) -> Result<Option<Vec<ValueId>>, Diag> {
    let left = arranged(b, operand(inputs, 0)?, op.trans_a, op.trans_batch_a)?;
    let right = arranged(b, operand(inputs, 1)?, op.trans_b, op.trans_batch_b)?;
    let (Some(left), Some(right)) = (left, right) else { return Ok(None) };
    let mut y = b.mat_mul(MatMul {}, left, right)?;
    if op.alpha != 1.0 {
        let alpha = b.scalar_like(f64::from(op.alpha), y)?;
        y = b.mul(Mul {}, y, alpha)?;
    }
    Ok(Some(vec![y]))
}

fn expand_activated(
    op: &FusedMatMulActivation,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    outputs: usize,
) -> Result<Option<Vec<ValueId>>, Diag> {
    let product = FusedMatMul {
        alpha: op.alpha,
        trans_a: op.trans_a,
        trans_b: op.trans_b,
        trans_batch_a: op.trans_batch_a,
        trans_batch_b: op.trans_batch_b,
    };
    let Some(y) = expand_product(&product, b, inputs, outputs)? else { return Ok(None) };
    let (Some(activation), None) = (op.activation, op.activation_axis) else {
        return Err(Diag::error("E0304", "the activation is missing or works along an axis"));
    };
    let params = Params { alpha: op.activation_alpha, beta: op.activation_beta, gamma: op.activation_gamma };
    Ok(Some(vec![activation.add(b, y[0], params)?]))
}

fn expand_gemm(
    op: &FusedGemm,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    _: usize,
) -> Result<Option<Vec<ValueId>>, Diag> {
    let gemm = Gemm { alpha: op.alpha, beta: op.beta, trans_a: op.trans_a, trans_b: op.trans_b };
    let y = b.gemm(gemm, operand(inputs, 0)?, operand(inputs, 1)?, optional(inputs, 2))?;
    let params = Params { alpha: op.activation_alpha, beta: op.activation_beta, gamma: op.activation_gamma };
    Ok(Some(vec![match op.activation {
        Some(a) => a.add(b, y, params)?,
        None => y,
    }]))
}

fn expand_gemm_fast_gelu(
    _: &GemmFastGelu,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    _: usize,
) -> Result<Option<Vec<ValueId>>, Diag> {
    let mut y = b.mat_mul(MatMul {}, operand(inputs, 0)?, operand(inputs, 1)?)?;
    if let Some(bias) = optional(inputs, 2) {
        y = b.plus(Add {}, y, bias)?;
    }
    Ok(Some(vec![b.gelu(Gelu { approximate: Approximate::Tanh }, y)?]))
}
