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

/// Nodes of all functions that control flow may be taken apart into.
const MOST_NODES: usize = 1 << 20;

/// Functions that were made.
#[derive(Default)]
struct Made {
    functions: BTreeMap<String, Body>,
    nodes: usize,
}

impl Made {
    fn insert(&mut self, body: Body) -> Result<(), Diag> {
        self.nodes += body.nodes.len() + 1;
        if self.nodes > MOST_NODES {
            return Err(super::tensor::bad("control flow that falls into too many parts"));
        }
        self.functions.insert(body.name.to_string(), body);
        Ok(())
    }
}

/// Rewrites the control flow of `program`.
///
/// # Errors
/// When frames are not closed, or nested in no order.
pub(super) fn functionalize(program: &mut Program) -> Result<(), Diag> {
    let mut made = Made::default();
    rewrite(&mut program.main, &mut made)?;
    for body in program.functions.values_mut() {
        rewrite(body, &mut made)?;
    }
    program.functions.extend(made.functions);
    Ok(())
}

/// Whether `op` is one of control flow between nodes, of values or of references to variables.
fn is(op: &str, name: &str) -> bool {
    op.strip_prefix("Ref").unwrap_or(op) == name
}

fn rewrite(body: &mut Body, made: &mut Made) -> Result<(), Diag> {
    if !body.nodes.iter().any(|n| is(&n.op, "Merge") || is(&n.op, "Enter")) {
        return Ok(());
    }
    let mut loops = Made::default();
    loops::rewrite(body, &mut loops)?;
    conditions::rewrite(body, made)?;
    for mut inner in loops.functions.into_values() {
        conditions::rewrite(&mut inner, made)?;
        made.insert(inner)?;
    }
    Ok(())
}

/// Users of each node's values.
fn users(body: &Body) -> Vec<Vec<usize>> {
    let mut users: Vec<Vec<usize>> = vec![vec![]; body.nodes.len()];
    for (i, node) in body.nodes.iter().enumerate() {
        let data = node.inputs.iter().filter_map(|r| if let Ref::Node(n, _) = r { Some(*n) } else { None });
        for from in data.chain(node.controls.iter().copied()) {
            users[from].push(i);
        }
    }
    users
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
