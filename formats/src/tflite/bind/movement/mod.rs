//! Operators that move elements without computing: shapes, slices, concatenation, padding.
mod arrange;
mod lift;
mod pad;
pub mod shape;
pub mod slice;

#[cfg(test)]
mod tests;

use crate::tflite::lift::Lift;
use crate::tflite::lower::Lower;
use crate::tflite::schema::Builtin;
use hoist_ir::dtype::DType;

/// Operators of the IR and how they are lowered.
pub const LOWER: &[(&str, Lower)] = &[
    ("center_crop_pad", pad::center_crop_pad),
    ("concat", arrange::concat),
    ("constant_of_shape", shape::constant_of_shape),
    ("expand", arrange::expand),
    ("flatten", shape::flatten),
    ("pad", pad::pad),
    ("range", shape::range),
    ("reshape", shape::reshape),
    ("reverse_sequence", arrange::reverse_sequence),
    ("shape", shape::shape),
    ("size", shape::size),
    ("slice", slice::slice),
    ("split", slice::split),
    ("squeeze", shape::squeeze),
    ("tile", arrange::tile),
    ("transpose", arrange::transpose),
    ("unsqueeze", shape::unsqueeze),
];
/// Builtin operators and how they are lifted.
pub const LIFT: &[(Builtin, Lift)] = lift::LIFT;

/// Element types of GATHER, `GATHER_ND` and PAD.
pub const GATHERED: &[DType] =
    &[DType::F32, DType::I32, DType::I64, DType::I16, DType::I8, DType::U8, DType::Bool];
/// Element types that kernels copy by their width.
pub const COPIED: &[DType] = &[
    DType::F32,
    DType::I32,
    DType::I64,
    DType::I16,
    DType::I8,
    DType::U8,
    DType::Bool,
    DType::F16,
    DType::BF16,
    DType::F64,
    DType::U16,
    DType::U32,
    DType::U64,
    DType::C64,
];
