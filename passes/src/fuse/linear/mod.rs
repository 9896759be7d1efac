//! Convolutions and matrix products with what is around them, for runtimes that have operators for it.
pub mod fuse_conv_activation;
pub mod fuse_gemm_activation;
pub mod fuse_product_scale;
pub mod fuse_product_transpose;
pub mod fuse_transposed_gemm;
