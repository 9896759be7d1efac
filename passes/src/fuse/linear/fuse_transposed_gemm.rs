//! `fuse-transposed-gemm`
//!
//! ```text
//! %a = gemm(%x, %w, %c: f32[N])
//! %y = transpose(%a) {perm=[1, 0]}   ->  %y = gemm(%w, %x, %c: f32[N, 1]) {trans_a=true, trans_b=true}
//! ```
//! - `%c` is absent or constant; nothing else uses the product.
//!
//! The transpose of a product is the product of the transposes in the other order: the same sums, which a runtime may add in another order.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::linear::gemm::Gemm;
use hoist_ir::tensor::Tensor;

/// The pass.
pub struct FuseTransposedGemm;

const INFO: PassInfo = PassInfo {
    name: "fuse-transposed-gemm",
    doc: "Replaces the transpose of a matrix product by the product of transposes.",
};

impl Pass for FuseTransposedGemm {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["gemm"])
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, fuse))
    }
}

fn fuse(g: &mut Graph, n: NodeId) -> Outcome {
    let Op::Transpose(t) = g.node(n).op() else { return Outcome::Skip };
    let Some(y) = g.node(n).input(0) else { return Outcome::Skip };
    let Some(p) = g.producer(y) else { return Outcome::Skip };
    let Op::Gemm(gemm) = g.node(p).op() else { return Outcome::Skip };
    if t.perm == [0, 1] {
        return Outcome::miss("the transpose changes nothing");
    }
    if g.single_user(y).is_none() {
        return Outcome::miss("something else uses the product");
    }
    let kept = planted(INFO.name);
    let op = Gemm {
        trans_a: if kept { gemm.trans_a } else { !gemm.trans_b },
        trans_b: if kept { gemm.trans_b } else { !gemm.trans_a },
        ..gemm.clone()
    };
    let (a, b, c) = (g.node(p).input(0), g.node(p).input(1), g.node(p).input(2));
    let bias = match c.map(|c| turned(g, c)) {
        None => None,
        Some(None) => return Outcome::miss("what is added is not constant"),
        Some(bias) => bias,
    };
    Outcome::of(g.rewrite(n, &[p], |add| {
        let mut operands = vec![b, a];
        operands.extend(bias.map(|t| Some(add.constant(t))));
        add.add(op, &operands)
    }))
}

/// The transpose of constant `c`, of at most two axes.
fn turned(g: &Graph, c: ValueId) -> Option<Tensor> {
    let t = g.constant(c)?;
    match t.rank() {
        0 => Some(t.clone()),
        1 => t.reshape(&[t.len(), 1]).ok(),
        _ => t.permute(&[1, 0]).ok(),
    }
}
