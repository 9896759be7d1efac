//! `legalize-tflite-integer-conv`
//!
//! ```text
//! %y = conv_integer(%x, %w, %zx, %zw)   ->   %a = cast(%x) {to=f32} - cast(%zx)
//!                                            %b = cast(%w) {to=f32} - cast(%zw)
//!                                            %c = conv(%a, %b)
//!                                            %y = cast(%c) {to=i32}
//! ```
//! - Sums of products of bytes are whole numbers, which `f32` holds up to 2^24: as many as 258 of them, and more where the weights are constants of which
//!   each result sees small ones. Such weights stay bytes, dequantized in steps of 1. Where that is too few, channels are convolved in parts, whose results are added as integers.
use super::math::Math;
use super::nodes::{cast, rank, span};
use crate::fault::planted;
use crate::legalize::where_lacking;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::elementwise::arithmetic::Add;
use hoist_ir::ops::quant::dequantize_linear::DequantizeLinear;
use hoist_ir::ops::spatial::conv::Conv;
use hoist_ir::ops::spatial::conv_integer::sums_fit_f32;
use hoist_ir::ops::words::Layout;
use hoist_ir::tensor::Tensor;

/// The pass.
pub struct LegalizeTfliteIntegerConv;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-integer-conv",
    doc: "Computes convolutions of bytes with floats where those are exact.",
};

/// A byte, its zero point taken off, is at most this.
const BYTE: u64 = 255;
/// `f32` holds whole numbers up to this.
const MOST: u64 = 1 << 24;

impl Pass for LegalizeTfliteIntegerConv {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(g, cx, &["conv_integer"], |g, n, _, _| widen(g, n)))
    }
}

/// Weights less their zero points.
fn centred(m: &mut Math<'_, '_>, w: ValueId, zero: Option<ValueId>, axes: usize) -> Result<ValueId, Diag> {
    let w = m.float(w)?;
    let Some(zero) = zero else { return Ok(w) };
    let mut z = m.float(zero)?;
    if rank(m.b.graph(), z)? == 1 {
        z = m.unsqueeze(z, &(1..axes as i64).collect::<Vec<_>>())?;
    }
    m.sub(w, z)
}

/// Constant weights less their zero points: in steps of 1, so that they are stored as they are.
fn dequantized(b: &mut Builder<'_>, w: ValueId, zero: Option<ValueId>) -> Option<Result<ValueId, Diag>> {
    b.graph().constant(w)?;
    let shape = match zero {
        Some(z) => b.graph().constant(z)?.shape().to_vec(),
        None => vec![],
    };
    let scale = b.constant(Tensor::from_vec(&shape, vec![1f32; shape.iter().product()]));
    let op = DequantizeLinear { axis: 0, ..DequantizeLinear::default() };
    Some(b.dequantize_linear(op, w, scale, zero))
}

fn widen(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (Op::ConvInteger(op), Some(x), Some(w)) = (node.op(), node.input(0), node.input(1)) else {
        return Outcome::Skip;
    };
    let zeros = (node.input(2), node.input(3));
    let fits = sums_fit_f32(g, (x, zeros.0), (w, zeros.1)) || planted("legalize-tflite-integer-conv");
    let whole = fits.then(|| vec![(0, i64::MAX)]);
    let Some(parts) = whole.or_else(|| parts(g, w, zeros.1)) else {
        return Outcome::miss("the weights of one channel may sum up to what f32 does not hold");
    };
    if parts.len() > 1 && op.group != 1 {
        return Outcome::miss("the sums of a group may exceed what f32 holds");
    }
    let Ok(axes) = rank(g, w) else { return Outcome::Skip };
    let conv = Conv {
        auto_pad: op.auto_pad,
        dilations: op.dilations.clone(),
        group: op.group,
        kernel_shape: op.kernel_shape.clone(),
        pads: op.pads.clone(),
        strides: op.strides.clone(),
        layout: op.layout,
    };
    let along = if op.layout == Layout::ChannelsLast { axes - 1 } else { 1 };
    Outcome::of(g.rewrite(n, &[], |b| {
        let m = &mut Math { b };
        let mut x = m.float(x)?;
        if let Some(z) = zeros.0 {
            let z = m.float(z)?;
            x = m.sub(x, z)?;
        }
        let w = match dequantized(m.b, w, zeros.1) {
            Some(w) => w?,
            None => centred(m, w, zeros.1, axes)?,
        };
        let mut sum = None;
        for (from, to) in &parts {
            let (x, w) = if parts.len() == 1 {
                (x, w)
            } else {
                (span(m.b, x, along, *from, *to)?, span(m.b, w, 1, *from, *to)?)
            };
            let y = m.b.conv(conv.clone(), x, w, None)?;
            let y = cast(m.b, y, DType::I32)?;
            sum = Some(match sum {
                Some(s) => m.b.plus(Add {}, s, y)?,
                None => y,
            });
        }
        Ok(sum.into_iter().collect())
    }))
}

/// Ranges of the channels of weights `w` with zero point `zero` such that no result of a range exceeds what `f32` holds; `None` when one channel does.
fn parts(g: &Graph, w: ValueId, zero: Option<ValueId>) -> Option<Vec<(i64, i64)>> {
    let sizes = g.ty(w).as_tensor()?.sizes()?;
    let (&results, &channels) = (sizes.first()?, sizes.get(1)?);
    let window = sizes.get(2..)?.iter().try_fold(1usize, |n, d| n.checked_mul(*d))?;
    let sums = sums(g, w, zero, window);
    let sum = |o: usize, c: usize| match &sums {
        Some(s) => s.get(o * channels + c).copied().unwrap_or(u64::MAX / BYTE),
        None => BYTE.saturating_mul(window as u64),
    };
    let mut parts = vec![];
    let (mut start, mut so_far) = (0, vec![0u64; results]);
    for c in 0..channels {
        let more = |so_far: &[u64]| -> Vec<u64> {
            so_far.iter().enumerate().map(|(o, s)| s.saturating_add(sum(o, c))).collect()
        };
        let fits = |all: &[u64]| all.iter().all(|s| s.saturating_mul(BYTE) <= MOST);
        let mut next = more(&so_far);
        if !fits(&next) {
            if c == start {
                return None;
            }
            parts.push((start as i64, c as i64));
            start = c;
            next = more(&vec![0; results]);
            if !fits(&next) {
                return None;
            }
        }
        so_far = next;
    }
    parts.push((start as i64, channels as i64));
    Some(parts)
}

/// The sum of the absolute weights of each result and channel, `[results, channels]`, where they are constants.
fn sums(g: &Graph, w: ValueId, zero: Option<ValueId>, window: usize) -> Option<Vec<u64>> {
    let weights = g.constant(w)?.to_i64s().ok()?;
    let zeros = match zero {
        Some(z) => g.constant(z)?.to_i64s().ok()?,
        None => vec![0],
    };
    let results = g.constant(w)?.shape().first().copied()?;
    let per = weights.len().checked_div(results)?;
    let zero_of = |i: usize| zeros.get(if zeros.len() == 1 { 0 } else { i / per }).copied();
    if window == 0 || per == 0 || !(zeros.len() == 1 || zeros.len() == results) {
        return None;
    }
    let one = |(k, part): (usize, &[i64])| -> Option<u64> {
        let z = zero_of(k * window)?;
        Some(part.iter().map(|v| v.abs_diff(z)).sum())
    };
    weights.chunks(window).enumerate().map(one).collect()
}
