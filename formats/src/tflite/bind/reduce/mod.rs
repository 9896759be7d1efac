//! Reductions, scans, sorting, softmax.
mod scan;

use crate::tflite::lift::{Cx as LiftCx, Lift, Lifted};
use crate::tflite::lower::{Cx, Lower, R};
use crate::tflite::program::T;
use crate::tflite::schema::Builtin;
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;
use hoist_ir::ops::Op;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::TensorType;

const NUMBERS: &[DType] = &[DType::F32, DType::I32, DType::I64];
const ORDERED: &[DType] = &[DType::F32, DType::I8, DType::U8, DType::I16, DType::I32, DType::I64];
const TRUTH: &[DType] = &[DType::Bool];

/// Reductions: IR, builtin, and the element types that LiteRT computes.
const REDUCTIONS: &[(&str, Builtin, &[DType])] = &[
    ("reduce_max", Builtin::ReduceAny, TRUTH),
    ("reduce_max", Builtin::ReduceMax, ORDERED),
    ("reduce_mean", Builtin::Mean, NUMBERS),
    ("reduce_min", Builtin::ReduceAll, TRUTH),
    ("reduce_min", Builtin::ReduceMin, ORDERED),
    ("reduce_prod", Builtin::ReduceProd, NUMBERS),
    ("reduce_sum", Builtin::Sum, NUMBERS),
];

/// Operators of the IR and how they are lowered.
pub const LOWER: &[(&str, Lower)] = &[
    ("arg_max", scan::arg),
    ("arg_min", scan::arg),
    ("cum_sum", scan::cum_sum),
    ("log_softmax", scan::softmax),
    ("reduce_max", reduction),
    ("reduce_mean", reduction),
    ("reduce_min", reduction),
    ("reduce_prod", reduction),
    ("reduce_sum", reduction),
    ("softmax", scan::softmax),
    ("top_k", scan::top_k),
];
/// Builtin operators and how they are lifted.
pub const LIFT: &[(Builtin, Lift)] = &[
    (Builtin::ArgMax, scan::lift_arg),
    (Builtin::ArgMin, scan::lift_arg),
    (Builtin::Cumsum, scan::lift_cum_sum),
    (Builtin::LogSoftmax, scan::lift_softmax),
    (Builtin::Mean, lift),
    (Builtin::ReduceAll, lift),
    (Builtin::ReduceAny, lift),
    (Builtin::ReduceMax, lift),
    (Builtin::ReduceMin, lift),
    (Builtin::ReduceProd, lift),
    (Builtin::Softmax, scan::lift_softmax),
    (Builtin::Sum, lift),
    (Builtin::TopkV2, scan::lift_top_k),
];

fn reduction(cx: &mut Cx<'_>) -> R<()> {
    let (name, dtype) = (cx.op().name(), cx.dtype(0)?);
    let row = REDUCTIONS.iter().find(|r| r.0 == name && r.2.contains(&dtype));
    let row = row.ok_or_else(|| format!("{} {dtype}", crate::tflite::lower::WRONG_TYPE))?;
    let axes = axes(cx)?;
    if matches!(row.1, Builtin::ReduceMax | Builtin::ReduceMin | Builtin::Mean) && !has_elements(cx, axes) {
        return Err("an axis without elements".to_owned());
    }
    let keep = cx.op().def().attr("keepdims") == Some(Attr::Bool(true));
    let x = cx.arg(0)?;
    cx.emit(row.1, row.1.options().map(|o| o.with("keep_dims", keep)), &[x, axes])
}

/// The axes that are reduced.
fn axes(cx: &mut Cx<'_>) -> R<T> {
    let given = cx.ints(1);
    if cx.value(1).is_some() && given.is_none() {
        // What is empty means all axes in one form and none in the other.
        let count = cx.sizes(1).and_then(|s| s.first().copied());
        return match count {
            Some(n) if n > 0 => cx.sizes32(1),
            _ => Err("axes that are computed and may be none".to_owned()),
        };
    }
    match given {
        Some(axes) if !axes.is_empty() => cx.ints32(&axes),
        _ if cx.op().def().attr("noop_with_empty_axes") == Some(Attr::Bool(true)) => {
            Err("no axes, which means none".to_owned())
        }
        _ => all_axes(cx),
    }
}

