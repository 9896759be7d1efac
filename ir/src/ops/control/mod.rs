//! Operators of the family `control`.
