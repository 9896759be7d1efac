//! `roi_align`
use super::max_roi_pool::{region_count, region_type};
use crate::attr::Word;
use crate::dim::Dim;
use crate::dtype::{DType, FLOATS, I64_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::{Compute, count, zeros};
use crate::tensor::Tensor;
use crate::types::Type;
use rayon::prelude::*;

/// How the samples of a cell become its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RoiMode {
    /// Their mean.
    #[default]
    Avg,
    /// The largest of their weighted neighbours: each sample counts with the largest product of a neighbour and its weight.
    Max,
}

impl Word for RoiMode {
    const KIND: &'static str = "roi_mode";
    const WORDS: &'static [(Self, &'static str)] = &[(Self::Avg, "avg"), (Self::Max, "max")];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

/// Where coordinates of regions are on the map.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RoiPixel {
    /// Half a position is subtracted.
    #[default]
    HalfPixel,
    /// As they are; regions are at least 1 high and wide.
    OutputHalfPixel,
}

impl Word for RoiPixel {
    const KIND: &'static str = "roi_pixel";
    const WORDS: &'static [(Self, &'static str)] =
        &[(Self::HalfPixel, "half_pixel"), (Self::OutputHalfPixel, "output_half_pixel")];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

crate::op! {
    /// Samples each cell of a grid over each region of a feature map `[N, C, H, W]` by bilinear interpolation. Rows of `rois` are
    /// `[x1, y1, x2, y2]`, on the map of the sample that `batch_indices` names.
    roi_align RoiAlign(x: One<T1>, rois: One<T1>, batch_indices: One<T2>) -> (y: One<T1>) {
        /// Where coordinates of regions are on the map.
        coordinate_transformation_mode: RoiPixel = RoiPixel::HalfPixel,
        /// How the samples of a cell become its value.
        mode: RoiMode = RoiMode::Avg,
        /// Height of the grid.
        output_height: i64 = 1,
        /// Width of the grid.
        output_width: i64 = 1,
        /// Samples of a cell along each axis; 0 for one per position it spans, rounded up.
        sampling_ratio: i64 = 0,
        /// Factor from coordinates of regions to positions of the map.
        spatial_scale: f32 = 1.0,
    } where T1: FLOATS, T2: I64_ONLY;
}

/// Most samples of a region along one axis, and of all channels of all regions: more come from nonsense only.
const MAX_SAMPLES: (usize, usize) = (1 << 20, 1 << 33);

/// One sample of one axis: both neighbours and the weight of the second; `None` outside the map.
type Tap<T> = Option<(usize, usize, T)>;

/// Samples of all cells along one axis.
struct Samples<T> {
    per_cell: usize,
    taps: Vec<Tap<T>>,
}

impl<T> Samples<T> {
    fn cell(&self, i: usize) -> &[Tap<T>] {
        &self.taps[i * self.per_cell..(i + 1) * self.per_cell]
    }
}

fn tap<T: Compute>(at: T, size: usize) -> Tap<T> {
    let n = T::from_count(size);
    if size == 0 || !(at >= T::from_f64(-1.0) && at <= n) {
        return None;
    }
    let at = if at > T::ZERO { at } else { T::ZERO };
    let low = at.to_f64() as usize;
    if low >= size - 1 {
        Some((size - 1, size - 1, T::ZERO))
    } else {
        Some((low, low + 1, at - T::from_count(low)))
    }
}

/// The largest of the weighted neighbours of a sample.
fn largest<T: Compute>(map: &[T], width: usize, y: Tap<T>, x: Tap<T>) -> T {
    let products = weighted(map, width, y, x);
    products.into_iter().skip(1).fold(products[0], |m, v| if m < v { v } else { m })
}

fn weighted<T: Compute>(map: &[T], width: usize, y: Tap<T>, x: Tap<T>) -> [T; 4] {
    let (Some((y0, y1, ly)), Some((x0, x1, lx))) = (y, x) else { return [T::ZERO; 4] };
    let (hy, hx) = (T::ONE - ly, T::ONE - lx);
    [
        hy * hx * map[y0 * width + x0],
        hy * lx * map[y0 * width + x1],
        ly * hx * map[y1 * width + x0],
        ly * lx * map[y1 * width + x1],
    ]
}

