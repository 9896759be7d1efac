//! `fuse-scales`
//!
//! ```text
//! %a = mat_mul(%x, %w)
//! %b = add(%a, %c)                               %a = mat_mul(%x, %w * 0.125)
//! %r = reshape(%b, ..)                           %b = add(%a, %c * 0.125)
//! %t = transpose(%r)                             %r = reshape(%b, ..)
//! %y = mul(%t, 0.125)                      ->    %y = transpose(%r)
//! ```
//! - The factor is one constant number, finite and not 0, or its inverse as a divisor, and does not add axes.
//! - Weights are an `f32` constant that nothing else uses; what is added is an `f32` constant.
//! - Nothing else uses the values between. Between are reshapes, transposes, squeezes and unsqueezes only.
//!
//! Weights are scaled while they are read; products round with scaled weights instead of being scaled after they are rounded.
use super::shapes::made_by;
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::tensor::Tensor;

/// The pass.
pub struct FuseScales;

const INFO: PassInfo = PassInfo {
    name: "fuse-scales",
    doc: "Puts a factor of all results of a matrix product into its weights.",
};

/// Nodes between the factor and the product.
const STEPS: usize = 6;

impl Pass for FuseScales {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, fold))
    }
}

/// What node `n` scales, and by which factor.
pub(crate) fn scaled(g: &Graph, n: NodeId) -> Option<(ValueId, f64)> {
    let node = g.node(n);
    let (a, b) = (node.input(0)?, node.input(1)?);
    let rank = |v: ValueId| g.ty(v).as_tensor().and_then(|t| t.rank());
    let one = |x: ValueId, c: ValueId| {
        let factor = g.const_f64(Some(c))?;
        let fits = g.ty(c).as_tensor()?.dtype.is_float() && (rank(c) == Some(0) || rank(c)? <= rank(x)?);
        fits.then_some((x, factor))
    };
    let (x, factor) = match node.op() {
        Op::Mul(_) => one(a, b).or_else(|| one(b, a))?,
        Op::Div(_) => one(a, b).map(|(x, c)| (x, 1.0 / c))?,
        _ => return None,
    };
    (factor.is_finite() && factor != 0.0).then_some((x, factor))
}

/// The nodes from the product on to the one that computes `y`, and the place of the operand that each gets from the one before.
fn chain(g: &Graph, y: ValueId) -> Result<Vec<(NodeId, usize)>, &'static str> {
    let mut out = vec![];
    let mut v = y;
    while out.len() < STEPS {
        if g.single_user(v).is_none() && !planted(INFO.name) {
            return Err("something else uses a value between");
        }
        let (n, op) = made_by(g, v).ok_or("what is scaled is no matrix product")?;
        let node = g.node(n);
        let slot = match op {
            Op::MatMul(_) | Op::Gemm(_) => {
                out.push((n, 0));
                out.reverse();
                return Ok(out);
            }
            Op::Add(_) => usize::from(node.input(0).is_some_and(|v| g.constant(v).is_some())),
            Op::Reshape(_) | Op::Transpose(_) | Op::Squeeze(_) | Op::Unsqueeze(_) => 0,
            _ => return Err("what is scaled is no matrix product"),
        };
        if let Op::Add(_) = op {
            let other = node.input(1 - slot).and_then(|c| g.constant(c));
            if other.is_none_or(|t| t.dtype() != DType::F32) {
                return Err("what is added is no constant");
            }
        }
        out.push((n, slot));
        v = node.input(slot).ok_or("an operand is missing")?;
    }
    Err("the product is too far")
}

/// `t` times `factor`, lazily.
fn times(t: &Tensor, factor: f64) -> Result<Tensor, Diag> {
    let failed = |e: hoist_ir::tensor::TensorError| Diag::error("E0403", e.to_string());
    let Some(last) = t.rank().checked_sub(1) else {
        let one = t.reshape(&[1]).map_err(failed)?;
        return times(&one, factor)?.reshape(&[]).map_err(failed);
    };
    t.scale_channels(vec![factor as f32; t.shape()[last]], last).map_err(failed)
}

fn fold(g: &mut Graph, n: NodeId) -> Outcome {
    let Some((y, factor)) = scaled(g, n) else { return Outcome::Skip };
    let factor32 = factor as f32;
    if !factor32.is_normal() {
        return Outcome::miss("the factor is 0 or not finite");
    }
    let chain = match chain(g, y) {
        Ok(chain) => chain,
        Err(reason) => return Outcome::miss(reason),
    };
    let Some((product, _)) = chain.first().copied() else { return Outcome::Skip };
    let weights = g.node(product).input(1);
    let Some(w) = weights.and_then(|w| g.constant(w)).filter(|t| t.dtype() == DType::F32).cloned() else {
        return Outcome::miss("the weights are no `f32` constant");
    };
    if weights.is_none_or(|w| g.single_user(w).is_none()) {
        return Outcome::miss("something else uses the weights");
    }
    let bias = g.node(product).input(2);
    if bias.is_some_and(|c| g.constant(c).is_none_or(|t| t.dtype() != DType::F32)) {
        return Outcome::miss("what is added is no constant");
    }
    let inner: Vec<NodeId> = chain.iter().map(|(n, _)| *n).collect();
    Outcome::of(g.rewrite(n, &inner, |b| {
        let mut before = None;
        for (at, slot) in &chain {
            let (op, mut inputs) = (b.graph().node(*at).op().clone(), b.graph().node(*at).inputs().to_vec());
            let constants: &[usize] = match op {
                Op::MatMul(_) => &[1],
                Op::Gemm(_) => &[1, 2],
                Op::Add(_) if *slot == 0 => &[1],
                Op::Add(_) => &[0],
                _ => &[],
            };
            for i in constants {
                let Some(t) = inputs.get(*i).copied().flatten().and_then(|c| b.graph().constant(c)) else {
                    continue;
                };
                let t = if *at == product && *i == 1 { times(&w, factor)? } else { times(t, factor)? };
                inputs[*i] = Some(b.constant(t));
            }
            inputs[*slot] = before.or(inputs[*slot]);
            before = b.add(op, &inputs)?.first().copied();
        }
        Ok(before.into_iter().collect())
    }))
}
