//! Operators that TFLite cannot express, and why.

const TRAINING: &str = "any operands: it is a step of training";
const SEQUENCE: &str =
    "any operands: it computes with lists of tensors or absent ones, and TFLite has tensors only";
const TREES: &str = "any operands: there is no builtin operator for decision trees";
const CLASSICAL: &str = "any operands: there is no builtin operator of classical machine learning";
const TEXT: &str = "any operands: builtin operators do not compute with text";
const QUANTIZED: &str = "any operands: builtin operators do not compute with these packed numbers";
const RANDOM: &str = "any operands: builtin operators do not draw from this distribution";
const ABSENT: &str = "any operands: there is no builtin operator for it and no composition yet";

/// Operators that have no form, and what TFLite lacks, as a phrase.
pub const REFUSED: &[(&str, &str)] = &[
    ("adagrad", TRAINING),
    ("adam", TRAINING),
    ("bernoulli", RANDOM),
    ("concat_from_sequence", SEQUENCE),
    ("crop_and_resize", ABSENT),
    ("deform_conv", ABSENT),
    ("det", ABSENT),
    ("dynamic_quantize_lstm", QUANTIZED),
    ("feature_vectorizer", CLASSICAL),
    ("image_decoder", "any operands: there is no builtin operator that reads image files"),
    ("inverse", ABSENT),
    ("label_encoder", CLASSICAL),
    ("linear_classifier", CLASSICAL),
    ("max_roi_pool", ABSENT),
    ("mel_weight_matrix", ABSENT),
    ("momentum", TRAINING),
    ("multinomial", RANDOM),
    ("murmur_hash3", TEXT),
    ("n_gram_repeat_block", ABSENT),
    ("one_hot_encoder", CLASSICAL),
    ("optional", SEQUENCE),
    ("optional_get_element", SEQUENCE),
    ("optional_has_element", SEQUENCE),
    ("regex_full_match", TEXT),
    ("sequence_at", SEQUENCE),
    ("sequence_construct", SEQUENCE),
    ("sequence_empty", SEQUENCE),
    ("sequence_erase", SEQUENCE),
    ("sequence_insert", SEQUENCE),
    ("sequence_length", SEQUENCE),
    ("sequence_map", SEQUENCE),
    ("split_to_sequence", SEQUENCE),
    ("string_concat", TEXT),
    ("string_normalizer", TEXT),
    ("string_split", TEXT),
    ("tf_idf_vectorizer", TEXT),
    ("tree_ensemble", TREES),
    ("tree_ensemble_classifier", TREES),
    ("tree_ensemble_regressor", TREES),
];

/// Why operator `op` has no form.
pub fn reason(op: &str) -> Option<&'static str> {
    REFUSED.iter().find(|r| r.0 == op).map(|r| r.1)
}
