//! `merge-movements`
//!
//! ```text
//! %a = reshape(%x: f32[8, 6, 4], ..): f32[16, 4, 6]      ->  %a = reshape(%x): f32[8, 2, 3, 2, 2]
//! %b = transpose(%a) {perm=[1, 0, 2]}                        %b = transpose(%a) {perm=..}
//! %c = reshape(%b, ..)                                       %y = reshape(%b)
//! %y = transpose(%c) {perm=..}
//! ```
//! A chain of reshapes and transposes moves data once: its operand is split into parts, they change places, and the result is put together.
//! - The chain ends in a transpose and holds another one; nothing else uses what is between.
//! - Each size is a product of parts that the whole chain agrees on: parts are fixed sizes or terms of symbols.
//! - No more than one part, and one size of the result, is known at run time only. No size is 0.
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::dim::{Dim, SymInt};
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::movement::reshape::Reshape;
use hoist_ir::ops::movement::transpose::Transpose;

/// The pass.
pub struct MergeMovements;

const INFO: PassInfo = PassInfo {
    name: "merge-movements",
    doc: "Merges a chain of reshapes and transposes into one transpose between two reshapes.",
};

/// Most parts that sizes are split into.
const MOST_PARTS: usize = 16;
/// Most nodes of a chain.
const MOST_NODES: usize = 16;

impl Pass for MergeMovements {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, merge))
    }
}

fn dims(g: &Graph, v: ValueId) -> Option<&[Dim]> {
    g.ty(v).as_tensor()?.shape.as_deref()
}

fn is_movement(g: &Graph, n: NodeId) -> bool {
    matches!(g.node(n).op(), Op::Transpose(_) | Op::Reshape(_) | Op::Squeeze(_) | Op::Unsqueeze(_))
}

/// The nodes of the chain that ends in `last`, first one first.
fn chain(g: &Graph, last: NodeId) -> Vec<NodeId> {
    let mut out = vec![last];
    while let Some(x) = out.last().and_then(|n| g.node(*n).input(0)) {
        match g.producer(x) {
            Some(p) if is_movement(g, p) && g.single_user(x).is_some() && out.len() < MOST_NODES => {
                out.push(p);
            }
            _ => break,
        }
    }
    out.reverse();
    let first = out.iter().position(|n| matches!(g.node(*n).op(), Op::Transpose(_))).unwrap_or(0);
    // A reshape before the first transpose only splits what that one moves.
    let start =
        if first > 0 && matches!(g.node(out[first - 1]).op(), Op::Reshape(_)) { first - 1 } else { first };
    out.split_off(start)
}

/// Sizes of parts, parts of each axis of the operand, and parts of each axis now.
struct Parts {
    sizes: Vec<SymInt>,
    operand: Vec<usize>,
    now: Vec<Vec<usize>>,
}

