//! Operators that read or make shapes and index patterns.
pub mod constant_of_shape;
pub mod eye_like;
pub mod non_zero;
pub mod one_hot;
pub mod range;
#[expect(clippy::module_inception, reason = "the operator is called like its family")]
pub mod shape;
pub mod size;
