//! Passes that bring a graph into a form that a target format can hold. The only passes needed for correctness.
pub mod legalize_onnx;
