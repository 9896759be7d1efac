//! Arithmetic whose form depends on element types or operands.
use super::{FLOAT, ranks};
use crate::tflite::lower::{Cx, R};
use crate::tflite::program::T;
use crate::tflite::schema::Builtin;
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::TensorType;

/// Types in which the larger and smaller of two is computed.
const ORDERED: &[DType] = &[DType::F32, DType::I8, DType::U8, DType::I16, DType::I32, DType::I64];

/// The operator that computes what `builtin` does for `f64`, of operands of one shape.
pub(super) fn wide(builtin: Builtin) -> Option<Builtin> {
    match builtin {
        Builtin::Add => Some(Builtin::StablehloAdd),
        Builtin::Mul => Some(Builtin::StablehloMultiply),
        _ => None,
    }
}

/// Emits `builtin`, which does not broadcast, of the operands brought to the shape of the result.
pub(super) fn same_shape(cx: &mut Cx<'_>, builtin: Builtin, args: Vec<T>) -> R<()> {
    let args = broadcast_all(cx, args)?;
    cx.emit(builtin, None, &args)
}

/// The operands in the shape of the result.
pub(super) fn broadcast_all(cx: &mut Cx<'_>, args: Vec<T>) -> R<Vec<T>> {
    let out = cx.out_ty(0)?.clone();
    let same = |t: &T| {
        let own = cx.def(*t).ty.shape.as_ref();
        own.zip(out.shape.as_ref()).is_some_and(|(own, shape)| {
            own.len() == shape.len() && own.iter().zip(shape).all(|(a, b)| a.surely_equals(b))
        })
    };
    let kept: Vec<bool> = args.iter().map(same).collect();
    if kept.iter().all(|k| *k) {
        return Ok(args);
    }
    let target = match out.sizes() {
        Some(sizes) => cx.ints32(&sizes.into_iter().map(|n| n as i64).collect::<Vec<_>>())?,
        None => joint_shape(cx, &args, &out)?,
    };
    let mut all = vec![];
    for (t, kept) in args.into_iter().zip(kept) {
        let ty = TensorType { dtype: cx.def(t).ty.dtype, shape: out.shape.clone() };
        all.push(if kept { t } else { cx.temp(Builtin::BroadcastTo, None, &[Some(t), Some(target)], ty)? });
    }
    Ok(all)
}

/// The shape to which the operands are broadcast together, computed at run time.
fn joint_shape(cx: &mut Cx<'_>, args: &[T], out: &TensorType) -> R<T> {
    let mut joint = None;
    for t in args {
        let own = cx.shape_of(*t)?;
        joint = Some(match joint {
            None => own,
            Some(before) => {
                let rank = out.rank().ok_or("operands of unknown rank")?;
                let ty = TensorType { dtype: DType::I32, shape: Some(vec![rank.into()]) };
                cx.temp(Builtin::BroadcastArgs, None, &[Some(before), Some(own)], ty)?
            }
        });
    }
    joint.ok_or_else(|| "no operands".to_owned())
}

/// MAXIMUM and MINIMUM give the second operand when either is NaN. So what cannot be NaN stands first, and where neither is known,
/// the first is looked at by itself.
fn larger_or_smaller(cx: &mut Cx<'_>, builtin: Builtin, a: T, b: T, ty: &TensorType) -> R<T> {
    let safe = |cx: &Cx<'_>, t: T| {
        let data = cx.def(t).data.as_ref().filter(|d| d.len() <= 4096);
        ty.dtype != DType::F32
            || data.and_then(|d| d.to_f64s().ok()).is_some_and(|v| v.iter().all(|x| !x.is_nan()))
    };
    let (a, b) = if safe(cx, b) && !safe(cx, a) { (b, a) } else { (a, b) };
    let known = safe(cx, a);
    let y = cx.temp(builtin, None, &[Some(a), Some(b)], ty.clone())?;
    if known {
        return Ok(y);
    }
    let test = TensorType { dtype: DType::Bool, ..cx.def(a).ty.clone() };
    let nan = cx.temp(Builtin::NotEqual, None, &[Some(a), Some(a)], test)?;
    cx.temp(Builtin::SelectV2, None, &[Some(nan), Some(a), Some(y)], ty.clone())
}

