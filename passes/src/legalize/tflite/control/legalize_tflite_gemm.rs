//! `legalize-tflite-gemm`
//!
//! ```text
//! %y = gemm(%a, %b, %c) {alpha=2, trans_b=true}   ->   %t = transpose(%b) {perm=[1, 0]}
//!                                                      %p = mat_mul(%a, %t)
//!                                                      %s = mul(%p, 2)
//!                                                      %y = add(%s, %c)
//! ```
//! - Integers have no factors but 1: with others they are computed in `f64`, which LiteRT does not do.
//! - 16-bit floats go through `f32`, so that the result is rounded once.
use super::{cast, dtype, turned};
use crate::fault::planted;
use crate::legalize::where_lacking;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::elementwise::arithmetic::{Add, Mul};
use hoist_ir::ops::linear::gemm::Gemm;
use hoist_ir::ops::linear::mat_mul::MatMul;

/// The pass.
pub struct LegalizeTfliteGemm;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-gemm",
    doc: "Replaces `gemm` by a matrix product, factors and an addition.",
};

impl Pass for LegalizeTfliteGemm {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(g, cx, &["gemm"], |g, n, target, _| {
            if target.tflite().is_none() { Outcome::Skip } else { split(g, n) }
        }))
    }
}

fn split(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (Op::Gemm(op), Some(x), Some(w)) = (node.op().clone(), node.input(0), node.input(1)) else {
        return Outcome::Skip;
    };
    let c = node.input(2);
    let Some(t) = dtype(g, x) else { return Outcome::Skip };
    if t.is_int() && (op.alpha != 1.0 || op.beta != 1.0) {
        return Outcome::miss("integers with factors are computed as f64");
    }
    let wide = if matches!(t, DType::F16 | DType::BF16) { DType::F32 } else { t };
    Outcome::of(g.rewrite(n, &[], |b| {
        let y = product(b, &op, [x, w], c, wide)?;
        Ok(vec![cast(b, y, t)?])
    }))
}

fn product(
    b: &mut Builder<'_>,
    op: &Gemm,
    [x, w]: [ValueId; 2],
    c: Option<ValueId>,
    wide: DType,
) -> Result<ValueId, Diag> {
    let (mut x, mut w) = (cast(b, x, wide)?, cast(b, w, wide)?);
    if op.trans_a {
        x = turned(b, x)?;
    }
    if op.trans_b {
        w = turned(b, w)?;
    }
    let mut y = b.mat_mul(MatMul {}, x, w)?;
    if op.alpha != 1.0 {
        let factor = b.scalar_like(f64::from(op.alpha), y)?;
        y = b.mul(Mul {}, y, factor)?;
    }
    let Some(c) = c else { return Ok(y) };
    let mut c = cast(b, c, wide)?;
    if op.beta != 1.0 && !planted("legalize-tflite-gemm") {
        let factor = b.scalar_like(f64::from(op.beta), c)?;
        c = b.mul(Mul {}, c, factor)?;
    }
    b.plus(Add {}, y, c)
}
