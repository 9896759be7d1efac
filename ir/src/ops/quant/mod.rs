//! Operators of the family `quant`.
pub mod dequantize_linear;
pub mod dynamic_quantize_linear;
pub mod q_linear_conv;
pub mod q_linear_mat_mul;
pub mod quantize_linear;
mod requantize;
mod scales;
