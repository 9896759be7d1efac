//! What each model format is: wire types and the rows that bind its operators to the IR.

pub mod onnx;
pub mod safetensors;
pub mod state;
pub mod tensorflow;
pub mod tflite;
