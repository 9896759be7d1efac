//! TFLite's flatbuffer schema as data: builtin operators, enumerations, and the fields of each table.
//!
//! Written by `schema.py` beside this file; do not edit.
use super::table::{Field, Kind, Scalar, Table, Union};

/// Every builtin operator.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(missing_docs, reason = "the names are the schema's")]
pub enum Builtin {
    Add = 0,
    AveragePool2d = 1,
    Concatenation = 2,
    Conv2d = 3,
    DepthwiseConv2d = 4,
    DepthToSpace = 5,
    Dequantize = 6,
    EmbeddingLookup = 7,
    Floor = 8,
    FullyConnected = 9,
    HashtableLookup = 10,
    L2Normalization = 11,
    L2Pool2d = 12,
    LocalResponseNormalization = 13,
    Logistic = 14,
    LshProjection = 15,
    Lstm = 16,
    MaxPool2d = 17,
    Mul = 18,
    Relu = 19,
    ReluN1To1 = 20,
    Relu6 = 21,
    Reshape = 22,
    ResizeBilinear = 23,
    Rnn = 24,
    Softmax = 25,
    SpaceToDepth = 26,
    Svdf = 27,
    Tanh = 28,
    ConcatEmbeddings = 29,
    SkipGram = 30,
    Call = 31,
    Custom = 32,
    EmbeddingLookupSparse = 33,
    Pad = 34,
    UnidirectionalSequenceRnn = 35,
    Gather = 36,
    BatchToSpaceNd = 37,
    SpaceToBatchNd = 38,
    Transpose = 39,
    Mean = 40,
    Sub = 41,
    Div = 42,
    Squeeze = 43,
    UnidirectionalSequenceLstm = 44,
    StridedSlice = 45,
    BidirectionalSequenceRnn = 46,
    Exp = 47,
    TopkV2 = 48,
    Split = 49,
    LogSoftmax = 50,
    Delegate = 51,
    BidirectionalSequenceLstm = 52,
    Cast = 53,
    Prelu = 54,
    Maximum = 55,
    ArgMax = 56,
    Minimum = 57,
    Less = 58,
    Neg = 59,
    Padv2 = 60,
    Greater = 61,
    GreaterEqual = 62,
    LessEqual = 63,
    Select = 64,
    Slice = 65,
    Sin = 66,
    TransposeConv = 67,
    SparseToDense = 68,
    Tile = 69,
    ExpandDims = 70,
    Equal = 71,
    NotEqual = 72,
    Log = 73,
    Sum = 74,
    Sqrt = 75,
    Rsqrt = 76,
    Shape = 77,
    Pow = 78,
    ArgMin = 79,
    FakeQuant = 80,
    ReduceProd = 81,
    ReduceMax = 82,
    Pack = 83,
    LogicalOr = 84,
    OneHot = 85,
    LogicalAnd = 86,
    LogicalNot = 87,
    Unpack = 88,
    ReduceMin = 89,
    FloorDiv = 90,
    ReduceAny = 91,
    Square = 92,
    ZerosLike = 93,
    Fill = 94,
    FloorMod = 95,
    Range = 96,
    ResizeNearestNeighbor = 97,
    LeakyRelu = 98,
    SquaredDifference = 99,
    MirrorPad = 100,
    Abs = 101,
    SplitV = 102,
    Unique = 103,
    Ceil = 104,
    ReverseV2 = 105,
    AddN = 106,
    GatherNd = 107,
    Cos = 108,
    Where = 109,
    Rank = 110,
    Elu = 111,
    ReverseSequence = 112,
    MatrixDiag = 113,
    Quantize = 114,
    MatrixSetDiag = 115,
    Round = 116,
    HardSwish = 117,
    If = 118,
    While = 119,
    NonMaxSuppressionV4 = 120,
    NonMaxSuppressionV5 = 121,
    ScatterNd = 122,
    SelectV2 = 123,
    Densify = 124,
    SegmentSum = 125,
    BatchMatmul = 126,
    PlaceholderForGreaterOpCodes = 127,
    Cumsum = 128,
    CallOnce = 129,
    BroadcastTo = 130,
    Rfft2d = 131,
    Conv3d = 132,
    Imag = 133,
    Real = 134,
    ComplexAbs = 135,
    Hashtable = 136,
    HashtableFind = 137,
    HashtableImport = 138,
    HashtableSize = 139,
    ReduceAll = 140,
    Conv3dTranspose = 141,
    VarHandle = 142,
    ReadVariable = 143,
    AssignVariable = 144,
    BroadcastArgs = 145,
    RandomStandardNormal = 146,
    Bucketize = 147,
    RandomUniform = 148,
    Multinomial = 149,
    Gelu = 150,
    DynamicUpdateSlice = 151,
    Relu0To1 = 152,
    UnsortedSegmentProd = 153,
    UnsortedSegmentMax = 154,
    UnsortedSegmentSum = 155,
    Atan2 = 156,
    UnsortedSegmentMin = 157,
    Sign = 158,
    Bitcast = 159,
    BitwiseXor = 160,
    RightShift = 161,
    StablehloLogistic = 162,
    StablehloAdd = 163,
    StablehloDivide = 164,
    StablehloMultiply = 165,
    StablehloMaximum = 166,
    StablehloReshape = 167,
    StablehloClamp = 168,
    StablehloConcatenate = 169,
    StablehloBroadcastInDim = 170,
    StablehloConvolution = 171,
    StablehloSlice = 172,
    StablehloCustomCall = 173,
    StablehloReduce = 174,
    StablehloAbs = 175,
    StablehloAnd = 176,
    StablehloCosine = 177,
    StablehloExponential = 178,
    StablehloFloor = 179,
    StablehloLog = 180,
    StablehloMinimum = 181,
    StablehloNegate = 182,
    StablehloOr = 183,
    StablehloPower = 184,
    StablehloRemainder = 185,
    StablehloRsqrt = 186,
    StablehloSelect = 187,
    StablehloSubtract = 188,
    StablehloTanh = 189,
    StablehloScatter = 190,
    StablehloCompare = 191,
    StablehloConvert = 192,
    StablehloDynamicSlice = 193,
    StablehloDynamicUpdateSlice = 194,
    StablehloPad = 195,
    StablehloIota = 196,
    StablehloDotGeneral = 197,
    StablehloReduceWindow = 198,
    StablehloSort = 199,
    StablehloWhile = 200,
    StablehloGather = 201,
    StablehloTranspose = 202,
    Dilate = 203,
    StablehloRngBitGenerator = 204,
    ReduceWindow = 205,
    StablehloComposite = 206,
    StablehloShiftLeft = 207,
    StablehloCbrt = 208,
    StablehloCase = 209,
}

