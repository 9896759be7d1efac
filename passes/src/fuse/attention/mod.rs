//! Passes that recognize attention and what belongs to it, and the shapes of transformers that they share.
mod formula;
pub mod fuse_attention_formula;
pub mod fuse_attention_groups;
pub mod fuse_attention_heads;
pub mod fuse_projected_attention;
pub mod fuse_rotary_embedding;
pub mod fuse_scales;
pub mod merge_projections;
mod ranges;
mod shapes;
mod tables;
