//! What LiteRT's integer kernels ask of operands and results.
use crate::tflite::schema::Builtin;
use hoist_ir::dtype::DType;

/// What a kernel asks of its operands and its results.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rule {
    /// Any scales; the first so many operands hold data.
    Any(usize),
    /// One scale; the first so many operands hold data.
    Same(usize),
    /// One scale; the operands from this one on hold data.
    SameFrom(usize),
    /// Data, border, and the number of the border, in the scale of the data.
    Bordered,
    /// Data, weights with the scales of an axis, bias.
    Weighted(Places),
    /// The result has this scale, as the negative of a power of two, and this zero point for signed bytes; words have zero point 0 and the scale of numbers within 1.
    Fixed(i32, i64),
    /// One scale; the first so many operands hold data, and the result is no number of it.
    Compared(usize),
}

/// Where the operands of a product are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Places {
    /// Data.
    pub data: usize,
    /// Weights.
    pub weights: usize,
    /// Bias.
    pub bias: usize,
    /// Axis of the weights along which scales are.
    pub axis: usize,
}

const fn product(axis: usize) -> Rule {
    Rule::Weighted(Places { data: 0, weights: 1, bias: 2, axis })
}

/// Every type of stored elements.
const ALL: &[DType] = &[DType::I8, DType::U8, DType::I16];
/// Bytes.
const BYTES: &[DType] = &[DType::I8, DType::U8];
/// Signed ones.
const SIGNED: &[DType] = &[DType::I8, DType::I16];
/// Signed bytes.
const I8: &[DType] = &[DType::I8];

