//! Operators of the family `spatial`.
