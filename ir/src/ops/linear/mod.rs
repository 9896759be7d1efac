//! Operators of the family `linear`.
