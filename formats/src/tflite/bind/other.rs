//! Operators of no other family: variables, hash tables, random numbers, text, custom operators.
use crate::tflite::lift::Lift;
use crate::tflite::lower::Lower;
use crate::tflite::schema::Builtin;

/// Operators of the IR and how they are lowered.
pub const LOWER: &[(&str, Lower)] = &[];
/// Builtin operators and how they are lifted.
pub const LIFT: &[(Builtin, Lift)] = &[];
