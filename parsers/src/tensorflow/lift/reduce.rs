//! Reductions and running sums.
use super::Row;

pub(super) const TABLE: &[Row] = &[];
