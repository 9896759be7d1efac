//! `conv`
use super::window::{Axes, Window, sizes_of, split_sizes};
use crate::dim::Dim;
use crate::dtype::{DType, FLOATS};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::kernel::Channels;
use crate::kernel::conv::conv_kept;
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::{
    Compute, count, from_channels_first, layout_sizes, to_channels_first, zeros,
};
use crate::ops::words::{AutoPad, Layout};
use crate::tensor::Tensor;
use crate::types::{Shape, TensorType, Type};

crate::op! {
    /// Convolution. Weights are `[out, in / group, kernel...]` in either layout of the data.
    conv Conv(x: One<T>, w: One<T>, b: Opt<T>) -> (y: One<T>) {
        /// How padding is chosen when `pads` does not say.
        auto_pad: AutoPad = AutoPad::NotSet,
        /// Steps between the elements of a window; empty is 1.
        dilations: Vec<i64> = vec![],
        /// Groups that channels are split into.
        group: i64 = 1,
        /// Sizes of the window; empty is those of the weights.
        kernel_shape: Vec<i64> = vec![],
        /// Padding: all beginnings, then all ends; empty is none.
        pads: Vec<i64> = vec![],
        /// Steps between windows; empty is 1.
        strides: Vec<i64> = vec![],
        /// Where the channel axis of data is.
        layout: Layout = Layout::ChannelsFirst,
    } where T: FLOATS;
}

/// Sizes of the window of weights `w`, when known. Refuses a `kernel_shape` that differs from them, and weights of another rank
/// than the data.
pub(super) fn kernel_sizes(
    w: Option<&[Dim]>,
    rank: usize,
    given: &[i64],
) -> Result<Option<Vec<usize>>, OpError> {
    let explicit =
        if given.is_empty() { None } else { Some(sizes_of("kernel_shape", given, rank - 2, 1, 1)?) };
    let Some(w) = w else { return Ok(explicit) };
    if w.len() != rank {
        return Err(OpError::shape(format!("weights have {} axes, the data {rank}", w.len())));
    }
    let own: Option<Vec<usize>> =
        w[2..].iter().map(|d| d.known().and_then(|n| usize::try_from(n).ok())).collect();
    match (explicit, own) {
        (Some(e), Some(o)) if e != o => {
            Err(OpError::attr(format!("kernel_shape {e:?} is not the weights' {o:?}")))
        }
        (e, o) => Ok(o.or(e)),
    }
}

/// Refuses a bias that is not one number per output channel.
pub(crate) fn check_bias(bias: Option<&Shape>, channels: &Dim) -> Result<(), OpError> {
    match bias.map(Vec::as_slice) {
        None => Ok(()),
        Some([c]) if !c.surely_differs(channels) => Ok(()),
        Some(s) => {
            let s: Vec<String> = s.iter().map(ToString::to_string).collect();
            Err(OpError::shape(format!(
                "the bias [{}] is not one number for each of {channels} channels",
                s.join(", ")
            )))
        }
    }
}

/// Type of a convolution's result: operands 0 and 1 are data and weights.
pub(super) fn conv_type(
    cx: &InferCx<'_>,
    window: &Window<'_>,
    kernel_shape: &[i64],
    layout: Layout,
    dtype: DType,
) -> Result<(Type, Dim), OpError> {
    type_of_shapes((cx.shape(0)?, cx.shape(1)?), window, kernel_shape, layout, dtype)
}

/// [`conv_type`] from the shapes of data and weights. Also gives the number of output channels.
pub(crate) fn type_of_shapes(
    (x, w): (Option<&Shape>, Option<&Shape>),
    window: &Window<'_>,
    kernel_shape: &[i64],
    layout: Layout,
    dtype: DType,
) -> Result<(Type, Dim), OpError> {
    let Some(x) = x else {
        let rank = w.map(Vec::len).or((!kernel_shape.is_empty()).then(|| kernel_shape.len() + 2));
        let ty = rank.map_or_else(|| TensorType::unranked(dtype), |r| TensorType::of_rank(dtype, r));
        return Ok((ty.into(), Dim::Unknown));
    };
    let axes = Axes::of(x, layout)?;
    let kernel = kernel_sizes(w.map(Vec::as_slice), x.len(), kernel_shape)?;
    let channels = w.map_or(Dim::Unknown, |w| w[0].clone());
    if let (Some(c), Some(per)) = (axes.channels.known(), w.and_then(|w| w[1].known())) {
        let groups = u64::try_from(window.group).unwrap_or(0);
        if per.checked_mul(groups) != Some(c) {
            let m = format!("weights for {per} channels in {} groups, the data has {c}", window.group);
            return Err(OpError::shape(m));
        }
    }
    if let (Some(c), Ok(g)) = (channels.known(), u64::try_from(window.group))
        && c.checked_rem(g) != Some(0)
    {
        return Err(OpError::shape(format!("{c} output channels do not divide into {g} groups")));
    }
    let spatial = match kernel {
        Some(k) => window.output(&axes.spatial, &k)?,
        None => vec![Dim::Unknown; x.len() - 2],
    };
    let out = Axes { batch: axes.batch, channels: channels.clone(), spatial };
    Ok((TensorType::new(dtype, out.shape(layout)).into(), channels))
}

