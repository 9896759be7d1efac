//! Poolings, resizing, blocks and normalizations of a file as nodes.
use super::lift_conv::{auto_pad, each};
use crate::tflite::lift::{Cx, Lifted};
use crate::tflite::schema::Builtin;
use hoist_ir::diag::Diag;
use hoist_ir::graph::ValueId;
use hoist_ir::ops::Op;
use hoist_ir::ops::elementwise::arithmetic::{Div, Mul};
use hoist_ir::ops::elementwise::unary::Sqrt;
use hoist_ir::ops::norm::lrn::Lrn;
use hoist_ir::ops::reduce::reductions::ReduceSumSquare;
use hoist_ir::ops::spatial::average_pool::AveragePool;
use hoist_ir::ops::spatial::depth_space::{BlockOrder, DepthToSpace, SpaceToDepth};
use hoist_ir::ops::spatial::max_pool::MaxPool;
use hoist_ir::ops::spatial::resize::{Coordinates, NearestMode, Resize, ResizeMode};
use hoist_ir::ops::words::Layout;

fn averages(cx: &Cx<'_, '_>) -> AveragePool {
    AveragePool {
        auto_pad: auto_pad(cx),
        strides: each(cx, "stride_#", &["h", "w"]),
        kernel_shape: each(cx, "filter_#", &["height", "width"]),
        layout: Layout::ChannelsLast,
        ..AveragePool::default()
    }
}

pub(super) fn average_pool(cx: &mut Cx<'_, '_>) -> Lifted {
    let (x, op) = (cx.arg(0)?, averages(cx));
    let y = cx.op(op, &[x])?;
    Ok(vec![cx.activated(y)?])
}

pub(super) fn max_pool(cx: &mut Cx<'_, '_>) -> Lifted {
    let x = cx.arg(0)?;
    let op = MaxPool {
        auto_pad: auto_pad(cx),
        strides: each(cx, "stride_#", &["h", "w"]),
        kernel_shape: each(cx, "filter_#", &["height", "width"]),
        layout: Layout::ChannelsLast,
        ..MaxPool::default()
    };
    let y = cx.op(op, &[x])?;
    Ok(vec![cx.activated(y)?])
}

/// The root of the mean of squares of each window.
pub(super) fn l2_pool(cx: &mut Cx<'_, '_>) -> Lifted {
    let (x, op) = (cx.arg(0)?, averages(cx));
    let squares = cx.op(Mul {}, &[x, x])?;
    let means = cx.op(op, &[squares])?;
    let y = cx.op(Sqrt {}, &[means])?;
    Ok(vec![cx.activated(y)?])
}

pub(super) fn resize(cx: &mut Cx<'_, '_>) -> Lifted {
    let (x, sizes) = (cx.arg(0)?, cx.wide(1)?);
    let linear = cx.builtin == Builtin::ResizeBilinear;
    let (coordinates, rounding) = match (cx.flag("align_corners"), cx.flag("half_pixel_centers")) {
        (true, true) => return Err(cx.unsupported("both align_corners and half_pixel_centers")),
        (true, false) => (Coordinates::AlignCorners, NearestMode::RoundPreferCeil),
        (false, true) => (Coordinates::HalfPixel, NearestMode::RoundPreferCeil),
        (false, false) => (Coordinates::Asymmetric, NearestMode::Floor),
    };
    let op = Resize {
        axes: vec![1, 2],
        coordinate_transformation_mode: coordinates,
        mode: if linear { ResizeMode::Linear } else { ResizeMode::Nearest },
        nearest_mode: rounding,
        ..Resize::default()
    };
    cx.b.add(op, &[Some(x), None, None, Some(sizes)])
}

pub(super) fn depth_to_space(cx: &mut Cx<'_, '_>) -> Lifted {
    let x = cx.arg(0)?;
    let op =
        DepthToSpace { blocksize: cx.int("block_size"), mode: BlockOrder::Dcr, layout: Layout::ChannelsLast };
    Ok(vec![cx.op(op, &[x])?])
}

pub(super) fn space_to_depth(cx: &mut Cx<'_, '_>) -> Lifted {
    let x = cx.arg(0)?;
    let op =
        SpaceToDepth { blocksize: cx.int("block_size"), mode: BlockOrder::Dcr, layout: Layout::ChannelsLast };
    Ok(vec![cx.op(op, &[x])?])
}

pub(super) fn lrn(cx: &mut Cx<'_, '_>) -> Lifted {
    let x = cx.arg(0)?;
    let size = cx.int("radius").checked_mul(2).and_then(|r| r.checked_add(1));
    let size = size.filter(|s| *s > 0).ok_or_else(|| cx.bad("radius is out of range"))?;
    let op = Lrn {
        alpha: (cx.float("alpha") * size as f64) as f32,
        beta: cx.float("beta") as f32,
        bias: cx.float("bias") as f32,
        size,
        layout: Layout::ChannelsLast,
    };
    Ok(vec![cx.op(op, &[x])?])
}

