//! `fuse-reductions`
//!
//! ```text
//! %a = mul(%x, %x)
//! %b = reduce_sum(%a, [1])
//! %y = sqrt(%b)             ->  %y = reduce_l2(%x, [1])
//! ```
//! | formula | operator |
//! |---|---|
//! | `reduce_sum` of `x * x` or `x^2` | `reduce_sum_square` |
//! | the root of that | `reduce_l2` |
//! | `reduce_sum` of magnitudes | `reduce_l1` |
//! | `reduce_sum` divided by the number of elements, which is known | `reduce_mean` |
//! | the logarithm of `reduce_sum` | `reduce_log_sum` |
//!
//! - Nothing else uses the values between. The elements are floats. The operator keeps operands and attributes of the reduction.
//!
//! The results may differ in the last bits; a root whose square is beyond the range of numbers may become finite. The logarithm of a sum of
//! exponentials stays as it is: the operator for it does not overflow.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;

use super::polynomial::near;

/// The pass.
pub struct FuseReductions;

const INFO: PassInfo = PassInfo {
    name: "fuse-reductions",
    doc: "Replaces sums of squares, roots of them and sums divided by their length by reductions of that kind.",
};

impl Pass for FuseReductions {
    fn info(&self) -> &'static PassInfo {
        &INFO
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
        "reduce_sum" => elements(g, n),
        "sqrt" => behind(g, n, "reduce_sum_square", "reduce_l2"),
        "log" => behind(g, n, "reduce_sum", "reduce_log_sum"),
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

const SHARED: &str = "something else uses a value between";

/// The sum `n` of squares or magnitudes.
fn elements(g: &Graph, n: NodeId) -> Found {
    let Some(v) = g.node(n).input(0) else { return Ok(None) };
    let Some(p) = g.producer(v) else { return Ok(None) };
    let node = g.node(p);
    let (Some(x), y) = (node.input(0), node.input(1)) else { return Ok(None) };
    let scalar = |v: ValueId| g.constant(v).is_some_and(|t| t.rank() == 0);
    let op = match node.op().name() {
        "mul" if y == Some(x) => "reduce_sum_square",
        "pow" if g.const_f64(y) == Some(2.0) && y.is_some_and(scalar) => "reduce_sum_square",
        "abs" => "reduce_l1",
        _ => return Ok(None),
    };
    let sole = g.value(v).uses().len() == 1;
    if !sole && !planted("fuse-reductions") {
        return Err(SHARED);
    }
    Ok(Some(Reduction { op, x, like: n, also: vec![p] }))
}

/// Function `n` of the reduction `name`.
fn behind(g: &Graph, n: NodeId, name: &str, op: &'static str) -> Found {
    let Some(v) = g.node(n).input(0) else { return Ok(None) };
    let reduction = g.producer(v).filter(|p| g.node(*p).op().name() == name);
    let Some((p, x)) = reduction.and_then(|p| Some((p, g.node(p).input(0)?))) else { return Ok(None) };
    if g.single_user(v).is_none() {
        return Err(SHARED);
    }
    let of_exponentials = g.producer(x).is_some_and(|e| g.node(e).op().name() == "exp");
    if op == "reduce_log_sum" && of_exponentials {
        return Err("the logarithm of a sum of exponentials stays");
    }
    Ok(Some(Reduction { op, x, like: p, also: vec![p] }))
}

/// The sum that `n` divides by its number of elements.
fn mean(g: &Graph, n: NodeId) -> Found {
    let node = g.node(n);
    let (Some(a), Some(b)) = (node.input(0), node.input(1)) else { return Ok(None) };
    let (v, c) = if g.constant(a).is_some() && node.op().name() == "mul" { (b, a) } else { (a, b) };
    let Some(constant) = g.constant(c).filter(|t| t.len() == 1) else { return Ok(None) };
    let reduction = g.producer(v).filter(|p| g.node(*p).op().name() == "reduce_sum");
    let Some((p, x)) = reduction.and_then(|p| Some((p, g.node(p).input(0)?))) else { return Ok(None) };
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
    if !near(whole, 1.0, constant.dtype()) {
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
