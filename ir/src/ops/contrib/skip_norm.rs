//! Normalization of a sum: `skip_layer_normalization` and `skip_simplified_layer_normalization`.
use super::meaning::{eval_wide, infer_like_first, operand, optional};
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dtype::{DType, DTypeSet, F32_ONLY};
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::ops::elementwise::arithmetic::{Add, Mul, Sub};
use crate::ops::elementwise::cast::Cast;
use crate::ops::elementwise::unary::{Reciprocal, Sqrt};
use crate::ops::norm::layer_normalization::LayerNormalization;
use crate::ops::norm::rms_normalization::RmsNormalization;
use crate::ops::reduce::reductions::ReduceMean;

/// Element types of normalized data.
pub const NORMALIZED: DTypeSet = DTypeSet::of(&[DType::F16, DType::BF16, DType::F32]);

crate::op! {
    /// Layer normalization of `input + skip + bias` over the last axis. `skip` stretches to `input`; the others have one number per
    /// position of the last axis. Further results: means, `1 / sqrt(var + epsilon)`, and the sum.
    skip_layer_normalization SkipLayerNormalization(input: One<T>, skip: One<T>, gamma: One<T>, beta: Opt<T>, bias: Opt<T>)
        -> (output: One<T>, mean: Opt<U>, inv_std_var: Opt<U>, input_skip_bias_sum: Opt<T>) {
        /// Added to the variance.
        epsilon: f32 = 1e-12,
    } where T: NORMALIZED, U: F32_ONLY;
    infer = |op: &SkipLayerNormalization, cx: &InferCx<'_>| infer_like_first(op, cx, &[0, 3]), eval = eval_wide, expand = expand_layer;
}

crate::op! {
    /// Root-mean-square normalization of `input + skip + bias` over the last axis; operands and results as in
    /// `skip_layer_normalization`, the means being 0.
    skip_simplified_layer_normalization SkipSimplifiedLayerNormalization(input: One<T>, skip: One<T>, gamma: One<T>, bias: Opt<T>)
        -> (output: One<T>, mean: Opt<U>, inv_std_var: Opt<U>, input_skip_bias_sum: Opt<T>) {
        /// Added to the mean of squares.
        epsilon: f32 = 1e-12,
    } where T: NORMALIZED, U: F32_ONLY;
    infer = |op: &SkipSimplifiedLayerNormalization, cx: &InferCx<'_>| infer_like_first(op, cx, &[0, 3]),
    eval = eval_wide, expand = expand_simplified;
}

type Expanded = Result<Option<Vec<ValueId>>, Diag>;

fn sum(b: &mut Builder<'_>, inputs: &[Option<ValueId>], bias: usize) -> Result<ValueId, Diag> {
    let sum = b.plus(Add {}, operand(inputs, 0)?, operand(inputs, 1)?)?;
    match optional(inputs, bias) {
        Some(bias) => b.plus(Add {}, sum, bias),
        None => Ok(sum),
    }
}

fn expand_layer(
    op: &SkipLayerNormalization,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    outputs: usize,
) -> Expanded {
    let sum = sum(b, inputs, 4)?;
    let norm = LayerNormalization { epsilon: op.epsilon, ..LayerNormalization::default() };
    let mut all =
        b.add_n(norm, &[Some(sum), Some(operand(inputs, 2)?), optional(inputs, 3)], outputs.min(3))?;
    all.push(sum);
    Ok(Some(all))
}

fn expand_simplified(
    op: &SkipSimplifiedLayerNormalization,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    outputs: usize,
) -> Expanded {
    let sum = sum(b, inputs, 3)?;
    let norm = RmsNormalization { epsilon: op.epsilon, ..RmsNormalization::default() };
    let mut all = vec![b.rms_normalization(norm, sum, operand(inputs, 2)?)?];
    if outputs > 1 {
        let x = b.cast(Cast { to: DType::F32, ..Cast::default() }, sum)?;
        let square = b.mul(Mul {}, x, x)?;
        let axis = b.ints(&[-1]);
        let mean = b.reduce_mean(ReduceMean::default(), square, Some(axis))?;
        let epsilon = b.scalar(op.epsilon);
        let shifted = b.plus(Add {}, mean, epsilon)?;
        let root = b.sqrt(Sqrt {}, shifted)?;
        let inverse = b.reciprocal(Reciprocal {}, root)?;
        all.extend([b.sub(Sub {}, inverse, inverse)?, inverse, sum]);
    }
    Ok(Some(all))
}
