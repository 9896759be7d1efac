//! TFLite files: each folder of `testdata/tflite` holds one (`model.tflite`) and what LiteRT computes with it.
//!
//! `io.npz` (and `io*.npz`, for other sizes) holds the inputs `in0`, `in1`, ... and the outputs `out0`, ... in the file's order, those of variables last. `meta.json` may give
//! `rtol` and `atol`, the names of the `inputs` and `outputs` as lists, or the texts with which the file is `refused`. Each file is read, verified and run by the reference
//! executor, as read and after the passes that `convert` runs; then it is written as TFLite, and that is read and run too. `CASES=text` takes the folders whose
//! names contain `text`.
use hoist_emitters::tflite as writer;
use hoist_formats::tflite::lower::Target;
use hoist_ir::eval::Value;
use hoist_ir::model::{Executor, Model};
use hoist_ir::tensor::Tensor;
use hoist_parsers::pytorch::lift::state::StateMode;
use hoist_parsers::source::Source;
use hoist_parsers::tflite;
use hoist_passes::{Options, Pipeline, run};
use hoist_runtime::compare::{Tolerance, compare};
use hoist_runtime::inputs::tensors_from_npz;
use hoist_runtime::reference::{Reference, ReferenceOptions};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn listing(folder: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut found: Vec<PathBuf> = entries.map(|e| e.expect("readable").path()).collect();
    found.retain(|p| p.file_name().is_some_and(|n| wanted(&n.to_string_lossy())));
    found.sort();
    found
}

fn texts(json: &Json) -> Option<Vec<&str>> {
    json.as_array().map(|list| list.iter().filter_map(Json::as_str).collect())
}

/// Runs `model` on the arrays of `path` and compares with those it expects.
fn check(model: &Model, path: &Path, tolerance: Tolerance) -> Result<(), String> {
    let source = Source::open(path).map_err(|e| e.to_string())?;
    let arrays: BTreeMap<String, Tensor> =
        tensors_from_npz(source.bytes()).map_err(|d| d.to_string())?.into_iter().collect();
    let numbered = |kind: &str| -> Vec<Value> {
        (0..).map_while(|i| arrays.get(&format!("{kind}{i}")).cloned().map(Value::Tensor)).collect()
    };
    let (inputs, want) = (numbered("in"), numbered("out"));
    if inputs.len() + want.len() != arrays.len() || want.is_empty() {
        return Err("holds other arrays than in0.. and out0..".to_owned());
    }
    let executor = Reference::new(model, ReferenceOptions::default()).map_err(|d| d.to_string())?;
    let got = executor.run(inputs).map_err(|d| d.to_string())?;
    let names: Vec<&str> = model.graph.outputs().iter().map(|o| &*o.name).collect();
    let found = compare(&got, &want, &names, tolerance);
    let wrong: Vec<String> = found.outputs.iter().filter_map(|o| o.complaint()).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

/// `model` written as TFLite and read again.
fn rewritten(model: &Model) -> Result<Model, String> {
    let mut model = model.clone();
    let target = Target::default();
    let mut options = Options {
        verify_each: true,
        target: Some(hoist_passes::Target::Tflite(target.clone())),
        ..Options::default()
    };
    let legal = Pipeline::parse("legalize-tflite").map_err(|d| d.to_string())?;
    run(&legal, &mut model, &mut options).map_err(|f| f.diags.to_string())?;
    let plan = writer::plan(&model, &target).map_err(|d| d.to_string())?;
    let mut bytes = vec![];
    plan.write(&mut bytes).map_err(|e| e.to_string())?;
    let source = Source::from_bytes("again.tflite", bytes.into());
    tflite::read(&source, StateMode::Explicit).map_err(|d| d.to_string())
}

fn same_names<'a>(what: &str, got: impl Iterator<Item = &'a str>, want: &Json) -> Result<(), String> {
    let got: Vec<&str> = got.collect();
    match texts(want) {
        Some(want) if want != got => Err(format!("{what} are {got:?} instead of {want:?}")),
        _ => Ok(()),
    }
}

fn case(folder: &Path) -> Result<(), String> {
    let meta = fs::read(folder.join("meta.json")).unwrap_or_else(|_| b"null".to_vec());
    let meta: Json = serde_json::from_slice(&meta).map_err(|e| format!("meta.json: {e}"))?;
    let number = |key: &str, default| meta[key].as_f64().unwrap_or(default);
    let tolerance = Tolerance { rtol: number("rtol", 1e-5), atol: number("atol", 1e-5) };
    let source = Source::open(folder.join("model.tflite")).map_err(|e| e.to_string())?;
    let read = tflite::read(&source, StateMode::Explicit);
    if let Some(wanted) = texts(&meta["refused"]) {
        let why = read.err().ok_or("is read and should be refused")?.to_string();
        let missing = wanted.iter().find(|t| !why.contains(**t));
        return missing.map_or(Ok(()), |t| Err(format!("is refused without `{t}`: {why}")));
    }
    let mut model = read.map_err(|d| format!("is refused: {d}"))?;
    let graph = &model.graph;
    graph.verify().into_result().map_err(|d| d.to_string())?;
    let inputs: Vec<String> = graph.inputs().iter().map(|v| graph.value_label(*v)).collect();
    same_names("inputs", inputs.iter().map(String::as_str), &meta["inputs"])?;
    same_names("outputs", graph.outputs().iter().map(|o| &*o.name), &meta["outputs"])?;
    let arrays = listing(folder, |n| n.starts_with("io"));
    if arrays.is_empty() {
        return Err("holds no io.npz".to_owned());
    }
    let all = |model: &Model, how: &str| {
        arrays.iter().try_for_each(|p| check(model, p, tolerance).map_err(|e| format!("{how}: {e}")))
    };
    all(&model, "as read")?;
    let mut options = Options { verify_each: true, ..Options::default() };
    run(&Pipeline::standard(), &mut model, &mut options).map_err(|f| format!("passes: {}", f.diags))?;
    all(&model, "after the passes")?;
    let again = rewritten(&model).map_err(|e| format!("written again: {e}"))?;
    all(&again, "written again")
}

#[test]
fn every_file_computes_what_litert_computes() {
    let only = std::env::var("CASES").unwrap_or_default();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/tflite");
    let cases = listing(&root, |name| name.contains(&only));
    assert!(!cases.is_empty(), "no folder of testdata/tflite matches `{only}`");
    let failed = |folder: &PathBuf| {
        let why = case(folder).err()?;
        Some(format!("{}: {why}", folder.file_name().unwrap_or_default().to_string_lossy()))
    };
    let wrong: Vec<String> = cases.iter().filter_map(failed).collect();
    assert!(wrong.is_empty(), "{} of {} files fail:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
