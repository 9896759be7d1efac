//! `fuse-activations`
//!
//! ```text
//! %a = div(%x, 1.4142135)
//! %b = erf(%a)
//! %c = add(%b, 1)
//! %d = mul(%x, %c)
//! %y = mul(%d, 0.5)         ->  %y = gelu(%x)
//! ```
//! | formula | operator |
//! |---|---|
//! | `x/2 (1 + erf(x / sqrt 2))` | `gelu` |
//! | `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))` | `gelu` with `approximate=tanh` |
//! | `x sigmoid(a x)`, `x/2 (1 + tanh(a/2 x))`, `x / (1 + exp(-x))` | `swish` |
//! | `(1 + tanh(x/2)) / 2`, `1 / (1 + exp(-x))` | `sigmoid` |
//! | `x tanh(softplus(x))`, `x tanh(log(1 + exp(x)))` | `mish` |
//! | `clip(a x + b, 0, h) / h` | `hard_sigmoid` |
//! | `x` times that, with `a/h` 1/6 and `b/h` 1/2 | `hard_swish` |
//! | `max(x, a x)` for `0 < a <= 1`, `x > 0 ? x : a x`, `relu(x) - a relu(-x)` | `leaky_relu`, `p_relu` |
//! | `x > t ? x : softplus(x)` for `t >= 20` | `softplus` |
//! | `x > 0 ? x : a (exp(x) - 1)` | `elu` |
//! | `x / (1 + |x|)` | `softsign` |
//! | `exp(x - max x) / sum exp(x - max x)` | `softmax` |
//!
//! - Sums, products, factors and powers may be spelled in any way; `activations/formulas.rs` holds the others.
//! - Nothing else uses the values between. Constants are single numbers that do not change the shape, and those of the formula up to
//!   rounding to the element type.
//! - The elements are `f16`, `bf16` or `f32`: runtimes lack most of these operators for `f64`.
//!
//! The results may differ in the last bits: the operator rounds once where the formula rounds at each step. Runtimes compute one operator
//! much faster than five, and TFLite has no error function at all. `log(1 + exp(x))` alone stays: it is infinite from 89 on.
use super::activations::formulas::{self, Fused};
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, Target, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;

/// The pass.
pub struct FuseActivations;

const INFO: PassInfo = PassInfo {
    name: "fuse-activations",
    doc: "Replaces the formulas of gelu, swish, mish, hard-swish, leaky relu and other activations by these operators.",
};

impl Pass for FuseActivations {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, |g, n| fuse(g, cx, n)))
    }
}

/// First operator set of ONNX with `Swish`. ONNX Runtime computes that step by step and the formula in one; the operator of its own domain,
/// which older operator sets leave to write, is as fast as the formula.
const SWISH: i64 = 24;

fn fuse(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let fused = match formulas::find(g, n) {
        Ok(Some(fused)) => fused,
        Ok(None) => return Outcome::Skip,
        Err(reason) => return Outcome::Miss(reason),
    };
    if fused.op == "swish" && cx.target.as_ref().and_then(Target::onnx).is_some_and(|t| t.opset >= SWISH) {
        return Outcome::miss("ONNX's own `Swish` is slower than its formula in runtimes");
    }
    if let Err(reason) = fits(g, n, &fused) {
        return Outcome::miss(reason);
    }
    let Some(mut op) = Op::by_name(fused.op) else { return Outcome::Skip };
    for (name, value) in &fused.attrs {
        if let Err(e) = op.def_mut().set_attr(name, value) {
            return Outcome::Miss(e.message.into());
        }
    }
    let inner: Vec<NodeId> = fused.nodes.iter().copied().filter(|i| *i != n).collect();
    let (x, slope) = (fused.x, fused.slope.clone());
    cx.fuse(g, n, &inner, |b| {
        let slope = slope.map(|t| b.constant(t));
        match slope {
            None => b.add(op, &[Some(x)]),
            slope => b.add(op, &[Some(x), slope]),
        }
    })
}

/// Whether the operator computes a result of the shape that the formula has, in a type that runtimes compute it in.
fn fits(g: &Graph, n: NodeId, fused: &Fused) -> Result<(), &'static str> {
    let types = |v: ValueId| g.ty(v).as_tensor();
    let dtype = types(fused.x).map(|t| t.dtype);
    if !matches!(dtype, Some(DType::F16 | DType::BF16 | DType::F32)) {
        return Err("the elements are not f32, f16 or bf16");
    }
    if g.node(n).outputs().len() != 1 {
        return Err("it has several results");
    }
    // Single numbers broadcast to any shape of their rank.
    let rank = types(fused.x).and_then(hoist_ir::types::TensorType::rank).unwrap_or(0);
    if fused.rank > rank && !planted("fuse-activations") {
        return Err("a constant may change the rank");
    }
    Ok(())
}
