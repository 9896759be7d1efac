//! A `.pt2` archive: an exported program with its weights, constants and sample inputs.
//!
//! The zip holds, below one folder of any name: `archive_format` ("pt2"), `byteorder`, `models/<model>.json`, and for
//! each model `data/weights/<model>_weights_config.json`, `data/constants/<model>_constants_config.json` and
//! `data/sample_inputs/<model>.pt`. A raw payload is the whole storage; its configuration has the view on it.
//!
//! PyTorch 2.8 wrote `data/weights/<model>.pt` and `data/constants/<model>.pt` instead, files of `torch.save` with everything. PyTorch 2.1
//! to 2.7 wrote `serialized_exported_program.json` and, as files of `torch.save`, `serialized_state_dict`, `serialized_constants` and
//! `serialized_example_inputs`.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use hoist_ir::diag::Diags;
use hoist_ir::tensor::Tensor;
use thiserror::Error;

mod inline;

use super::checkpoint::{Checkpoint, CheckpointError, check_byte_order, root_tensor};
use super::lift::promote::ir_dtype;
use super::pickle::{ObjId, Object, StorageRef};
use super::sample::Sample;
use super::schema::{ExportedProgram, InputSpec, PayloadConfig, PayloadMeta, Problem, SymInt, TensorMeta};
use super::tensor::{TensorError, TorchDtype, View};
use crate::weights::Weights;
use crate::weights::fit::{Wanted, fit};
use crate::zip::{Archive, ZipError};

/// Code of the strided (dense) layout.
const STRIDED: u32 = 7;

/// Name of the model that is read when an archive holds several.
const DEFAULT_MODEL: &str = "model";

/// Why a `.pt2` archive is refused.
#[derive(Debug, Error)]
pub enum Pt2Error {
    /// The container is damaged.
    #[error(transparent)]
    Zip(#[from] ZipError),
    /// The archive is of another kind.
    #[error("this zip archive is no exported program: {0}; write it with torch.export.save")]
    NotPt2(String),
    /// The archive holds several models and none is called `model`.
    #[error("the archive holds the models {0:?}, and none is called {DEFAULT_MODEL:?}; name one")]
    WhichModel(Vec<String>),
    /// A JSON entry is damaged.
    #[error("{entry}: {source}; the file is damaged or of another schema version")]
    Json {
        /// Name of the entry.
        entry: String,
        /// The reader's reason, with line and column.
        source: serde_json::Error,
    },
    /// A weight or constant cannot be read.
    #[error("weight {name:?}: {what}")]
    Payload {
        /// Name of the weight.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// A pickled entry is damaged or refused.
    #[error("{entry}: {source}")]
    Pickled {
        /// Name of the entry.
        entry: String,
        /// The reason.
        source: Box<CheckpointError>,
    },
    /// The sample inputs are not (args, kwargs).
    #[error(
        "the sample inputs are not a pair of arguments and keyword arguments; export again with example inputs"
    )]
    SampleShape,
}

/// A weight or constant: its type and its place in the archive.
#[derive(Debug, Clone)]
pub struct Payload {
    /// Its name in the state dict or among the constants.
    pub name: String,
    /// Name of its entry in the archive.
    pub entry: String,
    /// Whether it is a parameter.
    pub is_param: bool,
    /// Whether the entry is a file of `torch.save`.
    pub pickled: bool,
    /// The view on the entry's bytes; `None` for script objects and for pickled entries without one.
    pub view: Option<View>,
    /// The storage in a file of `torch.save` that holds all weights, or all constants; `entry` tells it from others.
    pub(super) held: Option<(usize, Arc<StorageRef>)>,
}

/// The elements of a weight or constant in row-major order, little endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadData {
    /// Element type.
    pub dtype: TorchDtype,
    /// Extents.
    pub shape: Vec<u64>,
    /// Elements: a slice of the archive unless it is deflated or the tensor is strided.
    pub data: Bytes,
}

/// Names of an archive's entries.
#[derive(Debug)]
struct Layout {
    /// Folder of everything, with its slash.
    root: String,
    /// Name of the model.
    model: String,
    /// The program.
    program: String,
    /// A file of `torch.save` with all weights, if there is one, and the same for constants.
    weights: Option<String>,
    constants: Option<String>,
    /// The example inputs.
    samples: Option<String>,
}

