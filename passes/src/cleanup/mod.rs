//! Passes that remove what computes nothing and merge what is computed twice.
pub mod merge_casts;
pub mod merge_duplicates;
pub mod merge_movements;
pub mod merge_reshapes;
pub mod merge_transposes;
pub mod remove_dead_code;
pub mod remove_identity;
pub mod simplify_reshape;
