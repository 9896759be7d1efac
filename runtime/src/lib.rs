//! Executors of IR models behind one trait.

pub mod npz;
