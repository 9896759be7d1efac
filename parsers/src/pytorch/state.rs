//! State dicts: the tensors of a checkpoint under their dotted names.
//!
//! A checkpoint may be the state dict itself, or hold it under a usual key beside an optimizer's state, counters and texts. Whole pickled
//! modules are read for their parameters and buffers when that is asked for; nothing of them is ever run.

use std::collections::HashMap;

use bytes::Bytes;
use hoist_ir::diag::{Diag, Diags, Severity};
use hoist_ir::tensor::Tensor;

use super::checkpoint::Checkpoint;
use super::pickle::{Dict, ObjId, Object, Opaque, Pickle, PickleError, StorageRef, TensorRef};
use super::quantized;
use super::tensor::{TorchDtype, View};
use crate::source::Source;
use crate::weights::{WeightOptions, Weights};

/// Most objects that are visited; shared ones count each time.
const MAX_VISITS: usize = 1 << 20;

/// Most facts that are kept, the longest text among them, and how deep they lie.
const MAX_FACTS: usize = 200;
const MAX_FACT: usize = 200;
const FACT_DEPTH: usize = 3;

/// Most problems that are listed.
const MAX_LISTED: usize = 50;

/// Keys under which training code keeps the state dict of the model.
const USUAL_KEYS: &[&str] =
    &["state_dict", "model_state_dict", "model_state", "model", "module", "net", "network"];

/// Reads the tensors of a file of `torch.save`.
///
/// # Errors
/// What is wrong with the file; `E0201` for names outside the allow-list, `E0203` for each tensor that is not dense or does not fit its storage.
pub fn read(source: &Source, options: &WeightOptions) -> Result<Weights, Diags> {
    let malformed = |what: String| Diags::from(Diag::error("E0201", what));
    let checkpoint = Checkpoint::open(source.bytes().clone()).map_err(|e| malformed(e.to_string()))?;
    let pickle = checkpoint.pickle();
    if !options.tensors_only && !pickle.foreign_names().is_empty() {
        return Err(foreign(pickle).into());
    }
    let mut walk = Walk {
        pickle,
        found: vec![],
        facts: vec![],
        left_out: vec![],
        visits: MAX_VISITS,
        open: options.tensors_only,
    };
    let (root, path, note) = choose(pickle, options.key.as_deref())?;
    walk.visit(root, &mut Vec::new()).map_err(|e| malformed(e.to_string()))?;
    let mut weights = Weights { format: checkpoint.layout(), ..Weights::default() };
    let mut reader =
        Reader { source, checkpoint: &checkpoint, storages: HashMap::new(), diags: Diags::default() };
    for (name, leaf) in &walk.found {
        reader.add(&mut weights, name, leaf);
    }
    reader.diags.into_result()?;
    let empty = matches!(pickle.get(root), Object::Dict(dict) if dict.items.is_empty());
    if weights.tensors.is_empty() && !empty {
        let what =
            if path.is_empty() { "the checkpoint".to_owned() } else { format!("`{path}` of the checkpoint") };
        return Err(Diag::error("E0202", format!("{what} holds no tensors")).into());
    }
    weights.warnings.extend(note.into_iter().chain(left_out(&walk.left_out)));
    weights.facts = if path.is_empty() { walk.facts } else { facts_of(pickle) };
    Ok(weights)
}

/// Why a checkpoint with objects of unlisted classes is refused.
fn foreign(pickle: &Pickle) -> Diag {
    let names = pickle.foreign_names();
    let shown = names.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
    let more = if names.len() > 8 { format!(" and {} more", names.len() - 8) } else { String::new() };
    let m = format!(
        "the checkpoint names {shown}{more}; a pickle is read as data, so only tensors and plain containers are taken"
    );
    let module = names.iter().any(|n| n.starts_with("torch.nn.modules."));
    Diag::error("E0201", m).hint(if module {
        "it holds a whole module: save module.state_dict() instead, or add --tensors-only to take its parameters and buffers without running anything"
    } else {
        "save only the state dict, or add --tensors-only to take the tensors and leave those objects out"
    })
}

fn note(message: String) -> Diag {
    Diag { severity: Severity::Note, ..Diag::error("E0202", message) }
}

