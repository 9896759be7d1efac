//! The table of rows. One operator may have several: for different ranges of operator sets, or for older names.
use super::row::{Fix, Form, Row, row};
use super::{attention, experimental, lift, lift_training, ml, old, quantized, vendor};
use Fix::{
    AttrIsInput, Build, BuildWhere, Fill, Finish, If, InputSince, OnRead, OnWrite, Prepare, Upgrade,
    WordSince, WriteOnly,
};

/// Rows of operators whose every version since `since` means what the IR's means.
const PLAIN: &[(&str, &str, i64)] = &[
    ("abs", "Abs", 1),
    ("neg", "Neg", 1),
    ("sign", "Sign", 9),
    ("ceil", "Ceil", 1),
    ("floor", "Floor", 1),
    ("round", "Round", 11),
    ("sqrt", "Sqrt", 1),
    ("exp", "Exp", 1),
    ("log", "Log", 1),
    ("erf", "Erf", 9),
    ("reciprocal", "Reciprocal", 1),
    ("sin", "Sin", 7),
    ("cos", "Cos", 7),
    ("tan", "Tan", 7),
    ("asin", "Asin", 7),
    ("acos", "Acos", 7),
    ("atan", "Atan", 7),
    ("sinh", "Sinh", 9),
    ("cosh", "Cosh", 9),
    ("tanh", "Tanh", 1),
    ("asinh", "Asinh", 9),
    ("acosh", "Acosh", 9),
    ("atanh", "Atanh", 9),
    ("not", "Not", 1),
    ("bitwise_not", "BitwiseNot", 18),
    ("is_nan", "IsNaN", 9),
    ("is_inf", "IsInf", 10),
    ("relu", "Relu", 1),
    ("leaky_relu", "LeakyRelu", 1),
    ("p_relu", "PRelu", 7),
    ("elu", "Elu", 1),
    ("selu", "Selu", 6),
    ("celu", "Celu", 12),
    ("sigmoid", "Sigmoid", 1),
    ("hard_sigmoid", "HardSigmoid", 1),
    ("hard_swish", "HardSwish", 14),
    ("swish", "Swish", 24),
    ("softplus", "Softplus", 1),
    ("softsign", "Softsign", 1),
    ("mish", "Mish", 18),
    ("gelu", "Gelu", 20),
    ("thresholded_relu", "ThresholdedRelu", 10),
    ("shrink", "Shrink", 9),
    ("add", "Add", 7),
    ("sub", "Sub", 7),
    ("mul", "Mul", 7),
    ("div", "Div", 7),
    ("max", "Max", 1),
    ("min", "Min", 1),
    ("mean", "Mean", 1),
    ("sum", "Sum", 1),
    ("pow", "Pow", 7),
    ("and", "And", 7),
    ("or", "Or", 7),
    ("xor", "Xor", 7),
    ("bitwise_and", "BitwiseAnd", 18),
    ("bitwise_or", "BitwiseOr", 18),
    ("bitwise_xor", "BitwiseXor", 18),
    ("bit_shift", "BitShift", 11),
    ("equal", "Equal", 7),
    ("greater", "Greater", 7),
    ("less", "Less", 7),
    ("greater_or_equal", "GreaterOrEqual", 12),
    ("less_or_equal", "LessOrEqual", 12),
    ("where", "Where", 9),
    ("cum_prod", "CumProd", 26),
    ("cum_sum", "CumSum", 11),
    ("mat_mul", "MatMul", 1),
    ("einsum", "Einsum", 12),
    ("mat_mul_integer", "MatMulInteger", 10),
    ("conv", "Conv", 1),
    ("conv_transpose", "ConvTranspose", 1),
    ("conv_integer", "ConvInteger", 10),
    ("global_average_pool", "GlobalAveragePool", 1),
    ("global_max_pool", "GlobalMaxPool", 1),
    ("global_lp_pool", "GlobalLpPool", 2),
    ("space_to_depth", "SpaceToDepth", 1),
    ("layer_normalization", "LayerNormalization", 17),
    ("rms_normalization", "RMSNormalization", 23),
    ("instance_normalization", "InstanceNormalization", 1),
    ("lrn", "LRN", 1),
    ("lp_normalization", "LpNormalization", 1),
    ("mean_variance_normalization", "MeanVarianceNormalization", 9),
    ("dynamic_quantize_linear", "DynamicQuantizeLinear", 11),
    ("q_linear_conv", "QLinearConv", 10),
    ("q_linear_mat_mul", "QLinearMatMul", 10),
    ("flatten", "Flatten", 1),
    ("expand", "Expand", 8),
    ("tile", "Tile", 6),
    ("reverse_sequence", "ReverseSequence", 10),
    ("trilu", "Trilu", 14),
    ("size", "Size", 1),
    ("range", "Range", 11),
    ("one_hot", "OneHot", 9),
    ("non_zero", "NonZero", 9),
    ("gather", "Gather", 1),
    ("gather_elements", "GatherElements", 11),
    ("compress", "Compress", 9),
    ("unique", "Unique", 11),
    ("concat", "Concat", 4),
    ("stft", "STFT", 17),
    ("hann_window", "HannWindow", 17),
    ("hamming_window", "HammingWindow", 17),
    ("blackman_window", "BlackmanWindow", 17),
    ("mel_weight_matrix", "MelWeightMatrix", 17),
    ("string_concat", "StringConcat", 20),
    ("string_split", "StringSplit", 20),
    ("string_normalizer", "StringNormalizer", 10),
    ("tf_idf_vectorizer", "TfIdfVectorizer", 9),
    ("affine_grid", "AffineGrid", 20),
    ("bernoulli", "Bernoulli", 15),
    ("bit_cast", "BitCast", 26),
    ("center_crop_pad", "CenterCropPad", 18),
    ("col2_im", "Col2Im", 18),
    ("deform_conv", "DeformConv", 19),
    ("det", "Det", 11),
    ("image_decoder", "ImageDecoder", 20),
    ("max_roi_pool", "MaxRoiPool", 1),
    ("max_unpool", "MaxUnpool", 9),
    ("multinomial", "Multinomial", 7),
    ("negative_log_likelihood_loss", "NegativeLogLikelihoodLoss", 12),
    ("non_max_suppression", "NonMaxSuppression", 10),
    ("random_normal", "RandomNormal", 1),
    ("random_normal_like", "RandomNormalLike", 1),
    ("random_uniform", "RandomUniform", 1),
    ("random_uniform_like", "RandomUniformLike", 1),
    ("softmax_cross_entropy_loss", "SoftmaxCrossEntropyLoss", 12),
    ("tensor_scatter", "TensorScatter", 24),
    ("rotary_embedding", "RotaryEmbedding", 23),
    ("linear_attention", "LinearAttention", 27),
    ("causal_conv_with_state", "CausalConvWithState", 27),
    ("swi_glu", "SwiGLU", 28),
    ("scan", "Scan", 9),
    ("split_to_sequence", "SplitToSequence", 11),
    ("optional", "Optional", 15),
];

