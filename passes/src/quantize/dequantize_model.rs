//! `dequantize-model`
//!
//! ```text
//! %q = quantize_linear(%x, %s, %z)
//! %t = transpose(%q)
//! %d = dequantize_linear(%t, %s, %z)        ->  %d = transpose(%x)
//! %v = dequantize_linear(<integers>, %u)        %v = const
//! %y = conv(%d, %v)                             %y = conv(%d, %v)
//! ```
//! - Operators on quantized tensors become those on floats, between conversions: `q_linear_*`, `q_gemm`, `q_attention`, products of integers that are cast and scaled, those
//!   whose data is rounded while the model runs, and those with packed weights.
//! - Dequantized constants become floats, computed while they are read; so do constants that are cast and scaled, and casts of 16-bit floats.
//! - Data that is quantized, perhaps moved, and dequantized by the same scale stays as it was. Where the integers begin at 0, numbers below it are cut off, as integers stand for
//!   `relu` there; where they end at 6 too, for `relu6`. Other ends of the integers say which numbers were seen, and are dropped.
//! - Integers that the model is given, shows, or computes by other operators stay.
//!
//! Results differ by what rounding to integers lost.
use super::dequantize::twins::Twins;
use super::dequantize::{constants, operators, products};
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::graph::Graph;
use hoist_ir::ops::Op;

/// The pass.
pub struct DequantizeModel;

const INFO: PassInfo = PassInfo {
    name: "dequantize-model",
    doc: "Computes on floats what a quantized model computes on integers.",
};

impl Pass for DequantizeModel {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        let folded = sweep(g, cx, constants::fold);
        let scaled = sweep(g, cx, products::expand);
        let expanded = sweep(g, cx, |g, n| match operators::expand(g, n) {
            None => Outcome::Skip,
            Some(done) => Outcome::of(done),
        });
        let mut twins = Twins::new();
        let replaced = sweep(g, cx, |g, n| match g.node(n).op() {
            Op::DequantizeLinear(_) => match twins.replace(g, n) {
                Ok(()) => Outcome::Edit,
                Err(reason) => Outcome::Miss(reason.into()),
            },
            _ => Outcome::Skip,
        });
        for n in g.order_list() {
            if matches!(g.node(n).op(), Op::QuantizeLinear(_) | Op::DynamicQuantizeLinear(_)) {
                g.erase_dead(n);
            }
        }
        let all = [folded, scaled, expanded, replaced];
        Ok(Changed(all.iter().fold(0, |sum, c| sum.saturating_add(c.0))))
    }
}
