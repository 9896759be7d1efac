//! Graphs of TensorFlow as graphs of the IR: nodes in the order in which results need them, each by the function of its operator.
//!
//! Layouts stay as they are: images keep their channels last. Calls of functions are lifted in place.
#![expect(clippy::unnecessary_wraps, reason = "all rows of the tables have one signature")]

use super::Options;
use super::attrs::Attrs;
use super::program::{Body, Node, Program, Ref};
use super::tensor::bad;
use crate::pytorch::lift::blockers::Blockers;
use cx::{Cx, R};
use hoist_ir::builder::Builder;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::graph::{Origin, OriginPart};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::LazyLock;
use val::Val;

pub mod bridge;
mod colour;
mod control;
mod conv;
pub mod cx;
mod detection;
mod diagonal;
mod fused;
mod gather;
mod image;
mod inner;
mod linear;
mod list;
mod loss;
mod math;
mod norm;
mod order;
mod pool;
mod product;
mod quantize;
mod ragged;
mod random;
mod recurrent;
mod reduce;
mod repeat;
mod segment;
mod set;
mod shape;
mod slice;
mod source;
mod sparse;
mod spectral;
pub mod table;
mod text;
mod trips;
pub mod val;
pub mod variable;
mod window;

/// Lifts the current node.
pub type Lift = fn(&mut Cx<'_, '_, '_>) -> R<Vec<Val>>;
/// An operator: its name, its results as functions name them where there are several (`values indices`, `output*num_split` for a list as long as an
/// attribute says), and its lifting function.
pub type Row = (&'static str, &'static str, Lift);

/// Families in the order of the generated page.
const FAMILIES: &[(&str, &[Row])] = &[
    ("source", source::TABLE),
    ("control", control::TABLE),
    ("list", list::TABLE),
    ("variable", variable::TABLE),
    ("math", math::TABLE),
    ("reduce", reduce::TABLE),
    ("product", product::TABLE),
    ("linear", linear::TABLE),
    ("spectral", spectral::TABLE),
    ("random", random::TABLE),
    ("segment", segment::TABLE),
    ("quantize", quantize::TABLE),
    ("loss", loss::TABLE),
    ("shape", shape::TABLE),
    ("slice", slice::TABLE),
    ("gather", gather::TABLE),
    ("order", order::TABLE),
    ("diagonal", diagonal::TABLE),
    ("set", set::TABLE),
    ("sparse", sparse::TABLE),
    ("ragged", ragged::TABLE),
    ("conv", conv::TABLE),
    ("pool", pool::TABLE),
    ("norm", norm::TABLE),
    ("image", image::TABLE),
    ("colour", colour::TABLE),
    ("detection", detection::TABLE),
    ("text", text::TABLE),
    ("table", table::TABLE),
    ("fused", fused::TABLE),
    ("recurrent", recurrent::TABLE),
];

static BY_NAME: LazyLock<HashMap<&'static str, &'static Row>> =
    LazyLock::new(|| FAMILIES.iter().flat_map(|(_, t)| t.iter()).map(|row| (row.0, row)).collect());

/// Functions that call each other this deep are refused.
const MOST_CALLS: usize = 64;
/// Nodes that calls may expand to.
const MOST_NODES: usize = 4_000_000;

/// Names of the results of operator `op`, as functions use them; empty for one result or one list.
pub fn outputs_of(op: &str) -> &'static str {
    BY_NAME.get(op).map_or("", |row| row.1)
}

/// Every operator that is lifted, with its family, in table order.
pub fn covered() -> impl Iterator<Item = (&'static str, &'static str)> {
    FAMILIES.iter().flat_map(|(family, table)| table.iter().map(move |row| (*family, row.0)))
}

/// State of lifting one file.
pub struct Lifter<'p> {
    /// The graph and its functions.
    pub program: &'p Program,
    /// What the command line says.
    pub options: &'p Options,
    /// Remarks for the user.
    pub warnings: Vec<Diag>,
    /// Variables that were read or assigned.
    pub variables: variable::Variables,
    /// Lookup tables that were used.
    pub tables: table::Tables,
    /// Functions that change something.
    effectful: HashSet<&'p str>,
    blockers: Blockers,
    calls: usize,
    nodes: usize,
    /// Lists of loops that were given a number.
    slots: usize,
    /// Numbers of those whose elements something asks for.
    asked: BTreeSet<usize>,
}

