//! `fuse-product-transpose`
//!
//! ```text
//! %t = transpose(%a) {perm=[0, 2, 1]}
//! %y = mat_mul(%t, %b)                 ->  %y = fused_mat_mul(%a, %b) {trans_a=true}
//!
//! %t = transpose(%b) {perm=[1, 0]}
//! %y = gemm(%a, %t, %c)                ->  %y = gemm(%a, %b, %c) {trans_b=true}
//! ```
//! - The transpose exchanges the last two axes; for `fused_mat_mul` of operands of one rank, it may also make the first axis the last but one.
//! - Only matrix products use the result of the transpose.
//! - `gemm` serves every target; products of two axes become `gemm` where the target has no `fused_mat_mul`. The elements are floats,
//!   `f32` for `fused_mat_mul`.
//!
//! The sums are the same; a runtime may add in another order.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, Use, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::contrib::products::FusedMatMul;
use hoist_ir::ops::linear::gemm::Gemm;
use hoist_ir::types::TensorType;

/// The pass.
pub struct FuseProductTranspose;

const INFO: PassInfo =
    PassInfo { name: "fuse-product-transpose", doc: "Lets matrix products read their operands transposed." };

/// Operators that may take a transpose in.
const PRODUCTS: &[&str] = &["mat_mul", "fused_mat_mul", "gemm"];
/// Uses of a transpose that are looked at.
const MOST_USES: usize = 8;

impl Pass for FuseProductTranspose {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        let mut changed = sweep(g, cx, |g, n| fuse(g, cx, n));
        if changed.any() {
            // One operand at a time: what was added may have another.
            changed.0 = changed.0.saturating_add(sweep(g, cx, |g, n| fuse(g, cx, n)).0);
        }
        Ok(changed)
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(PRODUCTS)
    }
}

fn tensor(g: &Graph, v: ValueId) -> Option<&TensorType> {
    g.ty(v).as_tensor()
}

fn fuse(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    if !PRODUCTS.contains(&g.node(n).op().name()) {
        return Outcome::Skip;
    }
    let mut found = Outcome::Skip;
    for slot in [0, 1] {
        let Some(v) = g.node(n).input(slot) else { continue };
        let Some(t) = g.producer(v) else { continue };
        let Op::Transpose(op) = g.node(t).op() else { continue };
        let Some(x) = g.node(t).input(0) else { continue };
        let (perm, operands) = (op.perm.clone(), replaced(g, n, slot, x));
        let product = moved(&perm).ok_or("the transpose moves other axes").and_then(|m| {
            read_by_products(g, v)?;
            transposed(g, cx, n, slot, m)
        });
        found = match product {
            Ok(op) => cx.fuse(g, n, &[t], |b| b.add(op, &operands)),
            Err(reason) => Outcome::miss(reason),
        };
        if found == Outcome::Edit {
            return found;
        }
    }
    found
}

/// Operands of `n` with `v` as operand `slot`.
fn replaced(g: &Graph, n: NodeId, slot: usize, v: ValueId) -> Vec<Option<ValueId>> {
    let mut operands = g.node(n).inputs().to_vec();
    operands[slot] = Some(v);
    operands
}

/// Whether only products read `v`, so that the transpose goes away.
fn read_by_products(g: &Graph, v: ValueId) -> Result<(), &'static str> {
    let by_product = |u: &Use| match u {
        Use::Node { node, .. } => PRODUCTS.contains(&g.node(*node).op().name()),
        Use::Output(_) => false,
    };
    if g.value(v).uses().len() > MOST_USES || !g.value(v).uses().iter().all(by_product) && !planted(INFO.name)
    {
        return Err("something else uses the transpose");
    }
    Ok(())
}

/// What a transpose does.
#[derive(Clone, Copy)]
struct Moved {
    rank: usize,
    /// The first axis becomes the last but one, first.
    batch: bool,
    /// The last two axes are exchanged.
    last: bool,
}

/// What `perm` does, when it is one of the arrangements that products have.
fn moved(perm: &[i64]) -> Option<Moved> {
    let rank = perm.len();
    if rank < 2 {
        return None;
    }
    for (batch, last) in [(false, true), (true, false), (true, true)] {
        let mut want: Vec<i64> = (0..rank as i64).collect();
        if batch {
            want[..rank - 1].rotate_left(1);
        }
        if last {
            want.swap(rank - 1, rank - 2);
        }
        if want == perm && (!batch || rank > 2) {
            return Some(Moved { rank, batch, last });
        }
    }
    None
}

/// Product `n` with operand `slot` read before the transpose.
fn transposed(g: &Graph, cx: &Ctx, n: NodeId, slot: usize, m: Moved) -> Result<Op, &'static str> {
    let operand = |i: usize| g.node(n).input(i).and_then(|v| tensor(g, v));
    let (Some(a), Some(b)) = (operand(0), operand(1)) else { return Err("an operand is not known") };
    let fused = match g.node(n).op() {
        Op::Gemm(op) => {
            let mut op = op.clone();
            let flag = if slot == 0 { &mut op.trans_a } else { &mut op.trans_b };
            *flag = !*flag;
            return Ok(op.into());
        }
        Op::FusedMatMul(op) => op.clone(),
        _ => FusedMatMul::default(),
    };
    if !cx.allows("fused_mat_mul") {
        let matrices = a.rank() == Some(2) && b.rank() == Some(2);
        return if matrices && a.dtype.is_float() {
            Ok(Gemm { trans_a: slot == 0, trans_b: slot == 1, ..Gemm::default() }.into())
        } else {
            Err("the target has no product of transposed operands")
        };
    }
    if a.rank().is_none_or(|r| r < 2) || b.rank().is_none_or(|r| r < 2) {
        return Err("an operand may have fewer than two axes");
    }
    if a.dtype != DType::F32 {
        return Err("the elements are not f32");
    }
    if m.batch && (a.rank() != Some(m.rank) || b.rank() != Some(m.rank)) {
        return Err("the operands are not of one rank");
    }
    arranged(fused, slot, m).map(Op::from).ok_or("the product transposes already")
}

/// `op` that also reads operand `slot` through `m`.
fn arranged(mut op: FusedMatMul, slot: usize, m: Moved) -> Option<FusedMatMul> {
    let (last, batch) = if slot == 0 {
        (&mut op.trans_a, &mut op.trans_batch_a)
    } else {
        (&mut op.trans_b, &mut op.trans_batch_b)
    };
    if *batch || m.batch && *last {
        return None;
    }
    *batch = m.batch;
    *last ^= m.last;
    Some(op)
}
