//! `q_embed_layer_normalization`
use super::dequantize_linear::DequantizeLinear;
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dtype::{DType, DTypeSet, F32_ONLY};
use crate::graph::ValueId;
use crate::ops::contrib::embed_layer_normalization::{first_positions, mask_index};
use crate::ops::contrib::meaning::{operand, optional};
use crate::ops::elementwise::arithmetic::Add;
use crate::ops::index::gather::Gather;
use crate::ops::linear::mat_mul_integer::BYTES;
use crate::ops::movement::reshape::Reshape;
use crate::ops::norm::layer_normalization::LayerNormalization;

crate::op! {
    /// `embed_layer_normalization` of quantized embeddings, `gamma` and `beta`: each is dequantized with its scale and zero point, one number
    /// each. Segments are all there or all absent.
    q_embed_layer_normalization QEmbedLayerNormalization(
        input_ids: One<T1>, segment_ids: Opt<T1>, word_embedding_quant: One<T2>, position_embedding_quant: One<T2>, segment_embedding: Opt<T2>,
        gamma_quant: One<T2>, beta_quant: One<T2>, mask: Opt<T1>, word_embedding_scale: One<T>, position_embedding_scale: One<T>,
        segment_embedding_scale: Opt<T>, gamma_scale: One<T>, beta_scale: One<T>, word_embedding_zero_point: One<T2>,
        position_embedding_zero_point: One<T2>, segment_embedding_zero_point: Opt<T2>, gamma_zero_point: One<T2>, beta_zero_point: One<T2>,
    ) -> (layernorm_out: One<T>, mask_index_out: One<T1>) {
        /// Added to the variance.
        epsilon: f32 = 1e-12,
    } where T1: DTypeSet::of(&[DType::I32]), T2: BYTES, T: F32_ONLY;
    infer = crate::expand::infer, eval = crate::expand::eval, expand = expand;
}

/// `q` with the scale and zero point of operands `scale` and `scale + 5`.
fn real(b: &mut Builder<'_>, inputs: &[Option<ValueId>], q: ValueId, scale: usize) -> Result<ValueId, Diag> {
    let number = |b: &mut Builder<'_>, v: ValueId| -> Result<ValueId, Diag> {
        let shape = b.ints(&[]);
        b.reshape(Reshape::default(), v, shape)
    };
    let (s, z) = (number(b, operand(inputs, scale)?)?, number(b, operand(inputs, scale + 5)?)?);
    b.dequantize_linear(DequantizeLinear::default(), q, s, Some(z))
}

fn expand(
    op: &QEmbedLayerNormalization,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    _outputs: usize,
) -> Result<Option<Vec<ValueId>>, Diag> {
    let ids = operand(inputs, 0)?;
    let words = b.gather(Gather { axis: 0 }, operand(inputs, 2)?, ids)?;
    let mut sum = real(b, inputs, words, 8)?;
    let positions = first_positions(b, ids, operand(inputs, 3)?)?;
    let positions = real(b, inputs, positions, 9)?;
    sum = b.plus(Add {}, sum, positions)?;
    match (optional(inputs, 1), optional(inputs, 4), optional(inputs, 10), optional(inputs, 15)) {
        (Some(at), Some(embedding), Some(_), Some(_)) => {
            let segments = b.gather(Gather { axis: 0 }, embedding, at)?;
            let segments = real(b, inputs, segments, 10)?;
            sum = b.plus(Add {}, sum, segments)?;
        }
        (None, None, None, None) => {}
        _ => return Err(Diag::error("E0303", "segments, their embedding, scale and zero point go together")),
    }
    let gamma = real(b, inputs, operand(inputs, 5)?, 11)?;
    let beta = real(b, inputs, operand(inputs, 6)?, 12)?;
    let norm = LayerNormalization { epsilon: op.epsilon, ..LayerNormalization::default() };
    let y = b.add(norm, &[Some(sum), Some(gamma), Some(beta)])?;
    let mask = mask_index(b, ids, optional(inputs, 7))?;
    Ok(Some(y.into_iter().take(1).chain([mask]).collect()))
}
