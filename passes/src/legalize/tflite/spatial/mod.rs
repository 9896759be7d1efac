//! Convolutions, pools, resizing, normalization.
pub mod legalize_tflite_axes;
pub mod legalize_tflite_blocks;
pub mod legalize_tflite_floats;
pub mod legalize_tflite_groups;
pub mod legalize_tflite_norm;
pub mod legalize_tflite_padding;
pub mod legalize_tflite_pool;
pub mod legalize_tflite_resize;
pub mod legalize_tflite_transposed;
mod nodes;
