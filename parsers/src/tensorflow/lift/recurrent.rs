//! Recurrent cells and layers of one operator.
use super::Row;

pub(super) const TABLE: &[Row] = &[];
