//! `fuse-pad`
//!
//! ```text
//! %p = pad(%x, [0, 0, 1, 1, 0, 0, 1, 1])
//! %y = conv(%p, %w)                          ->  %y = conv(%x, %w) {pads=[1, 1, 1, 1]}
//! ```
//! - The pad adds constants around the axes of the image only, as many as are known, and removes nothing.
//! - Every user is a convolution or a pooling that says its padding, and no window lies in the padding as a whole.
//! - Before a convolution the constants are 0. Before `average_pool` too, which then counts them; it has no padding of its own that it does not
//!   count, and no last partial window.
//! - Before `max_pool` they are negative infinity, or 0 where no element is negative; it has no last partial window, and its indices are not
//!   asked for.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use crate::queries::{is_all, is_never_negative};
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, Use, ValueId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::Op;
use hoist_ir::ops::movement::pad::PadMode;
use hoist_ir::ops::words::{AutoPad, Layout};

/// The pass.
pub struct FusePad;

const INFO: PassInfo =
    PassInfo { name: "fuse-pad", doc: "Puts padding into the convolutions and poolings that follow it." };

/// Most users that are looked at.
const MOST_USERS: usize = 16;

impl Pass for FusePad {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["pad"])
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, fuse))
    }
}

fn fuse(g: &mut Graph, n: NodeId) -> Outcome {
    let Op::Pad(op) = g.node(n).op() else { return Outcome::Skip };
    let (Some(x), Some(y)) = (g.node(n).input(0), g.node(n).outputs().first().copied()) else {
        return Outcome::Skip;
    };
    if op.mode != PadMode::Constant {
        return Outcome::miss("it repeats elements");
    }
    let Some(pads) = pads(g, n, x) else {
        return Outcome::miss("how much is added is not known, or it is negative");
    };
    let uses = g.value(y).uses();
    if uses.is_empty() || uses.len() > MOST_USERS {
        return Outcome::miss("nothing uses it, or too many nodes do");
    }
    let mut new = vec![];
    for u in uses {
        let Use::Node { node, slot: 0 } = *u else {
            return Outcome::miss("something else than a convolution or a pooling uses it");
        };
        match padded(g, node, &pads, fill(g, n, x)) {
            Ok(op) => new.push((node, op)),
            Err(reason) => return Outcome::miss(reason),
        }
    }
    let origin = g.node(n).origin.clone();
    for (node, op) in new {
        let mut inputs = g.node(node).inputs().to_vec();
        inputs[0] = Some(x);
        let done = g.rewrite(node, &[], |b| b.add(op, &inputs));
        if let Err(d) = done {
            return Outcome::Miss(d.message.into());
        }
    }
    if let Some(p) = g.producer(x) {
        g.add_origin(p, &origin);
    }
    g.erase_dead(n);
    Outcome::Edit
}

/// Elements added before and behind each axis.
fn pads(g: &Graph, n: NodeId, x: ValueId) -> Option<Vec<(i64, i64)>> {
    let rank = g.ty(x).as_tensor()?.rank()?;
    let list = g.const_ints(g.node(n).input(1))?;
    let axes: Vec<usize> = match g.node(n).input(3) {
        None => (0..rank).collect(),
        Some(v) => {
            g.const_ints(Some(v))?.iter().map(|a| resolve_axis(*a, rank).ok()).collect::<Option<_>>()?
        }
    };
    let mut out = vec![(0, 0); rank];
    if list.len() != 2 * axes.len() || list.iter().any(|p| *p < 0) {
        return None;
    }
    for (i, axis) in axes.iter().enumerate() {
        out[*axis] = (list[i], list[i + axes.len()]);
    }
    Some(out)
}

/// What is added.
#[derive(Clone, Copy, PartialEq)]
enum Fill {
    Zero,
    /// Zero, where no element is negative.
    Least,
    /// Negative infinity.
    Lowest,
    Other,
}

fn fill(g: &Graph, n: NodeId, x: ValueId) -> Fill {
    match g.node(n).input(2) {
        Some(v) if is_all(g, v, f64::NEG_INFINITY) => Fill::Lowest,
        Some(v) if !is_all(g, v, 0.0) => Fill::Other,
        _ if is_never_negative(g, x) => Fill::Least,
        _ => Fill::Zero,
    }
}

/// Attributes of a window.
struct Window<'a> {
    pads: &'a [i64],
    auto_pad: AutoPad,
    kernel: Vec<i64>,
    dilations: &'a [i64],
    layout: Layout,
}

