//! `conv_transpose`
use super::conv::{check_bias, kernel_sizes};
use super::window::{Axes, Window, sizes_of, split_sizes};
use crate::dim::{Dim, SymInt};
use crate::dtype::{DType, FLOATS};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::kernel::{Channels, ConvGeometry};
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::{
    Compute, count, from_channels_first, layout_sizes, to_channels_first, zeros,
};
use crate::ops::words::{AutoPad, Layout};
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

crate::op! {
    /// Transposed convolution. Weights are `[in, out / group, kernel...]` in either layout of the data.
    ///
    /// An explicit `output_shape` (or the input's size times the stride with `auto_pad` `SAME_*`) replaces `pads`: what the full
    /// output has more is cut off, the larger half at the beginning except with `SAME_UPPER`; what it lacks is appended.
    conv_transpose ConvTranspose(x: One<T>, w: One<T>, b: Opt<T>) -> (y: One<T>) {
        /// How padding is chosen when `pads` does not say.
        auto_pad: AutoPad = AutoPad::NotSet,
        /// Steps between the elements of a window; empty is 1.
        dilations: Vec<i64> = vec![],
        /// Groups that channels are split into.
        group: i64 = 1,
        /// Sizes of the window; empty is those of the weights.
        kernel_shape: Vec<i64> = vec![],
        /// Elements added at the end of each spatial axis of the result; empty is none.
        output_padding: Vec<i64> = vec![],
        /// Spatial sizes of the result; empty when `pads` decides.
        output_shape: Vec<i64> = vec![],
        /// Elements cut off: all beginnings, then all ends; empty is none.
        pads: Vec<i64> = vec![],
        /// Steps between windows in the result; empty is 1.
        strides: Vec<i64> = vec![],
        /// Where the channel axis of data is.
        layout: Layout = Layout::ChannelsFirst,
    } where T: FLOATS;
}

