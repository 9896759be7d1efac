//! `conv_integer`
use super::conv::{conv_macs, conv_type};
use super::window::{Window, split_sizes};
use crate::dtype::DType;
use crate::eval::{EvalCx, Value, one};
use crate::graph::{Graph, ValueId};
use crate::infer::InferCx;
use crate::kernel::integer::{Byte, conv_integer};
use crate::kernel::{Channels, ConvGeometry};
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::{count, from_channels_first, layout_sizes, to_channels_first, zeros};
use crate::ops::linear::mat_mul_integer::{BYTES, Bytes, zero_points};
use crate::ops::words::{AutoPad, Layout};
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};
use std::borrow::Cow;

crate::op! {
    /// Convolution of `x - x_zero_point` with `w - w_zero_point` in wrapping 32-bit integers; padding stands for
    /// `x_zero_point`. `w_zero_point` is one number or one per output channel. Otherwise as `conv`.
    conv_integer ConvInteger(x: One<X>, w: One<W>, x_zero_point: Opt<X>, w_zero_point: Opt<W>) -> (y: One<Y>) {
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
    } where X: BYTES, W: BYTES;
}

/// A convolution whose sizes are known.
struct Task {
    geometry: ConvGeometry,
    channels: Channels,
    source: Vec<usize>,
    layout: Layout,
}

impl Task {
    fn run<X: Byte + bytemuck::Zeroable, W: Byte>(
        &self,
        (x, x_zero): (&[X], &[X]),
        (w, w_zero): (&[W], &[W]),
        out: &mut [i32],
    ) -> Result<(), OpError> {
        let x = to_channels_first(Cow::Borrowed(x), &self.source, self.layout);
        let x_zero = x_zero.first().copied().unwrap_or_default();
        Ok(conv_integer(&self.geometry, self.channels, (&x, x_zero), (w, w_zero), out)?)
    }
}

impl ConvInteger {
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
}

/// Sums of products of `x - x_zero` and `w - w_zero` with their channels-first sizes.
pub(crate) fn sums(
    window: &Window<'_>,
    layout: Layout,
    (x, x_zero): (&Tensor, Option<&Tensor>),
    (w, w_zero): (&Tensor, Option<&Tensor>),
) -> Result<(Vec<usize>, Vec<i32>), OpError> {
    use Bytes::{Signed as S, Unsigned as U};
    let (zx, zw) = (zero_points(x_zero, x.dtype()), zero_points(w_zero, w.dtype()));
    if zx.len() > 1 {
        return Err(OpError::shape("x_zero_point is one number"));
    }
    let (batch, input, spatial) = split_sizes(x.shape(), layout)?;
    let geometry = window.geometry(&spatial, w.shape().get(2..).unwrap_or_default())?;
    let channels = Channels { batch, input, output: w.shape().first().copied().unwrap_or(0) };
    let mut shape = vec![batch, channels.output];
    shape.extend(geometry.output_shape()?);
    let mut out = zeros::<i32>(count(&shape)?)?;
    let source = [&[batch, input], spatial.as_slice()].concat();
    let task = Task { geometry, channels, source, layout };
    if !out.is_empty() {
        match &(Bytes::of(x)?, Bytes::of(&zx)?, Bytes::of(w)?, Bytes::of(&zw)?) {
            (S(x), S(zx), S(w), S(zw)) => task.run((x, zx), (w, zw), &mut out)?,
            (S(x), S(zx), U(w), U(zw)) => task.run((x, zx), (w, zw), &mut out)?,
            (U(x), U(zx), S(w), S(zw)) => task.run((x, zx), (w, zw), &mut out)?,
            (U(x), U(zx), U(w), U(zw)) => task.run((x, zx), (w, zw), &mut out)?,
            _ => return Err(OpError::operand("a zero point has the element type of its operand")),
        }
    }
    Ok((shape, out))
}

