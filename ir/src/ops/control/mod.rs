//! Operators with bodies.
pub mod bodies;
pub mod if_;
pub mod loop_;
