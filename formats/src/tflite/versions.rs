//! Versions of builtin operators, and of the runtimes that have them.
use super::program::{Instr, Program};
use super::schema::Builtin;

/// The lowest version of the operator that has the options and element types of `instr`.
pub fn version(_program: &Program, _instr: &Instr) -> u32 {
    1
}

/// The first TFLite runtime that has `builtin` in `version`.
pub fn min_runtime(_builtin: Builtin, _version: u32) -> &'static str {
    "1.5.0"
}

/// The later of two versions written as numbers between dots; the empty text is the earliest.
pub fn later<'a>(a: &'a str, b: &'a str) -> &'a str {
    let key = |s: &str| -> Vec<u32> { s.split('.').map(|n| n.parse().unwrap_or(0)).collect() };
    if key(b) > key(a) { b } else { a }
}
