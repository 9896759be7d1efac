//! `remove-identity`
//!
//! ```text
//! %a = identity(%x)          %b = exp(%x)
//! %b = exp(%a)         ->
//! ```
//! A node goes when its first result surely is its operand `x`, bit for bit, and nothing uses its other results:
//!
//! - `identity`; `concat`, `sum`, `mean`, `max`, `min` of one operand.
//! - `dropout` that is not training.
//! - `cast` to the type the operand has.
//! - `transpose` that moves nothing.
//! - `reshape`, `flatten`, `squeeze`, `unsqueeze`, `expand`, `tile` whose result has the operand's shape, symbol by symbol. What a
//!   file declares about the result does not count, only what the operator computes.
//! - `slice` that keeps the shape, with positive steps. `pad` by constant zeros.
//! - `sub` of 0, `add` of -0 (of any 0 for integers), `mul` and `div` by 1, where broadcasting does not change the shape.
//!   For floats `x + 0` is no identity: it turns -0 into 0.
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use crate::queries::{is_all, is_inference_dropout, keeps_type};
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;

/// The pass.
pub struct RemoveIdentity;

const INFO: PassInfo =
    PassInfo { name: "remove-identity", doc: "Removes nodes whose result is their operand, bit for bit." };

impl Pass for RemoveIdentity {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, remove))
    }
}

fn remove(g: &mut Graph, n: NodeId) -> Outcome {
    let x = match passes_through(g, n) {
        Ok(Some(x)) => x,
        Ok(None) => return Outcome::Skip,
        Err(reason) => return Outcome::miss(reason),
    };
    let results = g.node(n).outputs().to_vec();
    let Some((first, others)) = results.split_first() else { return Outcome::Skip };
    if others.iter().any(|v| !g.value(*v).uses().is_empty()) {
        return Outcome::miss("another result is used");
    }
    if let Err(d) = g.replace_uses(*first, x) {
        return Outcome::Miss(d.message.into());
    }
    if let Some(p) = g.producer(x) {
        let origin = g.node(n).origin.clone();
        g.add_origin(p, &origin);
    }
    g.erase_dead(n);
    Outcome::Edit
}

/// The operand that the first result of `n` equals; `None` when the operator is none of those listed.
fn passes_through(g: &Graph, n: NodeId) -> Result<Option<ValueId>, &'static str> {
    let node = g.node(n);
    let Some(x) = node.input(0) else { return Ok(None) };
    let same_type = || keeps_type(g, n, x);
    let fits = match node.op().name() {
        "identity" => Ok(()),
        "concat" | "sum" | "mean" | "max" | "min" => {
            holds(node.inputs().len() == 1, "it has several operands")
        }
        "dropout" => holds(is_inference_dropout(g, n), "it drops elements"),
        "cast" => holds(same_element_type(g, n, x), "it changes the element type"),
        "transpose" => holds(moves_nothing(node.op()), "it moves axes"),
        "reshape" | "flatten" | "squeeze" | "unsqueeze" | "expand" | "tile" => {
            holds(same_type(), "it may change the shape")
        }
        "slice" => holds(same_type() && has_forward_steps(g, n), "it may drop or reverse elements"),
        "pad" => holds(pads_nothing(g, n), "it may add or drop elements"),
        "add" | "sub" | "mul" | "div" => return neutral_operand(g, n).map(Some),
        _ => return Ok(None),
    };
    fits.map(|()| Some(x))
}

fn holds(condition: bool, reason: &'static str) -> Result<(), &'static str> {
    if condition { Ok(()) } else { Err(reason) }
}

fn same_element_type(g: &Graph, n: NodeId, x: ValueId) -> bool {
    let dtype = |v: ValueId| g.ty(v).as_tensor().map(|t| t.dtype);
    let result = g.node(n).outputs().first().copied();
    dtype(x).is_some() && result.and_then(dtype) == dtype(x)
}

fn moves_nothing(op: &Op) -> bool {
    matches!(op, Op::Transpose(t) if t.perm.iter().enumerate().all(|(i, p)| i as i64 == *p))
}

fn has_forward_steps(g: &Graph, n: NodeId) -> bool {
    let steps = g.node(n).input(4);
    steps.is_none() || g.const_ints(steps).is_some_and(|s| s.iter().all(|s| *s > 0))
}

fn pads_nothing(g: &Graph, n: NodeId) -> bool {
    g.const_ints(g.node(n).input(1)).is_some_and(|p| p.iter().all(|p| *p == 0))
}

/// The operand that adding, subtracting, multiplying by or dividing by the other one leaves as it is.
fn neutral_operand(g: &Graph, n: NodeId) -> Result<ValueId, &'static str> {
    let node = g.node(n);
    let (Some(a), Some(b)) = (node.input(0), node.input(1)) else { return Err("an operand is missing") };
    let is_float = |v: ValueId| g.ty(v).as_tensor().is_some_and(|t| t.dtype.is_float());
    let neutral = |v: ValueId| match node.op().name() {
        "add" => is_all(g, v, if is_float(v) { -0.0 } else { 0.0 }),
        "sub" => is_all(g, v, 0.0),
        _ => is_all(g, v, 1.0),
    };
    let commutes = matches!(node.op().name(), "add" | "mul");
    let kept = if neutral(b) {
        a
    } else if commutes && neutral(a) {
        b
    } else {
        return Err("no operand is surely neutral");
    };
    if keeps_type(g, n, kept) { Ok(kept) } else { Err("broadcasting may change the shape") }
}
