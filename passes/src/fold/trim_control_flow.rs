//! `trim-control-flow`
//!
//! ```text
//! %y, %z = loop(%n, _, %x, %k)                     %y = loop(%n, _, %x | %k)
//!     (%i, %c, %v, %w) {                     ->        (%i, %c, %v, %w) {
//!     return %c, mul(%v, %w), %w }                     return %c, mul(%v, %w) }
//! ```
//! - A value that a loop carries and its body gives back as it is is captured instead; where the loop is done it is what it was.
//! - A result of an `if`, and one that a loop stacks, goes when nothing uses it, and so does what bodies show for it. One result stays.
//! - What a loop carries goes when nothing uses where it ends and no iteration needs it but for carrying it on.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::edit::NewNode;
use hoist_ir::graph::{Def, Graph, NodeId, Origin, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::splice::Splicer;
use hoist_ir::tensor::Tensor;
use std::collections::HashSet;

/// The pass.
pub struct TrimControlFlow;

const INFO: PassInfo = PassInfo {
    name: "trim-control-flow",
    doc: "Captures what a loop carries unchanged, and drops results of control flow that nothing uses.",
};

impl Pass for TrimControlFlow {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["if", "loop"])
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, trim))
    }
}

/// What stays of a node with bodies.
struct Trimmed {
    /// Results that stay, by position.
    results: Vec<usize>,
    /// What bodies show, by position, in their new order.
    shown: Vec<usize>,
    /// Operands in their new order, by position.
    operands: Vec<usize>,
    /// How many of the last ones are captured.
    captures: usize,
    /// Inputs of bodies in their new order, by position.
    inputs: Vec<usize>,
    /// Results that are operands, by position of both.
    same: Vec<(usize, usize)>,
}

fn trim(g: &mut Graph, n: NodeId) -> Outcome {
    let trimmed = match g.node(n).op() {
        Op::If(_) => branches(g, n),
        Op::Loop(_) => rounds(g, n),
        _ => return Outcome::Skip,
    };
    let Some(t) = trimmed else {
        return Outcome::miss("every result is used, and a loop changes what it carries");
    };
    match replace(g, n, &t) {
        Ok(()) => Outcome::Edit,
        Err(d) => Outcome::Miss(d.message.into()),
    }
}

/// Positions of results from `first` on that something uses, and all before.
fn used(g: &Graph, n: NodeId, first: usize) -> Vec<usize> {
    let all = g.node(n).outputs();
    (0..all.len()).filter(|i| *i < first || !g.value(all[*i]).uses().is_empty()).collect()
}

fn branches(g: &Graph, n: NodeId) -> Option<Trimmed> {
    let node = g.node(n);
    let results = used(g, n, 0);
    if results.is_empty() || results.len() == node.outputs().len() {
        return None;
    }
    let captures = node.captures();
    Some(Trimmed {
        shown: results.clone(),
        results,
        operands: (0..node.inputs().len()).collect(),
        captures,
        inputs: (0..captures).collect(),
        same: vec![],
    })
}

fn rounds(g: &Graph, n: NodeId) -> Option<Trimmed> {
    let node = g.node(n);
    let [body] = node.bodies() else { return None };
    let carried = node.inputs().len().checked_sub(2 + node.captures())?;
    let kept = |k: &usize| {
        let own = body.inputs().get(2 + k).copied();
        let back = body.outputs().get(1 + k).map(|o| o.value);
        own.is_none() || own != back || node.input(2 + k).is_none()
    };
    let needed = needed(g, n, body, carried);
    let (stay, same): (Vec<usize>, Vec<usize>) = (0..carried).partition(kept);
    let stay: Vec<usize> = stay.into_iter().filter(|k| needed.get(*k) == Some(&true)).collect();
    let scans: Vec<usize> = used(g, n, carried).into_iter().filter(|i| *i >= carried).collect();
    let results: Vec<usize> = stay.iter().chain(&scans).copied().collect();
    if results.is_empty() || results.len() == node.outputs().len() {
        return None;
    }
    let order = |fixed: usize| {
        let captured = 2 + carried..2 + carried + node.captures();
        let moved = same.iter().map(|k| 2 + k);
        (0..fixed).chain(stay.iter().map(|k| 2 + k)).chain(moved).chain(captured).collect::<Vec<usize>>()
    };
    Some(Trimmed {
        shown: std::iter::once(0).chain(results.iter().map(|i| 1 + i)).collect(),
        results,
        operands: order(2),
        captures: node.captures() + same.len(),
        inputs: order(2),
        same: same.iter().map(|k| (*k, if planted("trim-control-flow") { 2 } else { 2 + k })).collect(),
    })
}

