//! `deform_conv`
use crate::dim::Dim;
use crate::dtype::{DType, FLOATS};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::kernel::ConvGeometry;
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::{Compute, count, swap_axes, zeros};
use crate::ops::spatial::window::Window;
use crate::ops::words::AutoPad;
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};
use rayon::prelude::*;
use std::borrow::Cow;

crate::op! {
    /// Convolution whose windows read `x`, `[N, C, spatial...]`, at places moved by `offset`, interpolated linearly between elements;
    /// outside the data is zero. `offset` is `[N, offset_group * window * r, out...]`, an entry for each of the `r` axes (first axis
    /// first) of each element of the window; `mask`, `[N, offset_group * window, out...]`, weighs each element.
    deform_conv DeformConv(x: One<T>, w: One<T>, offset: One<T>, b: Opt<T>, mask: Opt<T>) -> (y: One<T>) {
        /// Steps between the elements of a window; empty is 1.
        dilations: Vec<i64> = vec![],
        /// Number of groups of channels.
        group: i64 = 1,
        /// Sizes of the window; empty takes them from `w`.
        kernel_shape: Vec<i64> = vec![],
        /// Number of groups of channels that share offsets.
        offset_group: i64 = 1,
        /// Padding: all beginnings, then all ends; empty is none.
        pads: Vec<i64> = vec![],
        /// Steps between windows; empty is 1.
        strides: Vec<i64> = vec![],
    } where T: FLOATS;
}

/// Most spatial axes: the cost of a place is exponential in them.
const MAX_AXES: usize = 4;

/// An element of the data and its weight.
type Corner<T> = (usize, T);

/// Sizes of one evaluation.
struct Sizes {
    geometry: ConvGeometry,
    out: Vec<usize>,
    batch: usize,
    channels: usize,
    outputs: usize,
    taps: usize,
    plane: usize,
    pixels: usize,
    offset_groups: usize,
}

/// Operands as numbers.
struct Operands<'a, T: Clone> {
    x: Cow<'a, [T]>,
    w: Cow<'a, [T]>,
    offset: Cow<'a, [T]>,
    b: Option<Cow<'a, [T]>>,
    mask: Option<Cow<'a, [T]>>,
}

impl DeformConv {
    fn window(&self) -> Window<'_> {
        Window {
            strides: &self.strides,
            dilations: &self.dilations,
            pads: &self.pads,
            auto_pad: AutoPad::NotSet,
            group: self.group,
            ceil_mode: false,
        }
    }
    fn offset_groups(&self) -> Result<u64, OpError> {
        let bad = || OpError::attr(format!("offset_group {} must be at least 1", self.offset_group));
        u64::try_from(self.offset_group).ok().filter(|g| *g > 0).ok_or_else(bad)
    }
    /// Sizes of the window from the attribute and the weights, where known.
    fn kernel(&self, w: Option<&[Dim]>) -> Result<Option<Vec<usize>>, OpError> {
        let given: Option<Vec<usize>> = self.kernel_shape.iter().map(|k| usize::try_from(*k).ok()).collect();
        let given = given.ok_or_else(|| OpError::attr(format!("kernel_shape {:?}", self.kernel_shape)))?;
        let Some(own) = w.map(|s| &s[2..]) else { return Ok((!given.is_empty()).then_some(given)) };
        if given.is_empty() {
            return Ok(own.iter().map(|d| usize::try_from(d.known()?).ok()).collect());
        }
        if given.len() != own.len() || given.iter().zip(own).any(|(g, o)| o.surely_differs(&Dim::from(*g))) {
            return Err(OpError::shape(format!("kernel_shape {given:?} does not fit the weights")));
        }
        Ok(Some(given))
    }
    fn sizes(&self, cx: &EvalCx<'_>) -> Result<Sizes, OpError> {
        let (x, w, offset) = (cx.tensor(0)?, cx.tensor(1)?, cx.tensor(2)?);
        let geometry = self.window().geometry(&x.shape()[2..], &w.shape()[2..])?;
        let out = geometry.output_shape()?;
        let (batch, channels, outputs) = (x.shape()[0], x.shape()[1], w.shape()[0]);
        let (taps, pixels) = (count(&geometry.kernel)?, count(&out)?);
        let offset_groups = usize::try_from(self.offset_groups()?).unwrap_or(usize::MAX);
        let groups = geometry.groups;
        let per_pixel = offset_groups.checked_mul(taps).and_then(|n| n.checked_mul(out.len()));
        let fits = channels.is_multiple_of(groups)
            && outputs.is_multiple_of(groups)
            && w.shape()[1] == channels / groups
            && channels.is_multiple_of(offset_groups)
            && Some(offset.shape()[1]) == per_pixel
            && offset.shape()[0] == batch
            && offset.shape()[2..] == out
            && cx.opt(3)?.is_none_or(|b| b.shape() == [outputs])
            && cx.opt(4)?.is_none_or(|m| {
                m.shape()[0] == batch
                    && m.shape()[1] * out.len() == offset.shape()[1]
                    && m.shape()[2..] == out
            });
        if !fits {
            return Err(OpError::shape("operands of deform_conv do not fit each other"));
        }
        let plane = count(&geometry.input)?;
        Ok(Sizes { geometry, out, batch, channels, outputs, taps, plane, pixels, offset_groups })
    }
    fn compute<T: Compute>(&self, cx: &EvalCx<'_>) -> Result<Tensor, OpError> {
        let s = self.sizes(cx)?;
        let shape = [&[s.batch, s.outputs], s.out.as_slice()].concat();
        let read =
            |i: usize| -> Result<Option<Cow<'_, [T]>>, OpError> { Ok(cx.opt(i)?.map(T::read).transpose()?) };
        let of = Operands {
            x: T::read(cx.tensor(0)?)?,
            w: T::read(cx.tensor(1)?)?,
            offset: T::read(cx.tensor(2)?)?,
            b: read(3)?,
            mask: read(4)?,
        };
        let mut out = zeros::<T>(count(&shape)?)?;
        if !out.is_empty() {
            let columns = s.channels * s.taps;
            out.par_chunks_mut(s.outputs).enumerate().for_each_init(
                || (vec![T::ZERO; columns], vec![]),
                |(column, corners), (i, out)| {
                    s.sample(&of, i / s.pixels, i % s.pixels, column, corners);
                    s.multiply(&of, column, out);
                },
            );
        }
        Ok(T::tensor(cx.tensor(0)?.dtype(), &shape, swap_axes(&out, s.pixels, s.outputs))?)
    }
}

