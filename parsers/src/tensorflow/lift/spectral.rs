//! Fourier transforms and complex numbers.
use super::Row;

pub(super) const TABLE: &[Row] = &[];