const AXES: Fix = AttrIsInput { attr: "axes", slot: 1, form: Form::Ints };

/// Rows with a difference somewhere in their range.
const FIXED: &[Row] = &[
    row("attention", "Attention", 23).with(&[
        If(attention::mask_is_full),
        InputSince(6, 24),
        OnWrite(attention::short_mask_since_24),
    ]),
    row("identity", "Identity", 1).with(&[OnWrite(lift::containers_came_later)]),
    row("if", "If", 1).with(&[OnWrite(lift::containers_came_later)]),
    row("loop", "Loop", 1).with(&[OnWrite(lift::containers_came_later)]),
    row("scan", "Scan", 8).until(8).with(&[If(lift::scan_has_no_lengths), Upgrade(lift::scan_8)]),
    row("sequence_map", "SequenceMap", 17).with(PLAIN_ELEMENTS),
    row("sequence_construct", "SequenceConstruct", 11).with(PLAIN_ELEMENTS),
    row("sequence_empty", "SequenceEmpty", 11).with(PLAIN_ELEMENTS),
    row("sequence_at", "SequenceAt", 11).with(PLAIN_ELEMENTS),
    row("sequence_insert", "SequenceInsert", 11).with(PLAIN_ELEMENTS),
    row("sequence_erase", "SequenceErase", 11).with(PLAIN_ELEMENTS),
    row("sequence_length", "SequenceLength", 11).with(PLAIN_ELEMENTS),
    row("concat_from_sequence", "ConcatFromSequence", 11).with(PLAIN_ELEMENTS),
    row("optional_get_element", "OptionalGetElement", 15).with(&[OnWrite(lift::only_optionals_before_18)]),
    row("optional_has_element", "OptionalHasElement", 15).with(&[OnWrite(lift::only_optionals_before_18)]),
    row("mod", "Mod", 10).with(&[OnWrite(lift::float_remainder_since_28)]),
    row("cast", "Cast", 6),
    row("cast", "Cast", 1).until(5).with(&[Upgrade(old::cast_word)]),
    row("cast_like", "CastLike", 15),
    row("clip", "Clip", 11),
    row("clip", "Clip", 1).until(10).with(&[
        Upgrade(lift::clip_bounds),
        AttrIsInput { attr: "min", slot: 1, form: Form::Scalar },
        AttrIsInput { attr: "max", slot: 2, form: Form::Scalar },
    ]),
    row("dropout", "Dropout", 12),
    row("dropout", "Dropout", 7).until(11).with(&[
        // The mask is a tensor of truth values since opset 10.
        BuildWhere(lift_training::dropout_has_old_mask, lift_training::old_dropout),
        OnWrite(lift_training::dropout_does_not_train),
        AttrIsInput { attr: "ratio", slot: 1, form: Form::Scalar },
        Finish(lift_training::drop_training_mode),
    ]),
    row("dropout", "Dropout", 1).until(6).with(&[Build(lift_training::old_dropout)]),
    row("reduce_sum", "ReduceSum", 13),
    row("reduce_sum", "ReduceSum", 1).until(12).with(&[AXES]),
    row("arg_max", "ArgMax", 1),
    row("arg_min", "ArgMin", 1),
    row("softmax", "Softmax", 13),
    row("log_softmax", "LogSoftmax", 13),
    row("hardmax", "Hardmax", 13),
    row("softmax", "Softmax", 1).until(12).with(&[Build(lift::flattened_softmax)]),
    row("softmax", "Softmax", 11).until(12).with(&[
        WriteOnly,
        OnWrite(lift::last_axis),
        Finish(lift::say_axis),
    ]),
    row("log_softmax", "LogSoftmax", 1).until(12).with(&[Build(lift::flattened_softmax)]),
    row("log_softmax", "LogSoftmax", 11).until(12).with(&[
        WriteOnly,
        OnWrite(lift::last_axis),
        Finish(lift::say_axis),
    ]),
    row("hardmax", "Hardmax", 1).until(12).with(&[Build(lift::flattened_softmax)]),
    row("hardmax", "Hardmax", 11).until(12).with(&[
        WriteOnly,
        OnWrite(lift::last_axis),
        Finish(lift::say_axis),
    ]),
    row("top_k", "TopK", 10),
    row("top_k", "TopK", 1).until(9).with(&[AttrIsInput { attr: "k", slot: 1, form: Form::Int1 }]),
    row("gemm", "Gemm", 7).with(&[OnWrite(lift::gemm_needs_bias)]),
    row("gemm", "Gemm", 1).until(6).with(&[Prepare(old::gemm_broadcast)]),
    row("p_relu", "PRelu", 1).until(6).with(&[Prepare(old::slope_per_channel)]),
    row("selu", "Selu", 1).until(5).with(&[Upgrade(old::selu_1)]),
    row("tile", "Tile", 1).until(5).with(&[Build(old::tile_1)]),
    row("max_pool", "MaxPool", 1).with(&[]),
    row("average_pool", "AveragePool", 1).with(&[]),
    row("lp_pool", "LpPool", 2),
    row("lp_pool", "LpPool", 1).until(1).with(&[Upgrade(lift_training::whole_power)]),
    row("global_lp_pool", "GlobalLpPool", 1).until(1).with(&[Upgrade(lift_training::whole_power)]),
    row("resize", "Resize", 11).with(&[
        OnRead(lift::resize_operands),
        OnRead(old::tf_half_pixel),
        WordSince("coordinate_transformation_mode", "half_pixel_symmetric", 19),
        Fill(lift::fill_resize),
    ]),
    row("resize", "Resize", 10).until(10).with(&[Build(old::resize_10)]),
    row("resize", "Upsample", 1).with(&[Build(old::upsample)]),
    row("depth_to_space", "DepthToSpace", 1).with(&[WordSince("mode", "CRD", 11)]),
    row("grid_sample", "GridSample", 20),
    row("grid_sample", "GridSample", 16)
        .until(19)
        .with(&[OnRead(lift::grid_words), Finish(lift::grid_words_back)]),
    row("roi_align", "RoiAlign", 16),
    row("roi_align", "RoiAlign", 10).until(15).with(&[
        OnRead(lift::roi_without_shift),
        OnWrite(lift::roi_is_not_shifted),
        Finish(lift::drop_roi_shift),
    ]),
    row("batch_normalization", "BatchNormalization", 14)
        .with(&[OnWrite(lift_training::training_has_all_results)]),
    row("batch_normalization", "BatchNormalization", 7).until(13).with(&[
        BuildWhere(lift_training::batch_norm_is_special, lift_training::old_batch_norm),
        OnRead(lift::batch_norm_by_channel),
    ]),
    row("batch_normalization", "BatchNormalization", 1)
        .until(6)
        .with(&[Build(lift_training::old_batch_norm)]),
    row("group_normalization", "GroupNormalization", 21),
    row("group_normalization", "GroupNormalization", 18)
        .until(20)
        .with(&[Build(lift_training::group_norm_by_group)]),
    row("quantize_linear", "QuantizeLinear", 10)
        .with(&[OnWrite(lift::sixteen_bit_since_21), OnWrite(lift::per_axis_since_13)]),
    row("dequantize_linear", "DequantizeLinear", 10)
        .with(&[OnWrite(lift::sixteen_bit_since_21), OnWrite(lift::per_axis_since_13)]),
    row("transpose", "Transpose", 1).with(&[If(lift::perm_is_known), OnRead(lift::full_perm)]),
    row("reshape", "Reshape", 5),
    row("reshape", "Reshape", 1).until(4).with(&[AttrIsInput { attr: "shape", slot: 1, form: Form::Ints }]),
    row("squeeze", "Squeeze", 13),
    row("squeeze", "Squeeze", 1).until(12).with(&[AXES]),
    row("unsqueeze", "Unsqueeze", 13),
    row("unsqueeze", "Unsqueeze", 1).until(12).with(&[AXES]),
    row("concat", "Concat", 1).until(3).with(&[Upgrade(lift::concat_axis)]),
    row("split", "Split", 18).with(&[OnRead(lift::split_count)]),
    row("split", "Split", 13).until(17).with(&[
        OnRead(lift::split_count),
        OnWrite(lift::splits_evenly),
        Finish(lift::drop_split_count),
    ]),
    row("split", "Split", 1).until(1).with(&[
        OnRead(lift::split_count),
        Prepare(old::split_1),
        AttrIsInput { attr: "split", slot: 1, form: Form::Ints },
    ]),
    row("split", "Split", 2).until(12).with(&[
        OnRead(lift::split_count),
        OnWrite(lift::splits_evenly),
        Finish(lift::drop_split_count),
        AttrIsInput { attr: "split", slot: 1, form: Form::Ints },
    ]),
    row("slice", "Slice", 10),
    row("slice", "Slice", 1).until(9).with(&[
        OnWrite(lift::unit_steps),
        AttrIsInput { attr: "starts", slot: 1, form: Form::Ints },
        AttrIsInput { attr: "ends", slot: 2, form: Form::Ints },
        AttrIsInput { attr: "axes", slot: 3, form: Form::Ints },
    ]),
    row("pad", "Pad", 11).with(&[InputSince(3, 18), WordSince("mode", "wrap", 19)]),
    row("pad", "Pad", 2).until(10).with(&[
        AttrIsInput { attr: "pads", slot: 1, form: Form::Ints },
        AttrIsInput { attr: "value", slot: 2, form: Form::Scalar },
        InputSince(3, 18),
        WordSince("mode", "wrap", 19),
    ]),
    row("pad", "Pad", 1).until(1).with(&[
        AttrIsInput { attr: "paddings", slot: 1, form: Form::Ints },
        AttrIsInput { attr: "value", slot: 2, form: Form::Scalar },
    ]),
    row("shape", "Shape", 1),
    row("constant_of_shape", "ConstantOfShape", 9).with(&[OnWrite(lift::bf16_result_since_20)]),
    row("eye_like", "EyeLike", 9).with(&[OnWrite(lift::bf16_result_since_22)]),
    row("gather_nd", "GatherND", 11),
    row("scatter_elements", "ScatterElements", 11).with(SCATTER),
    row("scatter_elements", "Scatter", 9).until(10),
    // Deprecated since 11 with the same meaning.
    row("scatter_elements", "Scatter", 11).with(&[Upgrade(lift::nothing)]),
    row("scatter_nd", "ScatterND", 11).with(SCATTER),
    row("regex_full_match", "RegexFullMatch", 20).with(&[Finish(lift::say_pattern)]),
    row("lstm", "LSTM", 7).with(&[Fill(lift::say_hidden_size)]),
    row("gru", "GRU", 7).with(&[Fill(lift::say_hidden_size)]),
    row("rnn", "RNN", 7).with(&[Fill(lift::say_hidden_size)]),
    row("lstm", "LSTM", 1).until(6).with(SEQUENCE_OUTPUT),
    row("gru", "GRU", 1).until(6).with(SEQUENCE_OUTPUT),
    row("rnn", "RNN", 1).until(6).with(SEQUENCE_OUTPUT),
    row("dft", "DFT", 20),
    row("dft", "DFT", 17).until(19).with(&[
        OnRead(lift::dft_axis),
        AttrIsInput { attr: "axis", slot: 2, form: Form::Int0 },
        Finish(lift::dft_axis_back),
    ]),
];

