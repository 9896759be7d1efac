//! `fuse-product-transpose`
//!
//! ```text
//! %t = transpose(%b) {perm=[0, 1, 3, 2]}
//! %p = mat_mul(%a, %t)
//! %y = mul(%p, 0.125)                      ->  %y = fused_mat_mul(%a, %b) {alpha=0.125, trans_b=true}
//! ```
//! - The transpose exchanges the last two axes of an operand, and nothing else uses its result.
//! - The factor is one constant number, finite and not 0, or its inverse as a divisor, and does not add axes; nothing else uses the product.
//! - Elements are `f32`. For targets with `fused_mat_mul`.
//!
//! The transpose is exact; the factor may be applied before sums are rounded.
use crate::fault::planted;
use crate::fuse::attention::fuse_scales::scaled;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::contrib::products::FusedMatMul;

/// The pass.
pub struct FuseProductTranspose;

const INFO: PassInfo = PassInfo {
    name: "fuse-product-transpose",
    doc: "Lets a matrix product read transposed operands and scale its result.",
};

impl Pass for FuseProductTranspose {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["mat_mul", "fused_mat_mul"])
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        if !cx.allows("fused_mat_mul") {
            return Ok(Changed::default());
        }
        let transposes = sweep(g, cx, |g, n| transpose(g, cx, n));
        let factors = sweep(g, cx, |g, n| factor(g, cx, n));
        Ok(Changed(transposes.0.saturating_add(factors.0)))
    }
}

/// What product `n` computes, as the fused operator.
fn product(g: &Graph, n: NodeId) -> Option<FusedMatMul> {
    match g.node(n).op() {
        Op::MatMul(_) => Some(FusedMatMul {
            alpha: 1.0,
            trans_a: false,
            trans_b: false,
            trans_batch_a: false,
            trans_batch_b: false,
        }),
        Op::FusedMatMul(op) if !op.trans_batch_a && !op.trans_batch_b => Some(op.clone()),
        _ => None,
    }
}

/// What is read instead of `v`, when it is a transpose of the last two axes that nothing else uses.
fn swapped(g: &Graph, v: ValueId) -> Result<(ValueId, NodeId), &'static str> {
    let p = g.producer(v).ok_or("no operand is transposed")?;
    let Op::Transpose(t) = g.node(p).op() else { return Err("no operand is transposed") };
    let rank = t.perm.len();
    let mut last: Vec<i64> = (0..rank as i64).collect();
    if rank < 2 {
        return Err("a transposed operand has less than two axes");
    }
    last.swap(rank - 2, rank - 1);
    if t.perm != last && !planted("fuse-product-transpose") {
        return Err("other axes than the last two are moved");
    }
    if g.single_user(v).is_none() {
        return Err("something else uses the transposed operand");
    }
    Ok((g.node(p).input(0).ok_or("an operand is missing")?, p))
}

fn is_f32(g: &Graph, v: Option<&ValueId>) -> bool {
    v.and_then(|v| g.ty(*v).as_tensor()).is_some_and(|t| t.dtype == DType::F32)
}

fn transpose(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let Some(mut op) = product(g, n) else { return Outcome::Skip };
    let node = g.node(n);
    let (Some(a), Some(b)) = (node.input(0), node.input(1)) else { return Outcome::Skip };
    if !is_f32(g, node.outputs().first()) {
        return Outcome::miss("the elements are not f32");
    }
    let (left, right) = (swapped(g, a), swapped(g, b));
    let mut inner = vec![];
    let mut operands = [Some(a), Some(b)];
    if let Ok((v, p)) = left {
        (operands[0], op.trans_a) = (Some(v), !op.trans_a);
        inner.push(p);
    }
    if let Ok((v, p)) = right {
        (operands[1], op.trans_b) = (Some(v), !op.trans_b);
        inner.push(p);
    }
    match (left, right) {
        (Err(why), Err("no operand is transposed")) | (Err("no operand is transposed"), Err(why)) => {
            Outcome::miss(why)
        }
        (Err(why), Err(_)) => Outcome::miss(why),
        _ => cx.fuse(g, n, &inner, |b| b.add(op, &operands)),
    }
}

fn factor(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let Some((y, factor)) = scaled(g, n) else { return Outcome::Skip };
    let Some(p) = g.producer(y) else { return Outcome::Skip };
    let Some(mut op) = product(g, p) else { return Outcome::Skip };
    if g.single_user(y).is_none() {
        return Outcome::miss("something else uses the product");
    }
    if !is_f32(g, Some(&y)) {
        return Outcome::miss("the elements are not f32");
    }
    op.alpha = (f64::from(op.alpha) * factor) as f32;
    if !op.alpha.is_normal() {
        return Outcome::miss("the factor is too large or too small");
    }
    let operands = g.node(p).inputs().to_vec();
    cx.fuse(g, n, &[p], |b| b.add(op, &operands))
}
