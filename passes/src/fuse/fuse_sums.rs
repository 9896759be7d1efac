//! `fuse-sums`
//!
//! ```text
//! %a = add(%x, %b)
//! %y = add(%a, %z)                     ->  %y = sum(%x, %b, %z)
//!
//! %a = add(%x, %z)
//! %y = layer_normalization(%a, ..)     ->  %a = sum(%x, %z)
//! ```
//! - Nothing else uses the inner sum, and no convolution computes an operand of it: runtimes put that sum into the convolution. `max` and `min` are
//!   joined in the same way.
//! - The elements of sums are `f32` or `f64`: ONNX Runtime has no `sum` of others.
//! - The second form is for ONNX Runtime only, which puts an `add` and the `layer_normalization` behind it into one operator of its own that takes
//!   several times as long as both. It does not do so with a `sum`.
//!
//! Exact: the operands are added in the same order.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;

/// The pass.
pub struct FuseSums;

const INFO: PassInfo = PassInfo {
    name: "fuse-sums",
    doc: "Replaces sums of sums by one sum of several operands, and likewise `max` and `min`.",
};

/// Operands of one sum, at most.
const MOST: usize = 64;

impl Pass for FuseSums {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, |g, n| fuse(g, cx, n)))
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["add", "max", "min"])
    }
}

fn fuse(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let (joined, inner_ops): (_, &[&str]) = match g.node(n).op().name() {
        "add" | "sum" => ("sum", &["add", "sum"]),
        "max" => ("max", &["max"]),
        "min" => ("min", &["min"]),
        _ => return Outcome::Skip,
    };
    let Some(operands) = g.node(n).inputs().iter().copied().collect::<Option<Vec<ValueId>>>() else {
        return Outcome::Skip;
    };
    let dtype = |v: ValueId| g.ty(v).as_tensor().map(|t| t.dtype);
    if joined == "sum" && !operands.iter().all(|v| matches!(dtype(*v), Some(DType::F32 | DType::F64))) {
        return Outcome::Skip;
    }
    let found = operands.iter().enumerate().find_map(|(i, v)| {
        // Only the first two operands are added to each other first.
        let early = i < 2 || joined != "sum";
        let p = g.producer(*v).filter(|p| early && inner_ops.contains(&g.node(*p).op().name()))?;
        Some((i, *v, p))
    });
    let Some((i, v, p)) = found else { return before_norm(g, cx, n, operands) };
    if g.single_user(v).is_none() && !planted(INFO.name) {
        return Outcome::miss("something else uses the inner result");
    }
    let Some(inner) = g.node(p).inputs().iter().copied().collect::<Option<Vec<ValueId>>>() else {
        return Outcome::Skip;
    };
    if joined == "sum" && inner.iter().any(|v| is_convolved(g, *v)) {
        return Outcome::miss("a convolution computes an operand of the inner sum");
    }
    let others = operands.iter().enumerate().filter(|(k, _)| *k != i).map(|(_, v)| *v);
    let all: Vec<Option<ValueId>> = inner.into_iter().chain(others).map(Some).collect();
    if all.len() > MOST {
        return Outcome::miss("there would be too many operands");
    }
    let Some(op) = Op::by_name(joined) else { return Outcome::Skip };
    cx.fuse(g, n, &[p], |b| b.add(op, &all))
}

fn is_convolved(g: &Graph, v: ValueId) -> bool {
    let conv = |p: NodeId| matches!(g.node(p).op().name(), "conv" | "conv_transpose" | "fused_conv");
    g.producer(v).is_some_and(conv)
}

/// An `add` right before `layer_normalization` as `sum`.
fn before_norm(g: &mut Graph, cx: &Ctx, n: NodeId, operands: Vec<ValueId>) -> Outcome {
    let for_onnx = cx.profile.is_none_or(|p| matches!(p.name, "onnx" | "onnxruntime"));
    if !for_onnx || g.node(n).op().name() != "add" {
        return Outcome::Skip;
    }
    let user = g.node(n).outputs().first().and_then(|v| g.single_user(*v));
    if user.is_none_or(|u| g.node(u).op().name() != "layer_normalization") {
        return Outcome::Skip;
    }
    let Some(op) = Op::by_name("sum") else { return Outcome::Skip };
    let operands: Vec<Option<ValueId>> = operands.into_iter().map(Some).collect();
    cx.fuse(g, n, &[], |b| b.add(op, &operands))
}
