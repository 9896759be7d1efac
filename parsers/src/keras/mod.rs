//! Keras models to IR: whole models in HDF5, and archives of Keras 3.
//!
//! A configuration lists the layers and their calls; each becomes nodes by the function of its class. Weights stay where they lie in the file.
use crate::source::Source;
use crate::tensorflow::lift::Lifter;
use crate::tensorflow::program::Program;
use crate::tensorflow::{Options, SOURCE, bad};
use crate::zip::Archive;
use arrays::Arrays;
use config::{Layer, Net};
use hdf5::Hdf5;
use hoist_ir::builder::Builder;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, Origin};
use hoist_ir::model::Model;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::{Shape, TensorType};
use indexmap::IndexMap;
use kx::Tv;
use serde_json::Value as Json;
use std::collections::HashSet;
use weights::Weights;

mod arrays;
mod config;
mod hdf5;
mod javascript;
mod kx;
mod layers;
mod manifest;
mod net;
mod upgrade;
mod weights;

/// Largest configuration, in bytes.
const MOST_CONFIG: usize = 256 << 20;

/// Every class of layers that is lifted, with its family.
pub fn covered() -> impl Iterator<Item = (&'static str, &'static str)> {
    layers::covered()
}

/// Reads a whole model in HDF5.
///
/// # Errors
/// Everything that is wrong with it, and every layer that is not read.
pub fn read_h5(source: &Source) -> Result<Model, Diags> {
    let file = Hdf5::open(source.bytes().clone())?;
    let root = file.group("")?;
    let Some(text) = file.text(&root, "model_config")? else {
        let d = Diag::error("E0301", "an HDF5 file without `model_config`: it holds weights and no model");
        return Err(d.hint("save the whole model: model.save(\"model.keras\")").into());
    };
    let version = file.text(&root, "keras_version")?;
    let version = match version {
        Some(v) => Some(v),
        None => file.group("model_weights").ok().and_then(|g| file.text(&g, "keras_version").ok().flatten()),
    };
    let first = version.as_deref().is_none_or(|v| v.starts_with("1."));
    let layer = config::read(&parsed(text.as_bytes(), "model_config")?, first)?;
    let net = net_of(&layer)?;
    let backend = file.text(&root, "backend").ok().flatten();
    let backend = backend
        .or_else(|| file.group("model_weights").ok().and_then(|g| file.text(&g, "backend").ok().flatten()));
    let mut weights = Weights::of_whole(file, net, is_old(version.as_deref()))?;
    weights.mirrored = backend.as_deref() == Some("theano");
    model(net, &weights)
}

/// Reads an archive of Keras 3.
///
/// # Errors
/// Everything that is wrong with it, and every layer that is not read.
pub fn read_archive(source: &Source) -> Result<Model, Diags> {
    let wrong = |e: crate::zip::ZipError| Diag::error("E0201", e.to_string());
    let archive = Archive::open(source.bytes().clone()).map_err(wrong)?;
    let layer = config::read(&parsed(&archive.read("config.json").map_err(wrong)?, "config.json")?, false)?;
    let metadata = parsed(&archive.read("metadata.json").map_err(wrong)?, "metadata.json")?;
    let version = metadata.get("keras_version").and_then(Json::as_str);
    if !archive.contains("model.weights.h5") && archive.contains("model.weights.npz") {
        let d = Diag::error("E0301", "weights as `model.weights.npz`");
        return Err(d.hint("save the model with h5py installed").into());
    }
    let file = Hdf5::open(archive.read("model.weights.h5").map_err(wrong)?)?;
    let net = net_of(&layer)?;
    let weights = Weights::of_archive(Arrays::File(file), net, is_old(version));
    model(net, &weights)
}

/// Reads the layers that TensorFlow.js calls the topology of a model, with weights by name.
///
/// # Errors
/// Everything that is wrong with them, and every layer that is not read.
pub fn read_topology(topology: &Json, weights: IndexMap<String, Tensor>) -> Result<Model, Diags> {
    let version = topology.get("keras_version").and_then(Json::as_str);
    let old = is_old(version);
    let config = topology.get("model_config").unwrap_or(topology);
    javascript::check(config, old)?;
    let layer = config::read(config, false)?;
    let net = net_of(&layer)?;
    model(net, &Weights::of_names(weights, net, old)?)
}