/// An opened archive. Payloads are read when asked for.
#[derive(Debug)]
pub struct Pt2Archive {
    archive: Archive,
    layout: Layout,
    program: ExportedProgram,
    weights: Vec<Payload>,
    constants: Vec<Payload>,
    /// Opened files of `torch.save` that payloads lie in.
    held: Vec<Checkpoint>,
    /// Tensors that are used instead of those of the archive, by name.
    replaced: HashMap<String, Tensor>,
}

impl Pt2Archive {
    /// Opens the archive in `bytes` and reads the program of `model`, or of the only model, or of `model`.
    ///
    /// The program's structure is not judged here, see [`ExportedProgram::validate`].
    ///
    /// # Errors
    /// [`Pt2Error`] when the container, its marks or its JSON entries are not those of a `.pt2` archive.
    pub fn open(bytes: Bytes, model: Option<&str>) -> Result<Self, Pt2Error> {
        let archive = Archive::open(bytes)?;
        let layout = Layout::of(&archive, model)?;
        let order = format!("{}byteorder", layout.root);
        check_byte_order(&archive, &order)
            .map_err(|source| Pt2Error::Pickled { entry: order, source: source.into() })?;
        let text = archive.read(&layout.program)?;
        let mut program = ExportedProgram::parse(&text)
            .map_err(|source| Pt2Error::Json { entry: layout.program.clone(), source })?;
        let mut held = Vec::new();
        let mut list = |kind: &str, whole: &Option<String>| match whole {
            Some(entry) => held_payloads(&archive, entry, &mut held),
            None => payloads(&archive, &layout.root, &layout.model, kind),
        };
        let weights = list("weights", &layout.weights)?;
        let mut constants = list("constants", &layout.constants)?;
        constants.extend(inline::constants(&mut program, &mut held)?);
        Ok(Self { archive, layout, program, weights, constants, held, replaced: HashMap::new() })
    }

    /// The exported program.
    pub fn program(&self) -> &ExportedProgram {
        &self.program
    }

    /// Name of the model that was read.
    pub fn model(&self) -> &str {
        &self.layout.model
    }

    /// Parameters and persistent buffers, in the order of the file.
    pub fn weights(&self) -> &[Payload] {
        &self.weights
    }

    /// Constants and other buffers, in the order of the file.
    pub fn constants(&self) -> &[Payload] {
        &self.constants
    }

    /// Uses `weights` instead of the archive's parameters and persistent buffers, all of them.
    ///
    /// # Errors
    /// All tensors that are missing, left over, or of other sizes or another type.
    pub fn replace(&mut self, weights: &Weights) -> Result<(), Diags> {
        let mut wanted = Vec::new();
        for spec in &self.program.graph_module.signature.input_specs {
            let (InputSpec::Parameter { arg, parameter_name: name }
            | InputSpec::Buffer { arg, buffer_name: name, persistent: true }) = spec
            else {
                continue;
            };
            let meta = self.program.graph_module.graph.tensor_values.get(&arg.name);
            let dtype = meta.and_then(|m| ir_dtype(m.dtype.dtype()?));
            let size = |n: &SymInt| match n {
                SymInt::Int(n) => usize::try_from(*n).ok(),
                SymInt::Expr(_) => None,
            };
            let shape = meta.and_then(|m| m.sizes.iter().map(size).collect::<Option<Vec<usize>>>());
            if let (Some(dtype), Some(shape)) = (dtype, shape) {
                wanted.push(Wanted { name: name.clone(), dtype, shape, tied: self.tied(name) });
            }
        }
        self.replaced = fit(weights, &wanted)?.into_iter().collect();
        Ok(())
    }

    /// Other names of the weight `name`.
    fn tied(&self, name: &str) -> Vec<String> {
        let Some(payload) = self.payload(name) else { return vec![] };
        let same = |p: &&Payload| p.name != name && p.entry == payload.entry && p.view == payload.view;
        self.weights.iter().filter(same).map(|p| p.name.clone()).collect()
    }

    /// The tensor to use instead of the weight `name`.
    pub fn replacement(&self, name: &str) -> Option<&Tensor> {
        self.replaced.get(name)
    }

    /// The weight or constant called `name`. Weights come first.
    pub fn payload(&self, name: &str) -> Option<&Payload> {
        self.weights.iter().chain(&self.constants).find(|payload| payload.name == name)
    }

