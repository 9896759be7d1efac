//! Operators that TFLite cannot express, and why.

const TRAINING: &str = "any operands: it is a step of training";
const SEQUENCE: &str =
    "any operands: it computes with lists of tensors or absent ones, and TFLite has tensors only";
const TREES: &str = "any operands: there is no builtin operator for decision trees";
const CLASSICAL: &str = "any operands: there is no builtin operator of classical machine learning";
const TEXT: &str = "any operands: builtin operators do not compute with text";
const QUANTIZED: &str = "any operands: builtin operators do not compute with these packed numbers";
const ABSENT: &str = "any operands: there is no builtin operator for it and no composition yet";

/// Operators that have no form, and what TFLite lacks, as a phrase.
pub const REFUSED: &[(&str, &str)] = &[
    ("adagrad", TRAINING),
    ("adam", TRAINING),
    ("crop_and_resize", ABSENT),
    ("deform_conv", ABSENT),
    ("dynamic_quantize_lstm", QUANTIZED),
    ("feature_vectorizer", CLASSICAL),
    ("image_decoder", "any operands: there is no builtin operator that reads image files"),
    ("inverse", ABSENT),
    ("label_encoder", CLASSICAL),
    ("linear_classifier", CLASSICAL),
    ("max_roi_pool", ABSENT),
    ("mel_weight_matrix", ABSENT),
    ("momentum", TRAINING),
    ("murmur_hash3", TEXT),
    ("n_gram_repeat_block", ABSENT),
    ("one_hot_encoder", CLASSICAL),
    ("regex_full_match", TEXT),
    ("sequence_map", SEQUENCE),
    ("string_concat", TEXT),
    ("string_normalizer", TEXT),
    ("string_split", TEXT),
    ("tf_idf_vectorizer", TEXT),
    ("tree_ensemble", TREES),
    ("tree_ensemble_classifier", TREES),
    ("tree_ensemble_regressor", TREES),
];

/// Operators on lists of tensors that a pass resolves where the content is known.
const LISTS: &[&str] = &[
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
];

/// Why operator `op` has no form, or none where no pass could replace it.
pub fn reason(op: &str) -> Option<&'static str> {
    let refused = REFUSED.iter().find(|r| r.0 == op).map(|r| r.1);
    refused.or_else(|| LISTS.contains(&op).then_some(SEQUENCE))
}
