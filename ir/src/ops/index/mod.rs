//! Operators that pick or place elements by index.
pub mod compress;
pub mod gather;
pub mod gather_elements;
pub mod gather_nd;
pub mod scatter;
pub mod scatter_elements;
pub mod scatter_nd;
pub mod tensor_scatter;
pub mod unique;
