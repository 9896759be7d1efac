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
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::contrib::products::FusedMatMul;
use hoist_ir::types::TensorType;

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

/// What `n` multiplies by one constant number, and the number.
fn scaled(g: &Graph, n: NodeId) -> Option<(ValueId, f64)> {
    let node = g.node(n);
    let (a, b) = (node.input(0)?, node.input(1)?);
    let is_div = match node.op() {
        Op::Mul(_) => false,
        Op::Div(_) => true,
        _ => return None,
    };
    let (x, c) = if !is_div && g.constant(a).is_some() { (b, a) } else { (a, b) };
    let t = g.constant(c)?;
    let rank = g.ty(x).as_tensor().and_then(TensorType::rank);
    if t.len() != 1 || t.dtype() != DType::F32 || t.rank() > rank.unwrap_or(0) {
        return None;
    }
    let value = t.as_f64().filter(|v| v.is_finite() && *v != 0.0)?;
    Some((x, if is_div { 1.0 / value } else { value }))
}

/// The operator of product `p` with its factor multiplied.
fn product(g: &Graph, p: NodeId, factor: f64) -> Result<Op, &'static str> {
    let op = match g.node(p).op() {
        Op::MatMul(_) => FusedMatMul::default(),
        Op::FusedMatMul(op) => op.clone(),
        _ => return Err("the operand is not a product"),
    };
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
