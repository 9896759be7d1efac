//! Operators of the family `random`: they draw from the documented [`generator`], so that a seed gives the same numbers on every run
//! and machine and with any number of threads. None of them is [pure](crate::op::Semantics::pure).
pub mod bernoulli;
pub mod fill;
pub mod generator;
pub mod multinomial;
