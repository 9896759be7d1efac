//! Operators of the family `recurrent`: cells applied along the time axis.
//!
//! The three differ in their cell only. Sizes and types are in [`common`], activation functions in [`activation`], the loop over time in
//! [`sequence`].
mod activation;
mod cells;
mod common;
pub mod dynamic_quantize_lstm;
mod expansion;
pub mod gru;
pub mod lstm;
pub mod rnn;
mod sequence;
#[cfg(test)]
mod tests;

pub use common::Direction;
