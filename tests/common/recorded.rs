//! Folders of programs with what their framework itself computes with them.
//!
//! `io.npz` (and `io*.npz`, for other sizes) holds the inputs `in0`, `in1`, ... and the outputs `out0`, ... in the model's order. `meta.json`
//! may give `rtol` and `atol`, the names of the `inputs` and `outputs` as lists, or the text with which the program is `refused`, and
//! what becomes of `state` (`all`, `frozen`). Each program is lifted, verified and run by the reference executor, as lifted and after the passes that
//! `convert` runs. `CASES=text` takes the folders whose names contain `text`.
use hoist_ir::diag::Diags;
use hoist_ir::dim::Dim;
use hoist_ir::eval::Value;
use hoist_ir::model::{Executor, Model};
use hoist_ir::tensor::Tensor;
use hoist_ir::types::Shape;
use hoist_parsers::pytorch::lift::state::StateMode;
use hoist_parsers::source::Source;
use hoist_passes::{Options, Pipeline, run};
use hoist_runtime::compare::{Tolerance, compare};
use hoist_runtime::inputs::tensors_from_npz;
use hoist_runtime::reference::{Reference, ReferenceOptions};
use rayon::prelude::*;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// What a case says beside its arrays.
pub struct Meta {
    tolerance: Tolerance,
    refused: Option<String>,
    /// What becomes of state.
    pub state: StateMode,
    /// Sizes of inputs.
    pub shapes: Vec<(String, Shape)>,
    /// Names of the inputs.
    pub inputs: Option<Vec<String>>,
    /// Names of the outputs.
    pub outputs: Option<Vec<String>>,
}

/// Reads the program in a folder.
pub type Lift = fn(&Path, &Meta) -> Result<Model, Diags>;

impl Meta {
    /// What the folder says.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let path = folder.join("meta.json");
        let json: Json = if path.is_file() {
            let text = fs::read(path).map_err(|e| e.to_string())?;
            serde_json::from_slice(&text).map_err(|e| format!("meta.json: {e}"))?
        } else {
            Json::Null
        };
        let number = |key: &str, default| json[key].as_f64().unwrap_or(default);
        let names = |key: &str| {
            let list = json[key].as_array()?;
            Some(list.iter().map(|n| n.as_str().unwrap_or_default().to_owned()).collect())
        };
        Ok(Self {
            tolerance: Tolerance { rtol: number("rtol", 1e-4), atol: number("atol", 1e-5) },
            state: match json["state"].as_str() {
                None => StateMode::Explicit,
                Some("all") => StateMode::All,
                Some("frozen") => StateMode::Frozen,
                Some(other) => return Err(format!("meta.json: state `{other}` is unknown")),
            },
            shapes: shapes(&json["shapes"]),
            refused: json["refused"].as_str().map(str::to_owned),
            inputs: names("inputs"),
            outputs: names("outputs"),
        })
    }
}

/// Sizes of inputs by name: numbers and symbols.
fn shapes(json: &Json) -> Vec<(String, Shape)> {
    let dim = |d: &Json| d.as_u64().map_or_else(|| Dim::symbol(d.as_str().unwrap_or_default()), Dim::Known);
    let all = json.as_object().into_iter().flatten();
    all.map(|(name, list)| (name.clone(), list.as_array().into_iter().flatten().map(dim).collect())).collect()
}

/// The arrays `{kind}0`, `{kind}1`, ...
fn numbered(arrays: &BTreeMap<String, Tensor>, kind: &str) -> Vec<Tensor> {
    (0..).map_while(|i| arrays.get(&format!("{kind}{i}")).cloned()).collect()
}

/// Tensors as values of these element types: `NumPy` lacks some, which are stored widened.
fn narrowed(tensors: Vec<Tensor>, types: &[&hoist_ir::types::Type]) -> Result<Vec<Value>, String> {
    let one = |(i, t): (usize, Tensor)| {
        let wanted = types.get(i).and_then(|ty| ty.as_tensor()).map(|ty| ty.dtype);
        let narrow = wanted.filter(|d| *d != t.dtype() && d.is_float() && t.dtype().is_float());
        let t = narrow.map_or(Ok(t.clone()), |d| t.cast(d, false)).map_err(|e| e.to_string())?;
        Ok(t.into())
    };
    tensors.into_iter().enumerate().map(one).collect()
}

