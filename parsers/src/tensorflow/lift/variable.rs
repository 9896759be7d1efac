//! Variables and their checkpoints.
use super::Row;

pub(super) const TABLE: &[Row] = &[];