impl Sizes {
    /// The elements that the window of a pixel reads: `[channel][element of the window]`.
    fn sample<T: Compute>(
        &self,
        of: &Operands<'_, T>,
        n: usize,
        pixel: usize,
        column: &mut [T],
        corners: &mut Vec<Corner<T>>,
    ) {
        let per_group = self.channels / self.offset_groups;
        for g in 0..self.offset_groups {
            for t in 0..self.taps {
                let entry = (n * self.offset_groups + g) * self.taps + t;
                self.corners(&of.offset, entry, pixel, t, corners);
                let weight = of.mask.as_ref().map_or(T::ONE, |m| m[entry * self.pixels + pixel]);
                for c in g * per_group..(g + 1) * per_group {
                    let data = &of.x[(n * self.channels + c) * self.plane..][..self.plane];
                    let sum = corners.iter().fold(T::ZERO, |s, (at, w)| s + *w * data[*at]);
                    column[c * self.taps + t] = sum * weight;
                }
            }
        }
    }
    /// The elements around the place of element `t` of the window of a pixel.
    fn corners<T: Compute>(
        &self,
        offset: &[T],
        entry: usize,
        pixel: usize,
        t: usize,
        to: &mut Vec<Corner<T>>,
    ) {
        let (g, r) = (&self.geometry, self.out.len());
        let (mut pixel_left, mut tap_left, mut scale) = (pixel, t, 1);
        to.clear();
        to.push((0, T::ONE));
        for d in (0..r).rev() {
            let start = pixel_left % self.out[d] * g.strides[d] + tap_left % g.kernel[d] * g.dilations[d];
            let moved = offset[(entry * r + d) * self.pixels + pixel].to_f64();
            let at = start as f64 - g.pads_begin[d] as f64 + moved;
            let (low, high) = (at.floor(), at - at.floor());
            let inside = |v: f64| (0.0..g.input[d] as f64).contains(&v).then_some(v as usize);
            let former = std::mem::take(to);
            for (place, w) in [(low, 1.0 - high), (low + 1.0, high)] {
                // What is beside the data counts as zero; a place that is no number is nowhere.
                let Some(p) = inside(place) else { continue };
                to.extend(former.iter().map(|(at, v)| (at + p * scale, *v * T::from_f64(w))));
            }
            pixel_left /= self.out[d];
            tap_left /= g.kernel[d];
            scale *= g.input[d];
        }
    }
    fn multiply<T: Compute>(&self, of: &Operands<'_, T>, column: &[T], out: &mut [T]) {
        let per_group = self.outputs / self.geometry.groups;
        let row = column.len() / self.geometry.groups;
        for (o, y) in out.iter_mut().enumerate() {
            let own = &column[o / per_group * row..][..row];
            let sum =
                of.w[o * row..(o + 1) * row].iter().zip(own).fold(T::ZERO, |s, (a, b)| a.mul_add(*b, s));
            *y = of.b.as_ref().map_or(sum, |b| sum + b[o]);
        }
    }
}

