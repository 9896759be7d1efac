//! Products and matrices.
use super::Row;

pub(super) const TABLE: &[Row] = &[];
