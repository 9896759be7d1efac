//! `group_norm` and `skip_group_norm`
use super::meaning::{dtype, eval_wide, infer_like_first, infer_ranked, operand, optional, rank};
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dtype::{DType, DTypeSet};
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::ops::elementwise::activation::Swish;
use crate::ops::elementwise::arithmetic::Add;
use crate::ops::elementwise::cast::Cast;
use crate::ops::movement::transpose::Transpose;
use crate::ops::movement::unsqueeze::Unsqueeze;
use crate::ops::norm::group::GroupNormalization;

const DATA: DTypeSet = DTypeSet::of(&[DType::F16, DType::F32]);

crate::op! {
    /// Group normalization of images, `gamma` and `beta` per channel, followed by `x * sigmoid(x)` where `activation` is 1. Meaning of
    /// the documentation of ONNX Runtime, whose CPU part lacks the operator.
    group_norm GroupNorm(x: One<T>, gamma: One<M>, beta: One<M>) -> (y: One<T>) {
        /// 0 for none, 1 for `x * sigmoid(x)`.
        activation: i64 = 0,
        /// Whether the data is `[N, H, W, C]`, else `[N, C, H, W]`.
        channels_last: bool = true,
        /// Added to the variance.
        epsilon: f32 = 1e-5,
        /// Number of groups of channels.
        groups: i64 = 1,
    } where T: DATA, M: DATA;
    infer = |op: &GroupNorm, cx: &InferCx<'_>| infer_like_first(op, cx, &[0]), eval = eval_wide, expand = expand;
}

crate::op! {
    /// [`GroupNorm`] of `x + skip + bias`, which is the second result. `skip` has the shape of `x`, or one number per sample and
    /// channel. Meaning of the documentation of ONNX Runtime, whose CPU part lacks the operator.
    skip_group_norm SkipGroupNorm(x: One<T>, gamma: One<M>, beta: One<M>, skip: One<T>, bias: Opt<T>) -> (y: One<T>, s: Opt<T>) {
        /// 0 for none, 1 for `x * sigmoid(x)`.
        activation: i64 = 0,
        /// Whether the data is `[N, H, W, C]`, else `[N, C, H, W]`.
        channels_last: bool = true,
        /// Added to the variance.
        epsilon: f32 = 1e-5,
        /// Number of groups of channels.
        groups: i64 = 1,
    } where T: DATA, M: DATA;
    infer = |op: &SkipGroupNorm, cx: &InferCx<'_>| infer_ranked(op, cx, &[0, 3]), eval = eval_wide, expand = expand_skip;
}

fn permuted(b: &mut Builder<'_>, v: ValueId, channels_last: bool, perm: [i64; 4]) -> Result<ValueId, Diag> {
    if channels_last { b.transpose(Transpose { perm: perm.to_vec() }, v) } else { Ok(v) }
}

fn normalized(
    op: &GroupNorm,
    b: &mut Builder<'_>,
    x: ValueId,
    inputs: &[Option<ValueId>],
) -> Result<ValueId, Diag> {
    let to = dtype(b, x)?;
    let parameter = |b: &mut Builder<'_>, i: usize| -> Result<ValueId, Diag> {
        let v = operand(inputs, i)?;
        if dtype(b, v)? == to { Ok(v) } else { b.cast(Cast { to, ..Cast::default() }, v) }
    };
    let (gamma, beta) = (parameter(b, 1)?, parameter(b, 2)?);
    let norm =
        GroupNormalization { epsilon: op.epsilon, num_groups: op.groups, ..GroupNormalization::default() };
    let first = permuted(b, x, op.channels_last, [0, 3, 1, 2])?;
    let y = b.group_normalization(norm, first, gamma, beta)?;
    let y = permuted(b, y, op.channels_last, [0, 2, 3, 1])?;
    match op.activation {
        0 => Ok(y),
        1 => b.swish(Swish { alpha: 1.0 }, y),
        other => Err(Diag::error("E0304", format!("activation {other} is neither 0 nor 1"))),
    }
}

fn expand(
    op: &GroupNorm,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    _: usize,
) -> Result<Option<Vec<ValueId>>, Diag> {
    Ok(Some(vec![normalized(op, b, operand(inputs, 0)?, inputs)?]))
}

fn expand_skip(
    op: &SkipGroupNorm,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    _: usize,
) -> Result<Option<Vec<ValueId>>, Diag> {
    let mut skip = operand(inputs, 3)?;
    let Some(axes) = rank(b, skip) else { return Ok(None) };
    if axes == 2 {
        let inner = b.ints(if op.channels_last { &[1, 2] } else { &[2, 3] });
        skip = b.unsqueeze(Unsqueeze {}, skip, inner)?;
    }
    let mut sum = b.plus(Add {}, operand(inputs, 0)?, skip)?;
    if let Some(mut bias) = optional(inputs, 4) {
        if !op.channels_last {
            let inner = b.ints(&[1, 2]);
            bias = b.unsqueeze(Unsqueeze {}, bias, inner)?;
        }
        sum = b.plus(Add {}, sum, bias)?;
    }
    let norm = GroupNorm {
        activation: op.activation,
        channels_last: op.channels_last,
        epsilon: op.epsilon,
        groups: op.groups,
    };
    Ok(Some(vec![normalized(&norm, b, sum, inputs)?, sum]))
}