/// Builtin operators in the order of their codes: the operator, its name, and the table of its options.
pub static BUILTINS: &[(Builtin, &str, Option<&Table>)] = &[
    (Builtin::Add, "ADD", Some(&ADD_OPTIONS)),
    (Builtin::AveragePool2d, "AVERAGE_POOL_2D", Some(&POOL2D_OPTIONS)),
    (Builtin::Concatenation, "CONCATENATION", Some(&CONCATENATION_OPTIONS)),
    (Builtin::Conv2d, "CONV_2D", Some(&CONV2D_OPTIONS)),
    (Builtin::DepthwiseConv2d, "DEPTHWISE_CONV_2D", Some(&DEPTHWISE_CONV2D_OPTIONS)),
    (Builtin::DepthToSpace, "DEPTH_TO_SPACE", Some(&DEPTH_TO_SPACE_OPTIONS)),
    (Builtin::Dequantize, "DEQUANTIZE", Some(&DEQUANTIZE_OPTIONS)),
    (Builtin::EmbeddingLookup, "EMBEDDING_LOOKUP", None),
    (Builtin::Floor, "FLOOR", None),
    (Builtin::FullyConnected, "FULLY_CONNECTED", Some(&FULLY_CONNECTED_OPTIONS)),
    (Builtin::HashtableLookup, "HASHTABLE_LOOKUP", None),
    (Builtin::L2Normalization, "L2_NORMALIZATION", Some(&L2_NORM_OPTIONS)),
    (Builtin::L2Pool2d, "L2_POOL_2D", Some(&POOL2D_OPTIONS)),
    (
        Builtin::LocalResponseNormalization,
        "LOCAL_RESPONSE_NORMALIZATION",
        Some(&LOCAL_RESPONSE_NORMALIZATION_OPTIONS),
    ),
    (Builtin::Logistic, "LOGISTIC", None),
    (Builtin::LshProjection, "LSH_PROJECTION", Some(&LSH_PROJECTION_OPTIONS)),
    (Builtin::Lstm, "LSTM", Some(&LSTM_OPTIONS)),
    (Builtin::MaxPool2d, "MAX_POOL_2D", Some(&POOL2D_OPTIONS)),
    (Builtin::Mul, "MUL", Some(&MUL_OPTIONS)),
    (Builtin::Relu, "RELU", None),
    (Builtin::ReluN1To1, "RELU_N1_TO_1", None),
    (Builtin::Relu6, "RELU6", None),
    (Builtin::Reshape, "RESHAPE", Some(&RESHAPE_OPTIONS)),
    (Builtin::ResizeBilinear, "RESIZE_BILINEAR", Some(&RESIZE_BILINEAR_OPTIONS)),
    (Builtin::Rnn, "RNN", Some(&RNN_OPTIONS)),
    (Builtin::Softmax, "SOFTMAX", Some(&SOFTMAX_OPTIONS)),
    (Builtin::SpaceToDepth, "SPACE_TO_DEPTH", Some(&SPACE_TO_DEPTH_OPTIONS)),
    (Builtin::Svdf, "SVDF", Some(&SVDF_OPTIONS)),
    (Builtin::Tanh, "TANH", None),
    (Builtin::ConcatEmbeddings, "CONCAT_EMBEDDINGS", Some(&CONCAT_EMBEDDINGS_OPTIONS)),
    (Builtin::SkipGram, "SKIP_GRAM", Some(&SKIP_GRAM_OPTIONS)),
    (Builtin::Call, "CALL", Some(&CALL_OPTIONS)),
    (Builtin::Custom, "CUSTOM", None),
    (Builtin::EmbeddingLookupSparse, "EMBEDDING_LOOKUP_SPARSE", Some(&EMBEDDING_LOOKUP_SPARSE_OPTIONS)),
    (Builtin::Pad, "PAD", Some(&PAD_OPTIONS)),
    (Builtin::UnidirectionalSequenceRnn, "UNIDIRECTIONAL_SEQUENCE_RNN", Some(&SEQUENCE_RNN_OPTIONS)),
    (Builtin::Gather, "GATHER", Some(&GATHER_OPTIONS)),
    (Builtin::BatchToSpaceNd, "BATCH_TO_SPACE_ND", Some(&BATCH_TO_SPACE_ND_OPTIONS)),
    (Builtin::SpaceToBatchNd, "SPACE_TO_BATCH_ND", Some(&SPACE_TO_BATCH_ND_OPTIONS)),
    (Builtin::Transpose, "TRANSPOSE", Some(&TRANSPOSE_OPTIONS)),
    (Builtin::Mean, "MEAN", Some(&REDUCER_OPTIONS)),
    (Builtin::Sub, "SUB", Some(&SUB_OPTIONS)),
    (Builtin::Div, "DIV", Some(&DIV_OPTIONS)),
    (Builtin::Squeeze, "SQUEEZE", Some(&SQUEEZE_OPTIONS)),
    (
        Builtin::UnidirectionalSequenceLstm,
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        Some(&UNIDIRECTIONAL_SEQUENCE_LSTM_OPTIONS),
    ),
    (Builtin::StridedSlice, "STRIDED_SLICE", Some(&STRIDED_SLICE_OPTIONS)),
    (
        Builtin::BidirectionalSequenceRnn,
        "BIDIRECTIONAL_SEQUENCE_RNN",
        Some(&BIDIRECTIONAL_SEQUENCE_RNN_OPTIONS),
    ),
    (Builtin::Exp, "EXP", Some(&EXP_OPTIONS)),
    (Builtin::TopkV2, "TOPK_V2", Some(&TOP_KV2_OPTIONS)),
    (Builtin::Split, "SPLIT", Some(&SPLIT_OPTIONS)),
    (Builtin::LogSoftmax, "LOG_SOFTMAX", Some(&LOG_SOFTMAX_OPTIONS)),
    (Builtin::Delegate, "DELEGATE", None),
    (
        Builtin::BidirectionalSequenceLstm,
        "BIDIRECTIONAL_SEQUENCE_LSTM",
        Some(&BIDIRECTIONAL_SEQUENCE_LSTM_OPTIONS),
    ),
    (Builtin::Cast, "CAST", Some(&CAST_OPTIONS)),
    (Builtin::Prelu, "PRELU", None),
    (Builtin::Maximum, "MAXIMUM", Some(&MAXIMUM_MINIMUM_OPTIONS)),
    (Builtin::ArgMax, "ARG_MAX", Some(&ARG_MAX_OPTIONS)),
    (Builtin::Minimum, "MINIMUM", Some(&MAXIMUM_MINIMUM_OPTIONS)),
    (Builtin::Less, "LESS", Some(&LESS_OPTIONS)),
    (Builtin::Neg, "NEG", Some(&NEG_OPTIONS)),
    (Builtin::Padv2, "PADV2", Some(&PAD_V2_OPTIONS)),
    (Builtin::Greater, "GREATER", Some(&GREATER_OPTIONS)),
    (Builtin::GreaterEqual, "GREATER_EQUAL", Some(&GREATER_EQUAL_OPTIONS)),
    (Builtin::LessEqual, "LESS_EQUAL", Some(&LESS_EQUAL_OPTIONS)),
    (Builtin::Select, "SELECT", Some(&SELECT_OPTIONS)),
    (Builtin::Slice, "SLICE", Some(&SLICE_OPTIONS)),
    (Builtin::Sin, "SIN", None),
    (Builtin::TransposeConv, "TRANSPOSE_CONV", Some(&TRANSPOSE_CONV_OPTIONS)),
    (Builtin::SparseToDense, "SPARSE_TO_DENSE", Some(&SPARSE_TO_DENSE_OPTIONS)),
    (Builtin::Tile, "TILE", Some(&TILE_OPTIONS)),
    (Builtin::ExpandDims, "EXPAND_DIMS", Some(&EXPAND_DIMS_OPTIONS)),
    (Builtin::Equal, "EQUAL", Some(&EQUAL_OPTIONS)),
    (Builtin::NotEqual, "NOT_EQUAL", Some(&NOT_EQUAL_OPTIONS)),
    (Builtin::Log, "LOG", None),
    (Builtin::Sum, "SUM", Some(&REDUCER_OPTIONS)),
    (Builtin::Sqrt, "SQRT", None),
    (Builtin::Rsqrt, "RSQRT", None),
    (Builtin::Shape, "SHAPE", Some(&SHAPE_OPTIONS)),
    (Builtin::Pow, "POW", Some(&POW_OPTIONS)),
    (Builtin::ArgMin, "ARG_MIN", Some(&ARG_MIN_OPTIONS)),
    (Builtin::FakeQuant, "FAKE_QUANT", Some(&FAKE_QUANT_OPTIONS)),
    (Builtin::ReduceProd, "REDUCE_PROD", Some(&REDUCER_OPTIONS)),
    (Builtin::ReduceMax, "REDUCE_MAX", Some(&REDUCER_OPTIONS)),
    (Builtin::Pack, "PACK", Some(&PACK_OPTIONS)),
    (Builtin::LogicalOr, "LOGICAL_OR", Some(&LOGICAL_OR_OPTIONS)),
    (Builtin::OneHot, "ONE_HOT", Some(&ONE_HOT_OPTIONS)),
    (Builtin::LogicalAnd, "LOGICAL_AND", Some(&LOGICAL_AND_OPTIONS)),
    (Builtin::LogicalNot, "LOGICAL_NOT", Some(&LOGICAL_NOT_OPTIONS)),
    (Builtin::Unpack, "UNPACK", Some(&UNPACK_OPTIONS)),
    (Builtin::ReduceMin, "REDUCE_MIN", Some(&REDUCER_OPTIONS)),
    (Builtin::FloorDiv, "FLOOR_DIV", Some(&FLOOR_DIV_OPTIONS)),
    (Builtin::ReduceAny, "REDUCE_ANY", Some(&REDUCER_OPTIONS)),
    (Builtin::Square, "SQUARE", Some(&SQUARE_OPTIONS)),
    (Builtin::ZerosLike, "ZEROS_LIKE", Some(&ZEROS_LIKE_OPTIONS)),
    (Builtin::Fill, "FILL", Some(&FILL_OPTIONS)),
    (Builtin::FloorMod, "FLOOR_MOD", Some(&FLOOR_MOD_OPTIONS)),
    (Builtin::Range, "RANGE", Some(&RANGE_OPTIONS)),
    (Builtin::ResizeNearestNeighbor, "RESIZE_NEAREST_NEIGHBOR", Some(&RESIZE_NEAREST_NEIGHBOR_OPTIONS)),
    (Builtin::LeakyRelu, "LEAKY_RELU", Some(&LEAKY_RELU_OPTIONS)),
    (Builtin::SquaredDifference, "SQUARED_DIFFERENCE", Some(&SQUARED_DIFFERENCE_OPTIONS)),
    (Builtin::MirrorPad, "MIRROR_PAD", Some(&MIRROR_PAD_OPTIONS)),
    (Builtin::Abs, "ABS", Some(&ABS_OPTIONS)),
    (Builtin::SplitV, "SPLIT_V", Some(&SPLIT_V_OPTIONS)),
    (Builtin::Unique, "UNIQUE", Some(&UNIQUE_OPTIONS)),
    (Builtin::Ceil, "CEIL", None),
    (Builtin::ReverseV2, "REVERSE_V2", Some(&REVERSE_V2_OPTIONS)),
    (Builtin::AddN, "ADD_N", Some(&ADD_N_OPTIONS)),
    (Builtin::GatherNd, "GATHER_ND", Some(&GATHER_ND_OPTIONS)),
    (Builtin::Cos, "COS", Some(&COS_OPTIONS)),
    (Builtin::Where, "WHERE", Some(&WHERE_OPTIONS)),
    (Builtin::Rank, "RANK", Some(&RANK_OPTIONS)),
    (Builtin::Elu, "ELU", None),
    (Builtin::ReverseSequence, "REVERSE_SEQUENCE", Some(&REVERSE_SEQUENCE_OPTIONS)),
    (Builtin::MatrixDiag, "MATRIX_DIAG", Some(&MATRIX_DIAG_OPTIONS)),
    (Builtin::Quantize, "QUANTIZE", Some(&QUANTIZE_OPTIONS)),
    (Builtin::MatrixSetDiag, "MATRIX_SET_DIAG", Some(&MATRIX_SET_DIAG_OPTIONS)),
    (Builtin::Round, "ROUND", None),
    (Builtin::HardSwish, "HARD_SWISH", Some(&HARD_SWISH_OPTIONS)),
    (Builtin::If, "IF", Some(&IF_OPTIONS)),
    (Builtin::While, "WHILE", Some(&WHILE_OPTIONS)),
    (Builtin::NonMaxSuppressionV4, "NON_MAX_SUPPRESSION_V4", Some(&NON_MAX_SUPPRESSION_V4_OPTIONS)),
    (Builtin::NonMaxSuppressionV5, "NON_MAX_SUPPRESSION_V5", Some(&NON_MAX_SUPPRESSION_V5_OPTIONS)),
    (Builtin::ScatterNd, "SCATTER_ND", Some(&SCATTER_ND_OPTIONS)),
    (Builtin::SelectV2, "SELECT_V2", Some(&SELECT_V2_OPTIONS)),
    (Builtin::Densify, "DENSIFY", Some(&DENSIFY_OPTIONS)),
    (Builtin::SegmentSum, "SEGMENT_SUM", Some(&SEGMENT_SUM_OPTIONS)),
    (Builtin::BatchMatmul, "BATCH_MATMUL", Some(&BATCH_MAT_MUL_OPTIONS)),
    (Builtin::PlaceholderForGreaterOpCodes, "PLACEHOLDER_FOR_GREATER_OP_CODES", None),
    (Builtin::Cumsum, "CUMSUM", Some(&CUMSUM_OPTIONS)),
    (Builtin::CallOnce, "CALL_ONCE", Some(&CALL_ONCE_OPTIONS)),
    (Builtin::BroadcastTo, "BROADCAST_TO", Some(&BROADCAST_TO_OPTIONS)),
    (Builtin::Rfft2d, "RFFT2D", Some(&RFFT2D_OPTIONS)),
    (Builtin::Conv3d, "CONV_3D", Some(&CONV3D_OPTIONS)),
    (Builtin::Imag, "IMAG", None),
    (Builtin::Real, "REAL", None),
    (Builtin::ComplexAbs, "COMPLEX_ABS", None),
    (Builtin::Hashtable, "HASHTABLE", Some(&HASHTABLE_OPTIONS)),
    (Builtin::HashtableFind, "HASHTABLE_FIND", Some(&HASHTABLE_FIND_OPTIONS)),
    (Builtin::HashtableImport, "HASHTABLE_IMPORT", Some(&HASHTABLE_IMPORT_OPTIONS)),
    (Builtin::HashtableSize, "HASHTABLE_SIZE", Some(&HASHTABLE_SIZE_OPTIONS)),
    (Builtin::ReduceAll, "REDUCE_ALL", Some(&REDUCER_OPTIONS)),
    (Builtin::Conv3dTranspose, "CONV_3D_TRANSPOSE", Some(&CONV3D_OPTIONS)),
    (Builtin::VarHandle, "VAR_HANDLE", Some(&VAR_HANDLE_OPTIONS)),
    (Builtin::ReadVariable, "READ_VARIABLE", Some(&READ_VARIABLE_OPTIONS)),
    (Builtin::AssignVariable, "ASSIGN_VARIABLE", Some(&ASSIGN_VARIABLE_OPTIONS)),
    (Builtin::BroadcastArgs, "BROADCAST_ARGS", None),
    (Builtin::RandomStandardNormal, "RANDOM_STANDARD_NORMAL", Some(&RANDOM_OPTIONS)),
    (Builtin::Bucketize, "BUCKETIZE", Some(&BUCKETIZE_OPTIONS)),
    (Builtin::RandomUniform, "RANDOM_UNIFORM", Some(&RANDOM_OPTIONS)),
    (Builtin::Multinomial, "MULTINOMIAL", Some(&RANDOM_OPTIONS)),
    (Builtin::Gelu, "GELU", Some(&GELU_OPTIONS)),
    (Builtin::DynamicUpdateSlice, "DYNAMIC_UPDATE_SLICE", Some(&DYNAMIC_UPDATE_SLICE_OPTIONS)),
    (Builtin::Relu0To1, "RELU_0_TO_1", None),
    (Builtin::UnsortedSegmentProd, "UNSORTED_SEGMENT_PROD", Some(&UNSORTED_SEGMENT_PROD_OPTIONS)),
    (Builtin::UnsortedSegmentMax, "UNSORTED_SEGMENT_MAX", Some(&UNSORTED_SEGMENT_MAX_OPTIONS)),
    (Builtin::UnsortedSegmentSum, "UNSORTED_SEGMENT_SUM", Some(&UNSORTED_SEGMENT_SUM_OPTIONS)),
    (Builtin::Atan2, "ATAN2", Some(&A_TAN2_OPTIONS)),
    (Builtin::UnsortedSegmentMin, "UNSORTED_SEGMENT_MIN", Some(&UNSORTED_SEGMENT_MIN_OPTIONS)),
    (Builtin::Sign, "SIGN", Some(&SIGN_OPTIONS)),
    (Builtin::Bitcast, "BITCAST", Some(&BITCAST_OPTIONS)),
    (Builtin::BitwiseXor, "BITWISE_XOR", Some(&BITWISE_XOR_OPTIONS)),
    (Builtin::RightShift, "RIGHT_SHIFT", Some(&RIGHT_SHIFT_OPTIONS)),
    (Builtin::StablehloLogistic, "STABLEHLO_LOGISTIC", None),
    (Builtin::StablehloAdd, "STABLEHLO_ADD", None),
    (Builtin::StablehloDivide, "STABLEHLO_DIVIDE", None),
    (Builtin::StablehloMultiply, "STABLEHLO_MULTIPLY", None),
    (Builtin::StablehloMaximum, "STABLEHLO_MAXIMUM", None),
    (Builtin::StablehloReshape, "STABLEHLO_RESHAPE", None),
    (Builtin::StablehloClamp, "STABLEHLO_CLAMP", None),
    (Builtin::StablehloConcatenate, "STABLEHLO_CONCATENATE", Some(&STABLEHLO_CONCATENATE_OPTIONS)),
    (
        Builtin::StablehloBroadcastInDim,
        "STABLEHLO_BROADCAST_IN_DIM",
        Some(&STABLEHLO_BROADCAST_IN_DIM_OPTIONS),
    ),
    (Builtin::StablehloConvolution, "STABLEHLO_CONVOLUTION", Some(&STABLEHLO_CONVOLUTION_OPTIONS)),
    (Builtin::StablehloSlice, "STABLEHLO_SLICE", Some(&STABLEHLO_SLICE_OPTIONS)),
    (Builtin::StablehloCustomCall, "STABLEHLO_CUSTOM_CALL", Some(&STABLEHLO_CUSTOM_CALL_OPTIONS)),
    (Builtin::StablehloReduce, "STABLEHLO_REDUCE", Some(&STABLEHLO_REDUCE_OPTIONS)),
    (Builtin::StablehloAbs, "STABLEHLO_ABS", None),
    (Builtin::StablehloAnd, "STABLEHLO_AND", None),
    (Builtin::StablehloCosine, "STABLEHLO_COSINE", None),
    (Builtin::StablehloExponential, "STABLEHLO_EXPONENTIAL", None),
    (Builtin::StablehloFloor, "STABLEHLO_FLOOR", None),
    (Builtin::StablehloLog, "STABLEHLO_LOG", None),
    (Builtin::StablehloMinimum, "STABLEHLO_MINIMUM", None),
    (Builtin::StablehloNegate, "STABLEHLO_NEGATE", None),
    (Builtin::StablehloOr, "STABLEHLO_OR", None),
    (Builtin::StablehloPower, "STABLEHLO_POWER", None),
    (Builtin::StablehloRemainder, "STABLEHLO_REMAINDER", None),
    (Builtin::StablehloRsqrt, "STABLEHLO_RSQRT", None),
    (Builtin::StablehloSelect, "STABLEHLO_SELECT", None),
    (Builtin::StablehloSubtract, "STABLEHLO_SUBTRACT", None),
    (Builtin::StablehloTanh, "STABLEHLO_TANH", None),
    (Builtin::StablehloScatter, "STABLEHLO_SCATTER", Some(&STABLEHLO_SCATTER_OPTIONS)),
    (Builtin::StablehloCompare, "STABLEHLO_COMPARE", Some(&STABLEHLO_COMPARE_OPTIONS)),
    (Builtin::StablehloConvert, "STABLEHLO_CONVERT", None),
    (Builtin::StablehloDynamicSlice, "STABLEHLO_DYNAMIC_SLICE", Some(&STABLEHLO_DYNAMIC_SLICE_OPTIONS)),
    (Builtin::StablehloDynamicUpdateSlice, "STABLEHLO_DYNAMIC_UPDATE_SLICE", None),
    (Builtin::StablehloPad, "STABLEHLO_PAD", Some(&STABLEHLO_PAD_OPTIONS)),
    (Builtin::StablehloIota, "STABLEHLO_IOTA", Some(&STABLEHLO_IOTA_OPTIONS)),
    (Builtin::StablehloDotGeneral, "STABLEHLO_DOT_GENERAL", Some(&STABLEHLO_DOT_GENERAL_OPTIONS)),
    (Builtin::StablehloReduceWindow, "STABLEHLO_REDUCE_WINDOW", Some(&STABLEHLO_REDUCE_WINDOW_OPTIONS)),
    (Builtin::StablehloSort, "STABLEHLO_SORT", Some(&STABLEHLO_SORT_OPTIONS)),
    (Builtin::StablehloWhile, "STABLEHLO_WHILE", Some(&STABLEHLO_WHILE_OPTIONS)),
    (Builtin::StablehloGather, "STABLEHLO_GATHER", Some(&STABLEHLO_GATHER_OPTIONS)),
    (Builtin::StablehloTranspose, "STABLEHLO_TRANSPOSE", Some(&STABLEHLO_TRANSPOSE_OPTIONS)),
    (Builtin::Dilate, "DILATE", Some(&DILATE_OPTIONS)),
    (
        Builtin::StablehloRngBitGenerator,
        "STABLEHLO_RNG_BIT_GENERATOR",
        Some(&STABLEHLO_RNG_BIT_GENERATOR_OPTIONS),
    ),
    (Builtin::ReduceWindow, "REDUCE_WINDOW", Some(&REDUCE_WINDOW_OPTIONS)),
    (Builtin::StablehloComposite, "STABLEHLO_COMPOSITE", Some(&STABLE_HLO_COMPOSITE_OPTIONS)),
    (Builtin::StablehloShiftLeft, "STABLEHLO_SHIFT_LEFT", Some(&STABLEHLO_SHIFT_LEFT_OPTIONS)),
    (Builtin::StablehloCbrt, "STABLEHLO_CBRT", None),
    (Builtin::StablehloCase, "STABLEHLO_CASE", Some(&STABLEHLO_CASE_OPTIONS)),
];

