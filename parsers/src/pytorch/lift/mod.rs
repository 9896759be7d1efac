//! `ATen` operators to IR.
//!
//! What exported programs (`super::program`) and `TorchScript` have in common: operators become IR operators by the tables of
//! [`aten`], in-place operators and views become pure ones ([`alias`]), element types follow PyTorch's promotion ([`promote`]).
pub mod alias;
pub mod aten;
pub mod blockers;
pub mod body;
pub mod cx;
pub mod emit;
pub mod kernels;
mod pair_ops;
pub mod pairs;
pub mod promote;
pub mod state;
pub mod target;
