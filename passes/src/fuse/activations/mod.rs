//! What `fuse-activations` looks for.
pub(super) mod formulas;
pub(super) mod polynomial;
