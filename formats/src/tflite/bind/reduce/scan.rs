//! Softmax, positions of extremes, cumulative sums, sorting.
use crate::tflite::dtype::to_code;
use crate::tflite::lift::{Cx as LiftCx, Lifted};
use crate::tflite::lower::{Cx, R};
use crate::tflite::schema::Builtin;
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::Op;
use hoist_ir::ops::elementwise::arithmetic::Mul;
use hoist_ir::ops::movement::reshape::Reshape;
use hoist_ir::ops::reduce::arg::{ArgMax, ArgMin};
use hoist_ir::ops::reduce::cumulative::CumSum;
use hoist_ir::ops::reduce::softmax::{LogSoftmax, Softmax};
use hoist_ir::ops::reduce::top_k::TopK;
use hoist_ir::types::TensorType;

/// The axis of the node, counted from the first, and the number of axes.
fn axis(cx: &Cx<'_>) -> R<(usize, usize)> {
    let rank = cx.rank(0)?;
    let Some(Attr::Int(axis)) = cx.op().def().attr("axis") else { return Err("no axis".to_owned()) };
    Ok((resolve_axis(axis, rank).map_err(|e| e.message)?, rank))
}

pub(super) fn softmax(cx: &mut Cx<'_>) -> R<()> {
    cx.of_type(0, &[DType::F32])?;
    let (axis, rank) = axis(cx)?;
    if axis + 1 != rank {
        return Err(format!("axis {axis} of {rank}, where only the last is served"));
    }
    let x = cx.arg(0)?;
    if cx.op().name() == "softmax" {
        return cx.emit(Builtin::Softmax, Builtin::Softmax.options().map(|o| o.with("beta", 1.0)), &[x]);
    }
    cx.emit(Builtin::LogSoftmax, None, &[x])
}

pub(super) fn lift_softmax(cx: &mut LiftCx<'_, '_>) -> Lifted {
    let mut x = cx.arg(0)?;
    if cx.builtin == Builtin::LogSoftmax {
        return Ok(vec![cx.op(LogSoftmax { axis: -1 }, &[x])?]);
    }
    let beta = cx.float("beta");
    if beta != 1.0 {
        let factor = cx.b.scalar_like(beta, x)?;
        x = cx.op(Mul {}, &[x, factor])?;
    }
    Ok(vec![cx.op(Softmax { axis: -1 }, &[x])?])
}

pub(super) fn arg(cx: &mut Cx<'_>) -> R<()> {
    cx.of_type(0, &[DType::F32, DType::I8, DType::U8, DType::I32])?;
    if cx.op().def().attr("select_last_index") == Some(Attr::Bool(true)) {
        return Err("the last of equal elements".to_owned());
    }
    let (at, _) = axis(cx)?;
    if cx.shape(0).is_some_and(|s| s[at].known() == Some(0)) {
        return Err("an axis without elements".to_owned());
    }
    let builtin = if cx.op().name() == "arg_max" { Builtin::ArgMax } else { Builtin::ArgMin };
    let options = builtin.options().map(|o| o.with("output_type", to_code(DType::I64).unwrap_or(4)));
    let (x, place) = (cx.arg(0)?, cx.int32(at as i64)?);
    if cx.op().def().attr("keepdims") != Some(Attr::Bool(true)) {
        return cx.emit(builtin, options, &[x, place]);
    }
    let mut shape = cx.out_ty(0)?.shape.clone();
    if let Some(s) = shape.as_mut().filter(|s| at < s.len()) {
        s.remove(at);
    }
    let flat = cx.temp(builtin, options, &[Some(x), Some(place)], TensorType { dtype: DType::I64, shape })?;
    cx.emit(Builtin::ExpandDims, None, &[flat, place])
}

pub(super) fn lift_arg(cx: &mut LiftCx<'_, '_>) -> Lifted {
    let axis = cx.ints(1).and_then(|a| a.first().copied());
    let axis = axis.ok_or_else(|| cx.unsupported("an axis that is computed"))?;
    let mut x = cx.arg(0)?;
    if cx.dtype(x)? == DType::Bool {
        x = cx.cast(x, DType::U8)?;
    }
    let y = if cx.builtin == Builtin::ArgMax {
        cx.op(ArgMax { axis, keepdims: false, select_last_index: false }, &[x])?
    } else {
        cx.op(ArgMin { axis, keepdims: false, select_last_index: false }, &[x])?
    };
    let to = cx.results.first().map_or(DType::I64, |r| r.ty.dtype);
    Ok(vec![cx.cast(y, to)?])
}

pub(super) fn cum_sum(cx: &mut Cx<'_>) -> R<()> {
    cx.of_type(0, &[DType::F32, DType::I32, DType::I64])?;
    if cx.rank(0)? == 0 {
        return Err("no axes".to_owned());
    }
    let Op::CumSum(op) = cx.op() else { return Err("no direction".to_owned()) };
    let axis = cx.sizes32(1)?;
    let axis = crate::tflite::bind::elementwise::scalar(cx, axis)?;
    let options =
        Builtin::Cumsum.options().map(|o| o.with("exclusive", op.exclusive).with("reverse", op.reverse));
    let x = cx.arg(0)?;
    cx.emit(Builtin::Cumsum, options, &[x, axis])
}

pub(super) fn lift_cum_sum(cx: &mut LiftCx<'_, '_>) -> Lifted {
    let (x, axis) = (cx.arg(0)?, cx.wide(1)?);
    let op = CumSum { exclusive: cx.flag("exclusive"), reverse: cx.flag("reverse") };
    Ok(vec![cx.op(op, &[x, axis])?])
}

pub(super) fn top_k(cx: &mut Cx<'_>) -> R<()> {
    cx.of_type(0, &[DType::F32, DType::I8, DType::U8, DType::I16, DType::I32, DType::I64])?;
    let Op::TopK(op) = cx.op() else { return Err("no order".to_owned()) };
    let (axis, rank) = axis(cx)?;
    if axis + 1 != rank {
        return Err(format!("axis {axis} of {rank}, where only the last is served"));
    }
    if !op.largest {
        return Err("the smallest elements".to_owned());
    }
    let k = cx.sizes32(1)?;
    let k = crate::tflite::bind::elementwise::scalar(cx, k)?;
    let (x, values) = (cx.arg(0)?, cx.out(0)?);
    let places = TensorType { dtype: DType::I32, ..cx.out_ty(1)?.clone() };
    let places = cx.fresh(places)?;
    cx.push(Builtin::TopkV2, None, &[Some(x), Some(k)], vec![values, places])?;
    let wide = cx.cast(places, DType::I64)?;
    cx.alias(1, wide)
}

pub(super) fn lift_top_k(cx: &mut LiftCx<'_, '_>) -> Lifted {
    let (x, k) = (cx.arg(0)?, cx.wide(1)?);
    let one = cx.b.ints(&[1]);
    let k = cx.op(Reshape::default(), &[k, one])?;
    let results = cx.b.add(TopK { axis: -1, largest: true, sorted: true }, &[Some(x), Some(k)])?;
    let [values, places] = results.as_slice() else { return Err(cx.bad("two results")) };
    let to = cx.results.get(1).map_or(DType::I32, |r| r.ty.dtype);
    Ok(vec![*values, cx.cast(*places, to)?])
}
