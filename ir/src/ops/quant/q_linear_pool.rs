//! `q_linear_average_pool`, `q_linear_global_average_pool`
use super::requantize::{Affine, Quantized, Scales, check_scalars, requantize};
use crate::builder::Builder;
use crate::dtype::{DType, F32_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::expand::Expanded;
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::ops::elementwise::broadcast::vectorized;
use crate::ops::linear::compute::{count, layout_sizes, to_channels_first, zeros};
use crate::ops::linear::mat_mul_integer::BYTES;
use crate::ops::spatial::average_pool::AveragePool;
use crate::ops::spatial::global_pool::global_type;
use crate::ops::spatial::window::split_sizes;
use crate::ops::words::{AutoPad, Layout};
use crate::tensor::Tensor;
use crate::types::Type;
use std::borrow::Cow;

crate::op! {
    /// Mean of each window of a quantized tensor: the elements are dequantized, averaged as `average_pool` does (but where padding counts and a last
    /// window is partial, all its elements count), and quantized as
    /// `saturate(round(mean / y_scale + y_zero_point))`, in `f32`, rounded to nearest even after the zero point was added.
    q_linear_average_pool QLinearAveragePool(
        x: One<T>, x_scale: One<S>, x_zero_point: Opt<T>, y_scale: One<S>, y_zero_point: Opt<T>,
    ) -> (y: One<T>) {
        /// How padding is chosen when `pads` does not say.
        auto_pad: AutoPad = AutoPad::NotSet,
        /// Whether a last partial window counts.
        ceil_mode: bool = false,
        /// Whether padding counts as elements.
        count_include_pad: bool = false,
        /// Sizes of the window.
        kernel_shape: Vec<i64> = vec![],
        /// Padding: all beginnings, then all ends; empty is none.
        pads: Vec<i64> = vec![],
        /// Steps between windows; empty is 1.
        strides: Vec<i64> = vec![],
        /// Where the channel axis of data is.
        layout: Layout = Layout::ChannelsFirst,
    } where T: BYTES, S: F32_ONLY;
}

crate::op! {
    /// Mean over all spatial positions of each channel of a quantized tensor: with `n` positions,
    /// `saturate(round(sum(x - x_zero_point) * (x_scale / (y_scale * n))) + y_zero_point)`, the sum in integers, the rest rounded to `f32`.
    q_linear_global_average_pool QLinearGlobalAveragePool(
        x: One<T>, x_scale: One<S>, x_zero_point: One<T>, y_scale: One<S>, y_zero_point: One<T>,
    ) -> (y: One<T>) {
        /// Where the channel axis of data is.
        layout: Layout = Layout::ChannelsFirst,
    } where T: BYTES, S: F32_ONLY;
}

impl QLinearAveragePool {
    /// The pooling of reals.
    pub(super) fn pool(&self) -> AveragePool {
        AveragePool {
            auto_pad: self.auto_pad,
            ceil_mode: self.ceil_mode,
            count_include_pad: self.count_include_pad,
            dilations: vec![],
            kernel_shape: self.kernel_shape.clone(),
            pads: self.pads.clone(),
            strides: self.strides.clone(),
            layout: self.layout,
        }
    }
    /// [`Self::pool`] over data of these spatial sizes: where padding counts, what of a last partial window lies beyond it counts as well, as in
    /// ONNX Runtime.
    pub(super) fn pool_over(&self, spatial: &[usize]) -> AveragePool {
        let pool = self.pool();
        let (axes, set) = (spatial.len(), matches!(self.auto_pad, AutoPad::NotSet | AutoPad::Valid));
        if !(self.ceil_mode && self.count_include_pad && set) || self.kernel_shape.len() != axes {
            return pool;
        }
        let at = |all: &[i64], i: usize, otherwise: i64| all.get(i).copied().unwrap_or(otherwise);
        let padded = self.auto_pad == AutoPad::NotSet && self.pads.len() == 2 * axes;
        let given: &[i64] = if padded { &self.pads } else { &[] };
        let (mut begins, mut ends) = (vec![], vec![]);
        for (i, size) in spatial.iter().enumerate() {
            let (kernel, stride) = (self.kernel_shape[i], at(&self.strides, i, 1).max(1));
            let (begin, end) = (at(given, i, 0), at(given, axes + i, 0));
            let data = (*size as i64).saturating_add(begin);
            let room = data.saturating_add(end).saturating_sub(kernel).max(0);
            let mut last = room / stride + i64::from(room % stride != 0);
            // A window does not start behind the data.
            if last.saturating_mul(stride) >= data {
                last -= 1;
            }
            begins.push(begin);
            ends.push(last.saturating_mul(stride).saturating_add(kernel).saturating_sub(data).max(0));
        }
        let pads = begins.into_iter().chain(ends).collect();
        AveragePool { auto_pad: AutoPad::NotSet, ceil_mode: false, pads, ..pool }
    }
    fn compute<Q: Quantized>(&self, x: &Tensor, from: Affine, to: Affine) -> Result<Tensor, OpError> {
        let (_, _, spatial) = split_sizes(x.shape(), self.layout)?;
        let source = x.view::<Q>()?;
        let mut reals = zeros::<f32>(source.len())?;
        vectorized(|| reals.iter_mut().zip(&*source).for_each(|(r, q)| *r = from.real(q.widen())));
        let means = self.pool_over(&spatial).means(&Tensor::from_vec(x.shape(), reals))?;
        let values = means.view::<f32>()?;
        let mut out = zeros::<Q>(values.len())?;
        let (scale, zero) = (to.scale, to.zero as f32);
        vectorized(|| {
            let quantized = |v: f32| Q::saturate((v / scale + zero).round_ties_even());
            out.iter_mut().zip(&*values).for_each(|(o, v)| *o = quantized(*v));
        });
        Ok(Tensor::from_vec(means.shape(), out))
    }
}

impl Semantics for QLinearAveragePool {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        check_scalars(cx, &[1, 2, 3, 4])?;
        self.pool().infer(cx)
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
        super::pool_expansions::average_pool(self, b, inputs)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (x, from, to) = (cx.tensor(0)?, Affine::of(&cx, 1)?, Affine::of(&cx, 3)?);
        one(if x.dtype() == DType::I8 {
            self.compute::<i8>(x, from, to)?
        } else {
            self.compute::<u8>(x, from, to)?
        })
    }
}

