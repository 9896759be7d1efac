//! `legalize-layout`
//!
//! ```text
//! %a = conv(%x: f32[N, 3, H, W], %w)             ->  %t = transpose(%x) {perm=[0, 2, 3, 1]}
//! %b = relu(%a)                                      %a = conv(%t, %w) {layout=channels_last}
//! %c = conv(%b, %v)                                  %b = relu(%a)
//!                                                    %c = conv(%b, %v) {layout=channels_last}
//!                                                    %u = transpose(%c) {perm=[0, 3, 1, 2]}
//! ```
//! - Operators that say where their channels are, and `resize` of an image's axes, get the layout of the target where it has no form of
//!   the one they have. Without such an operator nothing is done.
//! - All others are computed in whichever order makes the bytes that `transpose` moves fewest: a minimum cut. An operator whose work on
//!   another order is not exactly the same with other axes, lists or constants stays as it is.
//! - Inputs and outputs of the graph and of bodies stay as they are.
//! - A transpose of which both sides are stored alike vanishes; a value that several nodes need in another order is moved once.
use super::solve::{bring, remaining::remaining};
use crate::pass::{Changed, Ctx, Pass, PassInfo};
use hoist_ir::diag::Diag;
use hoist_ir::graph::Graph;

/// The pass.
pub struct LegalizeLayout;

const INFO: PassInfo = PassInfo {
    name: "legalize-layout",
    doc: "Puts channels where the target wants them, with the fewest bytes moved.",
};

impl Pass for LegalizeLayout {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        let changed = match &cx.target {
            Some(target) => bring(g, target)?,
            None => Changed::default(),
        };
        if cx.asks_why(INFO.name) {
            for r in remaining(g) {
                cx.miss(g, r.node, &r);
            }
        }
        Ok(changed)
    }
}
