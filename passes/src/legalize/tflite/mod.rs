//! Passes that bring a graph into the form that LiteRT's builtin operators can hold: one folder per family, one pass per file.
pub mod control;
pub mod coverage;
pub mod elementwise;
pub mod spatial;
