//! Operators that compute each element by itself, with broadcasting.
mod arithmetic;
mod bits;
mod convert;
mod inverse;
mod lift;

use crate::tflite::lift::{Cx as LiftCx, Lift, Lifted};
use crate::tflite::lower::{Cx, Lower, R};
use crate::tflite::schema::Builtin;
use hoist_ir::dtype::DType;
use hoist_ir::ops::Op;

const FLOAT: &[DType] = &[DType::F32];
/// Of two operands, as sums.
const NUMBERS: &[DType] = &[DType::F32, DType::I32, DType::I64];
const TRUTH: &[DType] = &[DType::Bool];
/// What can be tested for equality.
const EQUATABLE: &[DType] = &[DType::F32, DType::I32, DType::I64, DType::Bool];
/// Most axes of an operand that is broadcast.
pub(super) const MAX_RANK: usize = 8;

pub(super) use arithmetic::scalar;

/// Operators that mean the same in both forms: IR, builtin, and the element types that LiteRT computes.
const PLAIN: &[(&str, Builtin, &[DType])] = &[
    ("abs", Builtin::Abs, &[DType::F32, DType::I32]),
    ("add", Builtin::Add, NUMBERS),
    ("and", Builtin::LogicalAnd, TRUTH),
    ("ceil", Builtin::Ceil, FLOAT),
    ("cos", Builtin::Cos, FLOAT),
    ("div", Builtin::Div, &[DType::F32, DType::I32]),
    ("equal", Builtin::Equal, EQUATABLE),
    ("exp", Builtin::Exp, FLOAT),
    ("floor", Builtin::Floor, FLOAT),
    ("greater", Builtin::Greater, NUMBERS),
    ("greater_or_equal", Builtin::GreaterEqual, NUMBERS),
    ("less", Builtin::Less, NUMBERS),
    ("less_or_equal", Builtin::LessEqual, NUMBERS),
    ("log", Builtin::Log, FLOAT),
    ("mul", Builtin::Mul, NUMBERS),
    ("neg", Builtin::Neg, &[DType::F32, DType::I8, DType::I16, DType::I32, DType::I64]),
    ("not", Builtin::LogicalNot, TRUTH),
    ("or", Builtin::LogicalOr, TRUTH),
    ("round", Builtin::Round, FLOAT),
    ("sigmoid", Builtin::Logistic, FLOAT),
    ("sign", Builtin::Sign, &[DType::F32, DType::F64, DType::I32]),
    ("sin", Builtin::Sin, FLOAT),
    ("sqrt", Builtin::Sqrt, FLOAT),
    ("sub", Builtin::Sub, NUMBERS),
    ("tanh", Builtin::Tanh, FLOAT),
    ("xor", Builtin::NotEqual, TRUTH),
];

/// Operators of [`PLAIN`] and how they are lowered.
pub const LOWER_PLAIN: &[(&str, Lower)] = &{
    let mut rows = [("", plain as Lower); PLAIN.len()];
    let mut i = 0;
    while i < rows.len() {
        rows[i].0 = PLAIN[i].0;
        i += 1;
    }
    rows
};
/// The other operators of the IR and how they are lowered.
pub const LOWER: &[(&str, Lower)] = &[
    ("acos", inverse::lower),
    ("asin", inverse::lower),
    ("atan", inverse::lower),
    ("bit_cast", convert::bit_cast),
    ("bitwise_and", bits::and),
    ("bitwise_xor", bits::xor),
    ("bit_shift", bits::shift),
    ("cast", convert::cast),
    ("clip", arithmetic::clip),
    ("identity", |cx| cx.forward(0, 0)),
    ("is_inf", arithmetic::is_inf),
    ("is_nan", arithmetic::is_nan),
    ("max", arithmetic::extreme),
    ("min", arithmetic::extreme),
    ("mod", arithmetic::modulo),
    ("pow", arithmetic::pow),
    ("reciprocal", arithmetic::reciprocal),
    ("sum", arithmetic::sum),
    ("where", convert::select),
];
/// Builtin operators of [`PLAIN`] and how they are lifted.
pub const LIFT_PLAIN: &[(Builtin, Lift)] = &{
    let mut rows = [(Builtin::Add, lift_plain as Lift); PLAIN.len() - 1];
    let (mut i, mut k) = (0, 0);
    while i < PLAIN.len() {
        // Of numbers, NOT_EQUAL is no `xor`.
        if !matches!(PLAIN[i].1, Builtin::NotEqual) {
            rows[k].0 = PLAIN[i].1;
            k += 1;
        }
        i += 1;
    }
    rows
};
/// The other builtin operators and how they are lifted.
pub const LIFT: &[(Builtin, Lift)] = lift::LIFT;

fn plain(cx: &mut Cx<'_>) -> R<()> {
    let name = cx.op().name();
    let row = PLAIN.iter().find(|r| r.0 == name).ok_or("no row")?;
    let args = cx.args()?;
    if cx.dtype(0)? == DType::F64
        && let Some(builtin) = arithmetic::wide(row.1)
    {
        return arithmetic::same_shape(cx, builtin, args);
    }
    cx.of_type(0, row.2)?;
    ranks(cx)?;
    cx.emit(row.1, None, &args)
}

/// Refuses more axes than kernels that broadcast go through.
fn ranks(cx: &Cx<'_>) -> R<()> {
    for i in 0..cx.len() {
        if cx.len() > 1 && cx.shape(i).is_some_and(|s| s.len() > MAX_RANK) {
            return Err(format!("an operand of more than {MAX_RANK} axes"));
        }
    }
    Ok(())
}

fn lift_plain(cx: &mut LiftCx<'_, '_>) -> Lifted {
    let row = PLAIN.iter().find(|r| r.1 == cx.builtin).ok_or_else(|| cx.bad("no row"))?;
    let op = Op::by_name(row.0).ok_or_else(|| cx.bad("no operator"))?;
    let operands = cx.inputs.clone();
    let y = cx.b.add(op, &operands)?;
    Ok(vec![cx.activated(y[0])?])
}
