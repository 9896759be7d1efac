//! `merge-projections`
//!
//! ```text
//! %a = mat_mul(%x, %wq)          %h = reshape(%a + %bq, [B, S, 4, 8])    %q = transpose(%h) {perm=[0, 2, 1, 3]}
//! %c = mat_mul(%x, %wk)          %i = reshape(%c + %bk, [B, S, 4, 8])    %k = transpose(%i) {perm=[0, 2, 3, 1]}
//! %e = mat_mul(%x, %wv)          %j = reshape(%e + %bv, [B, S, 4, 8])    %v = transpose(%j) {perm=[0, 2, 1, 3]}
//!     ->
//! %a = mat_mul(%x, [%wq, %wk, %wv])
//! %h = reshape(%a + [%bq, %bk, %bv], [0, 0, 12, 8])
//! %t = transpose(%h) {perm=[0, 2, 1, 3]}
//! %q, %l, %v = split(%t, [4, 4, 4]) {axis=1}
//! %k = transpose(%l) {perm=[0, 1, 3, 2]}
//! ```
//! - Products of one operand by constant weights that nothing else uses, as `mat_mul` or as `gemm` with the same attributes, of one type of floats.
//! - What follows may be the addition of a constant per column, then a reshape that splits the columns into heads and the transpose to heads, of
//!   the same number of features. Heads are merged where that holds for several products; else the products are, and split along the last axis.
//! - There are fewer nodes afterwards.
//! - Weights may be integers that are cast and multiplied by a factor per column; casts and factors merge too, and stay: the file keeps the integers.
//! - Of more than four products only those merge whose results meet, so that the projections of many layers do not lie in memory at once.
//! - No operator of attention takes the results: it reads them where they are, and splitting would only copy.
//!
//! A product without a bias gets one of -0.0, which changes no number. Columns may round differently in a wider product.
use super::shapes::{SWAP, dims_of, known};
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, Use, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::elementwise::arithmetic::{Add, Mul};
use hoist_ir::ops::elementwise::cast::Cast;
use hoist_ir::ops::movement::reshape::Reshape;
use hoist_ir::ops::movement::split::Split;
use hoist_ir::ops::movement::transpose::Transpose;
use hoist_ir::tensor::{Tensor, TensorError};

/// The pass.
pub struct MergeProjections;

const INFO: PassInfo = PassInfo {
    name: "merge-projections",
    doc: "Merges products of one operand by several weights into one product.",
};

/// Uses of an operand that are looked at.
const MOST_USES: usize = 64;
/// Products that merge wherever their results go.
const FEW: usize = 4;
/// Steps to where the results of two products meet.
const STEPS: usize = 12;
/// From `[B, S, H, D]` to the transposes of heads that products with keys read.
const KEYS: [i64; 4] = [0, 2, 3, 1];

impl Pass for MergeProjections {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, merge))
    }
}

/// A product by constant weights, and what follows it.
pub(super) struct Projection {
    pub product: NodeId,
    /// Weights, or the integers that they are made of, and the axis of their columns.
    weights: Tensor,
    pub(super) scaled: Option<Scaled>,
    columns: usize,
    bias: Option<Tensor>,
    /// The product, the addition, the reshape, the transpose.
    pub nodes: Vec<NodeId>,
    /// The product with its bias.
    plain: ValueId,
    pub heads: Option<Heads>,
}

/// Columns split into heads and transposed.
#[derive(Clone)]
pub(super) struct Heads {
    /// Sizes that the reshape is told for batch and tokens: 0 keeps them.
    pub outer: [i64; 2],
    pub count: i64,
    pub features: i64,
    /// Whether features come before tokens.
    pub keys: bool,
    pub result: ValueId,
}

/// What makes weights of integers.
#[derive(Clone)]
pub(super) struct Scaled {
    cast: Cast,
    /// One factor per column, as `[1, N]`.
    factors: Tensor,
}

impl Projection {
    /// Type of the weights as the product reads them.
    fn dtype(&self) -> DType {
        self.scaled.as_ref().map_or(self.weights.dtype(), |s| s.cast.to)
    }
    /// Number of columns.
    pub fn size(&self) -> usize {
        self.weights.shape()[self.columns]
    }
    fn result(&self, by_heads: bool) -> ValueId {
        self.heads.as_ref().filter(|_| by_heads).map_or(self.plain, |h| h.result)
    }
}

