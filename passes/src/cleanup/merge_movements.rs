//! `merge-movements`
//!
//! ```text
//! %a = reshape(%x: f32[8, 6, 4], ..): f32[16, 4, 6]      ->  %a = reshape(%x): f32[8, 2, 3, 2, 2]
//! %b = transpose(%a) {perm=[1, 0, 2]}                        %b = transpose(%a) {perm=..}
//! %c = reshape(%b, ..)                                       %y = reshape(%b)
//! %y = transpose(%c) {perm=..}
//! ```
//! A chain of reshapes and transposes moves data once: its operand is split into parts, they change places, and the result is put together.
//! Of the forms that do it, with or without a reshape before and behind, the one of fewest nodes is taken: where all that moves are axes of
//! size 1 and whole axes, one transpose or one reshape.
//!
//! - The chain holds a transpose, and nothing else uses what is between.
//! - Each size is a product of parts that the whole chain agrees on: parts are fixed sizes or terms of symbols.
//! - In a list of sizes, one may be known at run time only, or is that of the same axis of what is reshaped. No size is 0.
//! - There are fewer nodes after it, or as many of which fewer are transposes.
use crate::fault::planted;
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

fn is_transpose(g: &Graph, n: NodeId) -> bool {
    matches!(g.node(n).op(), Op::Transpose(_))
}

fn is_movement(g: &Graph, n: NodeId) -> bool {
    matches!(
        g.node(n).op(),
        Op::Transpose(_) | Op::Reshape(_) | Op::Squeeze(_) | Op::Unsqueeze(_) | Op::Flatten(_)
    )
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
    let first = out.iter().position(|n| is_transpose(g, *n)).unwrap_or(0);
    // A reshape before the first transpose only splits what that one moves.
    out.split_off(first.saturating_sub(1))
}

/// Sizes of parts, parts of each axis of the operand, and parts of each axis now.
struct Parts {
    sizes: Vec<SymInt>,
    operand: Vec<Vec<usize>>,
    now: Vec<Vec<usize>>,
}

