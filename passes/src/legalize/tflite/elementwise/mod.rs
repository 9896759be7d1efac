//! Elementwise operators, reductions, types of elements.
mod formula;
pub mod legalize_tflite_activations;
pub mod legalize_tflite_dropout;
pub mod legalize_tflite_functions;
pub mod legalize_tflite_integers;
pub mod legalize_tflite_quantize;
pub mod legalize_tflite_reductions;
pub mod legalize_tflite_search;
pub mod legalize_tflite_types;
pub mod legalize_tflite_windows;
