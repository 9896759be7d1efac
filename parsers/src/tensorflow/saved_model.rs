//! `SavedModel`s: a graph with its signatures, and the values of its variables beside it. `MetaGraph`s with a checkpoint beside them are read here too.
use super::bundle::{Bundle, refused};
use super::program::Program;
use super::restore::Store;
use super::tensor::bad;
use super::{Options, Port, ends, model, placeholders, ports};
use crate::source::{SidecarError, Source, SourceError, resolve_sidecar};
use hoist_formats::tensorflow::dtype::of_code;
use hoist_formats::tensorflow::generated::collection_def::Kind;
use hoist_formats::tensorflow::generated::tensor_info::CooSparse;
use hoist_formats::tensorflow::generated::{
    AssetFileDef, MetaGraphDef, SavedModel, SignatureDef, TensorInfo,
};
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::model::Model;
use prost::Message as _;
use std::collections::BTreeMap;
use std::path::Path;

/// The only version of the format.
const SCHEMA: i64 = 1;
/// Tag of graphs that serve.
const SERVE: &str = "serve";
/// Key of the signature that is taken when none is named.
const DEFAULT: &str = "serving_default";
/// Keys of signatures that compute nothing.
const SILENT: &[&str] = &["__saved_model_init_op", "__saved_model_train_op"];
/// Where `SavedModel`s keep their variables and files.
const VARIABLES: &str = "variables";
const ASSETS: &str = "assets";
/// The collection of files.
const COLLECTED: &str = "saved_model_assets";

/// Reads the `SavedModel` whose file `saved_model.pb` is `source`.
///
/// # Errors
/// Everything that is wrong with it, and every operator that is not read.
pub fn read(source: &Source, options: &Options) -> Result<Model, Diags> {
    let saved = decode(source)?;
    let meta = choose(saved.meta_graphs, &options.tags)?;
    let folder = source.path().parent().unwrap_or(Path::new(""));
    let bundle = checkpoint(folder)?;
    let store = Store { folder: folder.to_owned(), bundle, ..Store::default() };
    read_meta(meta, store, options, true)
}

/// Reads a `MetaGraph` whose variables lie in a checkpoint of its name beside it.
///
/// # Errors
/// Everything that is wrong with it, and every operator that is not read.
pub fn read_meta_graph(source: &Source, options: &Options) -> Result<Model, Diags> {
    let meta = MetaGraphDef::decode(source.bytes().clone())
        .map_err(|e| Diag::error("E0201", format!("this is no MetaGraph of TensorFlow: {e}")))?;
    let folder = source.path().parent().unwrap_or(Path::new(""));
    let stem = source.path().file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let bundle = optional(folder, &format!("{stem}.index"))?;
    let store = Store { folder: folder.to_owned(), bundle, ..Store::default() };
    read_meta(meta, store, options, false)
}

/// The graphs of a `SavedModel`.
///
/// # Errors
/// When the file is none.
pub fn decode(source: &Source) -> Result<SavedModel, Diag> {
    let wrong = |what: String| Diag::error("E0201", what);
    if source.bytes().is_empty() {
        return Err(wrong("the file is empty".to_owned()));
    }
    let saved = SavedModel::decode(source.bytes().clone())
        .map_err(|e| wrong(format!("this is no SavedModel of TensorFlow: {e}")))?;
    if saved.saved_model_schema_version != SCHEMA {
        let found = saved.saved_model_schema_version;
        return Err(wrong(format!("version {found} of SavedModels is not known, only {SCHEMA}")));
    }
    if saved.meta_graphs.is_empty() {
        return Err(wrong("the SavedModel has no graph".to_owned()));
    }
    Ok(saved)
}

/// The checkpoint of the `SavedModel` in `folder`, where it has one.
///
/// # Errors
/// When its index is damaged.
pub fn checkpoint(folder: &Path) -> Result<Option<Bundle>, Diag> {
    optional(folder, &format!("{VARIABLES}/{VARIABLES}.index"))
}

fn optional(folder: &Path, name: &str) -> Result<Option<Bundle>, Diag> {
    match resolve_sidecar(folder, name) {
        Ok(path) => {
            let source = Source::open(path).map_err(|e| Diag::error("E0101", e.to_string()))?;
            Bundle::open(&source).map(Some)
        }
        Err(SidecarError::Unreadable { source: SourceError::NotFound { .. }, .. }) => Ok(None),
        Err(e) => Err(refused(&e)),
    }
}

/// Tags of a graph.
pub fn tags(meta: &MetaGraphDef) -> &[String] {
    meta.meta_info_def.as_ref().map_or(&[], |info| &info.tags)
}