/// `x / max(norm, 1e-6)` along the last axis.
pub(super) fn l2_normalization(cx: &mut Cx<'_, '_>) -> Lifted {
    let x = cx.arg(0)?;
    let last = cx.b.ints(&[-1]);
    let squares = cx.op(ReduceSumSquare::default(), &[x, last])?;
    let norm = cx.op(Sqrt {}, &[squares])?;
    let least = cx.b.scalar_like(1e-6, x)?;
    let max = Op::by_name("max").ok_or_else(|| cx.bad("no max"))?;
    let norm = cx.op(max, &[norm, least])?;
    let y = cx.op(Div {}, &[x, norm])?;
    Ok(vec![cx.activated(y)?])
}

/// Constant operand `i`, which the operator is not read without.
fn needed(cx: &Cx<'_, '_>, i: usize) -> Result<Vec<i64>, Diag> {
    cx.ints(i).ok_or_else(|| cx.unsupported("dilations that are computed"))
}

fn named(cx: &mut Cx<'_, '_>, name: &str, inputs: &[ValueId]) -> Result<ValueId, Diag> {
    let op = Op::by_name(name).ok_or_else(|| cx.bad(format!("no {name}")))?;
    cx.op(op, inputs)
}

fn transposed(cx: &mut Cx<'_, '_>, x: ValueId, perm: Vec<usize>) -> Result<ValueId, Diag> {
    let perm = perm.into_iter().map(|p| p as i64).collect();
    cx.op(hoist_ir::ops::movement::transpose::Transpose { perm }, &[x])
}

/// Blocks and borders of an operator on blocks of pixels, computed or not.
struct Blocks {
    /// Sizes of the blocks, one for each of the axes behind the first.
    sizes: ValueId,
    /// Borders at the beginnings and at the ends.
    borders: (ValueId, ValueId),
    /// Number of axes that blocks lie along.
    m: usize,
    /// Rank of the data.
    rank: usize,
}

impl Blocks {
    fn of(cx: &mut Cx<'_, '_>) -> Result<Self, Diag> {
        let (x, sizes, borders) = (cx.arg(0)?, cx.wide(1)?, cx.wide(2)?);
        let rank = cx.rank(x)?;
        let m = cx.shape(sizes).and_then(|s| if let [n] = s.as_slice() { n.known() } else { None });
        let m = m.and_then(|m| usize::try_from(m).ok()).filter(|m| *m > 0 && *m < rank);
        let m = m.ok_or_else(|| cx.unsupported("blocks along an unknown number of axes"))?;
        let column = |cx: &mut Cx<'_, '_>, k: i64| {
            let at = cx.b.scalar(k);
            cx.op(hoist_ir::ops::index::gather::Gather { axis: 1 }, &[borders, at])
        };
        Ok(Self { sizes, borders: (column(cx, 0)?, column(cx, 1)?), m, rank })
    }
    /// `x` with a border around the axes of the blocks.
    fn padded(
        &self,
        cx: &mut Cx<'_, '_>,
        x: ValueId,
        (begins, ends): (ValueId, ValueId),
    ) -> Result<ValueId, Diag> {
        let (none, rest) = (cx.b.ints(&[0]), cx.b.ints(&vec![0; self.rank - self.m - 1]));
        let pads = joined(cx, &[none, begins, rest, none, ends, rest])?;
        named(cx, "pad", &[x, pads])
    }
    /// Sizes `[a1, b1, a2, b2, ...]` of two lists.
    fn paired(&self, cx: &mut Cx<'_, '_>, a: ValueId, b: ValueId) -> Result<ValueId, Diag> {
        let last = cx.b.ints(&[1]);
        let (a, b) = (named(cx, "unsqueeze", &[a, last])?, named(cx, "unsqueeze", &[b, last])?);
        let pairs = cx.op(hoist_ir::ops::movement::concat::Concat { axis: 1 }, &[a, b])?;
        let flat = cx.b.ints(&[2 * self.m as i64]);
        named(cx, "reshape", &[pairs, flat])
    }
}

fn joined(cx: &mut Cx<'_, '_>, parts: &[ValueId]) -> Result<ValueId, Diag> {
    cx.op(hoist_ir::ops::movement::concat::Concat { axis: 0 }, parts)
}

