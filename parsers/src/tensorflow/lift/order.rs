//! Sorting, searching, choosing.
use super::Row;

pub(super) const TABLE: &[Row] = &[];
