//! `merge-branches`
//!
//! ```text
//! %a = if(%c) {A} {B}                       %a, %b = if(%c) {A, C} {B, D}
//! %b = if(%c) {C} {D}                  ->
//!
//! %d = if(not(%c)) {A} {B}             ->   %d = if(%c) {B} {A}
//! ```
//! - Two nodes merge where they have the same condition and neither needs what the other computes: all operands of the second come before the
//!   first. Only nodes without further bodies inside are copied.
//! - A `not` that only conditions use goes.
//! - Where both branches show the same captured values, these are the results.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::edit::NewNode;
use hoist_ir::graph::{Def, Graph, NodeId, Use, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::splice::Splicer;
use std::collections::HashMap;

/// The pass.
pub struct MergeBranches;

const INFO: PassInfo = PassInfo {
    name: "merge-branches",
    doc: "Merges conditional nodes of the same condition, and those whose branches give the same.",
};

/// Most users of a condition that are looked at.
const MOST_USERS: usize = 32;

impl Pass for MergeBranches {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["if"])
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        let mut last: HashMap<ValueId, NodeId> = HashMap::new();
        Ok(sweep(g, cx, |g, n| merge(g, n, &mut last)))
    }
}

fn merge(g: &mut Graph, n: NodeId, last: &mut HashMap<ValueId, NodeId>) -> Outcome {
    if !matches!(g.node(n).op(), Op::If(_)) {
        return Outcome::Skip;
    }
    if let Some(same) = same_results(g, n) {
        return Outcome::of(g.rewrite(n, &[], |_| Ok(same)));
    }
    let Some(c) = negated(g, n) else { return pair(g, n, last) };
    match turn(g, n, c) {
        Ok(turned) => {
            pair(g, turned, last);
            Outcome::Edit
        }
        Err(d) => Outcome::Miss(d.message.into()),
    }
}

/// Replaces `n` by a node whose condition is `c`, which that of `n` negates.
fn turn(g: &mut Graph, n: NodeId, c: ValueId) -> Result<NodeId, Diag> {
    let node = g.node(n);
    let (mut inputs, mut bodies) = (node.inputs().to_vec(), node.bodies().to_vec());
    if let Some(condition) = inputs.first_mut() {
        *condition = Some(c);
    }
    if !planted("merge-branches") {
        bodies.reverse();
    }
    let new = NewNode { bodies, ..NewNode::like(node, inputs) };
    let mut made = n;
    g.rewrite(n, &[], |b| {
        let results = b.add_node(new)?;
        made = b.added().last().copied().unwrap_or(n);
        Ok(results)
    })?;
    Ok(made)
}

/// Merges `n` with the node before of the same condition.
fn pair(g: &mut Graph, n: NodeId, last: &mut HashMap<ValueId, NodeId>) -> Outcome {
    let Some(c) = g.node(n).input(0) else { return Outcome::Skip };
    let first = last.insert(c, n).filter(|f| !g.node(*f).is_erased());
    let Some(first) = first else { return Outcome::miss("no node before has the same condition") };
    let before = |v: &ValueId| match g.value(*v).def() {
        Def::Node { node, .. } => g.comes_before(node, first),
        _ => true,
    };
    if !g.node(n).inputs().iter().flatten().all(before) {
        return Outcome::miss("it needs what comes behind the one before of the same condition");
    }
    let flat =
        |n: NodeId| g.node(n).bodies().iter().all(|b| b.order().all(|m| b.node(m).bodies().is_empty()));
    if !flat(first) || !flat(n) {
        return Outcome::miss("there are bodies inside the branches");
    }
    match join(g, first, n) {
        Ok(made) => {
            last.insert(c, made);
            Outcome::Edit
        }
        Err(d) => Outcome::Miss(d.message.into()),
    }
}

