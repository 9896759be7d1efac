//! Writers: legal IR to the bytes of a model file.
pub mod onnx;
pub mod safetensors;
pub mod tflite;
