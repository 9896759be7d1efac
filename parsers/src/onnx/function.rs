//! Calls of model-local functions: each gets the function's body with the call's operands and attributes filled in.
use super::graph::{Outer, Reader, Scope};
use super::node::INLINE_CONST;
use super::tensor::shorten;
use hoist_formats::onnx::generated::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, ValueInfoProto,
};
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::graph::{Graph, ValueId};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Nodes that all definitions together may have: functions that call functions multiply.
const MAX_NODES: usize = 400_000;

/// Domain, name, overload.
type Key = (String, String, String);

/// The functions of a model.
pub(super) struct Library {
    functions: BTreeMap<Key, Arc<FunctionProto>>,
    /// Nodes that may still be made.
    left: usize,
}

impl Library {
    /// The functions of `model`.
    ///
    /// # Errors
    /// When they call themselves, in a circle or directly.
    pub(super) fn of(model: &ModelProto) -> Result<Self, Diags> {
        let key = |f: &FunctionProto| (domain(f.domain()), f.name().to_owned(), f.overload().to_owned());
        let functions: BTreeMap<Key, _> =
            model.functions.iter().map(|f| (key(f), Arc::new(f.clone()))).collect();
        acyclic(&functions)?;
        Ok(Self { functions, left: MAX_NODES })
    }
    /// The function that `n` calls.
    pub(super) fn called(&self, n: &NodeProto) -> Option<&Arc<FunctionProto>> {
        if self.functions.is_empty() { None } else { self.functions.get(&key_of(n)) }
    }
}

fn domain(name: &str) -> String {
    super::domain(name).to_owned()
}

fn key_of(n: &NodeProto) -> Key {
    (domain(n.domain()), n.op_type().to_owned(), n.overload().to_owned())
}

/// Calls in `nodes`, those in bodies included.
fn calls(nodes: &[NodeProto], out: &mut HashSet<Key>) {
    for n in nodes {
        out.insert(key_of(n));
        super::captures::bodies(n).for_each(|b| calls(&b.node, out));
    }
}

fn acyclic(functions: &BTreeMap<Key, Arc<FunctionProto>>) -> Result<(), Diags> {
    let mut open: BTreeMap<&Key, HashSet<Key>> = BTreeMap::new();
    for (key, f) in functions {
        let mut called = HashSet::new();
        calls(&f.node, &mut called);
        called.retain(|c| functions.contains_key(c));
        open.insert(key, called);
    }
    // Whatever calls no open function is done; what stays forms circles.
    loop {
        let done: Vec<&Key> = open
            .iter()
            .filter(|(_, called)| called.iter().all(|c| !open.contains_key(c)))
            .map(|(f, _)| *f)
            .collect();
        if done.is_empty() {
            break;
        }
        for f in done {
            open.remove(f);
        }
    }
    match open.keys().next() {
        None => Ok(()),
        Some((d, n, _)) => {
            let m = format!("the model's function `{}.{n}` calls itself", super::show(d));
            Err(Diag::error("E0202", m).into())
        }
    }
}

/// Fills parameters of one call into the nodes of a function.
struct Filling<'a> {
    attributes: HashMap<&'a str, &'a AttributeProto>,
    /// Inputs of the function that the call leaves out.
    absent: HashSet<&'a str>,
}

impl Filling<'_> {
    fn nodes(&self, nodes: &[NodeProto]) -> Vec<NodeProto> {
        nodes.iter().map(|n| self.node(n)).collect()
    }
    fn node(&self, n: &NodeProto) -> NodeProto {
        let mut n = n.clone();
        for i in &mut n.input {
            if self.absent.contains(i.as_str()) {
                i.clear();
            }
        }
        n.attribute = n.attribute.into_iter().filter_map(|a| self.attribute(a)).collect();
        n
    }
    /// The attribute with its value; `None` when it refers to one that the call leaves out.
    fn attribute(&self, mut a: AttributeProto) -> Option<AttributeProto> {
        if !a.ref_attr_name().is_empty() {
            let given = (*self.attributes.get(a.ref_attr_name())?).clone();
            return Some(AttributeProto { name: a.name, ..given });
        }
        if let Some(g) = &mut a.g {
            g.node = self.nodes(&g.node);
        }
        for g in &mut a.graphs {
            g.node = self.nodes(&g.node);
        }
        Some(a)
    }
}