impl ConvTranspose {
    fn window(&self) -> Window<'_> {
        Window {
            strides: &self.strides,
            dilations: &self.dilations,
            pads: if self.auto_pad == AutoPad::NotSet { &self.pads } else { &[] },
            auto_pad: AutoPad::NotSet,
            group: self.group,
            ceil_mode: false,
        }
    }
    /// Geometry with pads resolved and the padding at the end of the result.
    fn geometry(&self, input: &[usize], kernel: &[usize]) -> Result<(ConvGeometry, Vec<usize>), OpError> {
        let rank = kernel.len();
        let mut g = self.window().plain_geometry(input, kernel)?;
        g.validate().map_err(|e| OpError::attr(e.to_string()))?;
        let mut extra = sizes_of("output_padding", &self.output_padding, rank, 0, 0)?;
        let same = matches!(self.auto_pad, AutoPad::SameUpper | AutoPad::SameLower);
        let wanted = if !self.output_shape.is_empty() {
            sizes_of("output_shape", &self.output_shape, rank, 0, 0)?
        } else if same {
            let sizes = input.iter().zip(&g.strides).map(|(n, s)| n.checked_mul(*s)).collect::<Option<_>>();
            sizes.ok_or_else(|| OpError::shape("the result exceeds the address space"))?
        } else {
            return Ok((g, extra));
        };
        (g.pads_begin, g.pads_end) = (vec![0; rank], vec![0; rank]);
        let full = g.transposed_shape(&extra).map_err(|e| OpError::shape(e.to_string()))?;
        for d in 0..rank {
            let total = full[d].saturating_sub(wanted[d]);
            let small = total / 2;
            let upper = self.auto_pad == AutoPad::SameUpper;
            (g.pads_begin[d], g.pads_end[d]) =
                if upper { (small, total - small) } else { (total - small, small) };
            extra[d] = extra[d]
                .checked_add(wanted[d].saturating_sub(full[d]))
                .ok_or_else(|| OpError::shape("the result exceeds the address space"))?;
        }
        Ok((g, extra))
    }
    /// Output extent of axis `d` for a symbolic input size.
    fn symbolic(&self, n: &SymInt, d: usize, kernel: &[usize]) -> Option<SymInt> {
        let rank = kernel.len();
        let at = |list: &[i64], i: usize, default: i64| SymInt::from(list.get(i).copied().unwrap_or(default));
        if let Some(v) = self.output_shape.get(d) {
            return Some((*v).into());
        }
        let stride = at(&self.strides, d, 1);
        if matches!(self.auto_pad, AutoPad::SameUpper | AutoPad::SameLower) {
            return n.mul(&stride);
        }
        let taps = SymInt::from(i64::try_from(kernel[d].checked_sub(1)?).ok()?);
        let window = taps.mul(&at(&self.dilations, d, 1))?.add(&1.into())?;
        let full = n.sub(&1.into())?.mul(&stride)?.add(&window)?.add(&at(&self.output_padding, d, 0))?;
        if self.auto_pad == AutoPad::Valid {
            return Some(full);
        }
        full.sub(&at(&self.pads, d, 0))?.sub(&at(&self.pads, d + rank, 0))
    }
    fn extents(&self, input: &[Dim], kernel: &[usize]) -> Result<Vec<Dim>, OpError> {
        let rank = kernel.len();
        let fixed = |d: &Dim| d.known().map_or(Ok(1), usize::try_from);
        let sizes = input.iter().map(fixed).collect::<Result<Vec<_>, _>>();
        let sizes = sizes.map_err(|_| OpError::shape("an axis exceeds the address space"))?;
        let (g, extra) = self.geometry(&sizes, kernel)?;
        (0..rank)
            .map(|d| {
                if input[d].known().is_none() {
                    let v = input[d].to_sym().or_else(|| (!self.output_shape.is_empty()).then(|| 1.into()));
                    return Ok(Dim::from_sym(v.and_then(|n| self.symbolic(&n, d, kernel))));
                }
                let one = ConvGeometry {
                    input: vec![g.input[d]],
                    kernel: vec![g.kernel[d]],
                    strides: vec![g.strides[d]],
                    dilations: vec![g.dilations[d]],
                    pads_begin: vec![g.pads_begin[d]],
                    pads_end: vec![g.pads_end[d]],
                    groups: 1,
                };
                let out = one.transposed_shape(&extra[d..=d]).map_err(|e| OpError::shape(e.to_string()))?;
                Ok(Dim::from(out[0]))
            })
            .collect()
    }
    fn compute<T: Compute>(&self, cx: &EvalCx<'_>) -> Result<Tensor, OpError> {
        let (x, w, b) = (cx.tensor(0)?, cx.tensor(1)?, cx.opt(2)?);
        let (batch, input, spatial) = split_sizes(x.shape(), self.layout)?;
        let (g, extra) = self.geometry(&spatial, w.shape().get(2..).unwrap_or_default())?;
        let per_group = w.shape().get(1).copied().unwrap_or(0);
        let output = per_group
            .checked_mul(g.groups)
            .ok_or_else(|| OpError::shape("the output channels exceed the address space"))?;
        let mut shape = vec![batch, output];
        shape.extend(g.transposed_shape(&extra)?);
        let source = [&[batch, input], spatial.as_slice()].concat();
        let data = to_channels_first(T::read(x)?, &source, self.layout);
        let bias = b.map(T::read).transpose()?;
        let mut out = zeros::<T>(count(&shape)?)?;
        if !out.is_empty() {
            let channels = Channels { batch, input, output };
            let operands = (&*data, &*T::read(w)?);
            crate::kernel::conv_transpose::conv_transpose(
                &g,
                &extra,
                channels,
                operands,
                bias.as_deref(),
                &mut out,
            )?;
        }
        let out = from_channels_first(out, &shape, self.layout);
        Ok(T::tensor(x.dtype(), &layout_sizes(&shape, self.layout), out)?)
    }
}

