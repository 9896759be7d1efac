//! Operators of the family `index`.
