//! `merge-duplicates`
//!
//! ```text
//! %a = exp(%x)           %a = exp(%x)
//! %b = exp(%x)           %c = add(%a, %a)
//! %c = add(%a, %b)  ->
//! ```
//! - Two nodes merge when operator, attributes, operands and number of results are the same, bit for bit, the operator is
//!   deterministic and known to Hoist, and they have no bodies.
//! - Two constants merge when type and elements are the same bit for bit. Elements are compared up to 64 KiB; larger constants
//!   merge only where both read the same memory. Constants that are moved while they are written merge when what is moved
//!   does, and they are moved alike.
//!
//! The first one in order stays and keeps its name.
use crate::fault::planted;
use crate::fingerprint::{Text, hash_tensor};
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use crate::queries::{is_deterministic, same_op};
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Def, Graph, NodeId, ValueId};
use hoist_ir::tensor::{Lazy, Storage, Tensor};
use std::collections::HashMap;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// The pass.
pub struct MergeDuplicates;

const INFO: PassInfo = PassInfo {
    name: "merge-duplicates",
    doc: "Merges nodes that compute the same from the same operands, and equal constants.",
};

/// Constants up to this size are compared by their elements.
const MOST_COMPARED: usize = 64 << 10;

impl Pass for MergeDuplicates {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        let constants = merge_constants(g)?;
        let mut seen: HashMap<u64, Vec<NodeId>> = HashMap::new();
        let nodes = sweep(g, cx, |g, n| merge_node(g, n, &mut seen));
        Ok(Changed(constants.0.saturating_add(nodes.0)))
    }
}

fn merge_node(g: &mut Graph, n: NodeId, seen: &mut HashMap<u64, Vec<NodeId>>) -> Outcome {
    let candidates = seen.entry(node_hash(g, n)).or_default();
    let Some(first) = candidates.iter().copied().find(|c| same_node(g, *c, n)) else {
        candidates.push(n);
        return Outcome::Skip;
    };
    if !g.node(n).bodies().is_empty() {
        return Outcome::miss("nodes with bodies are not compared");
    }
    if !is_deterministic(g, n) && !planted("merge-duplicates") {
        return Outcome::miss("the operator may compute something else each time");
    }
    let pairs: Vec<(ValueId, ValueId)> =
        g.node(n).outputs().iter().copied().zip(g.node(first).outputs().iter().copied()).collect();
    if !pairs.iter().all(|(dup, kept)| g.ty(*dup).meet(g.ty(*kept)).is_some()) {
        return Outcome::miss("the results are declared with types that contradict");
    }
    let origin = g.node(n).origin.clone();
    g.add_origin(first, &origin);
    Outcome::of(
        pairs.into_iter().try_for_each(|(dup, kept)| g.replace_uses(dup, kept)).and_then(|()| g.erase(n)),
    )
}

fn node_hash(g: &Graph, n: NodeId) -> u64 {
    let node = g.node(n);
    let mut h = DefaultHasher::new();
    node.op().name().hash(&mut h);
    for spec in node.op().schema().attrs {
        let Some(attr) = node.op().def().attr(spec.name) else { continue };
        spec.name.hash(&mut h);
        match &attr {
            Attr::Tensor(t) => (t.dtype(), t.shape()).hash(&mut h),
            // Writing to a hasher cannot fail.
            _ => write!(Text(&mut h), "{attr}").unwrap_or_default(),
        }
    }
    node.inputs().hash(&mut h);
    node.outputs().len().hash(&mut h);
    h.finish()
}

fn same_node(g: &Graph, a: NodeId, b: NodeId) -> bool {
    let (a, b) = (g.node(a), g.node(b));
    a.inputs() == b.inputs() && a.outputs().len() == b.outputs().len() && same_op(a.op(), b.op())
}

fn merge_constants(g: &mut Graph) -> Result<Changed, Diag> {
    let mut seen: HashMap<u64, Vec<ValueId>> = HashMap::new();
    let mut changed = Changed::default();
    let used = |(v, value): (ValueId, &hoist_ir::graph::Value)| {
        (value.def() == Def::Const && !value.uses().is_empty()).then_some(v)
    };
    for v in g.values().filter_map(used).collect::<Vec<_>>() {
        let Some(t) = g.constant(v) else { continue };
        let candidates = seen.entry(tensor_hash(t)).or_default();
        let same = |c: &ValueId| g.constant(*c).is_some_and(|c| same_tensor(c, t));
        if let Some(first) = candidates.iter().copied().find(same) {
            g.replace_uses(v, first)?;
            g.drop_unused_const(v);
            changed.add();
        } else {
            candidates.push(v);
        }
    }
    Ok(changed)
}

