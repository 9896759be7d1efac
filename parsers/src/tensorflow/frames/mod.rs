//! Control flow of TensorFlow 1 as calls of functions: frames of `Enter`, `Merge`, `Switch`, `NextIteration` and `Exit` become `While`, pairs of `Switch`
//! and `Merge` become `If`, in the graph and in every function.
//!
//! Nodes that are replaced stay, under another operator or without users, so that names keep leading to the same values.
use super::attrs::Attrs;
use super::program::{Arg, Body, Node, Program, Ref};
use hoist_ir::diag::Diag;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

mod conditions;
mod loops;

/// Functions that control flow may be taken apart into; each is a part of the file's own nodes.
const MOST_FUNCTIONS: usize = 1 << 16;

/// Rewrites the control flow of `program`.
///
/// # Errors
/// When frames are not closed, or nested in no order.
pub(super) fn functionalize(program: &mut Program) -> Result<(), Diag> {
    let mut made = BTreeMap::new();
    rewrite(&mut program.main, &mut made)?;
    for body in program.functions.values_mut() {
        rewrite(body, &mut made)?;
    }
    program.functions.extend(made);
    Ok(())
}

/// Whether `op` is one of control flow between nodes, of values or of references to variables.
fn is(op: &str, name: &str) -> bool {
    op.strip_prefix("Ref").unwrap_or(op) == name
}

fn rewrite(body: &mut Body, made: &mut BTreeMap<String, Body>) -> Result<(), Diag> {
    if !body.nodes.iter().any(|n| is(&n.op, "Switch") || is(&n.op, "Merge") || is(&n.op, "Enter")) {
        return Ok(());
    }
    let mut loops = BTreeMap::new();
    loops::rewrite(body, &mut loops)?;
    conditions::rewrite(body, made)?;
    for (name, mut inner) in loops {
        conditions::rewrite(&mut inner, made)?;
        made.insert(name, inner);
    }
    if made.len() > MOST_FUNCTIONS {
        return Err(super::tensor::bad("control flow that falls into too many parts"));
    }
    Ok(())
}

/// Nodes of a body, those that some values need, as a function of their own.
struct Extract<'a> {
    from: &'a Body,
    /// What values of `from` are in the function.
    map: HashMap<Ref, Ref>,
    nodes: HashMap<usize, usize>,
    /// What the arguments are in `from`.
    sources: Vec<Ref>,
    out: Body,
}

/// How an extraction looks at the values of the body.
struct View<'a> {
    /// The value that another one is the same as.
    resolve: &'a dyn Fn(Ref) -> Ref,
    /// Whether a value is computed outside and becomes an argument.
    outside: &'a dyn Fn(Ref) -> bool,
    /// Whether a node that others wait for is taken along, which tells in which branch they are.
    waited_for: &'a dyn Fn(usize) -> bool,
}

impl<'a> Extract<'a> {
    fn new(from: &'a Body, name: &str) -> Self {
        Self { from, map: HashMap::new(), nodes: HashMap::new(), sources: vec![], out: Body::new(name) }
    }
    /// Makes `at` the next argument.
    fn argument(&mut self, at: Ref) -> Ref {
        let arg = Ref::Arg(self.out.args.len());
        self.widen();
        self.sources.push(at);
        self.map.insert(at, arg);
        arg
    }
    /// One argument more.
    fn widen(&mut self) {
        let name = format!("a{}", self.out.args.len());
        self.out.args.push(Arg { name, code: 0, attrs: Attrs::default() });
    }
    /// The value `at` in the function, with all nodes that it needs.
    fn value(&mut self, at: Ref, view: &View<'_>) -> Result<Ref, Diag> {
        if let Some(known) = self.place(at, view) {
            return Ok(known);
        }
        let Ref::Node(root, _) = (view.resolve)(at) else { return Ok(at) };
        // Nodes, and whether their operands are there.
        let mut stack = vec![(root, false)];
        let mut open = HashSet::new();
        while let Some((n, ready)) = stack.pop() {
            if self.nodes.contains_key(&n) {
                continue;
            }
            let node = &self.from.nodes[n];
            if ready {
                let inputs = node.inputs.iter().map(|i| self.place(*i, view).unwrap_or(*i)).collect();
                let controls = node.controls.iter().filter_map(|c| self.nodes.get(c).copied()).collect();
                let at = self.out.push(Node { inputs, controls, ..node.clone() });
                self.nodes.insert(n, at);
                continue;
            }
            if !open.insert(n) {
                return Err(super::tensor::bad("control flow that leads back to itself").node(&*node.name));
            }
            stack.push((n, true));
            for c in node.controls.iter().filter(|c| (view.waited_for)(**c) && !open.contains(c)) {
                stack.push((*c, false));
            }
            for input in &node.inputs {
                if self.place(*input, view).is_none()
                    && let Ref::Node(next, _) = (view.resolve)(*input)
                {
                    stack.push((next, false));
                }
            }
        }
        Ok(self.place(at, view).unwrap_or(at))
    }
    /// Where `at` is in the function, if it is there.
    fn place(&mut self, at: Ref, view: &View<'_>) -> Option<Ref> {
        let at = (view.resolve)(at);
        if let Some(known) = self.map.get(&at) {
            return Some(*known);
        }
        match at {
            Ref::Node(n, port) if !(view.outside)(at) => {
                self.nodes.get(&n).map(|inside| Ref::Node(*inside, port))
            }
            _ => Some(self.argument(at)),
        }
    }
}

/// A node of operator `op` that hands on values.
fn handing_on(node: &mut Node, op: &str, inputs: Vec<Ref>) {
    node.op = Arc::from(op);
    node.inputs = inputs;
    node.controls.clear();
    node.attrs = Attrs::default();
}
