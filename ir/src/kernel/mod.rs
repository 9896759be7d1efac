//! Numeric kernels on slices: matrix product, convolution, transposed convolution and pooling.
//!
//! The kernels know nothing of the IR's types: callers hand in dense slices and plain sizes. Every size that can
//! come from a file is checked with checked arithmetic before memory is taken, and inconsistent slices are refused
//! with a [`KernelError`].
//!
//! Results are the same bits for any number of threads and on any processor: the order in which one output
//! element's terms are added is fixed by the shape alone (see [`gemm`]), multiply-adds are fused everywhere (in
//! software where the processor has no such instruction), and vector width only decides how many independent
//! output elements are computed at once.
//!
//! Reduced-precision floats (float16, bfloat16) are converted to `f32` by the caller.
#![expect(
    clippy::inline_always,
    reason = "vector code must be inlined into the function that enables the processor's features"
)]

pub mod conv;
pub mod conv_transpose;
mod depthwise;
pub mod gemm;
pub mod geometry;
mod im2col;
pub mod integer;
mod pack;
pub mod packs;
mod parallel;
pub mod pool;
pub mod pool_max;
mod real;
#[cfg(test)]
mod testing;
mod tiles;

pub use geometry::{AutoPad, Channels, ConvGeometry};
pub use real::Real;

/// Why a kernel refuses its arguments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// A slice does not have the number of elements its shape says.
    #[error("{what} holds {found} elements where its shape needs {expected}")]
    Length {
        /// The operand, such as `weights`.
        what: &'static str,
        /// Elements the shape needs.
        expected: usize,
        /// Elements the slice holds.
        found: usize,
    },
    /// Sizes that contradict each other or an attribute outside its range.
    #[error("{0}")]
    Geometry(String),
    /// A product or sum of sizes exceeds the address range.
    #[error("the size of {0} exceeds the address range")]
    Overflow(&'static str),
}

/// Product of sizes; an error that names `what` when it does not fit `usize`.
pub(crate) fn product(
    what: &'static str,
    sizes: impl IntoIterator<Item = usize>,
) -> Result<usize, KernelError> {
    sizes.into_iter().try_fold(1usize, usize::checked_mul).ok_or(KernelError::Overflow(what))
}

/// Refuses a slice whose length is not `expected`.
pub(crate) fn check_len(what: &'static str, expected: usize, found: usize) -> Result<(), KernelError> {
    if expected == found { Ok(()) } else { Err(KernelError::Length { what, expected, found }) }
}
