//! `fuse-matmul-add`
//!
//! ```text
//! %a = mat_mul(%x: f32[M, K], %w: f32[K, N])
//! %y = add(%a, %c)                           ->  %y = gemm(%x, %w, %c)
//! ```
//! - Or `gemm` that adds nothing instead of `mat_mul`, or a `sum` of two instead of `add`. Both operands of the product have two axes; nothing else uses its result.
//! - The elements are floats: runtimes have no `gemm` of integers.
//! - `%c` surely stretches to the shape of the product without changing it, and has at most two axes.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::dim::Dim;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::linear::gemm::Gemm;
use hoist_ir::types::Shape;

/// The pass.
pub struct FuseMatmulAdd;

const INFO: PassInfo = PassInfo {
    name: "fuse-matmul-add",
    doc: "Replaces a matrix product and the addition of a bias by `gemm`.",
};

impl Pass for FuseMatmulAdd {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, fuse))
    }
}

fn shape(g: &Graph, v: ValueId) -> Option<&Shape> {
    g.ty(v).as_tensor()?.shape.as_ref()
}

fn fuse(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    if !matches!(node.op().name(), "add" | "sum") || node.inputs().len() != 2 {
        return Outcome::Skip;
    }
    let (Some(a), Some(b)) = (node.input(0), node.input(1)) else { return Outcome::Skip };
    let product = |v: ValueId| g.producer(v).filter(|p| sums_nothing(g, *p));
    let mut found = Outcome::Skip;
    for (y, c) in [(a, b), (b, a)] {
        let Some(p) = product(y) else { continue };
        match operands(g, p, y, c) {
            Ok(operands) => {
                let op = match g.node(p).op() {
                    Op::Gemm(op) => Gemm { beta: 1.0, ..op.clone() },
                    _ => Gemm::default(),
                };
                return Outcome::of(g.rewrite(n, &[p], |b| b.add(op, &operands.map(Some))));
            }
            Err(reason) => found = Outcome::miss(reason),
        }
    }
    found
}

/// Whether `p` is a product that adds nothing.
fn sums_nothing(g: &Graph, p: NodeId) -> bool {
    match g.node(p).op() {
        Op::MatMul(_) => true,
        Op::Gemm(_) => g.node(p).input(2).is_none(),
        _ => false,
    }
}

/// Operands of the `gemm` that computes product `p` with result `y`, plus `c`.
fn operands(g: &Graph, p: NodeId, y: ValueId, c: ValueId) -> Result<[ValueId; 3], &'static str> {
    if g.single_user(y).is_none() {
        return Err("something else uses the product");
    }
    let (Some(x), Some(w)) = (g.node(p).input(0), g.node(p).input(1)) else {
        return Err("an operand is missing");
    };
    if !g.ty(x).as_tensor().is_some_and(|t| t.dtype.is_float()) {
        return Err("the elements are integers");
    }
    let two_axes = |v: ValueId| shape(g, v).is_some_and(|s| s.len() == 2);
    let (Some(result), true) = (shape(g, y), two_axes(x) && two_axes(w)) else {
        return Err("the operands of the product have not two axes");
    };
    let bias = shape(g, c).ok_or("the shape of the bias is not known")?;
    let fits = |(d, r): (&Dim, &Dim)| planted("fuse-matmul-add") || *d == Dim::Known(1) || d.surely_equals(r);
    if bias.len() > 2 || !bias.iter().rev().zip(result.iter().rev()).all(fits) {
        return Err("the bias may change the shape");
    }
    Ok([x, w, c])
}
