//! Elementwise operators in terms of simpler ones. 16-bit floats are widened first, so that the result is rounded once.
use super::activation::{
    Approximate, Celu, Elu, Gelu, HardSigmoid, HardSwish, Mish, Relu, Sigmoid, Softplus, Swish,
};
use super::arithmetic::{Add, Div, Mod, Mul, Sub};
use super::cast::{Cast, CastLike};
use super::clip::Clip;
use super::compare::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};
use super::logic::{Or, Xor};
use super::pow::Pow;
use super::select::Where;
use super::unary::{BitwiseNot, Erf, Tanh};
use super::variadic::{Max, Min};
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dtype::DType;
use crate::expand::{Expanded, dtype_of, narrowed, operand, widened};
use crate::graph::ValueId;
use crate::ops::movement::reshape::Reshape;
use crate::tensor::Tensor;

/// `f` between widening and narrowing of the only operand.
fn map(
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    f: impl FnOnce(&mut Builder<'_>, ValueId) -> Result<ValueId, Diag>,
) -> Expanded {
    let x = operand(inputs, 0)?;
    let Some(dtype) = dtype_of(b, x).filter(|d| d.is_float()) else { return Ok(None) };
    let wide = widened(b, x)?;
    let y = f(b, wide)?;
    Ok(Some(vec![narrowed(b, y, dtype)?]))
}

fn times(b: &mut Builder<'_>, x: ValueId, factor: f64) -> Result<ValueId, Diag> {
    let factor = b.scalar_like(factor, x)?;
    b.mul(Mul {}, x, factor)
}

pub(super) fn gelu(op: &Gelu, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
    map(b, inputs, |b, x| {
        let one = b.scalar_like(1.0, x)?;
        let inner = match op.approximate {
            Approximate::None => {
                let scaled = times(b, x, std::f64::consts::FRAC_1_SQRT_2)?;
                b.erf(Erf {}, scaled)?
            }
            Approximate::Tanh => {
                let square = b.mul(Mul {}, x, x)?;
                let factor = times(b, square, 0.044_715)?;
                let factor = b.plus(Add {}, factor, one)?;
                let inner = b.mul(Mul {}, x, factor)?;
                let inner = times(b, inner, (2.0 * std::f64::consts::FRAC_1_PI).sqrt())?;
                b.tanh(Tanh {}, inner)?
            }
        };
        let half = times(b, x, 0.5)?;
        let factor = b.plus(Add {}, inner, one)?;
        b.mul(Mul {}, half, factor)
    })
}

pub(super) fn hard_swish(
    _: &HardSwish,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    _: usize,
) -> Expanded {
    map(b, inputs, |b, x| {
        let gate = b.hard_sigmoid(HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 }, x)?;
        b.mul(Mul {}, x, gate)
    })
}

pub(super) fn swish(op: &Swish, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
    map(b, inputs, |b, x| {
        let inner = if op.alpha.to_bits() == 1f32.to_bits() { x } else { times(b, x, f64::from(op.alpha))? };
        let gate = b.sigmoid(Sigmoid {}, inner)?;
        b.mul(Mul {}, x, gate)
    })
}

pub(super) fn mish(_: &Mish, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
    map(b, inputs, |b, x| {
        let inner = b.softplus(Softplus {}, x)?;
        let gate = b.tanh(Tanh {}, inner)?;
        b.mul(Mul {}, x, gate)
    })
}

/// `max(x, 0) + alpha * min(elu(x / alpha), 0)`, for positive `alpha`.
pub(super) fn celu(op: &Celu, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
    if op.alpha.is_nan() || op.alpha <= 0.0 {
        return Ok(None);
    }
    map(b, inputs, |b, x| {
        let (zero, alpha) = (b.scalar_like(0.0, x)?, b.scalar_like(f64::from(op.alpha), x)?);
        let inner = b.div(Div {}, x, alpha)?;
        let inner = b.elu(Elu { alpha: 1.0 }, inner)?;
        let inner = b.min(Min {}, &[inner, zero])?;
        let negative = b.mul(Mul {}, inner, alpha)?;
        let positive = b.max(Max {}, &[x, zero])?;
        b.plus(Add {}, positive, negative)
    })
}

