//! Passes about shapes.
pub mod infer_shapes;
