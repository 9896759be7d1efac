//! `fuse-layer-norm`
//!
//! ```text
//! %m = reduce_mean(%x, [-1])
//! %c = sub(%x, %m)
//! %s = pow(%c, 2)
//! %v = reduce_mean(%s, [-1])
//! %e = add(%v, epsilon)
//! %r = sqrt(%e)
//! %y = div(%c, %r)             ->  %y = layer_normalization(%x, ones) {axis=-1}
//! ```
//! - Every spelling that `norm_formula.rs` lists; a constant factor or addend inside the formula becomes scale or bias. What follows it is left to
//!   `fuse-norm-affine`.
//! - Nothing else uses the values between. Elements are floats, epsilon is a number of `f32`, and the sizes of normalized axes are known.
//! - All axes from the third on of `f32` data with at least four axes, with factors per channel or none: `instance_normalization`.
//! - The difference from the mean may be widened before it is squared and divided, if the result is rounded to the type of `%x` again.
//! - Other axes than the last ones are moved to the end and back.
//!
//! The results may differ in the last bits, and where a square overflows: the operator computes statistics in at least 32 bits, rounding in its
//! own order.
use crate::fault::planted;
use crate::norm_formula::{Formula, constant, dims, find, inner, per_row};
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::movement::transpose::Transpose;
use hoist_ir::ops::norm::group::InstanceNormalization;
use hoist_ir::ops::norm::layer_normalization::LayerNormalization;
use hoist_ir::tensor::Tensor;

/// The pass.
pub struct FuseLayerNorm;

const INFO: PassInfo = PassInfo {
    name: "fuse-layer-norm",
    doc: "Replaces the formulas of layer and instance normalization by these operators.",
};

impl Pass for FuseLayerNorm {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, |g, n| fuse(g, cx, n)))
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["sqrt", "pow"])
    }
}

/// The operator that stands for a formula.
struct Plan {
    formula: Formula,
    dtype: DType,
    rank: usize,
    /// Whether it is `instance_normalization`.
    by_channel: bool,
    scale: Tensor,
    bias: Option<Tensor>,
}

fn fuse(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let node = g.node(n);
    if !matches!(node.op().name(), "div" | "mul" | "add" | "sub") {
        return Outcome::Skip;
    }
    let Some(formula) = node.outputs().first().and_then(|v| find(g, *v)).filter(|f| f.centred) else {
        return Outcome::Skip;
    };
    // What is computed with more digits than the data have must be rounded to their type.
    let Some(n) = rounded(g, n, formula.x) else {
        return Outcome::miss("the result has more digits than the data");
    };
    let inner = match inner(g, n, formula.x) {
        Ok(inner) => inner,
        Err(_) if planted(INFO.name) => vec![],
        Err(reason) => return Outcome::miss(reason),
    };
    match plan(g, formula) {
        Ok(plan) => cx.fuse(g, n, &inner, |b| build(b, plan)),
        Err(reason) => Outcome::miss(reason),
    }
}

/// The last node of the formula that ends at `n`: a cast to the type of `x` behind it belongs to it where it gives another type.
fn rounded(g: &Graph, n: NodeId, x: ValueId) -> Option<NodeId> {
    let dtype = |v: ValueId| g.ty(v).as_tensor().map(|t| t.dtype);
    let result = |n: NodeId| g.node(n).outputs().first().copied();
    let y = result(n)?;
    if dtype(y) == dtype(x) {
        return Some(n);
    }
    let user = g.single_user(y).filter(|u| g.node(*u).op().name() == "cast")?;
    (dtype(result(user)?) == dtype(x)).then_some(user)
}

fn plan(g: &Graph, formula: Formula) -> Result<Plan, &'static str> {
    let x = g.ty(formula.x).as_tensor().ok_or("the type is not known")?;
    if !x.dtype.is_float() {
        return Err("the elements are no floats");
    }
    let shape = dims(g, formula.x).ok_or("the rank is not known")?;
    let rank = shape.len();
    // What the constants have one number for each of.
    let spatial = x.dtype == DType::F32 && rank > 2 && formula.axes.iter().copied().eq(2..rank);
    let channels = spatial.then(|| constants(g, &formula, &[1])).flatten();
    let rows = constants(g, &formula, &formula.axes);
    let (by_channel, (scale, bias)) = match (channels, rows) {
        (Some(c), _) if rank > 3 => (true, c),
        (_, Some(r)) => (false, r),
        (Some(c), None) => (true, c),
        (None, None) => {
            return Err(
                "a size is not known, or the factor or addend is not one number per normalized position",
            );
        }
    };
    Ok(Plan { dtype: x.dtype, rank, by_channel, scale, bias, formula })
}

/// Scale and bias of `formula`, one number per position of `axes` each.
fn constants(g: &Graph, formula: &Formula, axes: &[usize]) -> Option<(Tensor, Option<Tensor>)> {
    let scale = per_row(g, formula.x, formula.gamma, 1.0, axes)?;
    let bias = match formula.beta {
        Some(_) => Some(per_row(g, formula.x, formula.beta, 0.0, axes)?),
        None => None,
    };
    Some((scale, bias))
}

fn build(b: &mut Builder<'_>, plan: Plan) -> Result<Vec<ValueId>, Diag> {
    let Plan { formula, dtype, rank, by_channel, scale, bias } = plan;
    let Formula { x, axes, epsilon, gamma, beta, .. } = formula;
    if by_channel {
        let bias = match bias {
            Some(bias) => bias,
            None => zeros(dtype, scale.shape())?,
        };
        let (scale, bias) = (constant(b, gamma, scale), constant(b, beta, bias));
        let op = InstanceNormalization { epsilon, ..InstanceNormalization::default() };
        return b.add(op, &[Some(x), Some(scale), Some(bias)]);
    }
    let kept: Vec<usize> = (0..rank).filter(|i| !axes.contains(i)).collect();
    let perm: Vec<usize> = kept.iter().chain(&axes).copied().collect();
    let moved = !perm.is_sorted();
    let x = if moved { transpose(b, x, &perm)? } else { x };
    let mut operands = vec![Some(x), Some(constant(b, gamma, scale))];
    operands.extend(bias.map(|t| Some(constant(b, beta, t))));
    let axis = -(axes.len() as i64);
    let op = LayerNormalization { axis, epsilon, ..LayerNormalization::default() };
    let mut y = b.add(op, &operands)?;
    if moved && let Some(first) = y.first_mut() {
        let mut back = vec![0; rank];
        perm.iter().enumerate().for_each(|(i, p)| back[*p] = i);
        *first = transpose(b, *first, &back)?;
    }
    y.truncate(1);
    Ok(y)
}

fn zeros(dtype: DType, shape: &[usize]) -> Result<Tensor, Diag> {
    let zero = Tensor::scalar(0f32).cast(dtype, false).and_then(|z| Tensor::splat(&z, shape));
    zero.map_err(|e| Diag::error("E0403", e.to_string()))
}

fn transpose(b: &mut Builder<'_>, x: ValueId, perm: &[usize]) -> Result<ValueId, Diag> {
    b.transpose(Transpose { perm: perm.iter().map(|p| *p as i64).collect() }, x)
}
