//! Quantization: QUANTIZE, DEQUANTIZE, and the quantization that tensors carry.
use crate::tflite::lift::Lift;
use crate::tflite::lower::Lower;
use crate::tflite::program::Quant;
use crate::tflite::schema::Builtin;
use hoist_ir::graph::{Graph, ValueId};

/// Operators of the IR and how they are lowered.
pub const LOWER: &[(&str, Lower)] = &[];
/// Builtin operators and how they are lifted.
pub const LIFT: &[(Builtin, Lift)] = &[];

/// The quantization of a value: that of the `quantize_linear` that makes it, or of the `dequantize_linear` nodes that read it.
pub fn quant_of(_g: &Graph, _v: ValueId) -> Option<Quant> {
    None
}
