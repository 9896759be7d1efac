//! `legalize-tflite-sample`
//!
//! ```text
//! %y = grid_sample(%x, %grid)   ->   %p = ((%grid + 1) * size - 1) / 2
//!                                    %y = sum over the corners around %p of gather(%x as rows of channels, corner) * weight
//! %g = affine_grid(%theta, %size)   ->   %g = (evenly spaced places, 1) * transpose(%theta)
//! ```
//! - Data are `f32`, of known rank, their spatial sizes known; one, two or three spatial axes.
use super::math::{Math, V};
use super::nodes::{dtype, layout, rank, transpose};
use crate::fault::planted;
use crate::legalize::where_lacking;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::spatial::grid_sample::{GridSample, Outside, SampleMode};
use hoist_ir::ops::vision::affine_grid::AffineGrid;

/// The pass.
pub struct LegalizeTfliteSample;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-sample",
    doc: "Gives sampling at computed places as picked elements and their weighted sums.",
};

impl Pass for LegalizeTfliteSample {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(g, cx, &["affine_grid", "grid_sample"], |g, n, _, _| rule(g, n)))
    }
}

fn rule(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (Some(x), Some(other)) = (node.input(0), node.input(1)) else { return Outcome::Skip };
    if dtype(g, x) != Some(DType::F32) {
        return Outcome::miss("the data are no f32");
    }
    match node.op() {
        Op::AffineGrid(op) => {
            let op: AffineGrid = AffineGrid::clone(op);
            let Some(axes) = super::nodes::size(g, other, 0).map(|n| n - 2) else {
                return Outcome::miss("the number of sizes is not known");
            };
            Outcome::of(g.rewrite(n, &[], |b| Ok(vec![grid(&mut Math { b }, &op, x, other, axes)?])))
        }
        Op::GridSample(op) => {
            let op: GridSample = GridSample::clone(op);
            if dtype(g, other) != Some(DType::F32) {
                return Outcome::miss("the places are no f32");
            }
            Outcome::of(g.rewrite(n, &[], |b| Ok(vec![sampled(&mut Math { b }, &op, x, other)?])))
        }
        _ => Outcome::Skip,
    }
}

/// Places of `axes` axes as `[batch, sizes..., axes]`.
fn grid(m: &mut Math<'_, '_>, op: &AffineGrid, theta: ValueId, size: ValueId, axes: i64) -> V {
    let r = usize::try_from(axes).unwrap_or(0);
    let mut columns = vec![];
    let spatial = super::nodes::span(m.b, size, 0, 2, axes + 2)?;
    for d in (0..r).rev() {
        let n = m.entry(size, d + 2)?;
        let (v, wide) = (m.count(n)?, m.float(n)?);
        let line = if op.align_corners {
            let (v, steps) = (m.times(v, 2.0)?, m.plus(wide, -1.0)?);
            // A single place is the first one: 0 / 1.
            let one = m.k(1.0);
            let steps = m.op("max", &[steps, one])?;
            let v = m.div(v, steps)?;
            m.plus(v, -1.0)?
        } else {
            let v = m.times(v, 2.0)?;
            let v = m.plus(v, 1.0)?;
            let v = m.div(v, wide)?;
            m.plus(v, -1.0)?
        };
        let sizes: Vec<i64> = (0..r).map(|a| if a == d { -1 } else { 1 }).collect();
        let line = m.reshape(line, &sizes)?;
        let full = m.op("expand", &[line, spatial])?;
        columns.push(m.reshape(full, &[-1, 1])?);
    }
    let one = m.k(1.0);
    let ones = m.op("expand", &[one, spatial])?;
    columns.push(m.reshape(ones, &[-1, 1])?);
    let points = super::nodes::concat(m.b, 1, &columns)?;
    let turned = transpose(m.b, theta, &[0, 2, 1])?;
    let places = m.op("mat_mul", &[points, turned])?;
    let (batch, last) = (m.b.ints(&[-1]), m.b.ints(&[axes]));
    let shape = m.list(&[batch, spatial, last])?;
    m.op("reshape", &[places, shape])
}

