//! Convolutions and matrix products together with what is around them, for runtimes that have operators of that kind.
mod activation;
pub mod fuse_conv_activation;
pub mod fuse_gemm_activation;
pub mod fuse_product_transpose;
