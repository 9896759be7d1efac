//! `merge-reshapes`
//!
//! ```text
//! %a = reshape(%x, %s)
//! %b = unsqueeze(%a, %t)  ->  %b = reshape(%x, [..])      or %x, where %b has its shape
//! ```
//! - Both are among `reshape`, `flatten`, `squeeze` and `unsqueeze`: they keep the elements in order.
//! - The result surely has the shape of `%x`; or at most one of its sizes is not fixed and none is 0. What a file declares about
//!   the result does not count, only what the operator computes.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use crate::queries::{computed_types, surely_same};
use hoist_ir::diag::Diag;
use hoist_ir::dim::Dim;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::types::{TensorType, Type};

/// The pass.
pub struct MergeReshapes;

const INFO: PassInfo = PassInfo {
    name: "merge-reshapes",
    doc: "Merges a reshape, flatten, squeeze or unsqueeze of another one into one, or into none.",
};

impl Pass for MergeReshapes {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, merge))
    }
}

/// Operand of `n`, when it only changes the shape.
fn operand(g: &Graph, n: NodeId) -> Option<ValueId> {
    let node = g.node(n);
    matches!(node.op().name(), "reshape" | "flatten" | "squeeze" | "unsqueeze").then(|| node.input(0))?
}

fn merge(g: &mut Graph, n: NodeId) -> Outcome {
    let Some(x) = operand(g, n) else { return Outcome::Skip };
    let Some((producer, source)) = g.producer(x).and_then(|p| Some((p, operand(g, p)?))) else {
        return Outcome::miss("the operand is not the result of another one");
    };
    let computed = computed_types(g, n).unwrap_or_default();
    let (Some(result), Some(before)) = (computed.first().and_then(Type::as_tensor), g.ty(source).as_tensor())
    else {
        return Outcome::miss("the result type is not known");
    };
    if surely_same(result, before) && !planted("merge-reshapes") {
        return Outcome::of(g.rewrite(n, &[producer], |_| Ok(vec![source])));
    }
    let Some((target, op)) = target_shape(result).zip(Op::by_name("reshape")) else {
        return Outcome::miss("more than one size of the result is not fixed, or one is 0");
    };
    Outcome::of(g.rewrite(n, &[producer], |b| {
        let shape = b.ints(&target);
        b.add(op, &[Some(source), Some(shape)])
    }))
}

/// The shape operand of a `reshape` to `ty`: at most one size is left to be computed. A fixed 0 is not written, for `reshape`
/// reads it as another thing.
pub(super) fn target_shape(ty: &TensorType) -> Option<Vec<i64>> {
    let one = |d: &Dim| match d.known() {
        Some(0) => None,
        Some(n) => i64::try_from(n).ok(),
        None => Some(-1),
    };
    let target = ty.shape.as_ref()?.iter().map(one).collect::<Option<Vec<i64>>>()?;
    (target.iter().filter(|d| **d == -1).count() <= 1).then_some(target)
}
