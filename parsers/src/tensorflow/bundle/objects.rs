//! The objects of a checkpoint of TensorFlow 2, and the keys of their tensors.
use super::Bundle;
use crate::tensorflow::tensor::bad;
use hoist_formats::tensorflow::generated::TrackableObjectGraph;
use hoist_ir::diag::Diag;
use prost::Message as _;
use std::collections::BTreeMap;

/// Key of the graph of objects.
pub(super) const OBJECTS: &str = "_CHECKPOINTABLE_OBJECT_GRAPH";
/// The tensor of an object that is a variable.
const VALUE: &str = "VARIABLE_VALUE";

/// Keys by the names of variables; names that several variables have lead to none.
pub fn by_name(bundle: &Bundle) -> Result<BTreeMap<String, Option<String>>, Diag> {
    let mut out: BTreeMap<String, Option<String>> = BTreeMap::new();
    let Some(graph) = graph(bundle)? else { return Ok(out) };
    for tensor in graph.nodes.into_iter().flat_map(|n| n.attributes) {
        if tensor.name != VALUE || tensor.full_name.is_empty() || !bundle.has(&tensor.checkpoint_key) {
            continue;
        }
        let key = tensor.checkpoint_key;
        out.entry(tensor.full_name)
            .and_modify(|have| {
                if have.as_ref() != Some(&key) {
                    *have = None;
                }
            })
            .or_insert_with(|| Some(key.clone()));
    }
    Ok(out)
}

/// Keys of the variables by the number of their object.
pub fn by_node(bundle: &Bundle) -> Result<BTreeMap<usize, String>, Diag> {
    let Some(graph) = graph(bundle)? else { return Ok(BTreeMap::new()) };
    let nodes = graph.nodes.into_iter().enumerate();
    let own =
        |(i, n): (usize, hoist_formats::tensorflow::generated::trackable_object_graph::TrackableObject)| {
            let value = n.attributes.into_iter().find(|a| a.name == VALUE)?;
            Some((i, value.checkpoint_key))
        };
    Ok(nodes.filter_map(own).collect())
}

fn graph(bundle: &Bundle) -> Result<Option<TrackableObjectGraph>, Diag> {
    let Some(bytes) = bundle.blob(OBJECTS) else { return Ok(None) };
    let graph = TrackableObjectGraph::decode(bytes?);
    graph.map(Some).map_err(|e| bad(format!("the objects of the checkpoint: {e}")))
}