/// A function, or the graph, while it is lifted.
struct Scope<'a> {
    body: &'a Body,
    args: &'a [Val],
    /// Attributes of the call.
    attrs: &'a Attrs,
    values: HashMap<usize, Vec<Val>>,
}

impl<'p> Lifter<'p> {
    /// Nothing is lifted yet.
    pub fn new(program: &'p Program, options: &'p Options) -> Self {
        Self {
            program,
            options,
            warnings: vec![],
            effectful: effectful(program),
            variables: variable::Variables::default(),
            tables: table::Tables::default(),
            blockers: Blockers::default(),
            calls: 0,
            nodes: 0,
            slots: 0,
            asked: BTreeSet::new(),
        }
    }
    /// Ends lifting.
    ///
    /// # Errors
    /// Everything that could not be lifted.
    pub fn finish(self) -> Result<Vec<Diag>, Diags> {
        self.blockers.into_result()?;
        Ok(self.warnings)
    }
    /// Remembers what is wrong.
    pub fn block(&mut self, diag: Diag) {
        self.blockers.push(diag);
    }
    /// Remembers that output `name` has no value, where nothing else says why.
    pub fn lost(&mut self, name: &str) {
        if !self.blockers.has_errors() {
            self.block(bad(format!("output `{name}` is no result of its node")));
        }
    }
    /// Number of kinds of problems found so far.
    fn blocked(&self) -> usize {
        self.blockers.kinds()
    }
    /// Whether lists of a loop, of which nothing was asked so far, are among `args`; their elements are asked for then.
    fn unread(&mut self, args: &[Val]) -> bool {
        let slots = args.iter().filter_map(|v| if let Val::List(list) = v { list.slot } else { None });
        let before = slots.clone().count();
        self.asked.extend(slots);
        before > 0
    }
    /// Lifts what `wanted` of the graph needs; `given` are values that are known already.
    ///
    /// # Errors
    /// Values that need themselves. What is wrong with nodes is kept for [`finish`](Self::finish).
    pub fn main(&mut self, b: &mut Builder<'_>, given: &[(Ref, Val)], wanted: &[Ref]) -> R<Vec<Val>> {
        let mut values: HashMap<usize, Vec<Val>> = HashMap::new();
        for (at, v) in given {
            let Ref::Node(n, port) = *at else { continue };
            let ports = values.entry(n).or_default();
            while ports.len() <= port {
                ports.push(Val::Failed);
            }
            ports[port] = v.clone();
        }
        let none = Attrs::default();
        let program = self.program;
        self.body(b, Scope { body: &program.main, args: &[], attrs: &none, values }, wanted)
    }
    /// Lifts value `at` of function `name`, which needs none of its arguments.
    ///
    /// # Errors
    /// When there is no such function.
    pub fn inside(&mut self, b: &mut Builder<'_>, name: &str, attrs: &Attrs, at: Ref) -> R<Vec<Val>> {
        let program = self.program;
        let body =
            program.functions.get(name).ok_or_else(|| bad(format!("there is no function `{name}`")))?;
        self.body(b, Scope { body, args: &[], attrs, values: HashMap::new() }, &[at])
    }
    /// Lifts function `name` with these arguments in place of a call with attributes `attrs`.
    ///
    /// # Errors
    /// When there is no such function, it takes another number of arguments, or calls lead too deep.
    pub fn call(&mut self, b: &mut Builder<'_>, name: &str, args: &[Val], attrs: &Attrs) -> R<Vec<Val>> {
        let program = self.program;
        let body =
            program.functions.get(name).ok_or_else(|| bad(format!("there is no function `{name}`")))?;
        if body.args.len() != args.len() {
            let m = format!("function `{name}` takes {} values, not {}", body.args.len(), args.len());
            return Err(bad(m));
        }
        if self.calls >= MOST_CALLS {
            return Err(bad(format!("functions call each other {MOST_CALLS} deep, `{name}` among them")));
        }
        self.calls += 1;
        let wanted: Vec<Ref> = body.results.iter().map(|(_, at)| *at).collect();
        let done = self.body(b, Scope { body, args, attrs, values: HashMap::new() }, &wanted);
        self.calls -= 1;
        done
    }