/// Elements of one axis: whole places in range, and weights.
struct Tap {
    at: ValueId,
    weight: Option<ValueId>,
}

/// Samples of `x` at the places of `grid`.
fn sampled(m: &mut Math<'_, '_>, op: &GridSample, x: ValueId, grid: ValueId) -> V {
    let axes = rank(m.b.graph(), x)? - 2;
    let layout = layout(&Op::from(op.clone()));
    let first = layout.first_spatial_axis();
    let sizes: Option<Vec<i64>> =
        (first..first + axes).map(|a| super::nodes::size(m.b.graph(), x, a)).collect();
    let sizes = sizes.ok_or_else(|| Diag::error("E0303", "the sizes of the data are not known"))?;
    let batch = m.size(x, 0)?;
    // Rows of channels, and places [batch, points, 1] per axis.
    let last = transpose(m.b, x, &layout.to_channels_first(axes + 2))?;
    let perm: Vec<usize> = std::iter::once(0).chain(2..axes + 2).chain([1]).collect();
    let last = transpose(m.b, last, &perm)?;
    let channels = m.size(x, layout.channel_axis(axes + 2))?;
    let open = m.b.ints(&[-1]);
    let flat = m.list(&[open, channels])?;
    let table = m.op("reshape", &[last, flat])?;
    let count = m_int(m, axes);
    let flat = m.list(&[batch, open, count])?;
    let places = m.op("reshape", &[grid, flat])?;
    let mut taps = vec![];
    for (d, size) in sizes.iter().enumerate() {
        let k = if planted("legalize-tflite-sample") { d } else { axes - 1 - d } as i64;
        let c = super::nodes::span(m.b, places, 2, k, k + 1)?;
        taps.push(axis_taps(m, op, c, *size)?);
    }
    let plane = sizes.iter().copied().fold(1, i64::saturating_mul);
    let sample = m.places(batch)?;
    let plane = m.b.ints(&[plane]);
    let start = m.mul(sample, plane)?;
    let start = m.unsqueeze(start, &[1, 2])?;
    let sum = summed(m, table, start, &taps, &sizes)?;
    // [batch, points, channels] to the layout of the data.
    let own = super::nodes::shape(m.b, grid)?;
    let lead = super::nodes::span(m.b, own, 0, 0, axes as i64 + 1)?;
    let whole = m.list(&[lead, channels])?;
    let y = m.op("reshape", &[sum, whole])?;
    let back = hoist_ir::ops::words::Layout::ChannelsLast.to_channels_first(axes + 2);
    let y = transpose(m.b, y, &back)?;
    transpose(m.b, y, &layout.from_channels_first(axes + 2))
}

fn m_int(m: &mut Math<'_, '_>, v: usize) -> ValueId {
    m.b.ints(&[v as i64])
}

/// The sum over all combinations of taps.
fn summed(m: &mut Math<'_, '_>, table: ValueId, start: ValueId, taps: &[Vec<Tap>], sizes: &[i64]) -> V {
    let mut all: Vec<(Option<ValueId>, Option<ValueId>)> = vec![(None, None)];
    for (axis, size) in taps.iter().zip(sizes) {
        let mut next = vec![];
        for (place, weight) in &all {
            for tap in axis {
                let at = match place {
                    None => tap.at,
                    Some(p) => {
                        let rows = m.times(*p, *size as f64)?;
                        m.add(rows, tap.at)?
                    }
                };
                let weight = match (*weight, tap.weight) {
                    (Some(a), Some(c)) => Some(m.mul(a, c)?),
                    (a, c) => a.or(c),
                };
                next.push((Some(at), weight));
            }
        }
        all = next;
    }
    let mut sum = None;
    for (place, weight) in all {
        let place = place.ok_or_else(|| Diag::error("E0303", "no axes"))?;
        let at = m.int(place)?;
        let at = m.add(at, start)?;
        let none = m.b.ints(&[-1]);
        let at = m.op("squeeze", &[at, none])?;
        let mut v = m.rows(table, at)?;
        if let Some(w) = weight {
            v = m.mul(v, w)?;
        }
        sum = Some(match sum {
            None => v,
            Some(s) => m.add(s, v)?,
        });
    }
    sum.ok_or_else(|| Diag::error("E0303", "no taps"))
}