impl RoiAlign {
    fn grid(&self) -> Result<(usize, usize), OpError> {
        let size = |v: i64| usize::try_from(v).ok().filter(|v| *v > 0 && *v <= MAX_SAMPLES.0);
        let (h, w) = (size(self.output_height), size(self.output_width));
        let bad = || OpError::attr(format!("a grid of {} by {}", self.output_height, self.output_width));
        Ok((h.ok_or_else(bad)?, w.ok_or_else(bad)?))
    }
    /// Samples of `cells` cells between `start` and `end` of an axis of `size` positions.
    fn samples<T: Compute>(
        &self,
        start: T,
        end: T,
        cells: usize,
        size: usize,
    ) -> Result<Samples<T>, OpError> {
        let half = self.coordinate_transformation_mode == RoiPixel::HalfPixel;
        let (scale, offset) =
            (T::from_f64(f64::from(self.spatial_scale)), T::from_f64(if half { 0.5 } else { 0.0 }));
        let start = start * scale - offset;
        let mut extent = end * scale - offset - start;
        if !half && extent < T::ONE {
            extent = T::ONE;
        }
        let cell = extent / T::from_count(cells);
        let own =
            usize::try_from(self.sampling_ratio).map_err(|_| OpError::attr("sampling_ratio is negative"))?;
        let per_cell = if own > 0 { own } else { cell.to_f64().ceil() as usize };
        if per_cell.saturating_mul(cells) > MAX_SAMPLES.0 {
            return Err(OpError::eval(format!(
                "a region needs {per_cell} samples along an axis of each cell"
            )));
        }
        let half_step = T::from_f64(0.5);
        let at = |i: usize| {
            let (c, s) = (T::from_count(i / per_cell), T::from_count(i % per_cell) + half_step);
            tap(start + c * cell + s * cell / T::from_count(per_cell), size)
        };
        Ok(Samples { per_cell, taps: (0..per_cell * cells).map(at).collect() })
    }
    fn value<T: Compute>(&self, map: &[T], width: usize, ys: &[Tap<T>], xs: &[Tap<T>]) -> T {
        let pairs = ys.iter().flat_map(|y| xs.iter().map(move |x| (*y, *x)));
        match self.mode {
            RoiMode::Avg => {
                let mut sum = T::ZERO;
                for (y, x) in pairs {
                    let [a, b, c, d] = weighted(map, width, y, x);
                    sum = sum + (a + b + c + d);
                }
                sum / T::from_count((ys.len() * xs.len()).max(1))
            }
            RoiMode::Max => {
                let found = pairs.map(|(y, x)| largest(map, width, y, x));
                found.reduce(|m, v| if m < v { v } else { m }).unwrap_or(T::ZERO)
            }
        }
    }
    fn compute<T: Compute>(&self, x: &Tensor, rois: &Tensor, samples: &[i64]) -> Result<Tensor, OpError> {
        let (rows, columns) = self.grid()?;
        let (&[batch, channels, height, width], &[regions, 4]) = (x.shape(), rois.shape()) else {
            return Err(OpError::shape("roi_align needs [N, C, H, W] and [regions, 4]"));
        };
        if samples.len() != regions {
            return Err(OpError::shape(format!("{} samples are named for {regions} regions", samples.len())));
        }
        let shape = [regions, channels, rows, columns];
        let mut out = zeros::<T>(count(&shape)?)?;
        if out.is_empty() || x.is_empty() {
            return Ok(T::tensor(x.dtype(), &shape, out)?);
        }
        let (data, boxes, plane) = (T::read(x)?, T::read(rois)?, height * width);
        let one = |(r, out): (usize, &mut [T])| -> Result<(), OpError> {
            let outside =
                || OpError::eval(format!("a region names sample {}, there are {batch}", samples[r]));
            let sample = usize::try_from(samples[r]).ok().filter(|s| *s < batch).ok_or_else(outside)?;
            let b = &boxes[r * 4..r * 4 + 4];
            let (xs, ys) =
                (self.samples(b[0], b[2], columns, width)?, self.samples(b[1], b[3], rows, height)?);
            let taps = xs.taps.len().saturating_mul(ys.taps.len());
            if taps.saturating_mul(channels).saturating_mul(regions) > MAX_SAMPLES.1 {
                return Err(OpError::eval("a region needs too many samples"));
            }
            for (c, out) in out.chunks_exact_mut(rows * columns).enumerate() {
                let map = &data[(sample * channels + c) * plane..][..plane];
                for (i, o) in out.iter_mut().enumerate() {
                    *o = self.value(map, width, ys.cell(i / columns), xs.cell(i % columns));
                }
            }
            Ok(())
        };
        let region = channels * rows * columns;
        out.par_chunks_mut(region).enumerate().try_for_each(one)?;
        Ok(T::tensor(x.dtype(), &shape, out)?)
    }
}