/// Names of `ActivationFunctionType` in the order of their numbers; the empty name is no member.
pub static ACTIVATION_FUNCTION_TYPE: &[&str] = &["NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT"];
/// Names of `CombinerType` in the order of their numbers; the empty name is no member.
pub static COMBINER_TYPE: &[&str] = &["SUM", "MEAN", "SQRTN"];
/// Names of `CustomOptionsFormat` in the order of their numbers; the empty name is no member.
pub static CUSTOM_OPTIONS_FORMAT: &[&str] = &["FLEXBUFFERS"];
/// Names of `DimensionType` in the order of their numbers; the empty name is no member.
pub static DIMENSION_TYPE: &[&str] = &["DENSE", "SPARSE_CSR"];
/// Names of `FullyConnectedOptionsWeightsFormat` in the order of their numbers; the empty name is no member.
pub static FULLY_CONNECTED_OPTIONS_WEIGHTS_FORMAT: &[&str] = &["DEFAULT", "SHUFFLED4x16INT8"];
/// Names of `LSHProjectionType` in the order of their numbers; the empty name is no member.
pub static LSH_PROJECTION_TYPE: &[&str] = &["UNKNOWN", "SPARSE", "DENSE"];
/// Names of `LSTMKernelType` in the order of their numbers; the empty name is no member.
pub static LSTM_KERNEL_TYPE: &[&str] = &["FULL", "BASIC"];
/// Names of `MirrorPadMode` in the order of their numbers; the empty name is no member.
pub static MIRROR_PAD_MODE: &[&str] = &["REFLECT", "SYMMETRIC"];
/// Names of `Padding` in the order of their numbers; the empty name is no member.
pub static PADDING: &[&str] = &["SAME", "VALID"];
/// Names of `ReduceWindowFunction` in the order of their numbers; the empty name is no member.
pub static REDUCE_WINDOW_FUNCTION: &[&str] =
    &["UNSUPPORTED", "ADD", "MUL", "MINIMUM", "MAXIMUM", "ALL", "ANY"];
/// Names of `RngAlgorithm` in the order of their numbers; the empty name is no member.
pub static RNG_ALGORITHM: &[&str] = &["DEFAULT", "PHILOX", "THREEFRY"];
/// Names of `StablehloComparisonDirection` in the order of their numbers; the empty name is no member.
pub static STABLEHLO_COMPARISON_DIRECTION: &[&str] = &[
    "STABLEHLO_COMPARISON_DIRECTION_EQ",
    "STABLEHLO_COMPARISON_DIRECTION_NE",
    "STABLEHLO_COMPARISON_DIRECTION_GE",
    "STABLEHLO_COMPARISON_DIRECTION_GT",
    "STABLEHLO_COMPARISON_DIRECTION_LE",
    "STABLEHLO_COMPARISON_DIRECTION_LT",
];
/// Names of `StablehloComparisonType` in the order of their numbers; the empty name is no member.
pub static STABLEHLO_COMPARISON_TYPE: &[&str] = &[
    "STABLEHLO_COMPARISON_TYPE_NOTYPE",
    "STABLEHLO_COMPARISON_TYPE_FLOAT",
    "STABLEHLO_COMPARISON_TYPE_FLOAT_TOTAL_ORDER",
    "STABLEHLO_COMPARISON_TYPE_SIGNED",
    "STABLEHLO_COMPARISON_TYPE_UNSIGNED",
];
/// Names of `StablehloPrecisionConfig` in the order of their numbers; the empty name is no member.
pub static STABLEHLO_PRECISION_CONFIG: &[&str] = &["DEFAULT", "HIGH", "HIGHEST"];
/// Names of `TensorType` in the order of their numbers; the empty name is no member.
pub static TENSOR_TYPE: &[&str] = &[
    "FLOAT32",
    "FLOAT16",
    "INT32",
    "UINT8",
    "INT64",
    "STRING",
    "BOOL",
    "INT16",
    "COMPLEX64",
    "INT8",
    "FLOAT64",
    "COMPLEX128",
    "UINT64",
    "RESOURCE",
    "VARIANT",
    "UINT32",
    "UINT16",
    "INT4",
    "BFLOAT16",
    "INT2",
    "UINT4",
    "FLOAT8_E4M3FN",
    "FLOAT8_E5M2",
];

