//! `fuse-projected-attention`
//!
//! ```text
//! %a = mat_mul(%x, %wq) + %bq     %q = transpose(reshape(%a, ..)) {perm=[0, 2, 1, 3]}
//! %b = mat_mul(%x, %wk) + %bk     %k = transpose(reshape(%b, ..)) {perm=[0, 2, 3, 1]}
//! %c = mat_mul(%x, %wv) + %bv     %v = transpose(reshape(%c, ..)) {perm=[0, 2, 1, 3]}
//! %p = softmax(mat_mul(%q, %k) * 0.125 + %mask)
//! %y = reshape(transpose(mat_mul(%p, %v)) {perm=[0, 2, 1, 3]}, ..)
//!     ->
//! %y = contrib_attention(%x, [%wq, %wk, %wv], [%bq, %bk, %bv], _, _, %mask) {num_heads=4, scale=0.125}
//! ```
//! - What `fuse-attention-formula` says of the formula and its factors, but for the mask: it may hide all keys, as here the operator adds it and nothing more.
//!   It is `[B or 1, H or 1, S, S]`, and there is no bound of the scores.
//! - Queries, keys and values are projections of one `f32` operand `[B, S, I]` by weights and biases that are constant, the weights used only there;
//!   nothing else uses what they are split into.
//! - The result has heads and features in one axis.
//!
//! For masks that may hide all keys: other attention is faster with its projections apart. Columns may round differently in a wider product, and
//! queries are multiplied by the factor instead of scores.
use super::formula::{Formula, formula, one_mask};
use super::merge_projections::{Projection, alike, joined, projection};
use super::shapes::{SWAP, dims_of, known};
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::contrib::attention::ContribAttention;

/// The pass.
pub struct FuseProjectedAttention;

const INFO: PassInfo = PassInfo {
    name: "fuse-projected-attention",
    doc: "Replaces the formula of attention and the projections before it by one operator of ONNX Runtime.",
};

/// Nodes from heads back to their product.
const STEPS: usize = 4;

impl Pass for FuseProjectedAttention {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        if !cx.allows("contrib_attention") {
            return Ok(Changed::default());
        }
        Ok(sweep(
            g,
            cx,
            |g, n| if let Op::MatMul(_) = g.node(n).op() { fuse(g, cx, n) } else { Outcome::Skip },
        ))
    }
}

/// The projection that heads `v` come from.
fn source(g: &Graph, v: ValueId) -> Option<Projection> {
    let mut n = g.producer(v)?;
    for _ in 0..STEPS {
        let node = g.node(n);
        let (a, b) = (node.input(0)?, node.input(1));
        n = match node.op() {
            Op::MatMul(_) => return projection(g, n).filter(|p| p.scaled.is_none()),
            Op::Transpose(_) | Op::Reshape(_) => g.producer(a)?,
            Op::Add(_) => g.producer(a).or_else(|| g.producer(b?))?,
            _ => return None,
        };
    }
    None
}

/// Projections of queries, keys and values, and what they are projections of.
fn sources(g: &Graph, f: &Formula) -> Option<(ValueId, [Projection; 3])> {
    let rows = !f.k.is_apart();
    if rows && f.k.perm != SWAP {
        return None;
    }
    let [q, k, v] = [source(g, f.q)?, source(g, f.k.source)?, source(g, f.v)?];
    let x = g.node(q.product).input(0)?;
    let same = |p: &Projection| g.node(p.product).input(0) == Some(x) && alike(g, &q, p);
    let heads = [&q, &k, &v].map(|p| p.heads.as_ref());
    let [Some(qh), Some(kh), Some(vh)] = heads else { return None };
    let made = qh.result == f.q && vh.result == f.v && !qh.keys && !vh.keys && kh.keys == rows;
    // What the product of queries and keys reads is made of the heads of keys alone.
    let alone = [qh, kh, vh].iter().all(|h| h.outer == [0, 0] && g.single_user(h.result).is_some());
    let fits = qh.count == kh.count && kh.count == vh.count && qh.features == kh.features;
    let distinct = q.product != k.product && k.product != v.product && q.product != v.product;
    (same(&k) && same(&v) && made && alone && fits && distinct).then_some((x, [q, k, v]))
}

/// The reshape that joins heads after product `n`, and the transpose before it.
fn joins(g: &Graph, n: NodeId, x: ValueId) -> Option<[NodeId; 2]> {
    let transpose = g.single_user(*g.node(n).outputs().first()?)?;
    let Op::Transpose(t) = g.node(transpose).op() else { return None };
    let reshape = g.single_user(*g.node(transpose).outputs().first()?)?;
    let Op::Reshape(_) = g.node(reshape).op() else { return None };
    let (to, from) = (dims_of::<3>(g, *g.node(reshape).outputs().first()?)?, dims_of::<3>(g, x)?);
    let kept = to[0].surely_equals(&from[0]) && to[1].surely_equals(&from[1]) && known(&to[2]).is_some();
    (t.perm == SWAP && kept).then_some([reshape, transpose])
}

fn fuse(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let f = match formula(g, n) {
        Ok(f) => f,
        Err(None) => return Outcome::Skip,
        Err(Some(reason)) => return Outcome::miss(reason),
    };
    if f.softcap != 0.0 && !planted(INFO.name) {
        return Outcome::miss("the scores are bounded");
    }
    let Some((x, parts)) = sources(g, &f) else {
        return Outcome::miss("queries, keys and values are not projections of one value");
    };
    let Some([batch, tokens, _]) = dims_of::<3>(g, x).cloned() else {
        return Outcome::miss("the operand does not have three axes");
    };
    if g.ty(x).as_tensor().is_none_or(|t| t.dtype != DType::F32) {
        return Outcome::miss("the elements are not `f32`");
    }
    let Some([root, transpose]) = joins(g, n, x) else {
        return Outcome::miss("the heads of the result are not joined");
    };
    let Some(count) = parts[0].heads.as_ref().map(|h| h.count) else { return Outcome::Skip };
    let sizes: Vec<i64> = parts.iter().map(|p| p.size() as i64).collect();
    let qkv_hidden_sizes = if sizes.iter().all(|s| *s == sizes[0]) { vec![] } else { sizes };
    let op = ContribAttention {
        num_heads: count,
        scale: f.scale as f32,
        qkv_hidden_sizes,
        ..ContribAttention::default()
    };
    let mut inner = [&[n, transpose], &f.nodes[..]].concat();
    inner.extend(parts.iter().flat_map(|p| p.nodes.iter().copied()));
    inner.sort();
    inner.dedup();
    cx.fuse(g, root, &inner, |b| {
        let mask = one_mask(b, &f.masks, [&tokens, &tokens])?;
        let heads = Dim::Known(count.unsigned_abs());
        let fits = |d: &Dim, full: &Dim| d.known() == Some(1) || d.surely_equals(full);
        if let Some(m) = mask
            && !dims_of::<4>(b.graph(), m).is_some_and(|d| fits(&d[0], &batch) && fits(&d[1], &heads))
        {
            return Err(Diag::error("E0403", "the mask is stretched to the scores"));
        }
        let (weights, bias) = joined(&parts).map_err(|e| Diag::error("E0403", e.to_string()))?;
        let (weights, bias) = (b.constant(weights), bias.map(|t| b.constant(t)));
        let operands = [Some(x), Some(weights), bias, None, None, mask];
        let count = operands.iter().rposition(Option::is_some).map_or(0, |i| i + 1);
        b.add(op, &operands[..count])
    })
}
