//! Passes that compute what does not depend on the inputs.
pub mod fold_branches;
pub mod fold_constants;
pub mod fold_sequences;
pub mod inline_functions;
pub mod merge_branches;
pub mod trim_control_flow;
pub mod unroll_loops;