/// Union `BuiltinOptions`.
pub static BUILTIN_OPTIONS: Union = Union {
    members: &[
        &CONV2D_OPTIONS,
        &DEPTHWISE_CONV2D_OPTIONS,
        &CONCAT_EMBEDDINGS_OPTIONS,
        &LSH_PROJECTION_OPTIONS,
        &POOL2D_OPTIONS,
        &SVDF_OPTIONS,
        &RNN_OPTIONS,
        &FULLY_CONNECTED_OPTIONS,
        &SOFTMAX_OPTIONS,
        &CONCATENATION_OPTIONS,
        &ADD_OPTIONS,
        &L2_NORM_OPTIONS,
        &LOCAL_RESPONSE_NORMALIZATION_OPTIONS,
        &LSTM_OPTIONS,
        &RESIZE_BILINEAR_OPTIONS,
        &CALL_OPTIONS,
        &RESHAPE_OPTIONS,
        &SKIP_GRAM_OPTIONS,
        &SPACE_TO_DEPTH_OPTIONS,
        &EMBEDDING_LOOKUP_SPARSE_OPTIONS,
        &MUL_OPTIONS,
        &PAD_OPTIONS,
        &GATHER_OPTIONS,
        &BATCH_TO_SPACE_ND_OPTIONS,
        &SPACE_TO_BATCH_ND_OPTIONS,
        &TRANSPOSE_OPTIONS,
        &REDUCER_OPTIONS,
        &SUB_OPTIONS,
        &DIV_OPTIONS,
        &SQUEEZE_OPTIONS,
        &SEQUENCE_RNN_OPTIONS,
        &STRIDED_SLICE_OPTIONS,
        &EXP_OPTIONS,
        &TOP_KV2_OPTIONS,
        &SPLIT_OPTIONS,
        &LOG_SOFTMAX_OPTIONS,
        &CAST_OPTIONS,
        &DEQUANTIZE_OPTIONS,
        &MAXIMUM_MINIMUM_OPTIONS,
        &ARG_MAX_OPTIONS,
        &LESS_OPTIONS,
        &NEG_OPTIONS,
        &PAD_V2_OPTIONS,
        &GREATER_OPTIONS,
        &GREATER_EQUAL_OPTIONS,
        &LESS_EQUAL_OPTIONS,
        &SELECT_OPTIONS,
        &SLICE_OPTIONS,
        &TRANSPOSE_CONV_OPTIONS,
        &SPARSE_TO_DENSE_OPTIONS,
        &TILE_OPTIONS,
        &EXPAND_DIMS_OPTIONS,
        &EQUAL_OPTIONS,
        &NOT_EQUAL_OPTIONS,
        &SHAPE_OPTIONS,
        &POW_OPTIONS,
        &ARG_MIN_OPTIONS,
        &FAKE_QUANT_OPTIONS,
        &PACK_OPTIONS,
        &LOGICAL_OR_OPTIONS,
        &ONE_HOT_OPTIONS,
        &LOGICAL_AND_OPTIONS,
        &LOGICAL_NOT_OPTIONS,
        &UNPACK_OPTIONS,
        &FLOOR_DIV_OPTIONS,
        &SQUARE_OPTIONS,
        &ZEROS_LIKE_OPTIONS,
        &FILL_OPTIONS,
        &BIDIRECTIONAL_SEQUENCE_LSTM_OPTIONS,
        &BIDIRECTIONAL_SEQUENCE_RNN_OPTIONS,
        &UNIDIRECTIONAL_SEQUENCE_LSTM_OPTIONS,
        &FLOOR_MOD_OPTIONS,
        &RANGE_OPTIONS,
        &RESIZE_NEAREST_NEIGHBOR_OPTIONS,
        &LEAKY_RELU_OPTIONS,
        &SQUARED_DIFFERENCE_OPTIONS,
        &MIRROR_PAD_OPTIONS,
        &ABS_OPTIONS,
        &SPLIT_V_OPTIONS,
        &UNIQUE_OPTIONS,
        &REVERSE_V2_OPTIONS,
        &ADD_N_OPTIONS,
        &GATHER_ND_OPTIONS,
        &COS_OPTIONS,
        &WHERE_OPTIONS,
        &RANK_OPTIONS,
        &REVERSE_SEQUENCE_OPTIONS,
        &MATRIX_DIAG_OPTIONS,
        &QUANTIZE_OPTIONS,
        &MATRIX_SET_DIAG_OPTIONS,
        &HARD_SWISH_OPTIONS,
        &IF_OPTIONS,
        &WHILE_OPTIONS,
        &DEPTH_TO_SPACE_OPTIONS,
        &NON_MAX_SUPPRESSION_V4_OPTIONS,
        &NON_MAX_SUPPRESSION_V5_OPTIONS,
        &SCATTER_ND_OPTIONS,
        &SELECT_V2_OPTIONS,
        &DENSIFY_OPTIONS,
        &SEGMENT_SUM_OPTIONS,
        &BATCH_MAT_MUL_OPTIONS,
        &CUMSUM_OPTIONS,
        &CALL_ONCE_OPTIONS,
        &BROADCAST_TO_OPTIONS,
        &RFFT2D_OPTIONS,
        &CONV3D_OPTIONS,
        &HASHTABLE_OPTIONS,
        &HASHTABLE_FIND_OPTIONS,
        &HASHTABLE_IMPORT_OPTIONS,
        &HASHTABLE_SIZE_OPTIONS,
        &VAR_HANDLE_OPTIONS,
        &READ_VARIABLE_OPTIONS,
        &ASSIGN_VARIABLE_OPTIONS,
        &RANDOM_OPTIONS,
        &BUCKETIZE_OPTIONS,
        &GELU_OPTIONS,
        &DYNAMIC_UPDATE_SLICE_OPTIONS,
        &UNSORTED_SEGMENT_PROD_OPTIONS,
        &UNSORTED_SEGMENT_MAX_OPTIONS,
        &UNSORTED_SEGMENT_MIN_OPTIONS,
        &UNSORTED_SEGMENT_SUM_OPTIONS,
        &A_TAN2_OPTIONS,
        &SIGN_OPTIONS,
        &BITCAST_OPTIONS,
        &BITWISE_XOR_OPTIONS,
        &RIGHT_SHIFT_OPTIONS,
    ],
};

/// Union `BuiltinOptions2`.
pub static BUILTIN_OPTIONS2: Union = Union {
    members: &[
        &STABLEHLO_CONCATENATE_OPTIONS,
        &STABLEHLO_BROADCAST_IN_DIM_OPTIONS,
        &STABLEHLO_SLICE_OPTIONS,
        &STABLEHLO_CONVOLUTION_OPTIONS,
        &STABLEHLO_CUSTOM_CALL_OPTIONS,
        &STABLEHLO_REDUCE_OPTIONS,
        &STABLEHLO_SCATTER_OPTIONS,
        &STABLEHLO_COMPARE_OPTIONS,
        &STABLEHLO_DYNAMIC_SLICE_OPTIONS,
        &STABLEHLO_PAD_OPTIONS,
        &STABLEHLO_IOTA_OPTIONS,
        &STABLEHLO_DOT_GENERAL_OPTIONS,
        &STABLEHLO_REDUCE_WINDOW_OPTIONS,
        &STABLEHLO_SORT_OPTIONS,
        &STABLEHLO_WHILE_OPTIONS,
        &STABLEHLO_GATHER_OPTIONS,
        &STABLEHLO_TRANSPOSE_OPTIONS,
        &DILATE_OPTIONS,
        &STABLEHLO_RNG_BIT_GENERATOR_OPTIONS,
        &REDUCE_WINDOW_OPTIONS,
        &STABLE_HLO_COMPOSITE_OPTIONS,
        &STABLEHLO_SHIFT_LEFT_OPTIONS,
        &STABLEHLO_CASE_OPTIONS,
    ],
};

/// Union `QuantizationDetails`.
pub static QUANTIZATION_DETAILS: Union =
    Union { members: &[&CUSTOM_QUANTIZATION, &BLOCKWISE_QUANTIZATION, &MULTI_AXIS_QUANTIZATION] };

/// Union `SparseIndexVector`.
pub static SPARSE_INDEX_VECTOR: Union = Union { members: &[&INT32_VECTOR, &UINT16_VECTOR, &UINT8_VECTOR] };

/// Table `CustomQuantization`.
pub static CUSTOM_QUANTIZATION: Table =
    Table { name: "CustomQuantization", fields: &[Field::new("custom", Kind::Vector(Scalar::U8))] };

/// Table `BlockwiseQuantization`.
pub static BLOCKWISE_QUANTIZATION: Table = Table {
    name: "BlockwiseQuantization",
    fields: &[
        Field::new("scales", Kind::I32),
        Field::new("zero_points", Kind::I32),
        Field::new("block_size", Kind::I32),
        Field::new("block_shape", Kind::Vector(Scalar::I32)),
    ],
};

/// Table `MultiAxisQuantization`.
pub static MULTI_AXIS_QUANTIZATION: Table = Table {
    name: "MultiAxisQuantization",
    fields: &[
        Field::new("scales", Kind::I32),
        Field::new("zero_points", Kind::I32),
        Field::new("block_size", Kind::I32),
        Field::new("quantized_dimensions", Kind::Vector(Scalar::I32)),
    ],
};

/// Table `QuantizationParameters`.
pub static QUANTIZATION_PARAMETERS: Table = Table {
    name: "QuantizationParameters",
    fields: &[
        Field::new("min", Kind::Vector(Scalar::F32)),
        Field::new("max", Kind::Vector(Scalar::F32)),
        Field::new("scale", Kind::Vector(Scalar::F32)),
        Field::new("zero_point", Kind::Vector(Scalar::I64)),
        Field::new("details_type", Kind::U8),
        Field::new("details", Kind::Union(&QUANTIZATION_DETAILS)),
        Field::new("quantized_dimension", Kind::I32),
    ],
};

/// Table `Int32Vector`.
pub static INT32_VECTOR: Table =
    Table { name: "Int32Vector", fields: &[Field::new("values", Kind::Vector(Scalar::I32))] };

