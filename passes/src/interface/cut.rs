//! A part of a graph as a graph of its own.
//!
//! Values are found by name: an output of the interface, an input, any value of the main graph. What the new outputs need is kept, up to the
//! new inputs, which have the types that were inferred. Without a list of outputs those of the graph stay, without one of inputs those that are
//! needed.
use super::rebuild::Rebuild;
use crate::pipeline::near;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::graph::{Def, Graph, NodeId, ValueId};
use hoist_ir::types::Type;
use std::collections::{BTreeMap, HashMap, HashSet};

/// A part of a graph.
#[derive(Clone, Debug)]
pub struct Part {
    /// The part.
    pub graph: Graph,
    /// Inputs that nothing in it needs and that it therefore lacks.
    pub dropped: Vec<String>,
}

/// Cuts out what computes `outputs` from `inputs`; an empty list stands for that of the graph.
///
/// # Errors
/// `E0606` for each name that is that of no value, each input of the graph that an output needs and that is not listed, and a new input whose
/// type is not known.
pub fn cut(g: &Graph, inputs: &[String], outputs: &[String]) -> Result<Part, Diags> {
    let names = names(g);
    let mut diags = Diags::default();
    let shown: HashMap<&str, ValueId> = g.outputs().iter().map(|o| (&*o.name, o.value)).collect();
    let mut find = |name: &String, first: Option<ValueId>| {
        let found = first.or_else(|| names.get(name.as_str()).copied());
        if found.is_none() {
            diags.push(missing(g, name, &names));
        }
        found.map(|v| (name.clone(), v))
    };
    let mut from: Vec<(String, ValueId)> = inputs.iter().filter_map(|n| find(n, None)).collect();
    let mut to: Vec<(String, ValueId)> =
        outputs.iter().filter_map(|n| find(n, shown.get(n.as_str()).copied())).collect();
    diags.into_result()?;
    if inputs.is_empty() {
        from = g.inputs().iter().map(|v| (g.value_label(*v), *v)).collect();
    }
    if outputs.is_empty() {
        to = g.outputs().iter().map(|o| (o.name.to_string(), o.value)).collect();
    }
    let needed = needed(g, &from, &to)?;
    let mut dropped = vec![];
    let mut r = Rebuild::new(g);
    for (name, v) in &from {
        if !needed.values.contains(v) {
            dropped.push(name.clone());
        } else if g.ty(*v) == &Type::Unknown {
            let m = format!("`{name}` cannot be an input: its type is not known");
            return Err(Diag::error("E0606", m)
                .hint("cut where an operator that Hoist knows computes it")
                .into());
        } else if !r.has(*v) {
            r.input(*v, name, g.ty(*v).clone());
        }
    }
    for n in g.order().filter(|n| needed.nodes.contains(n)) {
        let new = r.copy(n)?;
        let results = r.graph().node(new).outputs().to_vec();
        for (old, new) in g.node(n).outputs().iter().zip(results) {
            // What a file declares and inference cannot see still holds.
            let _ = r.graph_mut().declare_type(new, g.ty(*old));
        }
    }
    for (name, v) in &to {
        let notes = g.outputs().iter().find(|o| *o.name == **name).and_then(|o| o.notes.as_deref());
        r.output(name, *v, notes)?;
    }
    // Values of inputs that are gone, which are inputs of the source.
    let gone = g.inputs().iter().filter(|v| inputs.is_empty() || !from.iter().any(|(_, f)| f == *v));
    let gone = gone.filter(|v| !needed.values.contains(v)).map(|v| g.value_label(*v));
    dropped.extend(gone.collect::<Vec<_>>());
    dropped.sort();
    dropped.dedup();
    Ok(Part { graph: r.finish(), dropped })
}

/// Values of the main graph by name.
fn names(g: &Graph) -> BTreeMap<&str, ValueId> {
    let live = g.values().filter(|(_, v)| v.def() != Def::Erased);
    let mut names: BTreeMap<&str, ValueId> = BTreeMap::new();
    for (v, value) in live {
        if let Some(name) = &value.name {
            names.entry(name).or_insert(v);
        }
    }
    for o in g.outputs() {
        names.entry(&o.name).or_insert(o.value);
    }
    names
}

