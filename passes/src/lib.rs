//! Graph rewrites and the driver that runs them.
//!
//! [`registry`] lists the passes, [`pipeline`] names and groups them, [`driver`] runs them on a model. One pass per file; its
//! header draws the graph before and after and lists the conditions.
mod channel_affine;
pub mod cleanup;
mod constant_groups;
mod cuts;
pub mod driver;
pub mod fault;
mod fingerprint;
pub mod fold;
pub mod fuse;
pub mod inline;
pub mod interface;
mod known_sizes;
pub mod layout;
pub mod legalize;
pub mod movement;
mod norm_formula;
pub mod pass;
pub mod pipeline;
pub mod profile;
pub mod quantize;
mod queries;
pub mod shape;
pub mod simplify;
mod zeros;

pub use driver::{Failure, Options, Report, Repro, Stat, run};
pub use pass::{Changed, Ctx, FoldLimits, Miss, Pass, PassInfo, Target, Why};
pub use pipeline::Pipeline;
pub use profile::Profile;
pub use quantize::ranges::{Floats, Ranges};
pub use quantize::spec::Quantization;

/// Every pass, in the order in which lists show them.
#[expect(clippy::too_many_lines, reason = "a table, one line per pass")]
pub fn registry() -> &'static [&'static dyn Pass] {
    &[
        &cleanup::remove_identity::RemoveIdentity,
        &cleanup::merge_transposes::MergeTransposes,
        &cleanup::merge_movements::MergeMovements,
        &cleanup::merge_reshapes::MergeReshapes,
        &cleanup::simplify_reshape::SimplifyReshape,
        &cleanup::merge_casts::MergeCasts,
        &cleanup::merge_duplicates::MergeDuplicates,
        &cleanup::remove_dead_code::RemoveDeadCode,
        &simplify::replace_division::ReplaceDivision,
        &simplify::simplify_casts::SimplifyCasts,
        &simplify::remove_zero_bias::RemoveZeroBias,
        &simplify::remove_expand::RemoveExpand,
        &simplify::simplify_arithmetic::SimplifyArithmetic,
        &simplify::simplify_bounds::SimplifyBounds,
        &simplify::merge_reduce_reshape::MergeReduceReshape,
        &simplify::merge_terms::MergeTerms,
        &movement::merge_slices::MergeSlices,
        &movement::merge_concats::MergeConcats,
        &movement::split_slices::SplitSlices,
        &movement::fuse_space_to_depth::FuseSpaceToDepth,
        &shape::infer_shapes::InferShapes,
        &shape::infer_loop_types::InferLoopTypes,
        &shape::merge_shapes::MergeShapes,
        &shape::simplify_lists::SimplifyLists,
        &fold::fold_constants::FoldConstants,
        &fold::fold_branches::FoldBranches,
        &fold::fold_sequences::FoldSequences,
        &fold::inline_functions::InlineFunctions,
        &fold::merge_branches::MergeBranches,
        &fold::trim_control_flow::TrimControlFlow,
        &fold::unroll_loops::UnrollLoops,
        &fuse::fuse_activations::FuseActivations,
        &fuse::fuse_means::FuseMeans,
        &fuse::fuse_bias_activations::FuseBiasActivations,
        &fuse::fuse_conv_batch_norm::FuseConvBatchNorm,
        &fuse::fuse_conv_affine::FuseConvAffine,
        &fuse::fuse_pad::FusePad,
        &fuse::fuse_matmul_add::FuseMatmulAdd,
        &fuse::recurrence::fuse_recurrence::FuseRecurrence,
        &fuse::recurrence::fuse_reversed_sequence::FuseReversedSequence,
        &fuse::recurrence::merge_directions::MergeDirections,
        &fuse::linear::fuse_conv_activation::FuseConvActivation,
        &fuse::linear::fuse_gemm_activation::FuseGemmActivation,
        &fuse::linear::fuse_product_transpose::FuseProductTranspose,
        &fuse::linear::fuse_transposed_gemm::FuseTransposedGemm,
        &fuse::linear::fuse_product_scale::FuseProductScale,
        &quantize::convert_floats::ConvertFloats,
        &quantize::quantize_static::QuantizeStatic,
        &quantize::quantize_weights::QuantizeWeights,
        &quantize::quantize_dynamic::QuantizeDynamic,
        &quantize::dequantize_model::DequantizeModel,
        &fuse::fold_scale::FoldScale,
        &fuse::fuse_layer_norm::FuseLayerNorm,
        &fuse::fuse_group_norm::FuseGroupNorm,
        &fuse::fuse_rms_norm::FuseRmsNorm,
        &fuse::fuse_norm_affine::FuseNormAffine,
        &fuse::fuse_norm_casts::FuseNormCasts,
        &fuse::fuse_reductions::FuseReductions,
        &fuse::fuse_skip_norm::FuseSkipNorm,
        &fuse::fuse_sums::FuseSums,
        &simplify::replace_reciprocal::ReplaceReciprocal,
        &fuse::attention::fuse_scales::FuseScales,
        &fuse::attention::fuse_attention_formula::FuseAttentionFormula,
        &fuse::attention::fuse_attention_groups::FuseAttentionGroups,
        &fuse::attention::fuse_attention_heads::FuseAttentionHeads,
        &fuse::attention::fuse_projected_attention::FuseProjectedAttention,
        &fuse::attention::fuse_rotary_embedding::FuseRotaryEmbedding,
        &fuse::attention::merge_projections::MergeProjections,
        &fuse::quantized::fuse_dequantize::FuseDequantize,
        &fuse::quantized::remove_requantize::RemoveRequantize,
        &fuse::quantized::fuse_integer_product::FuseIntegerProduct,
        &fuse::quantized::fuse_quantized_operator::FuseQuantizedOperator,
        &fuse::quantized::remove_saturated_bounds::RemoveSaturatedBounds,
        &layout::cancel_transposes::CancelTransposes,
        &layout::legalize_layout::LegalizeLayout,
        &legalize::legalize_types::LegalizeTypes,
        &legalize::legalize_reduce::LegalizeReduce,
        &legalize::legalize_softmax::LegalizeSoftmax,
        &legalize::legalize_split::LegalizeSplit,
        &legalize::legalize_pad::LegalizePad,
        &legalize::legalize_reshape::LegalizeReshape,
        &legalize::legalize_resize::LegalizeResize,
        &legalize::tflite::spatial::legalize_tflite_axes::LegalizeTfliteAxes,
        &legalize::tflite::spatial::legalize_tflite_blocks::LegalizeTfliteBlocks,
        &legalize::tflite::spatial::legalize_tflite_floats::LegalizeTfliteFloats,
        &legalize::tflite::spatial::legalize_tflite_fold_columns::LegalizeTfliteFoldColumns,
        &legalize::tflite::spatial::legalize_tflite_groups::LegalizeTfliteGroups,
        &legalize::tflite::spatial::legalize_tflite_integer_conv::LegalizeTfliteIntegerConv,
        &legalize::tflite::spatial::legalize_tflite_norm::LegalizeTfliteNorm,
        &legalize::tflite::spatial::legalize_tflite_padding::LegalizeTflitePadding,
        &legalize::tflite::spatial::legalize_tflite_pool::LegalizeTflitePool,
        &legalize::tflite::spatial::legalize_tflite_positions::LegalizeTflitePositions,
        &legalize::tflite::spatial::legalize_tflite_regions::LegalizeTfliteRegions,
        &legalize::tflite::spatial::legalize_tflite_resize::LegalizeTfliteResize,
        &legalize::tflite::spatial::legalize_tflite_resize_open::LegalizeTfliteResizeOpen,
        &legalize::tflite::spatial::legalize_tflite_sample::LegalizeTfliteSample,
        &legalize::tflite::spatial::legalize_tflite_transposed::LegalizeTfliteTransposed,
        &legalize::tflite::control::legalize_tflite_gemm::LegalizeTfliteGemm,
        &legalize::tflite::control::legalize_tflite_mat_mul::LegalizeTfliteMatMul,
        &legalize::tflite::control::legalize_tflite_mat_mul_integer::LegalizeTfliteMatMulInteger,
        &legalize::tflite::control::legalize_tflite_dft::LegalizeTfliteDft,
        &legalize::tflite::control::legalize_tflite_scan::LegalizeTfliteScan,
        &legalize::tflite::control::legalize_tflite_captures::LegalizeTfliteCaptures,
        &legalize::legalize_expand::LegalizeExpand,
        &legalize::legalize_quantized::LegalizeQuantized,
        &legalize::legalize_onnx::LegalizeOnnx,
        &legalize::tflite::elementwise::legalize_tflite_activations::LegalizeTfliteActivations,
        &legalize::tflite::elementwise::legalize_tflite_dropout::LegalizeTfliteDropout,
        &legalize::tflite::elementwise::legalize_tflite_functions::LegalizeTfliteFunctions,
        &legalize::tflite::elementwise::legalize_tflite_integers::LegalizeTfliteIntegers,
        &legalize::tflite::elementwise::legalize_tflite_quantize::LegalizeTfliteQuantize,
        &legalize::tflite::elementwise::legalize_tflite_reductions::LegalizeTfliteReductions,
        &legalize::tflite::elementwise::legalize_tflite_search::LegalizeTfliteSearch,
        &legalize::tflite::elementwise::legalize_tflite_types::LegalizeTfliteTypes,
        &legalize::tflite::elementwise::legalize_tflite_windows::LegalizeTfliteWindows,
    ]
}

/// The pass of that name.
pub fn by_name(name: &str) -> Option<&'static dyn Pass> {
    registry().iter().find(|p| p.info().name == name).copied()
}