pub(super) fn extreme(cx: &mut Cx<'_>) -> R<()> {
    let larger = cx.op().name() == "max";
    if cx.dtype(0)? == DType::F64 && cx.len() == 2 {
        let args = cx.args()?;
        let builtin = if larger { Builtin::StablehloMaximum } else { Builtin::StablehloMinimum };
        return same_shape(cx, builtin, args);
    }
    cx.of_type(0, ORDERED)?;
    ranks(cx)?;
    let builtin = if larger { Builtin::Maximum } else { Builtin::Minimum };
    let ty = cx.out_ty(0)?.clone();
    let args = cx.args()?;
    let Some((first, rest)) = args.split_first() else { return Err("no operands".to_owned()) };
    if rest.is_empty() {
        return cx.forward(0, 0);
    }
    // Dequantized integers are never NaN.
    let made = |i: usize| cx.value(i).and_then(|v| cx.g.producer(v));
    let numbers: Vec<bool> = (0..args.len())
        .map(|i| made(i).is_some_and(|n| cx.g.node(n).op().name() == "dequantize_linear"))
        .collect();
    let (mut y, mut number) = (*first, numbers.first() == Some(&true));
    for (t, other) in rest.iter().zip(numbers.into_iter().skip(1)) {
        y = match (number, other) {
            (true, _) => cx.temp(builtin, None, &[Some(y), Some(*t)], ty.clone())?,
            (_, true) => cx.temp(builtin, None, &[Some(*t), Some(y)], ty.clone())?,
            _ => larger_or_smaller(cx, builtin, y, *t, &ty)?,
        };
        number &= other;
    }
    cx.alias(0, y)
}

/// Bounds for which there is an activation.
const CLIPPED: &[(f64, f64, Builtin)] = &[
    (0.0, f64::INFINITY, Builtin::Relu),
    (0.0, 6.0, Builtin::Relu6),
    (-1.0, 1.0, Builtin::ReluN1To1),
    (0.0, 1.0, Builtin::Relu0To1),
];

pub(super) fn clip(cx: &mut Cx<'_>) -> R<()> {
    let dtype = cx.of_type(0, ORDERED)?;
    let bound = |i: usize, absent: f64| match cx.value(i) {
        None => Some(absent),
        Some(_) => cx.number(i),
    };
    let (low, high) = (bound(1, f64::NEG_INFINITY), bound(2, f64::INFINITY));
    let x = cx.arg(0)?;
    if let (Some(low), Some(high), DType::F32) = (low, high, dtype) {
        let fits =
            |r: &&(f64, f64, Builtin)| r.0.to_bits() == low.to_bits() && r.1.to_bits() == high.to_bits();
        if let Some(row) = CLIPPED.iter().find(fits) {
            return cx.emit(row.2, None, &[x]);
        }
    }
    if cx.value(1).is_none() && cx.value(2).is_none() {
        return cx.forward(0, 0);
    }
    let ty = cx.out_ty(0)?.clone();
    let mut y = x;
    for (i, builtin) in [(1, Builtin::Maximum), (2, Builtin::Minimum)] {
        if let Some(limit) = cx.opt(i)? {
            let limit = scalar(cx, limit)?;
            // Kernels may exchange operands of which one is broadcast at run time, so that only a constant bound keeps NaN by its place.
            y = if cx.def(limit).data.is_some() {
                cx.temp(builtin, None, &[Some(limit), Some(y)], ty.clone())?
            } else {
                larger_or_smaller(cx, builtin, y, limit, &ty)?
            };
        }
    }
    cx.alias(0, y)
}

/// A tensor of one element as one of rank 0, so that it does not add axes to what it is broadcast with.
pub(in crate::tflite::bind) fn scalar(cx: &mut Cx<'_>, t: T) -> R<T> {
    let def = cx.def(t);
    if def.ty.rank() == Some(0) {
        return Ok(t);
    }
    if let Some(data) = def.data.as_ref().and_then(|d| d.reshape(&[]).ok()) {
        return Ok(cx.konst(data));
    }
    let ty = TensorType { shape: Some(vec![]), ..def.ty.clone() };
    let none = cx.ints32(&[])?;
    cx.temp(Builtin::Reshape, None, &[Some(t), Some(none)], ty)
}

pub(super) fn sum(cx: &mut Cx<'_>) -> R<()> {
    cx.of_type(0, FLOAT)?;
    ranks(cx)?;
    let args = cx.args()?;
    let ty = cx.out_ty(0)?.clone();
    let [first, middle @ .., last] = args.as_slice() else { return cx.forward(0, 0) };
    let mut y = *first;
    for t in middle {
        y = cx.temp(Builtin::Add, None, &[Some(y), Some(*t)], ty.clone())?;
    }
    cx.emit(Builtin::Add, None, &[y, *last])
}

pub(super) fn reciprocal(cx: &mut Cx<'_>) -> R<()> {
    cx.of_type(0, FLOAT)?;
    let x = cx.arg(0)?;
    let one = cx.scalar_like(1.0, x)?;
    cx.emit(Builtin::Div, None, &[one, x])
}

pub(super) fn is_nan(cx: &mut Cx<'_>) -> R<()> {
    cx.of_type(0, FLOAT)?;
    let x = cx.arg(0)?;
    cx.emit(Builtin::NotEqual, None, &[x, x])
}