impl Semantics for RoiAlign {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        if self.sampling_ratio < 0 {
            return Err(OpError::attr(format!("sampling_ratio {} is negative", self.sampling_ratio)));
        }
        let mut regions = region_count(cx, 4)?;
        if let Some(s) = cx.shape(2)? {
            match s.as_slice() {
                [n] if !n.surely_differs(&regions) => {
                    if regions == Dim::Unknown || n.known().is_some() {
                        regions = n.clone();
                    }
                }
                _ => {
                    return Err(OpError::shape(format!(
                        "batch_indices {} do not fit the regions",
                        cx.tensor(2)?
                    )));
                }
            }
        }
        region_type(cx, regions, self.grid()?)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (x, rois, samples) = (cx.tensor(0)?, cx.tensor(1)?, cx.tensor(2)?.to_i64s()?);
        one(if x.dtype() == DType::F64 {
            self.compute::<f64>(x, rois, &samples)?
        } else {
            self.compute::<f32>(x, rois, &samples)?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{assert_near, eval, f32s, infer, iota, shapes};

    #[test]
    fn both_modes_and_both_shifts() {
        let (x, at) = (iota(&[1, 1, 2, 2]), Tensor::from_ints(&[0]));
        let rois = f32s(&[1, 4], &[0., 0., 2., 2.]);
        let op = RoiAlign { sampling_ratio: 1, ..RoiAlign::default() };
        let run = |op: &RoiAlign| eval(op, &[Some(&x), Some(&rois), Some(&at)]).expect("fits").remove(0);
        assert_near(&run(&op), &[1, 1, 1, 1], &[1.5]);
        let old = RoiAlign { coordinate_transformation_mode: RoiPixel::OutputHalfPixel, ..op.clone() };
        assert_near(&run(&old), &[1, 1, 1, 1], &[3.0]);
        assert_near(&run(&RoiAlign { mode: RoiMode::Max, ..op }), &[1, 1, 1, 1], &[0.75]);
    }

    #[test]
    fn hostile_regions_are_harmless() {
        let x = iota(&[1, 1, 2, 2]);
        for bad in [f32::NAN, f32::INFINITY, f32::MAX, -1e30] {
            let rois = f32s(&[1, 4], &[0., bad, 1., 1.]);
            drop(eval(&RoiAlign::default(), &[Some(&x), Some(&rois), Some(&Tensor::from_ints(&[0]))]));
        }
        for sample in [-1, 1, i64::MAX] {
            let (rois, at) = (f32s(&[1, 4], &[0., 0., 1., 1.]), Tensor::from_ints(&[sample]));
            assert!(eval(&RoiAlign::default(), &[Some(&x), Some(&rois), Some(&at)]).is_err());
        }
        let wide = f32s(&[0, 1, 0, 0], &[]).reshape(&[1 << 40, 1, 1 << 40, 0]).expect("empty");
        let (rois, at) = (f32s(&[1, 4], &[0., 0., 1., 1.]), Tensor::from_ints(&[0]));
        assert_eq!(
            eval(&RoiAlign::default(), &[Some(&wide), Some(&rois), Some(&at)]).expect("fits")[0].len(),
            1
        );
        let many = RoiAlign { sampling_ratio: i64::MAX, ..RoiAlign::default() };
        let (rois, at) = (f32s(&[1, 4], &[0., 0., 1., 1.]), Tensor::from_ints(&[0]));
        assert!(eval(&many, &[Some(&x), Some(&rois), Some(&at)]).is_err());
    }

    #[test]
    fn types() {
        let op = RoiAlign { output_height: 7, ..RoiAlign::default() };
        let t = infer(&op, &shapes(&["f16[N, C, H, W]", "f16[R, 4]", "i64[?]"])).expect("fits");
        assert_eq!(t[0].to_string(), "f16[R, C, 7, 1]");
        assert!(infer(&op, &shapes(&["f32[N, C, H, W]", "f32[3, 4]", "i64[2]"])).is_err());
        assert!(infer(&op, &shapes(&["f32[N, C, H]", "f32[R, 4]", "i64[R]"])).is_err());
    }
}
