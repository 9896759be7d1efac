//! `remove-identity`
//!
//! ```text
//! %a = identity(%x)          %b = exp(%x)
//! %b = exp(%a)         ->
//! ```
//! A node goes when its first result surely is its operand `x`, bit for bit, and nothing uses its other results:
//!
//! - `identity`; `concat`, `sum`, `mean`, `max`, `min` of one operand; `max`, `min`, `and`, `or` of a value with itself.
//! - `dropout` that is not training.
//! - `cast`, `cast_like` to the type the operand has.
//! - `transpose` that moves nothing.
//! - `reshape`, `flatten`, `squeeze`, `unsqueeze`, `expand`, `tile` whose result has the operand's shape, symbol by symbol. What a
//!   file declares about the result does not count, only what the operator computes.
//! - `slice` that keeps the shape, with positive steps. `pad` by constant zeros.
//! - `sub` of 0, `add` of -0 (of any 0 for integers), `mul` and `div` by 1, `pow` of 1, `max` with minus infinity (for integers: the
//!   least), `min` with infinity, `and` with true, `or` and `xor` with false, where broadcasting does not change the shape.
//! - `add` of +0 and `sub` of -0 to floats turn -0 into 0 and do nothing else: they go where the sign of a zero means nothing or nobody
//!   can tell it (`zeros.rs`).
//! - `where` between a value and itself, or with a condition that is constant, where broadcasting does not change the shape.
//! - `clip` without bounds. `relu` of what is never negative. Pools and reductions (sums, means, maxima, products) of one element each.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use crate::queries::{is_all, is_all_bool, is_inference_dropout, is_never_negative, keeps_type};
use crate::zeros::sign_of_zero_is_free;
use hoist_ir::attr::Attr;
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
        "concat" | "sum" | "mean" => holds(node.inputs().len() == 1, "it has several operands"),
        "max" | "min" if node.inputs().len() == 1 => Ok(()),
        "dropout" => holds(is_inference_dropout(g, n), "it drops elements"),
        "cast" | "cast_like" => holds(same_element_type(g, n, x), "it changes the element type"),
        "transpose" => holds(moves_nothing(node.op()), "it moves axes"),
        "reshape" | "flatten" | "squeeze" | "unsqueeze" | "expand" | "tile" => {
            holds(same_type(), "it may change the shape")
        }
        "slice" => holds(same_type() && has_forward_steps(g, n), "it may drop or reverse elements"),
        "pad" => holds(pads_nothing(g, n), "it may add or drop elements"),
        "add" | "sub" | "mul" | "div" | "pow" | "max" | "min" | "and" | "or" | "xor" => {
            return neutral_operand(g, n).map(Some);
        }
        "where" => return selected(g, n).map(Some),
        "clip" => holds(node.inputs()[1..].iter().all(Option::is_none), "it has bounds"),
        "relu" => holds(is_never_negative(g, x), "the operand may be negative"),
        "average_pool"
        | "max_pool"
        | "global_average_pool"
        | "global_max_pool"
        | "reduce_sum"
        | "reduce_mean"
        | "reduce_max"
        | "reduce_min"
        | "reduce_prod" => holds(takes_one(g, n, x), "it may take several elements"),
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

/// Whether every element of the result of pool or reduction `n` is one element of `x`, in place.
fn takes_one(g: &Graph, n: NodeId, x: ValueId) -> bool {
    let op = g.node(n).op();
    let ones = |name: &str| match op.def().attr(name) {
        Some(Attr::Ints(v)) => v.iter().all(|d| *d == 1),
        other => other.is_none(),
    };
    let zeros = |name: &str| match op.def().attr(name) {
        Some(Attr::Ints(v)) => v.iter().all(|d| *d == 0),
        other => other.is_none(),
    };
    let one_each = match op.name() {
        "average_pool" | "max_pool" => ones("kernel_shape") && ones("strides") && zeros("pads"),
        _ => true,
    };
    one_each && keeps_type(g, n, x)
}

/// The operand that all of the result of `where` `n` is.
fn selected(g: &Graph, n: NodeId) -> Result<ValueId, &'static str> {
    let node = g.node(n);
    let (Some(c), Some(a), Some(b)) = (node.input(0), node.input(1), node.input(2)) else {
        return Err("an operand is missing");
    };
    let kept = if a == b || is_all_bool(g, c, true) {
        a
    } else if is_all_bool(g, c, false) {
        b
    } else {
        return Err("the condition is not constant");
    };
    if keeps_type(g, n, kept) { Ok(kept) } else { Err("broadcasting may change the shape") }
}

/// The operand that is left as it is by combining it with the other one.
fn neutral_operand(g: &Graph, n: NodeId) -> Result<ValueId, &'static str> {
    let node = g.node(n);
    let (Some(a), Some(b), 2) = (node.input(0), node.input(1), node.inputs().len()) else {
        return Err("it has not two operands");
    };
    let name = node.op().name();
    let commutes = !matches!(name, "sub" | "div" | "pow");
    let kept = if is_neutral(g, name, b) || (a == b && matches!(name, "max" | "min" | "and" | "or")) {
        a
    } else if commutes && is_neutral(g, name, a) {
        b
    } else {
        let Some(x) = plus_zero(g, name, a, b) else { return Err("no operand is surely neutral") };
        let free = node.outputs().first().is_some_and(|y| sign_of_zero_is_free(g, x, *y));
        if !free && !planted("remove-identity") {
            return Err("the sign of zero may show");
        }
        x
    };
    if keeps_type(g, n, kept) { Ok(kept) } else { Err("broadcasting may change the shape") }
}

/// Whether combining with constant `v` by operator `name` changes nothing at all.
fn is_neutral(g: &Graph, name: &str, v: ValueId) -> bool {
    let Some(dtype) = g.constant(v).map(hoist_ir::tensor::Tensor::dtype) else { return false };
    let least = |low: bool| match dtype.int_range() {
        Some((a, b)) if dtype.bits() <= 32 => (if low { a } else { b }) as f64,
        _ => f64::INFINITY * if low { -1.0 } else { 1.0 },
    };
    match name {
        "add" => is_all(g, v, if dtype.is_float() { -0.0 } else { 0.0 }),
        "sub" => is_all(g, v, 0.0),
        "max" => is_all(g, v, least(true)),
        "min" => is_all(g, v, least(false)),
        "and" => is_all_bool(g, v, true),
        "or" | "xor" => is_all_bool(g, v, false),
        _ => is_all(g, v, 1.0),
    }
}

/// `x` when `a` and `b` are combined to `x + 0.0` or `x - -0.0`.
fn plus_zero(g: &Graph, name: &str, a: ValueId, b: ValueId) -> Option<ValueId> {
    match name {
        "add" if is_all(g, b, 0.0) => Some(a),
        "add" if is_all(g, a, 0.0) => Some(b),
        "sub" if is_all(g, b, -0.0) => Some(a),
        _ => None,
    }
}
