//! Kinds of what is carried along as encoded messages: [`Model::opaque`](hoist_ir::model::Model::opaque) and
//! [`Notes::opaque`](hoist_ir::graph::Notes::opaque).

/// `DeviceConfigurationProto` of a model.
pub const CONFIGURATION: &str = "configuration";
/// `TrainingInfoProto` of a model.
pub const TRAINING: &str = "training";
/// Whether what is kept of a model under this kind describes it to other tools, and is no part of what it computes.
pub fn is_annotation(kind: &str) -> bool {
    [CONFIGURATION, TRAINING].contains(&kind)
}
/// `NodeDeviceConfigurationProto` of a node.
pub const DEVICE: &str = "device";
/// Followed by the key of a quantization parameter of a value, such as `SCALE_TENSOR`: its `TensorProto`.
pub const QUANTIZATION: &str = "quantization:";
