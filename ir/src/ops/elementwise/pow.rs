//! `pow`
use super::broadcast::{broadcast_sizes, each, zip};
use super::expansions;
use super::typing::broadcast_first;
use crate::dtype::{DType, DTypeSet, FLOATS, INDEX, NUMERIC};
use crate::eval::{EvalCx, Value, one};
use crate::op::OpError;
use crate::tensor::Tensor;
use crate::tensor::convert::Wide;

/// What bases may be.
const BASES: DTypeSet = FLOATS.or(INDEX);

crate::op! {
    /// `z = x^y`, broadcast, in the type of `x`. An integer to an integer power is exact and wraps; a negative power of an integer
    /// is truncated towards zero.
    pow Pow(x: One<T>, y: One<T1>) -> (z: One<T>) {} where T: BASES, T1: NUMERIC;
    infer = broadcast_first, eval = power,
    expand = expansions::pow;
}

/// Types computed in `f32`.
fn is_single(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F16 | DType::BF16)
}

fn power(_: &Pow, mut cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
    let (x, y) = (cx.take(0)?, cx.take(1)?);
    let dtype = x.dtype();
    let shape = broadcast_sizes(&[x.shape(), y.shape()])?;
    let (s, t) = (x.shape().to_vec(), y.shape().to_vec());
    let wide = if is_single(dtype) && is_single(y.dtype()) {
        let exponents = y.to_f32s()?;
        let bases = if dtype == DType::F32 { x } else { x.cast(DType::F32, false)? };
        let values = match exponents.as_ref() {
            [e] if s == shape => constant_power(bases.into_vec()?, *e),
            e => zip(&shape, 0.0, (&bases.view::<f32>()?, &s), (e, &t), libm::powf),
        };
        if dtype == DType::F32 {
            return one(Tensor::from_vec(&shape, values));
        }
        Wide::F32(values)
    } else if dtype.is_float() || y.dtype().is_float() {
        Wide::F64(zip(&shape, 0.0, (&x.to_f64s()?, &s), (&y.to_f64s()?, &t), libm::pow))
    } else {
        let exponent = |v: i64| if y.dtype() == DType::U64 { v as u64 as i128 } else { i128::from(v) };
        let exponents: Vec<i128> = y.to_i64s()?.into_iter().map(exponent).collect();
        Wide::I64(zip(&shape, 0, (&x.to_i64s()?, &s), (&exponents, &t), integer_power))
    };
    one(Tensor::from_wide(dtype, &shape, &wide, false)?)
}

/// `x^e` for each `x`. The frequent exponents are computed without the general function, rounded at least as well.
fn constant_power(mut x: Vec<f32>, e: f32) -> Vec<f32> {
    if e == 2.0 {
        each(&mut x, |v| v * v);
    } else if e == 3.0 {
        each(&mut x, |v| {
            let w = f64::from(v);
            (w * w * w) as f32
        });
    } else if e == 0.5 {
        // Unlike the root, the power of -0 is +0 and that of minus infinity is infinity.
        each(&mut x, |v| if v == f32::NEG_INFINITY { f32::INFINITY } else { (v + 0.0).sqrt() });
    } else {
        each(&mut x, move |v| libm::powf(v, e));
    }
    x
}

/// `x^e` modulo `2^64`; a negative power is 0 but for the bases 1 and -1.
fn integer_power(x: i64, e: i128) -> i64 {
    if e < 0 {
        return match x {
            1 => 1,
            -1 => {
                if e % 2 == 0 {
                    1
                } else {
                    -1
                }
            }
            _ => 0,
        };
    }
    let (mut result, mut square, mut rest) = (1i64, x, e);
    while rest > 0 {
        if rest & 1 == 1 {
            result = result.wrapping_mul(square);
        }
        square = square.wrapping_mul(square);
        rest >>= 1;
    }
    result
}
