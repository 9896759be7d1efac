//! `legalize-tflite-resize`
//!
//! ```text
//! %y = resize(%x, ...) {mode=nearest}   ->   %y = gather(%x, [0, 0, 1, ...])                   # one axis after the other
//! %y = resize(%x, ...) {mode=linear}    ->   %y = gather(%x, at0) * w0 + gather(%x, at1) * w1
//! %y = resize(%x, ...) {mode=cubic}     ->   %y = matmul(weights, %x)
//! ```
//! - Scales, sizes and the region of interest are constant, the resized axes have known sizes.
//! - Weights are those that the operator gives for a matrix of ones on its diagonal: its own meaning decides.
//! - Interpolated data are `f32`.
use super::nodes::{call, dtype, floats, named, rank, transpose};
use crate::fault::planted;
use crate::legalize::where_lacking;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_formats::tflite::bind::spatial::resize::{Axis, axes_of, nearest, resized};
use hoist_formats::tflite::bind::spatial::{AXES, COMPOSED};
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::index::gather::Gather;
use hoist_ir::ops::spatial::resize::{Coordinates, Resize, ResizeMode};
use hoist_ir::tensor::Tensor;

/// The pass.
pub struct LegalizeTfliteResize;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-resize",
    doc: "Gives resizing that LiteRT lacks as picked elements and their weighted sums.",
};

/// Most elements of a matrix of weights.
const MAX_WEIGHTS: usize = 1 << 22;
/// Most elements that are picked one by one for a sum; more are summed by a matrix product.
const MAX_PICKED: usize = 4;

impl Pass for LegalizeTfliteResize {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(g, cx, &["resize"], |g, n, _, reason| {
            let by_type = reason.starts_with("element type") && is_nearest(g, n);
            if reason == AXES || reason == COMPOSED || by_type {
                compose(g, n)
            } else {
                Outcome::Miss(reason.into())
            }
        }))
    }
}

fn is_nearest(g: &Graph, n: NodeId) -> bool {
    matches!(g.node(n).op(), Op::Resize(op) if op.mode == ResizeMode::Nearest)
}

fn compose(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (Op::Resize(op), Some(x)) = (node.op(), node.input(0)) else { return Outcome::Skip };
    let op: Resize = Resize::clone(op);
    let Some(axes) = axes_of(g, n) else { return Outcome::miss("scales are computed") };
    if axes.iter().any(|a| a.sizes().is_none_or(|(i, o)| i == 0 || o == 0)) {
        return Outcome::miss("the sizes of resized axes are not known");
    }
    let crops = op.coordinate_transformation_mode == Coordinates::TfCropAndResize;
    let region = node.input(1).and_then(|v| g.constant(v)?.to_f64s().ok());
    if crops && region.is_none() {
        return Outcome::miss("the region of interest is computed");
    }
    if op.mode != ResizeMode::Nearest && dtype(g, x) != Some(DType::F32) {
        return Outcome::miss("only f32 is interpolated");
    }
    let listed = if op.axes.is_empty() { rank(g, x).unwrap_or(0) } else { op.axes.len() };
    let roi = |a: &Axis| {
        let r = region.as_ref().filter(|_| crops)?;
        Some([*r.get(a.entry)? as f32, *r.get(listed + a.entry)? as f32])
    };
    Outcome::of(g.rewrite(n, &[], |b| {
        if axes.is_empty() {
            return Ok(vec![b.identity(hoist_ir::ops::elementwise::identity::Identity {}, x)?]);
        }
        let mut y = x;
        for a in &axes {
            y = along(b, &op, a, roi(a), y)?;
        }
        if crops { Ok(vec![filled(b, &op, &axes, &roi, y)?]) } else { Ok(vec![y]) }
    }))
}

fn diag(e: hoist_ir::op::OpError) -> Diag {
    Diag::error(e.code, e.message)
}

