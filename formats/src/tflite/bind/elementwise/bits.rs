//! Operators on bits.
use super::arithmetic::same_shape;
use super::ranks;
use crate::tflite::lower::{Cx, R};
use crate::tflite::schema::Builtin;
use hoist_ir::dtype::DType;
use hoist_ir::ops::Op;
use hoist_ir::ops::elementwise::logic::Direction;

/// Types whose bits can be combined and shifted.
const INTS: &[DType] = &[DType::I8, DType::U8, DType::I16, DType::U16, DType::I32, DType::U32];
const ALL_INTS: &[DType] =
    &[DType::I8, DType::U8, DType::I16, DType::U16, DType::I32, DType::U32, DType::I64, DType::U64];

pub(super) fn and(cx: &mut Cx<'_>) -> R<()> {
    cx.of_type(0, ALL_INTS)?;
    let args = cx.args()?;
    same_shape(cx, Builtin::StablehloAnd, args)
}

pub(super) fn xor(cx: &mut Cx<'_>) -> R<()> {
    cx.of_type(0, INTS)?;
    ranks(cx)?;
    let args = cx.args()?;
    cx.emit(Builtin::BitwiseXor, None, &args)
}

/// A constant number of places that is less than the width: beyond it, kernels differ from the IR.
pub(super) fn shift(cx: &mut Cx<'_>) -> R<()> {
    let Op::BitShift(op) = cx.op() else { return Err("no direction".to_owned()) };
    let right = op.direction == Direction::Right;
    let dtype = cx.of_type(0, if right { INTS } else { &[DType::I8, DType::I16, DType::I32] })?;
    let places = cx.needed_ints(1, "numbers of places")?;
    if places.iter().any(|p| *p < 0 || *p >= i64::from(dtype.bits())) {
        return Err("a number of places beyond the width".to_owned());
    }
    ranks(cx)?;
    let args = cx.args()?;
    if right {
        cx.emit(Builtin::RightShift, None, &args)
    } else {
        same_shape(cx, Builtin::StablehloShiftLeft, args)
    }
}