/// Integer kernels whose results LiteRT computes to a step, with the types that they take. Those that are missing here have none, or one that computes something else:
/// DIV and NEG are wrong for negative numbers, `REDUCE_PROD` overflows, LOG and RSQRT of 16 bits are far off, PRELU of 16 bits does nothing.
pub(super) const RULES: &[(Builtin, Rule, &[DType])] = &[
    (Builtin::Abs, Rule::Any(1), SIGNED),
    (Builtin::Add, Rule::Any(2), ALL),
    (Builtin::ArgMax, Rule::Compared(1), BYTES),
    (Builtin::ArgMin, Rule::Compared(1), BYTES),
    (Builtin::AveragePool2d, Rule::Same(1), ALL),
    (Builtin::BatchMatmul, Rule::Any(2), SIGNED),
    (Builtin::BatchToSpaceNd, Rule::Same(1), ALL),
    (Builtin::BroadcastTo, Rule::Same(1), ALL),
    (Builtin::Concatenation, Rule::Same(usize::MAX), ALL),
    (Builtin::Conv2d, product(0), ALL),
    (Builtin::DepthToSpace, Rule::Same(1), BYTES),
    (Builtin::DepthwiseConv2d, product(3), ALL),
    (Builtin::DynamicUpdateSlice, Rule::Same(2), ALL),
    (Builtin::Elu, Rule::Any(1), I8),
    (Builtin::Equal, Rule::Compared(2), BYTES),
    (Builtin::Exp, Rule::Any(1), SIGNED),
    (Builtin::ExpandDims, Rule::Same(1), ALL),
    (Builtin::FullyConnected, product(0), ALL),
    (Builtin::Gather, Rule::Same(1), ALL),
    (Builtin::GatherNd, Rule::Same(1), ALL),
    (Builtin::Gelu, Rule::Any(1), ALL),
    (Builtin::Greater, Rule::Compared(2), BYTES),
    (Builtin::GreaterEqual, Rule::Compared(2), BYTES),
    (Builtin::HardSwish, Rule::Any(1), BYTES),
    (Builtin::L2Normalization, Rule::Fixed(7, 0), BYTES),
    (Builtin::LeakyRelu, Rule::Any(1), ALL),
    (Builtin::Less, Rule::Compared(2), BYTES),
    (Builtin::LessEqual, Rule::Compared(2), BYTES),
    (Builtin::LogSoftmax, Rule::Fixed(4, 127), BYTES),
    (Builtin::Logistic, Rule::Fixed(8, -128), ALL),
    (Builtin::Maximum, Rule::Same(2), ALL),
    (Builtin::MaxPool2d, Rule::Same(1), ALL),
    (Builtin::Mean, Rule::Any(1), ALL),
    (Builtin::Minimum, Rule::Same(2), ALL),
    (Builtin::MirrorPad, Rule::Same(1), ALL),
    (Builtin::Mul, Rule::Any(2), ALL),
    (Builtin::NotEqual, Rule::Compared(2), BYTES),
    (Builtin::Pack, Rule::Same(usize::MAX), ALL),
    (Builtin::Pad, Rule::Same(1), ALL),
    (Builtin::Padv2, Rule::Bordered, ALL),
    (Builtin::Prelu, Rule::Any(2), BYTES),
    (Builtin::ReduceMax, Rule::Same(1), ALL),
    (Builtin::ReduceMin, Rule::Same(1), ALL),
    (Builtin::Relu, Rule::Any(1), ALL),
    (Builtin::Relu0To1, Rule::Any(1), BYTES),
    (Builtin::Relu6, Rule::Any(1), ALL),
    (Builtin::ReluN1To1, Rule::Any(1), BYTES),
    (Builtin::Reshape, Rule::Same(1), ALL),
    (Builtin::ResizeBilinear, Rule::Same(1), ALL),
    (Builtin::ResizeNearestNeighbor, Rule::Same(1), ALL),
    (Builtin::ReverseV2, Rule::Same(1), ALL),
    (Builtin::Rsqrt, Rule::Any(1), I8),
    (Builtin::SelectV2, Rule::SameFrom(1), ALL),
    (Builtin::Slice, Rule::Same(1), ALL),
    (Builtin::Softmax, Rule::Fixed(8, -128), ALL),
    (Builtin::SpaceToBatchNd, Rule::Same(1), ALL),
    (Builtin::SpaceToDepth, Rule::Same(1), BYTES),
    (Builtin::Split, Rule::SameFrom(1), ALL),
    (Builtin::SplitV, Rule::Same(1), ALL),
    (Builtin::Sqrt, Rule::Any(1), SIGNED),
    (Builtin::SquaredDifference, Rule::Any(2), I8),
    (Builtin::Squeeze, Rule::Same(1), ALL),
    (Builtin::StridedSlice, Rule::Same(1), ALL),
    (Builtin::Sub, Rule::Any(2), ALL),
    (Builtin::Sum, Rule::Any(1), ALL),
    (Builtin::Tanh, Rule::Fixed(7, 0), ALL),
    (Builtin::Tile, Rule::Same(1), ALL),
    (Builtin::Transpose, Rule::Same(1), ALL),
    (Builtin::TransposeConv, Rule::Weighted(Places { data: 2, weights: 1, bias: 3, axis: 0 }), SIGNED),
    (Builtin::Unpack, Rule::Same(1), ALL),
];

/// Kernels that take many times what floats take with a conversion before and one behind them, with LiteRT 2.3 and its default delegate.
pub(super) const SLOW: &[Builtin] = &[
    Builtin::Abs,
    Builtin::AveragePool2d,
    Builtin::BatchMatmul,
    Builtin::HardSwish,
    Builtin::L2Normalization,
    Builtin::Prelu,
    Builtin::Relu,
    Builtin::Relu0To1,
    Builtin::Relu6,
    Builtin::ReluN1To1,
    Builtin::Rsqrt,
    Builtin::Softmax,
    Builtin::Sqrt,
    Builtin::SquaredDifference,
];

impl Rule {
    /// The rule of an operator, and the types that it is for.
    pub(super) fn of(builtin: Builtin) -> Option<(Self, &'static [DType])> {
        RULES.iter().find(|r| r.0 == builtin).map(|r| (r.1, r.2))
    }
    /// The operands among `count` that hold data.
    pub(super) fn data(self, count: usize) -> std::ops::Range<usize> {
        match self {
            Self::Any(n) | Self::Same(n) | Self::Compared(n) => 0..n.min(count),
            Self::SameFrom(first) => first.min(count)..count,
            Self::Weighted(p) => p.data.min(count)..(p.data + 1).min(count),
            Self::Bordered | Self::Fixed(..) => 0..1.min(count),
        }
    }
}
