//! Arithmetic replaced by less of it.
pub mod merge_quotients;
pub mod merge_reduce_reshape;
pub mod merge_terms;
pub mod remove_expand;
pub mod remove_zero_bias;
pub mod simplify_arithmetic;
pub mod simplify_bounds;
pub mod simplify_casts;
