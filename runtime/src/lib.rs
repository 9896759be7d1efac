//! Executors of IR models behind one trait.