    /// Everything that is wrong with the program and with the payloads it asks for: what
    /// [`ExportedProgram::validate`] finds, and parameters, buffers and constants that the archive does not hold or
    /// holds with another type. Empty when the archive is sound.
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = self.program.validate();
        let module = &self.program.graph_module;
        for spec in &module.signature.input_specs {
            let (InputSpec::Parameter { arg, parameter_name: name }
            | InputSpec::Buffer { arg, buffer_name: name, .. }
            | InputSpec::TensorConstant { arg, tensor_constant_name: name }) = spec
            else {
                continue;
            };
            let meta = module.graph.tensor_values.get(&arg.name);
            if let Some(what) = self.mismatch(name, meta) {
                problems.push(Problem { place: format!("weight {name:?}"), what });
            }
        }
        problems
    }

    /// What is wrong with the payload `name` of a graph input of type `meta`.
    fn mismatch(&self, name: &str, meta: Option<&TensorMeta>) -> Option<String> {
        let Some(payload) = self.payload(name) else {
            return Some("the program needs it, and the archive does not hold it".to_owned());
        };
        let (Some(view), Some(meta)) = (&payload.view, meta) else { return None };
        let size = |&number: &u64| i64::try_from(number).map(SymInt::Int);
        let sizes: Result<Vec<_>, _> = view.sizes.iter().map(size).collect();
        if meta.dtype.dtype() == Some(view.dtype) && sizes.is_ok_and(|sizes| sizes == meta.sizes) {
            return None;
        }
        Some(format!(
            "the archive holds {} {:?}, and the program declares another type",
            view.dtype, view.sizes
        ))
    }

    /// The elements of `payload`.
    ///
    /// # Errors
    /// [`Pt2Error`] when the entry is missing, is too short for the view, or is a pickle of anything but a tensor.
    pub fn read(&self, payload: &Payload) -> Result<PayloadData, Pt2Error> {
        if payload.pickled {
            return self.read_pickled(payload);
        }
        let Some(view) = &payload.view else {
            return Err(fail(&payload.name, "it is a script object, which is not read"));
        };
        let storage = match &payload.held {
            Some((which, storage)) => self.held_storage(*which, storage, payload)?,
            None => self.archive.read(&payload.entry)?,
        };
        let data = view.read(&storage).map_err(|error| tensor_fail(&payload.name, &error))?;
        Ok(PayloadData { dtype: view.dtype, shape: view.sizes.clone(), data })
    }

    fn held_storage(&self, which: usize, storage: &StorageRef, payload: &Payload) -> Result<Bytes, Pt2Error> {
        let pickled = |source| Pt2Error::Pickled { entry: payload.entry.clone(), source: Box::new(source) };
        let checkpoint =
            self.held.get(which).ok_or_else(|| fail(&payload.name, "the archive does not hold it"))?;
        checkpoint.storage(storage).map_err(pickled)
    }

    fn read_pickled(&self, payload: &Payload) -> Result<PayloadData, Pt2Error> {
        let pickled = |source| Pt2Error::Pickled { entry: payload.entry.clone(), source: Box::new(source) };
        let checkpoint = Checkpoint::open(self.archive.read(&payload.entry)?).map_err(pickled)?;
        checkpoint.pickle().require_known().map_err(|error| pickled(error.into()))?;
        let Some(tensor) = root_tensor(checkpoint.pickle()) else {
            return Err(fail(&payload.name, "its pickle holds no plain tensor"));
        };
        if let Some(view) = &payload.view
            && (view.dtype, &view.sizes) != (tensor.view.dtype, &tensor.view.sizes)
        {
            return Err(fail(&payload.name, "its pickle holds a tensor of another type than configured"));
        }
        let data = checkpoint.tensor(tensor).map_err(pickled)?;
        Ok(PayloadData { dtype: tensor.view.dtype, shape: tensor.view.sizes.clone(), data })
    }

    /// The example inputs of the export: positional arguments and keyword arguments; `None` when there are none.
    ///
    /// # Errors
    /// [`Pt2Error`] when the entry is damaged, names anything but tensors and plain values, or is no such pair.
    pub fn sample_inputs(&self) -> Result<Option<SampleInputs>, Pt2Error> {
        let Some(entry) = self.layout.samples.clone() else { return Ok(None) };
        let bytes = self.archive.read(&entry)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let sample = Checkpoint::open(bytes).and_then(|checkpoint| Sample::read(&checkpoint));
        match sample.map_err(|source| Pt2Error::Pickled { entry, source: source.into() })? {
            Sample::None => Ok(None),
            Sample::Tuple(pair) => match <[Sample; 2]>::try_from(pair) {
                Ok([Sample::Tuple(args) | Sample::List(args), Sample::Dict(kwargs)]) => {
                    Ok(Some(SampleInputs { args, kwargs }))
                }
                _ => Err(Pt2Error::SampleShape),
            },
            _ => Err(Pt2Error::SampleShape),
        }
    }
}

