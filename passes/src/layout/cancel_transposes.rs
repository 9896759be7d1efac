//! `cancel-transposes`
//!
//! ```text
//! %a = transpose(%x) {perm=[0, 2, 1]}          %c = concat(%x, %y) {axis=2}
//! %b = transpose(%y) {perm=[0, 2, 1]}     ->   %d = softmax(%c) {axis=1} ..
//! %c = concat(%a, %b) {axis=1}                 %e = transpose(%d) {perm=[0, 2, 1]}
//! ```
//! - Each value may be stored as it is or in the order that a transpose near it makes or takes; nodes between work in that order, with other
//!   axes, lists and constants. A minimum cut finds where the fewest transposes are needed, and of as many nodes those that move fewest bytes.
//! - Only what the rules of `docs/layout.md` know exactly is done; operators on images keep their layout, and no operator gets nodes before it
//!   for it. A softmax that would not work along the last axis any more counts as a node.
//! - The graph stays as it is unless it has fewer transposes, or as many that move fewer bytes, and no more nodes.
use super::solve::cancel;
use crate::pass::{Changed, Ctx, Pass, PassInfo};
use hoist_ir::diag::Diag;
use hoist_ir::graph::Graph;

/// The pass.
pub struct CancelTransposes;

const INFO: PassInfo = PassInfo {
    name: "cancel-transposes",
    doc: "Moves transposes to where they cancel each other, or fewer do.",
};

impl Pass for CancelTransposes {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["transpose"])
    }
    fn run(&self, g: &mut Graph, _: &Ctx) -> Result<Changed, Diag> {
        cancel(g)
    }
}
