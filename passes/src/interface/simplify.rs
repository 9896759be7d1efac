//! Inputs and outputs that say nothing.
//!
//! - An input goes that no output depends on, and with it what uses it.
//! - An output goes that shows what an earlier output shows, or an input, through any number of `identity`. One output stays in any case.
use super::rebuild::Rebuild;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Def, Graph, ValueId};
use std::collections::HashSet;

/// What went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// Inputs, by position and name.
    pub inputs: Vec<(usize, String)>,
    /// Outputs by name, each with what shows the same.
    pub outputs: Vec<(String, String)>,
}

/// Takes away inputs and outputs that say nothing.
///
/// # Errors
/// When the graph is broken.
pub fn simplify(g: &mut Graph) -> Result<Gone, Diag> {
    let mut gone = Gone::default();
    let mut kept: Vec<usize> = vec![];
    let mut seen: Vec<(ValueId, String)> =
        g.inputs().iter().map(|v| (*v, format!("input `{}`", g.value_label(*v)))).collect();
    for (i, o) in g.outputs().iter().enumerate() {
        let v = source(g, o.value);
        if let Some((_, what)) = seen.iter().find(|(s, _)| *s == v) {
            gone.outputs.push((o.name.to_string(), what.clone()));
        } else {
            kept.push(i);
            seen.push((v, format!("output `{}`", o.name)));
        }
    }
    if kept.is_empty() && !gone.outputs.is_empty() {
        gone.outputs.remove(0);
        kept.push(0);
    }
    let needed = needed(g, kept.iter().map(|i| g.outputs()[*i].value).collect());
    let inputs = g.inputs().iter().enumerate().filter(|(_, v)| !needed.contains(v));
    gone.inputs = inputs.map(|(i, v)| (i, g.value_label(*v))).collect();
    if gone == Gone::default() {
        return Ok(gone);
    }
    let mut r = Rebuild::new(g);
    for (i, v) in g.inputs().iter().enumerate() {
        if !gone.inputs.iter().any(|(at, _)| *at == i) {
            r.input(*v, &g.value_label(*v), g.ty(*v).clone());
        }
    }
    for n in g.order().filter(|n| g.node(*n).outputs().iter().any(|v| needed.contains(v))) {
        let new = r.copy(n)?;
        let results = r.graph().node(new).outputs().to_vec();
        for (old, new) in g.node(n).outputs().iter().zip(results) {
            // What a file declares and inference cannot see still holds.
            let _ = r.graph_mut().declare_type(new, g.ty(*old));
        }
    }
    for i in kept {
        let o = &g.outputs()[i];
        r.output(&o.name, o.value, o.notes.as_deref())?;
    }
    *g = r.finish();
    Ok(gone)
}

/// All values that `outputs` depend on, themselves included, through any nodes.
fn needed(g: &Graph, outputs: Vec<ValueId>) -> HashSet<ValueId> {
    let (mut needed, mut stack) = (HashSet::new(), outputs);
    while let Some(v) = stack.pop() {
        if needed.insert(v)
            && let Some(n) = g.producer(v)
        {
            stack.extend(g.node(n).inputs().iter().flatten());
        }
    }
    needed
}

/// The value that `v` is, seen through `identity`.
fn source(g: &Graph, v: ValueId) -> ValueId {
    let mut v = v;
    while let Def::Node { node, .. } = g.value(v).def() {
        let node = g.node(node);
        match node.input(0).filter(|_| node.op().name() == "identity") {
            Some(x) => v = x,
            None => break,
        }
    }
    v
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoist_ir::text::parse_graph;

    #[test]
    fn what_says_nothing_goes() {
        let text = "graph(%x: f32[2], %unused: f32[3]) {\n  %a = relu(%x)\n  %b = identity(%a)\n  return a: %a, b: %b, x: %x\n}\n";
        let mut g = parse_graph(text).expect("valid");
        let gone = simplify(&mut g).expect("simplifies");
        assert_eq!(gone.inputs, [(1, "unused".to_owned())]);
        assert_eq!(gone.outputs[0], ("b".to_owned(), "output `a`".to_owned()));
        assert_eq!(gone.outputs[1], ("x".to_owned(), "input `x`".to_owned()));
        assert_eq!((g.inputs().len(), g.outputs().len()), (1, 1));
        g.verify().into_result().expect("valid");
        assert_eq!(simplify(&mut g).expect("again"), Gone::default());
    }

    #[test]
    fn one_output_stays() {
        let mut g =
            parse_graph("graph(%x: f32[2], %y: f32[2]) {\n  return a: %x, b: %x\n}\n").expect("valid");
        let gone = simplify(&mut g).expect("simplifies");
        assert_eq!((gone.outputs.len(), gone.inputs.len(), g.outputs().len()), (1, 1, 1));
    }
}
