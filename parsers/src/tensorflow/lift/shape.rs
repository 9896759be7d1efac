//! Shapes, and what only rearranges.
use super::Row;

pub(super) const TABLE: &[Row] = &[];
