//! Types and symbolic values that element-by-element operators share.
use crate::dim::SymInt;
use crate::dtype::DType;
use crate::infer::{Content, InferCx, broadcast};
use crate::op::OpError;
use crate::types::{Shape, TensorType, Type};

/// The type of the first operand.
pub fn same<O>(_: &O, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    Ok(vec![cx.tensor(0)?.clone().into()])
}

/// Truth values of the first operand's shape.
pub fn same_bool<O>(_: &O, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    Ok(vec![TensorType::new(DType::Bool, cx.shape(0)?.cloned()).into()])
}

/// Shape of all operands broadcast against each other.
pub fn broadcast_shape(cx: &InferCx<'_>) -> Result<Option<Shape>, OpError> {
    let mut all = Some(vec![]);
    for i in 0..cx.len() {
        all = match (all, cx.shape(i)?) {
            (Some(a), Some(b)) => Some(broadcast(&a, b)?),
            _ => None,
        };
    }
    Ok(all)
}

/// The first operand's element type and the broadcast shape.
pub fn broadcast_first<O>(_: &O, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    Ok(vec![TensorType::new(cx.dtype(0)?, broadcast_shape(cx)?).into()])
}

/// Truth values of the broadcast shape.
pub fn broadcast_bool<O>(_: &O, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    Ok(vec![TensorType::new(DType::Bool, broadcast_shape(cx)?).into()])
}

/// Symbolic elements of operand `i`, when it holds integers or truth values and has rank 0 or 1.
fn elements(cx: &InferCx<'_>, i: usize) -> Option<Vec<Option<SymInt>>> {
    let ty = cx.tensor(i).ok()?;
    let takes_part = (ty.dtype.is_int() || ty.dtype == DType::Bool) && ty.rank()? <= 1;
    if takes_part { cx.sym_ints(i) } else { None }
}

/// `value` where elements of `dtype` can hold it.
pub fn in_range(dtype: DType, value: SymInt) -> Option<SymInt> {
    match (value.as_const(), dtype.int_range()) {
        (Some(c), Some((low, high))) => (low..=high).contains(&i128::from(c)).then_some(value),
        _ => Some(value),
    }
}

/// Symbolic elements of the single result from those of all operands, broadcast; `dtype` is the result's type.
pub fn map_contents<const N: usize>(
    cx: &InferCx<'_>,
    dtype: DType,
    f: impl Fn([Option<&SymInt>; N]) -> Option<SymInt>,
) -> Vec<Option<Content>> {
    let all = || {
        let operands = (0..N).map(|i| elements(cx, i)).collect::<Option<Vec<_>>>()?;
        let n = operands.iter().map(Vec::len).find(|n| *n != 1).unwrap_or(1);
        if operands.iter().any(|o| o.len() != n && o.len() != 1) {
            return None;
        }
        let at = |i: usize| -> [Option<&SymInt>; N] {
            std::array::from_fn(|k| operands[k].get(if operands[k].len() == 1 { 0 } else { i })?.as_ref())
        };
        Some((0..n).map(|i| f(at(i)).and_then(|v| in_range(dtype, v))).collect::<Content>())
    };
    vec![all()]
}

/// [`map_contents`] of one operand whose type the result has.
pub fn contents1(cx: &InferCx<'_>, f: impl Fn(&SymInt) -> Option<SymInt>) -> Vec<Option<Content>> {
    let Ok(dtype) = cx.dtype(0) else { return vec![] };
    map_contents(cx, dtype, |[x]| f(x?))
}

/// [`map_contents`] of two operands whose type the result has.
pub fn contents2(cx: &InferCx<'_>, f: impl Fn(&SymInt, &SymInt) -> Option<SymInt>) -> Vec<Option<Content>> {
    let Ok(dtype) = cx.dtype(0) else { return vec![] };
    map_contents(cx, dtype, |[a, b]| f(a?, b?))
}

/// Symbolic truth values (0 and 1) of a comparison.
pub fn compared(cx: &InferCx<'_>, f: impl Fn(&SymInt, &SymInt) -> Option<bool>) -> Vec<Option<Content>> {
    map_contents(cx, DType::Bool, |[a, b]| Some(SymInt::from(i64::from(f(a?, b?)?))))
}

/// Whether `a < b`, where that is the same for all sizes.
pub fn surely_less(a: &SymInt, b: &SymInt) -> Option<bool> {
    let difference = b.sub(a)?;
    if difference.sub(&1.into())?.is_surely_nonnegative() {
        Some(true)
    } else {
        difference.neg()?.is_surely_nonnegative().then_some(false)
    }
}

/// Whether `a == b`, where that is the same for all sizes.
pub fn surely_equal(a: &SymInt, b: &SymInt) -> Option<bool> {
    if a == b {
        return Some(true);
    }
    let apart = surely_less(a, b) == Some(true) || surely_less(b, a) == Some(true);
    apart.then_some(false)
}
