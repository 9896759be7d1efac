//! What a `SavedModel` says about itself, without lifting its graph.
use super::bundle::{Bundle, objects};
use super::saved_model::{assets, checkpoint, decode, signatures, tags};
use super::tensor::shape;
use crate::source::Source;
use hoist_formats::tensorflow::dtype::of_code;
use hoist_formats::tensorflow::generated::{MetaGraphDef, TensorInfo};
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::types::{TensorType, Type};
use std::collections::BTreeMap;
use std::path::Path;

/// An input or output of a signature.
#[derive(Clone, Debug)]
pub struct End {
    /// Name.
    pub name: String,
    /// Element type and shape.
    pub ty: Type,
    /// The value of the graph; several of a sparse tensor.
    pub value: String,
}

/// A signature.
#[derive(Clone, Debug)]
pub struct Signature {
    /// Key.
    pub key: String,
    /// What it is for.
    pub method: String,
    /// Inputs by name.
    pub inputs: Vec<End>,
    /// Outputs by name.
    pub outputs: Vec<End>,
}

/// One of the graphs.
#[derive(Clone, Debug)]
pub struct Tagged {
    /// Tags.
    pub tags: Vec<String>,
    /// Version of TensorFlow that wrote it.
    pub version: String,
    /// Signatures by key.
    pub signatures: Vec<Signature>,
    /// Files.
    pub assets: Vec<String>,
}

/// A variable.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Name.
    pub name: String,
    /// Key in the checkpoint.
    pub key: String,
    /// Element type and shape.
    pub ty: Type,
}

/// What a `SavedModel` holds.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    /// Its graphs.
    pub graphs: Vec<Tagged>,
    /// The tensors of its checkpoint.
    pub variables: Vec<Variable>,
}

/// Reads what the `SavedModel` whose file `saved_model.pb` is `source` says about itself.
///
/// # Errors
/// When the file or the index of its checkpoint is damaged.
pub fn read(source: &Source) -> Result<Overview, Diags> {
    let saved = decode(source)?;
    let graphs = saved.meta_graphs.iter().map(tagged).collect::<Result<_, _>>()?;
    let folder = source.path().parent().unwrap_or(Path::new(""));
    let variables = match checkpoint(folder)? {
        Some(bundle) => variables(&bundle, &saved.meta_graphs)?,
        None => vec![],
    };
    Ok(Overview { graphs, variables })
}

fn tagged(meta: &MetaGraphDef) -> Result<Tagged, Diag> {
    let ends = |all: &BTreeMap<String, TensorInfo>| -> Result<Vec<End>, Diag> {
        all.iter().map(|(name, info)| end(name, info)).collect()
    };
    let mut all = vec![];
    for (key, s) in signatures(meta) {
        let (inputs, outputs) = (ends(&s.inputs)?, ends(&s.outputs)?);
        all.push(Signature { key: key.clone(), method: s.method_name.clone(), inputs, outputs });
    }
    let version = meta.meta_info_def.as_ref().map(|i| i.tensorflow_version.clone()).unwrap_or_default();
    let mut files: Vec<String> = assets(meta)?.into_iter().map(|a| a.filename).collect();
    files.sort_unstable();
    files.dedup();
    Ok(Tagged { tags: tags(meta).to_vec(), version, signatures: all, assets: files })
}

fn end(name: &str, info: &TensorInfo) -> Result<End, Diag> {
    let shape = info.tensor_shape.as_ref().map(shape).transpose()?.flatten();
    let ty = of_code(info.dtype).map_or(Type::Unknown, |dtype| TensorType::new(dtype, shape).into());
    let value = match &info.coo_sparse {
        Some(s) => {
            let parts = [&s.indices_tensor_name, &s.values_tensor_name, &s.dense_shape_tensor_name];
            parts.map(String::as_str).join(" ")
        }
        None => info.name.clone(),
    };
    Ok(End { name: name.to_owned(), ty, value })
}

/// Tensors of a checkpoint, by the names of variables where objects say them.
fn variables(bundle: &Bundle, graphs: &[MetaGraphDef]) -> Result<Vec<Variable>, Diag> {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let objects = graphs.iter().find_map(|g| g.object_graph_def.as_ref());
    for (node, key) in objects::by_node(bundle)? {
        let variable = objects.and_then(|o| o.nodes.get(node)?.variable.as_ref());
        if let Some(name) = variable.map(|v| v.name.clone()).filter(|n| !n.is_empty()) {
            names.insert(key, name);
        }
    }
    for (name, key) in objects::by_name(bundle)? {
        if let Some(key) = key {
            names.entry(key).or_insert(name);
        }
    }
    let one = |key: &str| {
        let (dtype, sizes) = bundle.kind(key)?;
        let name = names.get(key).map_or(key, String::as_str).to_owned();
        Ok(Variable { name, key: key.to_owned(), ty: TensorType::fixed(dtype, &sizes).into() })
    };
    bundle.keys().map(one).collect()
}