impl QLinearGlobalAveragePool {
    fn compute<Q: Quantized>(&self, x: &Tensor, from: Affine, to: Affine) -> Result<Tensor, OpError> {
        let (batch, channels, spatial) = match x.shape() {
            &[n, c] => (n, c, vec![]),
            s => split_sizes(s, self.layout)?,
        };
        let source = [&[batch, channels], spatial.as_slice()].concat();
        let view = x.view::<Q>()?;
        let data = to_channels_first(Cow::Borrowed(&*view), &source, self.layout);
        let plane = count(&spatial)?;
        let mut sums = zeros::<i32>(count(&[batch, channels])?)?;
        for (sum, plane) in sums.iter_mut().zip(data.chunks(plane.max(1))) {
            *sum = plane.iter().fold(0, |s: i32, q| s.wrapping_add(q.widen() - from.zero));
        }
        let mut out = zeros::<Q>(sums.len())?;
        let factor = from.scale / (to.scale * plane as f32);
        requantize(&sums, 0, Scales::One(factor), to.zero as f32, &mut out);
        let shape = [&[batch, channels], vec![1; spatial.len()].as_slice()].concat();
        Ok(Tensor::from_vec(&layout_sizes(&shape, self.layout), out))
    }
}

impl Semantics for QLinearGlobalAveragePool {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        check_scalars(cx, &[1, 2, 3, 4])?;
        global_type(cx, self.layout)
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
        super::pool_expansions::global_average_pool(self, b, inputs)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (x, from, to) = (cx.tensor(0)?, Affine::of(&cx, 1)?, Affine::of(&cx, 3)?);
        one(if x.dtype() == DType::I8 {
            self.compute::<i8>(x, from, to)?
        } else {
            self.compute::<u8>(x, from, to)?
        })
    }
}
