//! `simplify-reshape`
//!
//! ```text
//! %s = shape(%x: f32[N, 3, S, 4])
//! ..                                              %t = const i64[3] [0, -1, 12]
//! %y: f32[N, S, 12] = reshape(%x, %t)       ->    %y: f32[N, S, 12] = reshape(%x, %t)
//! ```
//! - The shape operand is computed, and at most one size of the result is not fixed and none is 0. What a file declares about the
//!   result does not count, only what the operator computes.
//! - Or each size that it names is a number, that of the same axis of the operand, which a 0 copies, or the only one left, which follows from
//!   the others. Copied sizes beside that one are those of first axes, the batch, or surely at least 1: next to a size of 0 nothing follows.
use super::merge_reshapes::target_shape;
use crate::fault::planted;
use crate::known_sizes::{Size, elements, size_of};
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use crate::queries::computed_types;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::movement::reshape::Reshape;
use hoist_ir::types::Type;

/// The pass.
pub struct SimplifyReshape;

const INFO: PassInfo = PassInfo {
    name: "simplify-reshape",
    doc: "Makes the shape operand of a reshape constant where its sizes are numbers, copied, or follow from the others.",
};

impl Pass for SimplifyReshape {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["reshape"])
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, simplify))
    }
}

fn simplify(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (Op::Reshape(op), Some(x), Some(shape)) = (node.op(), node.input(0), node.input(1)) else {
        return Outcome::Skip;
    };
    if g.constant(shape).is_some() {
        return Outcome::Skip;
    }
    let computed = computed_types(g, n).unwrap_or_default();
    let fixed = computed.first().and_then(Type::as_tensor).and_then(target_shape);
    let Some(target) = fixed.or_else(|| listed(g, x, shape, op.allowzero)) else {
        return Outcome::miss("more than one size of the result is not that of the same axis, or one is 0");
    };
    Outcome::of(g.rewrite(n, &[], |b| {
        let shape = b.ints(&target);
        b.add(Reshape::default(), &[Some(x), Some(shape)])
    }))
}

/// What a reshape of `x` may list in place of the computed `shape`.
fn listed(g: &Graph, x: ValueId, shape: ValueId, allowzero: bool) -> Option<Vec<i64>> {
    let all = elements(g, shape)?;
    let written = all.contains(&Some(Size::Known(-1)));
    let (mut out, mut open, mut copies) = (vec![], 0, vec![]);
    for (i, size) in all.into_iter().enumerate() {
        let same = || size_of(g, x, i).is_some() && size_of(g, x, i) == size;
        out.push(match &size {
            // A copied 0, or an empty axis.
            Some(Size::Known(0)) if allowzero => return None,
            Some(Size::Known(v)) => *v,
            Some(_) if same() || planted("simplify-reshape") => {
                copies.push(i);
                0
            }
            _ => {
                open += 1;
                -1
            }
        });
    }
    let follows = open == 0
        || (open == 1
            && !written
            && copies.iter().all(|i| is_positive(g, x, *i))
            && !has_zero(&out, &copies));
    follows.then_some(out)
}

/// Whether a 0 is listed that is no copy found here.
fn has_zero(list: &[i64], copies: &[usize]) -> bool {
    list.iter().enumerate().any(|(i, v)| *v == 0 && !copies.contains(&i))
}

/// Whether axis `axis` of `x` has at least one position: the first axis, which counts samples, is taken to.
fn is_positive(g: &Graph, x: ValueId, axis: usize) -> bool {
    axis == 0
        || match size_of(g, x, axis) {
            Some(Size::Symbolic(e)) => e.sub(&1.into()).is_some_and(|e| e.is_non_negative()),
            _ => false,
        }
}
