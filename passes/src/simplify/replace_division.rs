//! `replace-division`
//!
//! ```text
//! %y = div(%x, 3.0)   ->  %y = mul(%x, 0.33333334)
//! ```
//! - The divisor is a constant of floats whose inverses are all finite and normal numbers of its type, and not too large to compute them now.
//!
//! The inverse is rounded, so that results may differ in their last bit; they are the same where the divisor is a power of two.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId};
use hoist_ir::ops::Op;
use hoist_ir::ops::elementwise::arithmetic::Mul;
use hoist_ir::tensor::Tensor;
use hoist_ir::tensor::convert::Wide;

/// The pass.
pub struct ReplaceDivision;

const INFO: PassInfo = PassInfo {
    name: "replace-division",
    doc: "Multiplies by the rounded inverse of a constant instead of dividing by it.",
};

/// Most elements of a divisor.
const MOST: usize = 1 << 16;

impl Pass for ReplaceDivision {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["div"])
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, replace))
    }
}

fn replace(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (Op::Div(_), Some(x), Some(c)) = (node.op(), node.input(0), node.input(1)) else {
        return Outcome::Skip;
    };
    let Some(divisor) = g.constant(c) else { return Outcome::miss("the divisor is not constant") };
    match inverse(divisor) {
        Ok(inverse) => Outcome::of(g.rewrite(n, &[], |b| {
            let factor = b.constant(inverse);
            let (left, right) = if planted("replace-division") { (factor, factor) } else { (x, factor) };
            Ok(vec![b.mul(Mul {}, left, right)?])
        })),
        Err(reason) => Outcome::miss(reason),
    }
}

/// The inverse of each element.
fn inverse(t: &Tensor) -> Result<Tensor, &'static str> {
    if !matches!(t.dtype(), DType::F32 | DType::F64) {
        return Err("the divisor is neither f32 nor f64");
    }
    if t.len() > MOST {
        return Err("the divisor has too many elements");
    }
    let values = t.to_f64s().map_err(|_| "the divisor cannot be read")?;
    let inverses: Vec<f64> = values.iter().map(|v| 1.0 / v).collect();
    let normal = |v: &f64| if t.dtype() == DType::F32 { (*v as f32).is_normal() } else { v.is_normal() };
    if !inverses.iter().all(normal) {
        return Err("an inverse is not a normal number");
    }
    Tensor::from_wide(t.dtype(), t.shape(), &Wide::F64(inverses), false)
        .map_err(|_| "the inverse cannot be held")
}