/// Table `Uint16Vector`.
pub static UINT16_VECTOR: Table =
    Table { name: "Uint16Vector", fields: &[Field::new("values", Kind::Vector(Scalar::U16))] };

/// Table `Uint8Vector`.
pub static UINT8_VECTOR: Table =
    Table { name: "Uint8Vector", fields: &[Field::new("values", Kind::Vector(Scalar::U8))] };

/// Table `DimensionMetadata`.
pub static DIMENSION_METADATA: Table = Table {
    name: "DimensionMetadata",
    fields: &[
        Field::new("format", Kind::I8),
        Field::new("dense_size", Kind::I32),
        Field::new("array_segments_type", Kind::U8),
        Field::new("array_segments", Kind::Union(&SPARSE_INDEX_VECTOR)),
        Field::new("array_indices_type", Kind::U8),
        Field::new("array_indices", Kind::Union(&SPARSE_INDEX_VECTOR)),
    ],
};

/// Table `SparsityParameters`.
pub static SPARSITY_PARAMETERS: Table = Table {
    name: "SparsityParameters",
    fields: &[
        Field::new("traversal_order", Kind::Vector(Scalar::I32)),
        Field::new("block_map", Kind::Vector(Scalar::I32)),
        Field::new("dim_metadata", Kind::Tables(&DIMENSION_METADATA)),
    ],
};

/// Table `VariantSubType`.
pub static VARIANT_SUB_TYPE: Table = Table {
    name: "VariantSubType",
    fields: &[
        Field::new("shape", Kind::Vector(Scalar::I32)),
        Field::new("type", Kind::I8),
        Field::new("has_rank", Kind::Bool),
    ],
};

/// Table `Tensor`.
pub static TENSOR: Table = Table {
    name: "Tensor",
    fields: &[
        Field::new("shape", Kind::Vector(Scalar::I32)),
        Field::new("type", Kind::I8),
        Field::new("buffer", Kind::U32),
        Field::new("name", Kind::String),
        Field::new("quantization", Kind::Table(&QUANTIZATION_PARAMETERS)),
        Field::new("is_variable", Kind::Bool),
        Field::new("sparsity", Kind::Table(&SPARSITY_PARAMETERS)),
        Field::new("shape_signature", Kind::Vector(Scalar::I32)),
        Field::new("has_rank", Kind::Bool),
        Field::new("variant_tensors", Kind::Tables(&VARIANT_SUB_TYPE)),
        Field::new("external_buffer", Kind::U32),
    ],
};

/// Table `StablehloGatherOptions`.
pub static STABLEHLO_GATHER_OPTIONS: Table = Table {
    name: "StablehloGatherOptions",
    fields: &[
        Field::new("offset_dims", Kind::Vector(Scalar::I64)),
        Field::new("collapsed_slice_dims", Kind::Vector(Scalar::I64)),
        Field::new("start_index_map", Kind::Vector(Scalar::I64)),
        Field::new("index_vector_dim", Kind::I64),
        Field::new("slice_sizes", Kind::Vector(Scalar::I64)),
        Field::new("indices_are_sorted", Kind::Bool),
    ],
};

/// Table `StablehloTransposeOptions`.
pub static STABLEHLO_TRANSPOSE_OPTIONS: Table = Table {
    name: "StablehloTransposeOptions",
    fields: &[Field::new("permutation", Kind::Vector(Scalar::I64))],
};

/// Table `StablehloDotGeneralOptions`.
pub static STABLEHLO_DOT_GENERAL_OPTIONS: Table = Table {
    name: "StablehloDotGeneralOptions",
    fields: &[
        Field::new("lhs_batching_dimensions", Kind::Vector(Scalar::I64)),
        Field::new("rhs_batching_dimensions", Kind::Vector(Scalar::I64)),
        Field::new("lhs_contracting_dimensions", Kind::Vector(Scalar::I64)),
        Field::new("rhs_contracting_dimensions", Kind::Vector(Scalar::I64)),
        Field::new("precision_config", Kind::Vector(Scalar::U32)),
    ],
};

/// Table `StablehloReduceWindowOptions`.
pub static STABLEHLO_REDUCE_WINDOW_OPTIONS: Table = Table {
    name: "StablehloReduceWindowOptions",
    fields: &[
        Field::new("window_dimensions", Kind::Vector(Scalar::I64)),
        Field::new("window_strides", Kind::Vector(Scalar::I64)),
        Field::new("base_dilations", Kind::Vector(Scalar::I64)),
        Field::new("window_dilations", Kind::Vector(Scalar::I64)),
        Field::new("padding", Kind::Vector(Scalar::I64)),
        Field::new("body_subgraph_index", Kind::I32),
    ],
};

/// Table `StablehloWhileOptions`.
pub static STABLEHLO_WHILE_OPTIONS: Table = Table {
    name: "StablehloWhileOptions",
    fields: &[Field::new("cond_subgraph_index", Kind::I32), Field::new("body_subgraph_index", Kind::I32)],
};

/// Table `StablehloSortOptions`.
pub static STABLEHLO_SORT_OPTIONS: Table = Table {
    name: "StablehloSortOptions",
    fields: &[
        Field::new("dimension", Kind::I64),
        Field::new("is_stable", Kind::Bool),
        Field::new("comparator_subgraph_index", Kind::I32),
    ],
};

/// Table `StablehloConcatenateOptions`.
pub static STABLEHLO_CONCATENATE_OPTIONS: Table =
    Table { name: "StablehloConcatenateOptions", fields: &[Field::new("dimension", Kind::I64)] };

/// Table `StablehloBroadcastInDimOptions`.
pub static STABLEHLO_BROADCAST_IN_DIM_OPTIONS: Table = Table {
    name: "StablehloBroadcastInDimOptions",
    fields: &[Field::new("broadcast_dimensions", Kind::Vector(Scalar::I64))],
};

/// Table `StablehloCompareOptions`.
pub static STABLEHLO_COMPARE_OPTIONS: Table = Table {
    name: "StablehloCompareOptions",
    fields: &[Field::new("comparison_direction", Kind::U32), Field::new("compare_type", Kind::U32)],
};

/// Table `StablehloDynamicSliceOptions`.
pub static STABLEHLO_DYNAMIC_SLICE_OPTIONS: Table = Table {
    name: "StablehloDynamicSliceOptions",
    fields: &[Field::new("slice_sizes", Kind::Vector(Scalar::I64))],
};

/// Table `StablehloPadOptions`.
pub static STABLEHLO_PAD_OPTIONS: Table = Table {
    name: "StablehloPadOptions",
    fields: &[
        Field::new("edge_padding_low", Kind::Vector(Scalar::I64)),
        Field::new("edge_padding_high", Kind::Vector(Scalar::I64)),
        Field::new("interior_padding", Kind::Vector(Scalar::I64)),
    ],
};

/// Table `StablehloIotaOptions`.
pub static STABLEHLO_IOTA_OPTIONS: Table =
    Table { name: "StablehloIotaOptions", fields: &[Field::new("iota_dimension", Kind::I64)] };

/// Table `StablehloCustomCallOptions`.
pub static STABLEHLO_CUSTOM_CALL_OPTIONS: Table = Table {
    name: "StablehloCustomCallOptions",
    fields: &[
        Field::new("call_target_name", Kind::String),
        Field::new("has_side_effect", Kind::Bool),
        Field::new("backend_config", Kind::String),
        Field::new("api_version", Kind::I32),
        Field::new("called_computations", Kind::Vector(Scalar::I32)),
        Field::new("custom_attributes", Kind::Vector(Scalar::U8)),
    ],
};

/// Table `StablehloReduceOptions`.
pub static STABLEHLO_REDUCE_OPTIONS: Table = Table {
    name: "StablehloReduceOptions",
    fields: &[
        Field::new("dimensions", Kind::Vector(Scalar::I64)),
        Field::new("body_subgraph_index", Kind::I32),
    ],
};

/// Table `StablehloSliceOptions`.
pub static STABLEHLO_SLICE_OPTIONS: Table = Table {
    name: "StablehloSliceOptions",
    fields: &[
        Field::new("start_indices", Kind::Vector(Scalar::I64)),
        Field::new("limit_indices", Kind::Vector(Scalar::I64)),
        Field::new("strides", Kind::Vector(Scalar::I64)),
    ],
};

/// Table `StablehloConvolutionOptions`.
pub static STABLEHLO_CONVOLUTION_OPTIONS: Table = Table {
    name: "StablehloConvolutionOptions",
    fields: &[
        Field::new("window_strides", Kind::Vector(Scalar::I64)),
        Field::new("padding", Kind::Vector(Scalar::I64)),
        Field::new("lhs_dilation", Kind::Vector(Scalar::I64)),
        Field::new("rhs_dilation", Kind::Vector(Scalar::I64)),
        Field::new("window_reversal", Kind::Vector(Scalar::Bool)),
        Field::new("input_batch_dimension", Kind::I64),
        Field::new("input_feature_dimension", Kind::I64),
        Field::new("input_spatial_dimensions", Kind::Vector(Scalar::I64)),
        Field::new("kernel_input_feature_dimension", Kind::I64),
        Field::new("kernel_output_feature_dimension", Kind::I64),
        Field::new("kernel_spatial_dimensions", Kind::Vector(Scalar::I64)),
        Field::new("output_batch_dimension", Kind::I64),
        Field::new("output_feature_dimension", Kind::I64),
        Field::new("output_spatial_dimensions", Kind::Vector(Scalar::I64)),
        Field::new("feature_group_count", Kind::I64),
        Field::new("batch_group_count", Kind::I64),
        Field::new("precision_config", Kind::Vector(Scalar::U32)),
    ],
};

/// Table `StablehloScatterOptions`.
pub static STABLEHLO_SCATTER_OPTIONS: Table = Table {
    name: "StablehloScatterOptions",
    fields: &[
        Field::new("indices_are_sorted", Kind::Bool),
        Field::new("update_window_dims", Kind::Vector(Scalar::I64)),
        Field::new("inserted_window_dims", Kind::Vector(Scalar::I64)),
        Field::new("scatter_dims_to_operand_dims", Kind::Vector(Scalar::I64)),
        Field::new("index_vector_dim", Kind::I64),
        Field::new("unique_indices", Kind::Bool),
        Field::new("update_computation_subgraph_index", Kind::I32),
    ],
};

/// Table `StablehloCaseOptions`.
pub static STABLEHLO_CASE_OPTIONS: Table = Table {
    name: "StablehloCaseOptions",
    fields: &[Field::new("branch_subgraph_indices", Kind::Vector(Scalar::I32))],
};

/// Table `StablehloRngBitGeneratorOptions`.
pub static STABLEHLO_RNG_BIT_GENERATOR_OPTIONS: Table =
    Table { name: "StablehloRngBitGeneratorOptions", fields: &[Field::new("algorithm", Kind::I8)] };

/// Table `Conv2DOptions`.
pub static CONV2D_OPTIONS: Table = Table {
    name: "Conv2DOptions",
    fields: &[
        Field::new("padding", Kind::I8),
        Field::new("stride_w", Kind::I32),
        Field::new("stride_h", Kind::I32),
        Field::new("fused_activation_function", Kind::I8),
        Field::new("dilation_w_factor", Kind::I32).or(1.0),
        Field::new("dilation_h_factor", Kind::I32).or(1.0),
        Field::new("quantized_bias_type", Kind::I8),
    ],
};

