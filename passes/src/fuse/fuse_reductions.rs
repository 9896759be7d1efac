//! `fuse-reductions`
//!
//! ```text
//! %a = mul(%x, %x)
//! %b = reduce_sum(%a, [-1])
//! %y = sqrt(%b)              ->  %y = reduce_l2(%x, [-1])
//! ```
//! | formula | operator |
//! |---|---|
//! | sum of `x * x` or `pow(x, 2)` | `reduce_sum_square` |
//! | root of a sum of squares | `reduce_l2` |
//! | sum of `abs(x)` | `reduce_l1` |
//!
//! - Nothing else uses the values between; the elements are `f32` or `f64`.
//!
//! In no level: ONNX Runtime computes these reductions up to three times slower than the product and the sum where they are over the last axes.
//! The results may differ in the last bits, and where a sum of squares overflows in between.
use crate::fault::planted;
use crate::norm_formula::{by, squared};
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;

/// The pass.
pub struct FuseReductions;

const INFO: PassInfo = PassInfo {
    name: "fuse-reductions",
    doc: "Replaces sums of squares, their roots and sums of magnitudes by reductions that compute them.",
};

impl Pass for FuseReductions {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, |g, n| fuse(g, cx, n)))
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["reduce_sum", "reduce_sum_square"])
    }
}

/// A reduction as it will be: its name, its data, the old reduction and the node before that.
struct Found {
    name: &'static str,
    data: ValueId,
    reduction: NodeId,
    inner: Vec<NodeId>,
}

fn fuse(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let found = match g.node(n).op().name() {
        "reduce_sum" => magnitudes(g, n).or_else(|| squares(g, n)),
        "sqrt" => root(g, n),
        _ => return Outcome::Skip,
    };
    let Some(found) = found else { return Outcome::Skip };
    if !g.ty(found.data).as_tensor().is_some_and(|t| matches!(t.dtype, DType::F32 | DType::F64)) {
        return Outcome::miss("the elements are neither f32 nor f64");
    }
    let used_once = |m: &NodeId| {
        let result = g.node(*m).outputs().first();
        let users = result.map_or(&[][..], |v| g.value(*v).uses());
        // Both operands of a square are one value.
        !users.is_empty() && result.is_some_and(|v| g.single_user(*v).is_some())
    };
    if !found.inner.iter().all(used_once) && !planted(INFO.name) {
        return Outcome::miss("something else uses a value between");
    }
    let old = g.node(found.reduction);
    let (axes, attributes) = (old.input(1), ["keepdims", "noop_with_empty_axes"]);
    let Some(mut op) = Op::by_name(found.name) else { return Outcome::Skip };
    for name in attributes {
        let set = old.op().def().attr(name).map(|value| op.def_mut().set_attr(name, &value));
        if let Some(Err(e)) = set {
            return Outcome::Miss(e.message.into());
        }
    }
    cx.fuse(g, n, &found.inner, |b| {
        let mut operands = vec![Some(found.data)];
        operands.extend(axes.map(Some));
        b.add(op, &operands)
    })
}

/// The operand of reduction `n` and the node that computes it.
fn data(g: &Graph, n: NodeId) -> Option<(ValueId, NodeId)> {
    let v = g.node(n).input(0)?;
    Some((v, g.producer(v)?))
}

fn magnitudes(g: &Graph, n: NodeId) -> Option<Found> {
    let (v, p) = data(g, n)?;
    by(g, v, "abs")?;
    Some(Found { name: "reduce_l1", data: g.node(p).input(0)?, reduction: n, inner: vec![p] })
}

fn squares(g: &Graph, n: NodeId) -> Option<Found> {
    let (v, p) = data(g, n)?;
    Some(Found { name: "reduce_sum_square", data: squared(g, v)?, reduction: n, inner: vec![p] })
}

fn root(g: &Graph, n: NodeId) -> Option<Found> {
    let (sum, p) = data(g, n)?;
    by(g, sum, "reduce_sum_square")?;
    Some(Found { name: "reduce_l2", data: g.node(p).input(0)?, reduction: p, inner: vec![p] })
}
