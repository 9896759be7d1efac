//! What is done to a graph around the passes: operators with weights, biases, the interface.
pub mod correct_bias;
pub mod integer_interface;
pub mod linear;
