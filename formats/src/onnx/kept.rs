//! Kinds of what is carried along as encoded messages: [`Model::opaque`](hoist_ir::model::Model::opaque) and
//! [`Notes::opaque`](hoist_ir::graph::Notes::opaque).

/// `DeviceConfigurationProto` of a model.
pub const CONFIGURATION: &str = "configuration";
/// `TrainingInfoProto` of a model.
pub const TRAINING: &str = "training";
/// `NodeDeviceConfigurationProto` of a node.
pub const DEVICE: &str = "device";
/// Followed by the key of a quantization parameter of a value, such as `SCALE_TENSOR`: its `TensorProto`.
pub const QUANTIZATION: &str = "quantization:";
