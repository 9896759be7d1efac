//! Operators that TensorFlow's optimizer fuses.
use super::Row;

pub(super) const TABLE: &[Row] = &[];
