//! `legalize-tflite-groups`
//!
//! ```text
//! %y = conv(%x, %w) {group=2}   ->   %a = conv(%x[first half], %w[first half])
//!                                    %b = conv(%x[second half], %w[second half])
//!                                    %y = concat(%a, %b)
//! ```
//! - A convolution over three axes; one over two is computed with its groups by the kernel.
//! - At most 256 groups, sizes of weights known.
use super::nodes::{concat, first, layout, rank, size, span};
use crate::fault::planted;
use crate::legalize::{where_lacking, with_attr};
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_formats::tflite::bind::spatial::GROUPS;
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId};

/// The pass.
pub struct LegalizeTfliteGroups;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-groups",
    doc: "Gives each group of a convolution over three axes as a convolution of its own.",
};

/// Most groups: each becomes four operators.
const MOST: i64 = 256;

impl Pass for LegalizeTfliteGroups {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(
            g,
            cx,
            &["conv"],
            |g, n, _, reason| {
                if reason == GROUPS { split(g, n) } else { Outcome::Skip }
            },
        ))
    }
}

fn split(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (op, bias) = (node.op().clone(), node.input(2));
    let (Some(x), Some(w)) = (node.input(0), node.input(1)) else { return Outcome::Skip };
    let group = if let Some(Attr::Int(v)) = op.def().attr("group") { v } else { 1 };
    let (Some(outs), Some(per), Ok(rank)) = (size(g, w, 0), size(g, w, 1), rank(g, x)) else {
        return Outcome::miss("the sizes of the weights are not known");
    };
    if !(2..=MOST).contains(&group) || outs % group != 0 {
        return Outcome::miss("there are too many groups");
    }
    let (axis, each) = (layout(&op).channel_axis(rank), outs / group);
    Outcome::of(g.rewrite(n, &[], |b| {
        let one = with_attr(&op, "group", &Attr::Int(1))?;
        let mut parts = vec![];
        for k in 0..group {
            let x = span(b, x, axis, k * per, (k + 1) * per)?;
            let w = span(b, w, 0, k * each, (k + 1) * each)?;
            let k = if planted("legalize-tflite-groups") { 0 } else { k };
            let bias = bias.map(|v| span(b, v, 0, k * each, (k + 1) * each)).transpose()?;
            parts.push(first(b.add(one.clone(), &[Some(x), Some(w), bias])?)?);
        }
        Ok(vec![concat(b, axis as i64, &parts)?])
    }))
}