fn left_out(list: &[String]) -> Option<Diag> {
    let shown = list.iter().take(5).map(|p| format!("`{p}`")).collect::<Vec<_>>().join(", ");
    let more = if list.len() > 5 { format!(" and {} more", list.len() - 5) } else { String::new() };
    (!list.is_empty())
        .then(|| note(format!("objects without tensors of their own are left out: {shown}{more}")))
}

/// The object to take, its path, and a note when that was chosen by its key.
fn choose(pickle: &Pickle, key: Option<&str>) -> Result<(ObjId, String, Option<Diag>), Diags> {
    let root = pickle.root();
    match key {
        Some(".") => Ok((root, String::new(), None)),
        Some(path) => Ok((find(pickle, root, path)?, path.to_owned(), None)),
        None => Ok(usual(pickle, root).unwrap_or((root, String::new(), None))),
    }
}

/// Follows `path`; the keys on it may hold dots themselves.
fn find(pickle: &Pickle, at: ObjId, path: &str) -> Result<ObjId, Diag> {
    let Object::Dict(dict) = pickle.get(at) else {
        return Err(Diag::error(
            "E0202",
            format!("`{path}`: there is {}, no dictionary", pickle.get(at).kind()),
        ));
    };
    let keys: Vec<(String, ObjId)> =
        dict.items.iter().filter_map(|&(k, v)| Some((key_text(pickle, k)?, v))).collect();
    if let Some((_, v)) = keys.iter().find(|(k, _)| k == path) {
        return Ok(*v);
    }
    let below =
        keys.iter().filter_map(|(k, v)| Some((path.strip_prefix(k.as_str())?.strip_prefix('.')?, *v)));
    for (rest, v) in below {
        if let Ok(id) = find(pickle, v, rest) {
            return Ok(id);
        }
    }
    let there: Vec<String> = keys.iter().take(20).map(|(k, _)| k.clone()).collect();
    Err(Diag::error("E0202", format!("the checkpoint has nothing under `{path}`"))
        .hint(format!("there are: {}", there.join(", "))))
}

/// The one usual key of a root dictionary without tensors of its own.
fn usual(pickle: &Pickle, root: ObjId) -> Option<(ObjId, String, Option<Diag>)> {
    let Object::Dict(dict) = pickle.get(root) else { return None };
    if dict.items.iter().any(|&(_, v)| matches!(pickle.get(v), Object::Tensor(_))) {
        return None;
    }
    let usual = |&&(k, v): &&(ObjId, ObjId)| {
        let named = pickle.text(k).is_some_and(|k| USUAL_KEYS.contains(&k));
        named
            && (matches!(pickle.get(v), Object::Dict(d) if !d.items.is_empty())
                || module_state(pickle, v).is_some())
    };
    let mut all = dict.items.iter().filter(usual);
    let (&(k, v), None) = (all.next()?, all.next()) else { return None };
    let key = pickle.text(k)?.to_owned();
    let others: Vec<String> = dict
        .items
        .iter()
        .filter(|(other, value)| *other != k && is_container(pickle.get(*value)))
        .filter_map(|(other, _)| key_text(pickle, *other))
        .take(8)
        .collect();
    let note = (!others.is_empty()).then(|| {
        note(format!("the tensors under `{key}` are taken, not those under {}", others.join(", ")))
            .hint("--key PATH takes others, --key . takes everything")
    });
    Some((v, key, note))
}

fn is_container(object: &Object) -> bool {
    matches!(object, Object::Dict(_) | Object::List(_) | Object::Tuple(_) | Object::Tensor(_))
}

/// The facts of the whole checkpoint.
fn facts_of(pickle: &Pickle) -> Vec<(String, String)> {
    let mut walk =
        Walk { pickle, found: vec![], facts: vec![], left_out: vec![], visits: MAX_VISITS, open: false };
    // A walk that ends early has found enough.
    let _ = walk.visit(pickle.root(), &mut Vec::new());
    walk.facts
}

/// A key as a part of a path.
fn key_text(pickle: &Pickle, key: ObjId) -> Option<String> {
    match pickle.get(key) {
        Object::Str(text) => Some(text.to_string()),
        Object::Int(number) => Some(number.to_string()),
        Object::Bool(value) => Some(value.to_string()),
        Object::Float(value) => Some(value.to_string()),
        _ => None,
    }
}