/// Sizes of axes `from..to` of `x`.
fn sizes_of(cx: &mut Cx<'_, '_>, x: ValueId, from: usize, to: usize) -> Result<ValueId, Diag> {
    let own = named(cx, "shape", &[x])?;
    let places = cx.b.ints(&(from as i64..to as i64).collect::<Vec<_>>());
    named(cx, "gather", &[own, places])
}

/// `[batch, blocks * size, ...]` becomes `[size * batch, blocks, ...]` after the border is added.
pub(super) fn space_to_batch(cx: &mut Cx<'_, '_>) -> Lifted {
    let blocks = Blocks::of(cx)?;
    let (m, rank, x) = (blocks.m, blocks.rank, cx.arg(0)?);
    let x = blocks.padded(cx, x, blocks.borders)?;
    let whole = sizes_of(cx, x, 1, m + 1)?;
    let counts = cx.op(Div {}, &[whole, blocks.sizes])?;
    let (pairs, first) = (blocks.paired(cx, counts, blocks.sizes)?, sizes_of(cx, x, 0, 1)?);
    let rest = sizes_of(cx, x, m + 1, rank)?;
    let split = joined(cx, &[first, pairs, rest])?;
    let y = named(cx, "reshape", &[x, split])?;
    // [batch, n1, b1, n2, b2, ..., rest] to [b1, b2, ..., batch, n1, n2, ..., rest]
    let inner = (0..m).map(|i| 2 * i + 2);
    let outer = (0..m).map(|i| 2 * i + 1);
    let perm = inner.chain([0]).chain(outer).chain(2 * m + 1..rank + m).collect();
    let y = transposed(cx, y, perm)?;
    let open = cx.b.ints(&[-1]);
    let shape = joined(cx, &[open, counts, rest])?;
    Ok(vec![named(cx, "reshape", &[y, shape])?])
}

/// The reverse of [`space_to_batch`]: the border is cut off at the end.
pub(super) fn batch_to_space(cx: &mut Cx<'_, '_>) -> Lifted {
    let blocks = Blocks::of(cx)?;
    let (m, rank, x) = (blocks.m, blocks.rank, cx.arg(0)?);
    let (open, counts) = (cx.b.ints(&[-1]), sizes_of(cx, x, 1, m + 1)?);
    let rest = sizes_of(cx, x, m + 1, rank)?;
    let split = joined(cx, &[blocks.sizes, open, counts, rest])?;
    let y = named(cx, "reshape", &[x, split])?;
    // [b1, b2, ..., batch, n1, n2, ..., rest] to [batch, n1, b1, n2, b2, ..., rest]
    let pairs = (0..m).flat_map(|i| [m + 1 + i, i]);
    let perm = std::iter::once(m).chain(pairs).chain(2 * m + 1..rank + m).collect();
    let y = transposed(cx, y, perm)?;
    let spatial = cx.op(Mul {}, &[counts, blocks.sizes])?;
    let shape = joined(cx, &[open, spatial, rest])?;
    let y = named(cx, "reshape", &[y, shape])?;
    let cuts = (named(cx, "neg", &[blocks.borders.0])?, named(cx, "neg", &[blocks.borders.1])?);
    Ok(vec![blocks.padded(cx, y, cuts)?])
}

/// Elements of `x` spread apart, a value between them: each axis gets `dilation - 1` between two.
pub(super) fn dilate(cx: &mut Cx<'_, '_>) -> Lifted {
    let (mut x, steps, fill) = (cx.arg(0)?, needed(cx, 1)?, cx.arg(2)?);
    let rank = cx.rank(x)?;
    if steps.len() != rank || steps.iter().any(|s| *s < 1) {
        return Err(cx.bad("dilations do not fit the data"));
    }
    for (axis, step) in steps.iter().enumerate().filter(|(_, s)| **s > 1) {
        let axes = cx.b.ints(&[axis as i64 + 1]);
        let apart = named(cx, "unsqueeze", &[x, axes])?;
        let mut pads = vec![0; 2 * (rank + 1)];
        pads[rank + 1 + axis + 1] = step - 1;
        let pads = cx.b.ints(&pads);
        let apart = named(cx, "pad", &[apart, pads, fill])?;
        let own = named(cx, "shape", &[x])?;
        let factors: Vec<i64> = (0..rank).map(|a| if a == axis { *step } else { 1 }).collect();
        let factors = cx.b.ints(&factors);
        let shape = cx.op(Mul {}, &[own, factors])?;
        let wide = named(cx, "reshape", &[apart, shape])?;
        // What was added behind the last element is cut off again.
        let mut cut = vec![0; 2 * rank];
        cut[rank + axis] = 1 - step;
        let cut = cx.b.ints(&cut);
        x = named(cx, "pad", &[wide, cut])?;
    }
    Ok(vec![x])
}
