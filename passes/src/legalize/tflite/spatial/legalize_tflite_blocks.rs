//! `legalize-tflite-blocks`
//!
//! ```text
//! %y = depth_to_space(%x) {mode=CRD}   ->   %c = gather(%x, channels in the order of DCR)
//!                                           %y = depth_to_space(%c) {mode=DCR}
//! ```
//! - The number of channels is known. `space_to_depth` picks its channels afterwards.
use super::nodes::{call, first, layout, size};
use crate::fault::planted;
use crate::legalize::{where_lacking, with_attr};
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_formats::tflite::bind::spatial::COMPOSED;
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId};
use hoist_ir::ops::index::gather::Gather;

/// The pass.
pub struct LegalizeTfliteBlocks;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-blocks",
    doc: "Orders channels so that the place in a block changes slowest.",
};

impl Pass for LegalizeTfliteBlocks {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(g, cx, &["depth_to_space", "space_to_depth"], |g, n, _, reason| {
            if reason == COMPOSED { reorder(g, n) } else { Outcome::Skip }
        }))
    }
}

fn reorder(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (op, Some(x)) = (node.op().clone(), node.input(0)) else { return Outcome::Skip };
    let spreads = op.name() == "depth_to_space";
    let Some(y) = node.outputs().first().copied() else { return Outcome::Skip };
    let axis = layout(&op).channel_axis(4);
    let deep = if spreads { x } else { y };
    let block = if let Some(Attr::Int(b)) = op.def().attr("blocksize") { b } else { 1 };
    let Some(depth) = size(g, deep, axis).and_then(|c| c.checked_div(block.checked_mul(block)?)) else {
        return Outcome::miss("the number of channels is not known");
    };
    let places = block * block;
    // Channel `p * depth + c` with the place first is channel `c * places + p` with the place last.
    let order: Vec<i64> = if spreads && !planted("legalize-tflite-blocks") {
        (0..places).flat_map(|p| (0..depth).map(move |c| c * places + p)).collect()
    } else {
        (0..depth).flat_map(|c| (0..places).map(move |p| p * depth + c)).collect()
    };
    Outcome::of(g.rewrite(n, &[], |b| {
        let gather = Gather { axis: axis as i64 };
        let order = b.ints(&order);
        let plain = with_attr(&op, "mode", &Attr::Word("DCR"))?;
        if spreads {
            let x = call(b, gather, &[x, order])?;
            return Ok(vec![first(b.add(plain, &[Some(x)])?)?]);
        }
        let y = first(b.add(plain, &[Some(x)])?)?;
        Ok(vec![call(b, gather, &[y, order])?])
    }))
}
