//! Readers: bytes of a model file to IR.

pub mod keras;
pub mod onnx;
pub mod pytorch;
pub mod safetensors;
pub mod source;
pub mod tensorflow;
pub mod tensorflow_js;
pub mod tflite;
pub mod weights;
pub mod zip;
