//! `legalize-tflite-activations`
//!
//! ```text
//! %y = hard_sigmoid(%x)   ->   %a = mul(%x, 1.2)
//!                              %b = add(%a, 3)
//!                              %c = clip(%b, 0, 6)
//!                              %y = mul(%c, 0.16666667)
//! ```
//! - `add` takes the bounds 0 and 6 as its activation, in LiteRT's kernels and its delegate; bounds of 0 and 1 only exist as an operator of their own.
//! - Activations of `f32` that are no builtin operators. `shrink` and `thresholded_relu` choose element by element.
//! - `shrink` of integers is computed in `f32`, where that holds them exactly.
use super::formula::{Formula, V, dtype, settle};
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::elementwise::activation::{Elu, Shrink};

/// The pass.
pub struct LegalizeTfliteActivations;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-activations",
    doc: "Composes activations that LiteRT lacks of arithmetic and of those that it has.",
};

const OPS: &[&str] = &[
    "celu",
    "elu",
    "hard_sigmoid",
    "hard_swish",
    "mean",
    "mish",
    "selu",
    "shrink",
    "softplus",
    "softsign",
    "thresholded_relu",
];

impl Pass for LegalizeTfliteActivations {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(settle(g, cx, OPS, compose))
    }
}

fn compose(g: &mut Graph, n: NodeId) -> Outcome {
    let op = g.node(n).op().clone();
    let inputs: Vec<ValueId> = g.node(n).inputs().iter().flatten().copied().collect();
    let Some(x) = inputs.first().copied() else { return Outcome::Skip };
    match (dtype(g, x), &op) {
        (Some(DType::F32), _) => {}
        (Some(d), Op::Shrink(_)) if d.is_int() && d.bits() <= 16 => {}
        _ => return Outcome::miss("the elements are not of type f32"),
    }
    Outcome::of(g.rewrite(n, &[], |b| {
        let given = dtype(b.graph(), x);
        let f = &mut Formula::new(b, DType::F32);
        let y = match &op {
            Op::Celu(op) => scaled_elu(f, x, f64::from(op.alpha), 1.0, f64::from(op.alpha)),
            Op::Elu(op) => scaled_elu(f, x, f64::from(op.alpha), 1.0, 1.0),
            Op::Selu(op) => scaled_elu(f, x, f64::from(op.alpha), f64::from(op.gamma), 1.0),
            Op::HardSigmoid(op) => hard_sigmoid(f, x, op.alpha, op.beta),
            Op::Mean(_) => {
                let y = f.op("sum", &inputs)?;
                f.with("div", y, inputs.len() as f64)
            }
            Op::Mish(_) => mish(f, x),
            Op::Shrink(op) => shrink(f, op, x, given),
            Op::Softplus(_) => softplus(f, x),
            Op::Softsign(_) => {
                let a = f.op("abs", &[x])?;
                let a = f.with("add", a, 1.0)?;
                f.op("div", &[x, a])
            }
            Op::ThresholdedRelu(op) => {
                let alpha = f.num(f64::from(op.alpha))?;
                let (above, zero) = (f.op("greater", &[x, alpha])?, f.num(0.0)?);
                f.op("where", &[above, x, zero])
            }
            _ => Err(Diag::error("E0303", "the operator has no formula here")),
        };
        Ok(vec![y?])
    }))
}

/// `min(max(6 alpha x + 6 beta, 0), 6) / 6`, or without the factor where that is beyond the numbers.
fn hard_sigmoid(f: &mut Formula<'_, '_>, x: ValueId, alpha: f32, beta: f32) -> V {
    let wide = if (alpha * 6.0).is_finite() && (beta * 6.0).is_finite() { 6.0 } else { 1.0 };
    // The slope of 1/6 as a number of 32 bits is the usual one.
    let slope = f64::from(alpha * if wide > 1.0 { 6.0 } else { 1.0 });
    let y = if slope.to_bits() == 1f64.to_bits() { x } else { f.with("mul", x, slope)? };
    let y =
        f.with("add", y, f64::from(beta) * if planted("legalize-tflite-activations") { 1.0 } else { wide })?;
    let (low, high) = (f.num(0.0)?, f.num(wide)?);
    let y = f.op("clip", &[y, low, high])?;
    if wide.to_bits() == 1f64.to_bits() { Ok(y) } else { f.with("mul", y, 1.0 / wide) }
}

/// `gamma * (max(x, 0) + alpha * (e^(min(x, 0) / inner) - 1))`.
fn scaled_elu(f: &mut Formula<'_, '_>, x: ValueId, alpha: f64, gamma: f64, inner: f64) -> V {
    if inner.is_nan() || inner <= 0.0 {
        return Err(Diag::error("E0302", format!("alpha {inner}")));
    }
    let mut below = f.of("min", 0.0, x)?;
    if inner.to_bits() != 1f64.to_bits() {
        below = f.with("div", below, inner)?;
    }
    let below = f.node(Elu { alpha: 1.0 }, &[below])?;
    let below = f.with("mul", below, alpha)?;
    let above = f.op("relu", &[x])?;
    let sum = f.op("add", &[above, below])?;
    if gamma.to_bits() == 1f64.to_bits() { Ok(sum) } else { f.with("mul", sum, gamma) }
}

/// `max(x, 0) + log(1 + e)` with `e = e^-|x|`; the rounding of `1 + e` is made up for.
fn softplus(f: &mut Formula<'_, '_>, x: ValueId) -> V {
    let a = f.op("abs", &[x])?;
    let a = f.op("neg", &[a])?;
    let e = f.op("exp", &[a])?;
    let log = f.log1p(e)?;
    let above = f.op("relu", &[x])?;
    f.op("add", &[above, log])
}

/// `x n / (n + 2)` with `n = w (w + 2)` and `w = e^x`, which is `x tanh(log(1 + e^x))`. From 20 on the quotient is 1.
fn mish(f: &mut Formula<'_, '_>, x: ValueId) -> V {
    let near = f.of("min", 20.0, x)?;
    let w = f.op("exp", &[near])?;
    let more = f.with("add", w, 2.0)?;
    let n = f.op("mul", &[w, more])?;
    let below = f.with("add", n, 2.0)?;
    let quotient = f.op("div", &[n, below])?;
    f.op("mul", &[x, quotient])
}

fn shrink(f: &mut Formula<'_, '_>, op: &Shrink, x: ValueId, given: Option<DType>) -> V {
    let (bias, limit) = (f64::from(op.bias), f64::from(op.lambd));
    let wide = f.cast(x, DType::F32)?;
    let (low, high, zero) = (f.num(-limit)?, f.num(limit)?, f.num(0.0)?);
    let (below, above) = (f.op("less", &[wide, low])?, f.op("greater", &[wide, high])?);
    let (up, down) = (f.with("add", wide, bias)?, f.with("sub", wide, bias)?);
    let rest = f.op("where", &[above, down, zero])?;
    let y = f.op("where", &[below, up, rest])?;
    f.cast(y, given.unwrap_or(DType::F32))
}