/// Whether `f32` holds every sum of products of `x` and `w`, each less its zero point, as far as types and constants tell.
pub fn sums_fit_f32(
    g: &Graph,
    (x, x_zero): (ValueId, Option<ValueId>),
    (w, w_zero): (ValueId, Option<ValueId>),
) -> bool {
    const MOST: u64 = 1 << 24;
    let Some((low, high)) = g.ty(x).as_tensor().and_then(|t| t.dtype.int_range()) else { return false };
    let zero = match x_zero {
        None => Some(0),
        Some(z) => g.constant(z).and_then(Tensor::as_int).map(i128::from),
    };
    let x_most = zero.map_or(high - low, |z| (high - z).max(z - low));
    let x_most = u64::try_from(x_most).unwrap_or(u64::MAX);
    let sizes = g.ty(w).as_tensor().and_then(TensorType::sizes);
    let terms = sizes.and_then(|s| s.get(1..)?.iter().try_fold(1u64, |n, d| n.checked_mul(*d as u64)));
    let all = terms.and_then(|n| n.checked_mul(255)?.checked_mul(x_most));
    if all.is_some_and(|n| n <= MOST) {
        return true;
    }
    let zeros = match w_zero {
        None => Some(vec![0]),
        Some(z) => g.constant(z).and_then(|z| z.to_i64s().ok()),
    };
    let known = g.constant(w).zip(zeros).and_then(|(w, zeros)| largest_line(w, &zeros));
    known.and_then(|n| n.checked_mul(x_most)).is_some_and(|n| n <= MOST)
}

/// The largest sum of magnitudes of `w - zero` of an output channel.
fn largest_line(w: &Tensor, zeros: &[i64]) -> Option<u64> {
    let per = count(w.shape().get(1..)?).ok()?;
    let values = w.to_i64s().ok()?;
    let line = |(i, line): (usize, &[i64])| {
        let zero = zeros.get(if zeros.len() == 1 { 0 } else { i })?;
        Some(line.iter().map(|v| v.abs_diff(*zero)).sum::<u64>())
    };
    values.chunks(per.max(1)).enumerate().map(line).try_fold(0, |most, n| Some(n?.max(most)))
}

impl Semantics for ConvInteger {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let (ty, channels) = conv_type(cx, &self.window(), &self.kernel_shape, self.layout, DType::I32)?;
        if let Some(s) = cx.has(3).then(|| cx.shape(3)).transpose()?.flatten()
            && (s.len() > 1 || s.first().is_some_and(|n| n.known() != Some(1) && n.surely_differs(&channels)))
        {
            return Err(OpError::shape("w_zero_point is neither one number nor one per output channel"));
        }
        Ok(vec![ty])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (x, w) = ((cx.tensor(0)?, cx.opt(2)?), (cx.tensor(1)?, cx.opt(3)?));
        let (shape, out) = sums(&self.window(), self.layout, x, w)?;
        let out = from_channels_first(out, &shape, self.layout);
        one(Tensor::from_vec(&layout_sizes(&shape, self.layout), out))
    }
    fn macs(&self, inputs: &[Option<&Type>], outputs: &[&Type]) -> Option<u64> {
        conv_macs(inputs, outputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::eval;

    #[test]
    fn sums_are_bounded_by_types_and_constants() {
        let mut g = Graph::new("g");
        let x = g.add_input("x", TensorType::fixed(DType::U8, &[1, 600, 4, 4]).into());
        let open = g.add_input("w", TensorType::fixed(DType::I8, &[2, 600, 1, 1]).into());
        let small = g.add_const(Tensor::from_vec(&[2, 600, 1, 1], vec![-100i8; 1200]));
        let large = g.add_const(Tensor::from_vec(&[2, 600, 1, 1], vec![-128i8; 1200]));
        let few = g.add_input("v", TensorType::fixed(DType::I8, &[2, 258, 1, 1]).into());
        assert!(sums_fit_f32(&g, (x, None), (few, None)));
        assert!(!sums_fit_f32(&g, (x, None), (open, None)));
        assert!(sums_fit_f32(&g, (x, None), (small, None)), "600 * 100 * 255");
        assert!(!sums_fit_f32(&g, (x, None), (large, None)), "600 * 128 * 255");
        let middle = g.add_const(Tensor::scalar(128u8));
        assert!(sums_fit_f32(&g, (x, Some(middle)), (large, None)), "600 * 128 * 128");
        assert!(!sums_fit_f32(&g, (x, Some(few)), (large, None)), "a zero point that is not known");
    }

    #[test]
    fn padding_stands_for_the_zero_point() {
        let x = Tensor::from_vec(&[1, 1, 3, 3], (2..=10u8).collect());
        let w = Tensor::from_vec(&[1, 1, 2, 2], vec![1u8; 4]);
        let z = Tensor::from_vec(&[], vec![1u8]);
        let op = ConvInteger { pads: vec![1, 1, 1, 1], ..ConvInteger::default() };
        let y = eval(&op, &[Some(&x), Some(&w), Some(&z), None]).expect("fits");
        let want = vec![1i32, 3, 5, 3, 5, 12, 16, 9, 11, 24, 28, 15, 7, 15, 17, 9];
        assert_eq!(y[0], Tensor::from_vec(&[1, 1, 4, 4], want));
    }
}