impl Window<'_> {
    /// The padding of the window with `pads` around it.
    fn sum(&self, pads: &[(i64, i64)]) -> Result<Vec<i64>, &'static str> {
        if !matches!(self.auto_pad, AutoPad::NotSet | AutoPad::Valid) {
            return Err("the padding depends on the size");
        }
        let rank = pads.len().checked_sub(2).filter(|r| *r > 0).ok_or("there are no axes of an image")?;
        let channel = if self.layout == Layout::ChannelsFirst { 1 } else { rank + 1 };
        if (pads[0] != (0, 0) || pads[channel] != (0, 0)) && !planted("fuse-pad") {
            return Err("channels or samples are added");
        }
        let spatial = if channel == 1 { &pads[2..] } else { &pads[1..=rank] };
        let own = if self.pads.is_empty() || self.auto_pad == AutoPad::Valid {
            vec![0; 2 * rank]
        } else {
            self.pads.to_vec()
        };
        if own.len() != 2 * rank || self.kernel.len() != rank {
            return Err("the window is not known");
        }
        let added = spatial.iter().map(|p| p.0).chain(spatial.iter().map(|p| p.1));
        let sum: Option<Vec<i64>> = own.iter().zip(added).map(|(a, b)| a.checked_add(b)).collect();
        let sum = sum.ok_or("the padding is too large")?;
        let reach =
            |i: usize| (self.kernel[i] - 1).saturating_mul(self.dilations.get(i).copied().unwrap_or(1));
        if (0..2 * rank).any(|i| sum[i] > reach(i % rank)) {
            return Err("a window could lie in the padding as a whole");
        }
        Ok(sum)
    }
    fn is_dilated(&self) -> bool {
        self.dilations.iter().any(|d| *d != 1)
    }
    fn is_padded(&self) -> bool {
        self.auto_pad == AutoPad::NotSet && self.pads.iter().any(|p| *p != 0)
    }
}

/// The operator of `n` with `pads` more around what it reads.
fn padded(g: &Graph, n: NodeId, pads: &[(i64, i64)], fill: Fill) -> Result<Op, &'static str> {
    match g.node(n).op() {
        Op::Conv(op) => {
            let shape = g.node(n).input(1).and_then(|w| g.ty(w).as_tensor()?.shape.as_ref());
            let own =
                shape.and_then(|s| s.get(2..)?.iter().map(|d| i64::try_from(d.known()?).ok()).collect());
            let kernel: Vec<i64> =
                if op.kernel_shape.is_empty() { own.unwrap_or_default() } else { op.kernel_shape.clone() };
            let w = Window {
                pads: &op.pads,
                auto_pad: op.auto_pad,
                kernel,
                dilations: &op.dilations,
                layout: op.layout,
            };
            if matches!(fill, Fill::Other | Fill::Lowest) {
                return Err("what is added is not 0");
            }
            let mut new = op.clone();
            (new.pads, new.auto_pad) = (w.sum(pads)?, AutoPad::NotSet);
            Ok(new.into())
        }
        Op::AveragePool(op) => {
            let kernel = op.kernel_shape.clone();
            let w = Window {
                pads: &op.pads,
                auto_pad: op.auto_pad,
                kernel,
                dilations: &op.dilations,
                layout: op.layout,
            };
            if matches!(fill, Fill::Other | Fill::Lowest)
                || op.ceil_mode
                || w.is_dilated()
                || (w.is_padded() && !op.count_include_pad)
            {
                return Err(
                    "what is added is not 0, or its own padding is not counted, or a last partial window is",
                );
            }
            let mut new = op.clone();
            (new.pads, new.auto_pad, new.count_include_pad) = (w.sum(pads)?, AutoPad::NotSet, true);
            Ok(new.into())
        }
        Op::MaxPool(op) => {
            let kernel = op.kernel_shape.clone();
            let w = Window {
                pads: &op.pads,
                auto_pad: op.auto_pad,
                kernel,
                dilations: &op.dilations,
                layout: op.layout,
            };
            let loses = matches!(fill, Fill::Least | Fill::Lowest);
            if !loses || op.ceil_mode || w.is_dilated() || g.node(n).outputs().len() > 1 {
                return Err("what is added could win, or there are indices or a last partial window");
            }
            let mut new = op.clone();
            (new.pads, new.auto_pad) = (w.sum(pads)?, AutoPad::NotSet);
            Ok(new.into())
        }
        _ => Err("something else than a convolution or a pooling uses it"),
    }
}