impl Semantics for DeformConv {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let (x, w, offset) = (cx.tensor(0)?, cx.shape(1)?, cx.shape(2)?);
        let mask = if cx.has(4) { cx.shape(4)? } else { None };
        let groups = self.offset_groups()?;
        let ranks: Vec<usize> =
            [x.shape.as_ref(), w, offset, mask].into_iter().flatten().map(Vec::len).collect();
        let Some(&rank) = ranks.first() else { return Ok(vec![TensorType::unranked(x.dtype).into()]) };
        if ranks.iter().any(|r| *r != rank) || !(3..=MAX_AXES + 2).contains(&rank) {
            let m =
                format!("deform_conv takes operands of one rank from 3 to {}, got {ranks:?}", MAX_AXES + 2);
            return Err(OpError::shape(m));
        }
        let mut shape = vec![Dim::Unknown; rank];
        let kernel = self.kernel(w.map(Vec::as_slice))?;
        if let Some(w) = w {
            shape[1] = w[0].clone();
        }
        if let Some(o) = offset {
            shape[0] = o[0].clone();
            shape[2..].clone_from_slice(&o[2..]);
        }
        if let Some(s) = &x.shape {
            let inner =
                w.and_then(|w| w[1].known()).and_then(|c| c.checked_mul(u64::try_from(self.group).ok()?));
            if inner.is_some_and(|c| s[1].surely_differs(&Dim::Known(c))) {
                return Err(OpError::shape(format!("weights of {inner:?} channels do not fit {x}")));
            }
            if s[1].known().is_some_and(|c| !c.is_multiple_of(groups)) {
                return Err(OpError::shape(format!(
                    "channels of {x} do not divide into {groups} offset groups"
                )));
            }
            shape[0] = s[0]
                .meet(&shape[0])
                .ok_or_else(|| OpError::shape(format!("offsets for {} samples of {x}", shape[0])))?;
            if let Some(k) = &kernel {
                let spatial = self.window().output(&s[2..], k)?;
                if spatial.iter().zip(&shape[2..]).any(|(a, b)| a.surely_differs(b)) {
                    return Err(OpError::shape("offsets do not fit the result"));
                }
                let meet = |(a, b): (&Dim, &Dim)| {
                    if a.known().is_some() || *b == Dim::Unknown { a } else { b }.clone()
                };
                let met: Vec<Dim> = spatial.iter().zip(&shape[2..]).map(meet).collect();
                shape.splice(2.., met);
            }
        }
        Ok(vec![TensorType::new(x.dtype, shape).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        one(if cx.tensor(0)?.dtype() == DType::F64 {
            self.compute::<f64>(&cx)?
        } else {
            self.compute::<f32>(&cx)?
        })
    }
    fn macs(&self, inputs: &[Option<&Type>], outputs: &[&Type]) -> Option<u64> {
        let size = |t: &Type| -> Option<u64> {
            t.as_tensor()?.shape.as_ref()?.iter().try_fold(1u64, |n, d| n.checked_mul(d.known()?))
        };
        let w = inputs.get(1).copied().flatten()?;
        let rows = w.as_tensor()?.shape.as_ref()?.first()?.known()?.max(1);
        size(outputs.first()?)?.checked_mul(size(w)? / rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{assert_near, eval, f32s, infer, iota, shapes};

    #[test]
    fn without_offsets_it_is_a_convolution() {
        let op = DeformConv { pads: vec![1, 1], ..DeformConv::default() };
        let (x, w) = (iota(&[1, 2, 3]), f32s(&[1, 2, 3], &[1., 2., 3., -1., 0., 1.]));
        let none = f32s(&[1, 3, 3], &[0.0; 9]);
        let y = eval(&op, &[Some(&x), Some(&w), Some(&none), Some(&f32s(&[1], &[10.]))]).expect("fits");
        assert_near(&y[0], &[1, 1, 3], &[17., 20., 11.]);
    }

    #[test]
    fn offsets_and_masks() {
        let op = DeformConv::default();
        let (x, w) = (f32s(&[1, 1, 3], &[1., 2., 4.]), f32s(&[1, 1, 1], &[1.]));
        let offset = f32s(&[1, 1, 3], &[0.5, 1.25, -2.5]);
        let mask = f32s(&[1, 1, 3], &[1., 2., 1.]);
        let y = eval(&op, &[Some(&x), Some(&w), Some(&offset), None, Some(&mask)]).expect("fits");
        // Places 0.5, 2.25 (a quarter beside the data) and -0.5.
        assert_near(&y[0], &[1, 1, 3], &[1.5, 6.0, 0.5]);
        let hostile = f32s(&[1, 1, 3], &[f32::NAN, f32::INFINITY, -1e30]);
        assert!(eval(&op, &[Some(&x), Some(&w), Some(&hostile)]).is_ok());
    }

    #[test]
    fn types() {
        let op = DeformConv::default();
        let t =
            infer(&op, &shapes(&["f32[N, 4, 5, W]", "f32[6, 4, 2, 2]", "f32[N, 8, H, 3]"])).expect("fits");
        assert_eq!(t[0].to_string(), "f32[N, 6, 4, 3]");
        assert!(infer(&op, &shapes(&["f32[1, 4, 5, 5]", "f32[6, 3, 2, 2]", "f32[1, 8, 4, 4]"])).is_err());
        assert!(infer(&op, &shapes(&["f32[1, 4, 5, 5]", "f32[6, 4, 2, 2]", "f32[1, 8, 4, 5]"])).is_err());
        assert!(infer(&op, &shapes(&["f32[1, 4, 5, 5]", "f32[6, 4, 2]", "f32[1, 8, 4, 4]"])).is_err());
    }
}