/// What is turned into tensors.
enum Leaf<'p> {
    Tensor(&'p TensorRef),
    /// A tensor that is no view on one storage.
    Special(&'p Opaque),
}

struct Walk<'p> {
    pickle: &'p Pickle,
    found: Vec<(String, Leaf<'p>)>,
    facts: Vec<(String, String)>,
    left_out: Vec<String>,
    visits: usize,
    /// Whether objects of unlisted classes are looked into.
    open: bool,
}

impl<'p> Walk<'p> {
    /// Recursion is bounded by the depth limit of pickles.
    fn visit(&mut self, id: ObjId, path: &mut Vec<String>) -> Result<(), PickleError> {
        self.visits = self.visits.checked_sub(1).ok_or_else(|| {
            PickleError::Shape(format!("its shared objects unfold to more than {MAX_VISITS} values"))
        })?;
        let pickle = self.pickle;
        match pickle.get(id) {
            Object::Tensor(tensor) => self.found.push((name_of(path), Leaf::Tensor(tensor))),
            Object::Dict(dict) => self.items(dict, path)?,
            Object::List(items) | Object::Tuple(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.below(i.to_string(), *item, path)?;
                }
            }
            Object::Opaque(opaque) => self.opaque(id, opaque, path)?,
            Object::Storage(_) | Object::Set(_) | Object::Global(_) => self.left_out.push(path.join(".")),
            plain => self.fact(plain, path),
        }
        Ok(())
    }

    fn items(&mut self, dict: &Dict, path: &mut Vec<String>) -> Result<(), PickleError> {
        for &(key, value) in &dict.items {
            let key = key_text(self.pickle, key).unwrap_or_else(|| "?".to_owned());
            self.below(key, value, path)?;
        }
        Ok(())
    }

    fn below(&mut self, key: String, id: ObjId, path: &mut Vec<String>) -> Result<(), PickleError> {
        path.push(key);
        let done = self.visit(id, path);
        path.pop();
        done
    }

    fn opaque(&mut self, id: ObjId, opaque: &'p Opaque, path: &mut Vec<String>) -> Result<(), PickleError> {
        if &*opaque.callee.module == "torch._utils" {
            self.found.push((name_of(path), Leaf::Special(opaque)));
            return Ok(());
        }
        let Some(module) = module_state(self.pickle, id).filter(|_| self.open) else {
            self.left_out.push(path.join("."));
            return Ok(());
        };
        for part in [module.parameters, module.buffers] {
            for &(key, value) in part.map_or(&[][..], |dict| &dict.items) {
                let name = key_text(self.pickle, key);
                let hidden = name.as_ref().is_some_and(|n| module.unsaved.contains(&n.as_str()));
                if let (Some(name), false) = (name, hidden || self.pickle.get(value) == &Object::None) {
                    self.below(name, value, path)?;
                }
            }
        }
        module.modules.map_or(Ok(()), |modules| self.items(modules, path))
    }

    fn fact(&mut self, object: &Object, path: &[String]) {
        let text = match object {
            Object::Bool(value) => value.to_string(),
            Object::Int(value) => value.to_string(),
            Object::Float(value) => value.to_string(),
            Object::Str(text) => text.to_string(),
            Object::Dtype(dtype) => dtype.to_string(),
            Object::Device(device) => device.to_string(),
            _ => return,
        };
        if self.facts.len() < MAX_FACTS && path.len() <= FACT_DEPTH && text.len() <= MAX_FACT {
            self.facts.push((path.join("."), text));
        }
    }
}

fn name_of(path: &[String]) -> String {
    if path.is_empty() { "tensor".to_owned() } else { path.join(".") }
}

/// What `torch.nn.Module` keeps in the attributes of an instance.
struct ModuleState<'p> {
    parameters: Option<&'p Dict>,
    buffers: Option<&'p Dict>,
    modules: Option<&'p Dict>,
    /// Buffers that no state dict holds.
    unsaved: Vec<&'p str>,
}

/// The parts of a module, when the object is an instance that has them.
fn module_state(pickle: &Pickle, id: ObjId) -> Option<ModuleState<'_>> {
    let Object::Opaque(opaque) = pickle.get(id) else { return None };
    let Object::Dict(state) = pickle.get(opaque.state?) else { return None };
    let get = |name: &str| {
        state.items.iter().find(|(k, _)| pickle.text(*k) == Some(name)).map(|(_, v)| pickle.get(*v))
    };
    let dict = |name: &str| match get(name) {
        Some(Object::Dict(dict)) => Some(&**dict),
        _ => None,
    };
    let (parameters, buffers, modules) = (dict("_parameters"), dict("_buffers"), dict("_modules"));
    let unsaved = match get("_non_persistent_buffers_set") {
        Some(Object::Set(names)) => names.iter().filter_map(|n| pickle.text(*n)).collect(),
        _ => vec![],
    };
    (parameters.is_some() && modules.is_some()).then_some(ModuleState {
        parameters,
        buffers,
        modules,
        unsaved,
    })
}

