//! Operators of the family `norm`.
pub mod batch_normalization;
mod expansions;
pub mod group;
pub mod layer_normalization;
pub mod lp_normalization;
pub mod lrn;
pub mod mean_variance_normalization;
pub mod rms_normalization;
mod stats;
