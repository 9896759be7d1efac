//! Operators that ONNX Runtime adds to ONNX's (domain `com.microsoft`): what optimized models carry.
pub mod activate;
pub mod biased;
pub mod c_dist;
pub mod crop_and_resize;
pub mod embed_layer_normalization;
pub mod fused_conv;
pub mod group_norm;
pub mod inverse;
pub mod meaning;
pub mod murmur_hash3;
pub mod n_gram_repeat_block;
pub mod products;
pub mod skip_norm;
//! Operators of other vendors that ONNX has no operator for.
pub mod attention;
mod cache;
pub mod group_query_attention;
mod heads;
pub mod multi_head_attention;
pub mod rotary_embedding;