    fn body(&mut self, b: &mut Builder<'_>, mut scope: Scope<'_>, wanted: &[Ref]) -> R<Vec<Val>> {
        let order = order(&scope, wanted, &self.effectful)?;
        self.nodes = self.nodes.saturating_add(order.len());
        if self.nodes > MOST_NODES {
            return Err(bad(format!("calls of functions expand to more than {MOST_NODES} nodes")));
        }
        for n in order {
            if scope.values.contains_key(&n) || self.blockers.is_full() {
                continue;
            }
            let results = self.node(b, &scope, n);
            scope.values.insert(n, results);
        }
        if let Some(at) = wanted.iter().find(|at| scope.lacks(**at)) {
            self.block(scope.no_such(*at));
        }
        Ok(wanted.iter().map(|at| scope.get(*at)).collect())
    }
    /// Results of node `n`; what is wrong with it is remembered, and it has none then.
    fn node(&mut self, b: &mut Builder<'_>, scope: &Scope<'_>, n: usize) -> Vec<Val> {
        let node = &scope.body.nodes[n];
        let inputs: Vec<Val> = node.inputs.iter().map(|at| scope.get(*at)).collect();
        if let Some(at) = node.inputs.iter().find(|at| scope.lacks(**at)) {
            self.block(scope.no_such(*at).node(&*node.name));
            return vec![Val::Failed];
        }
        if inputs.iter().any(|v| matches!(v, Val::Failed)) {
            return vec![Val::Failed];
        }
        if inputs.iter().any(|v| matches!(v, Val::Dead)) && !matches!(&*node.op, "Merge" | "RefMerge") {
            return vec![Val::Dead];
        }
        let filled = node.attrs.is_open().then(|| node.attrs.filled(scope.attrs));
        let attrs = filled.as_ref().unwrap_or(&node.attrs);
        let part = OriginPart { name: node.name.clone(), op: node.op.clone(), module: None, line: None };
        let outside = self.calls > 0;
        b.set_origin(Origin::new(part));
        b.set_name((!outside).then(|| node.name.clone()));
        let found = match BY_NAME.get(&*node.op) {
            Some(_) if attrs.misused().is_some() => {
                let name = attrs.misused().unwrap_or_default();
                Err(bad(format!("`{}`: attribute `{name}` is no element type", node.op)).op(&*node.op))
            }
            Some(row) => (row.2)(&mut Cx { l: self, b, node, attrs, inputs }),
            // A function's name is an operator too.
            None if self.program.functions.contains_key(&*node.op) => self.call(b, &node.op, &inputs, attrs),
            None => Err(not_read(node)),
        };
        found.unwrap_or_else(|d| {
            let place = match &*scope.body.name {
                "" => node.name.to_string(),
                function => format!("{function}/{}", node.name),
            };
            self.block(if d.node.is_none() { d.node(place) } else { d });
            vec![Val::Failed]
        })
    }
}

impl Scope<'_> {
    /// Whether the node was lifted and has no such result.
    fn lacks(&self, at: Ref) -> bool {
        let Ref::Node(n, port) = at else { return false };
        self.values
            .get(&n)
            .is_some_and(|v| port >= v.len() && !matches!(v.as_slice(), [Val::Failed | Val::Dead]))
    }
    fn no_such(&self, at: Ref) -> Diag {
        let Ref::Node(n, port) = at else { return bad("no such argument") };
        let node = &self.body.nodes[n];
        bad(format!("`{}` has no result {port}", node.name)).op(&*node.op)
    }
    fn get(&self, at: Ref) -> Val {
        match at {
            Ref::Arg(i) => self.args.get(i).cloned().unwrap_or(Val::Failed),
            Ref::Node(n, port) => match self.values.get(&n).map(Vec::as_slice) {
                Some([Val::Dead]) => Val::Dead,
                found => found.and_then(|v| v.get(port)).cloned().unwrap_or(Val::Failed),
            },
        }
    }
}

/// Operators that change something, which must run before what comes behind them.
const EFFECTS: &[&str] = &[
    "AssignVariableOp",
    "AssignAddVariableOp",
    "AssignSubVariableOp",
    "Assign",
    "AssignAdd",
    "AssignSub",
    "LookupTableInsertV2",
    "LookupTableRemoveV2",
    "ResourceScatterAdd",
    "ResourceScatterSub",
    "ResourceScatterMul",
    "ResourceScatterDiv",
    "ResourceScatterMin",
    "ResourceScatterMax",
    "ResourceScatterUpdate",
    "ResourceScatterNdAdd",
    "ResourceScatterNdSub",
    "ResourceScatterNdUpdate",
    "ResourceStridedSliceAssign",
];

