//! A hash of everything a pass may change, for checking that it tells the truth about changes.
use hoist_ir::entity::SideTable;
use hoist_ir::graph::{Def, Graph, Value, ValueId};
use hoist_ir::tensor::{Storage, Tensor};
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// A hash of `g` and its bodies. Values count by order of appearance, so that rebuilding a node as it was is no change; constants
/// count by type and by where their data is.
pub fn fingerprint(g: &Graph) -> u64 {
    let mut h = DefaultHasher::new();
    hash_graph(g, &mut h);
    h.finish()
}

/// Feeds displayed text to a hasher.
pub struct Text<'a>(pub &'a mut DefaultHasher);

impl Write for Text<'_> {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        self.0.write(s.as_bytes());
        Ok(())
    }
}

fn hash_graph(g: &Graph, h: &mut DefaultHasher) {
    let mut numbers: SideTable<Value, u32> = SideTable::new(0);
    let mut next = 0;
    let mut number = |v: ValueId| {
        if *numbers.get(v) == 0 {
            next += 1;
            numbers.set(v, next);
        }
        *numbers.get(v)
    };
    for v in g.inputs() {
        number(*v).hash(h);
        hash_value(g, *v, h);
    }
    for n in g.order() {
        let node = g.node(n);
        node.op().name().hash(h);
        node.name.hash(h);
        for (name, attr) in node.op().set_attrs() {
            name.hash(h);
            // Writing to a hasher cannot fail.
            let _ = write!(Text(h), "{attr}");
        }
        for v in node.inputs() {
            v.map(&mut number).hash(h);
            if let Some(t) = v.and_then(|v| g.constant(v)) {
                hash_tensor(t, h);
            }
        }
        for v in node.outputs() {
            number(*v).hash(h);
            hash_value(g, *v, h);
        }
        node.captures().hash(h);
        node.bodies().len().hash(h);
        for b in node.bodies() {
            hash_graph(b, h);
        }
    }
    for o in g.outputs() {
        o.name.hash(h);
        number(o.value).hash(h);
        hash_value(g, o.value, h);
    }
    let unused = g.values().filter(|(_, v)| v.def() == Def::Const && v.uses().is_empty()).count();
    unused.hash(h);
}

fn hash_value(g: &Graph, v: ValueId, h: &mut DefaultHasher) {
    let value = g.value(v);
    value.name.hash(h);
    value.ty().hash(h);
    value.content().hash(h);
    if let Some(t) = g.constant(v) {
        hash_tensor(t, h);
    }
}

/// Hashes type, sizes and where the data is.
pub fn hash_tensor(t: &Tensor, h: &mut DefaultHasher) {
    t.dtype().hash(h);
    t.shape().hash(h);
    match t.storage() {
        Storage::Bytes(b, _) => (0, b.as_ptr() as usize, b.len()).hash(h),
        Storage::Owned(d) => (1, d.as_bytes().as_ptr() as usize).hash(h),
        Storage::Splat(e) => (2, e).hash(h),
        Storage::Strings(s) => (3, Arc::as_ptr(s) as usize).hash(h),
        Storage::Lazy(l) => (4, Arc::as_ptr(l) as usize).hash(h),
    }
}