pub(super) fn is_inf(cx: &mut Cx<'_>) -> R<()> {
    cx.of_type(0, FLOAT)?;
    let flag = |name| cx.op().def().attr(name) == Some(Attr::Bool(true));
    let (negative, positive) = (flag("detect_negative"), flag("detect_positive"));
    let mut x = cx.arg(0)?;
    if !negative && !positive {
        return cx.emit(Builtin::Less, None, &[x, x]);
    }
    if negative && positive {
        x = cx.temp_like(Builtin::Abs, &[x], x)?;
    }
    let limit = cx.konst(Tensor::scalar(if positive { f32::INFINITY } else { f32::NEG_INFINITY }));
    cx.emit(Builtin::Equal, None, &[x, limit])
}

/// `FLOOR_MOD` has the sign of the divisor. The remainder with the sign of the dividend is that of the magnitudes for floats, exactly;
/// for integers, one divisor less where the signs differ.
pub(super) fn modulo(cx: &mut Cx<'_>) -> R<()> {
    let dtype = cx.of_type(0, &[DType::F32, DType::I32, DType::I64])?;
    ranks(cx)?;
    let (a, b) = (cx.arg(0)?, cx.arg(1)?);
    if cx.op().def().attr("fmod") != Some(Attr::Bool(true)) {
        return cx.emit(Builtin::FloorMod, None, &[a, b]);
    }
    let out = cx.out_ty(0)?.clone();
    let truth = |ty: &TensorType| TensorType { dtype: DType::Bool, ..ty.clone() };
    let zero = cx.scalar_like(0.0, a)?;
    let below = |cx: &mut Cx<'_>, t: T| {
        let ty = truth(&cx.def(t).ty);
        cx.temp(Builtin::Less, None, &[Some(t), Some(zero)], ty)
    };
    if dtype == DType::F32 {
        let (m, n) = (cx.temp_like(Builtin::Abs, &[a], a)?, cx.temp_like(Builtin::Abs, &[b], b)?);
        let rest = cx.temp(Builtin::FloorMod, None, &[Some(m), Some(n)], out.clone())?;
        let minus = cx.temp_like(Builtin::Neg, &[rest], rest)?;
        let negative = below(cx, a)?;
        return cx.emit(Builtin::SelectV2, None, &[negative, minus, rest]);
    }
    let rest = cx.temp(Builtin::FloorMod, None, &[Some(a), Some(b)], out.clone())?;
    let moved = cx.temp(Builtin::Sub, None, &[Some(rest), Some(b)], out.clone())?;
    let (x, y) = (below(cx, rest)?, below(cx, a)?);
    let differs = cx.temp(Builtin::NotEqual, None, &[Some(x), Some(y)], truth(&out))?;
    let some = cx.temp(Builtin::NotEqual, None, &[Some(rest), Some(zero)], truth(&out))?;
    let wrong = cx.temp(Builtin::LogicalAnd, None, &[Some(differs), Some(some)], truth(&out))?;
    cx.emit(Builtin::SelectV2, None, &[wrong, moved, rest])
}

/// Whole exponents up to 4 are products, which are faster and as precise.
pub(super) fn pow(cx: &mut Cx<'_>) -> R<()> {
    let dtype = cx.of_type(0, &[DType::F32, DType::I32, DType::I64])?;
    let other = cx.dtype(1)?;
    ranks(cx)?;
    let x = cx.arg(0)?;
    let exponent = cx.number(1);
    let grows = cx.rank(1)? > 0 && cx.out_ty(0)?.rank() != cx.rank(0).ok();
    if let Some(e) = exponent.filter(|e| [1.0, 2.0, 3.0, 4.0].contains(e) && !grows) {
        return power(cx, x, e);
    }
    if dtype == DType::F32 && other == DType::F32 {
        let y = cx.arg(1)?;
        return cx.emit(Builtin::Pow, None, &[x, y]);
    }
    let positive = cx.ints(1).is_some_and(|v| v.iter().all(|e| *e >= 0));
    if dtype == DType::I32 && other == DType::I32 && positive {
        let y = cx.arg(1)?;
        return cx.emit(Builtin::Pow, None, &[x, y]);
    }
    if dtype == DType::I64 {
        return Err(format!("{dtype} to such a power"));
    }
    Err(format!("{dtype} to a power of type {other}, or that may be negative"))
}

fn power(cx: &mut Cx<'_>, x: T, e: f64) -> R<()> {
    if e == 1.0 {
        return cx.forward(0, 0);
    }
    if e == 2.0 {
        return cx.emit(Builtin::Mul, None, &[x, x]);
    }
    let square = cx.temp_like(Builtin::Mul, &[x, x], x)?;
    cx.emit(Builtin::Mul, None, &[square, if e == 3.0 { x } else { square }])
}