/// Table `Conv3DOptions`.
pub static CONV3D_OPTIONS: Table = Table {
    name: "Conv3DOptions",
    fields: &[
        Field::new("padding", Kind::I8),
        Field::new("stride_d", Kind::I32),
        Field::new("stride_w", Kind::I32),
        Field::new("stride_h", Kind::I32),
        Field::new("fused_activation_function", Kind::I8),
        Field::new("dilation_d_factor", Kind::I32).or(1.0),
        Field::new("dilation_w_factor", Kind::I32).or(1.0),
        Field::new("dilation_h_factor", Kind::I32).or(1.0),
    ],
};

/// Table `Pool2DOptions`.
pub static POOL2D_OPTIONS: Table = Table {
    name: "Pool2DOptions",
    fields: &[
        Field::new("padding", Kind::I8),
        Field::new("stride_w", Kind::I32),
        Field::new("stride_h", Kind::I32),
        Field::new("filter_width", Kind::I32),
        Field::new("filter_height", Kind::I32),
        Field::new("fused_activation_function", Kind::I8),
    ],
};

/// Table `DepthwiseConv2DOptions`.
pub static DEPTHWISE_CONV2D_OPTIONS: Table = Table {
    name: "DepthwiseConv2DOptions",
    fields: &[
        Field::new("padding", Kind::I8),
        Field::new("stride_w", Kind::I32),
        Field::new("stride_h", Kind::I32),
        Field::new("depth_multiplier", Kind::I32),
        Field::new("fused_activation_function", Kind::I8),
        Field::new("dilation_w_factor", Kind::I32).or(1.0),
        Field::new("dilation_h_factor", Kind::I32).or(1.0),
    ],
};

/// Table `ConcatEmbeddingsOptions`.
pub static CONCAT_EMBEDDINGS_OPTIONS: Table = Table {
    name: "ConcatEmbeddingsOptions",
    fields: &[
        Field::new("num_channels", Kind::I32),
        Field::new("num_columns_per_channel", Kind::Vector(Scalar::I32)),
        Field::new("embedding_dim_per_channel", Kind::Vector(Scalar::I32)),
    ],
};

/// Table `LSHProjectionOptions`.
pub static LSH_PROJECTION_OPTIONS: Table =
    Table { name: "LSHProjectionOptions", fields: &[Field::new("type", Kind::I8)] };

/// Table `SVDFOptions`.
pub static SVDF_OPTIONS: Table = Table {
    name: "SVDFOptions",
    fields: &[
        Field::new("rank", Kind::I32),
        Field::new("fused_activation_function", Kind::I8),
        Field::new("asymmetric_quantize_inputs", Kind::Bool),
    ],
};

/// Table `RNNOptions`.
pub static RNN_OPTIONS: Table = Table {
    name: "RNNOptions",
    fields: &[
        Field::new("fused_activation_function", Kind::I8),
        Field::new("asymmetric_quantize_inputs", Kind::Bool),
    ],
};

/// Table `SequenceRNNOptions`.
pub static SEQUENCE_RNN_OPTIONS: Table = Table {
    name: "SequenceRNNOptions",
    fields: &[
        Field::new("time_major", Kind::Bool),
        Field::new("fused_activation_function", Kind::I8),
        Field::new("asymmetric_quantize_inputs", Kind::Bool),
    ],
};

/// Table `BidirectionalSequenceRNNOptions`.
pub static BIDIRECTIONAL_SEQUENCE_RNN_OPTIONS: Table = Table {
    name: "BidirectionalSequenceRNNOptions",
    fields: &[
        Field::new("time_major", Kind::Bool),
        Field::new("fused_activation_function", Kind::I8),
        Field::new("merge_outputs", Kind::Bool),
        Field::new("asymmetric_quantize_inputs", Kind::Bool),
    ],
};

/// Table `FullyConnectedOptions`.
pub static FULLY_CONNECTED_OPTIONS: Table = Table {
    name: "FullyConnectedOptions",
    fields: &[
        Field::new("fused_activation_function", Kind::I8),
        Field::new("weights_format", Kind::I8),
        Field::new("keep_num_dims", Kind::Bool),
        Field::new("asymmetric_quantize_inputs", Kind::Bool),
        Field::new("quantized_bias_type", Kind::I8),
        Field::new("quant_spec", Kind::Vector(Scalar::U8)),
    ],
};

/// Table `SoftmaxOptions`.
pub static SOFTMAX_OPTIONS: Table =
    Table { name: "SoftmaxOptions", fields: &[Field::new("beta", Kind::F32)] };

/// Table `ConcatenationOptions`.
pub static CONCATENATION_OPTIONS: Table = Table {
    name: "ConcatenationOptions",
    fields: &[Field::new("axis", Kind::I32), Field::new("fused_activation_function", Kind::I8)],
};

/// Table `AddOptions`.
pub static ADD_OPTIONS: Table = Table {
    name: "AddOptions",
    fields: &[
        Field::new("fused_activation_function", Kind::I8),
        Field::new("pot_scale_int16", Kind::Bool).or(1.0),
    ],
};

/// Table `MulOptions`.
pub static MUL_OPTIONS: Table =
    Table { name: "MulOptions", fields: &[Field::new("fused_activation_function", Kind::I8)] };

/// Table `L2NormOptions`.
pub static L2_NORM_OPTIONS: Table =
    Table { name: "L2NormOptions", fields: &[Field::new("fused_activation_function", Kind::I8)] };

/// Table `LocalResponseNormalizationOptions`.
pub static LOCAL_RESPONSE_NORMALIZATION_OPTIONS: Table = Table {
    name: "LocalResponseNormalizationOptions",
    fields: &[
        Field::new("radius", Kind::I32),
        Field::new("bias", Kind::F32),
        Field::new("alpha", Kind::F32),
        Field::new("beta", Kind::F32),
    ],
};

/// Table `LSTMOptions`.
pub static LSTM_OPTIONS: Table = Table {
    name: "LSTMOptions",
    fields: &[
        Field::new("fused_activation_function", Kind::I8),
        Field::new("cell_clip", Kind::F32),
        Field::new("proj_clip", Kind::F32),
        Field::new("kernel_type", Kind::I8),
        Field::new("asymmetric_quantize_inputs", Kind::Bool),
    ],
};

/// Table `UnidirectionalSequenceLSTMOptions`.
pub static UNIDIRECTIONAL_SEQUENCE_LSTM_OPTIONS: Table = Table {
    name: "UnidirectionalSequenceLSTMOptions",
    fields: &[
        Field::new("fused_activation_function", Kind::I8),
        Field::new("cell_clip", Kind::F32),
        Field::new("proj_clip", Kind::F32),
        Field::new("time_major", Kind::Bool),
        Field::new("asymmetric_quantize_inputs", Kind::Bool),
        Field::new("diagonal_recurrent_tensors", Kind::Bool),
    ],
};

/// Table `BidirectionalSequenceLSTMOptions`.
pub static BIDIRECTIONAL_SEQUENCE_LSTM_OPTIONS: Table = Table {
    name: "BidirectionalSequenceLSTMOptions",
    fields: &[
        Field::new("fused_activation_function", Kind::I8),
        Field::new("cell_clip", Kind::F32),
        Field::new("proj_clip", Kind::F32),
        Field::new("merge_outputs", Kind::Bool),
        Field::new("time_major", Kind::Bool).or(1.0),
        Field::new("asymmetric_quantize_inputs", Kind::Bool),
    ],
};

/// Table `ResizeBilinearOptions`.
pub static RESIZE_BILINEAR_OPTIONS: Table = Table {
    name: "ResizeBilinearOptions",
    fields: &[
        Field::new("", Kind::Deprecated),
        Field::new("", Kind::Deprecated),
        Field::new("align_corners", Kind::Bool),
        Field::new("half_pixel_centers", Kind::Bool),
    ],
};

/// Table `ResizeNearestNeighborOptions`.
pub static RESIZE_NEAREST_NEIGHBOR_OPTIONS: Table = Table {
    name: "ResizeNearestNeighborOptions",
    fields: &[Field::new("align_corners", Kind::Bool), Field::new("half_pixel_centers", Kind::Bool)],
};

/// Table `CallOptions`.
pub static CALL_OPTIONS: Table = Table { name: "CallOptions", fields: &[Field::new("subgraph", Kind::U32)] };

/// Table `PadOptions`.
pub static PAD_OPTIONS: Table = Table { name: "PadOptions", fields: &[] };

/// Table `PadV2Options`.
pub static PAD_V2_OPTIONS: Table = Table { name: "PadV2Options", fields: &[] };

/// Table `ReshapeOptions`.
pub static RESHAPE_OPTIONS: Table =
    Table { name: "ReshapeOptions", fields: &[Field::new("new_shape", Kind::Vector(Scalar::I32))] };

/// Table `SpaceToBatchNDOptions`.
pub static SPACE_TO_BATCH_ND_OPTIONS: Table = Table { name: "SpaceToBatchNDOptions", fields: &[] };

/// Table `BatchToSpaceNDOptions`.
pub static BATCH_TO_SPACE_ND_OPTIONS: Table = Table { name: "BatchToSpaceNDOptions", fields: &[] };

/// Table `SkipGramOptions`.
pub static SKIP_GRAM_OPTIONS: Table = Table {
    name: "SkipGramOptions",
    fields: &[
        Field::new("ngram_size", Kind::I32),
        Field::new("max_skip_size", Kind::I32),
        Field::new("include_all_ngrams", Kind::Bool),
    ],
};

/// Table `SpaceToDepthOptions`.
pub static SPACE_TO_DEPTH_OPTIONS: Table =
    Table { name: "SpaceToDepthOptions", fields: &[Field::new("block_size", Kind::I32)] };

/// Table `DepthToSpaceOptions`.
pub static DEPTH_TO_SPACE_OPTIONS: Table =
    Table { name: "DepthToSpaceOptions", fields: &[Field::new("block_size", Kind::I32)] };

/// Table `SubOptions`.
pub static SUB_OPTIONS: Table = Table {
    name: "SubOptions",
    fields: &[
        Field::new("fused_activation_function", Kind::I8),
        Field::new("pot_scale_int16", Kind::Bool).or(1.0),
    ],
};

/// Table `DivOptions`.
pub static DIV_OPTIONS: Table =
    Table { name: "DivOptions", fields: &[Field::new("fused_activation_function", Kind::I8)] };

/// Table `TopKV2Options`.
pub static TOP_KV2_OPTIONS: Table = Table { name: "TopKV2Options", fields: &[] };

/// Table `EmbeddingLookupSparseOptions`.
pub static EMBEDDING_LOOKUP_SPARSE_OPTIONS: Table =
    Table { name: "EmbeddingLookupSparseOptions", fields: &[Field::new("combiner", Kind::I8)] };

