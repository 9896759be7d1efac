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

/// Symbolic elements of operand `i`, when it holds integers or truth values and has rank 0 or 1. Elements of `u64` may not fit.
fn elements(cx: &InferCx<'_>, i: usize) -> Option<Vec<Option<SymInt>>> {
    let ty = cx.tensor(i).ok()?;
    let takes_part =
        (ty.dtype.is_int() && ty.dtype != DType::U64 || ty.dtype == DType::Bool) && ty.rank()? <= 1;
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
    if difference.sub(&1.into())?.is_non_negative() {
        Some(true)
    } else {
        difference.neg()?.is_non_negative().then_some(false)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::{Known, infer_contents, infer_op};
    use crate::ops::Op;

    /// Contents of the single result, printed, for `i64` lists of these elements.
    fn contents(name: &str, operands: &[&[Option<SymInt>]]) -> Vec<String> {
        let op = Op::by_name(name).expect("an operator");
        let types: Vec<Type> = operands
            .iter()
            .enumerate()
            .map(|(i, o)| {
                let dtype = if name == "where" && i == 0 { DType::Bool } else { DType::I64 };
                TensorType::fixed(dtype, &[o.len()]).into()
            })
            .collect();
        let contents: Vec<Content> = operands.iter().map(|o| (*o).into()).collect();
        let known = |(ty, content)| Some(Known { ty, tensor: None, content: Some(content) });
        let known: Vec<_> = types.iter().zip(&contents).map(known).collect();
        let result = infer_contents(&op, &InferCx::new(op.schema(), &known, &[], 0, 1));
        let texts =
            |c: Content| c.iter().map(|v| v.as_ref().map_or("?".to_owned(), ToString::to_string)).collect();
        result.into_iter().next().flatten().map_or(vec![], texts)
    }
    #[expect(clippy::unnecessary_wraps, reason = "an element of a list of symbolic values")]
    fn n() -> Option<SymInt> {
        Some(SymInt::symbol("N"))
    }
    #[expect(clippy::unnecessary_wraps, reason = "an element of a list of symbolic values")]
    fn k(v: i64) -> Option<SymInt> {
        Some(v.into())
    }

    #[test]
    fn shape_arithmetic_stays_symbolic() {
        assert_eq!(contents("add", &[&[n(), k(3)], &[k(1)]]), ["N+1", "4"]);
        assert_eq!(contents("sub", &[&[n()], &[n()]]), ["0"]);
        assert_eq!(contents("mul", &[&[n(), None], &[k(2), k(2)]]), ["2*N", "?"]);
        assert_eq!(contents("div", &[&[n(), k(-7)], &[k(2), k(2)]]), ["floordiv(N, 2)", "-3"]);
        assert_eq!(contents("mod", &[&[k(-7), k(5)], &[k(3), k(0)]]), ["2", "?"]);
        assert_eq!(contents("max", &[&[n()], &[k(1)]]), ["max(1, N)"]);
        assert_eq!(contents("neg", &[&[n()]]), ["-N"]);
        assert_eq!(contents("abs", &[&[n(), k(-2)]]), ["N", "2"]);
        assert_eq!(contents("add", &[&[n(), n()], &[k(1), k(2), k(3)]]), [""; 0]);
        assert_eq!(contents("reduce_prod", &[&[n(), k(3)]]), ["3*N"]);
    }

    #[test]
    fn quotients_that_rounding_would_change_are_not_known() {
        let below = SymInt::symbol("N").sub(&5.into());
        assert_eq!(contents("div", &[&[below, k(i64::MIN)], &[k(2), k(-1)]]), [""; 0]);
    }

    #[test]
    fn comparisons_choose() {
        assert_eq!(contents("equal", &[&[n(), n(), k(-1)], &[n(), k(-1), k(-1)]]), ["1", "0", "1"]);
        assert_eq!(contents("less", &[&[k(-1), n(), n()], &[n(), n(), k(4)]]), ["1", "0", "?"]);
        assert_eq!(contents("greater_or_equal", &[&[n()], &[k(0)]]), ["1"]);
        let chosen =
            contents("where", &[&[k(1), k(0), None, None], &[n(), n(), n(), n()], &[k(7), k(7), k(7), n()]]);
        assert_eq!(chosen, ["N", "7", "?", "N"]);
    }

    #[test]
    fn values_that_the_type_cannot_hold_are_not_known() {
        assert_eq!(in_range(DType::U8, 256.into()), None);
        assert_eq!(in_range(DType::U8, 255.into()), k(255));
    }

    #[test]
    fn operands_of_unknown_rank_give_unknown_rank() {
        let (a, b): (Type, Type) =
            (TensorType::unranked(DType::F32).into(), TensorType::fixed(DType::F32, &[2]).into());
        let known = [&a, &b].map(|ty| Some(Known { ty, tensor: None, content: None }));
        let op = Op::by_name("add").expect("an operator");
        let types = infer_op(&op, &InferCx::new(op.schema(), &known, &[], 0, 1)).expect("it is valid");
        assert_eq!(types, std::slice::from_ref(&a));
    }
}
