//! `convert-floats`
//!
//! ```text
//! %a: f32 = conv(%x: f32, %w: f32)   ->  %n: f16 = cast(%x)
//! %y: f32 = softmax(%a)                  %a: f16 = conv(%n, %v: f16)
//!                                        %c: f32 = cast(%a)
//!                                        %y: f32 = softmax(%c)
//! ```
//! - Only where 16-bit floats are asked for. Values in `f32` of the main graph change; bodies, `f64` and the interface stay.
//! - A node stays in `f32` when it is asked to, its operator has no form in 16 bits or needs more of them, a constant does not fit, or its
//!   values came near the largest number when the model ran. Angles stay in `f32` up to the integers that they are made
//!   from, arguments of logarithms up to the transform that they are made by.
//! - Borders lie where casts cost least: see [`super::floats::regions`].
//! - Weights are converted while they are written. Every result is rounded to 16 bits.
use super::floats::{reasons, regions, rewrite, slots};
use crate::fingerprint::fingerprint;
use crate::pass::{Changed, Ctx, Pass, PassInfo};
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId};
use std::collections::{HashMap, HashSet};

pub use super::floats::rewrite::narrow_interface;

/// The pass.
pub struct ConvertFloats;

const INFO: PassInfo = PassInfo {
    name: "convert-floats",
    doc: "Computes in 16-bit floats where they are asked for and precise enough.",
};

impl Pass for ConvertFloats {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn enters_bodies(&self) -> bool {
        false
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        let Some(floats) = &cx.floats else { return Ok(Changed::default()) };
        let mut arguments: HashMap<NodeId, &'static str> = HashMap::new();
        reasons::arguments(g, &mut |n, reason| {
            arguments.entry(n).or_insert(reason);
        });
        let mut free = HashMap::new();
        for n in g.order() {
            let slots = match slots::of(g, n, cx, floats.to) {
                Ok(slots) if !slots.any() => continue,
                Ok(slots) => slots,
                Err(reason) => {
                    cx.miss(g, n, reason);
                    continue;
                }
            };
            let argument = arguments.get(&n).map(ToString::to_string);
            match argument.or_else(|| reasons::of(g, n, &slots, floats)) {
                Some(reason) => cx.miss(g, n, reason),
                None => drop(free.insert(n, slots)),
            }
        }
        let chosen = regions::choose(g, &free, floats.to);
        if cx.asks_why(INFO.name) {
            let kept: HashSet<NodeId> = chosen.iter().copied().collect();
            for n in g.order().filter(|n| free.contains_key(n) && !kept.contains(n)) {
                cx.miss(g, n, "casts around it would cost more than it gains");
            }
        }
        if chosen.is_empty() {
            return Ok(Changed::default());
        }
        let (new, changed) = rewrite::rewrite(g, &chosen, &free, floats.to)?;
        // Casts that are as they must be are taken away and put back.
        if changed == 0 || fingerprint(&new) == fingerprint(g) {
            return Ok(Changed::default());
        }
        *g = new;
        Ok(Changed(changed))
    }
}
