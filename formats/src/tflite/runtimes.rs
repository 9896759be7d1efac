//! The first runtimes that have each version of each builtin operator.
//!
//! The numbers are those of LiteRT's `runtime_version.cc`.
use super::schema::Builtin as B;

/// First runtimes of builtins that have one version, by runtime.
const SINGLE: &[(&str, &[B])] = &[
    (
        "1.5.0",
        &[
            B::HashtableLookup,
            B::L2Pool2d,
            B::LocalResponseNormalization,
            B::LshProjection,
            B::ReluN1To1,
            B::Reshape,
            B::SkipGram,
            B::EmbeddingLookupSparse,
        ],
    ),
    ("1.8.0", &[B::Prelu]),
    ("1.9.0", &[B::Floor, B::Neg]),
    ("1.10.0", &[B::ExpandDims, B::Shape, B::Pow]),
    ("1.11.0", &[B::LogicalOr, B::OneHot, B::LogicalAnd, B::LogicalNot, B::ReduceAny]),
    ("1.12.0", &[B::Square, B::ZerosLike]),
    (
        "1.14.0",
        &[
            B::Unique,
            B::Ceil,
            B::AddN,
            B::Rank,
            B::Elu,
            B::ReverseSequence,
            B::MatrixDiag,
            B::MatrixSetDiag,
            B::Round,
        ],
    ),
    ("1.15.0", &[B::HardSwish, B::If, B::While]),
    ("2.1.0", &[B::NonMaxSuppressionV4, B::NonMaxSuppressionV5, B::ScatterNd]),
    ("2.2.0", &[B::Densify, B::SegmentSum]),
    ("2.4.0", &[B::Cumsum]),
    (
        "2.5.0",
        &[
            B::CallOnce,
            B::Rfft2d,
            B::Conv3d,
            B::Imag,
            B::Real,
            B::ComplexAbs,
            B::Hashtable,
            B::HashtableFind,
            B::HashtableImport,
            B::HashtableSize,
        ],
    ),
    (
        "2.6.0",
        &[
            B::ReduceAll,
            B::Conv3dTranspose,
            B::VarHandle,
            B::ReadVariable,
            B::AssignVariable,
            B::BroadcastArgs,
        ],
    ),
    ("2.8.0", &[B::RandomStandardNormal, B::Bucketize, B::RandomUniform, B::Multinomial]),
    (
        "2.10.0",
        &[B::Relu0To1, B::UnsortedSegmentProd, B::UnsortedSegmentMax, B::UnsortedSegmentSum, B::Atan2],
    ),
    ("2.11.0", &[B::UnsortedSegmentMin]),
    ("2.13.0", &[B::Bitcast, B::BitwiseXor, B::RightShift]),
    ("2.15.0", &[B::StablehloScatter, B::Dilate, B::StablehloRngBitGenerator, B::ReduceWindow]),
    (
        "2.16.0",
        &[
            B::StablehloAdd,
            B::StablehloMultiply,
            B::StablehloMaximum,
            B::StablehloMinimum,
            B::StablehloPad,
            B::StablehloReduceWindow,
            B::StablehloGather,
        ],
    ),
    (
        "2.17.0",
        &[B::StablehloAnd, B::StablehloComposite, B::StablehloShiftLeft, B::StablehloCbrt, B::StablehloCase],
    ),
];

