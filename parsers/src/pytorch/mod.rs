//! PyTorch: pickled checkpoints and exported programs (`.pt2`).

pub mod archive;
pub mod checkpoint;
pub mod lift;
pub mod pickle;
pub mod program;
pub mod sample;
pub mod schema;
pub mod tensor;
pub mod torchscript;