/// The projection whose product is `n`.
pub(super) fn projection(g: &Graph, n: NodeId) -> Option<Projection> {
    let node = g.node(n);
    let columns = match node.op() {
        Op::MatMul(_) => 1,
        Op::Gemm(op) if !op.trans_a && op.beta == 1.0 => usize::from(!op.trans_b),
        _ => return None,
    };
    let (x, w, y) = (node.input(0)?, node.input(1)?, *node.outputs().first()?);
    g.single_user(w)?;
    g.ty(x).as_tensor()?.rank().filter(|r| *r >= 2)?;
    let (weights, scaled, mut nodes) = match g.constant(w) {
        Some(t) if t.rank() == 2 && t.dtype().is_float() => (t.clone(), None, vec![]),
        None if columns == 1 => integers(g, w)?,
        _ => return None,
    };
    let size = weights.shape()[columns];
    nodes.insert(0, n);
    let mut p = Projection { product: n, weights, scaled, columns, bias: None, nodes, plain: y, heads: None };
    if let Some(c) = node.input(2) {
        p.bias = Some(per_column(g, c, size)?);
    } else if let (Op::MatMul(_), Some(add)) = (node.op(), g.single_user(y)) {
        let other = g.node(add).inputs().iter().flatten().find(|v| **v != y);
        if let (Op::Add(_), Some(bias)) = (g.node(add).op(), other.and_then(|v| per_column(g, *v, size))) {
            p.bias = Some(bias);
            p.nodes.push(add);
            p.plain = *g.node(add).outputs().first()?;
        }
    }
    p.heads = heads(g, x, &mut p.nodes, p.plain, size);
    Some(p)
}

/// Integers, a float type and factors that `w`, a product by constants of the cast of constants, is made of; and the nodes that make it.
fn integers(g: &Graph, w: ValueId) -> Option<(Tensor, Option<Scaled>, Vec<NodeId>)> {
    let scale = g.producer(w).filter(|n| matches!(g.node(*n).op(), Op::Mul(_)))?;
    let (a, b) = (g.node(scale).input(0)?, g.node(scale).input(1)?);
    let (cast, factors) = if g.constant(b).is_some() { (a, b) } else { (b, a) };
    let n = g.producer(cast).filter(|_| g.single_user(cast) == Some(scale))?;
    let Op::Cast(op) = g.node(n).op() else { return None };
    let ints = g.constant(g.node(n).input(0)?).filter(|t| t.rank() == 2 && t.dtype().is_int())?;
    let factors = g.constant(factors).filter(|t| t.dtype() == op.to && t.dtype().is_float())?;
    let fits = factors.rank() <= 2 && [1, ints.shape()[1]].contains(factors.shape().last().unwrap_or(&1));
    if !fits || (factors.rank() == 2 && factors.shape()[0] != 1) {
        return None;
    }
    let row = [1, ints.shape()[1]];
    let factors = if factors.len() == row[1] {
        factors.reshape(&row)
    } else {
        Tensor::splat(&factors.reshape(&[]).ok()?, &row)
    };
    Some((ints.clone(), Some(Scaled { cast: op.clone(), factors: factors.ok()? }), vec![scale, n]))
}

/// Constant `v` as one number for each of `size` columns.
fn per_column(g: &Graph, v: ValueId, size: usize) -> Option<Tensor> {
    let t = g.constant(v)?;
    let lead = t.rank().saturating_sub(1);
    if t.rank() > 2 || t.shape()[..lead].iter().any(|d| *d != 1) {
        return None;
    }
    match t.shape().last() {
        Some(n) if *n == size => t.reshape(&[size]).ok(),
        Some(1) | None => Tensor::splat(&t.reshape(&[]).ok()?, &[size]).ok(),
        Some(_) => None,
    }
}

/// How `y`, made from `x`, is split into heads.
fn heads(g: &Graph, x: ValueId, nodes: &mut Vec<NodeId>, y: ValueId, size: usize) -> Option<Heads> {
    let reshape = g.single_user(y)?;
    let (Op::Reshape(_), Some(r)) = (g.node(reshape).op(), g.node(reshape).outputs().first()) else {
        return None;
    };
    let to = dims_of::<4>(g, *r)?;
    let (count, features) = (known(&to[2])?, known(&to[3])?);
    let outer = match dims_of::<3>(g, x) {
        Some(from) if from[0].surely_equals(&to[0]) && from[1].surely_equals(&to[1]) => [0, 0],
        _ => [known(&to[0])?, known(&to[1])?],
    };
    let transpose = g.single_user(*r)?;
    let (Op::Transpose(t), Some(result)) = (g.node(transpose).op(), g.node(transpose).outputs().first())
    else {
        return None;
    };
    let keys = t.perm == KEYS;
    if count.checked_mul(features) != i64::try_from(size).ok() || count == 0 || !(keys || t.perm == SWAP) {
        return None;
    }
    nodes.extend([reshape, transpose]);
    Some(Heads { outer, count, features, keys, result: *result })
}

