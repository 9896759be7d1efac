//! Operators that move data without computing.
pub mod transpose;
