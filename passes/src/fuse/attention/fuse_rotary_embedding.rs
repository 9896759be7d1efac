//! `fuse-rotary-embedding`
//!
//! ```text
//! %a = mul(%x, %cos)
//! %l = slice(%x, [0], [D / 2], [-1])
//! %h = slice(%x, [D / 2], [D], [-1])
//! %n = neg(%h)
//! %r = concat(%n, %l) {axis=-1}
//! %b = mul(%r, %sin)
//! %y = add(%a, %b)                          ->  %y = rotary_embedding(%x, %c, %s)
//! ```
//! - `%x` is `[B, H, S, D]`, of `f32`, `f16` or `bf16`; nothing else uses the values between. The halves may be parts of a `split`, and of
//!   a value that `%x` is itself a part of.
//! - `%cos` and `%sin` are `[B, 1, S, D]`, the same for all heads, and surely have two equal halves: they are constants that do, or functions element
//!   by element, or rows of a table, of a `concat` of a value with itself. `%c` and `%s` are computed from one half, as `[B, S, D / 2]`, or where
//!   constants are the same for all of a known batch, as `[S, D / 2]` with positions `[B, S]`.
//!
//! ```text
//! %r = slice(%x, [0], [R], [-1])
//! %p = slice(%x, [R], [D], [-1])
//! %t = rotary_embedding(%r, %c, %s)
//! %y = concat(%t, %p) {axis=-1}             ->  %y = rotary_embedding(%x, %c, %s) {rotary_embedding_dim=R, num_heads=H}
//! ```
//! - Nothing else uses `%r` and `%t`.
//!
//! The operator computes the same products and sums.
use super::shapes::{dims, dims_of, known, made_by};
use super::tables::{Reading, half_table, positions, reading};
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Def, Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::attention::rotary_embedding::RotaryEmbedding;

/// The pass.
pub struct FuseRotaryEmbedding;

const INFO: PassInfo = PassInfo {
    name: "fuse-rotary-embedding",
    doc: "Replaces the formula of rotary embeddings by this operator.",
};

impl Pass for FuseRotaryEmbedding {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        if !cx.allows("rotary_embedding") {
            return Ok(Changed::default());
        }
        Ok(sweep(g, cx, |g, n| match g.node(n).op() {
            Op::Add(_) => fuse(g, cx, n),
            Op::Concat(_) => extend(g, cx, n),
            _ => Outcome::Skip,
        }))
    }
}

/// Which part of the last axis of which value `v` is, when it is a part that is known.
fn part(g: &Graph, v: ValueId) -> Option<Part> {
    let Def::Node { node: n, slot } = g.value(v).def() else { return None };
    let node = g.node(n);
    let x = node.input(0)?;
    let shape = dims(g, x)?;
    let (last, size) = (shape.len().checked_sub(1)? as i64, known(shape.last()?)?);
    let at = |axis: i64| if axis < 0 { axis + last + 1 } else { axis };
    match node.op() {
        Op::Split(s) if at(s.axis) == last => {
            let sizes: Option<Vec<i64>> =
                node.outputs().iter().map(|o| known(dims(g, *o)?.last()?)).collect();
            let (sizes, slot) = (sizes?, slot as usize);
            let from: i64 = sizes.get(..slot)?.iter().sum();
            Some((x, from, from + sizes.get(slot)?))
        }
        Op::Slice(_) => {
            let one = |i: usize| g.const_ints(node.input(i)).filter(|v| v.len() == 1)?.first().copied();
            let step = if node.input(4).is_some() { one(4)? } else { 1 };
            let place = |v: i64| if v < 0 { v.saturating_add(size) } else { v }.clamp(0, size);
            let (from, to) = (place(one(1)?), place(one(2)?));
            (at(one(3)?) == last && step == 1 && from < to).then_some((x, from, to))
        }
        _ => None,
    }
}

/// The operands of `v` in both orders, when it is a product that only `user` uses.
fn product(g: &Graph, v: ValueId) -> Option<(NodeId, [(ValueId, ValueId); 2])> {
    let (n, Op::Mul(_)) = made_by(g, v)? else { return None };
    g.single_user(v)?;
    let (a, b) = (g.node(n).input(0)?, g.node(n).input(1)?);
    Some((n, [(a, b), (b, a)]))
}

/// Positions of the last axis of a value.
type Part = (ValueId, i64, i64);

