//! How each operator of the IR comes into a TFLite file. Checked against what happens to every operator case.
use hoist_formats::tflite::bind::lowering;
use hoist_formats::tflite::bind::refused::reason;

/// How nodes of an operator are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// As builtin operators. Forms that those lack are rewritten first, or refused.
    Builtin,
    /// The pass of this name replaces it by operators that have a form.
    Pass(&'static str),
    /// Not at all, for this reason.
    Refused(&'static str),
}

/// Passes that replace operators that no builtin operator computes.
const BY_PASS: &[(&str, &[&str])] = &[
    (
        "fold-sequences",
        &[
            "concat_from_sequence",
            "optional",
            "optional_get_element",
            "optional_has_element",
            "sequence_at",
            "sequence_construct",
            "sequence_empty",
            "sequence_erase",
            "sequence_insert",
            "sequence_length",
            "split_to_sequence",
        ],
    ),
    (
        "legalize-expand",
        &[
            "attention",
            "bernoulli",
            "bias_add",
            "bias_gelu",
            "bias_softmax",
            "bias_split_gelu",
            "binarizer",
            "c_dist",
            "cast_like",
            "causal_conv_with_state",
            "col2_im",
            "contrib_attention",
            "contrib_rotary_embedding",
            "cum_prod",
            "det",
            "dynamic_quantize_mat_mul",
            "einsum",
            "embed_layer_normalization",
            "fast_gelu",
            "fused_conv",
            "fused_gemm",
            "fused_mat_mul",
            "fused_mat_mul_activation",
            "gemm_fast_gelu",
            "group_norm",
            "group_query_attention",
            "gru",
            "imputer",
            "layer_normalization",
            "linear_attention",
            "linear_regressor",
            "lstm",
            "mat_mul_bnb4",
            "mat_mul_integer16",
            "mat_mul_integer_to_float",
            "multi_head_attention",
            "negative_log_likelihood_loss",
            "normalizer",
            "q_attention",
            "q_embed_layer_normalization",
            "rms_normalization",
            "rnn",
            "rotary_embedding",
            "scaled_silu",
            "scaler",
            "skip_group_norm",
            "skip_layer_normalization",
            "skip_simplified_layer_normalization",
            "softmax_cross_entropy_loss",
            "swi_glu",
            "swish",
        ],
    ),
    (
        "legalize-quantized",
        &[
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
        ],
    ),
    (
        "legalize-tflite-activations",
        &[
            "celu",
            "hard_sigmoid",
            "mean",
            "mish",
            "selu",
            "shrink",
            "softplus",
            "softsign",
            "thresholded_relu",
        ],
    ),
    ("legalize-tflite-dft", &["stft"]),
    ("legalize-tflite-dropout", &["dropout"]),
    ("legalize-tflite-functions", &["acosh", "asinh", "atanh", "cosh", "erf", "sinh", "tan"]),
    ("legalize-tflite-gemm", &["gemm"]),
    ("legalize-tflite-integer-conv", &["conv_integer"]),
    ("legalize-tflite-integers", &["bitwise_not", "bitwise_or"]),
    ("legalize-tflite-mat-mul-integer", &["mat_mul_integer"]),
    ("legalize-tflite-norm", &["instance_normalization", "lp_normalization", "mean_variance_normalization"]),
    ("legalize-tflite-pool", &["global_lp_pool", "lp_pool"]),
    ("legalize-tflite-positions", &["max_unpool"]),
    ("legalize-tflite-quantize", &["dynamic_quantize_linear"]),
    (
        "legalize-tflite-reductions",
        &["reduce_l1", "reduce_l2", "reduce_log_sum", "reduce_log_sum_exp", "reduce_sum_square"],
    ),
    ("legalize-tflite-regions", &["roi_align"]),
    ("legalize-tflite-sample", &["affine_grid", "grid_sample"]),
    ("legalize-tflite-scan", &["scan"]),
    ("legalize-tflite-search", &["hardmax"]),
    ("legalize-tflite-windows", &["blackman_window", "hamming_window", "hann_window"]),
];

/// How operator `op` of the IR is written; `None` when it is no operator.
pub fn form(op: &str) -> Option<Form> {
    if lowering(op).is_some() {
        return Some(Form::Builtin);
    }
    let by_pass = BY_PASS.iter().find(|(_, ops)| ops.contains(&op)).map(|(pass, _)| Form::Pass(pass));
    by_pass.or_else(|| reason(op).map(Form::Refused))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoist_formats::tflite::bind::refused::REFUSED;
    use hoist_ir::ops::Op;

    #[test]
    fn every_operator_has_one_form() {
        let named = BY_PASS.iter().flat_map(|(_, ops)| ops.iter()).chain(REFUSED.iter().map(|(op, _)| op));
        let named: Vec<&str> = named.copied().collect();
        for (i, op) in named.iter().enumerate() {
            assert!(Op::by_name(op).is_some(), "{op} is no operator");
            assert!(lowering(op).is_none(), "{op} has a lowering");
            assert!(!named[..i].contains(op), "{op} is named twice");
        }
        for schema in Op::ALL {
            assert!(form(schema.name).is_some(), "nothing says how {} is written", schema.name);
        }
    }
}
