//! IR to ONNX files. Small parts are encoded in memory; weights are streamed, so memory does not follow the model's size.
use graph::{Initializer, Printer};
use hoist_formats::onnx::generated::{
    FunctionProto, GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto,
};
use hoist_formats::onnx::lower::choose;
use hoist_formats::onnx::versions::ir_version_for;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::model::Model;
use hoist_ir::tensor::Storage;
use prost::Message;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tensor::Sidecar;

mod graph;
mod kept;
mod names;
pub(crate) mod stream;
mod tensor;
mod types;

/// Protobuf's own limit is 2 GiB less one byte; some headroom for readers that count differently.
const MAX_MODEL: usize = (1 << 31) - (1 << 20);
/// IR version that current runtimes load and that has all of today's operators' needs: raised only where the operator set asks for more.
const MIN_IR_VERSION: i64 = 8;

/// Tensors of so many bytes are copied from file to file.
const COPIED: usize = 1 << 16;

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
    /// Where they already lie in a file in or below the output's folder; others as with `Auto`.
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
pub struct Plan {
    model: ModelProto,
    graph: GraphProto,
    initializers: Vec<Initializer>,
    sidecar: Sidecar,
}

/// Decides everything about the file.
///
/// # Errors
/// All operators that the operator set cannot express, and models too large for [`ExternalData::Never`].
pub fn plan(model: &Model, options: &WriteOptions) -> Result<Plan, Diags> {
    let target = choose(model, options.opset)?;
    let header = header(model, target.opset)?;
    let lay_out = |policy| -> Result<Plan, Diags> {
        let mut sidecar = Sidecar::new(policy, &options.data_name, &options.folder);
        let mut printer = Printer {
            target: &target,
            namer: names::Namer::default(),
            domains: BTreeMap::new(),
            sidecar: &mut sidecar,
        };
        let (graph, mut initializers) = printer.graph(&model.graph, None)?;
        kept::state(model, printer.sidecar, &mut initializers)?;
        let domains = std::mem::take(&mut printer.domains);
        let mut header = header.clone();
        let known = |d: &str| header.opset_import.iter().any(|o| o.domain() == d);
        let new: Vec<_> =
            domains.into_iter().filter(|(d, _)| !known(d)).map(|(d, v)| import(&d, v)).collect();
        header.opset_import.extend(new);
        kept::of_model(model, &target, &graph, &initializers, &mut header)?;
        Ok(Plan { model: header, graph, initializers, sidecar })
    };
    let plan = lay_out(options.external)?;
    if plan.len() <= MAX_MODEL {
        return Ok(plan);
    }
    if options.external == ExternalData::Never {
        let m = format!("the model takes {} bytes; one protobuf file holds less than 2 GiB", plan.len());
        return Err(Diag::error("E0302", m).hint("use --external-data auto").into());
    }
    lay_out(ExternalData::Always)
}

fn header(model: &Model, opset: i64) -> Result<ModelProto, Diags> {
    let own = model.producer.is_empty() || *model.source != *"onnx";
    let text = |s: &str| Some(s.to_owned()).filter(|s| !s.is_empty());
    let mut proto = ModelProto {
        ir_version: Some(ir_version_for(opset).max(MIN_IR_VERSION)),
        producer_name: if own { text("hoist") } else { text(&model.producer) },
        producer_version: if own { text(env!("CARGO_PKG_VERSION")) } else { text(&model.producer_version) },
        domain: text(&model.domain),
        model_version: Some(model.version).filter(|v| *v != 0),
        doc_string: text(&model.doc),
        ..ModelProto::default()
    };
    for (key, value) in &model.props {
        let pair = StringStringEntryProto { key: Some(key.clone()), value: Some(value.clone()) };
        proto.metadata_props.push(pair);
    }
    for f in &model.functions {
        let decoded = FunctionProto::decode(f.encoded.clone());
        let bad = |_| Diag::error("E0202", format!("function `{}.{}` cannot be decoded", f.domain, f.name));
        proto.functions.push(decoded.map_err(bad)?);
    }
    proto.opset_import.push(import("", opset));
    for (domain, version) in model.opsets.iter().filter(|(d, _)| !d.is_empty()) {
        proto.opset_import.push(import(domain, *version));
    }
    Ok(proto)
}

fn import(domain: &str, version: i64) -> OperatorSetIdProto {
    OperatorSetIdProto { domain: Some(domain.to_owned()), version: Some(version) }
}

impl Plan {
    fn len(&self) -> usize {
        stream::model_len(&self.model, &self.graph, &self.initializers)
    }
    /// Whether a data file is needed.
    pub fn has_data(&self) -> bool {
        !self.sidecar.parts.is_empty()
    }
    /// Operator set of the file.
    pub fn opset(&self) -> i64 {
        self.model.opset_import.first().map_or(0, |o| o.version())
    }
    /// Writes the model file.
    ///
    /// # Errors
    /// Those of `sink`.
    pub fn write_model(&self, sink: &mut dyn Write) -> io::Result<()> {
        stream::write(sink, &self.model, &self.graph, &self.initializers)
    }
    /// Writes the data file. What lies in files as it is to be written is copied by the system, which may share blocks, without passing through memory.
    ///
    /// # Errors
    /// Those of `file` and of the files that are copied.
    pub fn write_data(&self, file: &mut File) -> io::Result<()> {
        let mut sink = BufWriter::with_capacity(1 << 18, file);
        let mut open: Option<(Arc<Path>, File)> = None;
        for (padding, t) in &self.sidecar.parts {
            sink.write_all(&vec![0; *padding as usize])?;
            match t.storage() {
                Storage::Bytes(bytes, Some(span)) if bytes.len() >= COPIED => {
                    sink.flush()?;
                    let source = match &mut open {
                        Some((path, source)) if *path == span.file => source,
                        _ => &mut open.insert((span.file.clone(), File::open(&span.file)?)).1,
                    };
                    source.seek(SeekFrom::Start(span.offset))?;
                    let length = bytes.len() as u64;
                    if io::copy(&mut (&*source).take(length), sink.get_mut())? < length {
                        let m = format!("{} became shorter", span.file.display());
                        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, m));
                    }
                }
                _ => stream::elements(&mut sink, t)?,
            }
        }
        sink.flush()
    }
}
