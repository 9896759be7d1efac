//! Calls of model-local functions: each gets the function's body with the call's operands and attributes filled in.
use super::graph::{Outer, Reader, Scope};
use super::node::INLINE_CONST;
use super::tensor::shorten;
use bytes::Bytes;
use hoist_formats::onnx::generated::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto,
};
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::graph::{Graph, ValueId};
use prost::Message as _;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// What all definitions together may cost: functions that call functions multiply, and so do attributes that are handed on. A node costs
/// 1, as do 64 bytes of what is copied; a body or a call costs [`BODY`] more.
const MAX_COST: usize = 200_000;
/// Cost of a call or body beside that of its nodes.
const BODY: usize = 32;
/// Bodies and definitions inside each other.
pub(super) const MAX_DEPTH: usize = 64;

/// Domain, name, overload.
type Key = (String, String, String);

/// The functions of a model.
pub(super) struct Library {
    functions: BTreeMap<Key, Arc<Function>>,
    /// What further definitions may cost.
    left: usize,
}

/// A function and what copying its definition costs.
pub(super) struct Function {
    proto: FunctionProto,
    cost: usize,
}

/// Nodes in `nodes` and in their bodies, and the bytes of constants, which copies share.
fn extent(nodes: &[NodeProto]) -> (usize, usize) {
    let mut sum = (nodes.len(), 0);
    for a in nodes.iter().flat_map(|n| &n.attribute) {
        let (inside, shared) = extent_of(a);
        sum = (sum.0 + inside, sum.1 + shared);
    }
    sum
}

fn extent_of(a: &AttributeProto) -> (usize, usize) {
    let raw = |t: &TensorProto| t.raw_data.as_ref().map_or(0, Bytes::len);
    let mut sum = (0, a.t.iter().map(|t| raw(t)).sum::<usize>() + a.tensors.iter().map(raw).sum::<usize>());
    for g in a.g.as_deref().into_iter().chain(&a.graphs) {
        let (nodes, shared) = extent(&g.node);
        sum = (sum.0 + BODY + nodes, sum.1 + shared + g.initializer.iter().map(raw).sum::<usize>());
    }
    sum
}

/// Bodies inside each other in `a`.
fn nesting(a: &AttributeProto) -> usize {
    let bodies = a.g.as_deref().into_iter().chain(&a.graphs);
    let inside = |g: &GraphProto| g.node.iter().flat_map(|n| &n.attribute).map(nesting).max().unwrap_or(0);
    bodies.map(|g| 1 + inside(g)).max().unwrap_or(0)
}

fn cost(nodes: usize, bytes: usize, shared: usize) -> usize {
    nodes + bytes.saturating_sub(shared) / 64
}

/// Takes `cost` from what is left.
fn spend(left: &mut usize, cost: usize) -> Result<(), String> {
    *left = left.checked_sub(cost).ok_or("the model's functions expand to too much")?;
    Ok(())
}

