//! Conversions between element types, and choosing.
use super::ranks;
use crate::tflite::dtype::to_code;
use crate::tflite::lower::{Cx, R, WRONG_TYPE};
use crate::tflite::schema::Builtin;
use crate::tflite::table::Record;
use hoist_ir::dtype::DType;
use hoist_ir::ops::Op;

/// Types between which CAST converts.
const CASTABLE: &[DType] = &[
    DType::F32,
    DType::F16,
    DType::BF16,
    DType::F64,
    DType::I8,
    DType::U8,
    DType::I16,
    DType::U16,
    DType::I32,
    DType::U32,
    DType::I64,
    DType::Bool,
];

fn options(from: DType, to: DType) -> Option<Record> {
    let code = |d: DType| to_code(d).unwrap_or(0);
    Builtin::Cast.options().map(|o| o.with("in_data_type", code(from)).with("out_data_type", code(to)))
}

/// Floats go to integers narrower than 64 bits through those: CAST saturates, which only its way from integers does not.
pub(super) fn cast(cx: &mut Cx<'_>) -> R<()> {
    let (from, to) = (cx.dtype(0)?, cx.out_ty(0)?.dtype);
    let mut x = cx.arg(0)?;
    if from == to {
        return cx.forward(0, 0);
    }
    let whole = |d: DType| d.is_int() || d == DType::Bool;
    match (from, to) {
        (DType::I64, DType::U64) | (DType::U64, DType::I64) => return cx.emit(Builtin::Bitcast, None, &[x]),
        (_, DType::U64) if whole(from) && CASTABLE.contains(&from) => {
            let x = cx.cast(x, DType::I64)?;
            return cx.emit(Builtin::Bitcast, None, &[x]);
        }
        (DType::U64, _) if whole(to) && CASTABLE.contains(&to) => {
            let ty = hoist_ir::types::TensorType { dtype: DType::I64, ..cx.def(x).ty.clone() };
            let x = cx.temp(Builtin::Bitcast, None, &[Some(x)], ty)?;
            return cx.emit(Builtin::Cast, options(DType::I64, to), &[x]);
        }
        _ => {}
    }
    for d in [from, to] {
        if !CASTABLE.contains(&d) {
            return Err(format!("{WRONG_TYPE} {d}"));
        }
    }
    let mut given = from;
    if from.is_float() && to.is_int() && !matches!(to, DType::I32 | DType::I64) {
        x = cx.cast(x, DType::I64)?;
        given = DType::I64;
    }
    cx.emit(Builtin::Cast, options(given, to), &[x])
}

pub(super) fn bit_cast(cx: &mut Cx<'_>) -> R<()> {
    let Op::BitCast(op) = cx.op() else { return Err("no type".to_owned()) };
    let bytes = |d: DType| d.bits() >= 8 && d != DType::Bool && to_code(d).is_some();
    for d in [cx.dtype(0)?, op.to] {
        if !bytes(d) {
            return Err(format!("{WRONG_TYPE} {d}"));
        }
    }
    let x = cx.arg(0)?;
    cx.emit(Builtin::Bitcast, None, &[x])
}

pub(super) fn select(cx: &mut Cx<'_>) -> R<()> {
    if cx.dtype(1)? == DType::String {
        return Err(format!("{WRONG_TYPE} {}", DType::String));
    }
    ranks(cx)?;
    let args = cx.args()?;
    cx.emit(Builtin::SelectV2, None, &args)
}
