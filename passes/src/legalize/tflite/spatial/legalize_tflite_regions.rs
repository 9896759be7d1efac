//! `legalize-tflite-regions`
//!
//! ```text
//! %y = roi_align(%x, %rois, %samples)   ->   places of all samples, four corners of each gathered from %x as rows of channels,
//!                                            weighted, and reduced over the samples of a cell
//! ```
//! - `f32` data with known height and width; the number of samples of a cell is given.
use super::math::Math;
use super::nodes::{call, dtype, size, span, transpose};
use crate::fault::planted;
use crate::legalize::where_lacking;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::reduce::reductions::{ReduceMax, ReduceMean};
use hoist_ir::ops::vision::roi_align::{RoiAlign, RoiMode, RoiPixel};

/// The pass.
pub struct LegalizeTfliteRegions;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-regions",
    doc: "Gives sampling of regions as picked elements and their weighted sums.",
};

impl Pass for LegalizeTfliteRegions {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(g, cx, &["roi_align"], |g, n, _, _| align(g, n)))
    }
}

fn align(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (Op::RoiAlign(op), Some(x), Some(rois), Some(samples)) =
        (node.op(), node.input(0), node.input(1), node.input(2))
    else {
        return Outcome::Skip;
    };
    let op: RoiAlign = RoiAlign::clone(op);
    if op.sampling_ratio < 1 {
        return Outcome::miss("the number of samples depends on the region");
    }
    let (Some(height), Some(width)) = (size(g, x, 2), size(g, x, 3)) else {
        return Outcome::miss("height and width are not known");
    };
    if dtype(g, x) != Some(DType::F32) || height == 0 || width == 0 {
        return Outcome::miss("the data are no f32, or empty");
    }
    Outcome::of(g.rewrite(n, &[], |b| {
        let m = &mut Math { b };
        let last = transpose(m.b, x, &[0, 2, 3, 1])?;
        let (open, channels) = (m.b.ints(&[-1]), m.size(x, 1)?);
        let flat = m.list(&[open, channels])?;
        let table = m.op("reshape", &[last, flat])?;
        let y = line(m, &op, rois, (1, op.output_height, height))?;
        let x = line(m, &op, rois, (0, op.output_width, width))?;
        let plane = m.b.ints(&[height * width]);
        let start = m.mul(samples, plane)?;
        let start = m.unsqueeze(start, &[1, 2])?;
        let mut terms = vec![];
        for (row, wy) in &y {
            for (column, wx) in &x {
                let (row, column) = (m.unsqueeze(*row, &[2])?, m.unsqueeze(*column, &[1])?);
                let row = m.times(row, width as f64)?;
                let at = m.add(row, column)?;
                let at = m.int(at)?;
                let at = m.add(at, start)?;
                let v = m.rows(table, at)?;
                let (wy, wx) = (m.unsqueeze(*wy, &[2])?, m.unsqueeze(*wx, &[1])?);
                let w = m.mul(wy, wx)?;
                let w = m.unsqueeze(w, &[3])?;
                terms.push(m.mul(v, w)?);
            }
        }
        let joined = if op.mode == RoiMode::Avg { "add" } else { "max" };
        let mut all = terms[0];
        for t in &terms[1..] {
            all = m.op(joined, &[all, *t])?;
        }
        let s = op.sampling_ratio;
        let cells = m.b.ints(&[-1, op.output_height, s, op.output_width, s]);
        let cells = m.list(&[cells, channels])?;
        let cells = m.op("reshape", &[all, cells])?;
        let axes = m.b.ints(&[2, 4]);
        let y = if op.mode == RoiMode::Avg {
            call(m.b, ReduceMean { keepdims: false, ..Default::default() }, &[cells, axes])?
        } else {
            call(m.b, ReduceMax { keepdims: false, ..Default::default() }, &[cells, axes])?
        };
        Ok(vec![transpose(m.b, y, &[0, 3, 1, 2])?])
    }))
}

/// Both neighbours of every sample along one axis and their weights, `[regions, samples]`.
fn line(
    m: &mut Math<'_, '_>,
    op: &RoiAlign,
    rois: ValueId,
    (column, cells, size): (i64, i64, i64),
) -> Result<Vec<(ValueId, ValueId)>, Diag> {
    let half = op.coordinate_transformation_mode == RoiPixel::HalfPixel || planted("legalize-tflite-regions");
    let offset = if half { -0.5 } else { 0.0 };
    let end = |m: &mut Math<'_, '_>, k: i64| {
        let v = span(m.b, rois, 1, k, k + 1)?;
        let v = m.times(v, f64::from(op.spatial_scale))?;
        m.plus(v, offset)
    };
    let (start, end) = (end(m, column)?, end(m, column + 2)?);
    let mut extent = m.sub(end, start)?;
    if !half {
        let one = m.k(1.0);
        extent = m.op("max", &[extent, one])?;
    }
    let cell = m.times(extent, 1.0 / cells as f64)?;
    let s = op.sampling_ratio;
    let steps: Vec<f32> =
        (0..cells * s).map(|i| (i / s) as f32 + ((i % s) as f32 + 0.5) / s as f32).collect();
    let steps = super::nodes::floats(m.b, &[1, steps.len()], steps);
    let at = m.mul(cell, steps)?;
    let at = m.add(at, start)?;
    let (n, last) = (m.k(size as f64), m.k(size as f64 - 1.0));
    let kept = m.inside(at, -1.0, n)?;
    let at = m.clamp(at, 0.0, last)?;
    let low = m.op("floor", &[at])?;
    let far = m.sub(at, low)?;
    let near = m.from(1.0, far)?;
    let high = m.plus(low, 1.0)?;
    let high = m.op("min", &[high, last])?;
    Ok(vec![(low, m.mul(near, kept)?), (high, m.mul(far, kept)?)])
}
