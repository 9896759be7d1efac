//! Arithmetic on two broadcast operands.
use super::expansions;
use super::map::number_zip;
use super::typing::{broadcast_first, contents2};
use crate::dim::SymInt;
use crate::dtype::NUMERIC;
use crate::eval::{EvalCx, Value};
use crate::infer::{Content, InferCx};
use crate::op::OpError;

crate::op! {
    /// `c = a + b`, broadcast; integers wrap.
    add as plus Add(a: One<T>, b: One<T>) -> (c: One<T>) {} where T: NUMERIC;
    infer = broadcast_first,
    eval = |_: &Add, cx| number_zip(cx, |a, b| a + b, |a, b| a + b, i64::wrapping_add, u64::wrapping_add),
    contents = |_: &Add, cx| contents2(cx, SymInt::add);
}
crate::op! {
    /// `c = a - b`, broadcast; integers wrap.
    sub Sub(a: One<T>, b: One<T>) -> (c: One<T>) {} where T: NUMERIC;
    infer = broadcast_first,
    eval = |_: &Sub, cx| number_zip(cx, |a, b| a - b, |a, b| a - b, i64::wrapping_sub, u64::wrapping_sub),
    contents = |_: &Sub, cx| contents2(cx, SymInt::sub);
}
crate::op! {
    /// `c = a * b`, broadcast; integers wrap.
    mul Mul(a: One<T>, b: One<T>) -> (c: One<T>) {} where T: NUMERIC;
    infer = broadcast_first,
    eval = |_: &Mul, cx| number_zip(cx, |a, b| a * b, |a, b| a * b, i64::wrapping_mul, u64::wrapping_mul),
    contents = |_: &Mul, cx| contents2(cx, SymInt::mul);
}
crate::op! {
    /// `c = a / b`, broadcast; integer quotients are truncated towards zero, and an integer divided by zero is refused.
    div Div(a: One<T>, b: One<T>) -> (c: One<T>) {} where T: NUMERIC;
    infer = broadcast_first,
    eval = |_: &Div, cx| {
        refuse_zero_divisor(&cx)?;
        number_zip(
            cx,
            |a, b| a / b,
            |a, b| a / b,
            |a, b| a.checked_div(b).unwrap_or(a),
            |a, b| a.checked_div(b).unwrap_or(a),
        )
    },
    contents = quotients;
}
crate::op! {
    /// Remainder of `a / b`, broadcast: `a - floor(a / b) * b`, which has the sign of `b`, or with `fmod` `a - trunc(a / b) * b`,
    /// which has the sign of `a`. An integer divided by zero is refused.
    r#mod Mod(a: One<T>, b: One<T>) -> (c: One<T>) {
        /// Whether the quotient is truncated instead of rounded down.
        fmod: bool = false,
    } where T: NUMERIC;
    infer = broadcast_first,
    eval = remainders,
    contents = |op: &Mod, cx| contents2(cx, |a, b| match (a.as_const(), b.as_const()) {
        (_, Some(0)) => None,
        (Some(a), Some(b)) if op.fmod => a.checked_rem(b).map(SymInt::from),
        _ if op.fmod && !(a.is_non_negative() && b.is_non_negative()) => None,
        _ => a.modulo(b),
    }),
    expand = expansions::modulo;
}

/// Truncated quotients, where they are those rounded down or exact.
fn quotients(_: &Div, cx: &InferCx<'_>) -> Vec<Option<Content>> {
    contents2(cx, |a, b| match (a.as_const(), b.as_const()) {
        (Some(a), Some(b)) => a.checked_div(b).map(SymInt::from),
        _ if a.is_non_negative() && b.is_non_negative() => a.floor_div(b),
        _ => a.exact_div(b),
    })
}

/// # Errors
/// When an integer divisor is zero: what runtimes do then differs.
fn refuse_zero_divisor(cx: &EvalCx<'_>) -> Result<(), OpError> {
    let (a, b) = (cx.tensor(0)?, cx.tensor(1)?);
    if b.dtype().is_int() && !a.is_empty() && b.to_i64s()?.contains(&0) {
        return Err(OpError::eval("an integer is divided by zero"));
    }
    Ok(())
}

fn floor_mod_int(a: i64, b: i64) -> i64 {
    let r = a.checked_rem(b).unwrap_or(0);
    if r != 0 && (r < 0) != (b < 0) { r + b } else { r }
}

fn floor_mod_f32(a: f32, b: f32) -> f32 {
    let r = a % b;
    if r == 0.0 {
        r.copysign(b)
    } else if (r < 0.0) != (b < 0.0) {
        r + b
    } else {
        r
    }
}

fn floor_mod_f64(a: f64, b: f64) -> f64 {
    let r = a % b;
    if r == 0.0 {
        r.copysign(b)
    } else if (r < 0.0) != (b < 0.0) {
        r + b
    } else {
        r
    }
}

fn remainders(op: &Mod, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
    refuse_zero_divisor(&cx)?;
    let unsigned = |a: u64, b: u64| a.checked_rem(b).unwrap_or(0);
    if op.fmod {
        let signed = |a: i64, b: i64| a.checked_rem(b).unwrap_or(0);
        return number_zip(cx, |a, b| a % b, |a, b| a % b, signed, unsigned);
    }
    number_zip(cx, floor_mod_f32, floor_mod_f64, floor_mod_int, unsigned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{Limits, eval_op};
    use crate::ops::Op;
    use crate::tensor::Tensor;

    fn compute(name: &str, a: Tensor, b: Tensor) -> Result<Tensor, OpError> {
        let run = |_: &crate::graph::Graph, _: Vec<Value>| Ok(vec![]);
        let inputs = vec![Some(a.into()), Some(b.into())];
        let op = Op::by_name(name).expect("an operator");
        let cx = EvalCx { inputs, outputs: 1, bodies: &[], captures: 0, run: &run };
        eval_op(&op, cx, Limits::default())?.remove(0).into_tensor()
    }

    #[test]
    fn integers_divided_by_zero_are_refused() {
        for name in ["div", "mod"] {
            assert!(compute(name, Tensor::from_ints(&[1, 2]), Tensor::from_ints(&[1, 0])).is_err());
            let empty = compute(name, Tensor::from_ints(&[]), Tensor::from_ints(&[0]));
            assert_eq!(empty.as_ref().map(Tensor::len), Ok(0));
        }
    }

    #[test]
    fn the_quotient_that_does_not_fit_wraps() {
        let minus = || Tensor::from_ints(&[-1]);
        assert_eq!(
            compute("div", Tensor::from_ints(&[i64::MIN]), minus()),
            Ok(Tensor::from_ints(&[i64::MIN]))
        );
        assert_eq!(compute("mod", Tensor::from_ints(&[i64::MIN]), minus()), Ok(Tensor::from_ints(&[0])));
        let small = compute("div", Tensor::from_vec(&[1], vec![i8::MIN]), Tensor::from_vec(&[1], vec![-1i8]));
        assert_eq!(small, Ok(Tensor::from_vec(&[1], vec![i8::MIN])));
    }

    #[test]
    fn results_are_written_into_an_operand_that_is_owned_alone() {
        let a = Tensor::from_vec(&[4], vec![1f32, 2.0, 3.0, 4.0]);
        let address = |t: &Tensor| t.bytes().expect("bytes").as_ptr();
        let before = address(&a);
        let sum = compute("add", a, Tensor::scalar(1f32)).expect("it computes");
        assert_eq!(address(&sum), before);
    }
}
