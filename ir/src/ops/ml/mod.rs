//! Operators of classical models (domain `ai.onnx.ml`), as ONNX Runtime computes them.
pub mod encode;
mod expansions;
pub mod label_encoder;
pub mod linear;
pub mod scale;
pub mod scores;
pub mod tree;
pub mod tree_ensemble;
pub mod tree_lists;
