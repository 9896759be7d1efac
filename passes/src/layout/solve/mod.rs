//! Chooses an order for each value and rewrites the graph.
mod cost;
pub(crate) mod cut;
mod frames;
pub mod interface;
pub mod order;
pub mod remaining;
mod rewrite;
#[cfg(test)]
mod tests;

use crate::pass::{Changed, Target};
use cost::Problem;
use frames::Frames;
use hoist_ir::diag::Diag;
use hoist_ir::graph::Graph;

/// Brings `g` into the layout of `target` with the fewest bytes moved.
///
/// # Errors
/// When a rule made a node that does not fit.
pub fn bring(g: &mut Graph, target: &Target) -> Result<Changed, Diag> {
    let frames = Frames::of(g, target);
    if !frames.any {
        return Ok(Changed::default());
    }
    let problem = Problem::of(g, &frames, frames::wanted(target));
    Ok(Changed(rewrite::rewrite(g, &frames, &problem.solve())?))
}
