//! Structural differences between two models.
//!
//! Nodes are matched by name (their own, else that of their first result); those without a partner of the same name are matched by
//! operator and attributes. Weights are matched by name and compared by content; those without a name by content alone.
use crate::stats;
use hoist_ir::graph::{Def, Graph, NodeId};
use hoist_ir::model::Model;
use hoist_ir::ops::Op;
use hoist_ir::tensor::Tensor;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;

/// One difference: what it is about, and the change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Name of the input, output, node or weight; `None` for what has no name.
    pub name: Option<String>,
    /// As in the first model; `None` when it is only in the second.
    pub old: Option<String>,
    /// As in the second model; `None` when it is only in the first.
    pub new: Option<String>,
}

/// All differences, each list in the order of the first model, then of the second.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Difference {
    /// Inputs and outputs.
    pub interface: Vec<Entry>,
    /// Operators with their counts, where these differ: name, first, second.
    pub ops: Vec<(String, usize, usize)>,
    /// Nodes of the main graphs.
    pub nodes: Vec<Entry>,
    /// Constants of the main graphs.
    pub weights: Vec<Entry>,
}

impl Difference {
    /// Compares two models.
    pub fn new(a: &Model, b: &Model) -> Self {
        let (a, b) = (&a.graph, &b.graph);
        Self { interface: interface(a, b), ops: ops(a, b), nodes: nodes(a, b), weights: weights(a, b) }
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.interface.is_empty() && self.ops.is_empty() && self.nodes.is_empty() && self.weights.is_empty()
    }
}

fn interface(a: &Graph, b: &Graph) -> Vec<Entry> {
    let lists = |g: &Graph| {
        let i = g.interface();
        let text = |kind: &str, list: Vec<(std::sync::Arc<str>, hoist_ir::types::Type)>| {
            list.into_iter()
                .enumerate()
                .map(|(at, (n, t))| (format!("{kind} {n}"), format!("{t}, position {at}")))
                .collect::<Vec<_>>()
        };
        [text("input", i.inputs), text("output", i.outputs)].concat()
    };
    by_name(&lists(a), &lists(b))
}

fn ops(a: &Graph, b: &Graph) -> Vec<(String, usize, usize)> {
    let count = |g: &Graph| stats::of(g).ops.into_iter().collect::<BTreeMap<_, _>>();
    let (a, b) = (count(a), count(b));
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let of = |map: &BTreeMap<String, usize>, name: &String| map.get(name).copied().unwrap_or(0);
    let all = names.into_iter().map(|n| (n.clone(), of(&a, n), of(&b, n)));
    all.filter(|(_, x, y)| x != y).collect()
}

/// Entries of two lists of named texts that are not in both with the same text. Of several with one name the first counts.
fn by_name(a: &[(String, String)], b: &[(String, String)]) -> Vec<Entry> {
    let index = |list: &[(String, String)]| {
        let mut map = BTreeMap::new();
        for (name, text) in list {
            map.entry(name.clone()).or_insert_with(|| text.clone());
        }
        map
    };
    let (old, new) = (index(a), index(b));
    let mut seen = BTreeSet::new();
    let names = a.iter().chain(b).map(|(name, _)| name).filter(|name| seen.insert(name.as_str()));
    let entry = |name: &String| Entry {
        name: Some(name.clone()),
        old: old.get(name).cloned(),
        new: new.get(name).cloned(),
    };
    names.map(entry).filter(|e| e.old != e.new).collect()
}

/// Entries without a partner among texts that have no names.
fn by_text(a: &[String], b: &[String]) -> Vec<Entry> {
    let count = |list: &[String]| {
        let mut map: BTreeMap<String, usize> = BTreeMap::new();
        for text in list {
            *map.entry(text.clone()).or_insert(0) += 1;
        }
        map
    };
    let left = |list: &[String], other: &[String]| {
        let mut other = count(other);
        let unmatched = |text: &&String| match other.get_mut(*text) {
            Some(n) if *n > 0 => {
                *n -= 1;
                false
            }
            _ => true,
        };
        list.iter().filter(unmatched).cloned().collect::<Vec<_>>()
    };
    let gone = left(a, b).into_iter().map(|t| Entry { name: None, old: Some(t), new: None });
    let come = left(b, a).into_iter().map(|t| Entry { name: None, old: None, new: Some(t) });
    gone.chain(come).collect()
}

