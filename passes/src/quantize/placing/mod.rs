//! Which nodes compute on integers.
pub mod logarithms;
pub mod placement;