/// Whether both products can be one.
pub(super) fn alike(g: &Graph, a: &Projection, b: &Projection) -> bool {
    let rows = |p: &Projection| p.weights.shape()[1 - p.columns];
    crate::queries::same_op(g.node(a.product).op(), g.node(b.product).op())
        && a.weights.dtype() == b.weights.dtype()
        && a.scaled.as_ref().map(|s| &s.cast) == b.scaled.as_ref().map(|s| &s.cast)
        && rows(a) == rows(b)
}

/// The nodes that use what is made of `v`, while each has one user.
fn path(g: &Graph, v: ValueId) -> Vec<NodeId> {
    let mut out = vec![];
    let mut v = Some(v);
    while let Some(n) = v.and_then(|v| g.single_user(v)).filter(|_| out.len() < STEPS) {
        out.push(n);
        v = g.node(n).outputs().first().copied();
    }
    out
}

/// Whether an operator of attention reads `v` as it is.
fn feeds_attention(g: &Graph, v: ValueId) -> bool {
    const READERS: &[&str] = &[
        "attention",
        "multi_head_attention",
        "group_query_attention",
        "rotary_embedding",
        "contrib_rotary_embedding",
    ];
    g.value(v).uses().iter().take(MOST_USES).any(|u| match u {
        Use::Node { node, .. } => READERS.contains(&g.node(*node).op().name()),
        Use::Output(_) => false,
    })
}

fn merge(g: &mut Graph, n: NodeId) -> Outcome {
    let Some(first) = projection(g, n) else { return Outcome::Skip };
    let Some(x) = g.node(n).input(0) else { return Outcome::Skip };
    if g.value(x).uses().len() > MOST_USES {
        return Outcome::miss("too much uses the operand");
    }
    let users = g.value(x).uses().iter().filter_map(|u| match u {
        Use::Node { node, slot: 0 } if *node != n => Some(*node),
        _ => None,
    });
    let others: Vec<Projection> =
        users.filter_map(|u| projection(g, u)).filter(|p| alike(g, &first, p)).collect();
    let mut group: Vec<Projection> = std::iter::once(first).chain(others).collect();
    if group.len() < 2 {
        return Outcome::Skip;
    }
    if group.iter().any(|p| feeds_attention(g, p.plain)) && !planted(INFO.name) {
        return Outcome::miss("an operator of attention reads the results where they are");
    }
    if group.len() > FEW {
        let own = path(g, group[0].plain);
        group.retain(|p| p.product == n || path(g, p.plain).iter().any(|s| own.contains(s)));
    }
    let by_heads = group[0].heads.clone().filter(|first| {
        let same = |h: &Heads| h.features == first.features && h.outer == first.outer;
        group.iter().filter(|p| p.heads.as_ref().is_some_and(same)).count() > 1
    });
    if let Some(first) = &by_heads {
        group.retain(|p| {
            p.heads.as_ref().is_some_and(|h| h.features == first.features && h.outer == first.outer)
        });
    }
    group.sort_by(|a, b| {
        if g.comes_before(a.product, b.product) {
            std::cmp::Ordering::Less
        } else {
            std::cmp::Ordering::Greater
        }
    });
    if group.len() < 2 || !pays(g, &group, by_heads.is_some()) {
        return Outcome::miss("there would not be fewer nodes");
    }
    Outcome::of(replace(g, x, &group, by_heads.as_ref()))
}

/// Whether there are fewer nodes when `group` is merged.
fn pays(g: &Graph, group: &[Projection], by_heads: bool) -> bool {
    let depth = if by_heads { 2 } else { 0 };
    let adds =
        |p: &Projection| usize::from(p.bias.is_some() && matches!(g.node(p.product).op(), Op::MatMul(_)));
    let keys = |p: &Projection| usize::from(by_heads && p.heads.as_ref().is_some_and(|h| h.keys));
    let stored = |p: &Projection| if p.scaled.is_some() { 2 } else { 0 };
    let before: usize = group.iter().map(|p| 1 + stored(p) + adds(p) + depth).sum();
    let added = group.iter().map(adds).max().unwrap_or(0) + group.iter().map(stored).max().unwrap_or(0);
    let after = 2 + depth + added + group.iter().map(keys).sum::<usize>();
    after < before
}

