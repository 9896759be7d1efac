//! What files carry beside the computation: quantization annotations, device configurations, training information. It is written back as it
//! was read, or refused by name where what it speaks of is gone.
use super::graph::Initializer;
use super::names::Names;
use super::tensor::Sidecar;
use hoist_formats::onnx::generated::{
    DeviceConfigurationProto, GraphProto, ModelProto, NodeDeviceConfigurationProto, NodeProto,
    StringStringEntryProto, TensorAnnotation, TensorProto, TrainingInfoProto,
};
use hoist_formats::onnx::kept::{CONFIGURATION, DEVICE, QUANTIZATION, TRAINING};
use hoist_formats::onnx::lower::Target;
use hoist_formats::state::FIRST;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, Notes};
use hoist_ir::model::Model;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::TensorType;
use prost::Message;
use std::collections::HashSet;

/// IR version that brought device configurations.
const DEVICES_SINCE: i64 = 11;

fn broken(kind: &str) -> Diag {
    Diag::error("E0202", format!("a kept `{kind}` cannot be decoded"))
}

fn gone(what: String) -> Diag {
    Diag::error("E0302", what)
        .hint("convert with --no-optimize and the source's --opset, or drop it with --drop-annotations")
}

/// Entries of that kind, decoded.
fn entries<'n, M: Message + Default>(
    notes: Option<&'n Notes>,
    kind: &'static str,
) -> impl Iterator<Item = Result<(&'n str, M), Diag>> {
    let all = notes.map_or(&[][..], |n| &n.opaque);
    all.iter().filter_map(move |(k, bytes)| {
        let rest = k.strip_prefix(kind)?;
        Some(M::decode(bytes.clone()).map(|m| (rest, m)).map_err(|_| broken(kind)))
    })
}

/// Adds the annotations of the values of `graph`, and the initializers they name where nothing else uses those.
pub(super) fn annotations(
    graph: &Graph,
    names: &Names,
    proto: &mut GraphProto,
    initializers: &mut Vec<Initializer>,
) -> Result<(), Diag> {
    let mut provided = Provided::default();
    for (v, value) in graph.values() {
        let Some(name) = names.get(v).as_deref() else { continue };
        let mut annotation = TensorAnnotation { tensor_name: Some(name.to_owned()), ..Default::default() };
        for entry in entries::<TensorProto>(value.notes.as_deref(), QUANTIZATION) {
            let (key, tensor) = entry?;
            let pair = StringStringEntryProto { key: Some(key.to_owned()), value: tensor.name.clone() };
            annotation.quant_parameter_tensor_names.push(pair);
            provided.provide(graph, names, tensor, initializers, name)?;
        }
        if !annotation.quant_parameter_tensor_names.is_empty() {
            proto.quantization_annotation.push(annotation);
        }
    }
    Ok(())
}

/// Names that annotations may meet, collected when the first annotation asks.
#[derive(Default)]
struct Provided {
    initializers: Option<HashSet<String>>,
    values: HashSet<String>,
}

impl Provided {
    /// Makes sure that an initializer of that name exists.
    fn provide(
        &mut self,
        graph: &Graph,
        names: &Names,
        tensor: TensorProto,
        initializers: &mut Vec<Initializer>,
        of: &str,
    ) -> Result<(), Diag> {
        if self.initializers.is_none() {
            self.values =
                graph.values().filter_map(|(v, _)| names.get(v).as_deref().map(str::to_owned)).collect();
        }
        let known = self
            .initializers
            .get_or_insert_with(|| initializers.iter().map(|(i, _)| i.name().to_owned()).collect());
        if known.contains(tensor.name()) {
            return Ok(());
        }
        if self.values.contains(tensor.name()) {
            let m = format!(
                "the quantization annotation of `{of}` names `{}`, which is something else now",
                tensor.name()
            );
            return Err(gone(m));
        }
        known.insert(tensor.name().to_owned());
        initializers.push((tensor, None));
        Ok(())
    }
}

