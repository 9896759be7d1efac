//! Models from files.
use crate::architecture;
use crate::format::{self, InputFormat, Kind};
use clap::ValueEnum;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dim::Dim;
use hoist_ir::dim::{SymInt, is_plain_symbol};
use hoist_ir::dtype::DType;
use hoist_ir::graph::Graph;
use hoist_ir::model::Model;
use hoist_ir::types::{Shape, TensorType, Type};
use hoist_parsers::safetensors::arch::below::{Part, Wants};
use hoist_parsers::safetensors::arch::folder;
use hoist_parsers::source::Source;
use hoist_parsers::weights::{WeightOptions, Weights};
use hoist_parsers::{keras, onnx, pytorch, tensorflow, tensorflow_js, tflite};
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
    /// The program that uses the weights, when the input holds only weights: a model file (.pt2, .onnx) whose tensors they replace, or
    /// the name of an architecture, such as resnet50
    #[arg(long, value_name = "FILE|NAME")]
    pub arch: Option<String>,
    /// Which dictionary of a checkpoint to take, such as `state_dict` or `optimizer.state`; `.` takes everything
    #[arg(long, value_name = "PATH")]
    pub key: Option<String>,
    /// Take only the tensors of a checkpoint that holds objects of other classes too, such as a whole module; nothing of them is run
    #[arg(long)]
    pub tensors_only: bool,
    /// Fix a symbolic dimension of the inputs (repeatable)
    #[arg(long = "dim", value_name = "NAME=SIZE", value_parser = binding)]
    pub dims: Vec<(String, u64)>,
    /// Sizes of an input that the file does not state, such as x=N,3,224,224 (repeatable)
    #[arg(long = "input-shape", value_name = "NAME=SIZES", value_parser = input_shape)]
    pub input_shapes: Vec<(String, Shape)>,
    /// Element type of an input that the file does not state, such as ids=i64 (files of torch.jit.save; repeatable)
    #[arg(long = "input-dtype", value_name = "NAME=TYPE", value_parser = input_dtype)]
    pub input_dtypes: Vec<(String, DType)>,
    /// What becomes of parameters, buffers and variables that a model changes while it runs
    #[arg(long, value_enum, value_name = "HOW", default_value_t)]
    pub state: Keeping,
    /// Value of a placeholder of a TensorFlow graph, such as `is_training=false` (repeatable)
    #[arg(long = "const", value_name = "NAME=VALUE", value_parser = constant)]
    pub constants: Vec<(String, String)>,
    /// Signature of a SavedModel to take; without it, `serving_default`, or the only one
    #[arg(long, value_name = "KEY")]
    pub signature: Option<String>,
    /// Tags of the graph of a SavedModel to take; without it, serve, or the only one
    #[arg(long = "tag", value_name = "TAG", value_delimiter = ',')]
    pub tags: Vec<String>,
    /// What a model from config.json is for, such as text-classification; without it, its class says that
    #[arg(long, value_name = "TASK")]
    pub task: Option<String>,
    /// Which part of an encoder with a decoder to take, for models from config.json; without it, both in one graph
    #[arg(long, value_enum, value_name = "PART")]
    pub part: Option<Half>,
    /// Keys and values of what came before as inputs `past_key_values.*`, and of all as outputs `present.*`, for models from config.json
    #[arg(long)]
    pub with_past: bool,
    /// Values of a TensorFlow graph that become inputs, and those that become outputs.
    #[arg(skip)]
    pub ends: (Vec<String>, Vec<String>),
}

impl Reading {
    /// What a TensorFlow graph does not say.
    fn graph(&self) -> tensorflow::Options {
        tensorflow::Options {
            inputs: self.ends.0.clone(),
            outputs: self.ends.1.clone(),
            constants: self.constants.clone(),
            signature: self.signature.clone(),
            tags: self.tags.clone(),
            state: self.state.into(),
        }
    }
    /// What a folder of a published model does not say.
    fn folder(&self) -> folder::Options {
        folder::Options {
            task: self.task.clone(),
            wants: Wants { past: self.with_past, part: self.part.map_or(Part::Whole, Into::into) },
            inputs: self.ends.0.clone(),
            stored: false,
            weights: WeightOptions { key: self.key.clone(), tensors_only: self.tensors_only },
        }
    }
    /// What a `TorchScript` file does not say.
    fn untyped(&self) -> pytorch::torchscript::Options {
        pytorch::torchscript::Options {
            shapes: self.input_shapes.clone(),
            dtypes: self.input_dtypes.clone(),
            freeze_state: self.state == Keeping::Frozen,
        }
    }
}

/// A part of an encoder with a decoder.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Half {
    /// the encoder, which gives the keys and values of its states too
    Encoder,
    /// the decoder, which takes them
    Decoder,
}

