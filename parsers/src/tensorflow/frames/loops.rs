//! Frames as `While`.
use super::{Extract, Made, View, handing_on, is, users};
use crate::tensorflow::attrs::Attrs;
use crate::tensorflow::program::{Body, Node, Ref};
use crate::tensorflow::tensor::bad;
use hoist_ir::diag::Diag;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Frames may be nested this deep.
const DEEPEST: usize = 64;

/// Replaces the frames of `body`, the innermost first; their functions go to `made`.
pub(super) fn rewrite(body: &mut Body, made: &mut Made) -> Result<(), Diag> {
    let users = users(body);
    let frames = frames(body, &users)?;
    let mut inside: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, name) in frames.of.iter().enumerate() {
        if let Some(name) = name {
            inside.entry(name).or_default().push(i);
        }
    }
    let mut list: Vec<(usize, String)> =
        frames.depths.iter().map(|(name, depth)| (*depth, name.clone())).collect();
    list.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    for (_, name) in list {
        frame(body, &name, inside.get(name.as_str()).map_or(&[], Vec::as_slice), &users, made)?;
    }
    Ok(())
}

/// The frame of each node, and how deep each frame lies.
struct Frames {
    of: Vec<Option<String>>,
    depths: BTreeMap<String, usize>,
}

fn frame_name(body: &Body, node: &Node) -> Result<String, Diag> {
    let name = node.attrs.text("frame_name")?;
    if name.is_empty() {
        return Err(bad("`Enter` without a frame").node(&*node.name));
    }
    Ok(format!("{}{}{name}", body.name, if body.name.is_empty() { "" } else { "/" }))
}

fn frames(body: &Body, users: &[Vec<usize>]) -> Result<Frames, Diag> {
    let n = body.nodes.len();
    let mut seen = vec![false; n];
    let mut of: Vec<Option<String>> = vec![None; n];
    let mut parents: BTreeMap<String, Option<String>> = BTreeMap::new();
    let fed =
        |node: &Node| node.inputs.iter().any(|r| matches!(r, Ref::Node(..))) || !node.controls.is_empty();
    let mut todo: std::collections::VecDeque<usize> = (0..n).filter(|i| !fed(&body.nodes[*i])).collect();
    for i in &todo {
        seen[*i] = true;
    }
    // What only arguments feed is in no frame, but an `Enter` of one is.
    for i in todo.clone() {
        if is(&body.nodes[i].op, "Enter") {
            let name = frame_name(body, &body.nodes[i])?;
            parents.insert(name.clone(), None);
            of[i] = Some(name);
        }
    }
    while let Some(i) = todo.pop_front() {
        // Behind an `Exit` the frame is left.
        let here = match (&of[i], is(&body.nodes[i].op, "Exit")) {
            (Some(name), true) => parents.get(name).cloned().flatten(),
            (frame, _) => frame.clone(),
        };
        for user in &users[i] {
            if std::mem::replace(&mut seen[*user], true) {
                continue;
            }
            of[*user] = if is(&body.nodes[*user].op, "Enter") {
                let name = frame_name(body, &body.nodes[*user])?;
                parents.entry(name.clone()).or_insert_with(|| here.clone());
                Some(name)
            } else {
                here.clone()
            };
            todo.push_back(*user);
        }
    }
    let mut depths = BTreeMap::new();
    for name in parents.keys() {
        let (mut depth, mut at) = (0, Some(name.clone()));
        while let Some(inner) = at {
            depth += 1;
            if depth > DEEPEST {
                return Err(bad(format!("frame `{name}` lies in itself, or in too many others")));
            }
            at = parents.get(&inner).cloned().flatten();
        }
        depths.insert(name.clone(), depth);
    }
    Ok(Frames { of, depths })
}

/// A value that a loop carries.
struct Variable {
    merge: usize,
    start: Ref,
    next: Ref,
    switch: Option<usize>,
}

fn node_of(at: Ref) -> Option<usize> {
    if let Ref::Node(n, _) = at { Some(n) } else { None }
}

