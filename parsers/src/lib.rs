//! Readers: bytes of a model file to IR.
