//! Configurations of models: layers, the calls of each, inputs and outputs, in one form for all versions of Keras.
use super::upgrade::upgraded;
use crate::tensorflow::bad;
use hoist_ir::diag::Diag;
use serde_json::{Map, Value as Json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Models inside models that are read.
const MOST_DEPTH: usize = 32;
/// Most layers of one file.
const MOST_LAYERS: usize = 1 << 20;
/// Module of the layers of a configuration that names none.
const LAYERS: &str = "keras.layers";

/// A result of a layer: layer by number, its call and which of the results.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct At {
    pub layer: usize,
    pub call: usize,
    pub port: usize,
}

/// An argument of a call.
#[derive(Clone, Debug)]
pub(super) enum Arg {
    Tensor(At),
    List(Vec<Arg>),
    Json(Json),
}

/// One use of a layer.
#[derive(Clone, Debug, Default)]
pub(super) struct Call {
    pub args: Vec<Arg>,
    pub named: Vec<(String, Arg)>,
}

/// A layer or a model.
#[derive(Debug)]
pub(super) struct Layer {
    /// Class, as the file spells it.
    pub class: Arc<str>,
    /// Module of the class.
    pub module: String,
    /// Name.
    pub name: Arc<str>,
    pub config: Map<String, Json>,
    /// Whether its weights are listed among those that are trained.
    pub trainable: bool,
    /// Whether it may be an operation that is no layer, as far as its surroundings tell.
    pub is_op: bool,
    /// Whether its class is not Keras's.
    pub foreign: bool,
    pub calls: Vec<Call>,
    /// The layers of a model.
    pub net: Option<Box<Net>>,
    /// The layer that a wrapper holds, and the second one of `Bidirectional`.
    pub inner: Vec<Layer>,
}

/// A model: layers and what they give.
#[derive(Debug, Default)]
pub(super) struct Net {
    pub layers: Vec<Layer>,
    pub inputs: Vec<At>,
    pub outputs: Vec<At>,
}

/// What holds for all layers of a file.
struct Budget {
    /// Layers that may still come.
    layers: usize,
    /// Whether Keras 1 wrote the file.
    first: bool,
}

/// Reads the configuration of a whole model; `first` is that of Keras 1.
///
/// # Errors
/// When it is no model that is described by its layers.
pub(super) fn read(json: &Json, first: bool) -> Result<Layer, Diag> {
    let mut budget = Budget { layers: MOST_LAYERS, first };
    let model = layer(json, &mut budget, 0)?;
    if model.net.is_none() {
        let m = format!("a model of class `{}`, whose layers the file does not describe", model.class);
        return Err(Diag::error("E0301", m)
            .hint("models that are programs are read from a SavedModel: model.export(\"folder\")"));
    }
    Ok(model)
}

fn text<'j>(json: &'j Json, key: &str) -> Option<&'j str> {
    json.get(key)?.as_str()
}

/// Whether a class is registered under another package than Keras's, or from a module that is not Keras's.
fn is_foreign(json: &Json, class: &str) -> bool {
    let package = |name: &str| match name.split_once('>') {
        Some((package, _)) => !package.eq_ignore_ascii_case("keras"),
        None => false,
    };
    let module = text(json, "module").and_then(|m| m.split('.').next());
    let own = |root: &str| matches!(root, "keras" | "tf_keras" | "tensorflow" | "builtins");
    package(class) || text(json, "registered_name").is_some_and(package) || module.is_some_and(|m| !own(m))
}