/// Recurrent operators while they told by an attribute whether the sequence is wanted.
const SEQUENCE_OUTPUT: &[Fix] = &[Upgrade(lift::sequence_output)];

const PLAIN_ELEMENTS: &[Fix] = &[OnWrite(lift::plain_elements)];

const SCATTER: &[Fix] = &[WordSince("reduction", "max", 18), WordSince("reduction", "min", 18)];

/// Reductions that took `axes` as an operand at opset 18.
const REDUCTIONS: &[(&str, &str)] = &[
    ("reduce_mean", "ReduceMean"),
    ("reduce_max", "ReduceMax"),
    ("reduce_min", "ReduceMin"),
    ("reduce_prod", "ReduceProd"),
    ("reduce_l1", "ReduceL1"),
    ("reduce_l2", "ReduceL2"),
    ("reduce_log_sum", "ReduceLogSum"),
    ("reduce_log_sum_exp", "ReduceLogSumExp"),
    ("reduce_sum_square", "ReduceSumSquare"),
];

/// Operators of two operands that before 7 stretch the second by `broadcast` and `axis`.
const STRETCHED: &[(&str, &str)] = &[
    ("add", "Add"),
    ("sub", "Sub"),
    ("mul", "Mul"),
    ("div", "Div"),
    ("pow", "Pow"),
    ("and", "And"),
    ("or", "Or"),
    ("xor", "Xor"),
    ("equal", "Equal"),
    ("greater", "Greater"),
    ("less", "Less"),
];

