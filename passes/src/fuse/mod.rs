//! Passes that replace sequences of operators by one operator that computes the same.
mod activations;
pub mod attention;
pub mod fold_scale;
pub mod fuse_activations;
pub mod fuse_bias_activations;
pub mod fuse_conv_affine;
pub mod fuse_conv_batch_norm;
pub mod fuse_layer_norm;
pub mod fuse_matmul_add;
pub mod fuse_means;
pub mod fuse_norm_affine;
pub mod fuse_norm_casts;
pub mod fuse_pad;
pub mod fuse_reductions;
pub mod fuse_rms_norm;
pub mod fuse_sums;
pub mod linear;
pub mod quantized;
