//! Streaming statistics of the values of a graph: what calibration of quantization needs, in memory that does not grow with the number of
//! samples.
#![expect(
    clippy::inline_always,
    reason = "vector code must be inlined into the function that enables the processor's features"
)]
mod calibration;
mod channels;
mod entropy;
mod extremes;
mod histogram;
mod methods;
mod seen;
mod squared_error;
#[cfg(test)]
mod testing;
pub use calibration::Calibration;
pub use channels::Channels;
pub use seen::{Seen, Wanted};
