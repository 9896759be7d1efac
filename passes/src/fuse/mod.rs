//! Passes that replace sequences of operators by one operator that computes the same.
mod formulas;
pub mod fuse_activations;
pub mod fuse_conv_affine;
pub mod fuse_conv_batch_norm;
pub mod fuse_matmul_add;
mod polynomial;
