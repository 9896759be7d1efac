//! Operators that ONNX Runtime adds to ONNX's (domain `com.microsoft`): what optimized models carry.
pub mod activate;
pub mod biased;
pub mod c_dist;
pub mod embed_layer_normalization;
pub mod fused_conv;
pub mod group_norm;
pub mod inverse;
pub mod meaning;
pub mod products;
pub mod skip_norm;
