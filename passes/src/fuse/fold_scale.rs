//! `fold-scale`
//!
//! ```text
//! %a = mul(%x, %f: f32[K])
//! %y = mat_mul(%a, %w: f32[K, N])   ->  %y = mat_mul(%x, %w * f)
//! ```
//! - `mul`, or `div` with the constant as the second operand, by an `f32` constant with one number per channel or one number; the numbers and the
//!   inverses of divisors are finite.
//! - All that reads the product has weights for its channels: `mat_mul`, `gemm`, `conv` of one group or of one channel per group, `conv_transpose`.
//!   Their weights are `f32` constants that nothing else uses.
//! - The factor of a root-mean-square normalization, and one number behind another product, stay where runtimes look for them: the latter may be the
//!   last step of an activation.
//!
//! Weights are multiplied while they are read; products round with scaled weights instead of scaled data.
use crate::channel_affine::{Consumer, consumers_of, per_channel, scale_inputs};
use crate::fault::planted;
use crate::norm_formula::{dims, find};
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::dim::Dim;
use hoist_ir::graph::{Graph, NodeId, ValueId};

/// The pass.
pub struct FoldScale;

const INFO: PassInfo = PassInfo {
    name: "fold-scale",
    doc: "Puts factors of channels into the weights of the convolutions and matrix products behind them.",
};

impl Pass for FoldScale {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, fold))
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["mat_mul", "gemm", "conv", "conv_transpose"])
    }
}

fn fold(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let divides = match node.op().name() {
        "mul" => false,
        "div" => true,
        _ => return Outcome::Skip,
    };
    let (Some(a), Some(b)) = (node.input(0), node.input(1)) else { return Outcome::Skip };
    let (x, constant) = if !divides && g.constant(a).is_some() { (b, a) } else { (a, b) };
    if g.constant(constant).is_none() || g.constant(x).is_some() {
        return Outcome::Skip;
    }
    let Some(v) = node.outputs().first().copied() else { return Outcome::Skip };
    let found = consumers_of(g, v).and_then(|c| Ok((factors(g, x, v, constant, divides, &c)?, c)));
    let (factors, consumers) = match found {
        Ok(found) => found,
        Err(reason) => return Outcome::miss(reason),
    };
    if let Some(reason) = recognized(g, x, constant) {
        return Outcome::miss(reason);
    }
    if let Err(d) = scale_inputs(g, &consumers, &factors).and_then(|()| g.replace_uses(v, x)) {
        return Outcome::Miss(d.message.into());
    }
    let origin = g.node(n).origin.clone();
    for c in &consumers {
        g.add_origin(c.node, &origin);
    }
    g.erase_dead(n);
    Outcome::Edit
}

/// Why runtimes may look for the product of `x` and `constant`.
fn recognized(g: &Graph, x: ValueId, constant: ValueId) -> Option<&'static str> {
    if find(g, x).is_some_and(|f| !f.centred) {
        return Some("it is the factor of a normalization");
    }
    let product = g.producer(x).is_some_and(|p| matches!(g.node(p).op().name(), "mul" | "div"));
    let number = g.constant(constant).is_some_and(|t| t.len() == 1);
    (product && number).then_some("it may end the formula of an activation")
}

/// One factor per channel of `x`, which `v` is multiplied by.
fn factors(
    g: &Graph,
    x: ValueId,
    v: ValueId,
    constant: ValueId,
    divides: bool,
    consumers: &[Consumer],
) -> Result<Vec<f32>, &'static str> {
    let c = consumers.first().ok_or("nothing uses the value")?;
    let (shape, scaled) =
        (dims(g, x).ok_or("the rank is not known")?, dims(g, v).ok_or("the rank is not known")?);
    if shape.len() != scaled.len() || shape.get(c.axis) != Some(&Dim::from(c.channels)) {
        return Err("the factor may change the shape");
    }
    let values = per_channel(g, constant, c.channels, c.axis, shape.len());
    let values = values.ok_or("the other operand is not one f32 constant per channel")?;
    let factors: Vec<f32> = values.iter().map(|v| (if divides { 1.0 / v } else { *v }) as f32).collect();
    let finite = factors.iter().all(|f| f.is_finite() && (!divides || *f != 0.0));
    if finite || planted(INFO.name) { Ok(factors) } else { Err("a factor is not finite") }
}
