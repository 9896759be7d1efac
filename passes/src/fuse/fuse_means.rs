//! `fuse-means`
//!
//! ```text
//! %a = reduce_sum(%x: f32[N, 4], [1])
//! %y = div(%a, 4.0)                    ->  %y = reduce_mean(%x, [1])
//! ```
//! - A `reduce_sum` divided by the number of elements it adds up, which is known, or times one by it.
//! - Nothing else uses the sum. The elements are floats. The operator keeps operands and attributes of the sum.
//!
//! The results may differ in the last bits.
use super::activations::polynomial::near;
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;

/// The pass.
pub struct FuseMeans;

const INFO: PassInfo =
    PassInfo { name: "fuse-means", doc: "Replaces sums divided by their number of elements by means." };

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

fn fuse(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let (sum, x) = match mean(g, n) {
        Ok(Some(found)) => found,
        Ok(None) => return Outcome::Skip,
        Err(reason) => return Outcome::miss(reason),
    };
    let operands = g.node(sum).inputs().to_vec();
    if !g.ty(x).as_tensor().is_some_and(|t| t.dtype.is_float()) {
        return Outcome::miss("the elements are not floats");
    }
    let Some(mut op) = Op::by_name("reduce_mean") else { return Outcome::Skip };
    for (name, value) in g.node(sum).op().set_attrs() {
        if let Err(e) = op.def_mut().set_attr(name, &value) {
            return Outcome::Miss(e.message.into());
        }
    }
    cx.fuse(g, n, &[sum], |b| b.add(op, &operands))
}

/// The sum that `n` divides by its number of elements, and what it adds up; `None` when `n` is about something else.
fn mean(g: &Graph, n: NodeId) -> Result<Option<(NodeId, ValueId)>, &'static str> {
    let node = g.node(n);
    let ("mul" | "div", Some(a), Some(b)) = (node.op().name(), node.input(0), node.input(1)) else {
        return Ok(None);
    };
    let (v, c) = if g.constant(a).is_some() && node.op().name() == "mul" { (b, a) } else { (a, b) };
    let Some(constant) = g.constant(c).filter(|t| t.len() == 1) else { return Ok(None) };
    let sum = g.producer(v).filter(|p| g.node(*p).op().name() == "reduce_sum");
    let Some((p, x)) = sum.and_then(|p| Some((p, g.node(p).input(0)?))) else { return Ok(None) };
    if g.single_user(v).is_none() {
        return Err("something else uses the sum");
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
    Ok(Some((p, x)))
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
