//! Hoist's graph IR: types, tensors, operators with their inference and reference evaluation.
