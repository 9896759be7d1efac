//! Arithmetic replaced by less of it.
pub mod remove_expand;
pub mod remove_zero_bias;
pub mod replace_reciprocal;
pub mod simplify_casts;