impl Reader {
    /// What the call `n` computes, as a graph whose inputs are the operands that are present. `None`, with a warning, when the function
    /// cannot be expanded; it passes through then.
    pub(super) fn definition(
        &mut self,
        scope: &Scope,
        n: &NodeProto,
        inputs: &[Option<ValueId>],
        outputs: usize,
    ) -> Option<Graph> {
        let f = Arc::clone(self.library.called(n)?);
        match self.expand(scope, &f, n, inputs, outputs) {
            Ok(g) => Some(g),
            Err(reason) => {
                let m = format!("function `{}` is kept and not expanded: {reason}", shorten(f.name()));
                self.warnings.push(Diag::warning("E0301", m).node(shorten(n.name())));
                None
            }
        }
    }
    fn expand(
        &mut self,
        scope: &Scope,
        f: &FunctionProto,
        n: &NodeProto,
        inputs: &[Option<ValueId>],
        outputs: usize,
    ) -> Result<Graph, String> {
        if inputs.len() > f.input.len() || outputs > f.output.len() {
            return Err("the call has more operands or results than it".to_owned());
        }
        self.library.left =
            self.library.left.checked_sub(f.node.len()).ok_or("the model's functions expand to too much")?;
        let mut attributes: HashMap<&str, &AttributeProto> =
            f.attribute_proto.iter().map(|a| (a.name(), a)).collect();
        attributes.extend(n.attribute.iter().map(|a| (a.name(), a)));
        let present = |i: usize| inputs.get(i).copied().flatten();
        let names = || f.input.iter().enumerate();
        let absent = names().filter(|(i, _)| present(*i).is_none()).map(|(_, name)| name.as_str()).collect();
        let info = |name: &String| ValueInfoProto { name: Some(name.clone()), ..ValueInfoProto::default() };
        let proto = GraphProto {
            name: f.name.clone(),
            node: Filling { attributes, absent }.nodes(&f.node),
            input: names().filter(|(i, _)| present(*i).is_some()).map(|(_, name)| info(name)).collect(),
            output: f.output.iter().take(outputs).map(info).collect(),
            value_info: f.value_info.clone(),
            ..GraphProto::default()
        };
        let formal: Vec<_> = inputs.iter().flatten().map(|v| scope.graph.ty(*v).clone()).collect();
        // Small constants are known inside too, so that shapes are.
        let small = |(i, name): (usize, &String)| {
            let t = scope.graph.constant(present(i)?).filter(|t| t.byte_len() <= INLINE_CONST)?;
            Some((Arc::from(name.as_str()), Outer::Const(t.clone())))
        };
        let outer = names().filter_map(small).collect();
        let own = f.opset_import.iter().find(|o| super::domain(o.domain()).is_empty());
        let opset = own.map_or(self.opset, |o| o.version());
        self.inside(opset, |reader| reader.graph(&proto, outer, &formal))
    }
    /// Reads with another operator set; what is wrong there is the error.
    fn inside(&mut self, opset: i64, read: impl FnOnce(&mut Self) -> Graph) -> Result<Graph, String> {
        let (outside, diags) = (self.opset, self.take_diags());
        self.opset = opset;
        self.depth += 1;
        // Named sizes in a function are its own, other ones at each call.
        let varying = std::mem::replace(&mut self.varying, true);
        let graph = read(self);
        self.varying = varying;
        self.depth -= 1;
        self.opset = outside;
        let found = self.take_diags();
        diags.0.into_iter().for_each(|d| self.report(d));
        match found.0.into_iter().next() {
            None => Ok(graph),
            Some(d) => Err(d.message),
        }
    }
}
