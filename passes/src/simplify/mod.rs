//! Arithmetic replaced by less of it.
pub mod remove_expand;
pub mod remove_zero_bias;
pub mod simplify_casts;
