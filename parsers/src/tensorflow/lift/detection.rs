//! Boxes and decoders.
use super::Row;

pub(super) const TABLE: &[Row] = &[];
