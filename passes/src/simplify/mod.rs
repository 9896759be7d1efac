//! Arithmetic replaced by less of it.
pub mod merge_reduce_reshape;
pub mod merge_terms;
pub mod remove_expand;
pub mod remove_zero_bias;
pub mod replace_division;
pub mod replace_reciprocal;
pub mod simplify_arithmetic;
pub mod simplify_bounds;
pub mod simplify_casts;
