//! Operators of the family `quant`.
pub mod dequantize_linear;
pub mod dynamic_quantize_linear;
mod expansions;
pub mod gather_block_quantized;
pub mod integer_products;
pub mod mat_mul_bnb4;
pub mod mat_mul_n_bits;
mod packed;
mod product_expansions;
pub mod q_embed_layer_normalization;
pub mod q_gemm;
pub mod q_linear_activation;
pub mod q_linear_arithmetic;
pub mod q_linear_concat;
pub mod q_linear_conv;
pub mod q_linear_mat_mul;
pub mod q_linear_pool;
pub mod q_linear_softmax;
pub mod q_linear_where;
pub mod quantize_linear;
mod requantize;
mod scales;
mod tables;
#[cfg(test)]
mod tests;
