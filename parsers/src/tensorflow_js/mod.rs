//! Models of TensorFlow.js to IR: a `model.json`, which describes layers or a graph, and the files of weights that it names.
use crate::keras;
use crate::source::Source;
use crate::tensorflow::program::Program;
use crate::tensorflow::saved_model::{by_ends, by_signature};
use crate::tensorflow::{Options, bad};
use hoist_formats::tensorflow::generated::{GraphDef, NodeDef, SignatureDef};
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::model::Model;
use json::member;
use manifest::Weights;
use serde_json::Value as Json;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

mod graph;
mod json;
mod manifest;

/// Largest description of a model, in bytes.
const MOST_JSON: usize = 256 << 20;
/// How much of a file tells what it is.
const START: usize = 4096;
/// Texts that only the descriptions of models of TensorFlow.js have at their beginning.
const MARKS: &[&str] = &["\"modelTopology\"", "\"weightsManifest\"", "\"layers-model\"", "\"graph-model\""];
/// What names of an initializer's nodes begin with, where the graph has other nodes of these names.
const PREFIX: &str = "initializer/";

/// Whether `text` is the description of a model of TensorFlow.js, judged by its first bytes.
pub fn looks_like_model(text: &[u8]) -> bool {
    let start = String::from_utf8_lossy(text.get(..START).unwrap_or(text));
    start.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).starts_with('{')
        && MARKS.iter().any(|m| start.contains(m))
}

/// Reads a model of TensorFlow.js.
///
/// # Errors
/// Everything that is wrong with it, and every operator or layer that is not read.
pub fn read(source: &Source, options: &Options) -> Result<Model, Diags> {
    let bytes = source.bytes();
    if bytes.len() > MOST_JSON {
        return Err(bad(format!("a description of {} bytes; {MOST_JSON} is the most", bytes.len())).into());
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let json: Json = serde_json::from_slice(text).map_err(|e| {
        Diag::error("E0201", format!("this is no JSON: {e}")).hint("fetch or save the model again")
    })?;
    let folder = source.path().parent().unwrap_or(Path::new(""));
    let Some(topology) = member(&json, &["modelTopology"]) else {
        let d = Diag::error(
            "E0301",
            "there is no `modelTopology`: the file lists weights and describes no model",
        );
        return Err(d.hint("save the whole model: model.save(\"file://folder\")").into());
    };
    if member(topology, &["node"]).is_some() {
        let weights = manifest::of(&json, folder)?;
        read_graph(&json, topology, &weights, options)
    } else if member(topology, &["model_config", "class_name"]).is_some() {
        keras::read_topology(topology, manifest::of(&json, folder)?)
    } else {
        Err(bad("`modelTopology` describes neither a graph (`node`) nor layers (`model_config`)").into())
    }
}

fn read_graph(json: &Json, topology: &Json, weights: &Weights, options: &Options) -> Result<Model, Diags> {
    let metadata = member(json, &["userDefinedMetadata"]).and_then(|m| member(m, &["signature"]));
    let stated = metadata.or_else(|| member(json, &["signature"]));
    let mut graph = graph::graph(topology, weights)?;
    let mut signature = stated.map(graph::signature).transpose()?.unwrap_or_default();
    if let Some(initializer) = member(json, &["modelInitializer"]) {
        let names = join(&mut graph, graph::graph(initializer, weights)?);
        if let (Some(stated), Some(made)) = (stated, member(json, &["initializerSignature"])) {
            connect(&mut graph, &names, &mut signature, (stated, made))?;
        }
    }
    let program = Program::new(graph)?;
    let named = |names: &[String], side: &BTreeMap<String, _>| names.iter().all(|n| side.contains_key(n));
    // Names of values of the graph, where they are none of the signature.
    let other = !options.outputs.is_empty() && !named(&options.outputs, &signature.outputs);
    if signature.outputs.is_empty() || other {
        return by_ends(&program, options);
    }
    by_signature(&program, &signature, options)
}

/// Adds the nodes that prepare a model to its graph. Returns their names there. Tables and constants that both have are the same.
fn join(graph: &mut GraphDef, initializer: GraphDef) -> HashMap<String, String> {
    let there: HashMap<&str, &str> = graph.node.iter().map(|n| (n.name.as_str(), n.op.as_str())).collect();
    let named = |n: &NodeDef| match there.get(n.name.as_str()) {
        Some(op) if *op == n.op && (n.op == "Const" || n.op.starts_with("HashTable")) => {
            (n.name.clone(), false)
        }
        Some(_) => (format!("{PREFIX}{}", n.name), true),
        None => (n.name.clone(), true),
    };
    let placed: Vec<(NodeDef, String, bool)> = initializer
        .node
        .into_iter()
        .map(|n| {
            let (name, new) = named(&n);
            (n, name, new)
        })
        .collect();
    let names: HashMap<String, String> =
        placed.iter().map(|(n, name, _)| (n.name.clone(), name.clone())).collect();
    for (mut node, name, new) in placed {
        if !new {
            continue;
        }
        node.name = name;
        for input in &mut node.input {
            *input = renamed(input, &names);
        }
        graph.node.push(node);
    }
    if let Some(more) = initializer.library {
        graph.library.get_or_insert_default().function.extend(more.function);
    }
    names
}

/// `^node`, `node` or `node:port` with another name of the node.
fn renamed(value: &str, names: &HashMap<String, String>) -> String {
    let (mark, rest) = value.strip_prefix('^').map_or(("", value), |rest| ("^", rest));
    let (name, port) = rest.split_once(':').map_or((rest, None), |(name, port)| (name, Some(port)));
    let name = names.get(name).map_or(name, String::as_str);
    port.map_or_else(|| format!("{mark}{name}"), |port| format!("{mark}{name}:{port}"))
}

/// Makes inputs that are resources of the initializer's results with the same number: these are no inputs of the model.
fn connect(
    graph: &mut GraphDef,
    names: &HashMap<String, String>,
    signature: &mut SignatureDef,
    (stated, made): (&Json, &Json),
) -> Result<(), Diag> {
    let numbered = |side: Option<&Json>| -> Vec<(String, Json)> {
        let all = side.and_then(Json::as_object).into_iter().flatten();
        all.filter_map(|(key, j)| Some((key.clone(), member(j, &["resourceId"])?.clone()))).collect()
    };
    let results = numbered(member(made, &["outputs"]));
    for (key, number) in numbered(member(stated, &["inputs"])) {
        let result = results.iter().find(|(_, n)| *n == number).map(|(key, _)| key);
        let name = result.and_then(|key| made.get("outputs")?.get(key)?.get("name")?.as_str().or(Some(key)));
        let input = signature.inputs.remove(&key);
        let at = input.and_then(|i| {
            let node = i.name.split(':').next()?.to_owned();
            graph.node.iter().position(|n| n.name == node)
        });
        let (Some(name), Some(at)) = (name, at) else {
            return Err(bad(format!("nothing makes resource {number}, which is input `{key}`")));
        };
        let node = &mut graph.node[at];
        "Identity".clone_into(&mut node.op);
        node.input = vec![renamed(name, names)];
    }
    Ok(())
}
