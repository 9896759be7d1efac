//! Reductions and running results along axes.
use super::Row;
use super::bridge::Arg;
use super::cx::{Cx, R, V};
use super::val::Val;
use hoist_ir::dtype::DType;
use hoist_ir::ops::Op;
use hoist_ir::ops::reduce::cumulative::{CumProd, CumSum};
use hoist_ir::ops::reduce::reductions::{ReduceL2, ReduceMax, ReduceMean, ReduceMin, ReduceProd, ReduceSum};

pub(super) const TABLE: &[Row] = &[
    ("Sum", "", |cx| both(cx, sum)),
    ("Mean", "", |cx| both(cx, mean)),
    ("Prod", "", |cx| reduced(cx, &|k| ReduceProd { keepdims: k, noop_with_empty_axes: true }.into())),
    ("Max", "", |cx| reduced(cx, &|k| ReduceMax { keepdims: k, noop_with_empty_axes: true }.into())),
    ("Min", "", |cx| reduced(cx, &|k| ReduceMin { keepdims: k, noop_with_empty_axes: true }.into())),
    ("EuclideanNorm", "", |cx| reduced(cx, &|k| ReduceL2 { keepdims: k, noop_with_empty_axes: true }.into())),
    ("Any", "", any),
    ("All", "", all),
    ("Cumsum", "", |cx| running(cx, false)),
    ("Cumprod", "", |cx| running(cx, true)),
    ("CumulativeLogsumexp", "", running_log_sum),
    ("L2Loss", "", half_squares),
];

/// Runs `f` on the real and the imaginary parts where the first operand is complex.
pub(super) fn both(cx: &mut Cx<'_, '_, '_>, f: fn(&mut Cx<'_, '_, '_>) -> R<Vec<Val>>) -> R<Vec<Val>> {
    if !cx.inputs.iter().any(|v| matches!(v, Val::Complex(_))) {
        return f(cx);
    }
    let inputs = cx.inputs.clone();
    let mut halves = vec![];
    for part in 0..2 {
        let mut real = vec![];
        for v in &inputs {
            real.push(if let Val::Complex(v) = *v {
                let one = cx.slice(v, -1, part, part + 1)?;
                cx.squeeze(one, &[-1])?.into()
            } else {
                v.clone()
            });
        }
        cx.inputs = real;
        halves.push(f(cx)?);
    }
    let (im, re) = (halves.pop().unwrap_or_default(), halves.pop().unwrap_or_default());
    let mut out = vec![];
    for pair in re.into_iter().zip(im) {
        let (Val::Tensor(re), Val::Tensor(im)) = pair else {
            return Err(cx.unsupported("complex numbers"));
        };
        let (re, im) = (cx.unsqueeze(re, &[-1])?, cx.unsqueeze(im, &[-1])?);
        out.push(Val::Complex(cx.concat(&[re, im], -1)?));
    }
    Ok(out)
}

/// Whether reduced axes stay with size 1.
fn kept(cx: &Cx<'_, '_, '_>) -> bool {
    cx.attrs.flag("keep_dims") || cx.attrs.flag("keepdims")
}

/// `x` reduced along the axes of the second operand: no axes leave it as it is.
fn along(cx: &mut Cx<'_, '_, '_>, x: V, op: Op) -> R<V> {
    let axes = cx.wide(1)?;
    let axes = if cx.known_rank(axes) == Some(1) { axes } else { cx.reshape(axes, &[-1])? };
    if cx.known_ints(axes).is_some_and(|a| a.is_empty()) {
        // Each element is reduced by itself, which changes no result of the operators here but that of a norm.
        return if matches!(op, Op::ReduceL2(_)) { cx.named("abs", &[x]) } else { Ok(x) };
    }
    cx.op(op, &[x, axes])
}

fn reduced(cx: &mut Cx<'_, '_, '_>, op: &dyn Fn(bool) -> Op) -> R<Vec<Val>> {
    let (x, op) = (cx.arg(0)?, op(kept(cx)));
    Ok(vec![along(cx, x, op)?.into()])
}

fn sum(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    reduced(cx, &|k| ReduceSum { keepdims: k, noop_with_empty_axes: true }.into())
}

/// Means; those of integers are rounded towards zero.
fn mean(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    reduced(cx, &|k| ReduceMean { keepdims: k, noop_with_empty_axes: true }.into())
}

/// Whether the number of true elements of `x` is 0.
fn none(cx: &mut Cx<'_, '_, '_>, x: V) -> R<V> {
    let ones = cx.cast(x, DType::I32)?;
    let op = ReduceSum { keepdims: kept(cx), noop_with_empty_axes: true };
    let count = along(cx, ones, op.into())?;
    let zero = cx.number(0.0, count)?;
    cx.named("equal", &[count, zero])
}

fn any(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let none = none(cx, x)?;
    Ok(vec![cx.named("not", &[none])?.into()])
}

fn all(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let x = cx.named("not", &[x])?;
    Ok(vec![none(cx, x)?.into()])
}

fn running(cx: &mut Cx<'_, '_, '_>, product: bool) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let axis = cx.int(1, "an axis")?;
    let axis = cx.axis(x, axis)?;
    let at = cx.konst(hoist_ir::tensor::Tensor::scalar(axis as i64));
    let (exclusive, reverse) = (cx.attrs.flag("exclusive"), cx.attrs.flag("reverse"));
    let op: Op =
        if product { CumProd { exclusive, reverse }.into() } else { CumSum { exclusive, reverse }.into() };
    Ok(vec![cx.op(op, &[x, at])?.into()])
}

fn running_log_sum(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let axis = cx.int(1, "an axis")?;
    if cx.attrs.flag("exclusive") || cx.attrs.flag("reverse") {
        return Err(cx.unsupported("exclusive or reverse"));
    }
    Ok(vec![cx.aten("logcumsumexp", &[("self", Arg::T(x)), ("dim", Arg::I(axis))])?.into()])
}

/// Half the sum of the squares of all elements.
fn half_squares(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let square = cx.named("mul", &[x, x])?;
    let sum = cx.op(ReduceSum { keepdims: false, noop_with_empty_axes: false }, &[square])?;
    let half = cx.number(0.5, x)?;
    Ok(vec![cx.named("mul", &[sum, half])?.into()])
}
