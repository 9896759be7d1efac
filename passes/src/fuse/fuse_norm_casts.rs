//! `fuse-norm-casts`
//!
//! ```text
//! %a = cast(%x: f16) {to=f32}
//! %n = layer_normalization(%a, %scale: f32, %bias: f32)
//! %y = cast(%n) {to=f16}                                  ->  %y = layer_normalization(%x, %scale: f16, %bias: f16)
//! ```
//! - `layer_normalization` or `rms_normalization` of `f16` data that was computed in `f32`. Scale and bias are constants whose numbers are numbers of
//!   `f16`.
//! - Nothing else uses the result of the normalization, and none of its other results are used.
//!
//! Exact: the operator computes in at least 32 bits and rounds once, whatever the type of its operands.
use crate::fault::planted;
use crate::norm_formula::by;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Def, Graph, NodeId, ValueId};
use hoist_ir::tensor::Tensor;

/// The pass.
pub struct FuseNormCasts;

const INFO: PassInfo =
    PassInfo { name: "fuse-norm-casts", doc: "Lets normalizations take and give 16-bit floats themselves." };

impl Pass for FuseNormCasts {
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

fn dtype(g: &Graph, v: ValueId) -> Option<DType> {
    Some(g.ty(v).as_tensor()?.dtype)
}

fn fuse(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let node = g.node(n);
    let result = node.outputs().first().copied();
    if node.op().name() != "cast" || result.and_then(|v| dtype(g, v)) != Some(DType::F16) {
        return Outcome::Skip;
    }
    let Some(y) = node.input(0) else { return Outcome::Skip };
    let Def::Node { node: p, slot: 0 } = g.value(y).def() else { return Outcome::Skip };
    let norm = g.node(p);
    if !matches!(norm.op().name(), "layer_normalization" | "rms_normalization") {
        return Outcome::Skip;
    }
    let used = |v: &ValueId| *v != y && !g.value(*v).uses().is_empty();
    if norm.outputs().iter().any(used) {
        return Outcome::miss("another result of the normalization is used");
    }
    if g.single_user(y).is_none() {
        return Outcome::miss("something else uses the normalization");
    }
    let data = norm.input(0).and_then(|a| g.node(by(g, a, "cast")?).input(0));
    let Some(x) = data.filter(|x| dtype(g, *x) == Some(DType::F16)) else {
        return Outcome::miss("the data are no f16 numbers");
    };
    let halves = norm.inputs().iter().skip(1).flatten().map(|v| halved(g, *v));
    let Some(constants) = halves.collect::<Option<Vec<Tensor>>>() else {
        return Outcome::miss("scale and bias are no constant f16 numbers");
    };
    let op = norm.op().clone();
    cx.fuse(g, n, &[p], |b| {
        let mut operands = vec![Some(x)];
        operands.extend(constants.into_iter().map(|t| Some(b.constant(t))));
        let mut results = b.add(op, &operands)?;
        results.truncate(1);
        Ok(results)
    })
}

/// Constant `v` in `f16`, when that changes none of its numbers.
fn halved(g: &Graph, v: ValueId) -> Option<Tensor> {
    let t = g.constant(v)?;
    let half = t.cast(DType::F16, false).ok()?;
    let bits =
        |t: &Tensor| -> Option<Vec<u64>> { Some(t.to_f64s().ok()?.iter().map(|v| v.to_bits()).collect()) };
    (planted(INFO.name) || bits(t)? == bits(&half)?).then_some(half)
}
