//! Operators of the family `loss`.
pub mod cross_entropy;
