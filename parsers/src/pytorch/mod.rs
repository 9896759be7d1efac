//! PyTorch: pickled checkpoints and exported programs (`.pt2`).

pub mod archive;
pub mod checkpoint;
mod dense;
pub mod lift;
pub mod pickle;
pub mod program;
mod quantized;
pub mod sample;
pub mod schema;
pub mod state;
pub mod tensor;
pub mod torchscript;
