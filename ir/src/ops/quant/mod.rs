//! Operators of the family `quant`.
pub mod dequantize_linear;
pub mod dynamic_quantize_linear;
pub mod quantize_linear;
mod scales;