/// The variables of a frame: `Merge`s of an `Enter` and a `NextIteration`.
fn variables(body: &Body, inside: &[usize], users: &[Vec<usize>]) -> Result<Vec<Variable>, Diag> {
    let mut out = vec![];
    for &m in inside.iter().filter(|i| is(&body.nodes[**i].op, "Merge")) {
        let node = &body.nodes[m];
        let op_at = |r: &Ref| node_of(*r).map(|n| &body.nodes[n]);
        let enter = node.inputs.iter().find_map(|r| op_at(r).filter(|n| is(&n.op, "Enter")));
        let next = node.inputs.iter().find_map(|r| op_at(r).filter(|n| is(&n.op, "NextIteration")));
        let (Some(enter), Some(next)) = (enter, next) else { continue };
        let (Some(start), Some(next)) = (enter.inputs.first(), next.inputs.first()) else {
            return Err(bad("a loop variable without a value").node(&*node.name));
        };
        let switch = users[m].iter().copied().find(|i| {
            is(&body.nodes[*i].op, "Switch") && body.nodes[*i].inputs.first() == Some(&Ref::Node(m, 0))
        });
        out.push(Variable { merge: m, start: *start, next: *next, switch });
    }
    Ok(out)
}

fn frame(
    body: &mut Body,
    name: &str,
    inside: &[usize],
    users: &[Vec<usize>],
    made: &mut Made,
) -> Result<(), Diag> {
    let open = |what: &str| bad(format!("loop `{name}` has {what}"));
    let variables = variables(body, inside, users)?;
    let conditions: Vec<usize> =
        inside.iter().copied().filter(|i| &*body.nodes[*i].op == "LoopCond").collect();
    let [condition] = conditions[..] else {
        // A frame that nothing of is needed may be incomplete.
        return if conditions.is_empty() { Ok(()) } else { Err(open("several conditions")) };
    };
    let stop = *body.nodes[condition].inputs.first().ok_or_else(|| open("an empty condition"))?;
    let starts: HashSet<usize> =
        variables.iter().flat_map(|v| &body.nodes[v.merge].inputs).filter_map(|r| node_of(*r)).collect();
    let enters = inside.iter().copied().filter(|i| is(&body.nodes[*i].op, "Enter"));
    let fixed: Vec<usize> = enters.filter(|i| !starts.contains(i)).collect();
    // Constants of a branch wait for what its `Switch` hands on.
    let pivot = |n: usize| {
        let node = &body.nodes[n];
        let data = node.inputs.first().and_then(|r| node_of(*r)).map(|n| &body.nodes[n]);
        &*node.op == "Identity" && data.is_some_and(|d| is(&d.op, "Switch"))
    };
    let function = |results: &[Ref], suffix: &str| -> Result<Body, Diag> {
        let mut e = Extract::new(body, &format!("{name}/{suffix}"));
        for v in &variables {
            let arg = e.argument(Ref::Node(v.merge, 0));
            if let Some(s) = v.switch {
                e.map.insert(Ref::Node(s, 1), arg);
                e.map.insert(Ref::Node(s, 0), arg);
            }
        }
        for f in &fixed {
            e.argument(Ref::Node(*f, 0));
        }
        for (k, at) in results.iter().enumerate() {
            let value = e.value(*at, &View { resolve: &|at| at, outside: &|_| false, waited_for: &pivot })?;
            e.out.results.push((format!("r{k}"), value));
        }
        let expected = variables.len() + fixed.len();
        if e.out.args.len() != expected {
            return Err(open("values that did not enter it"));
        }
        Ok(e.out)
    };
    let test = function(&[stop], "cond")?;
    let next: Vec<Ref> = variables.iter().map(|v| v.next).collect();
    let mut step = function(&next, "body")?;
    for k in 0..fixed.len() {
        step.results.push((format!("f{k}"), Ref::Arg(variables.len() + k)));
    }
    let mut inputs: Vec<Ref> = variables.iter().map(|v| v.start).collect();
    for f in &fixed {
        inputs.push(*body.nodes[*f].inputs.first().ok_or_else(|| open("an empty `Enter`"))?);
    }
    let attrs = Attrs::calling(&[("cond", &test.name), ("body", &step.name)]);
    let whole = Node { name: Arc::from(name), op: "StatelessWhile".into(), inputs, controls: vec![], attrs };
    let at = body.push(whole);
    made.insert(test)?;
    made.insert(step)?;
    for (k, v) in variables.iter().enumerate() {
        let Some(s) = v.switch else { continue };
        for user in &users[s] {
            let node = &mut body.nodes[*user];
            if is(&node.op, "Exit") && node.inputs.first() == Some(&Ref::Node(s, 0)) {
                handing_on(node, "Identity", vec![Ref::Node(at, k)]);
            }
        }
    }
    Ok(())
}
