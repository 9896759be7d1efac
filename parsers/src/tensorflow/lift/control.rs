//! Branches, loops, and what frames become.
use super::Row;

pub(super) const TABLE: &[Row] = &[];
