//! Changes of a model's inputs and outputs that the caller asks for. No pass makes any.
pub mod cut;
pub mod dynamic;
pub mod rebuild;
pub mod simplify;
