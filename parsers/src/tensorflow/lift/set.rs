//! Sets, partitions and other operators whose sizes depend on data.
use super::Row;

pub(super) const TABLE: &[Row] = &[];
