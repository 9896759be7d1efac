//! `merge-reduce-reshape`
//!
//! ```text
//! %a: f32[N, C] = reduce_mean(%x: f32[N, C, H], [2]) {keepdims=false}
//! %y: f32[N, C, 1] = unsqueeze(%a, [2])   ->  %y = reduce_mean(%x, [2])
//! ```
//! A reduction, `arg_max` or `arg_min`, and a `reshape`, `squeeze`, `unsqueeze` or `flatten` of its result, are one where the result has
//! exactly the shape that the reduction has when it keeps the reduced axes (or drops them, where it kept them).
//! - Nothing else uses the value between.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use crate::queries::{computed_types, surely_same};
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId};
use hoist_ir::types::Type;

/// The pass.
pub struct MergeReduceReshape;

const INFO: PassInfo = PassInfo {
    name: "merge-reduce-reshape",
    doc: "Lets a reduction keep or drop its axes where that is what follows it.",
};

impl Pass for MergeReduceReshape {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, |g, n| merge(g, cx, n)))
    }
}

fn merge(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let node = g.node(n);
    let ("reshape" | "squeeze" | "unsqueeze" | "flatten", Some(v)) = (node.op().name(), node.input(0)) else {
        return Outcome::Skip;
    };
    let Some(p) = g.producer(v) else { return Outcome::Skip };
    let reduction = g.node(p);
    let name = reduction.op().name();
    if !(name.starts_with("reduce_") || name.starts_with("arg_m")) {
        return Outcome::Skip;
    }
    let Some(Attr::Bool(keeps)) = reduction.op().def().attr("keepdims") else { return Outcome::Skip };
    if g.single_user(v).is_none() {
        return Outcome::miss("something else uses the result of the reduction");
    }
    let mut op = reduction.op().clone();
    if let Err(e) = op.def_mut().set_attr("keepdims", &Attr::Bool(!keeps)) {
        return Outcome::Miss(e.message.into());
    }
    let operands = reduction.inputs().to_vec();
    let wanted = computed_types(g, n).and_then(|t| t.into_iter().next());
    cx.fuse(g, n, &[p], |b| {
        let results = b.add(op, &operands)?;
        let found = results.first().map(|v| b.graph().ty(*v).clone());
        match (wanted.as_ref().and_then(Type::as_tensor), found.as_ref().and_then(Type::as_tensor)) {
            (Some(a), Some(b)) if surely_same(a, b) || planted("merge-reduce-reshape") => Ok(results),
            _ => Err(Diag::error("E0403", "the shape is not surely that of the reduction")),
        }
    })
}
