//! Graphs and functions of a file in one form: nodes by number, operands by node and port.
use super::attrs::Attrs;
use super::frames::functionalize;
use super::lift::outputs_of;
use super::restore::Store;
use super::tensor::bad;
use hoist_formats::tensorflow::generated::{FunctionDef, GraphDef, NodeDef, op_def};
use hoist_ir::diag::Diag;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Where an operand comes from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Ref {
    /// An argument of the function.
    Arg(usize),
    /// Result `1` of node `0`.
    Node(usize, usize),
}

impl Ref {
    /// The node whose result it is; none for arguments.
    pub fn node(self) -> Option<usize> {
        if let Self::Node(n, _) = self { Some(n) } else { None }
    }
}

/// One operator.
#[derive(Clone, Debug)]
pub struct Node {
    /// Name.
    pub name: Arc<str>,
    /// Operator.
    pub op: Arc<str>,
    /// Operands.
    pub inputs: Vec<Ref>,
    /// Nodes that run before it.
    pub controls: Vec<usize>,
    /// Attributes.
    pub attrs: Attrs,
}

/// An argument of a function.
#[derive(Clone, Debug)]
pub struct Arg {
    /// Name.
    pub name: String,
    /// Number of its element type; 0 when an attribute of the call says it.
    pub code: i32,
    /// What the function says about it, such as `_output_shapes`.
    pub attrs: Attrs,
}

/// A graph or a function.
#[derive(Clone, Debug, Default)]
pub struct Body {
    /// Name; empty for the graph.
    pub name: Arc<str>,
    /// Arguments.
    pub args: Vec<Arg>,
    /// Nodes in the file's order.
    pub nodes: Vec<Node>,
    /// Names and sources of the results.
    pub results: Vec<(String, Ref)>,
    /// Nodes that run even if nothing uses them.
    pub effects: Vec<usize>,
    by_name: HashMap<Arc<str>, usize>,
}

impl Body {
    /// A function without nodes.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
    /// The node called `name`.
    pub fn node(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }
    /// Adds a node. A name that is taken keeps naming the other one.
    pub fn push(&mut self, node: Node) -> usize {
        let at = self.nodes.len();
        self.by_name.entry(node.name.clone()).or_insert(at);
        self.nodes.push(node);
        at
    }
    /// The value that `text` names: `node` or `node:port`.
    pub fn value(&self, text: &str) -> Option<Ref> {
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
                (name, port.parse().ok()?)
            }
            _ => (text, 0),
        };
        self.node(name).map(|n| Ref::Node(n, port))
    }
}

/// The graph of a file and its functions.
#[derive(Debug, Default)]
pub struct Program {
    /// The graph.
    pub main: Body,
    /// Functions by name.
    pub functions: BTreeMap<String, Body>,
    /// What lies beside the graph.
    pub store: Store,
}

/// Most operands of one node; a list of more is no model's.
const MOST_OPERANDS: usize = 1 << 16;

impl Program {
    /// Takes a graph apart.
    ///
    /// # Errors
    /// When names repeat or lead nowhere.
    pub fn new(graph: GraphDef) -> Result<Self, Diag> {
        let mut functions = BTreeMap::new();
        let library = graph.library.unwrap_or_default().function;
        let results: Results = library.iter().filter_map(results).collect();
        for f in library {
            let body = function(f, &results)?;
            functions.insert(body.name.to_string(), body);
        }
        let mut main = Body::default();
        let raw = name_all(&mut main, graph.node)?;
        for (i, inputs) in raw.into_iter().enumerate() {
            for text in inputs {
                if let Some(name) = text.strip_prefix('^') {
                    let at = main.node(name).ok_or_else(|| dangling(&main.nodes[i].name, name))?;
                    main.nodes[i].controls.push(at);
                } else {
                    let at = main.value(&text).ok_or_else(|| dangling(&main.nodes[i].name, &text))?;
                    main.nodes[i].inputs.push(at);
                }
            }
        }
        let mut program = Self { main, functions, store: Store::default() };
        functionalize(&mut program)?;
        Ok(program)
    }
    /// Nodes of the graph that `from` leads to.
    pub fn behind(&self, from: impl Iterator<Item = Ref>) -> HashSet<Option<usize>> {
        let mut users: HashMap<usize, Vec<usize>> = HashMap::new();
        for (i, node) in self.main.nodes.iter().enumerate() {
            for at in node.inputs.iter().filter_map(|at| at.node()) {
                users.entry(at).or_default().push(i);
            }
        }
        reached(from, |n| users.get(&n).cloned().unwrap_or_default())
    }
    /// Nodes of the graph that `of` needs.
    pub fn needed(&self, of: impl Iterator<Item = Ref>) -> HashSet<Option<usize>> {
        reached(of, |n| self.main.nodes[n].inputs.iter().filter_map(|at| at.node()).collect())
    }
}

