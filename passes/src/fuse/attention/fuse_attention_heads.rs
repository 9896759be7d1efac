//! `fuse-attention-heads`
//!
//! ```text
//! %a = reshape(%q: f32[B, S, 32], ..)
//! %b = transpose(%a) {perm=[0, 2, 1, 3]}
//! ..                                          %y = attention(%q, %k, %v) {q_num_heads=4, kv_num_heads=4}
//! %c = attention(%b, %d, %e)
//! %f = transpose(%c) {perm=[0, 2, 1, 3]}
//! %y = reshape(%f, ..)                   ->
//! ```
//! - Queries, keys and values are transposes of `[B, S, H, D]`, or rotary embeddings of such, that nothing else uses; the numbers of
//!   heads and features are known.
//! - A transpose back to `[B, S, H, D]` is the only user of the result, and no other result of the operator is used.
//!
//! Where data was not split by a reshape, one is added in place of the transpose: it moves no data. The result is reshaped to `[B, S, H, D]`,
//! which `merge-reshapes` joins with the reshape that follows.
use super::shapes::{SWAP, dims_of, flattened, known, made_by, transposed};
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::movement::reshape::Reshape;

/// The pass.
pub struct FuseAttentionHeads;

const INFO: PassInfo = PassInfo {
    name: "fuse-attention-heads",
    doc: "Lets attention split and join heads itself, instead of reshapes and transposes around it.",
};

impl Pass for FuseAttentionHeads {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, |g, n| fuse(g, cx, n)))
    }
}

/// Where heads come from: `[B, S, H, D]`, and the rotary embedding between.
struct Source {
    rows: ValueId,
    heads: i64,
    nodes: Vec<NodeId>,
    rotary: Option<NodeId>,
}

fn source(g: &Graph, v: ValueId) -> Result<Source, &'static str> {
    let alone = |v: ValueId| g.single_user(v).is_some() || planted(INFO.name);
    if !alone(v) {
        return Err("something else uses the heads");
    }
    let (n, op) = made_by(g, v).ok_or("an operand is not computed")?;
    if let (Op::RotaryEmbedding(_), Some(x)) = (op, g.node(n).input(0)) {
        let inner = source(g, x)?;
        if inner.rotary.is_some() {
            return Err("two rotary embeddings follow each other");
        }
        return Ok(Source { rotary: Some(n), nodes: [&[n], &inner.nodes[..]].concat(), ..inner });
    }
    let (n, rows) = transposed(g, v, &SWAP).ok_or("an operand is not a transpose of `[B, S, H, D]`")?;
    let [_, _, heads, features] = dims_of::<4>(g, rows).ok_or("the rank is not known")?;
    let (Some(heads), Some(_)) = (known(heads), known(features)) else {
        return Err("the number of heads or features is not known");
    };
    Ok(Source { rows, heads, nodes: vec![n], rotary: None })
}

/// `[B, S, H * D]` of a source.
fn flat(b: &mut Builder<'_>, s: &Source) -> Result<ValueId, Diag> {
    let x = flattened(b, s.rows)?;
    let Some(n) = s.rotary else { return Ok(x) };
    let node = b.graph().node(n);
    let (mut op, mut inputs) = (node.op().clone(), node.inputs().to_vec());
    if let Op::RotaryEmbedding(r) = &mut op {
        r.num_heads = Some(s.heads);
    }
    inputs[0] = Some(x);
    b.add(op, &inputs)?.first().copied().ok_or_else(|| Diag::error("E0901", "an operator without results"))
}

fn fuse(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let node = g.node(n);
    let Op::Attention(op) = node.op() else { return Outcome::Skip };
    let (Some(q), Some(k), Some(v)) = (node.input(0), node.input(1), node.input(2)) else {
        return Outcome::Skip;
    };
    if dims_of::<4>(g, q).is_none() {
        return Outcome::Skip;
    }
    if node.outputs().iter().skip(1).any(|v| !g.value(*v).uses().is_empty()) {
        return Outcome::miss("another result is used");
    }
    let Some(user) = node.outputs().first().and_then(|y| g.single_user(*y)) else {
        return Outcome::miss("something else uses the result");
    };
    let Some(features) = dims_of::<4>(g, v).and_then(|d| known(&d[3])) else {
        return Outcome::miss("the number of features is not known");
    };
    if !matches!(g.node(user).op(), Op::Transpose(t) if t.perm == SWAP) {
        return Outcome::miss("the result is not transposed to `[B, S, H, D]`");
    }
    let sources = match [q, k, v].map(|v| source(g, v)) {
        [Ok(q), Ok(k), Ok(v)] => [q, k, v],
        [Err(e), ..] | [_, Err(e), _] | [.., Err(e)] => return Outcome::miss(e),
    };
    let mut op = op.clone();
    (op.q_num_heads, op.kv_num_heads) = (Some(sources[0].heads), Some(sources[1].heads));
    let mut inputs = node.inputs().to_vec();
    let mut inner = vec![n];
    inner.extend(sources.iter().flat_map(|s| s.nodes.iter().copied()));
    cx.fuse(g, user, &inner, |b| {
        for (i, s) in sources.iter().enumerate() {
            inputs[i] = Some(flat(b, s)?);
        }
        let y = b.add(op, &inputs)?;
        let y = *y.first().ok_or_else(|| Diag::error("E0901", "an operator without results"))?;
        let shape = b.ints(&[0, 0, sources[0].heads, features]);
        Ok(vec![b.reshape(Reshape { allowzero: false }, y, shape)?])
    })
}
