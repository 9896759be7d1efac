//! Operators that compute each element by itself, with broadcasting.
use crate::tflite::lift::{Cx as LiftCx, Lift, Lifted};
use crate::tflite::lower::{Cx, Lower, R};
use crate::tflite::schema::Builtin;
use hoist_ir::dtype::DType;
use hoist_ir::ops::Op;

const FLOAT: &[DType] = &[DType::F32];
const NUMBERS: &[DType] = &[DType::F32, DType::I32, DType::I64];

/// Operators that mean the same in both forms: IR, builtin, and the element types that LiteRT computes.
const PLAIN: &[(&str, Builtin, &[DType])] = &[
    ("add", Builtin::Add, NUMBERS),
    ("sub", Builtin::Sub, NUMBERS),
    ("mul", Builtin::Mul, NUMBERS),
    ("exp", Builtin::Exp, FLOAT),
    ("sigmoid", Builtin::Logistic, FLOAT),
    ("tanh", Builtin::Tanh, FLOAT),
];

/// Operators of the IR and how they are lowered.
pub const LOWER: &[(&str, Lower)] =
    &[("add", plain), ("sub", plain), ("mul", plain), ("exp", plain), ("sigmoid", plain), ("tanh", plain)];
/// Builtin operators and how they are lifted.
pub const LIFT: &[(Builtin, Lift)] = &[
    (Builtin::Add, lift_plain),
    (Builtin::Sub, lift_plain),
    (Builtin::Mul, lift_plain),
    (Builtin::Exp, lift_plain),
    (Builtin::Logistic, lift_plain),
    (Builtin::Tanh, lift_plain),
];

fn plain(cx: &mut Cx<'_>) -> R<()> {
    let name = cx.op().name();
    let row = PLAIN.iter().find(|r| r.0 == name).ok_or("no row")?;
    let dtype = cx.dtype(0)?;
    if !row.2.contains(&dtype) {
        return Err(format!("element type {dtype}"));
    }
    let args = cx.args()?;
    cx.emit(row.1, None, &args)
}

fn lift_plain(cx: &mut LiftCx<'_, '_>) -> Lifted {
    let row = PLAIN.iter().find(|r| r.1 == cx.builtin).ok_or_else(|| cx.bad("no row"))?;
    let op = Op::by_name(row.0).ok_or_else(|| cx.bad("no operator"))?;
    let operands = cx.inputs.clone();
    let y = cx.b.add(op, &operands)?;
    Ok(vec![cx.activated(y[0])?])
}