impl Library {
    /// The functions of `model`.
    ///
    /// # Errors
    /// When they call themselves, in a circle or directly.
    pub(super) fn of(model: &ModelProto) -> Result<Self, Diags> {
        let key = |f: &FunctionProto| (domain(f.domain()), f.name().to_owned(), f.overload().to_owned());
        let measured = |f: &FunctionProto| {
            let (nodes, shared) = extent(&f.node);
            Arc::new(Function { proto: f.clone(), cost: BODY + cost(nodes, f.encoded_len(), shared) })
        };
        let functions: BTreeMap<Key, _> = model.functions.iter().map(|f| (key(f), measured(f))).collect();
        acyclic(&functions)?;
        Ok(Self { functions, left: MAX_COST })
    }
    /// The function that `n` calls.
    pub(super) fn called(&self, n: &NodeProto) -> Option<&Arc<Function>> {
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

fn acyclic(functions: &BTreeMap<Key, Arc<Function>>) -> Result<(), Diags> {
    let places: HashMap<&Key, usize> = functions.keys().enumerate().map(|(i, k)| (k, i)).collect();
    let mut callers = vec![vec![]; functions.len()];
    let mut open = vec![0_usize; functions.len()];
    for (i, f) in functions.values().enumerate() {
        let mut called = HashSet::new();
        calls(&f.proto.node, &mut called);
        for c in called.iter().filter_map(|c| places.get(c)) {
            callers[*c].push(i);
            open[i] += 1;
        }
    }
    // Whatever calls no open function is done; what stays forms circles or calls into one.
    let mut done: Vec<usize> = (0..open.len()).filter(|i| open[*i] == 0).collect();
    while let Some(i) = done.pop() {
        for caller in &callers[i] {
            open[*caller] -= 1;
            if open[*caller] == 0 {
                done.push(*caller);
            }
        }
    }
    match functions.keys().zip(&open).find(|(_, open)| **open > 0) {
        None => Ok(()),
        Some(((d, n, _), _)) => {
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
    /// `nodes`, which lie in `depth` bodies, filled in. Their own cost is paid; attributes that are handed on are paid from `left`.
    fn nodes(&self, nodes: &[NodeProto], depth: usize, left: &mut usize) -> Result<Vec<NodeProto>, String> {
        nodes.iter().map(|n| self.node(n, depth, left)).collect()
    }
    fn node(&self, n: &NodeProto, depth: usize, left: &mut usize) -> Result<NodeProto, String> {
        let mut n = n.clone();
        for i in &mut n.input {
            if self.absent.contains(i.as_str()) {
                i.clear();
            }
        }
        let filled = std::mem::take(&mut n.attribute).into_iter();
        n.attribute =
            filled.filter_map(|a| self.attribute(a, depth, left).transpose()).collect::<Result<_, _>>()?;
        Ok(n)
    }
    /// The attribute with its value; `None` when it refers to one that the call leaves out.
    fn attribute(
        &self,
        mut a: AttributeProto,
        depth: usize,
        left: &mut usize,
    ) -> Result<Option<AttributeProto>, String> {
        if !a.ref_attr_name().is_empty() {
            let Some(given) = self.attributes.get(a.ref_attr_name()) else { return Ok(None) };
            let (nodes, shared) = extent_of(given);
            spend(left, cost(nodes, given.encoded_len(), shared))?;
            if depth + nesting(given) > MAX_DEPTH {
                return Err(format!("it nests bodies deeper than {MAX_DEPTH}"));
            }
            return Ok(Some(AttributeProto { name: a.name, ..(*given).clone() }));
        }
        for g in a.g.as_deref_mut().into_iter().chain(&mut a.graphs) {
            g.node = self.nodes(&g.node, depth + 1, left)?;
        }
        Ok(Some(a))
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
                let m = format!("function `{}` is kept and not expanded: {reason}", shorten(n.op_type()));
                self.warn(Diag::warning("E0301", m).node(shorten(n.name())));
                None
            }
        }
    }
    fn expand(
        &mut self,
        scope: &Scope,
        f: &Function,
        n: &NodeProto,
        inputs: &[Option<ValueId>],
        outputs: usize,
    ) -> Result<Graph, String> {
        let Function { proto: f, cost } = f;
        if inputs.len() > f.input.len() || outputs > f.output.len() {
            return Err("the call has more operands or results than it".to_owned());
        }
        if self.depth >= MAX_DEPTH {
            return Err(format!("calls nest deeper than {MAX_DEPTH}"));
        }
        spend(&mut self.library.left, *cost)?;
        let mut attributes: HashMap<&str, &AttributeProto> =
            f.attribute_proto.iter().map(|a| (a.name(), a)).collect();
        attributes.extend(n.attribute.iter().map(|a| (a.name(), a)));
        let present = |i: usize| inputs.get(i).copied().flatten();
        let names = || f.input.iter().enumerate();
        let absent = names().filter(|(i, _)| present(*i).is_none()).map(|(_, name)| name.as_str()).collect();
        let info = |name: &String| ValueInfoProto { name: Some(name.clone()), ..ValueInfoProto::default() };
        let proto = GraphProto {
            name: f.name.clone(),
            node: Filling { attributes, absent }.nodes(&f.node, 0, &mut self.library.left)?,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{ReadOptions, read};
    use crate::source::Source;
    use hoist_formats::onnx::generated::OperatorSetIdProto;
    use hoist_formats::onnx::generated::attribute_proto::AttributeType;

    fn node(domain: &str, op: &str, attribute: Vec<AttributeProto>) -> NodeProto {
        NodeProto {
            domain: Some(domain.to_owned()),
            op_type: Some(op.to_owned()),
            input: vec!["x".to_owned()],
            output: vec!["y".to_owned()],
            attribute,
            ..NodeProto::default()
        }
    }
    fn info(name: &str) -> ValueInfoProto {
        ValueInfoProto { name: Some(name.to_owned()), ..ValueInfoProto::default() }
    }
    /// What reading warns of where `f.f0` is called with `attribute`, and function `i` of `count` has the nodes `nodes(i)`.
    fn warnings(
        count: usize,
        attribute: Vec<AttributeProto>,
        nodes: impl Fn(usize) -> Vec<NodeProto>,
    ) -> Vec<String> {
        let set = |d: &str| OperatorSetIdProto { domain: Some(d.to_owned()), version: Some(18) };
        let function = |i: usize| FunctionProto {
            domain: Some("f".to_owned()),
            name: Some(format!("f{i}")),
            input: vec!["x".to_owned()],
            output: vec!["y".to_owned()],
            attribute: vec!["b".to_owned()],
            opset_import: vec![set(""), set("f")],
            node: nodes(i),
            ..FunctionProto::default()
        };
        let graph = GraphProto {
            input: vec![info("x")],
            node: vec![node("f", "f0", attribute)],
            output: vec![info("y")],
            ..GraphProto::default()
        };
        let model = ModelProto {
            ir_version: Some(9),
            opset_import: vec![set(""), set("f")],
            functions: (0..count).map(function).collect(),
            graph: Some(graph),
            ..ModelProto::default()
        };
        let source = Source::from_bytes("m.onnx", model.encode_to_vec().into());
        let found = read(&source, &ReadOptions::default()).expect("reads").warnings;
        found.into_iter().map(|d| d.message).collect()
    }

    #[test]
    fn calls_do_not_nest_without_end() {
        let chain = |i: usize| vec![node("f", &format!("f{}", i + 1), vec![])];
        let found = warnings(20_000, vec![], chain);
        assert!(found.iter().any(|w| w.contains("deeper than 64")), "{found:?}");
    }

    #[test]
    fn attributes_that_are_handed_on_count() {
        let graph = |name: &str, node: Vec<NodeProto>| AttributeProto {
            name: Some(name.to_owned()),
            r#type: Some(AttributeType::Graph as i32),
            g: Some(Box::new(GraphProto { node, output: vec![info("y")], ..GraphProto::default() })),
            ..AttributeProto::default()
        };
        let given = |name: &str| AttributeProto {
            name: Some(name.to_owned()),
            ref_attr_name: Some("b".to_owned()),
            r#type: Some(AttributeType::Graph as i32),
            ..AttributeProto::default()
        };
        let twice = || node("", "If", vec![given("then_branch"), given("else_branch")]);
        let double = |i: usize| vec![node("f", &format!("f{}", i + 1), vec![graph("b", vec![twice()])])];
        let found = warnings(40, vec![graph("b", vec![node("", "Relu", vec![])])], double);
        assert!(found.iter().any(|w| w.contains("expand to too much")), "{found:?}");
    }
}
