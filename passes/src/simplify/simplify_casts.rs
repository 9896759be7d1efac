//! `simplify-casts`
//!
//! ```text
//! %y = cast_like(%a, %x: f32[N])   ->  %y = cast(%a) {to=f32}
//! ```
//! - The element type of the second operand is known. The result then depends on the first operand alone, and folds where that is
//!   constant.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId};
use hoist_ir::ops::Op;

/// The pass.
pub struct SimplifyCasts;

const INFO: PassInfo = PassInfo {
    name: "simplify-casts",
    doc: "Replaces a cast to the type of another value by a cast to that type.",
};

impl Pass for SimplifyCasts {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["cast_like"])
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, simplify))
    }
}

fn simplify(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (true, Some(x), Some(like)) = (node.op().name() == "cast_like", node.input(0), node.input(1)) else {
        return Outcome::Skip;
    };
    let Some(dtype) = g.ty(like).as_tensor().map(|t| t.dtype) else {
        return Outcome::miss("the type to cast to is not known");
    };
    let to = if planted("simplify-casts") { DType::F64 } else { dtype };
    let Some(mut op) = Op::by_name("cast") else { return Outcome::Skip };
    let kept = ["saturate", "round_mode"].map(|name| (name, node.op().def().attr(name)));
    let kept = kept.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let mut all = kept.chain([("to", Attr::DType(to))]);
    let set = all.try_for_each(|(name, value)| op.def_mut().set_attr(name, &value));
    match set {
        Ok(()) => Outcome::of(g.rewrite(n, &[], |b| b.add(op, &[Some(x)]))),
        Err(e) => Outcome::Miss(e.message.into()),
    }
}