/// Runs `model` on the arrays of `path` and compares with those it expects.
fn check(model: &Model, path: &Path, tolerance: Tolerance) -> Result<(), String> {
    let source = Source::open(path).map_err(|e| e.to_string())?;
    let arrays: BTreeMap<String, Tensor> =
        tensors_from_npz(source.bytes()).map_err(|d| d.to_string())?.into_iter().collect();
    let (inputs, want) = (numbered(&arrays, "in"), numbered(&arrays, "out"));
    if inputs.len() + want.len() != arrays.len() || want.is_empty() {
        return Err("holds other arrays than in0.. and out0..".to_owned());
    }
    let graph = &model.graph;
    let types: Vec<_> = graph.inputs().iter().map(|v| graph.ty(*v)).collect();
    if types.len() != inputs.len() {
        return Err(format!("the model has {} inputs for {} arrays", types.len(), inputs.len()));
    }
    let inputs = narrowed(inputs, &types)?;
    let types: Vec<_> = graph.outputs().iter().map(|o| graph.ty(o.value)).collect();
    let want = narrowed(want, &types)?;
    let executor = Reference::new(model, ReferenceOptions::default()).map_err(|d| d.to_string())?;
    let got = executor.run(inputs).map_err(|d| d.to_string())?;
    let names: Vec<&str> = graph.outputs().iter().map(|o| &*o.name).collect();
    let found = compare(&got, &want, &names, tolerance);
    let wrong: Vec<String> = found.outputs.iter().filter_map(|o| o.complaint()).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

fn same_names(what: &str, got: &[String], want: Option<&Vec<String>>) -> Result<(), String> {
    match want {
        Some(want) if want != got => {
            Err(format!("{what} are [{}] instead of [{}]", got.join(", "), want.join(", ")))
        }
        _ => Ok(()),
    }
}

fn case(folder: &Path, lift: Lift) -> Result<(), String> {
    let meta = Meta::read(folder)?;
    let lifted = lift(folder, &meta).map_err(|d| format!("is refused: {d}"));
    if let Some(text) = &meta.refused {
        return match lifted {
            Ok(_) => Err(format!("is lifted and should be refused with `{text}`")),
            Err(why) if why.contains(text) => Ok(()),
            Err(why) => Err(format!("{why}; it should be refused with `{text}`")),
        };
    }
    let mut model = lifted?;
    model.graph.verify().into_result().map_err(|d| d.to_string())?;
    let graph = &model.graph;
    let inputs: Vec<String> = graph.inputs().iter().map(|v| graph.value_label(*v)).collect();
    let outputs: Vec<String> = graph.outputs().iter().map(|o| o.name.to_string()).collect();
    same_names("inputs", &inputs, meta.inputs.as_ref())?;
    same_names("outputs", &outputs, meta.outputs.as_ref())?;
    let arrays = listing(folder, |name| {
        name.starts_with("io") && Path::new(name).extension().is_some_and(|e| e == "npz")
    });
    if arrays.is_empty() {
        return Err("holds no io.npz".to_owned());
    }
    let all = |model: &Model, how: &str| {
        let one = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            check(model, path, meta.tolerance).map_err(|e| format!("{how}{name}: {e}"))
        };
        arrays.iter().try_for_each(one)
    };
    all(&model, "")?;
    let mut options = Options { verify_each: true, ..Options::default() };
    run(&Pipeline::standard(), &mut model, &mut options).map_err(|f| format!("passes: {}", f.diags))?;
    all(&model, "after the passes, ")
}

fn listing(folder: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut found: Vec<PathBuf> = entries.map(|e| e.expect("readable").path()).collect();
    found.retain(|p| p.file_name().is_some_and(|n| wanted(&n.to_string_lossy())));
    found.sort();
    found
}

/// Checks every folder of `root`, a path from the workspace's root.
pub fn check_all(root: &str, lift: Lift) {
    let only = std::env::var("CASES").unwrap_or_default();
    let cases = listing(&Path::new(env!("CARGO_MANIFEST_DIR")).join(root), |name| name.contains(&only));
    assert!(!cases.is_empty(), "no folder of {root} matches `{only}`");
    let failed = |folder: &PathBuf| {
        let result = catch_unwind(AssertUnwindSafe(|| case(folder, lift)));
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let why = result.unwrap_or_else(|_| Err("panicked, see above".to_owned())).err()?;
        Some(format!("{name}: {why}"))
    };
    let wrong: Vec<String> = cases.par_iter().filter_map(failed).collect();
    assert!(wrong.is_empty(), "{} of {} programs fail:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