/// `x` resized along one axis.
fn along(
    b: &mut Builder<'_>,
    op: &Resize,
    a: &Axis,
    roi: Option<[f32; 2]>,
    x: ValueId,
) -> Result<ValueId, Diag> {
    let (input, output) = a.sizes().unwrap_or_default();
    if op.mode == ResizeMode::Nearest && roi.is_none() {
        let at = nearest(op, a).map_err(diag)?;
        let at = b.ints(&at);
        return call(b, Gather { axis: a.axis as i64 }, &[x, at]);
    }
    if input.saturating_mul(input.max(output)) > MAX_WEIGHTS {
        return Err(Diag::error("E0303", "the axis is long"));
    }
    let mut unit = vec![0f32; input * input];
    unit.iter_mut().step_by(input + 1).for_each(|v| *v = 1.0);
    // What lies outside has no weight here; it is filled in for all axes together.
    let plain = Resize { extrapolation_value: 0.0, ..op.clone() };
    let weights = resized(&plain, a, roi, Tensor::from_vec(&[input, input], unit)).map_err(diag)?;
    let weights = weights.to_f32s().map_err(|e| Diag::error("E0303", e.to_string()))?.into_owned();
    let rows: Vec<Vec<(i64, f32)>> = weights
        .chunks(input)
        .map(|row| row.iter().enumerate().filter(|w| *w.1 != 0.0).map(|(i, w)| (i as i64, *w)).collect())
        .collect();
    let most = rows.iter().map(Vec::len).max().unwrap_or(0).max(1);
    if most <= MAX_PICKED {
        return picked(b, &rows, most, a.axis, x);
    }
    product(b, &floats_of(weights, output, input), a.axis, x)
}

fn floats_of(weights: Vec<f32>, rows: usize, columns: usize) -> Tensor {
    Tensor::from_vec(&[rows, columns], weights)
}

/// The sum of `most` picked elements times their weights.
fn picked(
    b: &mut Builder<'_>,
    rows: &[Vec<(i64, f32)>],
    most: usize,
    axis: usize,
    x: ValueId,
) -> Result<ValueId, Diag> {
    let rank = rank(b.graph(), x)?;
    let mut shape = vec![1; rank];
    shape[axis] = rows.len();
    let none = if planted("legalize-tflite-resize") { 1.0 } else { 0.0 };
    let mut sum: Option<ValueId> = None;
    for k in 0..most {
        // A row with fewer elements picks its first one again, without weight.
        let of = |r: &Vec<(i64, f32)>| r.get(k).copied().unwrap_or((r.first().map_or(0, |f| f.0), none));
        let at = b.ints(&rows.iter().map(|r| of(r).0).collect::<Vec<_>>());
        let term = call(b, Gather { axis: axis as i64 }, &[x, at])?;
        let weights: Vec<f32> = rows.iter().map(|r| of(r).1).collect();
        let term = if weights.iter().all(|w| *w == 1.0) {
            term
        } else {
            let weights = floats(b, &shape, weights);
            named(b, "mul", &[term, weights])?
        };
        sum = Some(match sum {
            None => term,
            Some(s) => named(b, "add", &[s, term])?,
        });
    }
    sum.ok_or_else(|| Diag::error("E0303", "an axis without elements"))
}

/// The product of the matrix of weights with the data along `axis`.
fn product(b: &mut Builder<'_>, weights: &Tensor, axis: usize, x: ValueId) -> Result<ValueId, Diag> {
    let rank = rank(b.graph(), x)?;
    let mut perm: Vec<usize> = (0..rank).filter(|d| *d != axis).collect();
    perm.push(axis);
    let moved = transpose(b, x, &perm)?;
    let weights = weights.permute(&[1, 0]).map_err(|e| Diag::error("E0303", e.to_string()))?;
    let weights = b.constant(weights);
    let y = named(b, "mat_mul", &[moved, weights])?;
    let mut back = vec![0; rank];
    perm.iter().enumerate().for_each(|(i, p)| back[*p] = i);
    transpose(b, y, &back)
}

/// The value for what lies outside of the data along any axis.
fn filled(
    b: &mut Builder<'_>,
    op: &Resize,
    axes: &[Axis],
    roi: &dyn Fn(&Axis) -> Option<[f32; 2]>,
    y: ValueId,
) -> Result<ValueId, Diag> {
    let rank = rank(b.graph(), y)?;
    let mut inside: Option<ValueId> = None;
    for a in axes {
        let (input, output) = a.sizes().unwrap_or_default();
        let zeros = Tensor::from_vec(&[input], vec![0f32; input]);
        let marked = Resize { extrapolation_value: 1.0, ..op.clone() };
        let marks = resized(&marked, a, roi(a), zeros).map_err(diag)?;
        let marks = marks.to_f32s().map_err(|e| Diag::error("E0303", e.to_string()))?;
        let mut shape = vec![1; rank];
        shape[a.axis] = output;
        let kept = b.constant(Tensor::from_bools(&shape, marks.iter().map(|m| *m == 0.0).collect()));
        inside = Some(match inside {
            None => kept,
            Some(i) => named(b, "and", &[i, kept])?,
        });
    }
    let Some(inside) = inside else { return Ok(y) };
    let value = b.scalar_like(f64::from(op.extrapolation_value), y)?;
    named(b, "where", &[inside, y, value])
}
