//! Reading and writing at positions.
use super::Row;

pub(super) const TABLE: &[Row] = &[];