/// Taps of an axis of `n` elements for coordinates between -1 and 1.
fn axis_taps(m: &mut Math<'_, '_>, op: &GridSample, c: ValueId, n: i64) -> Result<Vec<Tap>, Diag> {
    // Places are added up in `f32`, which holds whole numbers up to this one.
    const MOST: i64 = 1 << 11;
    if n > MOST || n == 0 {
        return Err(Diag::error("E0303", "the axis is long or empty"));
    }
    let size = n as f64;
    let c = m.plus(c, 1.0)?;
    let mut p = if op.align_corners {
        let half = m.times(c, 0.5)?;
        m.times(half, size - 1.0)?
    } else {
        let whole = m.times(c, size)?;
        let whole = m.plus(whole, -1.0)?;
        m.times(whole, 0.5)?
    };
    let (low, high) = if op.align_corners { (0.0, size - 1.0) } else { (-0.5, size - 0.5) };
    if op.mode == SampleMode::Nearest {
        p = m.op("round", &[p])?;
    }
    if op.mode != SampleMode::Cubic {
        p = match op.padding_mode {
            Outside::Zeros => p,
            Outside::Border => {
                let last = m.k(size - 1.0);
                m.clamp(p, 0.0, last)?
            }
            Outside::Reflection => reflected(m, p, low, high)?,
        };
    }
    if op.mode == SampleMode::Nearest {
        return Ok(vec![tap(m, op, p, None, size)?]);
    }
    let base = m.op("floor", &[p])?;
    let fraction = m.sub(p, base)?;
    let cubic = op.mode == SampleMode::Cubic;
    let mut taps = vec![];
    for offset in if cubic { -1..3 } else { 0..2 } {
        let distance = m.plus(fraction, -f64::from(offset))?;
        let distance = m.op("abs", &[distance])?;
        let weight = if cubic { m.cubic(distance, -0.75)? } else { m.hat(distance)? };
        let at = m.plus(base, f64::from(offset))?;
        taps.push(tap(m, op, at, Some(weight), size)?);
    }
    Ok(taps)
}

/// A whole place in range; what lies outside has no weight, or another place.
fn tap(
    m: &mut Math<'_, '_>,
    op: &GridSample,
    at: ValueId,
    weight: Option<ValueId>,
    size: f64,
) -> Result<Tap, Diag> {
    let last = m.k(size - 1.0);
    let (mut at, mut weight) = (at, weight);
    match op.padding_mode {
        Outside::Zeros => {
            let kept = m.inside(at, 0.0, last)?;
            weight = Some(match weight {
                None => kept,
                Some(w) => m.mul(w, kept)?,
            });
        }
        Outside::Border => {}
        Outside::Reflection => {
            let (low, high) = if op.align_corners { (0.0, size - 1.0) } else { (-0.5, size - 0.5) };
            at = reflected(m, at, low, high)?;
            // Truncated as the reference does; places are at least 0 after the clamp.
            at = m.clamp(at, 0.0, last)?;
            at = m.op("floor", &[at])?;
        }
    }
    Ok(Tap { at: m.clamp(at, 0.0, last)?, weight })
}

/// `p` reflected at `low` and `high`: a wave of twice their distance.
fn reflected(m: &mut Math<'_, '_>, p: ValueId, low: f64, high: f64) -> V {
    let range = high - low;
    if range <= 0.0 {
        let zero = m.times(p, 0.0)?;
        return m.plus(zero, low.max(0.0));
    }
    let past = m.plus(p, -low)?;
    let past = m.op("abs", &[past])?;
    let turns = m.times(past, 1.0 / (2.0 * range))?;
    let turns = m.op("floor", &[turns])?;
    let turns = m.times(turns, 2.0 * range)?;
    let rest = m.sub(past, turns)?;
    let back = m.from(2.0 * range, rest)?;
    let near = m.op("min", &[rest, back])?;
    m.plus(near, low)
}
