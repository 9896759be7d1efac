//! TFLite files to IR.
//!
//! The whole file is verified while it is decoded; constants stay slices of the memory map. Operators are lifted by the functions of
//! [`hoist_formats::tflite::bind`]. Quantized tensors become `dequantize_linear` before and `quantize_linear` after the operators that compute with them.
use crate::source::Source;
use file::File;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::model::Model;

mod file;
mod graph;
mod tensor;

/// Reads a TFLite model.
///
/// # Errors
/// Everything that is wrong with the file or the model in it, and every operator that is not read.
pub fn read(source: &Source) -> Result<Model, Diags> {
    if source.bytes().is_empty() {
        return Err(Diag::error("E0201", "the file is empty").into());
    }
    let file = File::open(source)?;
    let mut model =
        Model { source: "tflite".into(), doc: file.root.text("description").into(), ..Model::default() };
    let mut reader = graph::Reader::new(&file);
    model.graph = reader.main()?;
    model.warnings = reader.warnings;
    Ok(model)
}