/// First runtimes of each version, from 1.
const RUNTIMES: &[(B, &[&str])] = &[
    (B::Add, &["1.5.0", "1.14.0", "2.4.0", "2.6.0", "2.13.0", "2.23.0"]),
    (B::AveragePool2d, &["1.5.0", "1.14.0", "2.3.0"]),
    (B::Concatenation, &["1.5.0", "1.14.0", "2.3.0", "2.14.0", "2.21.0", "2.23.0", "2.23.0"]),
    (B::Conv2d, &["1.5.0", "1.14.0", "1.14.0", "2.3.0", "2.4.0", "2.9.0", "2.11.0", "2.15.0"]),
    (B::DepthwiseConv2d, &["1.5.0", "1.12.0", "1.14.0", "2.2.0", "2.3.0", "2.3.0", "2.11.0"]),
    (B::DepthToSpace, &["2.1.0", "2.5.0"]),
    (
        B::Dequantize,
        &["1.13.1", "1.14.0", "1.15.0", "2.2.0", "2.7.0", "2.18.0", "2.21.0", "2.22.0", "2.23.0"],
    ),
    (B::EmbeddingLookup, &["1.13.0", "1.14.0", "1.14.0", "2.18.0", "2.21.0"]),
    (
        B::FullyConnected,
        &[
            "1.5.0", "1.10.0", "1.14.0", "1.14.0", "2.0.0", "2.1.0", "2.3.0", "2.3.0", "2.3.0", "2.11.0",
            "2.15.0", "2.17.0", "2.18.0", "2.21.0",
        ],
    ),
    (B::L2Normalization, &["1.5.0", "1.14.0"]),
    (B::Logistic, &["1.14.0", "1.14.0", "2.3.0"]),
    (B::Lstm, &["1.7.0", "1.10.0", "1.14.0", "2.3.0"]),
    (B::MaxPool2d, &["1.5.0", "1.14.0", "2.3.0"]),
    (B::Mul, &["1.5.0", "1.14.0", "1.15.0", "2.3.0", "2.6.0", "2.11.0", "2.13.0", "2.23.0"]),
    (B::Relu, &["1.5.0", "2.1.0", "2.5.0"]),
    (B::Relu6, &["1.5.0", "1.14.0", "2.5.0"]),
    (B::ResizeBilinear, &["1.7.0", "1.14.0", "2.2.0", "2.5.0"]),
    (B::Rnn, &["1.5.0", "1.14.0", "2.3.0"]),
    (B::Softmax, &["1.5.0", "1.14.0", "2.3.0", "2.23.0"]),
    (B::SpaceToDepth, &["1.5.0", "1.14.0"]),
    (B::Svdf, &["1.5.0", "1.14.0", "2.2.0", "2.3.0"]),
    (B::Tanh, &["1.14.0", "1.14.0", "2.3.0"]),
    (B::Pad, &["1.5.0", "1.14.0", "2.4.0", "2.6.0", "2.20.0", "2.23.0"]),
    (B::UnidirectionalSequenceRnn, &["1.14.0", "1.14.0", "2.3.0"]),
    (B::Gather, &["1.6.0", "1.14.0", "1.15.0", "2.4.0", "2.5.0", "2.13.0", "2.15.0", "2.23.0"]),
    (B::BatchToSpaceNd, &["1.6.0", "1.14.0", "2.3.0", "2.12.0"]),
    (B::SpaceToBatchNd, &["1.6.0", "1.14.0", "2.3.0", "2.12.0"]),
    (B::Transpose, &["1.6.0", "1.14.0", "1.15.0", "2.3.0", "2.4.0", "2.12.0", "2.14.4", "2.22.0", "2.23.0"]),
    (B::Mean, &["1.6.0", "1.14.0", "2.4.0"]),
    (B::Sub, &["1.6.0", "1.14.0", "2.3.0", "2.4.0", "2.4.0"]),
    (B::Div, &["1.6.0", "2.3.0"]),
    (B::Squeeze, &["1.6.0", "2.5.0"]),
    (B::UnidirectionalSequenceLstm, &["1.13.1", "1.14.0", "2.3.0", "2.12.0"]),
    (B::StridedSlice, &["1.6.0", "1.14.0", "2.1.0", "2.2.0", "2.5.0", "2.6.0", "2.14.0", "2.14.0"]),
    (B::BidirectionalSequenceRnn, &["1.14.0", "1.14.0", "2.3.0"]),
    (B::Exp, &["1.7.0", "2.12.0"]),
    (B::TopkV2, &["1.7.0", "1.14.0", "2.13.0"]),
    (B::Split, &["1.5.0", "1.14.0", "1.14.0", "2.3.0", "2.23.0"]),
    (B::LogSoftmax, &["1.14.0", "1.14.0"]),
    (B::BidirectionalSequenceLstm, &["1.14.0", "1.14.0", "1.14.0"]),
    (B::Cast, &["1.5.0", "2.7.0", "2.8.0", "2.9.0", "2.12.0", "2.15.0", "2.17.0", "2.21.0", "2.23.0"]),
    (B::Maximum, &["1.14.0", "1.14.0", "2.3.0", "2.3.0"]),
    (B::ArgMax, &["1.9.0", "1.14.0", "2.9.0"]),
    (B::Minimum, &["1.14.0", "1.14.0", "2.3.0", "2.3.0"]),
    (B::Less, &["1.14.0", "1.14.0", "2.13.0"]),
    (B::Padv2, &["1.9.0", "1.14.0", "2.4.0", "2.6.0", "2.20.0", "2.23.0"]),
    (B::Greater, &["1.14.0", "1.14.0"]),
    (B::GreaterEqual, &["1.14.0", "1.14.0", "2.13.0"]),
    (B::LessEqual, &["1.14.0", "1.14.0"]),
    (B::Select, &["1.14.0", "1.14.0", "2.12.0", "2.12.0"]),
    (B::Slice, &["1.14.0", "1.14.0", "1.14.0", "2.4.0", "2.5.0", "2.14.0", "2.21.0", "2.23.0"]),
    (B::Sin, &["1.9.0", "2.23.0"]),
    (B::TransposeConv, &["1.9.0", "2.2.0", "2.3.0", "2.13.0", "2.15.0"]),
    (B::SparseToDense, &["1.9.0", "1.14.0", "1.15.0"]),
    (B::Tile, &["1.10.1", "2.2.0", "2.8.0"]),
    (B::Equal, &["1.14.0", "1.14.0", "2.3.0", "2.13.0", "2.21.0"]),
    (B::NotEqual, &["1.14.0", "1.14.0", "2.3.0", "2.21.0"]),
    (B::Log, &["1.14.0", "2.15.0"]),
    (B::Sum, &["1.10.0", "1.15.0"]),
    (B::Sqrt, &["1.10.0", "2.21.0"]),
    (B::Rsqrt, &["1.10.0", "2.5.0", "2.15.0"]),
    (B::ArgMin, &["1.9.0", "1.14.0", "2.9.0"]),
    (B::FakeQuant, &["1.5.0", "1.10.0"]),
    (B::ReduceProd, &["1.11.0", "2.6.0"]),
    (B::ReduceMax, &["1.11.0", "1.14.0", "2.5.0"]),
    (B::Pack, &["1.11.0", "1.14.0", "2.3.0", "2.13.0", "2.23.0"]),
    (B::Unpack, &["1.11.0", "1.14.0", "2.2.0", "2.3.0", "2.22.0", "2.23.0"]),
    (B::ReduceMin, &["1.11.0", "1.14.0", "2.5.0"]),
    (B::FloorDiv, &["1.14.0", "1.14.0", "2.13.0"]),
    (B::Fill, &["1.13.0", "2.3.0", "2.5.0", "2.12.0", "2.23.0"]),
    (B::FloorMod, &["1.13.0", "2.13.0"]),
    (B::Range, &["1.13.0", "2.14.0"]),
    (B::ResizeNearestNeighbor, &["1.13.1", "1.14.0", "2.3.0", "2.4.0"]),
    (B::LeakyRelu, &["1.13.1", "2.3.0"]),
    (B::SquaredDifference, &["1.13.1", "2.5.0"]),
    (B::MirrorPad, &["1.13.1", "2.3.0", "2.12.0"]),
    (B::Abs, &["1.13.0", "2.4.0", "2.5.0", "2.6.0", "2.12.0"]),
    (B::SplitV, &["1.13.1", "2.3.0", "2.23.0"]),
    (B::ReverseV2, &["1.14.0", "2.2.0", "2.5.0", "2.23.0"]),
    (B::GatherNd, &["1.14.0", "2.3.0", "2.5.0", "2.13.0", "2.16.0", "2.23.0"]),
    (B::Cos, &["1.14.0", "2.23.0"]),
    (B::Where, &["1.14.0", "2.8.0"]),
    (B::Quantize, &["1.14.0", "1.15.0", "2.7.0", "2.21.0", "2.21.0", "2.21.0"]),
    (B::SelectV2, &["2.2.0", "2.12.0"]),
    (B::BatchMatmul, &["2.3.0", "2.3.0", "2.4.0", "2.5.0"]),
    (B::BroadcastTo, &["2.5.0", "2.5.0", "2.5.0", "2.23.0"]),
    (B::Gelu, &["2.9.0", "2.9.0", "2.23.0"]),
    (B::DynamicUpdateSlice, &["2.9.0", "2.17.0", "2.19.0", "2.20.0", "2.21.0", "2.22.0"]),
    (B::Sign, &["2.11.0", "2.12.0"]),
];

