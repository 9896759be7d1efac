//! Slices and pads.
use super::Row;

pub(super) const TABLE: &[Row] = &[];
