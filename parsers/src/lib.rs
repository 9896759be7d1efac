//! Readers: bytes of a model file to IR.

pub mod onnx;
pub mod pytorch;
pub mod safetensors;
pub mod source;
pub mod tflite;
pub mod weights;
pub mod zip;
