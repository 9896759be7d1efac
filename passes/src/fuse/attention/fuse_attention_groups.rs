//! `fuse-attention-groups`
//!
//! ```text
//! %a = unsqueeze(%k: f32[B, 2, T, 8], [2])
//! %b = expand(%a, [B, 2, 3, T, 8])
//! %c = reshape(%b, [B, 6, T, 8])
//! ..
//! %y = attention(%q, %c, %d)                ->  %y = attention(%q, %k, %v)
//! ```
//! - Keys and values are both repeated so, head by head, the same number of times; the numbers of heads are known.
//! - Heads are apart, and there are no past keys and values.
use super::shapes::{dims_of, known, made_by};
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;

/// The pass.
pub struct FuseAttentionGroups;

const INFO: PassInfo = PassInfo {
    name: "fuse-attention-groups",
    doc: "Lets attention use a head of keys and values for several of queries, instead of repeating it.",
};

impl Pass for FuseAttentionGroups {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, |g, n| fuse(g, cx, n)))
    }
}

/// What `v` repeats head by head, how many times, and the node that does it.
pub fn repeated(g: &Graph, v: ValueId) -> Option<(ValueId, i64, NodeId)> {
    let to = dims_of::<4>(g, v)?;
    let (reshape, Op::Reshape(_)) = made_by(g, v)? else { return None };
    let wide = g.node(reshape).input(0)?;
    let (expand, Op::Expand(_)) = made_by(g, wide)? else { return None };
    let thin = g.node(expand).input(0)?;
    let (split, op) = made_by(g, thin)?;
    let x = g.node(split).input(0)?;
    if !matches!(op, Op::Unsqueeze(_) | Op::Reshape(_)) {
        return None;
    }
    let from = dims_of::<4>(g, x)?;
    let (t, w) = (dims_of::<5>(g, thin)?, dims_of::<5>(g, wide)?);
    let (heads, each) = (known(&from[1])?, known(&w[2])?);
    let kept = |a: usize, b: usize| from[a].surely_equals(&t[b]) && t[b].surely_equals(&w[b]);
    let fits = [(0, 0), (1, 1), (2, 3), (3, 4)].iter().all(|(a, b)| kept(*a, *b))
        && known(&t[2]) == Some(1)
        && known(&to[1]) == heads.checked_mul(each)
        && [0, 2, 3].iter().all(|i: &usize| to[*i].surely_equals(&from[*i]));
    fits.then_some((x, each, reshape))
}

fn fuse(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (Op::Attention(op), Some(k), Some(v)) = (node.op(), node.input(1), node.input(2)) else {
        return Outcome::Skip;
    };
    let (Some((k, a, first)), Some((v, b, second))) = (repeated(g, k), repeated(g, v)) else {
        return Outcome::miss("keys and values are not repeated head by head");
    };
    if a != b && !planted(INFO.name) {
        return Outcome::miss("keys and values are repeated differently");
    }
    let rest = node.outputs().iter().skip(1).any(|v| !g.value(*v).uses().is_empty());
    if node.input(4).is_some() || rest {
        return Outcome::miss("past or present keys have all heads");
    }
    let (op, mut inputs) = (op.clone(), node.inputs().to_vec());
    (inputs[1], inputs[2]) = (Some(k), Some(v));
    let results = node.outputs().len();
    cx.fuse(g, n, &[first, second], |b| b.add_n(op, &inputs, results))
}
