//! Quantization: the formulas of dequantization and of products of quantized tensors, and steps that cancel.
pub mod fuse_dequantize;
pub mod fuse_integer_product;
pub mod fuse_quantized_operator;
mod quant;
pub mod remove_requantize;
pub mod remove_saturated_bounds;
