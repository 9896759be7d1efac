//! Operators of the family `shape`.
