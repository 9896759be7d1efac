//! Loops whose bodies are cells of recurrent operators.
mod cell;
pub mod fuse_recurrence;
mod linear;
mod step;
mod weights;
