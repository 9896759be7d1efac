//! `trim-control-flow`
//!
//! ```text
//! %y, %z = loop(%n, _, %x, %k)                     %y = loop(%n, _, %x | %k)
//!     (%i, %c, %v, %w) {                     ->        (%i, %c, %v, %w) {
//!     return %c, mul(%v, %w), %w }                     return %c, mul(%v, %w) }
//! ```
//! - A value that a loop carries and its body gives back as it is is captured instead; where the loop is done it is what it was.
//! - A result of an `if`, and one that a loop stacks, goes when nothing uses it, and so does what bodies show for it. One result stays.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::edit::NewNode;
use hoist_ir::graph::{Graph, NodeId, Origin, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::splice::Splicer;

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
    let (stay, same): (Vec<usize>, Vec<usize>) = (0..carried).partition(kept);
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

/// `body` with its inputs in another order and fewer outputs.
fn rebuilt(body: &Graph, t: &Trimmed) -> Result<Graph, Diag> {
    let mut out = Graph::new(&body.name);
    let mut args: Vec<Option<ValueId>> = vec![None; body.inputs().len()];
    for i in &t.inputs {
        let (Some(v), Some(slot)) = (body.inputs().get(*i), args.get_mut(*i)) else { continue };
        let value = body.value(*v);
        *slot = Some(out.add_input(value.name.as_deref().unwrap_or("x"), value.ty().clone()));
    }
    let missing = || Diag::error("E0401", "a body takes or shows too little");
    let args: Vec<ValueId> = args.into_iter().collect::<Option<_>>().ok_or_else(missing)?;
    let mut b = Builder::at_end(&mut out, Origin::default());
    let shown = Splicer::new(body).splice(&mut b, &args)?;
    for i in &t.shown {
        let (Some(v), Some(old)) = (shown.get(*i), body.outputs().get(*i)) else { return Err(missing()) };
        out.add_output(&old.name, *v);
    }
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
