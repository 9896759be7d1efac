//! Expansions of means of quantized tensors.
use super::q_linear_pool::{QLinearAveragePool, QLinearGlobalAveragePool};
use super::steps::{Steps, makes_ties, over, times};
use crate::builder::Builder;
use crate::dtype::DType;
use crate::expand::{Expanded, dtype_of, narrowed, operand};
use crate::graph::ValueId;
use crate::ops::elementwise::arithmetic::{Mul, Sub};
use crate::ops::reduce::reductions::ReduceSum;
use crate::ops::spatial::average_pool::AveragePool;
use crate::ops::spatial::global_pool::GlobalAveragePool;

/// Expansion of `q_linear_average_pool`.
pub(super) fn average_pool(
    op: &QLinearAveragePool,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
) -> Expanded {
    let (x, from, to) = (operand(inputs, 0)?, Steps::of(b, inputs, 1)?, Steps::of(b, inputs, 3)?);
    let Some(dtype) = dtype_of(b, x) else { return Ok(None) };
    let Some(pool) = over_sizes(op, b, x) else { return Ok(None) };
    let most: f32 = op.kernel_shape.iter().map(|n| *n as f32).product();
    let plain = from.constant(b).zip(to.constant(b)).is_some_and(|(from, to)| {
        // Windows at the edges hold fewer elements.
        most <= 4096.0 && (1..=most as u32).all(|n| !makes_ties(from.scale / (to.scale * n as f32)))
    });
    let real = from.real(b, x)?;
    let mean = b.average_pool(pool, real)?;
    if plain {
        return Ok(Some(vec![to.stored(b, mean, dtype)?]));
    }
    let quotient = over(b, mean, to.scale)?;
    Ok(Some(vec![to.rounded_after(b, quotient, dtype)?]))
}

/// The pooling of reals; none where it depends on sizes that are not known.
fn over_sizes(op: &QLinearAveragePool, b: &Builder<'_>, x: ValueId) -> Option<AveragePool> {
    if !(op.ceil_mode && op.count_include_pad) {
        return Some(op.pool());
    }
    let shape = b.graph().ty(x).as_tensor()?.shape.clone()?;
    let channel = op.layout.channel_axis(shape.len());
    let spatial = (1..shape.len()).filter(|i| *i != channel);
    let sizes = spatial.map(|i| usize::try_from(shape[i].known()?).ok()).collect::<Option<Vec<usize>>>()?;
    Some(op.pool_over(&sizes))
}

/// The number of positions of each channel, where it is known, with their axes.
fn plane(op: &QLinearGlobalAveragePool, b: &Builder<'_>, x: ValueId) -> Option<(u64, Vec<i64>)> {
    let shape = b.graph().ty(x).as_tensor()?.shape.clone()?;
    let channel = op.layout.channel_axis(shape.len());
    let axes: Vec<usize> = (1..shape.len()).filter(|i| *i != channel).collect();
    let count = axes.iter().try_fold(1u64, |n, i| n.checked_mul(shape[*i].known()?))?;
    Some((count, axes.iter().map(|i| *i as i64).collect()))
}

/// Expansion of `q_linear_global_average_pool`: sums of integers where the number of positions is known. Integer operators of formats that compute
/// means truncate them, so that it is not made one.
pub(super) fn global_average_pool(
    op: &QLinearGlobalAveragePool,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
) -> Expanded {
    let (x, from, to) = (operand(inputs, 0)?, Steps::of(b, inputs, 1)?, Steps::of(b, inputs, 3)?);
    let Some(dtype) = dtype_of(b, x) else { return Ok(None) };
    let Some((count, axes)) = plane(op, b, x) else {
        let real = from.real(b, x)?;
        let mean = b.global_average_pool(GlobalAveragePool { layout: op.layout }, real)?;
        let quotient = over(b, mean, to.scale)?;
        return Ok(Some(vec![to.rounded(b, quotient, dtype)?]));
    };
    let mut sum = narrowed(b, x, DType::I32)?;
    if let Some(zero) = from.zero {
        let zero = narrowed(b, zero, DType::I32)?;
        sum = b.sub(Sub {}, sum, zero)?;
    }
    if !axes.is_empty() {
        let axes = b.ints(&axes);
        sum = b.reduce_sum(ReduceSum::default(), sum, Some(axes))?;
    }
    let sum = narrowed(b, sum, DType::F32)?;
    let count = b.scalar(count as f32);
    let steps = times(b, to.scale, count)?;
    let factor = over(b, from.scale, steps)?;
    let mean = b.mul(Mul {}, sum, factor)?;
    Ok(Some(vec![to.rounded(b, mean, dtype)?]))
}
