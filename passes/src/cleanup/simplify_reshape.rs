//! `simplify-reshape`
//!
//! ```text
//! %s = shape(%x: f32[N, 3, 4])
//! ..                                        %t = const i64[2] [-1, 12]
//! %y: f32[N, 12] = reshape(%x, %t)    ->    %y: f32[N, 12] = reshape(%x, %t)
//! ```
//! - The shape operand is computed, and at most one size of the result is not fixed and none is 0. What a file declares about the
//!   result does not count, only what the operator computes.
use super::merge_reshapes::target_shape;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use crate::queries::computed_types;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId};
use hoist_ir::ops::Op;
use hoist_ir::types::Type;

/// The pass.
pub struct SimplifyReshape;

const INFO: PassInfo = PassInfo {
    name: "simplify-reshape",
    doc: "Makes the shape operand of a reshape constant where at most one size of the result varies.",
};

impl Pass for SimplifyReshape {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, simplify))
    }
}

fn simplify(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (true, Some(x), Some(shape)) = (node.op().name() == "reshape", node.input(0), node.input(1)) else {
        return Outcome::Skip;
    };
    if g.constant(shape).is_some() {
        return Outcome::Skip;
    }
    let computed = computed_types(g, n).unwrap_or_default();
    let target = computed.first().and_then(Type::as_tensor).and_then(target_shape);
    let Some((target, op)) = target.zip(Op::by_name("reshape")) else {
        return Outcome::miss("more than one size of the result is not fixed, or one is 0");
    };
    Outcome::of(g.rewrite(n, &[], |b| {
        let shape = b.ints(&target);
        b.add(op, &[Some(x), Some(shape)])
    }))
}