fn nodes(a: &Graph, b: &Graph) -> Vec<Entry> {
    let (old, new) = (described(a), described(b));
    let common: BTreeSet<&String> = {
        let names =
            |list: &'_ [Described]| list.iter().filter_map(|d| d.name.clone()).collect::<BTreeSet<_>>();
        let (x, y) = (names(&old), names(&new));
        old.iter().filter_map(|d| d.name.as_ref()).filter(|n| x.contains(*n) && y.contains(*n)).collect()
    };
    let named = |list: &[Described]| -> Vec<(String, String)> {
        let full = |d: &Described| {
            let name = d.name.clone().filter(|n| common.contains(n))?;
            Some((name, format!("{}({})", d.what, d.operands)))
        };
        list.iter().filter_map(full).collect()
    };
    let mut entries = by_name(&named(&old), &named(&new));
    // The rest: renamed, removed or added.
    let rest = |list: &[Described]| -> Vec<(String, Option<String>)> {
        let apart = list.iter().filter(|d| d.name.as_ref().is_none_or(|n| !common.contains(n)));
        apart.map(|d| (d.what.clone(), d.name.clone())).collect()
    };
    let (rest_old, rest_new) = (rest(&old), rest(&new));
    let texts = |rest: &[(String, Option<String>)]| rest.iter().map(|(t, _)| t.clone()).collect::<Vec<_>>();
    entries.extend(by_text(&texts(&rest_old), &texts(&rest_new)));
    entries
}

/// A node for comparison.
struct Described {
    name: Option<String>,
    what: String,
    operands: String,
}

fn described(g: &Graph) -> Vec<Described> {
    let describe = |n: NodeId| {
        let node = g.node(n);
        let of_result = || node.outputs().first().and_then(|v| g.value(*v).name.clone());
        let name = node.name.clone().filter(|n| !n.is_empty()).or_else(of_result).map(|n| n.to_string());
        let operands: Vec<String> =
            node.inputs().iter().map(|v| v.map_or_else(|| "-".to_owned(), |v| operand(g, v))).collect();
        Described { name, what: what(node.op()), operands: operands.join(", ") }
    };
    g.order().map(describe).collect()
}

fn operand(g: &Graph, v: hoist_ir::graph::ValueId) -> String {
    let value = g.value(v);
    match (&value.name, value.def()) {
        (Some(name), _) => name.to_string(),
        (None, Def::Const) => format!("constant {}", value.ty()),
        (None, _) => value.ty().to_string(),
    }
}

/// Operator and attributes.
fn what(op: &Op) -> String {
    let attrs: Vec<String> = op.set_attrs().iter().map(|(name, value)| format!("{name}={value}")).collect();
    let name = stats::op_name(op);
    if attrs.is_empty() { name } else { format!("{name} {{{}}}", attrs.join(", ")) }
}

fn weights(a: &Graph, b: &Graph) -> Vec<Entry> {
    let split = |g: &Graph| {
        let (mut named, mut others) = (vec![], vec![]);
        for (v, value) in
            g.values().filter(|(_, value)| value.def() == Def::Const && !value.uses().is_empty())
        {
            let Some(tensor) = g.constant(v) else { continue };
            let text = format!("{} {}", tensor.ty(), content(tensor));
            match &value.name {
                Some(name) => named.push((name.to_string(), text)),
                None => others.push(text),
            }
        }
        (named, others)
    };
    let ((old, old_rest), (new, new_rest)) = (split(a), split(b));
    let mut entries = by_name(&old, &new);
    entries.extend(by_text(&old_rest, &new_rest));
    entries
}

/// First 16 hexadecimal digits of the SHA-256 of the elements.
fn content(tensor: &Tensor) -> String {
    struct Sink(Sha256);
    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut sink = Sink(Sha256::new());
    if let Ok(strings) = tensor.strings() {
        for text in strings {
            sink.0.update((text.len() as u64).to_le_bytes());
            sink.0.update(text.as_bytes());
        }
    } else if let Err(e) = tensor.write_to(&mut sink) {
        return format!("unreadable: {e}");
    }
    let digest = sink.0.finalize();
    let mut text = String::new();
    for byte in digest.iter().take(8) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoist_ir::text::parse_model;

    fn diff(a: &str, b: &str) -> Difference {
        Difference::new(&parse_model(a).expect("valid"), &parse_model(b).expect("valid"))
    }

    const A: &str = "graph @g(%x: f32[N, 3]) {\n  %w = const f32[1] [1]\n  %s = add(%x, %w)\n  %t = relu(%s)\n  return y: %t\n}\n";

    #[test]
    fn a_model_equals_itself() {
        assert!(diff(A, A).is_empty());
    }

    #[test]
    fn changes_are_found() {
        let d = diff(A, &A.replace("[1] [1]", "[1] [2]"));
        assert!(d.ops.is_empty() && d.nodes.is_empty() && d.weights.len() == 1, "{d:?}");
        let d = diff(A, &A.replace("relu", "exp"));
        assert_eq!(d.ops, [("exp".to_owned(), 0, 1), ("relu".to_owned(), 1, 0)]);
        assert_eq!((d.nodes.len(), d.nodes[0].name.as_deref()), (1, Some("t")));
        let d = diff(A, &A.replace("f32[N, 3]", "f32[2, 3]"));
        assert_eq!(d.interface.len(), 2);
        let d = diff(A, &A.replace("%t", "%u"));
        assert!(d.nodes.is_empty(), "a renamed node is no change: {d:?}");
    }
}
