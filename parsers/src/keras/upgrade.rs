//! Configurations of Keras 1 in the words of Keras 2.
use serde_json::{Map, Value as Json};

/// Settings that only have another name.
const RENAMED: &[(&str, &str)] = &[
    ("bias", "use_bias"),
    ("nb_filter", "filters"),
    ("border_mode", "padding"),
    ("subsample", "strides"),
    ("subsample_length", "strides"),
    ("stride", "strides"),
    ("filter_length", "kernel_size"),
    ("pool_length", "pool_size"),
    ("atrous_rate", "dilation_rate"),
    ("inner_activation", "recurrent_activation"),
    ("concat_axis", "axis"),
];

/// Setting that holds what Keras 1 did and later versions do not.
pub(super) const REFUSED: &str = "keras 1";
/// Setting that holds the gates of a cell whose weights are kept one by one.
pub(super) const GATES: &str = "gates";

/// The configuration of a layer of Keras 1 as a later version writes it.
pub(super) fn upgraded(class: &str, config: &mut Map<String, Json>) {
    for (old, new) in RENAMED {
        if let Some(value) = config.get(*old).filter(|_| !config.contains_key(*new)).cloned() {
            config.insert((*new).to_owned(), value);
        }
    }
    if let Some(units) = config.get("output_dim").filter(|_| class != "Embedding").cloned() {
        config.insert("units".into(), units);
    }
    let sizes = [&["nb_row", "nb_col"][..], &["kernel_dim1", "kernel_dim2", "kernel_dim3"]];
    for keys in sizes {
        let all: Option<Vec<Json>> = keys.iter().map(|k| config.get(*k).cloned()).collect();
        if let Some(all) = all {
            config.insert("kernel_size".into(), Json::Array(all));
        }
    }
    let convolution = class.contains("Convolution");
    match config.get("dim_ordering").and_then(Json::as_str) {
        Some("th") if convolution => refuse(config, "kernels in the order of Theano"),
        Some("th") => {
            config.insert("data_format".into(), "channels_first".into());
        }
        _ => {}
    }
    match class {
        "BatchNormalization" if config.get("mode").and_then(Json::as_i64).unwrap_or(0) != 0 => {
            refuse(config, "a `mode` other than 0");
        }
        "Deconvolution2D" => refuse(config, "sizes of results as settings"),
        "LSTM" | "GRU" => {
            let joined = config.get("consume_less").and_then(Json::as_str) == Some("gpu");
            if !joined {
                config.insert(GATES.into(), if class == "LSTM" { "icfo" } else { "zrh" }.into());
            }
        }
        _ => {}
    }
}

fn refuse(config: &mut Map<String, Json>, why: &str) {
    config.insert(REFUSED.into(), why.into());
}