/// Table `GatherOptions`.
pub static GATHER_OPTIONS: Table = Table {
    name: "GatherOptions",
    fields: &[Field::new("axis", Kind::I32), Field::new("batch_dims", Kind::I32)],
};

/// Table `TransposeOptions`.
pub static TRANSPOSE_OPTIONS: Table = Table { name: "TransposeOptions", fields: &[] };

/// Table `ExpOptions`.
pub static EXP_OPTIONS: Table = Table { name: "ExpOptions", fields: &[] };

/// Table `CosOptions`.
pub static COS_OPTIONS: Table = Table { name: "CosOptions", fields: &[] };

/// Table `ReducerOptions`.
pub static REDUCER_OPTIONS: Table =
    Table { name: "ReducerOptions", fields: &[Field::new("keep_dims", Kind::Bool)] };

/// Table `SqueezeOptions`.
pub static SQUEEZE_OPTIONS: Table =
    Table { name: "SqueezeOptions", fields: &[Field::new("squeeze_dims", Kind::Vector(Scalar::I32))] };

/// Table `SplitOptions`.
pub static SPLIT_OPTIONS: Table =
    Table { name: "SplitOptions", fields: &[Field::new("num_splits", Kind::I32)] };

/// Table `SplitVOptions`.
pub static SPLIT_V_OPTIONS: Table =
    Table { name: "SplitVOptions", fields: &[Field::new("num_splits", Kind::I32)] };

/// Table `StridedSliceOptions`.
pub static STRIDED_SLICE_OPTIONS: Table = Table {
    name: "StridedSliceOptions",
    fields: &[
        Field::new("begin_mask", Kind::I32),
        Field::new("end_mask", Kind::I32),
        Field::new("ellipsis_mask", Kind::I32),
        Field::new("new_axis_mask", Kind::I32),
        Field::new("shrink_axis_mask", Kind::I32),
        Field::new("offset", Kind::Bool),
    ],
};

/// Table `LogSoftmaxOptions`.
pub static LOG_SOFTMAX_OPTIONS: Table = Table { name: "LogSoftmaxOptions", fields: &[] };

/// Table `CastOptions`.
pub static CAST_OPTIONS: Table = Table {
    name: "CastOptions",
    fields: &[Field::new("in_data_type", Kind::I8), Field::new("out_data_type", Kind::I8)],
};

/// Table `DequantizeOptions`.
pub static DEQUANTIZE_OPTIONS: Table = Table { name: "DequantizeOptions", fields: &[] };

/// Table `MaximumMinimumOptions`.
pub static MAXIMUM_MINIMUM_OPTIONS: Table = Table { name: "MaximumMinimumOptions", fields: &[] };

/// Table `TileOptions`.
pub static TILE_OPTIONS: Table = Table { name: "TileOptions", fields: &[] };

/// Table `ArgMaxOptions`.
pub static ARG_MAX_OPTIONS: Table =
    Table { name: "ArgMaxOptions", fields: &[Field::new("output_type", Kind::I8)] };

/// Table `ArgMinOptions`.
pub static ARG_MIN_OPTIONS: Table =
    Table { name: "ArgMinOptions", fields: &[Field::new("output_type", Kind::I8)] };

/// Table `GreaterOptions`.
pub static GREATER_OPTIONS: Table = Table { name: "GreaterOptions", fields: &[] };

/// Table `GreaterEqualOptions`.
pub static GREATER_EQUAL_OPTIONS: Table = Table { name: "GreaterEqualOptions", fields: &[] };

/// Table `LessOptions`.
pub static LESS_OPTIONS: Table = Table { name: "LessOptions", fields: &[] };

/// Table `LessEqualOptions`.
pub static LESS_EQUAL_OPTIONS: Table = Table { name: "LessEqualOptions", fields: &[] };

/// Table `NegOptions`.
pub static NEG_OPTIONS: Table = Table { name: "NegOptions", fields: &[] };

/// Table `SelectOptions`.
pub static SELECT_OPTIONS: Table = Table { name: "SelectOptions", fields: &[] };

/// Table `SliceOptions`.
pub static SLICE_OPTIONS: Table = Table { name: "SliceOptions", fields: &[] };

/// Table `TransposeConvOptions`.
pub static TRANSPOSE_CONV_OPTIONS: Table = Table {
    name: "TransposeConvOptions",
    fields: &[
        Field::new("padding", Kind::I8),
        Field::new("stride_w", Kind::I32),
        Field::new("stride_h", Kind::I32),
        Field::new("fused_activation_function", Kind::I8),
        Field::new("quantized_bias_type", Kind::I8),
    ],
};

/// Table `ExpandDimsOptions`.
pub static EXPAND_DIMS_OPTIONS: Table = Table { name: "ExpandDimsOptions", fields: &[] };

/// Table `SparseToDenseOptions`.
pub static SPARSE_TO_DENSE_OPTIONS: Table =
    Table { name: "SparseToDenseOptions", fields: &[Field::new("validate_indices", Kind::Bool)] };

/// Table `EqualOptions`.
pub static EQUAL_OPTIONS: Table = Table { name: "EqualOptions", fields: &[] };

/// Table `NotEqualOptions`.
pub static NOT_EQUAL_OPTIONS: Table = Table { name: "NotEqualOptions", fields: &[] };

/// Table `ShapeOptions`.
pub static SHAPE_OPTIONS: Table = Table { name: "ShapeOptions", fields: &[Field::new("out_type", Kind::I8)] };

/// Table `RankOptions`.
pub static RANK_OPTIONS: Table = Table { name: "RankOptions", fields: &[] };

/// Table `PowOptions`.
pub static POW_OPTIONS: Table = Table { name: "PowOptions", fields: &[] };

/// Table `FakeQuantOptions`.
pub static FAKE_QUANT_OPTIONS: Table = Table {
    name: "FakeQuantOptions",
    fields: &[
        Field::new("min", Kind::F32),
        Field::new("max", Kind::F32),
        Field::new("num_bits", Kind::I32),
        Field::new("narrow_range", Kind::Bool),
    ],
};

/// Table `PackOptions`.
pub static PACK_OPTIONS: Table = Table {
    name: "PackOptions",
    fields: &[Field::new("values_count", Kind::I32), Field::new("axis", Kind::I32)],
};

/// Table `LogicalOrOptions`.
pub static LOGICAL_OR_OPTIONS: Table = Table { name: "LogicalOrOptions", fields: &[] };

/// Table `OneHotOptions`.
pub static ONE_HOT_OPTIONS: Table = Table { name: "OneHotOptions", fields: &[Field::new("axis", Kind::I32)] };

/// Table `AbsOptions`.
pub static ABS_OPTIONS: Table = Table { name: "AbsOptions", fields: &[] };

/// Table `HardSwishOptions`.
pub static HARD_SWISH_OPTIONS: Table = Table { name: "HardSwishOptions", fields: &[] };

/// Table `LogicalAndOptions`.
pub static LOGICAL_AND_OPTIONS: Table = Table { name: "LogicalAndOptions", fields: &[] };

/// Table `LogicalNotOptions`.
pub static LOGICAL_NOT_OPTIONS: Table = Table { name: "LogicalNotOptions", fields: &[] };

/// Table `UnpackOptions`.
pub static UNPACK_OPTIONS: Table =
    Table { name: "UnpackOptions", fields: &[Field::new("num", Kind::I32), Field::new("axis", Kind::I32)] };

/// Table `FloorDivOptions`.
pub static FLOOR_DIV_OPTIONS: Table = Table { name: "FloorDivOptions", fields: &[] };

/// Table `SquareOptions`.
pub static SQUARE_OPTIONS: Table = Table { name: "SquareOptions", fields: &[] };

/// Table `ZerosLikeOptions`.
pub static ZEROS_LIKE_OPTIONS: Table = Table { name: "ZerosLikeOptions", fields: &[] };

/// Table `FillOptions`.
pub static FILL_OPTIONS: Table = Table { name: "FillOptions", fields: &[] };

/// Table `FloorModOptions`.
pub static FLOOR_MOD_OPTIONS: Table = Table { name: "FloorModOptions", fields: &[] };

/// Table `RangeOptions`.
pub static RANGE_OPTIONS: Table = Table { name: "RangeOptions", fields: &[] };

/// Table `LeakyReluOptions`.
pub static LEAKY_RELU_OPTIONS: Table =
    Table { name: "LeakyReluOptions", fields: &[Field::new("alpha", Kind::F32)] };

/// Table `SquaredDifferenceOptions`.
pub static SQUARED_DIFFERENCE_OPTIONS: Table = Table { name: "SquaredDifferenceOptions", fields: &[] };

/// Table `MirrorPadOptions`.
pub static MIRROR_PAD_OPTIONS: Table =
    Table { name: "MirrorPadOptions", fields: &[Field::new("mode", Kind::I8)] };

/// Table `UniqueOptions`.
pub static UNIQUE_OPTIONS: Table =
    Table { name: "UniqueOptions", fields: &[Field::new("idx_out_type", Kind::I8).or(2.0)] };

/// Table `ReverseV2Options`.
pub static REVERSE_V2_OPTIONS: Table = Table { name: "ReverseV2Options", fields: &[] };

/// Table `AddNOptions`.
pub static ADD_N_OPTIONS: Table = Table { name: "AddNOptions", fields: &[] };

/// Table `GatherNdOptions`.
pub static GATHER_ND_OPTIONS: Table = Table { name: "GatherNdOptions", fields: &[] };

/// Table `WhereOptions`.
pub static WHERE_OPTIONS: Table = Table { name: "WhereOptions", fields: &[] };

/// Table `ReverseSequenceOptions`.
pub static REVERSE_SEQUENCE_OPTIONS: Table = Table {
    name: "ReverseSequenceOptions",
    fields: &[Field::new("seq_dim", Kind::I32), Field::new("batch_dim", Kind::I32)],
};

/// Table `MatrixDiagOptions`.
pub static MATRIX_DIAG_OPTIONS: Table = Table { name: "MatrixDiagOptions", fields: &[] };

/// Table `QuantizeOptions`.
pub static QUANTIZE_OPTIONS: Table = Table { name: "QuantizeOptions", fields: &[] };

/// Table `MatrixSetDiagOptions`.
pub static MATRIX_SET_DIAG_OPTIONS: Table = Table { name: "MatrixSetDiagOptions", fields: &[] };

/// Table `IfOptions`.
pub static IF_OPTIONS: Table = Table {
    name: "IfOptions",
    fields: &[Field::new("then_subgraph_index", Kind::I32), Field::new("else_subgraph_index", Kind::I32)],
};

/// Table `CallOnceOptions`.
pub static CALL_ONCE_OPTIONS: Table =
    Table { name: "CallOnceOptions", fields: &[Field::new("init_subgraph_index", Kind::I32)] };

/// Table `WhileOptions`.
pub static WHILE_OPTIONS: Table = Table {
    name: "WhileOptions",
    fields: &[Field::new("cond_subgraph_index", Kind::I32), Field::new("body_subgraph_index", Kind::I32)],
};

