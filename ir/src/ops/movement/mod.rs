//! Operators that move data without computing.
pub mod lists;
pub mod mover;
pub mod pick;
pub mod strided;
pub mod tables;

pub mod bit_cast;
pub mod concat;
pub mod expand;
pub mod flatten;
pub mod pad;
pub mod reshape;
pub mod reverse_sequence;
pub mod slice;
pub mod split;
pub mod squeeze;
pub mod tile;
pub mod transpose;
pub mod trilu;
pub mod unsqueeze;

#[cfg(test)]
mod tests;
