//! `legalize-reduce`
//!
//! ```text
//! %y = reduce_sum(%x, [0]) {noop_with_empty_axes=true}   ->   %y = reduce_sum(%x, [0])
//! %y = reduce_sum(%x) {noop_with_empty_axes=true}        ->   %y = identity(%x)
//! ```
//! - The operator set has `axes` as an attribute, and no `noop_with_empty_axes`.
//! - `axes` is absent or constant; with `noop_with_empty_axes`, empty `axes` leave every element by itself, whose sum, mean, product,
//!   largest and smallest it is. Others reduce an axis of size 1 that is added.
use super::where_lacking;
use super::with_attr;
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId};
use hoist_ir::ops::elementwise::identity::Identity;
use hoist_ir::ops::movement::unsqueeze::Unsqueeze;

/// The pass.
pub struct LegalizeReduce;

const INFO: PassInfo =
    PassInfo { name: "legalize-reduce", doc: "Gives reductions the form that older operator sets have." };

impl Pass for LegalizeReduce {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(g, cx, REDUCTIONS, |g, n, _, _| reduce(g, n)))
    }
}

/// Operators that reduce axes.
pub(crate) const REDUCTIONS: &[&str] = &[
    "reduce_l1",
    "reduce_l2",
    "reduce_log_sum",
    "reduce_log_sum_exp",
    "reduce_max",
    "reduce_mean",
    "reduce_min",
    "reduce_prod",
    "reduce_sum",
    "reduce_sum_square",
];
/// Reductions of which a single element is its own result.
const KEEPING: &[&str] = &["reduce_max", "reduce_mean", "reduce_min", "reduce_prod", "reduce_sum"];

fn reduce(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (op, x, axes) = (node.op().clone(), node.input(0), node.input(1));
    let given = g.const_ints(axes);
    if axes.is_some() && given.is_none() {
        return Outcome::miss("the axes are not constant");
    }
    let Some(x) = x else { return Outcome::Skip };
    let none = given.is_none_or(|a| a.is_empty());
    if op.def().attr("noop_with_empty_axes") != Some(Attr::Bool(true)) {
        if !none || axes.is_none() {
            return Outcome::miss("it lacks something else");
        }
        return Outcome::of(g.rewrite(n, &[], |b| b.add(op, &[Some(x)])));
    }
    let off = Attr::Bool(false);
    Outcome::of(g.rewrite(n, &[], |b| {
        if !none {
            return b.add(with_attr(&op, "noop_with_empty_axes", &off)?, &[Some(x), axes]);
        }
        if KEEPING.contains(&op.name()) || planted("legalize-reduce") {
            return Ok(vec![b.identity(Identity {}, x)?]);
        }
        let last = b.ints(&[-1]);
        let x = b.unsqueeze(Unsqueeze {}, x, last)?;
        let op = with_attr(&with_attr(&op, "noop_with_empty_axes", &off)?, "keepdims", &off)?;
        b.add(op, &[Some(x), Some(last)])
    }))
}