/// The graph with exactly the tags `wanted`; where none are, that to serve, or the only one.
fn choose(mut graphs: Vec<MetaGraphDef>, wanted: &[String]) -> Result<MetaGraphDef, Diag> {
    let found = if wanted.is_empty() {
        let serving = |exact: bool| {
            graphs.iter().position(|g| {
                let tags = tags(g);
                tags.iter().any(|t| t == SERVE) && (!exact || tags.len() == 1)
            })
        };
        serving(true).or_else(|| serving(false)).or((graphs.len() == 1).then_some(0))
    } else {
        let same = |g: &MetaGraphDef| {
            let tags = tags(g);
            tags.len() == wanted.len() && wanted.iter().all(|w| tags.contains(w))
        };
        graphs.iter().position(same)
    };
    if let Some(i) = found {
        return Ok(graphs.swap_remove(i));
    }
    let all: Vec<String> = graphs.iter().map(|g| tags(g).join(",")).collect();
    let m = match wanted {
        [] => format!("none of the {} graphs of the SavedModel has the tag {SERVE}", graphs.len()),
        _ => format!("the SavedModel has no graph with the tags {}", wanted.join(",")),
    };
    Err(Diag::error("E0603", m).hint(format!("--tag TAGS takes one of: {}", all.join("; "))))
}

/// Keys of the signatures that compute something.
pub fn signatures(meta: &MetaGraphDef) -> impl Iterator<Item = (&String, &SignatureDef)> {
    meta.signature_def.iter().filter(|(key, _)| !SILENT.contains(&key.as_str()))
}

/// The signature `wanted`; where none is, the default, or the only one.
fn signature<'m>(meta: &'m MetaGraphDef, wanted: Option<&str>) -> Result<Option<&'m SignatureDef>, Diag> {
    let keys: Vec<&str> = signatures(meta).map(|(key, _)| key.as_str()).collect();
    if let Some(key) = wanted {
        return match meta.signature_def.get(key) {
            Some(found) => Ok(Some(found)),
            None => Err(Diag::error("E0603", format!("there is no signature `{key}`"))
                .hint(format!("there are: {}", keys.join(", ")))),
        };
    }
    match keys.as_slice() {
        [] => Ok(None),
        [one] => Ok(meta.signature_def.get(*one)),
        _ => match meta.signature_def.get(DEFAULT) {
            Some(found) => Ok(Some(found)),
            None => Err(Diag::error(
                "E0603",
                format!("there are {} signatures, and none is called {DEFAULT}", keys.len()),
            )
            .hint(format!("--signature KEY takes one of: {}", keys.join(", ")))),
        },
    }
}

fn read_meta(
    mut meta: MetaGraphDef,
    mut store: Store,
    options: &Options,
    saved: bool,
) -> Result<Model, Diags> {
    check_objects(&meta)?;
    let graph = meta.graph_def.take().ok_or_else(|| bad("there is no graph"))?;
    let mut program = Program::new(graph)?;
    for asset in assets(&meta)? {
        let name = asset.tensor_info.as_ref().map_or("", |t| t.name.as_str());
        let node = name.split(':').next().unwrap_or_default();
        store.assets.insert(node.to_owned(), format!("{ASSETS}/{}", asset.filename));
    }
    store.learn(&program, &meta)?;
    program.store = store;
    let mut chosen = signature(&meta, options.signature.as_deref());
    if !options.outputs.is_empty() && options.signature.is_none() {
        // Names of values of the graph, where they are none of the signature.
        let own = |s: &&SignatureDef| options.outputs.iter().all(|name| s.outputs.contains_key(name));
        chosen = Ok(chosen.ok().flatten().filter(own));
    }
    let chosen = chosen?;
    let Some(chosen) = chosen else {
        if saved && options.outputs.is_empty() {
            return Err(Diag::error("E0603", "the SavedModel has no signature")
                .hint("--inputs and --outputs name values of the graph")
                .into());
        }
        return by_ends(&program, options);
    };
    by_signature(&program, chosen, options)
}

/// The model that the signature `chosen` describes.
///
/// # Errors
/// When the graph does not have what it names, and every operator that is not read.
pub fn by_signature(program: &Program, chosen: &SignatureDef, options: &Options) -> Result<Model, Diags> {
    let mut inputs = match options.inputs.as_slice() {
        [] => sides(program, &chosen.inputs)?,
        names => named(program, &chosen.inputs, names)?,
    };
    inputs.retain(|p| !options.constants.iter().any(|(name, _)| is_at(program, name, p)));
    let outputs = match options.outputs.as_slice() {
        [] => sides(program, &chosen.outputs)?,
        names => named(program, &chosen.outputs, names)?,
    };
    if outputs.is_empty() {
        return Err(bad("the signature has no outputs").into());
    }
    model(program, options, &inputs, &outputs)
}