/// The nodes that `wanted` needs, each behind what it needs.
fn order(scope: &Scope<'_>, wanted: &[Ref], effectful: &HashSet<&str>) -> R<Vec<usize>> {
    let nodes = &scope.body.nodes;
    // 0 not seen, 1 its operands are under way, 2 done.
    let mut state = vec![0u8; nodes.len()];
    let mut out = vec![];
    let effects = effects_before(nodes, effectful);
    let roots = wanted.iter().filter_map(|at| if let Ref::Node(n, _) = at { Some(*n) } else { None });
    let roots: Vec<usize> = roots.chain(scope.body.effects.iter().copied().filter(|n| effects[*n])).collect();
    let operands = |n: usize| -> Vec<usize> {
        let data =
            nodes[n].inputs.iter().filter_map(|at| if let Ref::Node(n, _) = at { Some(*n) } else { None });
        nodes[n].controls.iter().copied().filter(|c| effects[*c]).chain(data).collect()
    };
    for root in roots {
        let mut stack: Vec<(usize, std::vec::IntoIter<usize>)> = vec![];
        let mut next = Some(root);
        loop {
            if let Some(n) = next.take() {
                if scope.values.contains_key(&n) {
                    state[n] = 2;
                }
                match state[n] {
                    0 => {
                        state[n] = 1;
                        stack.push((n, operands(n).into_iter()));
                    }
                    1 => return Err(bad(format!("`{}` needs its own result", nodes[n].name))),
                    _ => {}
                }
            }
            let Some((n, rest)) = stack.last_mut() else { break };
            next = rest.next();
            if next.is_none() {
                state[*n] = 2;
                out.push(*n);
                stack.pop();
            }
        }
    }
    Ok(out)
}

/// Whether a node changes something, itself or by a function that it calls.
fn changes(node: &Node, effectful: &HashSet<&str>) -> bool {
    EFFECTS.contains(&&*node.op)
        || effectful.contains(&*node.op)
        || node.attrs.called().any(|name| effectful.contains(name))
}

/// Functions that change something, themselves or by others that they call.
fn effectful(program: &Program) -> HashSet<&str> {
    let mut callers: HashMap<&str, Vec<&str>> = HashMap::new();
    let mut todo: Vec<&str> = vec![];
    for (name, body) in &program.functions {
        for called in body.nodes.iter().flat_map(|n| n.attrs.called().chain([&*n.op])) {
            callers.entry(called).or_default().push(name);
        }
        if body.nodes.iter().any(|n| EFFECTS.contains(&&*n.op)) {
            todo.push(name);
        }
    }
    let mut out = HashSet::new();
    while let Some(name) = todo.pop() {
        if out.insert(name) {
            todo.extend(callers.get(name).into_iter().flatten());
        }
    }
    out
}

/// Whether each node changes something, or orders nodes that do.
fn effects_before(nodes: &[Node], effectful: &HashSet<&str>) -> Vec<bool> {
    let mut found: Vec<bool> = nodes.iter().map(|n| changes(n, effectful)).collect();
    let mut users: HashMap<usize, Vec<usize>> = HashMap::new();
    for (i, node) in nodes.iter().enumerate() {
        for c in &node.controls {
            users.entry(*c).or_default().push(i);
        }
    }
    let mut todo: Vec<usize> = (0..nodes.len()).filter(|i| found[*i]).collect();
    while let Some(n) = todo.pop() {
        for user in users.get(&n).into_iter().flatten() {
            if !found[*user] && &*nodes[*user].op == "NoOp" {
                found[*user] = true;
                todo.push(*user);
            }
        }
    }
    found
}

/// That the operator of `node` is not supported, with what comes nearest to it.
fn not_read(node: &Node) -> Diag {
    let d = Diag::error("E0301", format!("TensorFlow operator `{}` is not supported", node.op)).op(&*node.op);
    let names: BTreeSet<&str> = covered().map(|(_, op)| op).collect();
    let near = names.into_iter().map(|n| (strsim::jaro_winkler(n, &node.op), n));
    match near.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(alike, _)| *alike > 0.9) {
        Some((_, name)) => d.hint(format!("the nearest operator that is supported is `{name}`")),
        None => d.hint("--outputs NAME:0 converts the part of the graph before it"),
    }
}