impl Parts {
    fn of(dims: &[Dim]) -> Option<Self> {
        let sizes: Vec<SymInt> = dims.iter().map(Dim::to_sym).collect::<Option<_>>()?;
        let now: Vec<Vec<usize>> = (0..sizes.len()).map(|i| vec![i]).collect();
        Some(Self { operand: now.clone(), sizes, now })
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
        for list in self.now.iter_mut().chain(&mut self.operand) {
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
        let (before, after) = (large(&self.operand.concat()), large(&self.now.concat()));
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

/// What a reshape lists: at most one size follows from the others, and one that is not fixed may be that of the same axis before.
fn listed(before: &[SymInt], after: &[SymInt]) -> Option<Vec<i64>> {
    let fixed: Vec<Option<i64>> = after.iter().map(SymInt::as_const).collect();
    if fixed.contains(&Some(0)) {
        return None;
    }
    if fixed.iter().filter(|s| s.is_none()).count() <= 1 {
        return Some(fixed.into_iter().map(|s| s.unwrap_or(-1)).collect());
    }
    let one = |(i, s): (usize, &Option<i64>)| s.or_else(|| (before.get(i) == after.get(i)).then_some(0));
    fixed.iter().enumerate().map(one).collect()
}

/// One step of what takes the place of a chain.
enum Step {
    Reshape(Vec<i64>),
    Transpose(Vec<i64>),
}

/// Axes without parts, which have size 1, put behind the axis before them; the other ones sorted by `at`.
fn placed(axes: &[Vec<usize>], at: impl Fn(&[usize]) -> Option<usize>) -> Option<Vec<usize>> {
    let mut order: Vec<(usize, usize)> = vec![];
    for (i, axis) in axes.iter().enumerate() {
        if !axis.is_empty() {
            order.push((at(axis)?, i));
        }
    }
    order.sort_unstable();
    let mut out: Vec<usize> = order.into_iter().map(|(_, i)| i).collect();
    for i in (0..axes.len()).filter(|i| axes[*i].is_empty()) {
        let before = i.checked_sub(1).and_then(|b| out.iter().position(|o| *o == b));
        out.insert(before.map_or(0, |b| b + 1), i);
    }
    Some(out)
}

/// Where the parts `run` are in `list`, when they are there side by side.
fn position(list: &[usize], run: &[usize]) -> Option<usize> {
    let at = list.iter().position(|p| Some(p) == run.first())?;
    (list.get(at..at + run.len()) == Some(run)).then_some(at)
}

/// What a transpose does to sizes.
fn moved(sizes: &[SymInt], perm: &[usize]) -> Vec<SymInt> {
    perm.iter().filter_map(|p| sizes.get(*p).cloned()).collect()
}

fn perm_of(order: &[usize]) -> Vec<i64> {
    order.iter().map(|p| *p as i64).collect()
}

impl Parts {
    /// Axes of the operand and of the result, without parts of size 1.
    fn axes(&self) -> (Vec<Vec<usize>>, Vec<Vec<usize>>) {
        let large = |axes: &[Vec<usize>]| {
            let axis = |a: &Vec<usize>| a.iter().copied().filter(|p| !self.is_one(*p)).collect();
            axes.iter().map(axis).collect()
        };
        (large(&self.operand), large(&self.now))
    }
    fn size(&self, axis: &[usize]) -> Option<SymInt> {
        axis.iter().try_fold(SymInt::from(1), |product, part| product.mul(&self.sizes[*part]))
    }
    fn shape(&self, axes: &[Vec<usize>]) -> Option<Vec<SymInt>> {
        axes.iter().map(|a| self.size(a)).collect()
    }
    /// A reshape alone, or nothing.
    fn in_place(&self) -> Option<Vec<Step>> {
        let (before, after) = self.axes();
        if before.concat() != after.concat() {
            return None;
        }
        let (x, y) = (self.shape(&before)?, self.shape(&after)?);
        if x == y { Some(vec![]) } else { Some(vec![Step::Reshape(listed(&x, &y)?)]) }
    }
    /// A transpose of whole axes alone.
    fn whole_axes(&self) -> Option<Vec<Step>> {
        let (before, after) = self.axes();
        let mut ones = (0..before.len()).filter(|i| before[*i].is_empty());
        let mut perm = vec![];
        for axis in &after {
            perm.push(if axis.is_empty() { ones.next()? } else { before.iter().position(|b| b == axis)? });
        }
        if planted("merge-movements") {
            perm.reverse();
        }
        (ones.next().is_none() && perm.len() == before.len()).then(|| vec![Step::Transpose(perm_of(&perm))])
    }
    /// A reshape into the axes of the result, and a transpose.
    fn split_first(&self) -> Option<Vec<Step>> {
        let (before, after) = self.axes();
        let all = before.concat();
        let order = placed(&after, |axis| position(&all, axis))?;
        let sizes = moved(&self.shape(&after)?, &order);
        let mut perm = vec![0; order.len()];
        for (at, axis) in order.iter().enumerate() {
            *perm.get_mut(*axis)? = at;
        }
        Some(vec![Step::Reshape(listed(&self.shape(&before)?, &sizes)?), Step::Transpose(perm_of(&perm))])
    }
    /// A transpose of the axes of the operand, and a reshape.
    fn move_first(&self) -> Option<Vec<Step>> {
        let (before, after) = self.axes();
        let all = after.concat();
        let order = placed(&before, |axis| position(&all, axis))?;
        let sizes = moved(&self.shape(&before)?, &order);
        Some(vec![Step::Transpose(perm_of(&order)), Step::Reshape(listed(&sizes, &self.shape(&after)?)?)])
    }
    /// A transpose between two reshapes.
    fn in_full(&self) -> Option<Vec<Step>> {
        let (before, after) = self.axes();
        let (sizes, perm) = self.runs()?;
        let order: Vec<usize> = perm.iter().map(|p| usize::try_from(*p).ok()).collect::<Option<_>>()?;
        let split = listed(&self.shape(&before)?, &sizes)?;
        let joined = listed(&moved(&sizes, &order), &self.shape(&after)?)?;
        Some(vec![Step::Reshape(split), Step::Transpose(perm), Step::Reshape(joined)])
    }
}

/// Nodes, and transposes among them.
type Cost = (usize, usize);

fn cost(steps: &[Step]) -> Cost {
    (steps.len(), steps.iter().filter(|s| matches!(s, Step::Transpose(_))).count())
}

/// The fewest steps that do what `chain` does.
fn fewest(g: &Graph, chain: &[NodeId]) -> Option<Vec<Step>> {
    let mut parts = Parts::of(dims(g, g.node(*chain.first()?).input(0)?)?)?;
    chain.iter().try_for_each(|n| parts.step(g, *n))?;
    let forms =
        [parts.in_place(), parts.whole_axes(), parts.split_first(), parts.move_first(), parts.in_full()];
    forms.into_iter().flatten().min_by_key(|f| cost(f))
}

fn merge(g: &mut Graph, n: NodeId) -> Outcome {
    if !is_movement(g, n) {
        return Outcome::Skip;
    }
    let all = chain(g, n);
    // Without the reshape before the first transpose there may be a form where with it there is none.
    for chain in [&all[..], all.get(1..).unwrap_or_default()] {
        let transposes = chain.iter().filter(|n| is_transpose(g, **n)).count();
        if chain.len() < 2 || transposes == 0 {
            return Outcome::miss("there is no transpose with another movement in its chain");
        }
        let Some(steps) = fewest(g, chain) else { continue };
        if cost(&steps) >= (chain.len(), transposes) {
            continue;
        }
        let Some(x) = g.node(chain[0]).input(0) else { return Outcome::Skip };
        return Outcome::of(g.rewrite(n, &chain[..chain.len() - 1], |b| {
            let mut v = x;
            for step in &steps {
                v = match step {
                    Step::Transpose(perm) => b.transpose(Transpose { perm: perm.clone() }, v)?,
                    Step::Reshape(sizes) => {
                        let list = b.ints(sizes);
                        b.reshape(Reshape::default(), v, list)?
                    }
                };
            }
            Ok(vec![v])
        }));
    }
    Outcome::miss(
        "no shorter form is known: sizes have no known parts in common, or several are known at run time only",
    )
}