/// Multiply-accumulates of a convolution: elements of the result times those of one output channel's weights.
pub(crate) fn conv_macs(inputs: &[Option<&Type>], outputs: &[&Type]) -> Option<u64> {
    let w = inputs.get(1).copied().flatten()?.as_tensor()?.sizes()?;
    let y = outputs.first()?.as_tensor()?.sizes()?;
    y.iter().chain(w.get(1..)?).try_fold(1u64, |n, d| n.checked_mul(*d as u64))
}

impl Conv {
    fn window(&self) -> Window<'_> {
        Window {
            strides: &self.strides,
            dilations: &self.dilations,
            pads: &self.pads,
            auto_pad: self.auto_pad,
            group: self.group,
            ceil_mode: false,
        }
    }
    fn compute<T: Compute>(&self, cx: &EvalCx<'_>) -> Result<Tensor, OpError> {
        let (x, w, b) = (cx.tensor(0)?, cx.tensor(1)?, cx.opt(2)?);
        let (batch, input, spatial) = split_sizes(x.shape(), self.layout)?;
        let kernel = w.shape().get(2..).unwrap_or_default();
        let g = self.window().geometry(&spatial, kernel)?;
        let channels = Channels { batch, input, output: w.shape().first().copied().unwrap_or(0) };
        let mut shape = vec![batch, channels.output];
        shape.extend(g.output_shape()?);
        let source = [&[batch, input], spatial.as_slice()].concat();
        let data = to_channels_first(T::read(x)?, &source, self.layout);
        let bias = b.map(T::read).transpose()?;
        let mut out = zeros::<T>(count(&shape)?)?;
        if !out.is_empty() {
            let weights = T::read(w)?;
            conv_kept(&g, channels, &data, (&weights, w.packs()), bias.as_deref(), &mut out)?;
        }
        let out = from_channels_first(out, &shape, self.layout);
        Ok(T::tensor(x.dtype(), &layout_sizes(&shape, self.layout), out)?)
    }
}

impl Semantics for Conv {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let (ty, channels) = conv_type(cx, &self.window(), &self.kernel_shape, self.layout, cx.dtype(0)?)?;
        check_bias(if cx.has(2) { cx.shape(2)? } else { None }, &channels)?;
        Ok(vec![ty])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        one(if cx.tensor(0)?.dtype() == DType::F64 {
            self.compute::<f64>(&cx)?
        } else {
            self.compute::<f32>(&cx)?
        })
    }
    fn macs(&self, inputs: &[Option<&Type>], outputs: &[&Type]) -> Option<u64> {
        conv_macs(inputs, outputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{assert_near, eval, f32s, infer, iota, shapes};

    #[test]
    fn groups_bias_and_both_layouts() {
        let (w, b) = (iota(&[2, 1, 2, 2]), f32s(&[2], &[10., 20.]));
        let op = Conv { group: 2, pads: vec![0, 1, 0, 0], ..Conv::default() };
        let y = eval(&op, &[Some(&iota(&[1, 2, 2, 2])), Some(&w), Some(&b)]).expect("fits");
        assert_near(&y[0], &[1, 2, 1, 2], &[16., 24., 82., 146.]);
    }

    #[test]
    fn layouts_agree() {
        let (x, w) = (iota(&[2, 3, 4, 5]), iota(&[4, 3, 2, 3]));
        let op = Conv { strides: vec![2, 1], auto_pad: AutoPad::SameLower, ..Conv::default() };
        let first = eval(&op, &[Some(&x), Some(&w), None]).expect("fits").remove(0);
        let last = Conv { layout: Layout::ChannelsLast, ..op };
        let turned = x.permute(&[0, 2, 3, 1]).expect("ok").materialize().expect("ok");
        let y = eval(&last, &[Some(&turned), Some(&w), None]).expect("fits").remove(0);
        assert_eq!(first.shape(), [2, 4, 2, 5]);
        assert_eq!(y, first.permute(&[0, 2, 3, 1]).expect("ok"));
    }

    #[test]
    fn types() {
        let op = Conv { strides: vec![2, 2], pads: vec![1; 4], ..Conv::default() };
        let t = infer(&op, &shapes(&["f32[N, 3, H, 224]", "f32[8, 3, 3, 3]", "f32[8]"])).expect("fits");
        assert_eq!(t[0].to_string(), "f32[N, 8, floordiv(H+1, 2), 112]");
        for bad in [
            &["f32[1, 4, 5, 5]", "f32[8, 3, 3, 3]", "_"],
            &["f32[1, 3, 5, 5]", "f32[8, 3, 3]", "_"],
            &["f32[1, 3]", "f32[8, 3]", "_"],
            &["f32[1, 3, 5, 5]", "f32[8, 3, 3, 3]", "f32[7]"],
            &["f32[1, 3, 5, 0]", "f32[8, 3, 9, 3]", "_"],
        ] {
            assert!(infer(&op, &shapes(bad)).is_err(), "{bad:?}");
        }
    }
}
