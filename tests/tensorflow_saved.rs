//! What lies beside graphs of TensorFlow: each folder of `testdata/tensorflow_saved` holds a `saved_model`, or `graph.meta` with its checkpoint, and what
//! TensorFlow itself computes with it. Its `meta.json` may name a `signature`.
#[path = "common/recorded.rs"]
#[expect(dead_code, reason = "these programs say themselves what sizes their inputs have")]
mod recorded;

use hoist_ir::diag::{Diag, Diags};
use hoist_ir::model::Model;
use hoist_parsers::source::Source;
use hoist_parsers::tensorflow::{Options, overview, saved_model};
use recorded::Meta;
use std::path::{Path, PathBuf};

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

fn saved(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/tensorflow_saved").join(case).join("saved_model")
}

fn refusal(folder: &Path, options: &Options) -> String {
    let source = Source::open(folder.join("saved_model.pb")).expect("readable");
    saved_model::read(&source, options).expect_err("refused").to_string()
}

#[test]
fn unknown_signatures_and_tags_are_refused_with_those_there_are() {
    let folder = saved("signatures");
    let signature = Options { signature: Some("mux".to_owned()), ..Options::default() };
    let text = refusal(&folder, &signature);
    assert!(text.contains("`mux`") && text.contains("mix, serving_default"), "{text}");
    let tags = Options { tags: vec!["train".to_owned()], ..Options::default() };
    let text = refusal(&folder, &tags);
    assert!(text.contains("train") && text.contains("serve"), "{text}");
}

#[test]
fn damage_to_a_checkpoint_is_noticed() {
    let files = ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"];
    let from = saved("signatures");
    let damaged = |file: &str, at: usize| {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("variables")).expect("a folder");
        for name in files {
            let mut bytes = std::fs::read(from.join(name)).expect("readable");
            if name == file {
                bytes[at] ^= 16;
            }
            std::fs::write(folder.path().join(name), bytes).expect("written");
        }
        refusal(folder.path(), &Options { signature: Some("mix".to_owned()), ..Options::default() })
    };
    let text = damaged(files[2], 20);
    assert!(text.contains("E0203") && text.contains("checksum"), "{text}");
    let text = damaged(files[1], 40);
    assert!(text.contains("E0201") && text.contains("checksum"), "{text}");
}

#[test]
fn a_description_has_signatures_variables_and_files() {
    let describe = |case: &str| {
        let source = Source::open(saved(case).join("saved_model.pb")).expect("readable");
        overview::read(&source).expect("described")
    };
    let all = describe("signatures");
    let keys: Vec<&str> = all.graphs[0].signatures.iter().map(|s| s.key.as_str()).collect();
    assert_eq!(keys, ["mix", "serving_default"]);
    let ends: Vec<String> =
        all.graphs[0].signatures[0].inputs.iter().map(|e| format!("{} {}", e.name, e.ty)).collect();
    assert_eq!(ends, ["a f32[?, 2]", "z f32[?, 3]"]);
    let last = all.variables.last().expect("variables");
    assert_eq!((last.name.as_str(), last.ty.to_string().as_str()), ("w", "f32[3, 2]"));
    assert_eq!(describe("tables").graphs[0].assets, ["words.txt"]);
}
