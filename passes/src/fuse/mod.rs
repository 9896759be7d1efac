//! Passes that replace sequences of operators by one operator that computes the same.
pub mod attention;
pub mod fuse_activations;
pub mod fuse_conv_affine;
pub mod fuse_conv_batch_norm;
pub mod fuse_layer_norm;
pub mod fuse_matmul_add;
pub mod fuse_norm_affine;
pub mod fuse_rms_norm;
pub mod linear;
