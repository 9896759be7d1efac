//! Layers: a table per family names each class, what becomes of masks, and the function that lifts it.
use super::config::Layer;
use super::kx::{Kx, Mask, Tv};
use super::weights::{Content, Own, Part};
use crate::tensorflow::lift::cx::R;
use std::collections::HashMap;
use std::sync::LazyLock;

mod activation;
mod attention;
mod cell;
mod conv;
mod image;
mod linear;
mod merge;
mod norm;
mod ops;
mod ops_shape;
mod pool;
mod recurrent;
mod shape;
mod source;
mod wrap;

/// Lifts one call of a layer.
pub(super) type Lift = fn(&mut Kx<'_, '_, '_>) -> R<Vec<Tv>>;
/// What becomes of the masks of a layer's operands.
pub(super) type Masks = fn(&[Tv]) -> Mask;
/// A class of layers: its name, the mask of its results where the function does not give one, and the function.
pub(super) type Row = (&'static str, Masks, Lift);

const FAMILIES: &[(&str, &[Row])] = &[
    ("linear", linear::TABLE),
    ("convolution", conv::TABLE),
    ("pooling", pool::TABLE),
    ("normalization", norm::TABLE),
    ("activation", activation::TABLE),
    ("shape", shape::TABLE),
    ("merging", merge::TABLE),
    ("image", image::TABLE),
    ("recurrent", recurrent::TABLE),
    ("attention", attention::TABLE),
    ("regularization", source::TABLE),
    ("wrapper", wrap::TABLE),
];

static BY_NAME: LazyLock<HashMap<&'static str, &'static Row>> =
    LazyLock::new(|| FAMILIES.iter().flat_map(|(_, t)| t.iter()).map(|row| (row.0, row)).collect());

/// Every class of layers that is lifted, with its family, in table order.
pub(super) fn covered() -> impl Iterator<Item = (&'static str, &'static str)> {
    FAMILIES.iter().flat_map(|(family, table)| table.iter().map(move |row| (*family, row.0)))
}

/// The row of a class.
pub(super) fn find(class: &str) -> Option<&'static Row> {
    BY_NAME.get(plain(class)).copied()
}

/// The name of an operation of Keras 3 that is no layer, or of a function of TensorFlow that became a layer.
pub(super) fn operation(layer: &Layer) -> Option<String> {
    let own = |module: &str| module.starts_with("keras.src.ops") || module.starts_with("keras.ops");
    if own(&layer.module) || own(module_of(layer)) || bare(layer) {
        return Some(super::weights::snake(&layer.class));
    }
    let wrapped = matches!(&*layer.class, "TFOpLambda" | "SlicingOpLambda" | "ClassMethod");
    let function = layer.config.get("function").and_then(|f| f.as_str()).filter(|_| wrapped)?;
    Some(function.to_owned())
}

fn module_of(layer: &Layer) -> &str {
    layer.config.get("module").and_then(|m| m.as_str()).unwrap_or_default()
}

/// Whether the configuration lacks what every layer's has, as those of operations in HDF5 files, which do not name their modules.
fn bare(layer: &Layer) -> bool {
    let has = |key: &str| layer.config.contains_key(key);
    layer.is_op && !has("trainable") && !has("batch_shape") && (find(&layer.class).is_none() || !has("dtype"))
}

pub(super) use ops::lift as lift_operation;

/// The class without the name of a package before it.
pub(super) fn plain(class: &str) -> &str {
    match class.rsplit('>').next().unwrap_or(class) {
        "GroupedQueryAttention" => "GroupQueryAttention",
        "Convolution1D" | "AtrousConvolution1D" => "Conv1D",
        "Convolution2D" | "AtrousConvolution2D" => "Conv2D",
        "Convolution3D" => "Conv3D",
        "Convolution2DTranspose" | "Deconvolution2D" => "Conv2DTranspose",
        "Convolution1DTranspose" => "Conv1DTranspose",
        "Convolution3DTranspose" => "Conv3DTranspose",
        "SeparableConvolution1D" => "SeparableConv1D",
        "SeparableConvolution2D" => "SeparableConv2D",
        "DepthwiseConvolution2D" => "DepthwiseConv2D",
        "MaxPool1D" => "MaxPooling1D",
        "MaxPool2D" => "MaxPooling2D",
        "MaxPool3D" => "MaxPooling3D",
        "AvgPool1D" => "AveragePooling1D",
        "AvgPool2D" => "AveragePooling2D",
        "AvgPool3D" => "AveragePooling3D",
        "GlobalMaxPool1D" => "GlobalMaxPooling1D",
        "GlobalMaxPool2D" => "GlobalMaxPooling2D",
        "GlobalMaxPool3D" => "GlobalMaxPooling3D",
        "GlobalAvgPool1D" => "GlobalAveragePooling1D",
        "GlobalAvgPool2D" => "GlobalAveragePooling2D",
        "GlobalAvgPool3D" => "GlobalAveragePooling3D",
        "BatchNormalizationV1" | "BatchNormalizationV2" | "SyncBatchNormalization" => "BatchNormalization",
        other => other,
    }
}

/// The mask of the first operand holds for the results.
fn same(operands: &[Tv]) -> Mask {
    operands.first().map_or(Mask::None, |t| t.mask)
}

/// The results have no mask.
fn none(_: &[Tv]) -> Mask {
    Mask::None
}

/// The mask that all operands share; others are joined in ways that are not read.
fn joined(operands: &[Tv]) -> Mask {
    let first = same(operands);
    if operands.iter().all(|t| t.mask == first) { first } else { Mask::Odd }
}

/// Weights that a layer has itself, in the order of Keras.
pub(super) fn weights(layer: &Layer) -> Vec<Own> {
    let flag = |key: &str, default: bool| layer.config.get(key).and_then(|j| j.as_bool()).unwrap_or(default);
    let given = |key: &str| layer.config.get(key).is_some_and(|j| !j.is_null());
    let biased = |names: &[&'static str]| {
        let bias = flag("use_bias", flag("bias", true)).then_some("bias");
        names.iter().copied().chain(bias).map(|n| (n, true)).collect::<Vec<Own>>()
    };
    match plain(&layer.class) {
        "Dense" | "Conv1D" | "Conv2D" | "Conv3D" | "Conv1DTranspose" | "Conv2DTranspose"
        | "Conv3DTranspose" | "DepthwiseConv1D" | "DepthwiseConv2D" => biased(&["kernel"]),
        "EinsumDense" if given("bias_axes") => vec![("kernel", true), ("bias", true)],
        "EinsumDense" => vec![("kernel", true)],
        "SeparableConv1D" | "SeparableConv2D" => biased(&["depthwise_kernel", "pointwise_kernel"]),
        "Embedding" => vec![("embeddings", true)],
        "PReLU" => vec![("alpha", true)],
        "RMSNormalization" => vec![("scale", true)],
        "LayerScale" => vec![("gamma", true)],
        "BatchNormalization" => {
            let gamma = flag("scale", true).then_some(("gamma", true));
            let beta = flag("center", true).then_some(("beta", true));
            let moving = [("moving_mean", false), ("moving_variance", false)];
            gamma.into_iter().chain(beta).chain(moving).collect()
        }
        "LayerNormalization" if flag("rms_scaling", false) => vec![("gamma", true)],
        "LayerNormalization" | "GroupNormalization" => {
            let gamma = flag("scale", true).then_some(("gamma", true));
            gamma.into_iter().chain(flag("center", true).then_some(("beta", true))).collect()
        }
        "Normalization" if !given("mean") => vec![("mean", false), ("variance", false), ("count", false)],
        "AdditiveAttention" if flag("use_scale", true) => vec![("scale", true)],
        "Attention" => {
            let scale = flag("use_scale", false).then_some(("scale", true));
            let mode = layer.config.get("score_mode").and_then(|m| m.as_str());
            scale
                .into_iter()
                .chain((mode == Some("concat")).then_some(("concat_score_weight", true)))
                .collect()
        }
        "SpectralNormalization" => vec![("vector_u", false)],
        _ => vec![],
    }
}

/// Parts of a layer that have weights, in the order of Keras.
pub(super) fn parts(layer: &Layer) -> Vec<Part<'_>> {
    let inner = |i: usize| layer.inner.get(i).map(Content::Layer);
    match plain(&layer.class) {
        "TimeDistributed" | "SpectralNormalization" => {
            inner(0).map(|c| Part::attribute("layer", c)).into_iter().collect()
        }
        "Bidirectional" => {
            let forward = inner(0).map(|c| Part::attribute("forward_layer", c));
            let backward = inner(1).or_else(|| inner(0)).map(|c| Part::attribute("backward_layer", c));
            forward.into_iter().chain(backward).collect()
        }
        "SimpleRNN" | "LSTM" | "GRU" => {
            vec![Part::attribute("cell", Content::Weights(recurrent::cell_weights(&layer.config)))]
        }
        "RNN" => recurrent::cells_of(layer),
        "MultiHeadAttention" | "GroupQueryAttention" => attention::projections(layer),
        _ => vec![],
    }
}