/// Turns leaves into tensors.
struct Reader<'a> {
    source: &'a Source,
    checkpoint: &'a Checkpoint,
    /// Storages read so far, so that a deflated one is inflated once.
    storages: HashMap<Box<str>, Bytes>,
    diags: Diags,
}

impl Reader<'_> {
    fn add(&mut self, weights: &mut Weights, name: &str, leaf: &Leaf<'_>) {
        let made = match leaf {
            Leaf::Tensor(tensor) => self.tensor(tensor).map(|t| vec![(name.to_owned(), t)]),
            Leaf::Special(opaque) => self.special(name, opaque),
        };
        let failed = match made {
            Ok(list) => {
                let twice = list.into_iter().filter_map(|(n, t)| weights.tensors.insert(n, t)).count() > 0;
                twice.then(|| "two tensors of the checkpoint have this name".to_owned())
            }
            Err(what) => Some(what),
        };
        if let Some(what) = failed.filter(|_| self.diags.0.len() < MAX_LISTED) {
            self.diags.push(Diag::error("E0203", format!("tensor `{name}`: {what}")));
        }
    }

    fn tensor(&mut self, tensor: &TensorRef) -> Result<Tensor, String> {
        let storage = self.storage(&tensor.storage)?;
        tensor.view.tensor(&storage, self.source.span(&storage).as_ref()).map_err(|e| e.to_string())
    }

    fn storage(&mut self, storage: &StorageRef) -> Result<Bytes, String> {
        // One key may be typed in several ways; the bytes are those of the longest.
        if let Some(bytes) = self.storages.get(&storage.key)
            && storage.byte_len().is_some_and(|n| n <= bytes.len() as u64)
        {
            return Ok(bytes.clone());
        }
        let bytes = self.checkpoint.storage(storage).map_err(|e| e.to_string())?;
        self.storages.insert(storage.key.clone(), bytes.clone());
        Ok(bytes)
    }

    /// A quantized tensor as its integers, scales and zero points; others are refused by name.
    fn special(&mut self, name: &str, opaque: &Opaque) -> Result<Vec<(String, Tensor)>, String> {
        let pickle = self.checkpoint.pickle();
        match &*opaque.callee.name {
            "_rebuild_qtensor" => {
                let parts = quantized::parts(pickle, opaque).ok_or("its quantization is not understood")?;
                let view = View { dtype: plain(parts.tensor.view.dtype), ..parts.tensor.view.clone() };
                let mut all =
                    vec![(name.to_owned(), self.tensor(&TensorRef { view, ..parts.tensor.clone() })?)];
                all.extend(match parts.scheme {
                    quantized::Scheme::Tensor { scale, zero_point } => [
                        (format!("{name}.scale"), Tensor::scalar(scale)),
                        (format!("{name}.zero_point"), Tensor::scalar(zero_point)),
                    ],
                    quantized::Scheme::Channel { scales, zero_points } => [
                        (format!("{name}.scale"), self.tensor(scales)?),
                        (format!("{name}.zero_point"), self.tensor(zero_points)?),
                    ],
                });
                Ok(all)
            }
            "_rebuild_sparse_tensor" | "_rebuild_sparse_csr_tensor" => {
                Err("it is sparse; save tensor.to_dense() instead".to_owned())
            }
            "_rebuild_nested_tensor" => Err("it is a nested tensor; save its parts".to_owned()),
            "_rebuild_meta_tensor_no_storage" => {
                Err("it has no data (device `meta`); save it after loading the weights".to_owned())
            }
            other => Err(format!(
                "it is made by torch._utils.{other}, which is not read; save a plain dense tensor on the CPU"
            )),
        }
    }
}

/// The integers that a quantized type stores.
fn plain(dtype: TorchDtype) -> TorchDtype {
    match dtype {
        TorchDtype::QUInt8 => TorchDtype::UInt8,
        TorchDtype::QInt8 => TorchDtype::Int8,
        TorchDtype::QInt32 => TorchDtype::Int32,
        other => other,
    }
}