fn missing(g: &Graph, name: &str, names: &BTreeMap<&str, ValueId>) -> Diag {
    let inner = |n: NodeId| {
        g.node(n).bodies().iter().any(|b| b.values().any(|(_, v)| v.name.as_deref() == Some(name)))
    };
    if g.order().any(inner) {
        return Diag::error("E0606", format!("`{name}` is inside the body of a node"))
            .hint("only values of the main graph can be inputs and outputs");
    }
    let d = Diag::error("E0606", format!("there is no value `{name}`"));
    match near(name, names.keys().copied()).as_slice() {
        [] => d.hint("a .hir output shows the names: hoist convert IN -o OUT.hir --no-optimize"),
        near => d.hint(format!("did you mean {}?", near.join(" or "))),
    }
}

/// What the outputs need.
struct Needed {
    values: HashSet<ValueId>,
    nodes: HashSet<NodeId>,
}

fn needed(g: &Graph, from: &[(String, ValueId)], to: &[(String, ValueId)]) -> Result<Needed, Diags> {
    let stops: HashSet<ValueId> = from.iter().map(|(_, v)| *v).collect();
    let mut needed = Needed { values: HashSet::new(), nodes: HashSet::new() };
    let mut diags = Diags::default();
    for (name, v) in to {
        let mut stack = vec![*v];
        while let Some(v) = stack.pop() {
            if !needed.values.insert(v) || stops.contains(&v) {
                continue;
            }
            match g.value(v).def() {
                Def::Input(_) => {
                    let input = g.value_label(v);
                    let m = format!("output `{name}` needs input `{input}`, which is not among --inputs");
                    diags.push(Diag::error("E0606", m).hint(format!("add `{input}` to --inputs")));
                }
                Def::Node { node, .. } if needed.nodes.insert(node) => {
                    stack.extend(g.node(node).inputs().iter().flatten());
                }
                _ => {}
            }
        }
    }
    diags.into_result()?;
    Ok(needed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoist_ir::text::{graph_text, parse_graph};

    const TEXT: &str = "graph(%x: f32[N, 4], %m: f32[N, 4]) {\n  %a = relu(%x)\n  %b = add(%a, %m)\n  %c = exp(%b)\n  \
        %d = sigmoid(%a)\n  return c: %c, d: %d\n}\n";

    fn part(inputs: &[&str], outputs: &[&str]) -> Result<Part, Diags> {
        let list = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        cut(&parse_graph(TEXT).expect("valid"), &list(inputs), &list(outputs))
    }

    #[test]
    fn parts_hold_what_outputs_need() {
        let p = part(&[], &["d"]).expect("cuts");
        assert_eq!((p.graph.node_count(), p.dropped.as_slice()), (2, ["m".to_owned()].as_slice()));
        let p = part(&["b"], &["c"]).expect("cuts");
        assert!(graph_text(&p.graph).contains("(%b: f32[N, 4])"), "{}", graph_text(&p.graph));
        assert_eq!((p.graph.node_count(), p.dropped), (1, vec!["m".to_owned(), "x".to_owned()]));
        let p = part(&["a", "m"], &["b", "a"]).expect("cuts");
        assert_eq!(p.graph.interface().outputs.len(), 2);
        p.graph.verify().into_result().expect("valid");
    }

    #[test]
    fn what_cannot_be_cut_is_refused() {
        let said =
            |inputs: &[&str], outputs: &[&str]| part(inputs, outputs).expect_err("refused").to_string();
        assert!(said(&[], &["cc"]).contains("did you mean `c`"), "{}", said(&[], &["cc"]));
        assert_eq!(part(&["q"], &["zzzz"]).expect_err("refused").0.len(), 2);
        assert!(said(&["a"], &["c"]).contains("needs input `m`"));
    }
}
