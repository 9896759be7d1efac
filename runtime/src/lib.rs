//! Executors of IR models behind one trait, and what checking a model takes: inputs, arrays in files, comparison.
//!
//! [`reference`] is the default engine and always there. What it computes depends on the model and the inputs alone: not on what is
//! installed, nor on the number of threads. [`onnxruntime`] is loaded only when asked for by name.

pub mod compare;
pub mod error;
pub mod inputs;
pub mod npz;
#[cfg(feature = "onnxruntime")]
pub mod onnxruntime;
pub mod reference;