fn layer(json: &Json, budget: &mut Budget, depth: usize) -> Result<Layer, Diag> {
    if depth > MOST_DEPTH {
        return Err(bad(format!("layers are more than {MOST_DEPTH} deep in each other")));
    }
    budget.layers =
        budget.layers.checked_sub(1).ok_or_else(|| bad(format!("more than {MOST_LAYERS} layers")))?;
    let class = text(json, "class_name").ok_or_else(|| bad("a layer without `class_name`"))?;
    let empty = Json::Null;
    let given = json.get("config").unwrap_or(&empty);
    // Sequential models of Keras 1 and early Keras 2 are a list of layers.
    let (mut config, list) = match given {
        Json::Object(map) => (map.clone(), None),
        Json::Array(list) => (Map::new(), Some(list)),
        Json::Null => (Map::new(), None),
        _ => return Err(bad(format!("the configuration of a `{class}` is neither a map nor a list"))),
    };
    if budget.first {
        upgraded(class, &mut config);
    }
    let foreign = is_foreign(json, class);
    let name = text(json, "name").or_else(|| config.get("name")?.as_str()).unwrap_or(class);
    let mut out = Layer {
        class: class.into(),
        module: text(json, "module").unwrap_or(LAYERS).to_owned(),
        name: name.into(),
        trainable: config.get("trainable").and_then(Json::as_bool).unwrap_or(true),
        config,
        is_op: false,
        foreign,
        calls: vec![],
        net: None,
        inner: vec![],
    };
    match class {
        // What classes of one's own do with their layers is a program.
        _ if foreign => {}
        "Sequential" => {
            let listed = list.or_else(|| out.config.get("layers")?.as_array());
            let listed = listed.ok_or_else(|| bad("a `Sequential` without `layers`"))?;
            out.net = Some(Box::new(sequential(listed, &out.config, budget, depth)?));
        }
        "Model" | "Functional" | "ModuleWrapper" | "Container" if out.config.contains_key("layers") => {
            out.net = Some(Box::new(functional(&out.config, budget, depth)?));
        }
        _ => {
            for key in ["layer", "backward_layer"] {
                if let Some(inner) = out.config.get(key).filter(|j| j.is_object()) {
                    out.inner.push(layer(inner, budget, depth + 1)?);
                }
            }
        }
    }
    Ok(out)
}

/// The sizes that the first layer of a sequential model states.
fn stated_shape(config: &Map<String, Json>) -> Option<Json> {
    ["batch_input_shape", "batch_shape"].iter().find_map(|k| config.get(*k)).filter(|s| s.is_array()).cloned()
}

fn sequential(
    listed: &[Json],
    config: &Map<String, Json>,
    budget: &mut Budget,
    depth: usize,
) -> Result<Net, Diag> {
    let mut net = Net::default();
    let mut layers: Vec<Layer> =
        listed.iter().map(|j| layer(j, budget, depth + 1)).collect::<Result<_, _>>()?;
    if layers.first().is_none_or(|l| &*l.class != "InputLayer") {
        let first = layers.first();
        let shape = first.and_then(first_shape).or_else(|| config.get("build_input_shape").cloned());
        let name = first.map_or_else(|| "input".to_owned(), |l| format!("{}_input", l.name));
        let dtype = first.and_then(|l| l.config.get("dtype")).cloned();
        let dtype = dtype.filter(|_| first.is_some_and(|l| l.config.contains_key("batch_input_shape")));
        let mut own = Map::new();
        own.insert("batch_shape".into(), shape.unwrap_or(Json::Null));
        own.insert("dtype".into(), dtype.unwrap_or_else(|| "float32".into()));
        layers.insert(0, input_layer(&name, own));
    }
    for (before, layer) in layers.iter_mut().skip(1).enumerate() {
        let args = vec![Arg::Tensor(At { layer: before, call: 0, port: 0 })];
        layer.calls.push(Call { args, named: vec![] });
    }
    net.inputs.push(At { layer: 0, call: 0, port: 0 });
    net.outputs.push(At { layer: layers.len() - 1, call: 0, port: 0 });
    net.layers = layers;
    unique_names(&net)?;
    Ok(net)
}

/// The sizes of the input of a layer, or of the first layer in it.
fn first_shape(layer: &Layer) -> Option<Json> {
    if let Some(shape) = stated_shape(&layer.config) {
        return Some(shape);
    }
    if let Some(net) = &layer.net {
        let at = net.inputs.first()?;
        return first_shape(net.layers.get(at.layer)?);
    }
    layer.inner.first().and_then(first_shape)
}

fn input_layer(name: &str, config: Map<String, Json>) -> Layer {
    Layer {
        class: "InputLayer".into(),
        module: LAYERS.into(),
        name: name.into(),
        config,
        trainable: false,
        is_op: false,
        foreign: false,
        calls: vec![],
        net: None,
        inner: vec![],
    }
}

fn unique_names(net: &Net) -> Result<HashMap<Arc<str>, usize>, Diag> {
    let mut found = HashMap::new();
    for (i, layer) in net.layers.iter().enumerate() {
        if found.insert(layer.name.clone(), i).is_some() {
            return Err(bad(format!("two layers are called `{}`", layer.name)));
        }
    }
    Ok(found)
}

