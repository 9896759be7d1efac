//! Operators that work element by element.
pub mod identity;
pub mod leaky_relu;