impl Semantics for ConvTranspose {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let (dtype, w) = (cx.dtype(0)?, cx.shape(1)?);
        let Some(x) = cx.shape(0)? else {
            let ty = w.map_or_else(|| TensorType::unranked(dtype), |w| TensorType::of_rank(dtype, w.len()));
            return Ok(vec![ty.into()]);
        };
        let axes = Axes::of(x, self.layout)?;
        let kernel = kernel_sizes(w.map(Vec::as_slice), x.len(), &self.kernel_shape)?;
        let group = SymInt::from(self.group);
        let channels = w.map_or(Dim::Unknown, |w| Dim::from_sym(w[1].to_sym().and_then(|c| c.mul(&group))));
        if let Some(w) = w
            && w[0].surely_differs(&axes.channels)
        {
            return Err(OpError::shape(format!(
                "weights for {} channels, the data has {}",
                w[0], axes.channels
            )));
        }
        if let (Some(c), Ok(g)) = (axes.channels.known(), u64::try_from(self.group))
            && c.checked_rem(g) != Some(0)
        {
            return Err(OpError::shape(format!("{c} channels do not divide into {g} groups")));
        }
        check_bias(if cx.has(2) { cx.shape(2)? } else { None }, &channels)?;
        let spatial = match kernel {
            Some(k) => self.extents(&axes.spatial, &k)?,
            None => vec![Dim::Unknown; x.len() - 2],
        };
        let out = Axes { batch: axes.batch, channels, spatial };
        Ok(vec![TensorType::new(dtype, out.shape(self.layout)).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        one(if cx.tensor(0)?.dtype() == DType::F64 {
            self.compute::<f64>(&cx)?
        } else {
            self.compute::<f32>(&cx)?
        })
    }
    /// Elements of the input times those of one input channel's weights.
    fn macs(&self, inputs: &[Option<&Type>], _outputs: &[&Type]) -> Option<u64> {
        let sizes = |i: usize| inputs.get(i).copied().flatten()?.as_tensor()?.sizes();
        let (x, w) = (sizes(0)?, sizes(1)?);
        x.iter().chain(w.get(1..)?).try_fold(1u64, |n, d| n.checked_mul(*d as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{assert_near, eval, f32s, infer, iota, shapes};

    #[test]
    fn output_shape_cuts_or_appends() {
        let (x, w) = (iota(&[1, 1, 2]), f32s(&[1, 1, 2], &[1., 2.]));
        let run = |op: &ConvTranspose| eval(op, &[Some(&x), Some(&w), None]).expect("fits").remove(0);
        let full = ConvTranspose::default();
        assert_near(&run(&full), &[1, 1, 3], &[0., 1., 2.]);
        let cut = ConvTranspose { output_shape: vec![2], ..full.clone() };
        assert_near(&run(&cut), &[1, 1, 2], &[1., 2.]);
        let upper = ConvTranspose { auto_pad: AutoPad::SameUpper, ..full.clone() };
        assert_near(&run(&upper), &[1, 1, 2], &[0., 1.]);
        let more = ConvTranspose { output_shape: vec![5], ..full };
        assert_near(&run(&more), &[1, 1, 5], &[0., 1., 2., 0., 0.]);
    }

    #[test]
    fn groups_in_both_layouts() {
        let op =
            ConvTranspose { group: 2, strides: vec![2, 2], output_padding: vec![1, 0], ..Default::default() };
        let (x, w) = (iota(&[1, 2, 2, 2]), iota(&[2, 1, 2, 2]));
        let y = eval(&op, &[Some(&x), Some(&w), None]).expect("fits").remove(0);
        // torch.nn.functional.conv_transpose2d
        let first = [0., 0., 0., 1., 0., 0., 2., 3., 0., 2., 0., 3., 4., 6., 6., 9., 0., 0., 0., 0.];
        assert_near(
            &y.reshape(&[2, 20]).expect("40"),
            &[2, 20],
            &[
                &first[..],
                &[
                    16., 20., 20., 25., 24., 28., 30., 35., 24., 30., 28., 35., 36., 42., 42., 49., 0., 0.,
                    0., 0.,
                ],
            ]
            .concat(),
        );
        let last = ConvTranspose { layout: Layout::ChannelsLast, ..op };
        let turned = x.permute(&[0, 2, 3, 1]).expect("ok").materialize().expect("ok");
        let z = eval(&last, &[Some(&turned), Some(&w), None]).expect("fits").remove(0);
        assert_eq!(z, y.permute(&[0, 2, 3, 1]).expect("ok"));
    }

    #[test]
    fn types() {
        let op = ConvTranspose { strides: vec![2], pads: vec![1, 1], group: 2, ..Default::default() };
        let t = infer(&op, &shapes(&["f32[1, 4, N]", "f32[4, 3, 4]"])).expect("fits");
        assert_eq!(t[0].to_string(), "f32[1, 6, 2*N]");
        assert!(infer(&op, &shapes(&["f32[1, 5, N]", "f32[5, 3, 4]"])).is_err());
        let op = ConvTranspose { output_padding: vec![-1], ..Default::default() };
        assert!(infer(&op, &shapes(&["f32[1, 4, N]", "f32[4, 3, 4]"])).is_err());
    }
}
