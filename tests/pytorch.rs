//! PyTorch programs: each folder of `testdata/pytorch` holds one (`model.pt2` or `model.pt`) and what PyTorch itself computes with it.
#[path = "common/recorded.rs"]
mod recorded;

use hoist_ir::diag::{Diag, Diags};
use hoist_ir::model::Model;
use hoist_parsers::pytorch;
use hoist_parsers::pytorch::lift::state::StateMode;
use hoist_parsers::source::Source;
use recorded::Meta;
use std::path::Path;

fn lift(folder: &Path, meta: &Meta) -> Result<Model, Diags> {
    let (exported, scripted) = (folder.join("model.pt2"), folder.join("model.pt"));
    let is_exported = exported.is_file();
    let path = if is_exported { exported } else { scripted };
    let source = Source::open(&path).map_err(|e| Diag::error("E0101", e.to_string()))?;
    if is_exported {
        pytorch::program::read(&source, meta.state)
    } else {
        let options = pytorch::torchscript::Options {
            shapes: meta.shapes.clone(),
            freeze_state: meta.state == StateMode::Frozen,
            ..Default::default()
        };
        pytorch::torchscript::read(&source, &options)
    }
}

#[test]
fn every_program_computes_what_pytorch_computes() {
    recorded::check_all("testdata/pytorch", lift);
}
