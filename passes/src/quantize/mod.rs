//! Passes that compute with fewer bits.
pub mod convert_floats;
mod floats;
pub use floats::ranges;
