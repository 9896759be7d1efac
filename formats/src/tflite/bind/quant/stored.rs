//! Which operators see quantized tensors as they are stored.
use super::super::activation::OPTION;
use crate::tflite::lift::Declared;
use crate::tflite::program::Quant;
use crate::tflite::schema::Builtin;
use crate::tflite::table::Record;

/// Operators that convert stored elements, pass them on to what is not looked at here, or do not look at them.
const ALWAYS: &[Builtin] = &[
    Builtin::Bitcast,
    Builtin::Call,
    Builtin::Cast,
    Builtin::Custom,
    Builtin::Densify,
    Builtin::Dequantize,
    Builtin::If,
    Builtin::Quantize,
    Builtin::Rank,
    Builtin::Shape,
    Builtin::StablehloComposite,
    Builtin::StablehloWhile,
    Builtin::While,
];

/// Operators that move or choose elements, which is the same for stored ones as long as all have one scale.
const MOVES: &[Builtin] = &[
    Builtin::ArgMax,
    Builtin::ArgMin,
    Builtin::BatchToSpaceNd,
    Builtin::BroadcastTo,
    Builtin::Concatenation,
    Builtin::DepthToSpace,
    Builtin::DynamicUpdateSlice,
    Builtin::EmbeddingLookup,
    Builtin::ExpandDims,
    Builtin::Fill,
    Builtin::Gather,
    Builtin::GatherNd,
    Builtin::MaxPool2d,
    Builtin::MirrorPad,
    Builtin::OneHot,
    Builtin::Pack,
    Builtin::Reshape,
    Builtin::ResizeNearestNeighbor,
    Builtin::ReverseSequence,
    Builtin::ReverseV2,
    Builtin::Select,
    Builtin::SelectV2,
    Builtin::Slice,
    Builtin::SpaceToDepth,
    Builtin::Split,
    Builtin::SplitV,
    Builtin::Squeeze,
    Builtin::StridedSlice,
    Builtin::Tile,
    Builtin::TopkV2,
    Builtin::Transpose,
    Builtin::Unpack,
];

/// Whether `builtin` is lifted with stored elements in place of real numbers.
pub fn keeps_stored(
    builtin: Builtin,
    options: Option<&Record>,
    given: &[Option<Declared>],
    results: &[Declared],
) -> bool {
    if ALWAYS.contains(&builtin) {
        return true;
    }
    let activated = options.is_some_and(|o| o.table.slot(OPTION).is_some() && o.int(OPTION) != 0);
    if !MOVES.contains(&builtin) || activated {
        return false;
    }
    let all: Vec<&Quant> = given.iter().flatten().chain(results).filter_map(|d| d.quant.as_ref()).collect();
    // Scales along an axis would have to be moved with it.
    all.iter().all(|q| q.scale.len() == 1) && all.windows(2).all(|pair| pair[0] == pair[1])
}
