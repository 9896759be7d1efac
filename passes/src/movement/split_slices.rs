//! `split-slices`
//!
//! ```text
//! %a = slice(%x: f32[N, 6], [0], [2], [1])      %a, %b = split(%x, [2, 4]) {axis=1}
//! %b = slice(%x, [2], [6], [1])             ->
//! ```
//! - The slices cut one axis only, of fixed size, with steps of 1 between constant positions, and do not overlap.
//! - What no slice takes is a piece that nothing uses: it takes time, so it is at most a quarter of what is taken, or a few kilobytes.
use crate::cuts::{Cut, dims, size, sliced};
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Pass, PassInfo};
use crate::queries::fixed_bytes;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::movement::split::Split;
use std::collections::HashMap;

/// The pass.
pub struct SplitSlices;

const INFO: PassInfo =
    PassInfo { name: "split-slices", doc: "Makes one split of several slices that cut a value into pieces." };

/// Bytes that may be copied for nothing to have fewer nodes.
const SMALL: usize = 4 << 10;

impl Pass for SplitSlices {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        let mut groups: Vec<Vec<(NodeId, Cut)>> = vec![];
        let mut at: HashMap<(ValueId, usize), usize> = HashMap::new();
        for n in g.order() {
            let Some(s) = sliced(g, n) else { continue };
            let [cut] = s.cuts.as_slice() else { continue };
            let known = dims(g, s.x).and_then(|d| size(d, cut.axis)).is_some();
            if cut.step != 1 || !known || g.constant(s.x).is_some() {
                cx.miss(g, n, "the size of the axis is not known, or steps are not 1");
                continue;
            }
            let i = *at.entry((s.x, cut.axis)).or_insert_with(|| {
                groups.push(vec![]);
                groups.len() - 1
            });
            groups[i].push((n, *cut));
        }
        let mut changed = Changed::default();
        for mut slices in groups {
            loop {
                match split(g, &slices) {
                    Ok(()) => changed.add(),
                    Err(reason) => {
                        cx.miss(g, slices[0].0, reason);
                        break;
                    }
                }
                // Those that overlap may be pieces of another split.
                slices.retain(|s| !g.node(s.0).is_erased());
                if slices.is_empty() {
                    break;
                }
            }
        }
        Ok(changed)
    }
}

/// Those of `slices` that do not overlap, in the order of their positions.
fn disjoint(slices: &[(NodeId, Cut)]) -> Vec<(NodeId, Cut)> {
    let mut sorted: Vec<(NodeId, Cut)> = slices.iter().copied().filter(|s| s.1.end > s.1.start).collect();
    sorted.sort_by_key(|s| s.1.end);
    let mut out: Vec<(NodeId, Cut)> = vec![];
    for s in sorted {
        if out.last().is_none_or(|last| last.1.end <= s.1.start) || planted("split-slices") {
            out.push(s);
        }
    }
    out
}

/// Sizes of the pieces of an axis of that size, and which piece each slice is.
fn pieces(parts: &[(NodeId, Cut)], size: i64) -> (Vec<i64>, Vec<usize>) {
    let (mut sizes, mut at, mut done) = (vec![], vec![], 0);
    for (_, cut) in parts {
        if cut.start > done {
            sizes.push(cut.start - done);
        }
        at.push(sizes.len());
        sizes.push(cut.end - cut.start);
        done = cut.end;
    }
    if done < size {
        sizes.push(size - done);
    }
    (sizes, at)
}

fn split(g: &mut Graph, slices: &[(NodeId, Cut)]) -> Result<(), String> {
    if slices.len() < 2 {
        return Err("nothing else is cut from this value along this axis".into());
    }
    let parts = disjoint(slices);
    // What is cut may be a piece of a split by now.
    let Some(x) = g.node(slices[0].0).input(0) else { return Err("nothing is cut".into()) };
    let axis = slices[0].1.axis;
    let Some(size) = dims(g, x).and_then(|d| size(d, axis)) else {
        return Err("the size is not known".into());
    };
    if parts.len() < 2 {
        return Err("the slices overlap".into());
    }
    let taken: i64 = parts.iter().map(|p| p.1.end - p.1.start).sum();
    let small = fixed_bytes(g.ty(x)).is_some_and(|b| b <= SMALL);
    if size - taken > taken / 4 && !small {
        return Err("too much is taken by no slice".into());
    }
    let (sizes, at) = pieces(&parts, size);
    // The first in order has `x` before it, and all others behind.
    let Some(root) = slices.iter().map(|s| s.0).find(|n| parts.iter().any(|p| p.0 == *n)) else {
        return Err("nothing is taken".into());
    };
    let others: Vec<NodeId> = parts.iter().map(|p| p.0).filter(|n| *n != root).collect();
    let mut made = vec![];
    g.rewrite(root, &others, |b| {
        let list = b.ints(&sizes);
        let op = Split { axis: axis as i64, num_outputs: None };
        made = b.add_n(op, &[Some(x), Some(list)], sizes.len())?;
        let own = parts.iter().position(|p| p.0 == root).and_then(|i| made.get(at[i]));
        Ok(own.copied().into_iter().collect())
    })
    .map_err(|d| d.message)?;
    for ((n, _), i) in parts.iter().zip(&at).filter(|(p, _)| p.0 != root) {
        if let Some(old) = g.node(*n).outputs().first().copied() {
            g.replace_uses(old, made[*i]).map_err(|d| d.message)?;
            g.erase_dead(*n);
        }
    }
    Ok(())
}
