//! Operators of the family `linear`.
pub(crate) mod compute;
pub mod det;
pub mod einsum;
mod einsum_expand;
mod einsum_terms;
pub mod gemm;
pub(crate) mod ints;
pub mod mat_mul;
pub mod mat_mul_integer;
#[cfg(test)]
pub(crate) mod testing;
