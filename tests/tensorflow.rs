//! TensorFlow graphs and Keras models: each folder of `testdata/tensorflow` holds one (`frozen.pb`, `saved_model`, `model.keras`, `model.h5` or, of
//! TensorFlow.js, `model.json`) and what
//! TensorFlow itself computes with it. `meta.json` names the `inputs` and `outputs` of a frozen graph.
#[path = "common/recorded.rs"]
#[expect(dead_code, reason = "these programs say themselves what sizes their inputs have")]
mod recorded;

use hoist_ir::diag::{Diag, Diags};
use hoist_ir::model::Model;
use hoist_parsers::source::Source;
use hoist_parsers::{keras, tensorflow, tensorflow_js};
use hoist_passes::Pipeline;
use recorded::Meta;
use std::path::Path;

fn lift(folder: &Path, meta: &Meta) -> Result<Model, Diags> {
    let open = |name: &str| {
        let path = folder.join(name);
        let there = path.is_file().then(|| Source::open(&path));
        there.transpose().map_err(|e| Diag::error("E0101", e.to_string()))
    };
    let mut options = tensorflow::Options::default();
    if let Some(source) = open("frozen.pb")? {
        options.inputs = meta.inputs.clone().unwrap_or_default();
        options.outputs = meta.outputs.clone().unwrap_or_default();
        return tensorflow::read_graph(&source, &options);
    }
    if let Some(source) = open("saved_model/saved_model.pb")? {
        return tensorflow::saved_model::read(&source, &options);
    }
    if let Some(source) = open("model.json")? {
        return tensorflow_js::read(&source, &options);
    }
    if let Some(source) = open("model.keras")? {
        return keras::read_archive(&source);
    }
    let source = open("model.h5")?.ok_or_else(|| Diag::error("E0101", "there is no model"))?;
    keras::read_h5(&source)
}

#[test]
fn every_model_computes_what_tensorflow_computes() {
    recorded::check_all("testdata/tensorflow", lift);
}

/// Operators of the model in `folder` of `testdata/tensorflow`, as `hoist convert` leaves them.
fn operators(folder: &str) -> Vec<&'static str> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/tensorflow").join(folder);
    let meta = Meta::read(&folder).expect("meta.json is read");
    let mut model = lift(&folder, &meta).expect("the model is read");
    hoist_passes::run(&Pipeline::standard(), &mut model, &mut hoist_passes::Options::default())
        .unwrap_or_else(|f| panic!("{}: {:?}", folder.display(), f.diags));
    let g = &model.graph;
    g.order_list().into_iter().map(|n| g.node(n).op().name()).collect()
}

#[test]
fn recurrent_layers_are_found_in_loops() {
    let ops = operators("saved_sequence");
    assert!(ops.contains(&"lstm") && ops.contains(&"gru") && !ops.contains(&"loop"), "{ops:?}");
    for folder in ["recurrent_frames", "recurrent_functions"] {
        let ops = operators(folder);
        assert!(ops.contains(&"lstm") && ops.contains(&"gru"), "{folder}: {ops:?}");
    }
}
