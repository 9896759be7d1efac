//! `fuse-rms-norm`
//!
//! ```text
//! %s = mul(%x, %x)
//! %v = reduce_mean(%s, [-1])
//! %e = add(%v, epsilon)
//! %r = sqrt(%e)
//! %k = reciprocal(%r)
//! %y = mul(%x, %k)             ->  %y = rms_normalization(%x, ones) {axis=-1}
//! ```
//! - Every spelling that `norm_formula.rs` lists; a constant factor inside the formula becomes the scale. What follows it is left to
//!   `fuse-norm-affine`.
//! - Nothing else uses the values between. Elements are floats, epsilon is a number of `f32`. The last axes are normalized, and their sizes are
//!   known.
//!
//! The results may differ in the last bits, and where a square overflows: the operator computes means in at least 32 bits, rounding in its own
//! order.
use crate::fault::planted;
use crate::norm_formula::{Formula, constant, dims, find, inner, per_row};
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId};
use hoist_ir::ops::norm::rms_normalization::RmsNormalization;
use hoist_ir::tensor::Tensor;

/// The pass.
pub struct FuseRmsNorm;

const INFO: PassInfo = PassInfo {
    name: "fuse-rms-norm",
    doc: "Replaces the formula of root-mean-square normalization by this operator.",
};

impl Pass for FuseRmsNorm {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        if !cx.allows("rms_normalization") {
            return Ok(Changed::default());
        }
        Ok(sweep(g, cx, |g, n| fuse(g, cx, n)))
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["sqrt", "pow"])
    }
}

fn fuse(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let node = g.node(n);
    if !matches!(node.op().name(), "div" | "mul") {
        return Outcome::Skip;
    }
    let Some(formula) = node.outputs().first().and_then(|v| find(g, *v)).filter(|f| !f.centred) else {
        return Outcome::Skip;
    };
    let found = inner(g, n, formula.x).and_then(|inner| Ok((inner, scale(g, &formula)?)));
    let (inner, scale) = match found {
        Ok(found) => found,
        Err(reason) => return Outcome::miss(reason),
    };
    let axis = -(formula.axes.len() as i64);
    let op = RmsNormalization { axis, epsilon: formula.epsilon, ..RmsNormalization::default() };
    cx.fuse(g, n, &inner, |b| {
        let scale = constant(b, formula.gamma, scale);
        b.add(op, &[Some(formula.x), Some(scale)])
    })
}

/// The scale of the operator that stands for `formula`.
fn scale(g: &Graph, formula: &Formula) -> Result<Tensor, &'static str> {
    let x = g.ty(formula.x).as_tensor().ok_or("the type is not known")?;
    if !x.dtype.is_float() {
        return Err("the elements are no floats");
    }
    let rank = dims(g, formula.x).map_or(0, Vec::len);
    let last = formula.axes.iter().copied().eq(rank - formula.axes.len()..rank);
    if !last && !planted(INFO.name) {
        return Err("the normalized axes are not the last ones");
    }
    let scale = per_row(g, formula.x, formula.gamma, 1.0, &formula.axes);
    scale.ok_or("a size is not known, or the factor is not one number per normalized position")
}
