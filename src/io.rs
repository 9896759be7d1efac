//! Models from files.
use crate::format::{self, InputFormat, Kind};
use clap::ValueEnum;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dim::Dim;
use hoist_ir::dim::{SymInt, is_plain_symbol};
use hoist_ir::dtype::DType;
use hoist_ir::graph::Graph;
use hoist_ir::model::Model;
use hoist_ir::types::{Shape, TensorType, Type};
use hoist_parsers::source::Source;
use hoist_parsers::{onnx, pytorch};
use pytorch::lift::state::StateMode;
use std::path::{Path, PathBuf};

/// How a model file is read.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Reading {
    /// Format of the input; without it, content and name tell
    #[arg(long, value_name = "FORMAT")]
    pub from: Option<InputFormat>,
    /// Folder to look for external data in, instead of the model's own (repeatable)
    #[arg(long, value_name = "DIR")]
    pub data_dir: Vec<PathBuf>,
    /// Fix a symbolic dimension of the inputs (repeatable)
    #[arg(long = "dim", value_name = "NAME=SIZE", value_parser = binding)]
    pub dims: Vec<(String, u64)>,
    /// Sizes of an input that the file does not state, such as x=N,3,224,224 (TorchScript; repeatable)
    #[arg(long = "input-shape", value_name = "NAME=SIZES", value_parser = input_shape)]
    pub input_shapes: Vec<(String, Shape)>,
    /// Element type of an input that the file does not state, such as ids=i64 (TorchScript; repeatable)
    #[arg(long = "input-dtype", value_name = "NAME=TYPE", value_parser = input_dtype)]
    pub input_dtypes: Vec<(String, DType)>,
    /// What becomes of parameters and buffers that a PyTorch model changes while it runs
    #[arg(long, value_enum, value_name = "HOW", default_value_t)]
    pub state: Keeping,
}

impl Reading {
    /// What a `TorchScript` file does not say.
    fn untyped(&self) -> pytorch::torchscript::Options {
        pytorch::torchscript::Options {
            shapes: self.input_shapes.clone(),
            dtypes: self.input_dtypes.clone(),
            freeze_state: self.state == Keeping::Frozen,
        }
    }
}

/// Reads `NAME=1,3,N,N`.
fn input_shape(text: &str) -> Result<(String, Shape), String> {
    let (name, sizes) =
        text.split_once('=').filter(|(n, _)| !n.is_empty()).ok_or("write it as NAME=1,3,224,224")?;
    let dim = |size: &str| {
        let size = size.trim();
        match size.parse::<u64>() {
            Ok(n) => Ok(Dim::Known(n)),
            Err(_) if is_plain_symbol(size) => Ok(Dim::symbol(size)),
            Err(_) => Err(format!("`{size}` is neither a size nor a name")),
        }
    };
    let sizes = sizes.split(',').filter(|s| !s.trim().is_empty()).map(dim).collect::<Result<_, _>>()?;
    Ok((name.to_owned(), sizes))
}

/// Reads `NAME=i64`.
fn input_dtype(text: &str) -> Result<(String, DType), String> {
    let (name, dtype) = text.split_once('=').filter(|(n, _)| !n.is_empty()).ok_or("write it as NAME=i64")?;
    let dtype = DType::by_name(dtype.trim()).ok_or_else(|| format!("`{dtype}` is no element type"))?;
    Ok((name.to_owned(), dtype))
}

/// What becomes of state, as the command line says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Keeping {
    /// what outputs depend on becomes inputs NAME and outputs NAME.next
    #[default]
    Explicit,
    /// all of it does, and arguments that the model changes become outputs NAME.next
    All,
    /// each run begins with the saved values
    Frozen,
}

impl From<Keeping> for StateMode {
    fn from(keeping: Keeping) -> Self {
        match keeping {
            Keeping::Explicit => Self::Explicit,
            Keeping::All => Self::All,
            Keeping::Frozen => Self::Frozen,
        }
    }
}

/// Reads `NAME=SIZE`.
pub fn binding(text: &str) -> Result<(String, u64), String> {
    let (name, size) =
        text.rsplit_once('=').filter(|(name, _)| !name.is_empty()).ok_or("write it as NAME=SIZE")?;
    Ok((name.to_owned(), size.parse().map_err(|_| format!("`{size}` is no size"))?))
}