fn functional(config: &Map<String, Json>, budget: &mut Budget, depth: usize) -> Result<Net, Diag> {
    let listed = config.get("layers").and_then(Json::as_array);
    let listed = listed.ok_or_else(|| bad("the `layers` of a model are no list"))?;
    let mut net = Net::default();
    for json in listed {
        net.layers.push(layer(json, budget, depth + 1)?);
    }
    let names = unique_names(&net)?;
    for (i, json) in listed.iter().enumerate() {
        let name = net.layers[i].name.clone();
        let nodes = match json.get("inbound_nodes") {
            None | Some(Json::Null) => &[][..],
            Some(Json::Array(nodes)) => nodes,
            Some(_) => return Err(bad("`inbound_nodes` is no list").node(&*name)),
        };
        let own: Result<Vec<Call>, Diag> = nodes.iter().map(|n| call(n, &names)).collect();
        net.layers[i].calls = own.map_err(|d| d.node(&*name))?;
        net.layers[i].is_op = nodes.iter().any(Json::is_object);
    }
    let ends = |key: &str| {
        let mut found = vec![];
        let json = config.get(key).ok_or_else(|| bad(format!("a model without `{key}`")))?;
        references(json, &names, &mut found, 0)?;
        Ok::<_, Diag>(found)
    };
    net.inputs = ends("input_layers")?;
    net.outputs = ends("output_layers")?;
    renumber(&mut net);
    let mut seen = HashSet::new();
    if !net.inputs.iter().all(|at| seen.insert(at.layer)) {
        return Err(bad("an input is listed twice"));
    }
    Ok(net)
}

/// Calls of models count from 1 where the model's own inputs are its first call, which is not listed.
fn renumber(net: &mut Net) {
    let mut used: HashMap<usize, (usize, usize)> = HashMap::new();
    let mut note = |at: &mut At| {
        let (least, most) = used.entry(at.layer).or_insert((at.call, at.call));
        (*least, *most) = ((*least).min(at.call), (*most).max(at.call));
    };
    each(net, &mut note);
    let shifted: Vec<bool> = (0..net.layers.len())
        .map(|i| {
            let layer = &net.layers[i];
            let Some((least, most)) = used.get(&i).filter(|_| layer.net.is_some()) else { return false };
            *least > 0 && (*most >= layer.calls.len() || &*layer.class != "Sequential")
        })
        .collect();
    each(net, &mut |at| at.call -= usize::from(shifted[at.layer]));
}

/// Runs `f` on all references of a model.
fn each(net: &mut Net, f: &mut dyn FnMut(&mut At)) {
    fn inside(arg: &mut Arg, f: &mut dyn FnMut(&mut At)) {
        match arg {
            Arg::Tensor(at) => f(at),
            Arg::List(all) => all.iter_mut().for_each(|a| inside(a, f)),
            Arg::Json(_) => {}
        }
    }
    for call in net.layers.iter_mut().flat_map(|l| &mut l.calls) {
        call.args.iter_mut().for_each(|a| inside(a, f));
        call.named.iter_mut().for_each(|(_, a)| inside(a, f));
    }
    net.inputs.iter_mut().chain(&mut net.outputs).for_each(f);
}

/// `[layer, call, result]`, when it is that.
fn reference(json: &Json, names: &HashMap<Arc<str>, usize>) -> Result<Option<At>, Diag> {
    let Some([Json::String(name), Json::Number(call), Json::Number(port), ..]) =
        json.as_array().map(Vec::as_slice)
    else {
        return Ok(None);
    };
    let index = |n: &serde_json::Number| n.as_u64().and_then(|n| usize::try_from(n).ok());
    let (Some(call), Some(port)) = (index(call), index(port)) else { return Ok(None) };
    let layer = *names.get(name.as_str()).ok_or_else(|| bad(format!("there is no layer `{name}`")))?;
    Ok(Some(At { layer, call, port }))
}

/// All references in lists and maps, maps by key.
fn references(
    json: &Json,
    names: &HashMap<Arc<str>, usize>,
    found: &mut Vec<At>,
    depth: usize,
) -> Result<(), Diag> {
    if depth > MOST_DEPTH {
        return Err(bad("lists of inputs or outputs are too deep"));
    }
    if let Some(at) = reference(json, names)? {
        found.push(at);
        return Ok(());
    }
    match json {
        Json::Array(list) => list.iter().try_for_each(|j| references(j, names, found, depth + 1)),
        Json::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            keys.into_iter().try_for_each(|k| references(&map[k], names, found, depth + 1))
        }
        other => Err(bad(format!("`{other}` names no result of a layer"))),
    }
}

