//! Normalizations in terms of simpler operators. 16-bit floats are widened first, so that results are rounded once.
use super::group::GroupNormalization;
use super::layer_normalization::LayerNormalization;
use super::rms_normalization::RmsNormalization;
use crate::builder::Builder;
use crate::diag::Diag;
use crate::expand::{Expanded, dtype_of, narrowed, operand, rank_of, widened};
use crate::graph::ValueId;
use crate::infer::resolve_axis;
use crate::ops::elementwise::arithmetic::{Add, Div, Mul, Sub};
use crate::ops::elementwise::unary::{Reciprocal, Sqrt};
use crate::ops::movement::reshape::Reshape;
use crate::ops::movement::unsqueeze::Unsqueeze;
use crate::ops::reduce::reductions::ReduceMean;
use crate::ops::shape::shape::Shape;
use crate::ops::words::Layout;

/// Mean over `axes`, which stay with size 1.
fn mean(b: &mut Builder<'_>, x: ValueId, axes: &[i64]) -> Result<ValueId, Diag> {
    let axes = b.ints(axes);
    b.reduce_mean(ReduceMean::default(), x, Some(axes))
}

/// `sqrt(mean(x^2) + epsilon)` over `axes`.
fn deviation(b: &mut Builder<'_>, x: ValueId, axes: &[i64], epsilon: f32) -> Result<ValueId, Diag> {
    let square = b.mul(Mul {}, x, x)?;
    let var = mean(b, square, axes)?;
    let epsilon = b.scalar_like(f64::from(epsilon), x)?;
    let var = b.plus(Add {}, var, epsilon)?;
    b.sqrt(Sqrt {}, var)
}

/// Axes from `axis` on, counted from the end where `axis` is.
fn axes_from(b: &Builder<'_>, x: ValueId, axis: i64) -> Option<Vec<i64>> {
    if (-64..0).contains(&axis) {
        return Some((axis..0).collect());
    }
    let rank = rank_of(b, x)?;
    let axis = resolve_axis(axis, rank).ok()?;
    Some((axis as i64..rank as i64).collect())
}

pub(super) fn layer_normalization(
    op: &LayerNormalization,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    outputs: usize,
) -> Expanded {
    let (x, scale) = (operand(inputs, 0)?, operand(inputs, 1)?);
    let (Some(axes), Some(dtype)) = (axes_from(b, x, op.axis), dtype_of(b, x)) else { return Ok(None) };
    let (x, scale) = (widened(b, x)?, widened(b, scale)?);
    let middle = mean(b, x, &axes)?;
    let centred = b.sub(Sub {}, x, middle)?;
    let deviation = deviation(b, centred, &axes, op.epsilon)?;
    let normal = b.div(Div {}, centred, deviation)?;
    let mut y = b.mul(Mul {}, normal, scale)?;
    if let Some(bias) = inputs.get(2).copied().flatten() {
        let bias = widened(b, bias)?;
        y = b.plus(Add {}, y, bias)?;
    }
    let mut results = vec![narrowed(b, y, dtype)?];
    if outputs > 1 {
        results.push(narrowed(b, middle, op.stash_type)?);
    }
    if outputs > 2 {
        let inverse = b.reciprocal(Reciprocal {}, deviation)?;
        results.push(narrowed(b, inverse, op.stash_type)?);
    }
    Ok(Some(results))
}

pub(super) fn rms_normalization(
    op: &RmsNormalization,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    _: usize,
) -> Expanded {
    let (x, scale) = (operand(inputs, 0)?, operand(inputs, 1)?);
    let (Some(axes), Some(dtype)) = (axes_from(b, x, op.axis), dtype_of(b, scale)) else { return Ok(None) };
    let (x, scale) = (widened(b, x)?, widened(b, scale)?);
    let (wide_x, wide_scale) = (dtype_of(b, x), dtype_of(b, scale));
    let (Some(one), Some(other)) = (wide_x, wide_scale) else { return Ok(None) };
    let both = if one.bits() >= other.bits() { one } else { other };
    let (x, scale) = (narrowed(b, x, both)?, narrowed(b, scale, both)?);
    let deviation = deviation(b, x, &axes, op.epsilon)?;
    let normal = b.div(Div {}, x, deviation)?;
    let y = b.mul(Mul {}, normal, scale)?;
    Ok(Some(vec![narrowed(b, y, dtype)?]))
}

pub(super) fn group_normalization(
    op: &GroupNormalization,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    _: usize,
) -> Expanded {
    let (x, scale, bias) = (operand(inputs, 0)?, operand(inputs, 1)?, operand(inputs, 2)?);
    let (Some(rank), Some(dtype)) = (rank_of(b, x), dtype_of(b, x)) else { return Ok(None) };
    if op.layout != Layout::ChannelsFirst || rank < 2 {
        return Ok(None);
    }
    let shape = b.shape(Shape::default(), x)?;
    let x = widened(b, x)?;
    let grouped = b.ints(&[0, op.num_groups, -1]);
    let x = b.reshape(Reshape::default(), x, grouped)?;
    let middle = mean(b, x, &[-1])?;
    let centred = b.sub(Sub {}, x, middle)?;
    let deviation = deviation(b, centred, &[-1], op.epsilon)?;
    let normal = b.div(Div {}, centred, deviation)?;
    let normal = b.reshape(Reshape::default(), normal, shape)?;
    let along = |b: &mut Builder<'_>, v: ValueId| -> Result<ValueId, Diag> {
        let v = widened(b, v)?;
        if rank == 2 {
            return Ok(v);
        }
        let axes = b.ints(&(1..rank as i64 - 1).collect::<Vec<_>>());
        b.unsqueeze(Unsqueeze {}, v, axes)
    };
    let (scale, bias) = (along(b, scale)?, along(b, bias)?);
    let y = b.mul(Mul {}, normal, scale)?;
    let y = b.plus(Add {}, y, bias)?;
    Ok(Some(vec![narrowed(b, y, dtype)?]))
}
