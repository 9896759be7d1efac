//! Operators with bodies.
pub mod bodies;
pub mod budget;
pub mod if_;
pub mod loop_;
pub mod scan;
pub mod sequence_map;
pub mod stack;
