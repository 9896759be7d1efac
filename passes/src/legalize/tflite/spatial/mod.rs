//! Convolutions, pools, resizing, normalization.
pub mod legalize_tflite_axes;
pub mod legalize_tflite_blocks;
pub mod legalize_tflite_floats;
pub mod legalize_tflite_fold_columns;
pub mod legalize_tflite_groups;
pub mod legalize_tflite_integer_conv;
pub mod legalize_tflite_norm;
pub mod legalize_tflite_padding;
pub mod legalize_tflite_pool;
pub mod legalize_tflite_positions;
pub mod legalize_tflite_regions;
pub mod legalize_tflite_resize;
pub mod legalize_tflite_resize_open;
pub mod legalize_tflite_sample;
pub mod legalize_tflite_transposed;
mod math;
mod nodes;