/// Domain of the operators that ONNX Runtime adds to ONNX's.
pub const MICROSOFT: &str = "com.microsoft";

/// Domain of ONNX's own operators for training, whose only version is 1.
pub const TRAINING: &str = "ai.onnx.preview.training";

/// Rows of other domains, by subject.
const VENDORS: &[&[Row]] = &[attention::ROWS, lift_training::ROWS, ml::ROWS, quantized::ROWS, vendor::ROWS];

/// Operators of the IR that ONNX has no form of, with the reason.
pub const REFUSED: &[(&str, &str)] = &[];

/// All rows: newest form of an operator first.
pub fn rows() -> &'static [Row] {
    static ALL: std::sync::LazyLock<Vec<Row>> = std::sync::LazyLock::new(|| {
        let mut all: Vec<Row> = PLAIN.iter().map(|(op, foreign, since)| row(op, foreign, *since)).collect();
        all.extend_from_slice(FIXED);
        for (op, foreign) in REDUCTIONS {
            all.push(row(op, foreign, 18));
            all.push(row(op, foreign, 1).until(17).with(&[AXES]));
        }
        for rows in VENDORS {
            all.extend_from_slice(rows);
        }
        for (op, foreign) in STRETCHED {
            all.push(row(op, foreign, 1).until(6).with(&[Prepare(old::broadcast_axis)]));
        }
        all.extend_from_slice(experimental::ROWS);
        all.sort_by_key(|r| (r.domain, r.foreign));
        all
    });
    &ALL
}