/// Makes the merged product in place of the result that comes first, and lets all results be parts of it.
fn replace(g: &mut Graph, x: ValueId, group: &[Projection], by_heads: Option<&Heads>) -> Result<(), Diag> {
    let wrong = |m: &str| Diag::error("E0403", m.to_owned());
    let olds: Vec<ValueId> = group.iter().map(|p| p.result(by_heads.is_some())).collect();
    let roots: Vec<NodeId> = olds.iter().filter_map(|v| g.producer(*v)).collect();
    let mut at = 0;
    for i in 1..roots.len() {
        if g.comes_before(roots[i], roots[at]) {
            at = i;
        }
    }
    let root = *roots.get(at).ok_or_else(|| wrong("a result is not computed"))?;
    let nodes: Vec<NodeId> =
        group.iter().flat_map(|p| p.nodes.iter().copied()).filter(|n| *n != root).collect();
    let mut news = vec![];
    g.rewrite(root, &nodes, |b| {
        news = build(b, x, group, by_heads)?;
        let fits = olds.iter().zip(&news).all(|(o, n)| b.graph().ty(*o).meet(b.graph().ty(*n)).is_some());
        if fits { Ok(vec![news[at]]) } else { Err(wrong("the parts do not have the types of the results")) }
    })?;
    for (i, (old, new)) in olds.iter().zip(&news).enumerate() {
        if i != at {
            g.replace_uses(*old, *new)?;
            g.erase_dead(roots[i]);
        }
    }
    Ok(())
}

/// The parts of the merged product.
fn build(
    b: &mut Builder<'_>,
    x: ValueId,
    group: &[Projection],
    by_heads: Option<&Heads>,
) -> Result<Vec<ValueId>, Diag> {
    let y = product(b, x, group)?;
    let (y, axis, sizes) = match by_heads {
        None => (y, -1, group.iter().map(|p| p.size() as i64).collect::<Vec<_>>()),
        Some(first) => {
            let sizes: Vec<i64> = group.iter().filter_map(|p| Some(p.heads.as_ref()?.count)).collect();
            let shape = b.ints(&[first.outer[0], first.outer[1], sizes.iter().sum(), first.features]);
            let y = b.reshape(Reshape { allowzero: false }, y, shape)?;
            (b.transpose(Transpose { perm: SWAP.to_vec() }, y)?, 1, sizes)
        }
    };
    let sizes = b.ints(&sizes);
    let parts = b.add_n(Split { axis, num_outputs: None }, &[Some(y), Some(sizes)], group.len())?;
    let turned = |(p, part): (&Projection, ValueId)| match &p.heads {
        Some(h) if h.keys && by_heads.is_some() => b.transpose(Transpose { perm: vec![0, 1, 3, 2] }, part),
        _ => Ok(part),
    };
    group.iter().zip(parts).map(turned).collect()
}

/// The weights of all, and the biases where any has one.
pub(super) fn joined(group: &[Projection]) -> Result<(Tensor, Option<Tensor>), TensorError> {
    let columns = group.first().map_or(1, |p| p.columns);
    let weights: Vec<Tensor> = group.iter().map(|p| p.weights.clone()).collect();
    let bias = |p: &Projection| match &p.bias {
        Some(t) => Ok(t.clone()),
        None => Tensor::splat(&Tensor::scalar(-0.0f64).cast(p.dtype(), false)?, &[p.size()]),
    };
    let bias = if group.iter().any(|p| p.bias.is_some()) {
        Some(Tensor::concat(&group.iter().map(bias).collect::<Result<Vec<_>, _>>()?, 0)?)
    } else {
        None
    };
    Ok((Tensor::concat(&weights, columns)?, bias))
}

/// The product by all weights, with all biases.
fn product(b: &mut Builder<'_>, x: ValueId, group: &[Projection]) -> Result<ValueId, Diag> {
    let (weights, bias) = joined(group).map_err(|e| Diag::error("E0403", e.to_string()))?;
    let (mut weights, bias) = (b.constant(weights), bias.map(|t| b.constant(t)));
    let first = group.first().ok_or_else(|| Diag::error("E0901", "no products"))?;
    if let Some(scaled) = &first.scaled {
        let all: Vec<Tensor> =
            group.iter().filter_map(|p| Some(p.scaled.as_ref()?.factors.clone())).collect();
        let factors = Tensor::concat(&all, 1).map_err(|e| Diag::error("E0403", e.to_string()))?;
        let factors = b.constant(factors);
        let floats = b.cast(scaled.cast.clone(), weights)?;
        weights = b.mul(Mul {}, floats, factors)?;
    }
    let op = b.graph().node(first.product).op().clone();
    let sum = bias.filter(|_| matches!(op, Op::MatMul(_)));
    let own = bias.filter(|_| sum.is_none());
    let operands = [Some(x), Some(weights), own];
    let y = b.add(op, if own.is_some() { &operands } else { &operands[..2] })?;
    let y = *y.first().ok_or_else(|| Diag::error("E0901", "an operator without results"))?;
    match sum {
        Some(bias) => b.plus(Add {}, y, bias),
        None => Ok(y),
    }
}