/// Table `NonMaxSuppressionV4Options`.
pub static NON_MAX_SUPPRESSION_V4_OPTIONS: Table = Table { name: "NonMaxSuppressionV4Options", fields: &[] };

/// Table `NonMaxSuppressionV5Options`.
pub static NON_MAX_SUPPRESSION_V5_OPTIONS: Table = Table { name: "NonMaxSuppressionV5Options", fields: &[] };

/// Table `ScatterNdOptions`.
pub static SCATTER_ND_OPTIONS: Table = Table { name: "ScatterNdOptions", fields: &[] };

/// Table `SelectV2Options`.
pub static SELECT_V2_OPTIONS: Table = Table { name: "SelectV2Options", fields: &[] };

/// Table `DensifyOptions`.
pub static DENSIFY_OPTIONS: Table = Table { name: "DensifyOptions", fields: &[] };

/// Table `SegmentSumOptions`.
pub static SEGMENT_SUM_OPTIONS: Table = Table { name: "SegmentSumOptions", fields: &[] };

/// Table `BatchMatMulOptions`.
pub static BATCH_MAT_MUL_OPTIONS: Table = Table {
    name: "BatchMatMulOptions",
    fields: &[
        Field::new("adj_x", Kind::Bool),
        Field::new("adj_y", Kind::Bool),
        Field::new("asymmetric_quantize_inputs", Kind::Bool),
    ],
};

/// Table `CumsumOptions`.
pub static CUMSUM_OPTIONS: Table = Table {
    name: "CumsumOptions",
    fields: &[Field::new("exclusive", Kind::Bool), Field::new("reverse", Kind::Bool)],
};

/// Table `BroadcastToOptions`.
pub static BROADCAST_TO_OPTIONS: Table = Table { name: "BroadcastToOptions", fields: &[] };

/// Table `Rfft2dOptions`.
pub static RFFT2D_OPTIONS: Table = Table { name: "Rfft2dOptions", fields: &[] };

/// Table `HashtableOptions`.
pub static HASHTABLE_OPTIONS: Table = Table {
    name: "HashtableOptions",
    fields: &[
        Field::new("table_id", Kind::I32),
        Field::new("key_dtype", Kind::I8),
        Field::new("value_dtype", Kind::I8),
    ],
};

/// Table `HashtableFindOptions`.
pub static HASHTABLE_FIND_OPTIONS: Table = Table { name: "HashtableFindOptions", fields: &[] };

/// Table `HashtableImportOptions`.
pub static HASHTABLE_IMPORT_OPTIONS: Table = Table { name: "HashtableImportOptions", fields: &[] };

/// Table `HashtableSizeOptions`.
pub static HASHTABLE_SIZE_OPTIONS: Table = Table { name: "HashtableSizeOptions", fields: &[] };

/// Table `VarHandleOptions`.
pub static VAR_HANDLE_OPTIONS: Table = Table {
    name: "VarHandleOptions",
    fields: &[Field::new("container", Kind::String), Field::new("shared_name", Kind::String)],
};

/// Table `ReadVariableOptions`.
pub static READ_VARIABLE_OPTIONS: Table = Table { name: "ReadVariableOptions", fields: &[] };

/// Table `AssignVariableOptions`.
pub static ASSIGN_VARIABLE_OPTIONS: Table = Table { name: "AssignVariableOptions", fields: &[] };

/// Table `RandomOptions`.
pub static RANDOM_OPTIONS: Table =
    Table { name: "RandomOptions", fields: &[Field::new("seed", Kind::I64), Field::new("seed2", Kind::I64)] };

/// Table `BucketizeOptions`.
pub static BUCKETIZE_OPTIONS: Table =
    Table { name: "BucketizeOptions", fields: &[Field::new("boundaries", Kind::Vector(Scalar::F32))] };

/// Table `GeluOptions`.
pub static GELU_OPTIONS: Table =
    Table { name: "GeluOptions", fields: &[Field::new("approximate", Kind::Bool)] };

/// Table `DynamicUpdateSliceOptions`.
pub static DYNAMIC_UPDATE_SLICE_OPTIONS: Table = Table { name: "DynamicUpdateSliceOptions", fields: &[] };

/// Table `UnsortedSegmentProdOptions`.
pub static UNSORTED_SEGMENT_PROD_OPTIONS: Table = Table { name: "UnsortedSegmentProdOptions", fields: &[] };

/// Table `UnsortedSegmentMaxOptions`.
pub static UNSORTED_SEGMENT_MAX_OPTIONS: Table = Table { name: "UnsortedSegmentMaxOptions", fields: &[] };

/// Table `UnsortedSegmentSumOptions`.
pub static UNSORTED_SEGMENT_SUM_OPTIONS: Table = Table { name: "UnsortedSegmentSumOptions", fields: &[] };

/// Table `ATan2Options`.
pub static A_TAN2_OPTIONS: Table = Table { name: "ATan2Options", fields: &[] };

/// Table `UnsortedSegmentMinOptions`.
pub static UNSORTED_SEGMENT_MIN_OPTIONS: Table = Table { name: "UnsortedSegmentMinOptions", fields: &[] };

/// Table `SignOptions`.
pub static SIGN_OPTIONS: Table = Table { name: "SignOptions", fields: &[] };

/// Table `BitcastOptions`.
pub static BITCAST_OPTIONS: Table = Table { name: "BitcastOptions", fields: &[] };

/// Table `BitwiseXorOptions`.
pub static BITWISE_XOR_OPTIONS: Table = Table { name: "BitwiseXorOptions", fields: &[] };

/// Table `RightShiftOptions`.
pub static RIGHT_SHIFT_OPTIONS: Table = Table { name: "RightShiftOptions", fields: &[] };

/// Table `DilateOptions`.
pub static DILATE_OPTIONS: Table = Table { name: "DilateOptions", fields: &[] };

/// Table `ReduceWindowOptions`.
pub static REDUCE_WINDOW_OPTIONS: Table =
    Table { name: "ReduceWindowOptions", fields: &[Field::new("reduce_function", Kind::I32)] };

/// Table `OperatorCode`.
pub static OPERATOR_CODE: Table = Table {
    name: "OperatorCode",
    fields: &[
        Field::new("deprecated_builtin_code", Kind::I8),
        Field::new("custom_code", Kind::String),
        Field::new("version", Kind::I32).or(1.0),
        Field::new("builtin_code", Kind::I32),
    ],
};

/// Table `StableHLOCompositeOptions`.
pub static STABLE_HLO_COMPOSITE_OPTIONS: Table = Table {
    name: "StableHLOCompositeOptions",
    fields: &[
        Field::new("name", Kind::String),
        Field::new("decomposition_subgraph_index", Kind::I32),
        Field::new("composite_attributes", Kind::Vector(Scalar::U8)),
        Field::new("composite_attributes_format", Kind::I8),
        Field::new("version", Kind::I32),
    ],
};

/// Table `StablehloShiftLeftOptions`.
pub static STABLEHLO_SHIFT_LEFT_OPTIONS: Table = Table { name: "StablehloShiftLeftOptions", fields: &[] };

/// Table `Operator`.
pub static OPERATOR: Table = Table {
    name: "Operator",
    fields: &[
        Field::new("opcode_index", Kind::U32),
        Field::new("inputs", Kind::Vector(Scalar::I32)),
        Field::new("outputs", Kind::Vector(Scalar::I32)),
        Field::new("builtin_options_type", Kind::U8),
        Field::new("builtin_options", Kind::Union(&BUILTIN_OPTIONS)),
        Field::new("custom_options", Kind::Vector(Scalar::U8)),
        Field::new("custom_options_format", Kind::I8),
        Field::new("mutating_variable_inputs", Kind::Vector(Scalar::Bool)),
        Field::new("intermediates", Kind::Vector(Scalar::I32)),
        Field::new("large_custom_options_offset", Kind::U64),
        Field::new("large_custom_options_size", Kind::U64),
        Field::new("builtin_options2_type", Kind::U8),
        Field::new("builtin_options2", Kind::Union(&BUILTIN_OPTIONS2)),
        Field::new("debug_metadata_index", Kind::I32).or(-1.0),
    ],
};

/// Table `SubGraph`.
pub static SUB_GRAPH: Table = Table {
    name: "SubGraph",
    fields: &[
        Field::new("tensors", Kind::Tables(&TENSOR)),
        Field::new("inputs", Kind::Vector(Scalar::I32)),
        Field::new("outputs", Kind::Vector(Scalar::I32)),
        Field::new("operators", Kind::Tables(&OPERATOR)),
        Field::new("name", Kind::String),
        Field::new("debug_metadata_index", Kind::I32).or(-1.0),
    ],
};

/// Table `Buffer`.
pub static BUFFER: Table = Table {
    name: "Buffer",
    fields: &[
        Field::new("data", Kind::Vector(Scalar::U8)),
        Field::new("offset", Kind::U64),
        Field::new("size", Kind::U64),
    ],
};

/// Table `ExternalBufferGroup`.
pub static EXTERNAL_BUFFER_GROUP: Table =
    Table { name: "ExternalBufferGroup", fields: &[Field::new("name", Kind::String)] };

/// Table `ExternalBuffer`.
pub static EXTERNAL_BUFFER: Table = Table {
    name: "ExternalBuffer",
    fields: &[
        Field::new("id", Kind::U32),
        Field::new("group", Kind::U32),
        Field::new("offset", Kind::U64),
        Field::new("length", Kind::U64),
        Field::new("packing", Kind::String),
    ],
};

/// Table `Metadata`.
pub static METADATA: Table =
    Table { name: "Metadata", fields: &[Field::new("name", Kind::String), Field::new("buffer", Kind::U32)] };

/// Table `TensorMap`.
pub static TENSOR_MAP: Table = Table {
    name: "TensorMap",
    fields: &[Field::new("name", Kind::String), Field::new("tensor_index", Kind::U32)],
};

/// Table `SignatureDef`.
pub static SIGNATURE_DEF: Table = Table {
    name: "SignatureDef",
    fields: &[
        Field::new("inputs", Kind::Tables(&TENSOR_MAP)),
        Field::new("outputs", Kind::Tables(&TENSOR_MAP)),
        Field::new("signature_key", Kind::String),
        Field::new("", Kind::Deprecated),
        Field::new("subgraph_index", Kind::U32),
    ],
};

/// Table `Model`.
pub static MODEL: Table = Table {
    name: "Model",
    fields: &[
        Field::new("version", Kind::U32),
        Field::new("operator_codes", Kind::Tables(&OPERATOR_CODE)),
        Field::new("subgraphs", Kind::Tables(&SUB_GRAPH)),
        Field::new("description", Kind::String),
        Field::new("buffers", Kind::Tables(&BUFFER)),
        Field::new("metadata_buffer", Kind::Vector(Scalar::I32)),
        Field::new("metadata", Kind::Tables(&METADATA)),
        Field::new("signature_defs", Kind::Tables(&SIGNATURE_DEF)),
        Field::new("external_buffer_groups", Kind::Tables(&EXTERNAL_BUFFER_GROUP)),
        Field::new("external_buffers", Kind::Tables(&EXTERNAL_BUFFER)),
    ],
};
