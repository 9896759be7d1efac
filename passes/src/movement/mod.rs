//! Passes that move, cut and join data in fewer steps.
pub mod fuse_space_to_depth;
pub mod merge_concats;
pub mod merge_slices;
pub mod split_slices;