/// Example inputs of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleInputs {
    /// Positional arguments.
    pub args: Vec<Sample>,
    /// Keyword arguments.
    pub kwargs: Vec<(String, Sample)>,
}

/// Program of the archives of PyTorch 2.1 to 2.7.
const SERIALIZED: &str = "serialized_exported_program.json";

impl Layout {
    fn of(archive: &Archive, model: Option<&str>) -> Result<Self, Pt2Error> {
        if let Some(root) =
            archive.names().find_map(|name| name.strip_suffix(SERIALIZED).filter(|root| is_root(root)))
        {
            return Ok(Self::serialized(archive, root));
        }
        let root = find_root(archive)?;
        let model = choose_model(archive, &root, model)?;
        let there = |entry: String| archive.contains(&entry).then_some(entry);
        // PyTorch 2.8 writes one file for all weights and one for all constants, without a configuration.
        let whole = |kind: &str| {
            let configured = archive.contains(&format!("{root}data/{kind}/{model}_{kind}_config.json"));
            there(format!("{root}data/{kind}/{model}.pt")).filter(|_| !configured)
        };
        Ok(Self {
            program: format!("{root}models/{model}.json"),
            weights: whole("weights"),
            constants: whole("constants"),
            samples: there(format!("{root}data/sample_inputs/{model}.pt")),
            root,
            model,
        })
    }

    /// The layout of PyTorch 2.1 to 2.7: files side by side, called `.json` up to 2.2 although they are files of `torch.save`.
    fn serialized(archive: &Archive, root: &str) -> Self {
        let either = |part: &str| {
            ["pt", "json"]
                .into_iter()
                .map(|end| format!("{root}serialized_{part}.{end}"))
                .find(|e| archive.contains(e))
        };
        Self {
            program: format!("{root}{SERIALIZED}"),
            weights: Some(either("state_dict").unwrap_or_else(|| format!("{root}serialized_state_dict.pt"))),
            constants: either("constants").or_else(|| Some(format!("{root}serialized_constants.pt"))),
            samples: either("example_inputs"),
            root: root.to_owned(),
            model: DEFAULT_MODEL.to_owned(),
        }
    }
}

/// Whether a prefix is empty or one folder.
fn is_root(prefix: &str) -> bool {
    prefix.is_empty() || prefix.find('/') == Some(prefix.len() - 1)
}

/// The tensors in `entry`, a file of `torch.save` that holds a dictionary of them. Other values are script objects and the like. None when
/// the archive has no such entry or an empty one.
fn held_payloads(
    archive: &Archive,
    entry: &str,
    held: &mut Vec<Checkpoint>,
) -> Result<Vec<Payload>, Pt2Error> {
    if !archive.contains(entry) {
        return Ok(vec![]);
    }
    let pickled = |source| Pt2Error::Pickled { entry: entry.to_owned(), source: Box::new(source) };
    let bytes = archive.read(entry)?;
    if bytes.is_empty() {
        return Ok(vec![]);
    }
    let checkpoint = Checkpoint::open(bytes).map_err(pickled)?;
    checkpoint.pickle().require_known().map_err(|error| pickled(error.into()))?;
    let (pickle, which) = (checkpoint.pickle(), held.len());
    let Object::Dict(dict) = pickle.get(pickle.root()) else {
        return Err(fail(entry, "it holds no dictionary"));
    };
    let payload = |&(key, value): &(ObjId, ObjId)| {
        let name = pickle.text(key).ok_or_else(|| fail(entry, "a name in it is no text"))?.to_owned();
        let tensor = match pickle.get(value) {
            Object::Tensor(tensor) => Some(tensor),
            _ => None,
        };
        let key = tensor.map_or_else(|| name.clone(), |t| t.storage.key.to_string());
        Ok::<_, Pt2Error>(Payload {
            entry: format!("{entry}:{key}"),
            // The signature tells which ones are parameters.
            is_param: false,
            pickled: false,
            view: tensor.map(|t| t.view.clone()),
            held: tensor.map(|t| (which, t.storage.clone())),
            name,
        })
    };
    let all = dict.items.iter().map(payload).collect::<Result<_, Pt2Error>>()?;
    held.push(checkpoint);
    Ok(all)
}