/// One entry of `inbound_nodes`.
fn call(json: &Json, names: &HashMap<Arc<str>, usize>) -> Result<Call, Diag> {
    if let (Some(args), true) = (json.get("args"), json.is_object()) {
        return new_call(args, json.get("kwargs"), names);
    }
    let mut out = Call::default();
    match json {
        Json::Array(list) if matches!(list.first(), Some(Json::String(_))) => {
            let arg = old_entry(json, names, &mut out.named)?;
            out.args.push(arg);
        }
        Json::Array(list) => {
            let mut all = vec![];
            for entry in list {
                all.push(old_entry(entry, names, &mut out.named)?);
            }
            let one = all.len() == 1;
            match all.pop() {
                Some(arg) if one => out.args.push(arg),
                Some(arg) => {
                    all.push(arg);
                    out.args.push(Arg::List(all));
                }
                None => {}
            }
        }
        Json::Object(map) => {
            for (key, entry) in map {
                let arg = old_entry(entry, names, &mut out.named)?;
                out.named.push((key.clone(), arg));
            }
        }
        _ => return Err(bad("an entry of `inbound_nodes` that is no list")),
    }
    Ok(out)
}

/// `[layer, call, result, {named arguments}]` of Keras 2, or a constant in that place.
fn old_entry(
    json: &Json,
    names: &HashMap<Arc<str>, usize>,
    named: &mut Vec<(String, Arg)>,
) -> Result<Arg, Diag> {
    let list = json.as_array().ok_or_else(|| bad(format!("`{json}` is no call")))?;
    if let Some(map) = list.get(3).and_then(Json::as_object) {
        for (key, value) in map {
            if !named.iter().any(|(k, _)| k == key) {
                named.push((key.clone(), old_value(value, names, 0)?));
            }
        }
    }
    if list.first().and_then(Json::as_str) == Some("_CONSTANT_VALUE") {
        return Ok(Arg::Json(list.get(2).cloned().unwrap_or(Json::Null)));
    }
    match reference(json, names)? {
        Some(at) => Ok(Arg::Tensor(at)),
        None => Err(bad(format!("`{json}` is no call"))),
    }
}

/// A named argument of Keras 2: results of layers may be in lists.
fn old_value(json: &Json, names: &HashMap<Arc<str>, usize>, depth: usize) -> Result<Arg, Diag> {
    if depth > MOST_DEPTH {
        return Err(bad("an argument's lists are too deep"));
    }
    let Json::Array(list) = json else { return Ok(Arg::Json(json.clone())) };
    if list.first().and_then(Json::as_str) == Some("_CONSTANT_VALUE") {
        return Ok(Arg::Json(list.get(2).cloned().unwrap_or(Json::Null)));
    }
    if let Some(at) = reference(json, names)? {
        return Ok(Arg::Tensor(at));
    }
    list.iter().map(|j| old_value(j, names, depth + 1)).collect::<Result<_, _>>().map(Arg::List)
}

fn new_call(args: &Json, named: Option<&Json>, names: &HashMap<Arc<str>, usize>) -> Result<Call, Diag> {
    let args = args.as_array().ok_or_else(|| bad("the `args` of a call are no list"))?;
    let args = args.iter().map(|j| new_value(j, names, 0)).collect::<Result<_, _>>()?;
    let named = named.and_then(Json::as_object).into_iter().flatten();
    let named = named.map(|(k, j)| Ok((k.clone(), new_value(j, names, 0)?))).collect::<Result<_, Diag>>()?;
    Ok(Call { args, named })
}

/// An argument of Keras 3: results of layers carry a class of their own.
fn new_value(json: &Json, names: &HashMap<Arc<str>, usize>, depth: usize) -> Result<Arg, Diag> {
    if depth > MOST_DEPTH {
        return Err(bad("an argument's lists are too deep"));
    }
    match json {
        Json::Object(map) => match map.get("class_name").and_then(Json::as_str) {
            Some("__keras_tensor__") => {
                let history = map.get("config").and_then(|c| c.get("keras_history"));
                let at = history.map(|h| reference(h, names)).transpose()?.flatten();
                at.map(Arg::Tensor).ok_or_else(|| bad("a tensor without `keras_history`"))
            }
            Some("__tuple__") => map.get("items").map_or_else(
                || Err(bad("a tuple without `items`")),
                |items| new_value(items, names, depth + 1),
            ),
            _ => Ok(Arg::Json(json.clone())),
        },
        Json::Array(list) => {
            list.iter().map(|j| new_value(j, names, depth + 1)).collect::<Result<_, _>>().map(Arg::List)
        }
        _ => Ok(Arg::Json(json.clone())),
    }
}
