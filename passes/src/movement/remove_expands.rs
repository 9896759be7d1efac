//! `remove-expands`
//!
//! ```text
//! %e: f32[N, 4] = expand(%s: f32[N, 1], ..)
//! %y = mul(%x: f32[N, 4], %e)                ->  %y = mul(%x, %s)
//! ```
//! - The node that uses `%e` stretches its operands itself: arithmetic, comparisons, logic, `where`, `mat_mul`.
//! - Without the expand its result surely has the same shape, symbol by symbol: another operand has the sizes.
//!
//! Where all users are such nodes the expand goes; else it stays for the others and nothing is gained, so nothing is done.
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use crate::queries::surely_same;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, Use, ValueId};
use hoist_ir::infer::{InferCx, Known, infer_op};
use hoist_ir::ops::Op;
use hoist_ir::types::Type;

/// The pass.
pub struct RemoveExpands;

const INFO: PassInfo = PassInfo {
    name: "remove-expands",
    doc: "Removes an expand before nodes that stretch their operands themselves.",
};

/// Most users that are looked at.
const MOST_USERS: usize = 16;

/// Operators that stretch their operands as `expand` does.
const STRETCHING: &[&str] = &[
    "add", "sub", "mul", "div", "pow", "mod", "equal", "greater", "greater_or_equal", "less", "less_or_equal", "and", "or",
    "xor", "where", "max", "min", "sum", "mean", "bitwise_and", "bitwise_or", "bitwise_xor", "mat_mul",
];

impl Pass for RemoveExpands {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, remove))
    }
}

fn remove(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (Op::Expand(_), Some(x), Some(e)) = (node.op(), node.input(0), node.outputs().first().copied()) else {
        return Outcome::Skip;
    };
    let uses = g.value(e).uses();
    if uses.is_empty() || uses.len() > MOST_USERS {
        return Outcome::miss("nothing uses it, or too many nodes do");
    }
    let mut users = vec![];
    for u in uses {
        let Use::Node { node, .. } = u else { return Outcome::miss("it is an output") };
        if !STRETCHING.contains(&g.node(*node).op().name()) {
            return Outcome::miss("a node that uses it does not stretch its operands");
        }
        if !keeps_shape(g, *node, e, x) {
            return Outcome::miss("no other operand surely has the sizes");
        }
        users.push(*node);
    }
    for user in users {
        for slot in 0..g.node(user).inputs().len() {
            if g.node(user).input(slot) == Some(e)
                && let Err(d) = g.set_operand(user, slot, Some(x))
            {
                return Outcome::Miss(d.message.into());
            }
        }
    }
    g.erase_dead(n);
    Outcome::Edit
}

/// Whether `n` gives a result of the same type when it reads `x` in place of `e`.
fn keeps_shape(g: &Graph, n: NodeId, e: ValueId, x: ValueId) -> bool {
    let node = g.node(n);
    let result = |new: ValueId| {
        let one = |v: ValueId| {
            let v = if v == e { new } else { v };
            Known { ty: g.ty(v), tensor: g.constant(v), content: g.value(v).content() }
        };
        let known: Vec<Option<Known<'_>>> = node.inputs().iter().map(|v| v.map(one)).collect();
        let cx = InferCx::new(node.op().schema(), &known, node.bodies(), node.captures(), node.outputs().len());
        infer_op(node.op(), &cx).ok().and_then(|t| t.into_iter().next())
    };
    match (result(e), result(x)) {
        (Some(Type::Tensor(a)), Some(Type::Tensor(b))) => surely_same(&a, &b),
        _ => false,
    }
}
