//! `q_linear_conv`
use super::requantize::{
    PIECE, Quantized, Scales, check_scalars, check_vectors, requantize, scale, scales, zero,
};
use crate::builder::Builder;
use crate::dtype::{DType, DTypeSet, F32_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::expand::Expanded;
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::{count, from_channels_first, layout_sizes, zeros};
use crate::ops::linear::mat_mul_integer::BYTES;
use crate::ops::spatial::conv::{check_bias, conv_macs, type_of_shapes};
use crate::ops::spatial::conv_integer::sums;
use crate::ops::spatial::window::Window;
use crate::ops::words::{AutoPad, Layout};
use crate::tensor::Tensor;
use crate::types::Type;
use rayon::prelude::*;

const BIAS: DTypeSet = DTypeSet::of(&[DType::I32]);

crate::op! {
    /// Convolution of 8-bit integers: `saturate(round((sum + b) * scale) + y_zero_point)`, where `sum` is that of `conv_integer` and
    /// `scale` is `x_scale * w_scale / y_scale`, each step rounded to `f32`, and sums wrap in 32 bits. Scale and zero point of the weights
    /// are one for all or one per output channel. Weights are `[out, in / group, kernel...]` in either layout of the data.
    q_linear_conv QLinearConv(
        x: One<T1>, x_scale: One<S>, x_zero_point: One<T1>, w: One<T2>, w_scale: One<S>, w_zero_point: One<T2>, y_scale: One<S>,
        y_zero_point: One<T3>, b: Opt<T4>,
    ) -> (y: One<T3>) {
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
    } where T1: BYTES, T2: BYTES, T3: BYTES, T4: BIAS, S: F32_ONLY;
}

impl QLinearConv {
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
    fn finish<Q: Quantized>(
        &self,
        shape: &[usize],
        sums: &[i32],
        (factors, bias): (&[f32], Option<&[i32]>),
        zero: i32,
    ) -> Result<Tensor, OpError> {
        let (channels, pixels) = (shape[1], count(&shape[2..])?);
        let mut out = zeros::<Q>(sums.len())?;
        let piece = |(i, (out, sums)): (usize, (&mut [Q], &[i32]))| {
            let c = i % channels;
            let factor = Scales::One(if factors.len() == 1 { factors[0] } else { factors[c] });
            requantize(sums, bias.map_or(0, |b| b[c]), factor, zero as f32, out);
        };
        if pixels > 0 && out.len() < PIECE {
            out.chunks_mut(pixels).zip(sums.chunks(pixels)).enumerate().for_each(piece);
        } else if pixels > 0 {
            out.par_chunks_mut(pixels).zip(sums.par_chunks(pixels)).enumerate().for_each(piece);
        }
        let out = from_channels_first(out, shape, self.layout);
        Ok(Tensor::from_vec(&layout_sizes(shape, self.layout), out))
    }
}

impl Semantics for QLinearConv {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let shapes = (cx.shape(0)?, cx.shape(3)?);
        let (ty, channels) =
            type_of_shapes(shapes, &self.window(), &self.kernel_shape, self.layout, cx.dtype(7)?)?;
        check_scalars(cx, &[1, 2, 6, 7])?;
        check_vectors(cx, &[4, 5], &channels)?;
        check_bias(if cx.has(8) { cx.shape(8)? } else { None }, &channels)?;
        Ok(vec![ty])
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
        super::products::q_linear_conv(self, b, inputs)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let w = cx.tensor(3)?;
        let channels = w.shape().first().copied().unwrap_or(0);
        let (x_scale, y_scale, zero) = (scale(&cx, 1)?, scale(&cx, 6)?, zero(&cx, 7)?);
        let factors: Vec<f32> = scales(&cx, 4, channels)?.iter().map(|s| x_scale * s / y_scale).collect();
        let (x, w) = ((cx.tensor(0)?, cx.opt(2)?), (w, cx.opt(5)?));
        let bias = cx.opt(8)?.map(Tensor::view::<i32>).transpose()?;
        if bias.as_ref().is_some_and(|b| b.len() != channels) {
            return Err(OpError::shape(format!(
                "the bias is not one number for each of {channels} channels"
            )));
        }
        let (shape, sums) = sums(&self.window(), self.layout, x, w)?;
        let rest = (factors.as_slice(), bias.as_deref());
        one(if cx.tensor(7)?.dtype() == DType::I8 {
            self.finish::<i8>(&shape, &sums, rest, zero)?
        } else {
            self.finish::<u8>(&shape, &sums, rest, zero)?
        })
    }
    fn macs(&self, inputs: &[Option<&Type>], outputs: &[&Type]) -> Option<u64> {
        conv_macs(&[inputs.first().copied().flatten(), inputs.get(3).copied().flatten()], outputs)
    }
}
