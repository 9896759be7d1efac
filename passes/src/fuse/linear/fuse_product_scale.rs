//! `fuse-product-scale`
//!
//! ```text
//! %s = mul(%a, 0.5)
//! %p = mat_mul(%s, %b)
//! %y = div(%p, 4.0)     ->  %y = fused_mat_mul(%a, %b) {alpha=0.125}
//! ```
//! - The factor is one constant number that does not change the shape, neither zero nor infinite; `div` only by it.
//! - Nothing else uses the value between.
//! - The elements are `f32`, and the new factor is a normal number of that type.
//!
//! The results may differ in the last bits: the factor is applied once, to the product.
use crate::fault::planted;
use crate::fuse::attention::fuse_scales::scaled;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::contrib::products::FusedMatMul;

/// The pass.
pub struct FuseProductScale;

const INFO: PassInfo =
    PassInfo { name: "fuse-product-scale", doc: "Puts a factor into the matrix product before or after it." };

impl Pass for FuseProductScale {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        if !cx.allows("fused_mat_mul") {
            return Ok(Changed::default());
        }
        Ok(sweep(g, cx, |g, n| match g.node(n).op() {
            Op::Mul(_) | Op::Div(_) => after(g, cx, n),
            Op::MatMul(_) | Op::FusedMatMul(_) => before(g, cx, n),
            _ => Outcome::Skip,
        }))
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["mat_mul", "fused_mat_mul"])
    }
}

/// The operator of product `p` with its factor multiplied.
fn product(g: &Graph, p: NodeId, factor: f64) -> Result<Op, &'static str> {
    let op = match g.node(p).op() {
        Op::MatMul(_) => FusedMatMul::default(),
        Op::FusedMatMul(op) => op.clone(),
        _ => return Err("the operand is not a product"),
    };
    let is_f32 = |v: ValueId| g.ty(v).as_tensor().is_some_and(|t| t.dtype == DType::F32);
    if !g.node(p).input(0).is_some_and(is_f32) {
        return Err("the elements are not f32");
    }
    let alpha = (f64::from(op.alpha) * factor) as f32;
    if alpha.is_normal() { Ok(FusedMatMul { alpha, ..op }.into()) } else { Err("the factor is out of range") }
}

/// A product, then the factor.
fn after(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let Some((y, factor)) = scaled(g, n) else { return Outcome::Skip };
    let is_product = |p: &NodeId| matches!(g.node(*p).op(), Op::MatMul(_) | Op::FusedMatMul(_));
    let Some(p) = g.producer(y).filter(is_product) else { return Outcome::Skip };
    if g.single_user(y).is_none() && !planted(INFO.name) {
        return Outcome::miss("something else uses the product");
    }
    let operands = g.node(p).inputs().to_vec();
    match product(g, p, factor) {
        Ok(op) => cx.fuse(g, n, &[p], |b| b.add(op, &operands)),
        Err(reason) => Outcome::miss(reason),
    }
}

/// The factor of an operand, then a product.
fn before(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let mut found = Outcome::Skip;
    for slot in [0, 1] {
        let Some(v) = g.node(n).input(slot) else { continue };
        let Some(m) = g.producer(v) else { continue };
        let Some((x, factor)) = scaled(g, m) else { continue };
        if g.single_user(v).is_none() {
            found = Outcome::miss("something else uses the operand");
            continue;
        }
        let mut operands = g.node(n).inputs().to_vec();
        operands[slot] = Some(x);
        found = match product(g, n, factor) {
            Ok(op) => cx.fuse(g, n, &[m], |b| b.add(op, &operands)),
            Err(reason) => Outcome::miss(reason),
        };
        if found == Outcome::Edit {
            return found;
        }
    }
    found
}
