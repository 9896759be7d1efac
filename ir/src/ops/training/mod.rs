//! Operators of the family `training`: losses and steps of optimizers.
pub mod cross_entropy;
mod expansions;
pub mod optimizers;
