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

/// Most improvements one after another.
const ROUNDS: usize = 8;

/// Moves each `transpose` to where fewest are needed, without adding nodes.
///
/// # Errors
/// When the graph that a rule made does not hold together.
pub fn cancel(g: &mut Graph) -> Result<Changed, Diag> {
    let mut changed = Changed::default();
    for _ in 0..ROUNDS {
        let frames = Frames::of_transposes(g);
        let problem = Problem::of_nodes(g, &frames);
        let labels = problem.solve();
        if !frames.any || !problem.pays(g, &labels) {
            break;
        }
        let mut trial = g.clone();
        // Where types that a file declares and rules contradict, all stays as it is.
        let Ok(edits) = rewrite::rewrite(&mut trial, &frames, &labels) else { break };
        // What was found to pay may come out as it was, where transposes that the frames add merge with those that are there.
        if trial.node_count() > g.node_count() || moved(&trial) >= moved(g) {
            break;
        }
        *g = trial;
        changed.0 = changed.0.saturating_add(edits);
    }
    Ok(changed)
}

/// Transposes in `g`, and the bytes that they move; unknown sizes count nothing.
fn moved(g: &Graph) -> (usize, u64) {
    let transposes = g.order().filter(|n| g.node(*n).op().name() == "transpose");
    transposes.fold((0, 0), |(count, bytes), n| {
        let own = g.node(n).outputs().first().and_then(|y| crate::queries::fixed_bytes(g.ty(*y)));
        (count + 1, bytes.saturating_add(own.unwrap_or(0) as u64))
    })
}