/// Whether the elements are compared rather than where they are. Lazy tensors are not computed for this.
fn by_elements(t: &Tensor) -> bool {
    match t.storage() {
        Storage::Bytes(..) | Storage::Owned(_) => t.byte_len() <= MOST_COMPARED,
        Storage::Strings(s) => s.len() <= MOST_COMPARED / 64 && t.byte_len() <= MOST_COMPARED,
        Storage::Splat(_) | Storage::Lazy(_) => false,
    }
}

fn tensor_hash(t: &Tensor) -> u64 {
    let mut h = DefaultHasher::new();
    if let Storage::Lazy(lazy) = t.storage()
        && let Some((x, how)) = moved(lazy)
    {
        (t.dtype(), t.shape(), how, tensor_hash(x)).hash(&mut h);
        return h.finish();
    }
    if !by_elements(t) {
        hash_tensor(t, &mut h);
        return h.finish();
    }
    (t.dtype(), t.shape()).hash(&mut h);
    match (t.strings(), t.bytes()) {
        (Ok(s), _) => s.hash(&mut h),
        (_, Ok(b)) => b.hash(&mut h),
        _ => {}
    }
    h.finish()
}

/// What an expression moves, and how: one that only puts elements in other places.
fn moved(lazy: &Lazy) -> Option<(&Tensor, (u8, &[usize]))> {
    match lazy {
        Lazy::Reshape { x } => Some((x, (0, &[]))),
        Lazy::Permute { x, perm } => Some((x, (1, perm))),
        Lazy::Slice { x, starts } => Some((x, (2, starts))),
        _ => None,
    }
}

fn same_move(a: &Lazy, b: &Lazy) -> bool {
    matches!((moved(a), moved(b)), (Some((x, m)), Some((y, n))) if m == n && same_tensor(x, y))
}

fn same_tensor(a: &Tensor, b: &Tensor) -> bool {
    if a.dtype() != b.dtype() || a.shape() != b.shape() {
        return false;
    }
    match (a.storage(), b.storage()) {
        (Storage::Bytes(x, _), Storage::Bytes(y, _)) if x.as_ptr() == y.as_ptr() => true,
        (Storage::Owned(x), Storage::Owned(y)) if Arc::ptr_eq(x, y) => true,
        (Storage::Lazy(x), Storage::Lazy(y)) => Arc::ptr_eq(x, y) || same_move(x, y),
        (Storage::Splat(x), Storage::Splat(y)) => x == y,
        _ => by_elements(a) && by_elements(b) && a.same_bits(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoist_ir::dtype::DType;

    /// A matrix too large to be compared by its elements, in memory of its own.
    fn matrix() -> Tensor {
        let bytes = vec![7; 2 * MOST_COMPARED];
        Tensor::from_bytes(DType::U8, &[2, MOST_COMPARED], bytes.into(), None).expect("fits")
    }

    fn alike(a: &Tensor, b: &Tensor) -> bool {
        let same = same_tensor(a, b);
        assert!(!same || tensor_hash(a) == tensor_hash(b), "the same have the same hash");
        same
    }

    #[test]
    fn the_same_memory_moved_alike_is_the_same() {
        let x = matrix();
        let turned = |t: &Tensor| t.permute(&[1, 0]).expect("permutes");
        let halved = |t: &Tensor, at: usize| t.slice(&[0, at], &[MOST_COMPARED, 1]).expect("a part");
        assert!(alike(&turned(&x), &turned(&x)));
        assert!(alike(&halved(&turned(&x), 1), &halved(&turned(&x), 1)));
        assert!(!alike(&turned(&x), &turned(&matrix())), "other memory is not looked into");
        assert!(!alike(&halved(&turned(&x), 0), &halved(&turned(&x), 1)));
    }

    #[test]
    fn small_ones_are_compared_by_their_elements() {
        let row = |v: [f32; 2]| Tensor::from_vec(&[2], v.to_vec());
        assert!(alike(&row([1.0, 2.0]), &row([1.0, 2.0])));
        assert!(!alike(&row([0.0, 1.0]), &row([-0.0, 1.0])), "bits count");
        assert!(!alike(&row([1.0, 2.0]), &row([1.0, 2.0]).reshape(&[1, 2]).expect("fits")));
    }
}
