//! Models from `config.json` and weights alone: each folder of `testdata/transformers` holds one, and what transformers computes with it.
#[path = "common/recorded.rs"]
#[expect(dead_code, reason = "these programs say themselves what sizes their inputs have")]
mod recorded;

use hoist_ir::diag::{Diag, Diags};
use hoist_ir::model::Model;
use hoist_parsers::safetensors::arch::folder;
use hoist_parsers::source::Source;
use recorded::Meta;
use std::path::Path;

fn lift(folder: &Path, _: &Meta) -> Result<Model, Diags> {
    let source = Source::open(folder.join("config.json")).map_err(|e| Diag::error("E0101", e.to_string()))?;
    folder::read(&source, &folder::Options::default())
}

#[test]
fn every_model_computes_what_transformers_computes() {
    recorded::check_all("testdata/transformers", lift);
}
