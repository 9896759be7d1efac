//! `fuse-skip-norm`
//!
//! ```text
//! %b = add(%x, %bias)
//! %s = add(%b, %skip)
//! %y = layer_normalization(%s, %g, %h)   ->  %y, .., %s = skip_layer_normalization(%x, %skip, %g, %h, %bias)
//! ```
//! - Likewise `rms_normalization`, as `skip_simplified_layer_normalization`. Over the last axis of two or three, of `f16` or `f32`, with scale and bias
//!   of one axis; none of the other results of the normalization are used. The sum may be used elsewhere.
//! - One term surely has the shape of the sum. The other one has too, or lacks the first axis, or has 1 there.
//! - A constant added to a term before, one number per position of the last axis, goes in too if nothing else uses that sum.
//! - ONNX Runtime computes the first operator several times slower than the nodes it stands for, which is why its profile lacks it, and the second one
//!   slower for rows of more than 32 elements.
//!
//! The constant is added last instead of first.
use crate::fault::planted;
use crate::norm_formula::{by, dims};
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::Op;
use hoist_ir::ops::contrib::skip_norm::{SkipLayerNormalization, SkipSimplifiedLayerNormalization};

/// The pass.
pub struct FuseSkipNorm;

const INFO: PassInfo =
    PassInfo { name: "fuse-skip-norm", doc: "Puts the sum before a normalization into it." };

/// Longest rows that ONNX Runtime normalizes faster together with their sum.
const SHORT: u64 = 32;

impl Pass for FuseSkipNorm {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, |g, n| fuse(g, cx, n)))
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["layer_normalization", "rms_normalization"])
    }
}

/// A normalization with its sum.
struct Plan {
    op: Op,
    /// Input, skip, scale, and bias of the normalization where it has one.
    operands: Vec<Option<ValueId>>,
    /// The constant added to a term.
    bias: Option<(ValueId, NodeId)>,
    add: NodeId,
}

fn fuse(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let (op, fused): (Op, _) = match g.node(n).op() {
        Op::LayerNormalization(o) => {
            (SkipLayerNormalization { epsilon: o.epsilon }.into(), "skip_layer_normalization")
        }
        Op::RmsNormalization(o) => (
            SkipSimplifiedLayerNormalization { epsilon: o.epsilon }.into(),
            "skip_simplified_layer_normalization",
        ),
        _ => return Outcome::Skip,
    };
    let Some(sum) = g.node(n).input(0).filter(|v| cx.allows(fused) && by(g, *v, "add").is_some()) else {
        return Outcome::Skip;
    };
    let plan = match plan(g, cx, n, sum, op) {
        Ok(plan) => plan,
        Err(reason) => return Outcome::miss(reason),
    };
    let Some(y) = g.node(n).outputs().first().copied() else { return Outcome::Skip };
    if g.single_user(sum).is_some() {
        let also: Vec<NodeId> = plan.bias.iter().map(|b| b.1).chain([plan.add]).collect();
        return cx.fuse(g, n, &also, |b| {
            let mut results = build(b, plan, 1)?;
            results.truncate(1);
            Ok(results)
        });
    }
    let (add, mut normalized) = (plan.add, None);
    let also: Vec<NodeId> = plan.bias.iter().map(|b| b.1).chain([n]).collect();
    let outcome = cx.fuse(g, add, &also, |b| {
        let results = build(b, plan, 4)?;
        normalized = results.first().copied();
        Ok(results.into_iter().skip(3).collect())
    });
    if let (Outcome::Edit, Some(new)) = (&outcome, normalized) {
        if let Err(d) = g.replace_uses(y, new) {
            return Outcome::Miss(d.message.into());
        }
        g.erase_dead(n);
    }
    outcome
}