/// The folder of the archive, with its slash, found by the entry `archive_format`.
fn find_root(archive: &Archive) -> Result<String, Pt2Error> {
    let roots: Vec<&str> = archive
        .names()
        .filter_map(|name| name.strip_suffix("archive_format"))
        .filter(|root| is_root(root))
        .collect();
    let [root] = roots[..] else {
        return Err(Pt2Error::NotPt2(format!("it has {} entries called archive_format", roots.len())));
    };
    let format = archive.read(&format!("{root}archive_format"))?;
    if format.trim_ascii() != b"pt2" {
        let found: String = String::from_utf8_lossy(&format).chars().take(16).collect();
        return Err(Pt2Error::NotPt2(format!("its archive_format is {found:?}, not \"pt2\"")));
    }
    Ok(root.to_owned())
}

fn choose_model(archive: &Archive, root: &str, wanted: Option<&str>) -> Result<String, Pt2Error> {
    let folder = format!("{root}models/");
    let models: Vec<&str> = archive
        .names()
        .filter_map(|name| name.strip_prefix(&folder)?.strip_suffix(".json"))
        .filter(|name| !name.contains('/'))
        .collect();
    let chosen = match (wanted, &models[..]) {
        (Some(name), models) => models.iter().find(|model| **model == name),
        (None, [only]) => Some(only),
        (None, models) => models.iter().find(|model| **model == DEFAULT_MODEL),
    };
    match chosen {
        Some(model) => Ok((*model).to_owned()),
        None if models.is_empty() => Err(Pt2Error::NotPt2("it has no models/*.json".to_owned())),
        None => Err(Pt2Error::WhichModel(models.iter().map(ToString::to_string).collect())),
    }
}

fn payloads(archive: &Archive, root: &str, model: &str, kind: &str) -> Result<Vec<Payload>, Pt2Error> {
    let entry = format!("{root}data/{kind}/{model}_{kind}_config.json");
    if !archive.contains(&entry) {
        return Ok(Vec::new());
    }
    let text = archive.read(&entry)?;
    let config: PayloadConfig =
        serde_json::from_slice(&text).map_err(|source| Pt2Error::Json { entry, source })?;
    if let Some(name) = config.config.repeated.first() {
        return Err(fail(name, "it is configured twice"));
    }
    config.config.iter().map(|(name, meta)| payload(archive, root, kind, name, meta)).collect()
}

fn payload(
    archive: &Archive,
    root: &str,
    kind: &str,
    name: &str,
    meta: &PayloadMeta,
) -> Result<Payload, Pt2Error> {
    let path = &meta.path_name;
    if path.is_empty() || path == ".." || path.contains(['/', '\\', '\0']) {
        return Err(fail(name, format!("its path {path:?} is not a plain name")));
    }
    let entry = format!("{root}data/{kind}/{path}");
    if !archive.contains(&entry) {
        return Err(fail(name, format!("the archive has no entry {entry:?}; it is incomplete")));
    }
    let view = meta.tensor_meta.as_ref().map(|meta| view(name, meta)).transpose()?;
    Ok(Payload {
        name: name.to_owned(),
        entry,
        is_param: meta.is_param,
        pickled: meta.use_pickle,
        view,
        held: None,
    })
}

fn view(name: &str, meta: &TensorMeta) -> Result<View, Pt2Error> {
    let dtype = meta.dtype.dtype();
    let dtype = dtype.ok_or_else(|| fail(name, format!("element type {} is not known", meta.dtype.0)))?;
    if meta.layout != STRIDED {
        return Err(fail(name, format!("its layout has code {}; only dense tensors are read", meta.layout)));
    }
    let known =
        |list: &[SymInt]| list.iter().map(|number| known_int(name, number)).collect::<Result<Vec<_>, _>>();
    let (sizes, strides) = (known(&meta.sizes)?, known(&meta.strides)?);
    let offset = known_int(name, &meta.storage_offset)?;
    View::new(dtype, &sizes, &strides, offset).map_err(|error| tensor_fail(name, &error))
}

fn known_int(name: &str, number: &SymInt) -> Result<i64, Pt2Error> {
    match number {
        SymInt::Int(value) => Ok(*value),
        SymInt::Expr(_) => Err(fail(name, "its size is symbolic, which no stored tensor has")),
    }
}

fn fail(name: &str, what: impl Into<String>) -> Pt2Error {
    Pt2Error::Payload { name: name.to_owned(), what: what.into() }
}

fn tensor_fail(name: &str, error: &TensorError) -> Pt2Error {
    fail(name, error.to_string())
}

#[cfg(test)]
mod tests;
