//! `legalize-tflite-padding`
//!
//! ```text
//! %y = conv(%x, %w) {pads=[1, 1, 1, 1]}   ->   %p = pad(%x, [0, 0, 1, 1, 0, 0, 1, 1], 0)
//!                                              %y = conv(%p, %w)
//! ```
//! - A convolution or maximum pooling whose border is neither that of `SAME` nor none; `max_pool` gets a border of the lowest number, or of zero
//!   where its data is never negative and each window holds data: LiteRT's delegate for floats takes no other border than zero.
//! - A border that depends on sizes that are not known is computed when the model runs (`SAME_LOWER`); one of partial windows is not.
use super::math::Math;
use super::nodes::{Sliding, concat, dtype, named, pad, shape};
use crate::fault::planted;
use crate::legalize::where_lacking;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use crate::queries::is_never_negative;
use hoist_formats::tflite::bind::spatial::PADDING;
use hoist_formats::tflite::bind::spatial::window::Axis;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::words::AutoPad;

/// The pass.
pub struct LegalizeTflitePadding;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-padding",
    doc: "Adds the borders of convolutions and maximum poolings by operators of their own.",
};

impl Pass for LegalizeTflitePadding {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(g, cx, &["conv", "max_pool"], |g, n, _, reason| {
            if reason == PADDING { padded(g, n) } else { Outcome::Skip }
        }))
    }
}

/// What a border is filled with.
pub(super) fn filling(g: &Graph, s: &Sliding) -> f64 {
    match dtype(g, s.x) {
        _ if s.op.name() != "max_pool" => 0.0,
        Some(DType::I8) => -128.0,
        Some(DType::U8) => 0.0,
        Some(DType::F32)
            if holds_data(s) && (is_never_negative(g, s.x) || planted("legalize-tflite-padding")) =>
        {
            0.0
        }
        _ => f64::NEG_INFINITY,
    }
}

/// Whether each window holds an element of the data, unless there is none.
fn holds_data(s: &Sliding) -> bool {
    let within =
        |axis: &Axis, (low, high): (i64, i64)| axis.dilation == 1 && low < axis.kernel && high < axis.kernel;
    s.windows
        .borders()
        .is_some_and(|b| s.windows.axes.iter().zip(b).all(|(axis, border)| within(axis, border)))
}

fn padded(g: &mut Graph, n: NodeId) -> Outcome {
    let Some(s) = Sliding::of(g, n) else { return Outcome::miss("the sizes of the window are not known") };
    let inputs = g.node(n).inputs().to_vec();
    let (fill, results) = (filling(g, &s), g.node(n).outputs().len());
    let borders = s.windows.borders();
    if borders.is_none() && !is_same(&s) {
        return Outcome::miss("the border depends on a size that is not known");
    }
    Outcome::of(g.rewrite(n, &[], |b| {
        let x = match borders {
            Some(borders) => pad(b, s.x, &s.entries(&borders), fill)?,
            None => pad_same(b, &s, s.x, fill)?,
        };
        let mut inputs = inputs;
        inputs[0] = Some(x);
        b.add_n(s.bare()?, &inputs, results)
    }))
}

/// Whether the border follows from the size of the data.
pub(super) fn is_same(s: &Sliding) -> bool {
    matches!(s.windows.auto_pad, AutoPad::SameLower | AutoPad::SameUpper)
}

/// The border of `SAME_LOWER` or `SAME_UPPER` around `x`, which has the spatial sizes of the data, from those sizes.
pub(super) fn pad_same(b: &mut Builder<'_>, s: &Sliding, x: ValueId, fill: f64) -> Result<ValueId, Diag> {
    let sizes = shape(b, x)?;
    let zero = b.ints(&[0]);
    let (mut begins, mut ends) = (vec![zero; s.rank], vec![zero; s.rank]);
    for (i, axis) in s.windows.axes.iter().enumerate() {
        let (large, small) = halves(b, sizes, s.first + i, axis)?;
        let lower = s.windows.auto_pad == AutoPad::SameLower;
        (begins[s.first + i], ends[s.first + i]) = if lower { (large, small) } else { (small, large) };
    }
    let pads = concat(b, 0, &[begins, ends].concat())?;
    let fill = b.scalar_like(fill, x)?;
    named(b, "pad", &[x, pads, fill])
}

/// `max((ceil(n / stride) - 1) * stride + reach - n, 0)`: the larger half, then the smaller one.
fn halves(b: &mut Builder<'_>, sizes: ValueId, at: usize, axis: &Axis) -> Result<(ValueId, ValueId), Diag> {
    let one = |b: &mut Builder<'_>, v: i64| b.ints(&[v]);
    let at = one(b, at as i64);
    let n = named(b, "gather", &[sizes, at])?;
    let (less, stride) = (one(b, axis.stride - 1), one(b, axis.stride));
    let up = named(b, "add", &[n, less])?;
    let windows = Math { b }.quotient(up, axis.stride)?;
    let travel = named(b, "mul", &[windows, stride])?;
    let rest = one(b, axis.reach() - axis.stride);
    let end = named(b, "add", &[travel, rest])?;
    let total = named(b, "sub", &[end, n])?;
    let zero = one(b, 0);
    let total = named(b, "max", &[total, zero])?;
    let small = Math { b }.quotient(total, 2)?;
    Ok((named(b, "sub", &[total, small])?, small))
}
