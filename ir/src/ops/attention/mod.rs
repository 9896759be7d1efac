//! Attention and what goes with it.
pub mod attend;
pub(crate) mod bias;
pub mod causal_conv_with_state;
pub mod linear_attention;
mod linear_expansion;
mod recurrence;
pub mod rotary_embedding;
pub(crate) mod steps;
pub mod swi_glu;
