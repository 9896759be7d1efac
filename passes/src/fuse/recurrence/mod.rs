//! Loops whose bodies are cells of recurrent operators, and these operators.
mod cell;
pub mod fuse_recurrence;
pub mod fuse_reversed_sequence;
mod linear;
pub mod merge_directions;
mod operator;
mod state;
mod step;
mod weights;
