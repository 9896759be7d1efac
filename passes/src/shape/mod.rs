//! Passes about shapes.
pub mod infer_loop_types;
pub mod infer_shapes;
pub mod merge_shapes;
pub mod simplify_lists;