fn all_axes(cx: &mut Cx<'_>) -> R<T> {
    if let Ok(rank) = cx.rank(0) {
        return cx.ints32(&(0..rank as i64).collect::<Vec<_>>());
    }
    let x = cx.arg(0)?;
    let number = |shape| TensorType { dtype: DType::I32, shape };
    let rank = cx.temp(Builtin::Rank, None, &[Some(x)], number(Some(vec![])))?;
    let (zero, one) = (cx.konst(Tensor::scalar(0i32)), cx.konst(Tensor::scalar(1i32)));
    let unknown = hoist_ir::dim::Dim::Unknown;
    cx.temp(Builtin::Range, None, &[Some(zero), Some(rank), Some(one)], number(Some(vec![unknown])))
}

/// Whether no reduced axis is known to be empty.
fn has_elements(cx: &Cx<'_>, axes: T) -> bool {
    let Some(shape) = cx.shape(0) else { return true };
    let axes = cx.def(axes).data.as_ref().and_then(|d| d.to_i64s().ok());
    let empty = |i: usize| shape.get(i).is_some_and(|d| d.known() == Some(0));
    let rank = shape.len() as i64;
    match axes {
        Some(axes) => !axes.iter().any(|a| empty(a.rem_euclid(rank.max(1)) as usize)),
        None => !(0..shape.len()).any(empty),
    }
}

fn lift(cx: &mut LiftCx<'_, '_>) -> Lifted {
    let row = REDUCTIONS.iter().find(|r| r.1 == cx.builtin).ok_or_else(|| cx.bad("no row"))?;
    let mut op = Op::by_name(row.0).ok_or_else(|| cx.bad("no operator"))?;
    let axes = cx.ints(1);
    for (name, value) in
        [("keepdims", cx.flag("keep_dims")), ("noop_with_empty_axes", axes.is_none_or(|a| a.is_empty()))]
    {
        op.def_mut().set_attr(name, &Attr::Bool(value)).map_err(|e| cx.bad(e.message))?;
    }
    let x = cx.arg(0)?;
    let axes = axis_list(cx)?;
    let dtype = cx.dtype(x)?;
    // The IR reduces narrow integers only to their largest and smallest.
    let narrow = dtype.is_int() && dtype.bits() < 32;
    let kept = narrow && matches!(row.0, "reduce_max" | "reduce_min") && dtype.bits() == 8;
    if narrow && !kept {
        let wide = cx.cast(x, DType::I32)?;
        let y = cx.op(op, &[wide, axes])?;
        return Ok(vec![cx.cast(y, dtype)?]);
    }
    Ok(vec![cx.op(op, &[x, axes])?])
}

/// Operand 1 as a list of axes without repeats; the file may have a single number.
fn axis_list(cx: &mut LiftCx<'_, '_>) -> Result<hoist_ir::graph::ValueId, hoist_ir::diag::Diag> {
    let x = cx.arg(0)?;
    if let (Some(axes), Ok(rank)) = (cx.ints(1), cx.rank(x)) {
        let rank = rank as i64;
        let mut seen = std::collections::BTreeSet::new();
        let axes: Vec<i64> =
            axes.into_iter().filter(|a| seen.insert(if *a < 0 { a + rank } else { *a })).collect();
        return Ok(cx.b.ints(&axes));
    }
    let axes = cx.wide(1)?;
    if cx.rank(axes)? == 1 {
        return Ok(axes);
    }
    let one = cx.b.ints(&[-1]);
    cx.op(hoist_ir::ops::movement::reshape::Reshape::default(), &[axes, one])
}
