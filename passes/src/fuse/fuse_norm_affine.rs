//! `fuse-norm-affine`
//!
//! ```text
//! %n = layer_normalization(%x, %scale, %bias)
//! %m = mul(%n, %f)
//! %y = add(%m, %s)          ->  %y = layer_normalization(%x, %scale * f, %bias * f + s)
//! ```
//! - Each of `mul`, `div`, `add` and `sub` by a constant with one number per normalized position, or one number; `div` and `sub` only as the second
//!   operand.
//! - `layer_normalization`, `rms_normalization` (factors only), `instance_normalization` and `group_normalization` (one number per channel), with
//!   constant scale and bias. Nothing else uses its result, and none of its other results are used.
//! - `layer_normalization` of all pixels of `f32` data without scale and bias, times one number per channel, becomes `instance_normalization`.
//! - All new numbers are finite.
//!
//! The results may differ in the last bits: scale and bias are computed in `f64` and rounded once.
use crate::fault::planted;
use crate::norm_formula::{dims, per_row};
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use crate::queries::is_all;
use hoist_ir::attr::{Attr, Word};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::Op;
use hoist_ir::ops::norm::group::InstanceNormalization;
use hoist_ir::ops::words::Layout;
use hoist_ir::tensor::Tensor;

/// The pass.
pub struct FuseNormAffine;

const INFO: PassInfo = PassInfo {
    name: "fuse-norm-affine",
    doc: "Puts factors and addends that follow a normalization into its scale and bias.",
};

/// The operators.
const NORMS: &[&str] =
    &["layer_normalization", "rms_normalization", "instance_normalization", "group_normalization"];

impl Pass for FuseNormAffine {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, |g, n| fuse(g, cx, n)))
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(NORMS)
    }
}

/// A normalization as it will be.
struct Norm {
    op: Op,
    x: ValueId,
    scale: Tensor,
    bias: Option<Tensor>,
}

fn fuse(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let node = g.node(n);
    let name = node.op().name();
    if !matches!(name, "mul" | "div" | "add" | "sub") {
        return Outcome::Skip;
    }
    let (Some(a), Some(b)) = (node.input(0), node.input(1)) else { return Outcome::Skip };
    let commutes = matches!(name, "mul" | "add");
    let (y, constant) = if commutes && g.constant(a).is_some() { (b, a) } else { (a, b) };
    let Some(p) = g.producer(y).filter(|p| NORMS.contains(&g.node(*p).op().name())) else {
        return Outcome::Skip;
    };
    if g.constant(constant).is_none() {
        return Outcome::Skip;
    }
    let used = |v: &ValueId| *v != y && !g.value(*v).uses().is_empty();
    if g.node(p).outputs().iter().any(used) || g.node(p).outputs().first() != Some(&y) {
        return Outcome::miss("another result of the normalization is used");
    }
    if g.single_user(y).is_none() && !planted(INFO.name) {
        return Outcome::miss("something else uses the normalization");
    }
    match combined(g, p, name, constant) {
        Ok(norm) => cx.fuse(g, n, &[p], |b| {
            let mut operands = vec![Some(norm.x), Some(b.constant(norm.scale))];
            operands.extend(norm.bias.map(|t| Some(b.constant(t))));
            let mut y = b.add(norm.op, &operands)?;
            y.truncate(1);
            Ok(y)
        }),
        Err(reason) => Outcome::miss(reason),
    }
}

/// Axes along which scale and bias of a normalization of `rank` axes vary.
fn axes(op: &Op, rank: usize) -> Option<Vec<usize>> {
    match op.def().attr("axis") {
        Some(Attr::Int(axis)) => Some((resolve_axis(axis, rank).ok()?..rank).collect()),
        _ if op.def().attr("layout") == Some(Attr::Word(Layout::ChannelsLast.word())) => Some(vec![rank - 1]),
        _ => Some(vec![1]),
    }
}