fn reached(from: impl Iterator<Item = Ref>, next: impl Fn(usize) -> Vec<usize>) -> HashSet<Option<usize>> {
    let mut todo: Vec<usize> = from.filter_map(Ref::node).collect();
    let mut out = HashSet::new();
    while let Some(n) = todo.pop() {
        if out.insert(Some(n)) {
            todo.extend(next(n));
        }
    }
    out
}

fn dangling(node: &str, text: &str) -> Diag {
    bad(format!("operand `{text}` is no value of the graph")).node(node)
}

/// Adds the nodes without their operands, which are returned as texts.
fn name_all(body: &mut Body, nodes: Vec<NodeDef>) -> Result<Vec<Vec<String>>, Diag> {
    let mut raw = Vec::with_capacity(nodes.len());
    for node in nodes {
        if node.name.is_empty() {
            return Err(bad("a node without a name"));
        }
        let name: Arc<str> = node.name.into();
        if body.by_name.insert(name.clone(), body.nodes.len()).is_some() {
            return Err(bad(format!("two nodes are called `{name}`")));
        }
        if node.input.len() > MOST_OPERANDS {
            return Err(bad(format!("{} operands", node.input.len())).node(&*name));
        }
        let (op, attrs) = (node.op.into(), Attrs::new(node.attr));
        body.nodes.push(Node { name, op, inputs: vec![], controls: vec![], attrs });
        raw.push(node.input);
    }
    Ok(raw)
}

/// Names of the results of functions, whose names are operators too.
type Results = HashMap<String, Vec<String>>;

fn results(f: &FunctionDef) -> Option<(String, Vec<String>)> {
    let signature = f.signature.as_ref()?;
    Some((signature.name.clone(), signature.output_arg.iter().map(|a| a.name.clone()).collect()))
}

fn function(f: FunctionDef, results: &Results) -> Result<Body, Diag> {
    let signature = f.signature.unwrap_or_default();
    let mut body = Body { name: signature.name.into(), ..Body::default() };
    let raw = name_all(&mut body, f.node_def)?;
    for arg in &signature.input_arg {
        if !(arg.number_attr.is_empty() && arg.type_list_attr.is_empty()) {
            return Err(bad(format!("function `{}` takes a list, which is not read", body.name)));
        }
        body.args.push(Arg { name: arg.name.clone(), code: arg.r#type, attrs: Attrs::default() });
    }
    let args: HashMap<&str, usize> =
        signature.input_arg.iter().enumerate().map(|(i, a)| (a.name.as_str(), i)).collect();
    for (i, inputs) in raw.into_iter().enumerate() {
        for text in inputs {
            if let Some(name) = text.strip_prefix('^') {
                // An argument is there before any node.
                if let Some(at) = body.node(name) {
                    body.nodes[i].controls.push(at);
                } else if !args.contains_key(name) {
                    return Err(dangling(&body.nodes[i].name, name));
                }
            } else {
                let at = inner(&body, (&args, results), &text)
                    .ok_or_else(|| dangling(&body.nodes[i].name, &text))?;
                body.nodes[i].inputs.push(at);
            }
        }
    }
    let missing = |name: &str| bad(format!("function `{}` does not say what `{name}` is", body.name));
    for op_def::ArgDef { name, .. } in &signature.output_arg {
        let text = f.ret.get(name).ok_or_else(|| missing(name))?;
        let at = inner(&body, (&args, results), text).ok_or_else(|| missing(name))?;
        body.results.push((name.clone(), at));
    }
    for name in f.control_ret.values() {
        let at = body.node(name).ok_or_else(|| missing(name))?;
        body.effects.push(at);
    }
    Ok(body)
}

/// A value of a function: `argument`, `node:output` or `node:output:index`.
fn inner(body: &Body, (args, results): (&HashMap<&str, usize>, &Results), text: &str) -> Option<Ref> {
    if let Some(i) = args.get(text) {
        return Some(Ref::Arg(*i));
    }
    let mut parts = text.split(':');
    let (name, output, index) = (parts.next()?, parts.next(), parts.next());
    let at = body.node(name)?;
    let index: usize = index.unwrap_or("0").parse().ok()?;
    let Some(output) = output else { return Some(Ref::Node(at, 0)) };
    if let Ok(port) = output.parse() {
        return Some(Ref::Node(at, port));
    }
    let node = &body.nodes[at];
    if let Some(names) = results.get(&*node.op) {
        return Some(Ref::Node(at, names.iter().position(|n| n == output)?));
    }
    let mut first = 0usize;
    for part in outputs_of(&node.op).split_whitespace() {
        let (own, count) = part.split_once('*').unwrap_or((part, ""));
        if own == output {
            return Some(Ref::Node(at, first.checked_add(index)?));
        }
        let many = if count.is_empty() { 1 } else { node.attrs.count(count)? };
        first = first.checked_add(many)?;
    }
    // Operators of one result, or of one list, need not say what they are called.
    outputs_of(&node.op).is_empty().then_some(Ref::Node(at, index))
}
