//! `embed_layer_normalization`
use super::meaning::{eval_wide, operand, optional};
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dtype::{DType, DTypeSet};
use crate::graph::ValueId;
use crate::ops::elementwise::arithmetic::Add;
use crate::ops::elementwise::cast::Cast;
use crate::ops::elementwise::compare::Equal;
use crate::ops::index::gather::Gather;
use crate::ops::movement::expand::Expand;
use crate::ops::movement::slice::Slice;
use crate::ops::norm::layer_normalization::LayerNormalization;
use crate::ops::reduce::reductions::ReduceSum;
use crate::ops::shape::shape::Shape;

crate::op! {
    /// Layer normalization over the last axis of the sum of three embeddings: of words, of positions (counted from 0 unless
    /// `position_ids` says), and of segments. Further results: how often `mask` is 1 in each row (0 without `mask`), and the sum.
    embed_layer_normalization EmbedLayerNormalization(
        input_ids: One<T1>, segment_ids: Opt<T1>, word_embedding: One<T>, position_embedding: One<T>, segment_embedding: Opt<T>,
        gamma: One<T>, beta: One<T>, mask: Opt<T1>, position_ids: Opt<T1>
    ) -> (output: One<T>, mask_index: Opt<T1>, embedding_sum: Opt<T>) {
        /// Added to the variance.
        epsilon: f32 = 1e-12,
        /// Kind of the second result in type inference of ONNX Runtime; without effect on values.
        mask_index_type: Option<i64> = None,
    } where T: DTypeSet::of(&[DType::F16, DType::F32]), T1: DTypeSet::of(&[DType::I32]);
    infer = crate::expand::infer, eval = eval_wide, expand = expand;
}

/// The first positions' embeddings, as many as a row has words.
pub(crate) fn first_positions(
    b: &mut Builder<'_>,
    ids: ValueId,
    embedding: ValueId,
) -> Result<ValueId, Diag> {
    let (zero, axes) = (b.ints(&[0]), b.ints(&[0]));
    let length = b.shape(Shape { start: 1, end: Some(2) }, ids)?;
    b.slice(Slice {}, embedding, zero, length, Some(axes), None)
}

pub(crate) fn mask_index(b: &mut Builder<'_>, ids: ValueId, mask: Option<ValueId>) -> Result<ValueId, Diag> {
    let Some(mask) = mask else {
        let rows = b.shape(Shape { start: 0, end: Some(1) }, ids)?;
        let zero = b.scalar(0i32);
        return b.expand(Expand {}, zero, rows);
    };
    let one = b.scalar(1i32);
    let is_one = b.equal(Equal {}, mask, one)?;
    let counted = b.cast(Cast { to: DType::I32, ..Cast::default() }, is_one)?;
    let axes = b.ints(&[1]);
    b.reduce_sum(ReduceSum { keepdims: false, noop_with_empty_axes: false }, counted, Some(axes))
}

fn expand(
    op: &EmbedLayerNormalization,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    outputs: usize,
) -> Result<Option<Vec<ValueId>>, Diag> {
    let ids = operand(inputs, 0)?;
    let mut sum = b.gather(Gather { axis: 0 }, operand(inputs, 2)?, ids)?;
    let positions = match optional(inputs, 8) {
        Some(at) => b.gather(Gather { axis: 0 }, operand(inputs, 3)?, at)?,
        None => first_positions(b, ids, operand(inputs, 3)?)?,
    };
    sum = b.plus(Add {}, sum, positions)?;
    match (optional(inputs, 1), optional(inputs, 4)) {
        (Some(segments), Some(embedding)) => {
            let segments = b.gather(Gather { axis: 0 }, embedding, segments)?;
            sum = b.plus(Add {}, sum, segments)?;
        }
        (None, None) => {}
        _ => return Err(Diag::error("E0303", "segment_ids and segment_embedding go together")),
    }
    let norm = LayerNormalization { epsilon: op.epsilon, ..LayerNormalization::default() };
    let mut all = b.add(norm, &[Some(sum), Some(operand(inputs, 5)?), Some(operand(inputs, 6)?)])?;
    if outputs > 1 {
        all.extend([mask_index(b, ids, optional(inputs, 7))?, sum]);
    }
    Ok(Some(all))
}
