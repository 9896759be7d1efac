//! `fuse-attention-formula`
//!
//! ```text
//! %t = transpose(%k) {perm=[0, 1, 3, 2]}
//! %s = mat_mul(%q, %t)
//! %a = div(%s, 8)
//! %b = add(%a, %mask)
//! %p = softmax(%b)
//! %y = mat_mul(%p, %v)                      ->  %y = attention(%q, %k, %v, %mask) {scale=0.125}
//! ```
//! - Queries, keys and values have four axes, with surely the same batches, heads, tokens and features; nothing else uses the values between.
//! - Scores, queries or keys may be multiplied or divided by one constant number each; the factor in all is above 0. It may follow `c * tanh(x / c)`.
//! - Up to two masks are added, whose sum surely has the last two axes of the scores. They surely are never below -1e30: a query that sees no key at
//!   all gives 0 in the operator, and something else in the formula.
//!
//! The operator multiplies queries and keys by the root of the factor, so that results round differently.
use super::formula::{formula, one_mask};
use super::ranges::range;
use super::shapes::dims_of;
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId};
use hoist_ir::ops::Op;
use hoist_ir::ops::attention::attend::Attention;

/// The pass.
pub struct FuseAttentionFormula;

const INFO: PassInfo =
    PassInfo { name: "fuse-attention-formula", doc: "Replaces the formula of attention by this operator." };

/// Numbers that are added to scores are surely not below this.
const LEAST: f64 = -1e30;

impl Pass for FuseAttentionFormula {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        if !cx.allows("attention") {
            return Ok(Changed::default());
        }
        Ok(sweep(
            g,
            cx,
            |g, n| if let Op::MatMul(_) = g.node(n).op() { fuse(g, cx, n) } else { Outcome::Skip },
        ))
    }
}

fn fuse(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let f = match formula(g, n) {
        Ok(f) => f,
        Err(None) => return Outcome::Skip,
        Err(Some(reason)) => return Outcome::miss(reason),
    };
    let low: f64 = f.masks.iter().map(|m| range(g, *m).map_or(f64::NEG_INFINITY, |r| r.0)).sum();
    if low < LEAST && !planted(INFO.name) {
        return Outcome::miss("a mask may hide all keys");
    }
    let (Some([_, _, queries, _]), Some([_, _, keys, _])) =
        (dims_of::<4>(g, f.q).cloned(), dims_of::<4>(g, f.v).cloned())
    else {
        return Outcome::Skip;
    };
    let inner: Vec<NodeId> = f.nodes.iter().copied().filter(|m| *m != n).collect();
    cx.fuse(g, n, &inner, |b| {
        let mask = one_mask(b, &f.masks, [&queries, &keys])?;
        let k = f.k.apart(b)?;
        let op = Attention { scale: Some(f.scale as f32), softcap: f.softcap, ..Attention::default() };
        let operands = [Some(f.q), Some(k), Some(f.v), mask];
        b.add(op, if mask.is_some() { &operands } else { &operands[..3] })
    })
}