fn parsed(bytes: &[u8], what: &str) -> Result<Json, Diag> {
    if bytes.len() > MOST_CONFIG {
        return Err(bad(format!("`{what}` has {} bytes", bytes.len())));
    }
    serde_json::from_slice(bytes).map_err(|e| bad(format!("`{what}` is no JSON: {e}")))
}

/// Whether Keras before 3 wrote the file; files of Keras 1 do not always say.
fn is_old(version: Option<&str>) -> bool {
    let major = version.and_then(|v| v.split('.').next()?.parse::<u32>().ok());
    major.is_none_or(|m| m < 3)
}

fn net_of(layer: &Layer) -> Result<&Net, Diag> {
    layer.net.as_deref().ok_or_else(|| bad("the file describes no layers"))
}

/// The model that `net` is.
fn model(net: &Net, weights: &Weights) -> Result<Model, Diags> {
    let mut model = Model { source: SOURCE.into(), ..Model::default() };
    let mut graph = Graph::new("main");
    let mut names = HashSet::new();
    let mut inputs: Vec<Tv> = vec![];
    let mut batch = None;
    for at in &net.inputs {
        let layer = net.layers.get(at.layer).ok_or_else(|| bad("an input is no layer"))?;
        let ty = input_type(layer, &mut batch).map_err(|d| d.node(&*layer.name))?;
        names.insert(layer.name.to_string());
        inputs.push(graph.add_input(&layer.name, ty.into()).into());
    }
    let (program, options) = (Program::default(), Options::default());
    let mut lifter = Lifter::new(&program, &options);
    let mut b = Builder::at_end(&mut graph, Origin::default());
    let outputs = net::run(&mut lifter, &mut b, weights, net, "", &inputs)?;
    for (at, value) in net.outputs.iter().zip(outputs) {
        let Some(value) = value else { continue };
        let plain = net.layers.get(at.layer).map_or("output", |l| &*l.name);
        let mut name = plain.to_owned();
        let mut number = 0;
        while !names.insert(name.clone()) {
            number += 1;
            name = format!("{plain}_{number}");
        }
        graph.add_output(&name, value.v);
    }
    model.warnings.extend(lifter.finish()?);
    if graph.outputs().len() != net.outputs.len() || net.outputs.is_empty() {
        return Err(bad("the model gives nothing").into());
    }
    model.graph = graph;
    Ok(model)
}

/// Type of an input. All inputs have one batch size; each other size that is not known gets a symbol of its own.
fn input_type(layer: &Layer, batch: &mut Option<Dim>) -> Result<TensorType, Diag> {
    let config = &layer.config;
    if &*layer.class != "InputLayer" {
        return Err(bad(format!("an input of class `{}`", layer.class)));
    }
    for key in ["sparse", "ragged"] {
        if config.get(key).and_then(Json::as_bool) == Some(true) {
            return Err(Diag::error("E0301", format!("a {key} input is not read")).op("InputLayer"));
        }
    }
    let dtype = match config.get("dtype") {
        None | Some(Json::Null) => DType::F32,
        Some(Json::String(name)) => {
            kx::dtype_of(name).ok_or_else(|| bad(format!("elements of type `{name}`")))?
        }
        Some(other) => {
            let name = other.get("config").and_then(|c| c.get("name")).and_then(Json::as_str);
            name.and_then(kx::dtype_of).unwrap_or(DType::F32)
        }
    };
    let plain: String = layer.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let plain =
        if plain.starts_with(|c: char| c.is_ascii_alphabetic()) { plain } else { format!("d{plain}") };
    let stated = ["batch_shape", "batch_input_shape"].iter().find_map(|k| config.get(*k));
    let Some(Json::Array(sizes)) = stated else {
        return Err(Diag::error("E0301", "the model was saved before the sizes of its input were known")
            .hint("call the model once, or give its first layer an input shape, and save it again"));
    };
    let mut shape = Shape::new();
    for (axis, size) in sizes.iter().enumerate() {
        shape.push(match size {
            Json::Null if axis == 0 => {
                batch.get_or_insert_with(|| Dim::symbol(&format!("{plain}_0"))).clone()
            }
            Json::Null => Dim::symbol(&format!("{plain}_{axis}")),
            size => {
                let n = kx::integer(size).and_then(|n| u64::try_from(n).ok());
                Dim::Known(n.ok_or_else(|| bad(format!("a size of {size}")))?)
            }
        });
    }
    Ok(TensorType::new(dtype, Some(shape)))
}
