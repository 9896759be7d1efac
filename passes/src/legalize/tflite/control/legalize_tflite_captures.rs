//! `legalize-tflite-captures`
//!
//! ```text
//! %w = const f32[2, 2] [..]                     %y = if(%c, %x) captures(1) {
//! %y = if(%c, %x, %w) captures(2) {      ->         (%a) { %w = const f32[2, 2] [..]
//!     (%a, %b) { return mat_mul(%a, %b) } ..               return mat_mul(%a, %w) } ..
//! ```
//! Subgraphs of LiteRT take what they capture as operands, whose elements their operators cannot know beforehand. Constants that a body
//! captures become its own.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId};

/// The pass.
pub struct LegalizeTfliteCaptures;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-captures",
    doc: "Moves constants that bodies capture into the bodies.",
};

impl Pass for LegalizeTfliteCaptures {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        if cx.target.as_ref().is_none_or(|t| t.tflite().is_none()) {
            return Ok(Changed::default());
        }
        let changed = sweep(g, cx, sink);
        // What sank into a body may be captured by bodies inside it.
        if changed.any() {
            for n in g.order_list() {
                for i in 0..g.node(n).bodies().len() {
                    g.rewrite_body(n, i, |body| Ok(self.run(body, cx)?.any()))?;
                }
            }
        }
        Ok(changed)
    }
}

fn sink(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    if !matches!(node.op().name(), "if" | "loop" | "scan") || node.captures() == 0 {
        return Outcome::Skip;
    }
    let captures = node.captures();
    let own = node.inputs().len() - captures;
    let mut outcome = Outcome::Skip;
    for k in (0..captures).rev() {
        let node = g.node(n);
        let from = if planted(INFO.name) { 0 } else { k };
        let Some(data) = node.input(own + from).and_then(|v| g.constant(v)).cloned() else { continue };
        let after = node.captures() - k;
        for i in 0..node.bodies().len() {
            let moved = g.rewrite_body(n, i, |body| {
                let Some(v) = body.inputs().len().checked_sub(after).map(|at| body.inputs()[at]) else {
                    return Ok(false);
                };
                if body.value(v).uses().is_empty() {
                    return Ok(false);
                }
                let own = body.add_const(data.clone());
                body.replace_uses(v, own)?;
                Ok(true)
            });
            if let Err(d) = moved {
                return Outcome::Miss(d.message.into());
            }
        }
        if let Err(d) = g.drop_capture(n, k) {
            return Outcome::Miss(d.message.into());
        }
        outcome = Outcome::Edit;
    }
    outcome
}