/// The row that reads `op_type` of operator set `opset` of `domain`.
pub fn read_row(domain: &str, op_type: &str, opset: i64) -> Option<&'static Row> {
    let unlisted = || find(vendor::UNLISTED, op_type, opset).filter(|_| domain.is_empty());
    find(domain, op_type, opset).or_else(unlisted)
}

fn find(domain: &str, op_type: &str, opset: i64) -> Option<&'static Row> {
    let all = rows();
    let key = (domain, op_type);
    let at = all.partition_point(|r| (r.domain, r.foreign) < key);
    all[at..].iter().take_while(|r| (r.domain, r.foreign) == key).find(|r| r.reads() && r.covers(opset))
}

/// Whether any version of ONNX's own operator `op_type` is read.
pub fn is_bound(op_type: &str) -> bool {
    let all = rows();
    let at = all.partition_point(|r| (r.domain, r.foreign) < ("", op_type));
    all[at..].iter().take_while(|r| (r.domain, r.foreign) == ("", op_type)).any(Row::reads)
}

/// The rows that can write IR operator `op`.
pub fn write_rows(op: &str) -> &'static [&'static Row] {
    type Index = std::collections::BTreeMap<&'static str, Vec<&'static Row>>;
    static BY_OP: std::sync::LazyLock<Index> = std::sync::LazyLock::new(|| {
        let mut index = Index::new();
        for r in rows().iter().filter(|r| r.writes()) {
            index.entry(r.op).or_default().push(r);
        }
        index
    });
    BY_OP.get(op).map(Vec::as_slice).unwrap_or_default()
}

/// Names of the body attributes of an operator whose bodies the IR knows, in the IR's order.
pub fn body_attrs(op_type: &str) -> &'static [&'static str] {
    match op_type {
        "If" => &["then_branch", "else_branch"],
        "Loop" | "Scan" | "SequenceMap" => &["body"],
        _ => &[],
    }
}