/// What both branches show, when these are captured values and the same.
fn same_results(g: &Graph, n: NodeId) -> Option<Vec<ValueId>> {
    let node = g.node(n);
    let [then, or_else] = node.bodies() else { return None };
    let first = node.inputs().len().checked_sub(node.captures())?;
    let outside = |body: &Graph, i: usize| match body.value(body.outputs().get(i)?.value).def() {
        Def::Input(k) => *node.inputs().get(first + k as usize)?,
        _ => None,
    };
    let one = |i: usize| outside(then, i).filter(|v| outside(or_else, i) == Some(*v));
    (0..node.outputs().len()).map(one).collect()
}

/// What the condition of `n` negates, when it is a `not` that only conditions use.
fn negated(g: &Graph, n: NodeId) -> Option<ValueId> {
    let v = g.node(n).input(0)?;
    let p = g.producer(v).filter(|p| matches!(g.node(*p).op(), Op::Not(_)))?;
    let uses = g.value(v).uses();
    let is_condition =
        |u: &Use| matches!(u, Use::Node { node, slot: 0 } if matches!(g.node(*node).op(), Op::If(_)));
    let all = uses.len() <= MOST_USERS && uses.iter().all(is_condition);
    g.node(p).input(0).filter(|_| all)
}

/// Puts one node in the place of `first` and `second`.
fn join(g: &mut Graph, first: NodeId, second: NodeId) -> Result<NodeId, Diag> {
    let (a, b) = (g.node(first), g.node(second));
    let mut bodies = vec![];
    for (x, y) in a.bodies().iter().zip(b.bodies()) {
        bodies.push(both(x, y)?);
    }
    let own = |n: &hoist_ir::graph::Node| n.inputs()[n.inputs().len() - n.captures()..].to_vec();
    let captured: Vec<Option<ValueId>> = [own(a), own(b)].concat();
    let (results, captures) = ((a.outputs().to_vec(), b.outputs().to_vec()), captured.len());
    let origin = a.origin.union(&b.origin);
    let mut inputs = vec![a.input(0)];
    inputs.extend(captured);
    let outputs = results.0.len() + results.1.len();
    let new = NewNode {
        bodies,
        captures,
        outputs,
        origin,
        name: a.name.clone(),
        ..NewNode::new(a.op().clone(), &inputs)
    };
    let made = g.insert_before(new, first)?;
    let values = g.node(made).outputs().to_vec();
    let old: Vec<ValueId> = results.0.into_iter().chain(results.1).collect();
    if !old.iter().zip(&values).all(|(o, v)| g.ty(*o).meet(g.ty(*v)).is_some()) {
        g.erase(made)?;
        return Err(Diag::error("E0402", "a result is declared with a type that contradicts the branches"));
    }
    for (old, new) in old.into_iter().zip(values) {
        g.replace_uses(old, new)?;
    }
    g.erase(first)?;
    g.erase(second)?;
    Ok(made)
}

/// A body that computes what `a` and `b` do, with the inputs of both.
fn both(a: &Graph, b: &Graph) -> Result<Graph, Diag> {
    let mut out = a.clone();
    let mut taken: std::collections::HashSet<String> =
        a.values().filter_map(|(_, v)| v.name.as_deref().map(str::to_owned)).collect();
    let mut args = vec![];
    for v in b.inputs() {
        let name = b.value(*v).name.as_deref().unwrap_or("x").to_owned();
        let mut fresh = name.clone();
        for i in 1.. {
            if taken.insert(fresh.clone()) {
                break;
            }
            fresh = format!("{name}_{i}");
        }
        args.push(out.add_input(&fresh, b.ty(*v).clone()));
    }
    let mut builder = Builder::at_end(&mut out, hoist_ir::graph::Origin::default());
    let shown = Splicer::new(b).splice(&mut builder, &args)?;
    let names: Vec<String> = b.outputs().iter().map(|o| o.name.to_string()).collect();
    let used: std::collections::HashSet<String> = out.outputs().iter().map(|o| o.name.to_string()).collect();
    for (i, (v, name)) in shown.into_iter().zip(names).enumerate() {
        let name = if used.contains(&name) { format!("{name}_{i}") } else { name };
        out.add_output(&name, v);
    }
    Ok(out)
}
