//! Passes about shapes.
pub mod infer_shapes;
pub mod refine_loops;
