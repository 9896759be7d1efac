//! Float operators between DEQUANTIZE and QUANTIZE as integer operators.
use crate::tflite::program::Program;

/// Makes integer operators of what LiteRT computes on stored elements.
pub fn fuse(_program: &mut Program) {}
