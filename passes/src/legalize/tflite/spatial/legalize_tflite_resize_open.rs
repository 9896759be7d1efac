//! `legalize-tflite-resize-open`
//!
//! ```text
//! %y = resize(%x, _, %scales)   ->   %p = (range(floor(size * scale)) + 0.5) / scale - 0.5       # for each axis
//!                                    %y = gather(%x, floor(%p)) * (1 - fraction) + gather(%x, floor(%p) + 1) * fraction
//! ```
//! - Scales, sizes or the region are computed, or the size of a resized axis is not known. The rank is known.
//! - Interpolated data are `f32`. Places are computed in `f32`, as ONNX Runtime has them.
use super::math::{Math, V};
use super::nodes::{call, dtype, first, rank, transpose};
use crate::fault::planted;
use crate::legalize::where_lacking;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_formats::tflite::bind::spatial::resize::axes_of;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::Op;
use hoist_ir::ops::index::gather::Gather;
use hoist_ir::ops::reduce::reductions::{ReduceMax, ReduceMin};
use hoist_ir::ops::spatial::resize::{AspectPolicy, Coordinates, NearestMode, Resize, ResizeMode};

/// The pass.
pub struct LegalizeTfliteResizeOpen;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-resize-open",
    doc: "Computes places and weights of resizing when the model runs, where sizes are not known before.",
};

impl Pass for LegalizeTfliteResizeOpen {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(g, cx, &["resize"], |g, n, _, _| open(g, n)))
    }
}

/// A `resize` whose sizes are found when the model runs.
struct Task {
    op: Resize,
    x: ValueId,
    roi: Option<ValueId>,
    scales: Option<ValueId>,
    sizes: Option<ValueId>,
    axes: Vec<usize>,
}

/// One axis: sizes as lists of one, places of the result's elements in the operand.
struct Line {
    axis: usize,
    /// Size of the operand less 1.
    last: ValueId,
    /// Size of the operand.
    input: ValueId,
    /// Ratio of the sizes.
    scale: ValueId,
    place: ValueId,
}

fn open(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (Op::Resize(op), Some(x)) = (node.op(), node.input(0)) else { return Outcome::Skip };
    let op: Resize = Resize::clone(op);
    let Ok(rank) = rank(g, x) else { return Outcome::miss("the rank is not known") };
    let known = axes_of(g, n).is_some_and(|a| a.iter().all(|a| a.sizes().is_some()));
    let crops = op.coordinate_transformation_mode == Coordinates::TfCropAndResize;
    if known && !(crops && node.input(1).is_some_and(|r| g.constant(r).is_none())) {
        return Outcome::miss("all sizes are known");
    }
    if op.mode != ResizeMode::Nearest && dtype(g, x) != Some(DType::F32) {
        return Outcome::miss("only f32 is interpolated");
    }
    let axes: Vec<usize> = if op.axes.is_empty() {
        (0..rank).collect()
    } else {
        op.axes.iter().filter_map(|a| resolve_axis(*a, rank).ok()).collect()
    };
    let given = |i: usize| node.input(i).filter(|v| super::nodes::size(g, *v, 0) != Some(0));
    let task = Task { x, roi: given(1), scales: given(2), sizes: given(3), axes, op };
    Outcome::of(g.rewrite(n, &[], |b| Ok(vec![task.resized(&mut Math { b })?])))
}

