//! Sparse tensors as triples of indices, values and sizes.
use super::Row;

pub(super) const TABLE: &[Row] = &[];