/// The first TFLite runtime that has `builtin` in `version`; empty where it is not on record.
pub fn min_runtime(builtin: B, version: u32) -> &'static str {
    let single = || SINGLE.iter().find(|s| version == 1 && s.1.contains(&builtin)).map(|s| s.0);
    let versions = RUNTIMES.iter().find(|r| r.0 == builtin).map_or(&[][..], |r| r.1);
    versions.get((version as usize).wrapping_sub(1)).copied().or_else(single).unwrap_or("")
}

/// The later of two versions written as numbers between dots; the empty text is the earliest.
pub fn later<'a>(a: &'a str, b: &'a str) -> &'a str {
    let key = |s: &str| -> Vec<u32> { s.split('.').map(|n| n.parse().unwrap_or(0)).collect() };
    if key(b) > key(a) { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn convolution_needs_later_runtimes_for_later_versions() {
        assert_eq!(min_runtime(B::Conv2d, 1), "1.5.0");
        assert_eq!(min_runtime(B::Conv2d, 5), "2.4.0");
        assert_eq!(min_runtime(B::Conv2d, 6), "2.9.0");
        assert_eq!(min_runtime(B::BroadcastTo, 2), "2.5.0");
        assert_eq!(min_runtime(B::Cumsum, 1), "2.4.0");
    }
    #[test]
    fn what_is_not_on_record_asks_for_no_runtime() {
        assert_eq!(min_runtime(B::Conv2d, 0), "");
        assert_eq!(min_runtime(B::Conv2d, 99), "");
        assert_eq!(min_runtime(B::Cumsum, 2), "");
        assert_eq!(min_runtime(B::Custom, 1), "");
    }
    #[test]
    fn no_builtin_is_listed_twice_and_versions_never_come_earlier() {
        let mut seen = std::collections::BTreeSet::new();
        let single = SINGLE.iter().flat_map(|s| s.1);
        for builtin in single.chain(RUNTIMES.iter().map(|r| &r.0)) {
            assert!(seen.insert(*builtin), "{}", builtin.name());
        }
        for (builtin, versions) in RUNTIMES {
            for pair in versions.windows(2) {
                assert_eq!(later(pair[0], pair[1]), pair[1], "{}", builtin.name());
            }
        }
    }
    #[test]
    fn versions_compare_as_numbers() {
        assert_eq!(later("2.9.0", "2.10.0"), "2.10.0");
        assert_eq!(later("2.10.0", "2.9.0"), "2.10.0");
        assert_eq!(later("", "1.5.0"), "1.5.0");
        assert_eq!(later("1.5.0", ""), "1.5.0");
    }
}
