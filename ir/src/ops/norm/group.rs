//! `group_normalization` and `instance_normalization`: statistics over the pixels of some channels of one sample.
use super::expansions;
use super::layer_normalization::STASH;
use super::stats::{check_per_channel, for_chunks, moments, same_as_first};
use crate::builder::Builder;
use crate::dtype::{DType, FLOATS};
use crate::eval::{EvalCx, Value, one};
use crate::expand::Expanded;
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::{
    Compute, channels_first_sizes, count, from_channels_first, to_channels_first,
};
use crate::ops::words::Layout;
use crate::tensor::Tensor;
use crate::types::Type;
use std::borrow::Cow;

crate::op! {
    /// `(x - mean) / sqrt(var + epsilon) * scale + bias`, statistics over each of `num_groups` groups of channels of each sample;
    /// `scale` and `bias` per channel. Statistics are computed in 64 bits and the rest in at least 32 bits, whatever `stash_type`.
    group_normalization GroupNormalization(x: One<T>, scale: One<T>, bias: One<T>) -> (y: One<T>) {
        /// Added to the variance.
        epsilon: f32 = 1e-5,
        /// Number of groups; divides the channels.
        num_groups: i64 = 1,
        /// Precision of the normalization; see above.
        stash_type: DType = DType::F32,
        /// Where the channel axis of data is.
        layout: Layout = Layout::ChannelsFirst,
    } where T: FLOATS;
}

crate::op! {
    /// `(x - mean) / sqrt(var + epsilon) * scale + b`, statistics over the pixels of each channel of each sample; `scale` and `b`
    /// per channel.
    instance_normalization InstanceNormalization(x: One<T>, scale: One<T>, b: One<T>) -> (y: One<T>) {
        /// Added to the variance.
        epsilon: f32 = 1e-5,
        /// Where the channel axis of data is.
        layout: Layout = Layout::ChannelsFirst,
    } where T: FLOATS;
}

/// Checks operands against the channel axis; `groups` must divide it.
fn check(cx: &InferCx<'_>, layout: Layout, groups: Option<i64>) -> Result<Vec<Type>, OpError> {
    let (ty, shape) = same_as_first(cx)?;
    let groups = groups.map(|g| u64::try_from(g).ok().filter(|g| *g > 0).ok_or(g)).transpose();
    let groups = groups.map_err(|g| OpError::attr(format!("num_groups {g} must be at least 1")))?;
    let Some(shape) = shape else { return Ok(vec![ty]) };
    if shape.len() < 2 {
        return Err(OpError::shape("data needs a batch and a channel axis"));
    }
    let channels = &shape[layout.channel_axis(shape.len())];
    if let (Some(c), Some(g)) = (channels.known(), groups)
        && !c.is_multiple_of(g)
    {
        return Err(OpError::shape(format!("{c} channels do not divide into {g} groups")));
    }
    check_per_channel(cx, 1, channels)?;
    check_per_channel(cx, 2, channels)?;
    Ok(vec![ty])
}

/// Normalizes over groups of channels, of which there are `groups`, or each by itself.
fn normalize<T: Compute>(
    mut cx: EvalCx<'_>,
    layout: Layout,
    groups: Option<usize>,
    epsilon: f32,
) -> Result<Tensor, OpError> {
    let x = cx.take(0)?;
    let (scale, bias) = (T::read(cx.tensor(1)?)?, T::read(cx.tensor(2)?)?);
    let (dtype, shape) = (x.dtype(), x.shape().to_vec());
    let first = channels_first_sizes(&shape, layout);
    let channels = first[1];
    let plane = count(&first[2..])?;
    let per_group = channels / groups.unwrap_or(channels).max(1);
    let mut values = to_channels_first(Cow::Owned(T::own(x)?), &first, layout).into_owned();
    for_chunks(&mut values, per_group * plane, |i, group| {
        let (mean, var) = moments(group);
        let (m, inv) = (T::from_f64(mean), (var + f64::from(epsilon)).sqrt().recip());
        for (j, pixels) in group.chunks_mut(plane).enumerate() {
            let c = (i * per_group + j) % channels;
            let (k, b) = (T::from_f64(inv * scale[c].to_f64()), bias[c]);
            for v in pixels {
                *v = (*v - m) * k + b;
            }
        }
    });
    Ok(T::tensor(dtype, &shape, from_channels_first(values, &first, layout))?)
}

impl Semantics for GroupNormalization {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        if !STASH.contains(self.stash_type) {
            return Err(OpError::attr(format!("stash_type {} is no float type", self.stash_type)));
        }
        check(cx, self.layout, Some(self.num_groups))
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let groups = usize::try_from(self.num_groups).ok();
        let wide = cx.tensor(0)?.dtype() == DType::F64;
        one(if wide {
            normalize::<f64>(cx, self.layout, groups, self.epsilon)?
        } else {
            normalize::<f32>(cx, self.layout, groups, self.epsilon)?
        })
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], outputs: usize) -> Expanded {
        expansions::group_normalization(self, b, inputs, outputs)
    }
}

impl Semantics for InstanceNormalization {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        check(cx, self.layout, None)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let wide = cx.tensor(0)?.dtype() == DType::F64;
        one(if wide {
            normalize::<f64>(cx, self.layout, None, self.epsilon)?
        } else {
            normalize::<f32>(cx, self.layout, None, self.epsilon)?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{assert_near, eval, f32s, infer, iota, shapes};

    #[test]
    fn groups_and_instances() {
        let (s, b) = (f32s(&[2], &[1., 2.]), f32s(&[2], &[0., 10.]));
        let x = iota(&[1, 2, 2]);
        let op = GroupNormalization { epsilon: 0.0, ..GroupNormalization::default() };
        let k = 1.25f64.sqrt().recip();
        let y = eval(&op, &[Some(&x), Some(&s), Some(&b)]).expect("fits");
        assert_near(&y[0], &[1, 2, 2], &[-1.5 * k, -0.5 * k, 10. + k, 10. + 3. * k]);
        let two = GroupNormalization { num_groups: 2, ..op };
        let single = InstanceNormalization { epsilon: 0.0, ..InstanceNormalization::default() };
        for y in [eval(&two, &[Some(&x), Some(&s), Some(&b)]), eval(&single, &[Some(&x), Some(&s), Some(&b)])]
        {
            assert_near(&y.expect("fits")[0], &[1, 2, 2], &[-1., 1., 8., 12.]);
        }
        let last = InstanceNormalization { epsilon: 0.0, layout: Layout::ChannelsLast };
        let y = eval(&last, &[Some(&x), Some(&s), Some(&b)]).expect("fits");
        assert_near(&y[0], &[1, 2, 2], &[-1., 8., 1., 12.]);
    }

    #[test]
    fn types() {
        let op = |num_groups| GroupNormalization { num_groups, ..GroupNormalization::default() };
        let ok = shapes(&["f32[N, 6, 4]", "f32[6]", "f32[6]"]);
        assert!(infer(&op(3), &ok).is_ok() && infer(&op(4), &ok).is_err() && infer(&op(0), &ok).is_err());
        assert!(infer(&op(3), &shapes(&["f32[N, 6, 4]", "f32[3]", "f32[6]"])).is_err());
    }
}
