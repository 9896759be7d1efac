//! `legalize-tflite-layout`
//!
//! ```text
//! %y = conv(%x, %w)   ->   %a = transpose(%x, [0, 2, 3, 1])
//!                          %c = conv(%a, %w) {layout=channels_last}
//!                          %y = transpose(%c, [0, 3, 1, 2])
//! ```
//! - An operator that lacks nothing but channels behind the axes of the image.
use super::nodes::{list, rank, transpose};
use crate::legalize::with_attr;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_formats::tflite::lower::LAYOUT;
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId};
use hoist_ir::ops::words::Layout;

/// The pass.
pub struct LegalizeTfliteLayout;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-layout",
    doc: "Gives each operator on images its channels last, between transposes.",
};

impl Pass for LegalizeTfliteLayout {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        let Some(target) = &cx.target else { return Ok(Changed::default()) };
        Ok(sweep(g, cx, |g, n| match target.lacks(g, n) {
            Some(reason) if reason == LAYOUT => turn(g, n),
            _ => Outcome::Skip,
        }))
    }
}

fn turn(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (op, inputs, results) = (node.op().clone(), node.inputs().to_vec(), node.outputs().len());
    let Some(Ok(rank)) = node.input(0).map(|x| rank(g, x)) else { return Outcome::Skip };
    let (to, back) =
        (Layout::ChannelsLast.from_channels_first(rank), Layout::ChannelsLast.to_channels_first(rank));
    Outcome::of(g.rewrite(n, &[], |b| {
        let mut turned = inputs.clone();
        if let Some(x) = inputs.first().copied().flatten() {
            turned[0] = Some(transpose(b, x, &to)?);
        }
        let op = if op.name() == "resize" {
            let listed = list(&op, "axes");
            let axes = if listed.is_empty() { (0..rank as i64).collect() } else { listed };
            let moved =
                |a: &i64| to.iter().position(|t| *t as i64 == a.rem_euclid(rank as i64)).unwrap_or(0) as i64;
            with_attr(&op, "axes", &Attr::Ints(axes.iter().map(moved).collect()))?
        } else {
            with_attr(&op, "layout", &Attr::Word("channels_last"))?
        };
        let made = b.add_n(op, &turned, results)?;
        made.into_iter().map(|y| transpose(b, y, &back)).collect()
    }))
}
