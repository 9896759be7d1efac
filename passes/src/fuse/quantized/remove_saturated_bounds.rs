//! `remove-saturated-bounds`
//!
//! ```text
//! %a = relu(%x)
//! %y = quantize_linear(%a, %s, 0: u8)   ->  %y = quantize_linear(%x, %s, 0: u8)
//! ```
//! - `relu`, or `clip` by constants; nothing else uses its result.
//! - There is one constant, positive and normal scale, of `f32` as the elements, and integers of 8 or 16 bits.
//! - What lies outside the bounds saturates: the lower bound quantizes to the smallest integer, the upper one to the largest.
//!
//! Exact: quantization keeps the order of numbers, so that what a bound replaces gives the same integer as the bound. NaN passes through both.
use super::quant::parameters;
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId};
use hoist_ir::ops::Op;

/// The pass.
pub struct RemoveSaturatedBounds;

const INFO: PassInfo = PassInfo {
    name: "remove-saturated-bounds",
    doc: "Removes bounds of what is quantized to no wider range.",
};

impl Pass for RemoveSaturatedBounds {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["quantize_linear"])
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, remove))
    }
}

fn remove(g: &mut Graph, n: NodeId) -> Outcome {
    let Op::QuantizeLinear(_) = g.node(n).op() else { return Outcome::Skip };
    let Some(a) = g.node(n).input(0) else { return Outcome::Skip };
    let Some(p) = g.producer(a) else { return Outcome::Skip };
    let node = g.node(p);
    let bound = |slot: usize, without: f64| match node.input(slot) {
        None => Some(without),
        Some(v) => g.const_f64(Some(v)).filter(|b| !b.is_nan()),
    };
    let (low, high) = match node.op() {
        Op::Relu(_) => (Some(0.0), Some(f64::INFINITY)),
        Op::Clip(_) => (bound(1, f64::NEG_INFINITY), bound(2, f64::INFINITY)),
        _ => return Outcome::Skip,
    };
    let (Some(low), Some(high)) = (low, high) else { return Outcome::miss("a bound is not constant") };
    if g.single_user(a).is_none() {
        return Outcome::miss("something else uses the bounded numbers");
    }
    match saturates(g, n, low, high) {
        Ok(()) => {
            let (op, mut operands) = (g.node(n).op().clone(), g.node(n).inputs().to_vec());
            operands[0] = g.node(p).input(0);
            Outcome::of(g.rewrite(n, &[p], |b| b.add(op, &operands)))
        }
        Err(reason) => Outcome::miss(reason),
    }
}

/// Whether what quantization `n` makes of numbers below `low` and above `high` is what it makes of these.
fn saturates(g: &Graph, n: NodeId, low: f64, high: f64) -> Result<(), &'static str> {
    let p = parameters(g, n)?;
    let scale = g.constant(p.scale).filter(|_| p.one).and_then(|t| t.to_f32s().ok());
    let Some(&[scale]) = scale.as_deref() else { return Err("there are several scales") };
    if !scale.is_normal() || scale < 0.0 {
        return Err("the scale is not positive and normal");
    }
    let zero = match p.zero {
        None => 0.0,
        Some(z) => g
            .constant(z)
            .and_then(|t| t.to_f64s().ok()?.first().copied())
            .ok_or("the zero point cannot be read")?,
    };
    let (least, most) =
        p.dtype.int_range().filter(|_| p.dtype.bits() <= 16).ok_or("the integers have more than 16 bits")?;
    // As quantization rounds: the quotient in `f32`, then to the nearest even integer.
    let quantized = |v: f64| f64::from((v as f32 / scale).round_ties_even()) + zero;
    if low > high || quantized(low) > least as f64 && !planted(INFO.name) || quantized(high) < most as f64 {
        return Err("numbers outside the bounds do not saturate");
    }
    Ok(())
}