/// Adds the device configurations of a node.
pub(super) fn devices(notes: Option<&Notes>, proto: &mut NodeProto) -> Result<(), Diag> {
    for entry in entries::<NodeDeviceConfigurationProto>(notes, DEVICE) {
        let (_, device) = entry?;
        let known = |t: &str| proto.input.iter().chain(&proto.output).any(|n| n == t);
        if let Some(spec) = device.sharding_spec.iter().find(|s| !known(s.tensor_name())) {
            let m = format!(
                "the device configuration of node `{}` splits `{}`, which is no operand or result of it now",
                proto.name(),
                spec.tensor_name()
            );
            return Err(gone(m));
        }
        proto.device_configurations.push(device);
    }
    Ok(())
}

/// Gives inputs that are state what they hold before the first run: an initializer of an input's name is what it is when none is fed.
pub(super) fn state(
    model: &Model,
    sidecar: &mut Sidecar,
    initializers: &mut Vec<Initializer>,
) -> Result<(), Diag> {
    for (kind, bytes) in &model.opaque {
        let Some(name) = kind.strip_prefix(FIRST) else { continue };
        let mut inputs = model.graph.inputs().iter().map(|v| model.graph.value(*v));
        let Some(input) = inputs.find(|v| v.name.as_deref() == Some(name)) else { continue };
        let ty = input.ty().as_tensor();
        let sizes = ty.and_then(TensorType::sizes);
        let first =
            ty.zip(sizes).and_then(|(ty, s)| Tensor::from_bytes(ty.dtype, &s, bytes.clone(), None).ok());
        let first =
            first.ok_or_else(|| Diag::error("E0901", format!("state `{name}` does not fit its input")))?;
        initializers.push(sidecar.place(name, &first)?);
    }
    Ok(())
}

/// Adds what belongs to the whole model.
pub(super) fn of_model(
    model: &Model,
    target: &Target,
    graph: &GraphProto,
    initializers: &[Initializer],
    proto: &mut ModelProto,
) -> Result<(), Diag> {
    for (kind, bytes) in &model.opaque {
        match kind.as_str() {
            CONFIGURATION => {
                let decoded = DeviceConfigurationProto::decode(bytes.clone()).map_err(|_| broken(kind))?;
                proto.configuration.push(decoded);
                proto.ir_version = proto.ir_version.max(Some(DEVICES_SINCE));
            }
            TRAINING => {
                let decoded = TrainingInfoProto::decode(bytes.clone()).map_err(|_| broken(kind))?;
                if target.source != Some(target.opset) {
                    let m =
                        format!("training information cannot be written for operator set {}", target.opset);
                    return Err(gone(m));
                }
                still_there(&decoded, graph, initializers)?;
                proto.training_info.push(decoded);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Refuses training information that names values of the inference graph that are no more.
fn still_there(
    info: &TrainingInfoProto,
    graph: &GraphProto,
    initializers: &[Initializer],
) -> Result<(), Diag> {
    let mut known: HashSet<&str> = initializers.iter().map(|(t, _)| t.name()).collect();
    known.extend(graph.input.iter().map(|i| i.name()));
    known.extend(graph.node.iter().flat_map(|n| n.output.iter().map(String::as_str)));
    for g in [&info.initialization, &info.algorithm].into_iter().flatten() {
        known.extend(g.input.iter().map(|i| i.name()));
        known.extend(g.initializer.iter().map(TensorProto::name));
        known.extend(g.node.iter().flat_map(|n| n.output.iter().map(String::as_str)));
    }
    let bindings = info.initialization_binding.iter().chain(&info.update_binding);
    let bound = bindings.flat_map(|b| [b.key(), b.value()]);
    let graphs = [&info.initialization, &info.algorithm].into_iter().flatten();
    let used = graphs.flat_map(|g| g.node.iter().flat_map(|n| n.input.iter().map(String::as_str)));
    match bound.chain(used).find(|n| !n.is_empty() && !known.contains(n)) {
        None => Ok(()),
        Some(name) => Err(gone(format!("training information speaks of `{name}`, which is gone"))),
    }
}
