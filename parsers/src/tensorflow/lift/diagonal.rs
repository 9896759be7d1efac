//! Diagonals and bands of matrices.
use super::Row;

pub(super) const TABLE: &[Row] = &[];
