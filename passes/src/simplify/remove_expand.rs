//! `remove-expand`
//!
//! ```text
//! %a = expand(%x: f32[1, 4], [2, 4])
//! %y = mul(%a, %b: f32[2, 4])         ->  %y = mul(%x, %b)
//! ```
//! - The user broadcasts its operands: elementwise operators of two or three operands, `where`, `mat_mul` over its leading axes.
//! - `tile` counts as `expand` where it repeats axes of size 1 only.
//! - Without the expansion the user surely computes a result of the same shape, symbol by symbol. The expansion stays where something
//!   else uses it.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use crate::queries::{computed_types, surely_same, types_with};
use hoist_ir::diag::Diag;
use hoist_ir::dim::Dim;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::types::Type;

/// The pass.
pub struct RemoveExpand;

const INFO: PassInfo = PassInfo {
    name: "remove-expand",
    doc: "Removes expansions whose users broadcast their operands to the same shape anyway.",
};

/// Operators that broadcast their operands.
const BROADCASTING: &[&str] = &[
    "add",
    "sub",
    "mul",
    "div",
    "pow",
    "mod",
    "max",
    "min",
    "sum",
    "mean",
    "and",
    "or",
    "xor",
    "equal",
    "less",
    "less_or_equal",
    "greater",
    "greater_or_equal",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "where",
    "mat_mul",
];

impl Pass for RemoveExpand {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["expand", "tile"])
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, remove))
    }
}

fn remove(g: &mut Graph, n: NodeId) -> Outcome {
    if !BROADCASTING.contains(&g.node(n).op().name()) {
        return Outcome::Skip;
    }
    let (mut edited, mut missed) = (false, Outcome::Skip);
    for slot in 0..g.node(n).inputs().len() {
        let Some((e, x)) = g.node(n).input(slot).and_then(|v| expansion(g, v)) else { continue };
        if !same_without(g, n, slot, x) && !planted("remove-expand") {
            missed = Outcome::miss("without the expansion the result may have another shape");
            continue;
        }
        if let Err(d) = g.set_operand(n, slot, Some(x)) {
            missed = Outcome::Miss(d.message.into());
            continue;
        }
        let origin = g.node(e).origin.clone();
        g.add_origin(n, &origin);
        g.erase_dead(e);
        edited = true;
    }
    if edited { Outcome::Edit } else { missed }
}

/// The node that expands to `v`, and what it expands.
fn expansion(g: &Graph, v: ValueId) -> Option<(NodeId, ValueId)> {
    let n = g.producer(v)?;
    let node = g.node(n);
    let x = node.input(0)?;
    let expands = match node.op().name() {
        "expand" => true,
        "tile" => repeats_ones(g, x, node.input(1)),
        _ => false,
    };
    expands.then_some((n, x))
}

/// Whether all axes of `x` that are repeated more than once have size 1.
fn repeats_ones(g: &Graph, x: ValueId, repeats: Option<ValueId>) -> bool {
    let shape = g.ty(x).as_tensor().and_then(|t| t.shape.as_ref());
    let (Some(shape), Some(repeats)) = (shape, g.const_ints(repeats)) else { return false };
    shape.len() == repeats.len() && shape.iter().zip(repeats).all(|(d, r)| r == 1 || *d == Dim::Known(1))
}

/// Whether `n` computes a result of the same type when operand `slot` is `x`.
fn same_without(g: &Graph, n: NodeId, slot: usize, x: ValueId) -> bool {
    if g.node(n).op().name() == "mat_mul" && !same_matrices(g, g.node(n).input(slot), x) {
        return false;
    }
    let first = |types: Option<Vec<Type>>| types.and_then(|t| t.into_iter().next());
    let (with, without) = (first(computed_types(g, n)), first(types_with(g, n, slot, x)));
    match (with.as_ref().and_then(Type::as_tensor), without.as_ref().and_then(Type::as_tensor)) {
        (Some(a), Some(b)) => surely_same(a, b),
        _ => false,
    }
}

/// Whether both surely are stacks of matrices of the same size.
fn same_matrices(g: &Graph, a: Option<ValueId>, b: ValueId) -> bool {
    let last = |v: ValueId| {
        let shape = g.ty(v).as_tensor()?.shape.as_ref()?;
        shape.len().checked_sub(2).map(|i| shape[i..].to_vec())
    };
    let (Some(a), Some(b)) = (a.and_then(last), last(b)) else { return false };
    a.iter().zip(&b).all(|(x, y)| x.surely_equals(y))
}