impl Parts {
    fn of(dims: &[Dim]) -> Option<Self> {
        let sizes: Vec<SymInt> = dims.iter().map(Dim::to_sym).collect::<Option<_>>()?;
        let now = (0..sizes.len()).map(|i| vec![i]).collect();
        Some(Self { operand: (0..sizes.len()).collect(), sizes, now })
    }
    fn is_one(&self, part: usize) -> bool {
        self.sizes[part].as_const() == Some(1)
    }
    /// Splits `part` into one of size `outer` and, behind it, one of size `inner`, which is returned.
    fn split(&mut self, part: usize, outer: SymInt, inner: SymInt) -> Option<usize> {
        let new = self.sizes.len();
        if new >= MOST_PARTS {
            return None;
        }
        self.sizes[part] = outer;
        self.sizes.push(inner);
        for list in self.now.iter_mut().chain([&mut self.operand]) {
            if let Some(at) = list.iter().position(|p| *p == part) {
                list.insert(at + 1, new);
            }
        }
        Some(new)
    }
    /// Deals the parts, in their order, to axes of these sizes.
    fn reshape(&mut self, dims: &[Dim]) -> Option<()> {
        let mut left: Vec<usize> = self.now.concat().into_iter().rev().collect();
        let mut axes = vec![];
        for dim in dims {
            let mut rest = dim.to_sym()?;
            let mut axis = vec![];
            while rest.as_const() != Some(1) {
                let part = left.pop()?;
                if self.is_one(part) {
                    continue;
                }
                let size = self.sizes[part].clone();
                if let Some(more) = rest.exact_div(&size) {
                    rest = more;
                } else {
                    let inner = size.exact_div(&rest)?;
                    left.push(self.split(part, rest, inner)?);
                    rest = SymInt::from(1);
                }
                axis.push(part);
            }
            axes.push(axis);
        }
        self.now = axes;
        left.iter().all(|p| self.is_one(*p)).then_some(())
    }
    fn step(&mut self, g: &Graph, n: NodeId) -> Option<()> {
        let Op::Transpose(t) = g.node(n).op() else {
            return self.reshape(dims(g, *g.node(n).outputs().first()?)?);
        };
        let rank = self.now.len();
        let perm: Vec<i64> =
            if t.perm.is_empty() { (0..rank as i64).rev().collect() } else { t.perm.clone() };
        let axis = |p: &i64| self.now.get(usize::try_from(*p).ok()?).cloned();
        self.now = perm.iter().map(axis).collect::<Option<_>>()?;
        Some(())
    }
    /// Runs of parts that stay together, in the order of the operand, and the permutation of these runs.
    fn runs(&self) -> Option<(Vec<SymInt>, Vec<i64>)> {
        let large = |list: &[usize]| list.iter().copied().filter(|p| !self.is_one(*p)).collect::<Vec<_>>();
        let (before, after) = (large(&self.operand), large(&self.now.concat()));
        let mut runs: Vec<Vec<usize>> = vec![];
        for part in &before {
            let follows = |run: &Vec<usize>| {
                let at = after.iter().position(|p| Some(p) == run.last())?;
                (after.get(at + 1) == Some(part)).then_some(())
            };
            match runs.last_mut().filter(|run| follows(run).is_some()) {
                Some(run) => run.push(*part),
                None => runs.push(vec![*part]),
            }
        }
        let product = |run: &Vec<usize>| {
            run.iter().try_fold(SymInt::from(1), |product, part| product.mul(&self.sizes[*part]))
        };
        let sizes = runs.iter().map(product).collect::<Option<_>>()?;
        let heads: Vec<usize> = after.iter().copied().filter(|p| runs.iter().any(|r| r[0] == *p)).collect();
        let at = |head: &usize| runs.iter().position(|r| r[0] == *head).map(|i| i as i64);
        Some((sizes, heads.iter().map(at).collect::<Option<_>>()?))
    }
}

/// Sizes for a reshape, of which one may follow from the others.
fn listed(sizes: impl Iterator<Item = Option<i64>>) -> Option<Vec<i64>> {
    let list: Vec<i64> = sizes.map(|s| s.unwrap_or(-1)).collect();
    (list.iter().filter(|s| **s == -1).count() <= 1 && !list.contains(&0)).then_some(list)
}

fn merge(g: &mut Graph, n: NodeId) -> Outcome {
    if !matches!(g.node(n).op(), Op::Transpose(_)) {
        return Outcome::Skip;
    }
    let chain = chain(g, n);
    if chain.iter().filter(|n| matches!(g.node(**n).op(), Op::Transpose(_))).count() < 2 {
        return Outcome::miss("there is no other transpose in its chain");
    }
    let (Some(x), Some(y)) = (g.node(chain[0]).input(0), g.node(n).outputs().first().copied()) else {
        return Outcome::Skip;
    };
    let parts = dims(g, x).and_then(Parts::of).and_then(|mut parts| {
        chain.iter().try_for_each(|n| parts.step(g, *n))?;
        parts.runs()
    });
    let Some((sizes, perm)) = parts else {
        return Outcome::miss("the sizes have no parts in common that are known");
    };
    let after =
        dims(g, y).and_then(|d| listed(d.iter().map(|d| d.known().and_then(|n| i64::try_from(n).ok()))));
    let (Some(before), Some(after)) = (listed(sizes.iter().map(SymInt::as_const)), after) else {
        return Outcome::miss("several sizes are known at run time only, or one is 0");
    };
    Outcome::of(g.rewrite(n, &chain[..chain.len() - 1], |b| {
        let before = b.ints(&before);
        let split = b.reshape(Reshape::default(), x, before)?;
        let moved = if perm.is_sorted() { split } else { b.transpose(Transpose { perm }, split)? };
        let after = b.ints(&after);
        Ok(vec![b.reshape(Reshape::default(), moved, after)?])
    }))
}