impl Task {
    fn resized(&self, m: &mut Math<'_, '_>) -> V {
        let (mut y, mut inside) = (self.x, None);
        let common = self.common(m)?;
        let crops = self.op.coordinate_transformation_mode == Coordinates::TfCropAndResize;
        for (entry, axis) in self.axes.iter().enumerate() {
            let line = self.line(m, entry, *axis, common)?;
            if crops {
                let kept = m.inside(line.place, 0.0, line.last)?;
                let behind = rank(m.b.graph(), self.x)? - 1 - axis;
                let kept = m.unsqueeze(kept, &(1..=behind as i64).collect::<Vec<_>>())?;
                inside = Some(match inside {
                    None => kept,
                    Some(i) => m.mul(i, kept)?,
                });
            }
            y = match (self.op.mode, self.op.antialias) {
                (ResizeMode::Nearest, _) => self.nearest(m, &line, y)?,
                (_, true) => self.product(m, &line, y)?,
                _ => self.taps(m, &line, y)?,
            };
        }
        let Some(inside) = inside else { return Ok(y) };
        let none = m.k(0.0);
        let outside = m.op("equal", &[inside, none])?;
        let value = m.b.scalar_like(f64::from(self.op.extrapolation_value), y)?;
        m.select(outside, value, y)
    }
    /// The one scale of all axes when the aspect ratio is kept.
    fn common(&self, m: &mut Math<'_, '_>) -> Result<Option<ValueId>, Diag> {
        let Some(sizes) = self.sizes.filter(|_| self.op.keep_aspect_ratio_policy != AspectPolicy::Stretch)
        else {
            return Ok(None);
        };
        let mut own = vec![];
        for a in &self.axes {
            own.push(m.size(self.x, *a)?);
        }
        let own = m.list(&own)?;
        let (own, sizes) = (m.float(own)?, m.float(sizes)?);
        let (ratios, axes) = (m.div(sizes, own)?, m.b.ints(&[0]));
        Ok(Some(if self.op.keep_aspect_ratio_policy == AspectPolicy::NotLarger {
            call(m.b, ReduceMin::default(), &[ratios, axes])?
        } else {
            call(m.b, ReduceMax::default(), &[ratios, axes])?
        }))
    }
    fn line(
        &self,
        m: &mut Math<'_, '_>,
        entry: usize,
        axis: usize,
        common: Option<ValueId>,
    ) -> Result<Line, Diag> {
        let size = m.size(self.x, axis)?;
        let input = m.float(size)?;
        let (out, scale, exact) = match (self.scales, self.sizes, common) {
            (Some(s), ..) => {
                let scale = m.entry(s, entry)?;
                let out = m.mul(input, scale)?;
                let out = m.op("floor", &[out])?;
                (m.int(out)?, scale, false)
            }
            (None, Some(_), Some(scale)) => {
                let out = m.mul(input, scale)?;
                let out = m.plus(out, 0.5)?;
                let out = m.op("floor", &[out])?;
                (m.int(out)?, scale, false)
            }
            (None, Some(sizes), None) => {
                let out = m.entry(sizes, entry)?;
                let wide = m.float(out)?;
                (out, m.div(wide, input)?, true)
            }
            _ => return Err(Diag::error("E0303", "neither scales nor sizes")),
        };
        let last = m.plus(input, -1.0)?;
        let mut line = Line { axis, last, input, scale, place: last };
        line.place = self.place(m, &line, (entry, out, exact))?;
        Ok(line)
    }
    /// `v / scale`.
    fn unscaled(m: &mut Math<'_, '_>, line: &Line, v: ValueId, (out, exact): (ValueId, bool)) -> V {
        if !exact && !planted("legalize-tflite-resize-open") {
            return m.div(v, line.scale);
        }
        let whole = m.mul(v, line.input)?;
        m.div(whole, out)
    }
    fn place(&self, m: &mut Math<'_, '_>, line: &Line, (entry, out, exact): (usize, ValueId, bool)) -> V {
        let (v, wide) = (m.count(out)?, m.float(out)?);
        let length = if exact { wide } else { m.mul(line.scale, line.input)? };
        let (zero, one) = (m.k(0.0), m.k(1.0));
        let half = |m: &mut Math<'_, '_>| {
            let v = m.plus(v, 0.5)?;
            let v = Self::unscaled(m, line, v, (wide, exact))?;
            m.plus(v, -0.5)
        };
        match self.op.coordinate_transformation_mode {
            Coordinates::HalfPixel => half(m),
            Coordinates::PytorchHalfPixel => {
                let (p, several) = (half(m)?, m.op("greater", &[wide, one])?);
                m.select(several, p, zero)
            }
            Coordinates::HalfPixelSymmetric => {
                let share = m.div(wide, length)?;
                let rest = m.from(1.0, share)?;
                let offset = m.mul(rest, line.input)?;
                let (offset, p) = (m.times(offset, 0.5)?, half(m)?);
                m.add(p, offset)
            }
            Coordinates::AlignCorners => {
                let (whole, steps) = (m.mul(v, line.last)?, m.plus(length, -1.0)?);
                let (p, single) = (m.div(whole, steps)?, m.op("equal", &[length, one])?);
                m.select(single, zero, p)
            }
            Coordinates::Asymmetric => Self::unscaled(m, line, v, (wide, exact)),
            Coordinates::TfCropAndResize => {
                let roi = self.roi.ok_or_else(|| Diag::error("E0303", "no region of interest"))?;
                let roi = m.float(roi)?;
                let (start, end) = (m.entry(roi, entry)?, m.entry(roi, self.axes.len() + entry)?);
                let low = m.mul(start, line.last)?;
                let extent = m.sub(end, start)?;
                let extent = m.mul(extent, line.last)?;
                let (whole, steps) = (m.mul(v, extent)?, m.plus(length, -1.0)?);
                let p = m.div(whole, steps)?;
                let p = m.add(low, p)?;
                let middle = m.add(start, end)?;
                let middle = m.mul(middle, line.last)?;
                let (middle, several) = (m.times(middle, 0.5)?, m.op("greater", &[wide, one])?);
                m.select(several, p, middle)
            }
        }
    }
    fn nearest(&self, m: &mut Math<'_, '_>, line: &Line, x: ValueId) -> V {
        let at = match self.op.nearest_mode {
            NearestMode::RoundPreferFloor => {
                let p = m.plus(line.place, -0.5)?;
                m.op("ceil", &[p])?
            }
            NearestMode::RoundPreferCeil => {
                let p = m.plus(line.place, 0.5)?;
                m.op("floor", &[p])?
            }
            NearestMode::Floor => m.op("floor", &[line.place])?,
            NearestMode::Ceil => m.op("ceil", &[line.place])?,
        };
        Self::picked(m, line, at, x)
    }
    /// The elements of `x` at whole places, the border's ones beyond it.
    fn picked(m: &mut Math<'_, '_>, line: &Line, at: ValueId, x: ValueId) -> V {
        let at = m.clamp(at, 0.0, line.last)?;
        let at = m.int(at)?;
        call(m.b, Gather { axis: line.axis as i64 }, &[x, at])
    }
    /// The sum of two or four elements around the place, weighted.
    fn taps(&self, m: &mut Math<'_, '_>, line: &Line, x: ValueId) -> V {
        let cubic = self.op.mode == ResizeMode::Cubic;
        let base = m.op("floor", &[line.place])?;
        let fraction = m.sub(line.place, base)?;
        let mut taps = vec![];
        for offset in if cubic { -1..3 } else { 0..2 } {
            let distance = m.plus(fraction, -f64::from(offset))?;
            let distance = m.op("abs", &[distance])?;
            let mut weight =
                if cubic { m.cubic(distance, f64::from(self.op.cubic_coeff_a))? } else { m.hat(distance)? };
            let at = m.plus(base, f64::from(offset))?;
            if self.op.exclude_outside {
                let kept = m.inside(at, 0.0, line.last)?;
                weight = m.mul(weight, kept)?;
            }
            taps.push((at, weight));
        }
        if self.op.exclude_outside {
            let mut total = taps[0].1;
            for (_, w) in &taps[1..] {
                total = m.add(total, *w)?;
            }
            for (_, w) in &mut taps {
                *w = m.div(*w, total)?;
            }
        }
        let behind = rank(m.b.graph(), x)? - 1 - line.axis;
        let mut terms = vec![];
        for (at, w) in taps {
            let v = Self::picked(m, line, at, x)?;
            let w = m.unsqueeze(w, &(1..=behind as i64).collect::<Vec<_>>())?;
            terms.push(m.mul(v, w)?);
        }
        let mut terms = terms.into_iter();
        let mut sum = first(terms.next().into_iter().collect())?;
        for t in terms {
            sum = m.add(sum, t)?;
        }
        Ok(sum)
    }
    /// The product with a matrix of weights, the kernel widened where the axis shrinks.
    fn product(&self, m: &mut Math<'_, '_>, line: &Line, x: ValueId) -> V {
        let cubic = self.op.mode == ResizeMode::Cubic;
        let one = m.k(1.0);
        let stretch = m.op("min", &[line.scale, one])?;
        let radius = m.k(if cubic { 2.0 } else { 1.0 });
        let radius = m.div(radius, stretch)?;
        let radius = m.op("ceil", &[radius])?;
        let radius = m.plus(radius, 1.0)?;
        // Elements from `radius` before the first to `radius` behind the last.
        let twice = m.times(radius, 2.0)?;
        let n = m.add(line.input, twice)?;
        let n = m.int(n)?;
        let j = m.count(n)?;
        let j = m.sub(j, radius)?;
        let place = m.unsqueeze(line.place, &[1])?;
        let distance = m.sub(j, place)?;
        let distance = m.op("abs", &[distance])?;
        let distance = m.mul(distance, stretch)?;
        let mut weights =
            if cubic { m.cubic(distance, f64::from(self.op.cubic_coeff_a))? } else { m.hat(distance)? };
        if self.op.exclude_outside {
            let kept = m.inside(j, 0.0, line.last)?;
            weights = m.mul(weights, kept)?;
        }
        let total = m.sum(weights, 1)?;
        let total = m.unsqueeze(total, &[1])?;
        let weights = m.div(weights, total)?;
        let wide = Self::picked(m, line, j, x)?;
        let rank = rank(m.b.graph(), x)?;
        let mut perm: Vec<usize> = (0..rank).filter(|d| *d != line.axis).collect();
        perm.push(line.axis);
        let moved = transpose(m.b, wide, &perm)?;
        let weights = transpose(m.b, weights, &[1, 0])?;
        let y = m.op("mat_mul", &[moved, weights])?;
        let mut back = vec![0; rank];
        perm.iter().enumerate().for_each(|(i, p)| back[*p] = i);
        transpose(m.b, y, &back)
    }
}