/// Which part of which value `v` is with its second half, negative, before its first, and the nodes that do it.
fn turned(g: &Graph, v: ValueId) -> Option<(Part, Vec<NodeId>)> {
    let (join, Op::Concat(c)) = made_by(g, v)? else { return None };
    let rank = dims(g, v)?.len() as i64;
    let [Some(a), Some(low)] = *g.node(join).inputs() else { return None };
    let (neg, Op::Neg(_)) = made_by(g, a)? else { return None };
    let high = g.node(neg).input(0)?;
    let ((x, start, middle), (same, from, to)) = (part(g, low)?, part(g, high)?);
    let last = c.axis == -1 || c.axis == rank - 1;
    let halves = x == same && middle == from && middle - start == to - from;
    let alone = [v, a, low, high].iter().all(|v| g.single_user(*v).is_some()) || planted(INFO.name);
    if !last || !halves || !alone {
        return None;
    }
    let (first, second) = (g.producer(low)?, g.producer(high)?);
    let mut nodes = vec![join, neg, first];
    if second != first {
        nodes.push(second);
    }
    Some(((x, start, to), nodes))
}

/// Whether `v` is that part.
fn is_part(g: &Graph, v: ValueId, want: Part) -> bool {
    let whole = || dims(g, v).and_then(|d| known(d.last()?)) == Some(want.2) && want.1 == 0;
    part(g, v) == Some(want) || v == want.0 && whole()
}

/// The formula at an addition.
struct Formula {
    x: ValueId,
    cos: ValueId,
    sin: ValueId,
    nodes: Vec<NodeId>,
}

fn formula(g: &Graph, n: NodeId) -> Option<Formula> {
    let [Some(a), Some(b)] = *g.node(n).inputs() else { return None };
    for (plain, other) in [(a, b), (b, a)] {
        let Some((second, operands)) = product(g, other) else { continue };
        for (r, sin) in operands {
            let Some((of, nodes)) = turned(g, r) else { continue };
            let (first, operands) = product(g, plain)?;
            let (x, cos) = *operands.iter().find(|(v, _)| is_part(g, *v, of))?;
            return Some(Formula { x, cos, sin, nodes: [&[first, second], &nodes[..]].concat() });
        }
    }
    None
}

fn fuse(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let Some(f) = formula(g, n) else { return Outcome::Skip };
    let Some([batch, _, tokens, features]) = dims_of::<4>(g, f.x).cloned() else {
        return Outcome::miss("the data does not have four axes");
    };
    let dtype = g.ty(f.x).as_tensor().map(|t| t.dtype);
    if !matches!(dtype, Some(DType::F32 | DType::F16 | DType::BF16)) {
        return Outcome::miss("the operator has no such elements");
    }
    let shape = [batch, Dim::Known(1), tokens, features];
    let (cos, sin) = (reading(g, f.cos, &shape), reading(g, f.sin, &shape));
    let Some(way) = cos.filter(|way| Some(*way) == sin) else {
        return Outcome::miss("the tables are not the same for all heads, with two equal halves");
    };
    let nodes: Vec<NodeId> = f.nodes.into_iter().filter(|m| *m != n).collect();
    cx.fuse(g, n, &nodes, |b| {
        let (cos, sin) = (half_table(b, f.cos, &shape, way)?, half_table(b, f.sin, &shape, way)?);
        let ids = if way == Reading::Positions { Some(positions(b, &shape)?) } else { None };
        let operands = [Some(f.x), Some(cos), Some(sin), ids];
        b.add(RotaryEmbedding::default(), if ids.is_some() { &operands } else { &operands[..3] })
    })
}

/// Lets an embedding of the first features leave the others as they are.
fn extend(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let [Some(t), Some(rest)] = *g.node(n).inputs() else { return Outcome::Skip };
    let Some((turn, Op::RotaryEmbedding(op))) = made_by(g, t) else { return Outcome::Skip };
    let mut op = op.clone();
    let inputs = g.node(turn).inputs().to_vec();
    let parts = inputs.first().copied().flatten().and_then(|r| Some((r, part(g, r)?))).zip(part(g, rest));
    let Some(((r, (x, zero, rotary)), (same, from, to))) = parts else {
        return Outcome::miss("what is joined are not two parts of one value");
    };
    let Some([_, heads, _, features]) = dims_of::<4>(g, x) else {
        return Outcome::miss("the data does not have four axes");
    };
    let axis = matches!(g.node(n).op(), Op::Concat(c) if c.axis == -1 || c.axis == 3);
    let whole = x == same && zero == 0 && from == rotary && known(features) == Some(to);
    let (Some(heads), true, 0) = (known(heads), axis && whole, op.rotary_embedding_dim) else {
        return Outcome::miss("what is joined are not two parts of one value");
    };
    if g.single_user(t).is_none() || g.single_user(r).is_none() {
        return Outcome::miss("something else uses a value between");
    }
    (op.rotary_embedding_dim, op.num_heads) = (rotary, Some(heads));
    let inputs = [&[Some(x)], &inputs[1..]].concat();
    cx.fuse(g, n, &[turn], |b| b.add(op, &inputs))
}