/// Norm `p` followed by `name` with `constant`.
fn combined(g: &Graph, p: NodeId, name: &str, constant: ValueId) -> Result<Norm, &'static str> {
    let node = g.node(p);
    let (Some(x), Some(scale)) = (node.input(0), node.input(1)) else { return Err("an operand is missing") };
    let rank = dims(g, x).map(Vec::len).filter(|r| *r > 0).ok_or("the rank is not known")?;
    if let Some(norm) = by_channel(g, p, x, name, constant) {
        return Ok(norm);
    }
    let axes = axes(node.op(), rank).ok_or("the axis is out of range")?;
    // Result and constant have the type of the scale, which may be another one than that of `x`.
    let y = node.outputs().first().copied().unwrap_or(x);
    let own = |v: Option<ValueId>, otherwise: f64| per_row(g, y, v, otherwise, &axes);
    let values = own(Some(constant), 0.0).ok_or("the constant is not one number per normalized position")?;
    let scale = operand(g, y, scale, &axes).ok_or("the scale is not constant")?;
    let bias = match node.input(2) {
        Some(b) => Some(operand(g, y, b, &axes).ok_or("the bias is not constant")?),
        None => None,
    };
    let is_rms = node.op().name() == "rms_normalization";
    let negated = || map(&values, &values, |v, _| -v);
    let (scale, bias) = match name {
        "mul" => (map(&scale, &values, |s, v| s * v), bias.map(|b| map(&b, &values, |b, v| b * v))),
        "div" => (map(&scale, &values, |s, v| s / v), bias.map(|b| map(&b, &values, |b, v| b / v))),
        _ if is_rms => return Err("the operator has no bias"),
        "add" => (Some(scale), Some(bias.map_or(Some(values.clone()), |b| map(&b, &values, |b, v| b + v)))),
        _ => (Some(scale), Some(bias.map_or_else(negated, |b| map(&b, &values, |b, v| b - v)))),
    };
    let scale = scale.ok_or("a new number is not finite")?;
    let bias = bias.map(|b| b.ok_or("a new number is not finite")).transpose()?;
    Ok(Norm { op: node.op().clone(), x, scale, bias })
}

/// Scale or bias `v` of a normalization with result `y`, one number per position of `axes`.
fn operand(g: &Graph, y: ValueId, v: ValueId, axes: &[usize]) -> Option<Tensor> {
    // One number per channel comes without the other axes.
    let t = g.constant(v)?;
    let size = dims(g, y)?.get(*axes.first()?)?.known();
    if let ([_], [own]) = (axes, t.shape())
        && size == Some(*own as u64)
    {
        return Some(t.clone());
    }
    per_row(g, y, Some(v), 0.0, axes)
}

/// `f` of each pair of elements, computed in `f64` and rounded once; `None` unless all are finite.
fn map(a: &Tensor, b: &Tensor, f: impl Fn(f64, f64) -> f64) -> Option<Tensor> {
    let (x, y) = (a.to_f64s().ok()?, b.to_f64s().ok()?);
    let values: Vec<f64> = x.iter().zip(&y).map(|(x, y)| f(*x, *y)).collect();
    let t = Tensor::from_vec(a.shape(), values).cast(a.dtype(), false).ok()?;
    let finite = t.to_f64s().is_ok_and(|v| v.iter().all(|v| v.is_finite()));
    (a.shape() == b.shape() && finite).then_some(t)
}

/// `p`, a `layer_normalization` of all pixels without scale and bias, as an `instance_normalization`.
fn by_channel(g: &Graph, p: NodeId, x: ValueId, name: &str, constant: ValueId) -> Option<Norm> {
    let node = g.node(p);
    let Op::LayerNormalization(op) = node.op() else { return None };
    let rank = dims(g, x)?.len();
    let is_f32 = g.ty(x).as_tensor()?.dtype == DType::F32;
    let pixels = rank > 2 && resolve_axis(op.axis, rank).ok()? == 2;
    if !is_f32 || !pixels || name != "mul" || node.input(2).is_some() || !is_all(g, node.input(1)?, 1.0) {
        return None;
    }
    let varies = g.constant(constant)?.len() > 1;
    let scale = per_row(g, x, Some(constant), 0.0, &[1]).filter(|_| varies)?;
    let bias = per_row(g, x, None, 0.0, &[1])?;
    let op = InstanceNormalization { epsilon: op.epsilon, ..InstanceNormalization::default() };
    Some(Norm { op: op.into(), x, scale, bias: Some(bias) })
}