/// Which carried values of loop `n` somebody needs: whoever uses where they end, the condition, what is stacked, or a carried value that is needed.
fn needed(g: &Graph, n: NodeId, body: &Graph, carried: usize) -> Vec<bool> {
    let results = g.node(n).outputs();
    let used = |i: usize| results.get(i).is_some_and(|v| !g.value(*v).uses().is_empty());
    let shown = |k: usize| body.outputs().get(1 + k).map(|o| o.value);
    let mut needed: Vec<bool> = (0..carried).map(used).collect();
    let mut seen = HashSet::new();
    let ends = (0..results.len()).filter(|k| used(*k)).filter_map(shown);
    let mut open: Vec<ValueId> = body.outputs().first().map(|o| o.value).into_iter().chain(ends).collect();
    while let Some(v) = open.pop() {
        if !seen.insert(v) {
            continue;
        }
        match body.value(v).def() {
            Def::Node { node, .. } => open.extend(body.node(node).inputs().iter().flatten()),
            Def::Input(i) => {
                let k = (i as usize).wrapping_sub(2);
                if let Some(slot) = needed.get_mut(k) {
                    *slot = true;
                    open.extend(shown(k));
                }
            }
            Def::Const | Def::Erased => {}
        }
    }
    needed
}

/// `body` with its inputs in another order and fewer outputs.
fn rebuilt(body: &Graph, t: &Trimmed) -> Result<Graph, Diag> {
    let mut body = body.clone();
    let mut out = Graph::new(&body.name);
    // What only outputs that go need goes first, so that inputs that go are not used.
    let nothing = body.add_const(Tensor::scalar(0i64));
    for i in (0..body.outputs().len()).filter(|i| !t.shown.contains(i)) {
        body.redirect_output(i, nothing)?;
    }
    for n in body.order_list().into_iter().rev() {
        body.erase_dead(n);
    }
    let nothing = out.add_const(Tensor::scalar(0i64));
    let mut args: Vec<ValueId> = vec![nothing; body.inputs().len()];
    for i in &t.inputs {
        let (Some(v), Some(slot)) = (body.inputs().get(*i), args.get_mut(*i)) else { continue };
        let value = body.value(*v);
        *slot = out.add_input(value.name.as_deref().unwrap_or("x"), value.ty().clone());
    }
    let missing = || Diag::error("E0401", "a body takes or shows too little");
    let used = |(v, arg): (&ValueId, &ValueId)| *arg == nothing && !body.value(*v).uses().is_empty();
    if body.inputs().iter().zip(&args).any(used) {
        return Err(missing());
    }
    let mut b = Builder::at_end(&mut out, Origin::default());
    let shown = Splicer::new(&body).splice(&mut b, &args)?;
    for i in &t.shown {
        let (Some(v), Some(old)) = (shown.get(*i), body.outputs().get(*i)) else { return Err(missing()) };
        out.add_output(&old.name, *v);
    }
    out.drop_unused_const(nothing);
    Ok(out)
}

fn replace(g: &mut Graph, n: NodeId, t: &Trimmed) -> Result<(), Diag> {
    let node = g.node(n);
    let bodies = node.bodies().iter().map(|b| rebuilt(b, t)).collect::<Result<Vec<_>, _>>()?;
    let inputs: Vec<Option<ValueId>> =
        t.operands.iter().filter_map(|i| node.inputs().get(*i).copied()).collect();
    let outputs = t.results.len();
    let new = NewNode { bodies, outputs, captures: t.captures, ..NewNode::like(node, inputs) };
    let old = node.outputs().to_vec();
    let unchanged: Vec<(ValueId, ValueId)> =
        t.same.iter().filter_map(|(r, o)| Some((*old.get(*r)?, node.input(*o)?))).collect();
    let made = g.insert_before(new, n)?;
    let values = g.node(made).outputs().to_vec();
    let mut pairs: Vec<(ValueId, ValueId)> =
        t.results.iter().zip(values).filter_map(|(i, v)| Some((*old.get(*i)?, v))).collect();
    pairs.extend(unchanged);
    if !pairs.iter().all(|(old, new)| g.ty(*old).meet(g.ty(*new)).is_some()) {
        g.erase(made)?;
        return Err(Diag::error("E0402", "a result is declared with a type that contradicts the body"));
    }
    for (old, new) in pairs {
        g.replace_uses(old, new)?;
    }
    g.erase(n)
}