impl From<Half> for Part {
    fn from(half: Half) -> Self {
        match half {
            Half::Encoder => Self::Encoder,
            Half::Decoder => Self::Decoder,
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

/// Reads `NAME=VALUE`.
fn constant(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.rsplit_once('=').filter(|(n, _)| !n.is_empty()).ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
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
    let (mut model, format) = lift(path, options).map_err(|diags| about(path, diags))?;
    if format != InputFormat::TorchScript {
        stated(&mut model, options).map_err(|diags| about(path, diags))?;
    }
    if !options.dims.is_empty() {
        fix_dims(&mut model.graph, &options.dims).map_err(|diags| about(path, diags))?;
        // What was recorded with other sizes fits no longer.
        model.samples.clear();
    }
    model.warnings = about(path, Diags(std::mem::take(&mut model.warnings))).0;
    Ok(model)
}

/// What a file holds.
pub enum Content {
    /// A program with its weights.
    Model(Box<Model>),
    /// Weights, and no `--arch` that would make a model of them.
    Weights(Box<Weights>),
}

/// Reads the file at `path`, whatever it holds. Every diagnostic names the file.
///
/// # Errors
/// As [`read`].
pub fn open(path: &Path, options: &Reading) -> Result<Content, Diags> {
    if options.arch.is_some() {
        return Ok(Content::Model(Box::new(read(path, options)?)));
    }
    let (source, kind) = find(path, options).map_err(|diags| about(path, diags))?;
    match kind {
        kind if kind.is_weights() => Ok(Content::Weights(Box::new(weights(&source, path, options)?))),
        _ => Ok(Content::Model(Box::new(read(path, options)?))),
    }
}

fn weights(source: &Source, path: &Path, options: &Reading) -> Result<Weights, Diags> {
    let wanted = WeightOptions { key: options.key.clone(), tensors_only: options.tensors_only };
    let mut weights = hoist_parsers::weights::read(source, &wanted).map_err(|diags| about(path, diags))?;
    weights.warnings = about(path, Diags(std::mem::take(&mut weights.warnings))).0;
    Ok(weights)
}

/// Opens the file, or the weights in a folder, and tells its format.
pub fn find(path: &Path, options: &Reading) -> Result<(Source, InputFormat), Diags> {
    let source = match Source::open(path) {
        Ok(source) => source,
        Err(error) => {
            let inside =
                |inner: PathBuf| Source::open(inner).map_err(|e| Diag::error("E0101", e.to_string()));
            // With --arch, a folder is its weights.
            let found = format::in_folder(path)
                .filter(|(_, format)| options.arch.is_none() || *format != InputFormat::HuggingFace);
            if let Some((inner, format)) = found.or_else(|| format::of_prefix(path)) {
                return Ok((inside(inner)?, format));
            }
            match format::weights_in(path) {
                Some(inner) => inside(inner)?,
                None => return Err(Diag::error("E0101", error.to_string()).into()),
            }
        }
    };
    let kind = match options.from {
        Some(format) => Kind::Input(format),
        None => format::detect(source.path(), source.bytes())?,
    };
    match kind {
        Kind::Input(format) => Ok((source, format)),
        Kind::Other(other) => Err(other.refusal(path).into()),
    }
}

fn lift(path: &Path, options: &Reading) -> Result<(Model, InputFormat), Diags> {
    let (source, format) = find(path, options)?;
    if options.arch.is_some() && !format.is_weights() {
        let m = "--arch is for files of weights, and this one has its own program";
        return Err(Diag::error("E0202", m).hint("leave --arch out").into());
    }
    let model = match format {
        InputFormat::Onnx => onnx::read(&source, &onnx::ReadOptions { data_dirs: options.data_dir.clone() }),
        InputFormat::Pt2 => pytorch::program::read(&source, options.state.into()),
        InputFormat::TorchScript => pytorch::torchscript::read(&source, &options.untyped()),
        InputFormat::TfLite => tflite::read(&source, options.state.into()),
        InputFormat::GraphDef => tensorflow::read_graph(&source, &options.graph()),
        InputFormat::SavedModel => tensorflow::saved_model::read(&source, &options.graph()),
        InputFormat::MetaGraph => tensorflow::saved_model::read_meta_graph(&source, &options.graph()),
        InputFormat::KerasH5 => keras::read_h5(&source),
        InputFormat::Keras => keras::read_archive(&source),
        InputFormat::TfJs => tensorflow_js::read(&source, &options.graph()),
        InputFormat::HuggingFace => folder::read(&source, &options.folder()),
        InputFormat::Hir => text(&source),
        InputFormat::Checkpoint
        | InputFormat::TensorBundle
        | InputFormat::Safetensors
        | InputFormat::Index => {
            if options.arch.is_none()
                && let Some(config) = described(&source)
            {
                return Ok((folder::read(&config, &options.folder())?, InputFormat::HuggingFace));
            }
            let weights = weights(&source, path, options)?;
            architecture::model(weights, options)
        }
    }?;
    Ok((model, format))
}

/// The configuration of the published model whose weights `source` is.
fn described(source: &Source) -> Option<Source> {
    let folder = source.path().parent()?;
    let weights = hoist_parsers::weights::in_folder(folder)?;
    if source.path().file_name()? != weights {
        return None;
    }
    Source::open(format::config_beside(source.path())?).ok()
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

/// Applies what the command line says about inputs of a file that types them itself.
fn stated(model: &mut Model, options: &Reading) -> Result<(), Diags> {
    if let Some((name, _)) = options.input_dtypes.first() {
        let m = format!("the file itself says of which type the elements of `{name}` are");
        return Err(Diag::error("E0603", m).hint("leave --input-dtype out").into());
    }
    if !options.input_shapes.is_empty() {
        fix_shapes(&mut model.graph, &options.input_shapes)?;
        // What was recorded with other sizes fits no longer.
        model.samples.clear();
    }
    Ok(())
}

/// Gives inputs the sizes that are said, their symbols with them, and infers every type again.
///
/// # Errors
/// `E0603` for a name that no input has and sizes that contradict the file's, and what the operators say about the sizes.
fn fix_shapes(graph: &mut Graph, shapes: &[(String, Shape)]) -> Result<(), Diags> {
    let mut dims: Vec<(String, u64)> = vec![];
    for (name, shape) in shapes {
        let bad = |m: String| Diags::from(Diag::error("E0603", m));
        let interface = graph.interface();
        let Some(at) = interface.inputs.iter().position(|i| *i.0 == **name) else {
            let names: Vec<&str> = interface.inputs.iter().map(|i| &*i.0).collect();
            return Err(Diag::error("E0603", format!("there is no input `{name}`"))
                .hint(format!("there are: {}", names.join(", ")))
                .into());
        };
        let v = graph.inputs()[at];
        let ty = graph.ty(v).clone();
        let Type::Tensor(tensor) = &ty else { return Err(bad(format!("input `{name}` is no tensor"))) };
        let open = |have: &Dim, said: &Dim| have.known().is_none() || have.known() == said.known();
        let has = tensor.shape.as_deref().unwrap_or(shape);
        if has.len() != shape.len() || !has.iter().zip(shape).all(|(have, said)| open(have, said)) {
            let said = TensorType { shape: Some(shape.clone()), ..tensor.clone() };
            let d = Diag::error("E0603", format!("input `{name}` is {ty} in the file, which is not {said}"));
            return Err(match first_fixed(has, shape) {
                Some((axis, n)) => d.hint(format!(
                    "--dynamic {name}:{axis}=NAME --dim NAME={n} gives a fixed size another value, where the model allows it"
                )),
                None => d,
            }
            .into());
        }
        for (have, said) in has.iter().zip(shape) {
            let symbol = have.to_sym().and_then(|e| e.as_symbol().map(str::to_owned));
            let (Some(symbol), Some(size)) = (symbol, said.known()) else { continue };
            if dims.iter().any(|(s, n)| *s == symbol && *n != size) {
                return Err(bad(format!("`{symbol}`, a size of input `{name}`, is said to be two sizes")));
            }
            dims.push((symbol, size));
        }
        let both = has.iter().zip(shape).map(|(have, said)| match have {
            Dim::Expr(_) if said.known().is_none() => have.clone(),
            _ => said.clone(),
        });
        graph.set_input_type(v, TensorType { shape: Some(both.collect()), ..tensor.clone() }.into())?;
    }
    let known = symbols(graph);
    dims.retain(|(symbol, _)| known.contains(symbol));
    fix_dims(graph, &dims)
}

/// The first axis whose fixed size is said to be another one, with that.
fn first_fixed(has: &[Dim], said: &[Dim]) -> Option<(usize, u64)> {
    let mut both = has.iter().zip(said).enumerate();
    both.find_map(|(axis, (h, s))| Some((axis, s.known().filter(|n| h.known().is_some_and(|h| h != *n))?)))
        .filter(|_| has.len() == said.len())
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
    graph.reinfer().map_err(|d| {
        let said: Vec<String> = dims.iter().map(|(name, n)| format!("{name}={n}")).collect();
        if said.is_empty() {
            d
        } else {
            d.note(format!("the model holds sizes that do not go with {}", said.join(", ")))
        }
    })?;
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
