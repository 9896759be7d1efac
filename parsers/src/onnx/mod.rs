//! ONNX files to IR.
//!
//! Weights stay where they are: `raw_data` and external data are slices of memory maps. Operators with a row in
//! [`hoist_formats::onnx::bind`] are lifted to the newest form; every other operator of a known set, and all of other domains, pass through
//! as `custom`. All problems found are reported together.
use crate::source::Source;
use function::Library;
use hoist_formats::onnx::generated::{FunctionProto, ModelProto, TensorProto};
use hoist_formats::onnx::kept::{CONFIGURATION, TRAINING};
use hoist_formats::onnx::versions::{NEWEST_IR_VERSION, NEWEST_OPSET};
use hoist_formats::state::FIRST;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::model::{Function, Model};
use hoist_ir::tensor::Tensor;
use prost::Message;
use std::collections::BTreeMap;
use std::path::PathBuf;

mod attr;
mod bodies;
mod captures;
mod flex;
mod function;
mod graph;
mod node;
mod order;
mod sparse;
mod tensor;
mod types;

/// Where a model's external data may lie.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// Folders searched in order. Empty: the folder of the model file.
    pub data_dirs: Vec<PathBuf>,
}

/// Reads an ONNX model.
///
/// # Errors
/// Everything that is wrong with the file or the model in it.
pub fn read(source: &Source, options: &ReadOptions) -> Result<Model, Diags> {
    let proto = decode(source)?;
    check_header(&proto)?;
    let mut model = header(&proto);
    let library = Library::of(&proto)?;
    model.functions = functions(&proto);
    let dirs = if options.data_dirs.is_empty() {
        vec![source.path().parent().map(PathBuf::from).unwrap_or_default()]
    } else {
        options.data_dirs.clone()
    };
    let mut reader = graph::Reader::new(&model, library, tensor::Loader::new(source, dirs));
    let graph = proto.graph.unwrap_or_default();
    model.graph = reader.main(&graph)?;
    for (name, first) in &reader.first {
        let bytes = first.to_shared_bytes().map_err(|e| Diag::error("E0203", e.to_string()))?;
        model.opaque.push((format!("{FIRST}{name}"), bytes));
    }
    model.warnings = reader.warnings();
    Ok(model)
}

/// Reads a file that holds a single `TensorProto`, as the inputs and outputs of ONNX's test data sets do.
///
/// # Errors
/// When it is no such file.
pub fn read_tensor(source: &Source) -> Result<Tensor, Diag> {
    let proto = TensorProto::decode(source.bytes().clone())
        .map_err(|e| Diag::error("E0201", format!("this is no ONNX tensor: {e}")))?;
    let dir = source.path().parent().map(PathBuf::from).unwrap_or_default();
    tensor::Loader::new(source, vec![dir]).read(&proto)
}

fn decode(source: &Source) -> Result<ModelProto, Diags> {
    if source.bytes().is_empty() {
        return Err(Diag::error("E0201", "the file is empty").into());
    }
    ModelProto::decode(source.bytes().clone()).map_err(|e| {
        let mut reason = e.to_string();
        // A nested decode error lists every enclosing message.
        if let Some((at, _)) = reason.char_indices().nth(200) {
            reason.truncate(at);
        }
        let d = Diag::error("E0201", format!("this is no ONNX model: {reason}"));
        let start = source.bytes().get(..64).unwrap_or(source.bytes());
        Diags::from(match lookalike(start) {
            Some(what) => d.note(format!("the file looks like {what}")),
            None => d.hint("the file may be truncated or of another format; name that with --from"),
        })
    })
}

/// What a file that is no model looks like, from its first bytes.
fn lookalike(start: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(start).to_ascii_lowercase();
    if text.starts_with("version https://git-lfs") {
        Some("a git-LFS pointer: fetch the real file with `git lfs pull`")
    } else if text.trim_start().starts_with("<!doctype") || text.trim_start().starts_with("<html") {
        Some("a web page: the download failed")
    } else if start.starts_with(b"PK\x03\x04") {
        Some("a zip archive, as PyTorch files are")
    } else {
        None
    }
}

fn check_header(proto: &ModelProto) -> Result<(), Diags> {
    let mut diags = Diags::default();
    let ir = proto.ir_version();
    if proto.graph.is_none() {
        diags.push(Diag::error("E0201", "this is no ONNX model: it has no graph"));
    }
    if !(1..=NEWEST_IR_VERSION).contains(&ir) {
        diags.push(Diag::error(
            "E0204",
            format!("IR version {ir} is unknown; 1 to {NEWEST_IR_VERSION} are known"),
        ));
    }
    if proto.opset_import.is_empty() && ir >= 3 {
        diags.push(Diag::error("E0202", "the model does not say which operator set it uses (opset_import)"));
    }
    let mut seen = BTreeMap::new();
    for o in &proto.opset_import {
        let (domain, version) = (domain(o.domain()), o.version());
        if version < 1 || (domain.is_empty() && version > NEWEST_OPSET) {
            let m = format!(
                "operator set {version} of `{}` is unknown; 1 to {NEWEST_OPSET} are known",
                show(domain)
            );
            diags.push(Diag::error("E0204", m));
        }
        if *seen.entry(domain).or_insert(version) != version {
            diags.push(Diag::error("E0202", format!("two operator sets of `{}` are imported", show(domain))));
        }
    }
    diags.into_result()
}

/// ONNX's own domain has two spellings.
fn domain(name: &str) -> &str {
    if name == "ai.onnx" { "" } else { name }
}

fn show(domain: &str) -> &str {
    if domain.is_empty() { "ai.onnx" } else { domain }
}

fn header(proto: &ModelProto) -> Model {
    let mut model = Model {
        source: "onnx".into(),
        producer: proto.producer_name().into(),
        producer_version: proto.producer_version().into(),
        domain: proto.domain().into(),
        version: proto.model_version(),
        doc: proto.doc_string().to_owned(),
        props: proto.metadata_props.iter().map(|p| (p.key().to_owned(), p.value().to_owned())).collect(),
        ..Model::default()
    };
    for o in &proto.opset_import {
        let d = domain(o.domain());
        if model.opset(d).is_none() {
            model.opsets.push((d.into(), o.version()));
        }
    }
    if proto.opset_import.is_empty() {
        model.opsets.push(("".into(), 1));
    }
    for c in &proto.configuration {
        model.opaque.push((CONFIGURATION.to_owned(), c.encode_to_vec().into()));
    }
    for t in &proto.training_info {
        model.opaque.push((TRAINING.to_owned(), t.encode_to_vec().into()));
    }
    model
}

/// The functions as they are written back.
fn functions(proto: &ModelProto) -> Vec<Function> {
    let keep = |f: &FunctionProto| Function {
        domain: domain(f.domain()).into(),
        name: f.name().into(),
        encoded: f.encode_to_vec().into(),
    };
    proto.functions.iter().map(keep).collect()
}
