//! `range`
use crate::dim::{Dim, SymInt};
use crate::dtype::{DType, DTypeSet};
use crate::eval::{EvalCx, Value, one};
use crate::infer::{Content, InferCx, MAX_CONTENT};
use crate::op::{OpError, Semantics};
use crate::ops::movement::lists::{at_least_zero, elements};
use crate::tensor::Tensor;
use crate::tensor::convert::Wide;
use crate::types::{TensorType, Type};

/// Element types of a range.
pub const RANGES: DTypeSet =
    DTypeSet::of(&[DType::F16, DType::BF16, DType::F32, DType::F64, DType::I16, DType::I32, DType::I64]);

crate::op! {
    /// `start + i * delta` for `i < max(ceil((limit - start) / delta), 0)`. Floats are computed in double precision and rounded once.
    range Range(start: One<T>, limit: One<T>, delta: One<T>) -> (output: One<T>) {
        /// Precision that half-precision ranges are computed in at least.
        stash_type: DType = DType::F32,
    } where T: RANGES;
}

fn no_step() -> OpError {
    OpError::attr("a range with a `delta` of 0 does not end")
}

/// Number of elements.
fn count(start: &Tensor, limit: &Tensor, delta: &Tensor) -> Result<u64, OpError> {
    if start.dtype().is_int() {
        let int = |t: &Tensor| t.as_int().map(i128::from).ok_or_else(scalar);
        let (s, l, d) = (int(start)?, int(limit)?, int(delta)?);
        if d == 0 {
            return Err(no_step());
        }
        // Rounded up, whatever the signs.
        let n = (l - s + d - d.signum()) / d;
        return Ok(u64::try_from(n.max(0)).unwrap_or(u64::MAX));
    }
    let float = |t: &Tensor| t.as_f64().ok_or_else(scalar);
    let (s, l, d) = (float(start)?, float(limit)?, float(delta)?);
    let n = ((l - s) / d).ceil();
    if d == 0.0 || n.is_nan() {
        return Err(no_step());
    }
    Ok(n.max(0.0) as u64)
}

fn scalar() -> OpError {
    OpError::operand("the operands of a range have one element each")
}

/// Number of elements by symbols.
fn symbolic(cx: &InferCx<'_>) -> Option<SymInt> {
    let one = |i: usize| elements(cx, i)?.first().cloned().flatten();
    let (start, limit, delta) = (one(0)?, one(1)?, one(2)?);
    if delta.as_const()? == 0 {
        return None;
    }
    let steps = limit.sub(&start)?.ceil_div(&delta)?;
    // `ceil(e / d)` is not negative where `e` is not, for `d > 0`.
    let surely = delta.as_const()? > 0 && limit.sub(&start)?.is_non_negative();
    if surely { Some(steps) } else { at_least_zero(&steps) }
}

impl Semantics for Range {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        for i in 0..3 {
            if cx.shape(i)?.is_some_and(|s| s.iter().any(|d| d.surely_differs(&Dim::Known(1)))) {
                return Err(scalar());
            }
        }
        let n = match (cx.constant(0), cx.constant(1), cx.constant(2)) {
            (Some(s), Some(l), Some(d)) => Dim::Known(count(s, l, d)?),
            _ => Dim::from_sym(symbolic(cx)),
        };
        Ok(vec![TensorType::new(cx.dtype(0)?, vec![n]).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (start, limit, delta) = (cx.tensor(0)?, cx.tensor(1)?, cx.tensor(2)?);
        let n = usize::try_from(count(start, limit, delta)?).unwrap_or(usize::MAX);
        let dtype = start.dtype();
        crate::ops::movement::mover::check_size(dtype, &[n])?;
        let wide = match (start.as_int(), delta.as_int(), start.as_f64(), delta.as_f64()) {
            (Some(s), Some(d), ..) => {
                Wide::I64((0..n as i64).map(|i| s.wrapping_add(i.wrapping_mul(d))).collect())
            }
            (_, _, Some(s), Some(d)) => Wide::F64((0..n).map(|i| s + i as f64 * d).collect()),
            _ => return Err(scalar()),
        };
        one(Tensor::from_wide(dtype, &[n], &wide, false)?)
    }
    fn contents(&self, cx: &InferCx<'_>) -> Vec<Option<Content>> {
        let content = || {
            let one = |i: usize| elements(cx, i)?.first().cloned().flatten();
            let (start, delta) = (one(0)?, one(2)?);
            let n = symbolic(cx)?.as_const().filter(|n| *n <= MAX_CONTENT as i64)?;
            Some((0..n).map(|i| delta.mul(&i.into()).and_then(|d| start.add(&d))).collect())
        };
        vec![content()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_round_up() {
        let int = |s: i64, l: i64, d: i64| {
            count(&Tensor::scalar(s), &Tensor::scalar(l), &Tensor::scalar(d)).expect("a step")
        };
        assert_eq!([int(3, 9, 3), int(10, 4, -2), int(0, 5, 2), int(5, 0, 2), int(0, 0, 1)], [2, 3, 3, 0, 0]);
        assert_eq!([int(0, 5, -1), int(4, -1, -2), int(i64::MIN, i64::MAX, 1)], [0, 3, u64::MAX]);
        assert_eq!(int(i64::MAX, i64::MIN, i64::MIN), 2);
        let zero = Tensor::scalar(0i64);
        assert!(count(&zero, &zero, &zero).is_err());
        let float =
            |s: f32, l: f32, d: f32| count(&Tensor::scalar(s), &Tensor::scalar(l), &Tensor::scalar(d));
        assert_eq!(float(1.0, 5.0, 2.0), Ok(2));
        assert_eq!(float(0.0, 1.0, 0.1), Ok(10));
        assert!(float(0.0, f32::NAN, 1.0).is_err() && float(0.0, 1.0, 0.0).is_err());
        assert_eq!(float(0.0, f32::INFINITY, 1.0), Ok(u64::MAX));
    }
}
