//! Loops whose bodies are cells of recurrent operators.
mod cell;
pub mod fuse_recurrence;
mod linear;
mod state;
mod step;
mod weights;
