//! Normalization and biases.
use super::Row;

pub(super) const TABLE: &[Row] = &[];
