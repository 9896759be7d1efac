//! `fuse-conv-affine`
//!
//! ```text
//! %a = conv(%x, %w, %b)
//! %m = mul(%a, %f: f32[C, 1, 1])
//! %y = add(%m, %s: f32[C, 1, 1])   ->  %y = conv(%x, %w * f, %b * f + s)
//! ```
//! - Each of `mul`, `div`, `add` and `sub` by a constant that varies along the channel axis at most; `sub` and `div` only as the
//!   second operand.
//! - `conv`, `conv_transpose`, `gemm`, or `mat_mul` by weights, which with a shift becomes `gemm` where it has two axes; nothing else uses its result.
//! - Weights, bias and constant are floats, and all new numbers are finite. Weights that something else uses stay as they are: with a factor
//!   they are copied, up to 64 KiB.
//! - `mat_mul` of more axes with the addition of a constant per column behind it takes factors into both, and shifts into the addition.
//!
//! Products round with other weights; the bias is rounded once.
use crate::channel_affine::{Affine, Producer, absorb, absorb_behind, per_channel, producer_of};
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::types::TensorType;

/// The pass.
pub struct FuseConvAffine;

const INFO: PassInfo = PassInfo {
    name: "fuse-conv-affine",
    doc: "Puts factors and shifts per channel into the weights of the convolution or matrix product before them.",
};

impl Pass for FuseConvAffine {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, fuse))
    }
}

fn fuse(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let name = node.op().name();
    if !matches!(name, "mul" | "div" | "add" | "sub") {
        return Outcome::Skip;
    }
    let (Some(a), Some(b)) = (node.input(0), node.input(1)) else { return Outcome::Skip };
    let commutes = matches!(name, "mul" | "add") || planted("fuse-conv-affine");
    let (x, constant) = if commutes && g.constant(a).is_some() { (b, a) } else { (a, b) };
    if g.constant(constant).is_none() {
        return Outcome::Skip;
    }
    if let Some(done) = behind_bias(g, n, x, constant) {
        return done;
    }
    let found = producer_of(g, x).and_then(|p| Ok((affine(g, x, constant, name, &p)?, p)));
    match found {
        Ok((affine, producer)) => Outcome::of(absorb(g, n, &producer, &affine)),
        Err(reason) => Outcome::miss(reason),
    }
}

/// `n`, which multiplies or adds a constant, where `x` is a matrix product of several axes plus a bias: the product takes the factors, and the
/// bias factors and shifts. `None` where `x` is something else.
fn behind_bias(g: &mut Graph, n: NodeId, x: ValueId, constant: ValueId) -> Option<Outcome> {
    let p = g.producer(x).filter(|p| matches!(g.node(*p).op(), Op::Add(_)))?;
    let (a, b) = (g.node(p).input(0)?, g.node(p).input(1)?);
    let (y, bias) = if g.constant(a).is_some() { (b, a) } else { (a, b) };
    let is_product = |m: &NodeId| matches!(g.node(*m).op(), Op::MatMul(_));
    g.producer(y).filter(is_product)?;
    g.constant(bias)?;
    if g.single_user(x).is_none() {
        return Some(Outcome::miss("something else uses the operand"));
    }
    let found = producer_of(g, y).and_then(|producer| {
        let rank = g.ty(x).as_tensor().and_then(TensorType::rank).ok_or("the rank is not known")?;
        let bias = per_channel(g, bias, producer.channels, producer.axis, rank);
        let bias = bias.ok_or("the bias is not one constant per channel")?;
        if producer.biased {
            return Err("the sum becomes a matrix product first");
        }
        Ok((affine(g, x, constant, g.node(n).op().name(), &producer)?, bias, producer))
    });
    Some(match found {
        Ok((affine, bias, producer)) => Outcome::of(absorb_behind(g, n, p, &bias, &producer, &affine)),
        Err(reason) => Outcome::miss(reason),
    })
}

fn affine(
    g: &Graph,
    x: ValueId,
    constant: ValueId,
    name: &str,
    p: &Producer,
) -> Result<Affine, &'static str> {
    let rank = g.ty(x).as_tensor().and_then(TensorType::rank).ok_or("the rank is not known")?;
    let values = per_channel(g, constant, p.channels, p.axis, rank);
    let values = values.ok_or("the other operand is not one constant per channel")?;
    let all = |v: f64| vec![v; p.channels];
    Ok(match name {
        "mul" => Affine { factors: values, shifts: all(0.0) },
        "div" => Affine { factors: values.iter().map(|v| 1.0 / v).collect(), shifts: all(0.0) },
        "add" => Affine { factors: all(1.0), shifts: values },
        _ => Affine { factors: all(1.0), shifts: values.iter().map(|v| -v).collect() },
    })
}
