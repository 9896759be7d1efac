//! `legalize-tflite-positions`
//!
//! ```text
//! %y, %i = max_pool(%x)      ->   the largest of slices, one for each element of a window, and the position of the first that is so large
//! %y = max_unpool(%x, %i)    ->   %y = scatter_nd(zeros, %i, %x)
//! ```
//! - All sizes are known. Windows of `max_unpool` do not overlap, so that no place is written twice.
use super::legalize_tflite_padding::filling;
use super::math::Math;
use super::nodes::{Sliding, dtype, layout, list, pad, strided};
use crate::fault::planted;
use crate::legalize::where_lacking;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::words::Layout;
use hoist_ir::tensor::Tensor;

/// The pass.
pub struct LegalizeTflitePositions;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-positions",
    doc: "Gives maximum poolings whose positions are used, and their reverse, as slices and scattering.",
};

/// Most elements of a window, and of all positions.
const MOST: (i64, usize) = (64, 1 << 22);

impl Pass for LegalizeTflitePositions {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(g, cx, &["max_pool", "max_unpool"], |g, n, _, _| {
            if g.node(n).op().name() == "max_pool" { positions(g, n) } else { unpool(g, n) }
        }))
    }
}

fn positions(g: &mut Graph, n: NodeId) -> Outcome {
    let used = g.node(n).outputs().get(1).is_some_and(|v| !g.value(*v).uses().is_empty());
    if !used {
        return Outcome::Skip;
    }
    let Some(s) = Sliding::of(g, n) else { return Outcome::miss("the sizes of the window are not known") };
    let sizes = g.ty(s.x).as_tensor().and_then(hoist_ir::types::TensorType::sizes);
    let (Some(sizes), Some(borders)) = (sizes, s.windows.borders()) else {
        return Outcome::miss("the sizes are not known");
    };
    let taps: i64 = s.windows.axes.iter().map(|a| a.kernel).fold(1, i64::saturating_mul);
    if taps > MOST.0
        || sizes.iter().copied().fold(1, usize::saturating_mul) > MOST.1
        || dtype(g, s.x) != Some(DType::F32)
    {
        return Outcome::miss("the windows or the data are large, or no f32");
    }
    let column = s.op.def().attr("storage_order") == Some(Attr::Int(1));
    Outcome::of(g.rewrite(n, &[], |b| {
        let m = &mut Math { b };
        let x = pad(m.b, s.x, &s.entries(&borders), filling(m.b.graph(), &s))?;
        let place = m.b.constant(places(&sizes, layout(&s.op), column));
        let place = pad(m.b, place, &s.entries(&borders), 0.0)?;
        let (mut best, mut at): (Option<ValueId>, Option<ValueId>) = (None, None);
        for k in 0..taps {
            let (v, i) = (tap(m, &s, x, k)?, tap(m, &s, place, k)?);
            (best, at) = match (best, at) {
                (Some(former), Some(place)) => {
                    let last = planted("legalize-tflite-positions");
                    let larger = m.op(if last { "greater_or_equal" } else { "greater" }, &[v, former])?;
                    (Some(m.op("max", &[former, v])?), Some(m.select(larger, i, place)?))
                }
                _ => (Some(v), Some(i)),
            };
        }
        Ok([best, at].into_iter().flatten().collect())
    }))
}

/// Positions in the whole of data of these sizes, counted in channels-first order.
fn places(sizes: &[usize], layout: Layout, column: bool) -> Tensor {
    let first = layout.first_spatial_axis();
    let channel = layout.channel_axis(sizes.len());
    let spatial: Vec<usize> = (first..first + sizes.len() - 2).collect();
    let order: Vec<usize> = if column { spatial.iter().rev().copied().collect() } else { spatial };
    // Axes from the one that changes slowest.
    let order: Vec<usize> = [0, channel].into_iter().chain(order).collect();
    let total = sizes.iter().copied().fold(1, usize::saturating_mul);
    let one = |mut i: usize| {
        let mut at = vec![0; sizes.len()];
        for d in (0..sizes.len()).rev() {
            (at[d], i) = (i % sizes[d], i / sizes[d]);
        }
        order.iter().fold(0i64, |p, d| p * sizes[*d] as i64 + at[*d] as i64)
    };
    Tensor::from_vec(sizes, (0..total).map(one).collect::<Vec<_>>())
}

/// Element `k` of every window, the last axis first.
fn tap(m: &mut Math<'_, '_>, s: &Sliding, x: ValueId, k: i64) -> Result<ValueId, Diag> {
    let (mut y, mut rest) = (x, k);
    for (i, a) in s.windows.axes.iter().enumerate().rev() {
        let place = rest % a.kernel;
        rest /= a.kernel;
        let behind = (a.kernel - 1 - place) * a.dilation;
        let to = if behind == 0 { i64::MAX } else { -behind };
        y = strided(m.b, y, s.first + i, (place * a.dilation, to, a.stride))?;
    }
    Ok(y)
}

fn unpool(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (Some(x), Some(at)) = (node.input(0), node.input(1)) else { return Outcome::Skip };
    let wanted = g.const_ints(node.input(2));
    if node.input(2).is_some() && wanted.is_none() {
        return Outcome::miss("the sizes of the result are computed");
    }
    let (kernel, pads) = (list(node.op(), "kernel_shape"), list(node.op(), "pads"));
    let mut strides = list(node.op(), "strides");
    strides.resize(kernel.len(), 1);
    let sizes = g.ty(x).as_tensor().and_then(hoist_ir::types::TensorType::sizes);
    let Some(sizes) = sizes.filter(|s| s.len() == kernel.len() + 2) else {
        return Outcome::miss("the sizes are not known");
    };
    if kernel.iter().zip(&strides).any(|(k, s)| k > s) || dtype(g, x) != Some(DType::F32) {
        return Outcome::miss("windows overlap, or the data are no f32");
    }
    let mut own: Vec<i64> = sizes.iter().map(|d| *d as i64).collect();
    let r = kernel.len();
    let pad_at = |i: usize| pads.get(i).copied().unwrap_or(0);
    for i in 0..r {
        own[i + 2] = (own[i + 2] - 1) * strides[i] + kernel[i] - pad_at(i) - pad_at(i + r);
    }
    let total = own.iter().copied().fold(1, i64::saturating_mul);
    if usize::try_from(total).map_or(true, |t| t > MOST.1) {
        return Outcome::miss("the data are large");
    }
    Outcome::of(g.rewrite(n, &[], |b| {
        let m = &mut Math { b };
        let zeros = Tensor::from_vec(&[total as usize], vec![0f32; total as usize]);
        let zeros = m.b.constant(zeros);
        let (at, flat) = (m.reshape(at, &[-1, 1])?, m.reshape(x, &[-1])?);
        let y = m.op("scatter_nd", &[zeros, at, flat])?;
        let y = m.reshape(y, &own)?;
        let Some(wanted) = wanted else { return Ok(vec![y]) };
        let borders: Vec<_> = wanted.iter().zip(&own).enumerate().map(|(a, (w, o))| (a, 0, w - o)).collect();
        Ok(vec![pad(m.b, y, &borders, 0.0)?])
    }))
}