/// Reads the model at `path`. Every diagnostic names the file.
///
/// # Errors
/// Everything that is wrong with the file, and `E0603` for a `--dim` that fits no input.
pub fn read(path: &Path, options: &Reading) -> Result<Model, Diags> {
    let mut model = lift(path, options).map_err(|diags| about(path, diags))?;
    if !options.dims.is_empty() {
        fix_dims(&mut model.graph, &options.dims).map_err(|diags| about(path, diags))?;
        // What was recorded with other sizes fits no longer.
        model.samples.clear();
    }
    model.warnings = about(path, Diags(std::mem::take(&mut model.warnings))).0;
    Ok(model)
}

fn lift(path: &Path, options: &Reading) -> Result<Model, Diags> {
    let source = match Source::open(path) {
        Ok(source) => source,
        Err(error) => {
            return Err(match format::of_folder(path) {
                Some(other) => other.refusal(path).into(),
                None => Diag::error("E0101", error.to_string()).into(),
            });
        }
    };
    let kind = match options.from {
        Some(format) => Kind::Input(format),
        None => format::detect(path, source.bytes())?,
    };
    match kind {
        Kind::Input(InputFormat::Onnx) => {
            onnx::read(&source, &onnx::ReadOptions { data_dirs: options.data_dir.clone() })
        }
        Kind::Input(InputFormat::Pt2) => pytorch::program::read(&source, options.state.into()),
        Kind::Input(InputFormat::TorchScript) => pytorch::torchscript::read(&source, &options.untyped()),
        Kind::Input(InputFormat::Hir) => text(&source),
        Kind::Other(other) => Err(other.refusal(path).into()),
    }
}

fn text(source: &Source) -> Result<Model, Diags> {
    let text = std::str::from_utf8(source.bytes()).map_err(|e| {
        let m = format!("byte {} is no UTF-8 text", e.valid_up_to());
        Diags::from(Diag::error("E0404", m).hint("a file of another format needs --from"))
    })?;
    hoist_ir::text::parse_model(text)
}

/// Puts the path before each message that does not name the file yet.
pub fn about(path: &Path, mut diags: Diags) -> Diags {
    let shown = path.display().to_string();
    let name = path.file_name().map_or_else(|| shown.clone(), |n| n.to_string_lossy().into_owned());
    for diag in &mut diags.0 {
        if !diag.message.contains(&name) {
            diag.message = format!("{shown}: {}", diag.message);
        }
    }
    diags
}

/// Gives symbols of the inputs' types fixed sizes and infers every type again.
///
/// # Errors
/// `E0603` for a symbol that no input has, and what the operators say about the sizes.
pub fn fix_dims(graph: &mut Graph, dims: &[(String, u64)]) -> Result<(), Diags> {
    let known = symbols(graph);
    if let Some((name, _)) = dims.iter().find(|(name, _)| !known.contains(name)) {
        let d = Diag::error("E0603", format!("no input has a dimension called `{name}`"));
        return Err(match known.as_slice() {
            [] => d.note("all sizes of the inputs are fixed"),
            _ => d.hint(format!("there are: {}", known.join(", "))),
        }
        .into());
    }
    let value = |name: &str| {
        let (_, size) = dims.iter().find(|(n, _)| n == name)?;
        Some(SymInt::from(i64::try_from(*size).ok()?))
    };
    for v in graph.inputs().to_vec() {
        let ty = substituted(graph.ty(v), &value);
        graph.set_input_type(v, ty)?;
    }
    graph.reinfer()?;
    Ok(())
}

/// Names of the symbols in the inputs' types, in order of appearance.
pub fn symbols(graph: &Graph) -> Vec<String> {
    let mut names = Vec::new();
    let shapes = graph.inputs().iter().filter_map(|v| graph.ty(*v).as_tensor()?.shape.as_ref());
    for dim in shapes.flatten() {
        let Dim::Expr(e) = dim else { continue };
        for symbol in e.symbols() {
            if !names.iter().any(|n| *n == *symbol) {
                names.push(symbol.to_string());
            }
        }
    }
    names
}

fn substituted(ty: &Type, value: &dyn Fn(&str) -> Option<SymInt>) -> Type {
    match ty {
        Type::Tensor(t) => {
            let dim = |d: &Dim| match d {
                Dim::Expr(e) => Dim::from_sym(e.substitute(value)),
                _ => d.clone(),
            };
            let shape = t.shape.as_ref().map(|dims| dims.iter().map(dim).collect());
            Type::Tensor(TensorType { dtype: t.dtype, shape })
        }
        Type::Sequence(t) => Type::Sequence(Box::new(substituted(t, value))),
        Type::Optional(t) => Type::Optional(Box::new(substituted(t, value))),
        Type::Map(..) | Type::Unknown => ty.clone(),
    }
}