fn build(b: &mut Builder<'_>, plan: Plan, results: usize) -> Result<Vec<ValueId>, Diag> {
    let Plan { op, mut operands, bias, .. } = plan;
    if let Some((bias, _)) = bias {
        if op.name() == "skip_layer_normalization" {
            operands.resize(4, None);
        }
        operands.push(Some(bias));
    }
    b.add_n(op, &operands, results)
}

fn plan(g: &Graph, cx: &Ctx, n: NodeId, sum: ValueId, op: Op) -> Result<Plan, &'static str> {
    let node = g.node(n);
    let shape = dims(g, sum).ok_or("the rank is not known")?;
    let dtype = g.ty(sum).as_tensor().map(|t| t.dtype);
    if !matches!(shape.len(), 2 | 3) || !matches!(dtype, Some(DType::F16 | DType::F32)) {
        return Err("the data are not f16 or f32 with two or three axes");
    }
    let axis = match node.op().def().attr("axis") {
        Some(hoist_ir::attr::Attr::Int(axis)) => resolve_axis(axis, shape.len()).ok(),
        _ => None,
    };
    if axis != Some(shape.len() - 1) {
        return Err("it does not normalize the last axis alone");
    }
    if node.outputs().iter().skip(1).any(|v| !g.value(*v).uses().is_empty()) {
        return Err("another result of the normalization is used");
    }
    let short = shape.last().and_then(Dim::known).is_some_and(|d| d <= SHORT);
    if !short && cx.profile.is_some_and(|p| p.name == "onnxruntime") {
        return Err("the rows are long");
    }
    let row = |v: &ValueId| {
        let d = dims(g, *v);
        d.is_some_and(|d| d.len() == 1 && d[0].surely_equals(&shape[shape.len() - 1]))
            && g.ty(*v).as_tensor().map(|t| t.dtype) == dtype
    };
    let parameters: Vec<ValueId> = node.inputs().iter().skip(1).flatten().copied().collect();
    if !parameters.iter().all(row) {
        return Err("scale or bias are not one row");
    }
    let add = g.producer(sum).ok_or("the sum is not computed")?;
    let (Some(a), Some(b)) = (g.node(add).input(0), g.node(add).input(1)) else {
        return Err("an operand is missing");
    };
    let bias = [a, b].into_iter().find_map(|t| biased(g, t, &row).map(|found| (t, found)));
    let inner = |t: ValueId| bias.filter(|(of, _)| *of == t).map_or(t, |(_, (x, ..))| x);
    let whole = |v: &ValueId| dims(g, *v).is_some_and(|d| d.len() == shape.len() && same(d, shape));
    let (a, b) = (inner(a), inner(b));
    let (x, skip) = if whole(&a) { (a, b) } else { (b, a) };
    let stretches = dims(g, skip).is_some_and(|d| {
        let rest = &shape[shape.len() - 2..];
        (d.len() == 2 && same(d, rest)) || (d.len() == 3 && d[0] == Dim::Known(1) && same(&d[1..], rest))
    });
    if !whole(&x) || !(whole(&skip) || stretches || planted(INFO.name)) {
        return Err("a term may be stretched");
    }
    let operands = [x, skip].into_iter().chain(parameters).map(Some).collect();
    Ok(Plan { op, operands, bias: bias.map(|(_, (_, c, p))| (c, p)), add })
}

fn same(a: &[Dim], b: &[Dim]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.surely_equals(b))
}

/// `v` as the sum of something and a constant row: both, and the node that adds them.
fn biased(g: &Graph, v: ValueId, row: &impl Fn(&ValueId) -> bool) -> Option<(ValueId, ValueId, NodeId)> {
    let n = by(g, v, "add")?;
    g.single_user(v)?;
    let (a, b) = (g.node(n).input(0)?, g.node(n).input(1)?);
    let constant = |c: &ValueId| g.constant(*c).is_some() && row(c);
    if constant(&b) {
        Some((a, b, n))
    } else if constant(&a) {
        Some((b, a, n))
    } else {
        None
    }
}
