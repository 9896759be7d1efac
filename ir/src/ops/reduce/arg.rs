//! `arg_max`, `arg_min`
use super::axes::around;
use crate::dim::Dim;
use crate::dtype::{DType, I64_ONLY, NUMERIC};
use crate::eval::{EvalCx, Value, one};
use crate::infer::{InferCx, resolve_axis};
use crate::op::OpError;
use crate::ops::elementwise::map::no_meaning;
use crate::tensor::Tensor;
use crate::tensor::convert::Wide;
use crate::types::{TensorType, Type};

crate::op! {
    /// Position of the largest element along `axis`; NaN counts as largest.
    arg_max ArgMax(data: One<T>) -> (reduced: One<I>) {
        /// Axis that is searched.
        axis: i64 = 0,
        /// Whether that axis stays with size 1.
        keepdims: bool = true,
        /// Whether the last of equal elements counts instead of the first.
        select_last_index: bool = false,
    } where T: NUMERIC, I: I64_ONLY;
    infer = |op: &ArgMax, cx: &InferCx<'_>| infer(cx, op.axis, op.keepdims),
    eval = |op: &ArgMax, cx: EvalCx<'_>| {
        let last = op.select_last_index;
        search(&cx, op.axis, op.keepdims, Order { last, float: |a, b| a > b, signed: |a, b| a > b, unsigned: |a, b| a > b })
    };
}
crate::op! {
    /// Position of the smallest element along `axis`; NaN counts as smallest.
    arg_min ArgMin(data: One<T>) -> (reduced: One<I>) {
        /// Axis that is searched.
        axis: i64 = 0,
        /// Whether that axis stays with size 1.
        keepdims: bool = true,
        /// Whether the last of equal elements counts instead of the first.
        select_last_index: bool = false,
    } where T: NUMERIC, I: I64_ONLY;
    infer = |op: &ArgMin, cx: &InferCx<'_>| infer(cx, op.axis, op.keepdims),
    eval = |op: &ArgMin, cx: EvalCx<'_>| {
        let last = op.select_last_index;
        search(&cx, op.axis, op.keepdims, Order { last, float: |a, b| a < b, signed: |a, b| a < b, unsigned: |a, b| a < b })
    };
}

fn infer(cx: &InferCx<'_>, axis: i64, keepdims: bool) -> Result<Vec<Type>, OpError> {
    let Some(shape) = cx.shape(0)? else { return Ok(vec![TensorType::unranked(DType::I64).into()]) };
    let at = resolve_axis(axis, shape.len())?;
    let mut shape = shape.clone();
    if keepdims {
        shape[at] = Dim::Known(1);
    } else {
        shape.remove(at);
    }
    Ok(vec![TensorType::new(DType::I64, shape).into()])
}

/// When an element is better than the best before it.
struct Order<F, S, U> {
    last: bool,
    float: F,
    signed: S,
    unsigned: U,
}

fn search<F, S, U>(
    cx: &EvalCx<'_>,
    axis: i64,
    keepdims: bool,
    order: Order<F, S, U>,
) -> Result<Vec<Value>, OpError>
where
    F: Fn(f64, f64) -> bool,
    S: Fn(i64, i64) -> bool,
    U: Fn(u64, u64) -> bool,
{
    let x = cx.tensor(0)?;
    let sizes = around(x.shape(), axis)?;
    let mut shape = x.shape().to_vec();
    let at = resolve_axis(axis, shape.len())?;
    if keepdims {
        shape[at] = 1;
    } else {
        shape.remove(at);
    }
    if sizes.1 == 0 && sizes.0 != 0 && sizes.2 != 0 {
        return Err(OpError::eval("there is no best of no elements"));
    }
    let last = order.last;
    let float = |v: f64, best: f64| {
        if best.is_nan() { last && v.is_nan() } else { v.is_nan() || (order.float)(v, best) }
    };
    let positions = match x.widen()? {
        Wide::F32(v) => best(&v, sizes, last, |a, b| float(f64::from(a), f64::from(b))),
        Wide::F64(v) => best(&v, sizes, last, float),
        Wide::I64(v) => best(&v, sizes, last, order.signed),
        Wide::U64(v) => best(&v, sizes, last, order.unsigned),
        Wide::C128(_) | Wide::Str(_) => return Err(no_meaning(x.dtype())),
    };
    one(Tensor::from_vec(&shape, positions))
}

/// Position along the middle axis of the element that no other is `better` than.
fn best<T: Copy + PartialEq>(
    x: &[T],
    (outer, len, inner): (usize, usize, usize),
    last: bool,
    better: impl Fn(T, T) -> bool,
) -> Vec<i64> {
    let mut out = vec![0; outer.saturating_mul(inner)];
    for (results, block) in out.chunks_mut(inner.max(1)).zip(x.chunks((len * inner).max(1))) {
        let mut tops = block[..inner].to_vec();
        for (k, row) in block.chunks(inner).enumerate().skip(1) {
            for ((at, top), v) in results.iter_mut().zip(&mut tops).zip(row) {
                if better(*v, *top) || (last && v == top) {
                    (*at, *top) = (k as i64, *v);
                }
            }
        }
    }
    out
}
