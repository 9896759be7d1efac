//! TFLite files to IR.
//!
//! The whole file is verified while it is decoded; constants stay slices of the memory map. Operators are lifted by the functions of
//! [`hoist_formats::tflite::bind`]. Quantized tensors become `dequantize_linear` before and `quantize_linear` after the operators that compute with them. Variables become
//! inputs and outputs, as those of PyTorch programs do.
use crate::pytorch::lift::state::StateMode;
use crate::source::Source;
use file::File;
use graph::Reader;
use hoist_formats::state::FIRST;
use hoist_formats::tflite::schema::Builtin;
use hoist_formats::tflite::{HYBRID, METADATA};
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dtype::DType;
use hoist_ir::eval::Value;
use hoist_ir::model::{Model, Sample};
use names::Interface;
use state::State;

mod file;
mod graph;
mod names;
mod operands;
mod sparse;
mod state;
mod tensor;
mod variables;

/// Metadata that the writer makes itself.
const RUNTIME: &str = "min_runtime_version";

/// Reads a TFLite model; `mode` says what becomes of its variables.
///
/// # Errors
/// Everything that is wrong with the file or the model in it, and every operator that is not read.
pub fn read(source: &Source, mode: StateMode) -> Result<Model, Diags> {
    if source.bytes().is_empty() {
        return Err(Diag::error("E0201", "the file is empty").into());
    }
    let file = File::open(source)?;
    let mut model =
        Model { source: "tflite".into(), doc: file.root.text("description").into(), ..Model::default() };
    let (_, others) = Interface::new(&file.root);
    let mut reader = Reader::new(&file, mode, State::default());
    let (mut graph, mut property) = reader.main()?;
    if let Some(state) = reader.state.held(mode) {
        reader = Reader::new(&file, mode, state);
        (graph, property) = reader.main()?;
    }
    model.warnings.extend(reader.state.notes());
    if !others.is_empty() {
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        let m = format!("the file has further signatures, which are left out: {}", state::listed(&others));
        model.warnings.push(Diag::warning("E0302", m));
    }
    if property.is_some() && graph.inputs().len() == reader.state.initial().count() {
        let inputs = reader.state.initial().map(|(_, t)| Value::Tensor(t.clone())).collect();
        model.samples.push(Sample { inputs });
    }
    for (name, content) in reader.state.initial() {
        let bytes = content.to_shared_bytes().map_err(|e| file::bad(e.to_string()))?;
        model.opaque.push((format!("{FIRST}{name}"), bytes));
    }
    model.props.extend(property);
    model.graph = graph;
    metadata(&file, &mut model);
    if is_hybrid(&file)? {
        model.opaque.push((HYBRID.to_owned(), bytes::Bytes::new()));
    }
    Ok(model)
}

/// Whether products take float data and stored weights, and no stored constant is dequantized otherwise.
fn is_hybrid(file: &File) -> Result<bool, Diag> {
    let mut found = false;
    for graph in file.root.records("subgraphs") {
        let sub = operands::Subgraph::new(file, graph);
        for op in graph.records("operators") {
            let (Ok(builtin), _) = file.code(op.int("opcode_index"))? else { continue };
            let dtype = |k: usize| {
                let i = op.ints("inputs").get(k).copied().filter(|i| *i >= 0)?;
                sub.declared(i).ok().map(|d| d.ty.dtype)
            };
            match builtin {
                Builtin::Conv2d | Builtin::DepthwiseConv2d | Builtin::FullyConnected => {
                    found |= dtype(0) == Some(DType::F32) && dtype(1) == Some(DType::I8);
                }
                Builtin::Dequantize if dtype(0) == Some(DType::I8) => return Ok(false),
                _ => {}
            }
        }
    }
    Ok(found)
}

/// Keeps what the file says about the model beside its graph.
fn metadata(file: &File, model: &mut Model) {
    for entry in file.root.records("metadata") {
        let name = entry.text("name");
        // Entries that point to nothing say nothing.
        if name != RUNTIME
            && let Ok(Some((bytes, _))) = file.buffer(entry.int("buffer"))
        {
            model.opaque.push((format!("{METADATA}{name}"), bytes));
        }
    }
}
