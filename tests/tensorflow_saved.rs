//! What lies beside graphs of TensorFlow: each folder of `testdata/tensorflow_saved` holds a `saved_model`, or `graph.meta` with its checkpoint, and what
//! TensorFlow itself computes with it. Its `meta.json` may name a `signature`.
#[path = "common/recorded.rs"]
#[expect(dead_code, reason = "these programs say themselves what sizes their inputs have")]
mod recorded;

use hoist_ir::diag::{Diag, Diags};
use hoist_ir::model::Model;
use hoist_parsers::source::Source;
use hoist_parsers::tensorflow::{Options, saved_model};
use recorded::Meta;
use std::path::Path;

fn lift(folder: &Path, meta: &Meta) -> Result<Model, Diags> {
    let open = |path: &Path| Source::open(path).map_err(|e| Diag::error("E0101", e.to_string()));
    let mut options = Options { state: meta.state, ..Options::default() };
    let graph = folder.join("graph.meta");
    if graph.is_file() {
        options.inputs = meta.inputs.clone().unwrap_or_default();
        options.outputs = meta.outputs.clone().unwrap_or_default();
        return saved_model::read_meta_graph(&open(&graph)?, &options);
    }
    options.signature = signature(folder);
    saved_model::read(&open(&folder.join("saved_model/saved_model.pb"))?, &options)
}

/// The signature that `meta.json` names.
fn signature(folder: &Path) -> Option<String> {
    let text = std::fs::read(folder.join("meta.json")).ok()?;
    let json: serde_json::Value = serde_json::from_slice(&text).ok()?;
    json["signature"].as_str().map(str::to_owned)
}

#[test]
fn every_model_computes_what_tensorflow_computes() {
    recorded::check_all("testdata/tensorflow_saved", lift);
}