/// Of integers: 0 where below 0.
pub(super) fn relu(_: &Relu, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
    let x = operand(inputs, 0)?;
    if !dtype_of(b, x).is_some_and(DType::is_int) {
        return Ok(None);
    }
    let zero = b.scalar_like(0.0, x)?;
    let negative = b.less(Less {}, x, zero)?;
    Ok(Some(vec![b.r#where(Where {}, negative, zero, x)?]))
}

/// Picks element by element, which is exact for integers; floats would lose NaN.
fn picked(b: &mut Builder<'_>, x: ValueId, y: ValueId, larger: bool) -> Result<ValueId, Diag> {
    let first = if larger { b.greater(Greater {}, x, y)? } else { b.less(Less {}, x, y)? };
    b.r#where(Where {}, first, x, y)
}

fn extreme(b: &mut Builder<'_>, inputs: &[Option<ValueId>], larger: bool) -> Expanded {
    let mut all = inputs.iter().flatten();
    let Some(first) = all.next() else { return Ok(None) };
    if !dtype_of(b, *first).is_some_and(DType::is_int) || inputs.len() < 2 {
        return Ok(None);
    }
    let result = all.try_fold(*first, |x, y| picked(b, x, *y, larger))?;
    Ok(Some(vec![result]))
}

pub(super) fn max(_: &Max, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
    extreme(b, inputs, true)
}

pub(super) fn min(_: &Min, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
    extreme(b, inputs, false)
}

/// Of integers: the larger of element and lower bound, then the smaller.
pub(super) fn clip(_: &Clip, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
    let mut x = operand(inputs, 0)?;
    let bound = |i: usize| inputs.get(i).copied().flatten();
    if !dtype_of(b, x).is_some_and(DType::is_int) || (bound(1), bound(2)) == (None, None) {
        return Ok(None);
    }
    for (i, larger) in [(1, true), (2, false)] {
        if let Some(v) = bound(i) {
            // A bound of one element may have any rank.
            let scalar = b.ints(&[]);
            let v = b.reshape(Reshape::default(), v, scalar)?;
            x = picked(b, x, v, larger)?;
        }
    }
    Ok(Some(vec![x]))
}

/// Exponents that are numbers of the base's type too are cast to it.
pub(super) fn pow(_: &Pow, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
    let (x, y) = (operand(inputs, 0)?, operand(inputs, 1)?);
    let (Some(base), Some(exponent)) = (dtype_of(b, x), dtype_of(b, y)) else { return Ok(None) };
    if base == exponent || !base.is_float() {
        return Ok(None);
    }
    let exact = |t: &Tensor| {
        let there = t.cast(base, false).ok()?.cast(exponent, false).ok()?;
        Some(there.same_bits(t))
    };
    let small_int = exponent.is_int() && exponent.bits() <= 16 && matches!(base, DType::F32 | DType::F64);
    let widens = matches!(
        (exponent, base),
        (DType::F16 | DType::BF16, DType::F32 | DType::F64) | (DType::F32, DType::F64)
    );
    let constant = b.graph().constant(y).filter(|t| t.len() <= 1 << 16).and_then(exact) == Some(true);
    if !(small_int || widens || constant) {
        return Ok(None);
    }
    let y = b.cast(Cast { to: base, ..Cast::default() }, y)?;
    Ok(Some(vec![b.pow(Pow {}, x, y)?]))
}

/// C's remainder, moved into the divisor's sign.
pub(super) fn modulo(op: &Mod, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
    let (x, y) = (operand(inputs, 0)?, operand(inputs, 1)?);
    if op.fmod || !dtype_of(b, x).is_some_and(DType::is_float) {
        return Ok(None);
    }
    let Some(dtype) = dtype_of(b, x) else { return Ok(None) };
    let (x, y) = (widened(b, x)?, widened(b, y)?);
    let zero = b.scalar_like(0.0, x)?;
    let rest = b.r#mod(Mod { fmod: true }, x, y)?;
    let (below, divisor_below) = (b.less(Less {}, rest, zero)?, b.less(Less {}, y, zero)?);
    let other_sign = b.xor(Xor {}, below, divisor_below)?;
    let none = b.equal(Equal {}, rest, zero)?;
    let moved = b.plus(Add {}, rest, y)?;
    let signed = b.r#where(Where {}, other_sign, moved, rest)?;
    // A remainder of zero has the divisor's sign; the other zero is that times the divisor's reciprocal sign.
    let minus_zero = b.scalar_like(-0.0, x)?;
    let zeros = b.r#where(Where {}, divisor_below, minus_zero, zero)?;
    let result = b.r#where(Where {}, none, zeros, signed)?;
    Ok(Some(vec![narrowed(b, result, dtype)?]))
}

pub(super) fn greater_or_equal(
    _: &GreaterOrEqual,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    _: usize,
) -> Expanded {
    let (x, y) = (operand(inputs, 0)?, operand(inputs, 1)?);
    let (more, same) = (b.greater(Greater {}, x, y)?, b.equal(Equal {}, x, y)?);
    Ok(Some(vec![b.or(Or {}, more, same)?]))
}

pub(super) fn less_or_equal(
    _: &LessOrEqual,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    _: usize,
) -> Expanded {
    let (x, y) = (operand(inputs, 0)?, operand(inputs, 1)?);
    let (less, same) = (b.less(Less {}, x, y)?, b.equal(Equal {}, x, y)?);
    Ok(Some(vec![b.or(Or {}, less, same)?]))
}

pub(super) fn cast_like(op: &CastLike, b: &mut Builder<'_>, inputs: &[Option<ValueId>]) -> Expanded {
    let (x, like) = (operand(inputs, 0)?, operand(inputs, 1)?);
    let Some(to) = dtype_of(b, like) else { return Ok(None) };
    let cast = Cast { to, saturate: op.saturate, round_mode: op.round_mode };
    Ok(Some(vec![b.cast(cast, x)?]))
}

/// `-1 - x`, or the largest number less `x`.
pub(super) fn bitwise_not(
    _: &BitwiseNot,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    _: usize,
) -> Expanded {
    let x = operand(inputs, 0)?;
    let Some((low, high)) = dtype_of(b, x).and_then(DType::int_range) else { return Ok(None) };
    let ones = if low < 0 { Tensor::scalar(-1i64) } else { Tensor::scalar(high as u64) };
    let Some(dtype) = dtype_of(b, x) else { return Ok(None) };
    let Ok(ones) = ones.cast(dtype, false) else { return Ok(None) };
    let ones = b.constant(ones);
    Ok(Some(vec![b.sub(Sub {}, ones, x)?]))
}