/// The files that a graph needs; `SavedModel`s of TensorFlow 1 list them in a collection.
///
/// # Errors
/// When the collection is damaged.
pub fn assets(meta: &MetaGraphDef) -> Result<Vec<AssetFileDef>, Diag> {
    let mut out = meta.asset_file_def.clone();
    if let Some(Kind::AnyList(list)) = meta.collection_def.get(COLLECTED).and_then(|c| c.kind.as_ref()) {
        for any in &list.value {
            let asset = AssetFileDef::decode(any.value.clone());
            out.push(asset.map_err(|e| bad(format!("collection `{COLLECTED}`: {e}")))?);
        }
    }
    Ok(out)
}

/// Whether `name` is a constant in the place of an input.
fn is_at(program: &Program, name: &str, port: &Port) -> bool {
    program.main.value(name) == Some(port.at)
}

/// A graph without signatures: its placeholders, and what they lead to.
///
/// # Errors
/// When it gives nothing, and every operator that is not read.
pub fn by_ends(program: &Program, options: &Options) -> Result<Model, Diags> {
    let mut inputs = match options.inputs.as_slice() {
        [] => placeholders(program, options),
        names => ports(program, names)?,
    };
    let outputs = match options.outputs.as_slice() {
        [] => {
            let behind = program.behind(inputs.iter().map(|p| p.at));
            let mut all = ends(program);
            all.retain(|p| behind.contains(&p.at.node()));
            all
        }
        names => ports(program, names)?,
    };
    if outputs.is_empty() {
        return Err(bad("the graph gives nothing").hint("--outputs NAME names what to compute").into());
    }
    if options.inputs.is_empty() {
        // A graph that was trained has inputs that only training needs.
        let needed = program.needed(outputs.iter().map(|p| p.at));
        inputs.retain(|p| needed.contains(&p.at.node()));
    }
    model(program, options, &inputs, &outputs)
}

/// Objects refer to objects.
fn check_objects(meta: &MetaGraphDef) -> Result<(), Diag> {
    let Some(objects) = &meta.object_graph_def else { return Ok(()) };
    let count = objects.nodes.len();
    let inside = |id: i32| usize::try_from(id).is_ok_and(|i| i < count);
    let children = objects.nodes.iter().flat_map(|n| &n.children).map(|c| c.node_id);
    let bound = objects.concrete_functions.values().flat_map(|f| f.bound_inputs.iter().copied());
    match children.chain(bound).find(|id| !inside(*id)) {
        Some(id) => Err(bad(format!("object {id} of the {count} objects of the SavedModel"))),
        None => Ok(()),
    }
}

/// Inputs or outputs of a signature, by name.
fn sides(program: &Program, all: &BTreeMap<String, TensorInfo>) -> Result<Vec<Port>, Diag> {
    let mut out = vec![];
    for (key, info) in all {
        entry(program, key, info, &mut out)?;
    }
    Ok(out)
}

/// Those that `names` says: of the signature, or of the graph.
fn named(
    program: &Program,
    all: &BTreeMap<String, TensorInfo>,
    names: &[String],
) -> Result<Vec<Port>, Diags> {
    let mut out = vec![];
    for name in names {
        match all.get(name) {
            Some(info) => entry(program, name, info, &mut out)?,
            None => out.extend(ports(program, std::slice::from_ref(name))?),
        }
    }
    Ok(out)
}

fn entry(program: &Program, key: &str, info: &TensorInfo, out: &mut Vec<Port>) -> Result<(), Diag> {
    let missing =
        |name: &str| bad(format!("`{key}` of the signature is `{name}`, which the graph does not have"));
    if let Some(sparse) = &info.coo_sparse {
        let CooSparse { values_tensor_name, indices_tensor_name, dense_shape_tensor_name } = sparse;
        let parts = [
            ("indices", indices_tensor_name),
            ("values", values_tensor_name),
            ("dense_shape", dense_shape_tensor_name),
        ];
        for (part, name) in parts {
            let at = program.main.value(name).ok_or_else(|| missing(name))?;
            out.push(Port { name: format!("{key}.{part}"), at, stated: None });
        }
        return Ok(());
    }
    if info.name.is_empty() {
        return Err(Diag::error(
            "E0301",
            format!("`{key}` of the signature is no tensor, which is not read"),
        ));
    }
    let at = program.main.value(&info.name).ok_or_else(|| missing(&info.name))?;
    let shape = info.tensor_shape.as_ref().map(super::tensor::shape).transpose()?.flatten();
    out.push(Port { name: key.to_owned(), at, stated: of_code(info.dtype).map(|d| (d, shape)) });
    Ok(())
}
