//! `fuse-means`
//!
//! ```text
//! %a = reduce_sum(%x: f32[N, 4], [1])
//! %y = div(%a, 4.0)                    ->  %y = reduce_mean(%x, [1])
//! ```
//! - A `reduce_sum` divided by the number of elements it adds up, which is known, or times one by it. Also its logarithm, which is
//!   `reduce_log_sum`; that of a sum of exponentials stays, as the operator for it does not overflow.
//! - Nothing else uses the sum. The elements are floats. The operator keeps operands and attributes of the sum.
//!
//! The results may differ in the last bits.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;

use super::polynomial::near;

/// The pass.
pub struct FuseMeans;

const INFO: PassInfo = PassInfo {
    name: "fuse-means",
    doc: "Replaces sums divided by their number of elements by means, and logarithms of sums.",
};

impl Pass for FuseMeans {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["reduce_sum"])
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, |g, n| fuse(g, cx, n)))
    }
}

/// What replaces a node: the operator, its first operand, the node whose attributes and further operands it keeps, nodes replaced.
struct Reduction {
    op: &'static str,
    x: ValueId,
    like: NodeId,
    also: Vec<NodeId>,
}

fn fuse(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let found = match g.node(n).op().name() {
        "log" => logarithm(g, n),
        "mul" | "div" => mean(g, n),
        _ => return Outcome::Skip,
    };
    let reduction = match found {
        Ok(Some(r)) => r,
        Ok(None) => return Outcome::Skip,
        Err(reason) => return Outcome::miss(reason),
    };
    if !g.ty(reduction.x).as_tensor().is_some_and(|t| t.dtype.is_float()) {
        return Outcome::miss("the elements are not floats");
    }
    let like = g.node(reduction.like);
    let mut operands = like.inputs().to_vec();
    if let Some(first) = operands.first_mut() {
        *first = Some(reduction.x);
    }
    let Some(mut op) = Op::by_name(reduction.op) else { return Outcome::Skip };
    for (name, value) in like.op().set_attrs() {
        if let Err(e) = op.def_mut().set_attr(name, &value) {
            return Outcome::Miss(e.message.into());
        }
    }
    cx.fuse(g, n, &reduction.also, |b| b.add(op, &operands))
}

type Found = Result<Option<Reduction>, &'static str>;

const SHARED: &str = "something else uses the sum";

/// The logarithm `n` of a sum.
fn logarithm(g: &Graph, n: NodeId) -> Found {
    let Some(v) = g.node(n).input(0) else { return Ok(None) };
    let Some((p, x)) = sum(g, v) else { return Ok(None) };
    if g.single_user(v).is_none() {
        return Err(SHARED);
    }
    if g.producer(x).is_some_and(|e| g.node(e).op().name() == "exp") {
        return Err("the logarithm of a sum of exponentials stays");
    }
    Ok(Some(Reduction { op: "reduce_log_sum", x, like: p, also: vec![p] }))
}

/// The `reduce_sum` that computes `v`, and what it adds up.
fn sum(g: &Graph, v: ValueId) -> Option<(NodeId, ValueId)> {
    let p = g.producer(v).filter(|p| g.node(*p).op().name() == "reduce_sum")?;
    Some((p, g.node(p).input(0)?))
}

/// The sum that `n` divides by its number of elements.
fn mean(g: &Graph, n: NodeId) -> Found {
    let node = g.node(n);
    let (Some(a), Some(b)) = (node.input(0), node.input(1)) else { return Ok(None) };
    let (v, c) = if g.constant(a).is_some() && node.op().name() == "mul" { (b, a) } else { (a, b) };
    let Some(constant) = g.constant(c).filter(|t| t.len() == 1) else { return Ok(None) };
    let Some((p, x)) = sum(g, v) else { return Ok(None) };
    if g.single_user(v).is_none() {
        return Err(SHARED);
    }
    let rank = g.ty(v).as_tensor().and_then(hoist_ir::types::TensorType::rank);
    if constant.rank() > rank.unwrap_or(0) {
        return Err("the factor may change the rank");
    }
    let Some(count) = reduced_count(g, p, x) else { return Err("the number of elements is not known") };
    let Some(by) = constant.as_f64() else { return Ok(None) };
    let whole = if node.op().name() == "mul" { by * count } else { count / by };
    if !near(whole, 1.0, constant.dtype()) && !planted("fuse-means") {
        return Err("the factor is not one by the number of elements");
    }
    Ok(Some(Reduction { op: "reduce_mean", x, like: p, also: vec![p] }))
}

/// How many elements of `x` each element of the result of `p` sums up, when that is known and not none.
fn reduced_count(g: &Graph, p: NodeId, x: ValueId) -> Option<f64> {
    let shape = g.ty(x).as_tensor()?.shape.as_ref()?;
    let axes = match g.node(p).input(1) {
        Some(axes) => g.const_ints(Some(axes))?,
        None => vec![],
    };
    if axes.is_empty() && g.node(p).op().def().attr("noop_with_empty_axes") != Some(Attr::Bool(false)) {
        return None;
    }
    let rank = shape.len() as i64;
    let of = |axis: &i64| {
        let i = if *axis < 0 { axis + rank } else { *axis };
        shape.get(usize::try_from(i).ok()?)?.known()
    };
    let sizes: Vec<u64> = match axes.as_slice() {
        [] => shape.iter().map(hoist_ir::dim::Dim::known).collect::<Option<_>>()?,
        axes => axes.iter().map(of).collect::<Option<_>>()?,
    };
    Some(sizes.into_iter().map(|s| s as f64).product::<f64>()).filter(|c| *c > 0.0)
}
