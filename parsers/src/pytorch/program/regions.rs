//! Higher-order operators: graphs that are inlined, branches and loops.
use super::autocast::Autocast;
use super::origin;
use super::run::Program;
use crate::pytorch::lift::alias::Owner;
use crate::pytorch::lift::body::Body;
use crate::pytorch::lift::cx::{Out, R, Size, V, Val, malformed, unsupported};
use crate::pytorch::schema::{Argument, Graph, Node};
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::{TensorType, Type};
use std::collections::HashMap;

/// Deepest nesting of graphs.
const MAX_DEPTH: usize = 16;
/// Most nodes that graphs unfold to, one that is lifted again counted again.
const MAX_UNFOLDED: usize = 300_000;

/// What a higher-order operator does with its graphs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Region {
    /// The graph at this position is inlined; its operands follow.
    Inline(usize),
    /// As that, with element types chosen by autocast.
    Autocast,
    /// One of two graphs.
    Cond,
    /// A graph while another one holds.
    While,
    /// A graph over slices, with carried values.
    Scan,
    /// A graph over slices.
    Map,
    /// Running results of a graph of two slices.
    AssociativeScan,
}

/// The region that the operator `name` (as `higher_order.cond`) is.
pub fn region(name: &str) -> Option<Region> {
    Some(match name.strip_prefix("higher_order.")? {
        "wrap_with_set_grad_enabled" => Region::Inline(1),
        "wrap_with_autocast" => Region::Autocast,
        "invoke_subgraph"
        | "hints_wrap"
        | "wrap"
        | "strict_mode"
        | "wrap_activation_checkpoint"
        | "tag_activation_checkpoint"
        | "run_const_graph" => Region::Inline(0),
        "cond" => Region::Cond,
        "while_loop" => Region::While,
        "scan" => Region::Scan,
        "map_impl" | "map" => Region::Map,
        "associative_scan" => Region::AssociativeScan,
        _ => return None,
    })
}

/// Results of a graph; none when it could not be lifted.
type Results = Option<Vec<Val>>;
/// Gives the results of a loop's body from its own inputs and what it sees; none when it could not be lifted.
type Make<'a, 'p> = dyn Fn(&mut Program<'p>, &[V], &[Val]) -> R<Option<Vec<V>>> + 'a;

impl<'p> Program<'p> {
    /// Lifts a node whose operator is `region`.
    pub(super) fn region(&mut self, node: &'p Node, region: Region) -> R<()> {
        let results = match region {
            Region::Inline(at) => self.inline(node, at)?,
            Region::Autocast => {
                let rule = Autocast::of(node)?;
                let outer = std::mem::replace(&mut self.autocast, rule);
                let results = self.inline(node, 4);
                self.autocast = outer;
                results?
            }
            Region::Cond => self.cond(node)?,
            Region::While => self.while_loop(node)?,
            Region::Scan => self.scan(node, (1, 2, 3))?,
            Region::Map => self.scan(node, (usize::MAX, 1, 2))?,
            Region::AssociativeScan => self.associative_scan(node)?,
        };
        self.cx.origin = origin::of(node);
        let names: Vec<&'p str> = node.outputs.iter().flat_map(Argument::names).collect();
        let Some(results) = results else {
            for name in names {
                self.define(name, Val::Failed);
            }
            return Ok(());
        };
        if results.len() != names.len() {
            let (m, n) = (results.len(), names.len());
            return Err(malformed(format!("a graph of {m} outputs for {n} results")));
        }
        let inlined = matches!(region, Region::Inline(_) | Region::Autocast);
        for (name, val) in names.into_iter().zip(results) {
            match val {
                // What is computed by a node of control flow has the type that is declared for it.
                Val::Tensor(id) if !inlined => self.bind_tensor(name, Out::Same(id))?,
                val => self.define(name, val),
            }
        }
        Ok(())
    }
    fn graph(node: &'p Node, at: usize) -> R<&'p Graph> {
        match node.inputs.get(at).map(|n| &n.arg) {
            Some(Argument::Graph(_, graph)) => Ok(graph),
            _ => Err(malformed(format!("argument {at} is no graph"))),
        }
    }
    /// The values in the list at position `at`; none when there is no such argument.
    fn list(&self, node: &'p Node, at: usize) -> R<Vec<Val>> {
        match node.inputs.get(at) {
            None => Ok(vec![]),
            Some(n) => match self.val(&n.arg)? {
                Val::List(items) => Ok(items),
                Val::None => Ok(vec![]),
                one => Ok(vec![one]),
            },
        }
    }
    /// Lifts `graph` with these operands in place.
    fn apply(&mut self, graph: &'p Graph, operands: &[Val]) -> R<Results> {
        if self.env.len() > MAX_DEPTH {
            return Err(malformed("graphs are nested too deeply"));
        }
        self.unfolded = self.unfolded.saturating_add(graph.nodes.len() + 1);
        if self.unfolded > MAX_UNFOLDED {
            return Err(malformed(format!("its graphs unfold to more than {MAX_UNFOLDED} nodes")));
        }
        let formals: Vec<&'p str> = graph.inputs.iter().flat_map(Argument::names).collect();
        if operands.len() != formals.len() {
            let (m, n) = (operands.len(), formals.len());
            return Err(malformed(format!("{m} operands for a graph of {n} inputs")));
        }
        self.env.push(formals.into_iter().zip(operands.iter().cloned()).collect::<HashMap<_, _>>());
        self.run(graph);
        let names = graph.outputs.iter().flat_map(Argument::names);
        let results: R<Vec<Val>> = names.map(|n| self.lookup(n).cloned()).collect();
        self.env.pop();
        let results = results?;
        Ok((!results.iter().any(|v| matches!(v, Val::Failed))).then_some(results))
    }
    fn inline(&mut self, node: &'p Node, at: usize) -> R<Results> {
        let graph = Self::graph(node, at)?;
        // The operands are the names from there on, lists flattened.
        let names = node.inputs.iter().skip(at + 1).flat_map(|n| n.arg.names());
        let operands: Vec<Val> = names.map(|n| self.lookup(n).cloned()).collect::<R<_>>()?;
        self.apply(graph, &operands)
    }

    /// A value of the program as one of the graph.
    fn lowered(&mut self, val: &Val) -> R<V> {
        match val {
            Val::Tensor(id) => self.cx.read_tensor(*id),
            Val::Int(s) => Ok(self.cx.size_value(s)),
            Val::BoolValue(v) | Val::FloatValue(v) => Ok(*v),
            Val::Bool(b) => Ok(self.cx.constant(Tensor::from_bools(&[], vec![*b]))),
            Val::Float(f) => Ok(self.cx.constant(Tensor::scalar(*f))),
            _ => Err(unsupported("control flow over something that is no tensor or number")),
        }
    }
    /// The graph's value `v` as a value of the kind of `like`.
    fn raised(&mut self, like: &Val, v: V) -> Val {
        match like {
            Val::Int(_) => Val::Int(Size::Value(v)),
            Val::Bool(_) | Val::BoolValue(_) => Val::BoolValue(v),
            Val::Float(_) | Val::FloatValue(_) => Val::FloatValue(v),
            _ => Val::Tensor(self.cx.new_tensor(v, Owner::Local)),
        }
    }
    fn all_lowered(&mut self, vals: &[Val]) -> R<Vec<V>> {
        vals.iter().map(|v| self.lowered(v)).collect()
    }
    fn all_raised(&mut self, like: &[Val], values: &[V]) -> Vec<Val> {
        like.iter().zip(values).map(|(l, v)| self.raised(l, *v)).collect()
    }
    /// A condition as a 0-d truth value.
    fn condition(&mut self, val: &Val) -> R<V> {
        let v = self.lowered(val)?;
        let v = self.cx.cast(v, DType::Bool)?;
        self.cx.reshape_to(v, &[])
    }
    /// The one result of a graph that gives a condition.
    fn tested(&mut self, graph: &'p Graph, operands: &[Val]) -> R<Option<V>> {
        match self.apply(graph, operands)?.as_deref() {
            None => Ok(None),
            Some([one]) => self.condition(one).map(Some),
            Some(_) => Err(malformed("a condition is one value")),
        }
    }

    fn cond(&mut self, node: &'p Node) -> R<Results> {
        let Some(pred) = node.inputs.first() else { return Err(malformed("a condition is missing")) };
        let pred = self.val(&pred.arg)?;
        let operands = self.list(node, 3)?;
        if let Val::Bool(known) = pred {
            let graph = Self::graph(node, if known { 1 } else { 2 })?;
            return self.apply(graph, &operands);
        }
        let pred = self.condition(&pred)?;
        let (mut bodies, mut like) = (vec![], None);
        for (at, name) in [(1, "then"), (2, "else")] {
            let graph = Self::graph(node, at)?;
            let seen = self.cx.seen(&operands);
            let (around, _) = self.cx.begin_body(name, &[], &seen);
            let inner: Vec<Val> = operands.iter().map(|v| around.inside(v)).collect();
            let results = self.apply(graph, &inner);
            let values = results.and_then(|r| match r {
                None => Ok(None),
                Some(vals) => self.all_lowered(&vals).map(|values| Some((vals, values))),
            });
            let (given, values) = match values {
                Ok(Some((vals, values))) => (Ok(Some(vals)), values),
                Ok(None) => (Ok(None), vec![]),
                Err(d) => (Err(d), vec![]),
            };
            bodies.push(self.cx.end_body(around, values));
            let Some(vals) = given? else { return Ok(None) };
            like.get_or_insert(vals);
        }
        let (Some(or_else), Some(then), Some(like)) = (bodies.pop(), bodies.pop(), like) else {
            return Err(malformed("a branch is missing"));
        };
        self.cx.origin = origin::of(node);
        let outs = self.cx.if_node(pred, then, or_else)?;
        Ok(Some(self.all_raised(&like, &outs)))
    }

    /// Names and types of a loop body's own inputs: the number of the iteration, the condition, and the carried values.
    fn own_inputs(&mut self, carried: &[V]) -> Vec<(String, Type)> {
        let fixed = |d: DType| Type::from(TensorType::fixed(d, &[]));
        let mut own =
            vec![("iteration".to_owned(), fixed(DType::I64)), ("condition".to_owned(), fixed(DType::Bool))];
        for (i, v) in carried.iter().enumerate() {
            own.push((format!("carried_in_{i}"), self.cx.graph.ty(*v).clone()));
        }
        own
    }
    /// A loop body that sees `seen` and whose results `make` gives from its own inputs and what it sees. Built again where it writes to a
    /// constant around.
    fn body(&mut self, init: &[V], seen: &[Val], make: &Make<'_, 'p>) -> R<Option<Body>> {
        let own = self.own_inputs(init);
        let mut sees = self.cx.seen(seen);
        loop {
            let (around, inputs) = self.cx.begin_body("body", &own, &sees);
            let inner: Vec<Val> = seen.iter().map(|v| around.inside(v)).collect();
            let results = make(self, &inputs, &inner);
            let complete = matches!(results, Ok(Some(_)));
            let (values, given) = match results {
                Ok(Some(values)) => (values, Ok(())),
                Ok(None) => (vec![], Ok(())),
                Err(d) => (vec![], Err(d)),
            };
            let body = self.cx.end_body(around, values);
            given?;
            if !complete {
                return Ok(None);
            }
            let written = body.constants_written();
            if written.is_empty() {
                return Ok(Some(body));
            }
            sees.hold(&written);
        }
    }

    fn while_loop(&mut self, node: &'p Node) -> R<Results> {
        let (test, graph) = (Self::graph(node, 0)?, Self::graph(node, 1)?);
        let (carried, more) = (self.list(node, 2)?, self.list(node, 3)?);
        let all: Vec<Val> = carried.iter().chain(&more).cloned().collect();
        let Some(first) = self.tested(test, &all)? else { return Ok(None) };
        let init = self.all_lowered(&carried)?;
        let body = self.body(&init, &more, &|p, own, more| {
            let now = p.all_raised(&carried, &own[2..]);
            let Some(new) = p.apply(graph, &[now, more.to_vec()].concat())? else { return Ok(None) };
            let Some(again) = p.tested(test, &[new.clone(), more.to_vec()].concat())? else {
                return Ok(None);
            };
            Ok(Some([vec![again], p.all_lowered(&new)?].concat()))
        })?;
        let Some(body) = body else { return Ok(None) };
        self.cx.origin = origin::of(node);
        let outs = self.cx.loop_node(None, Some(first), &init, body)?;
        Ok(Some(self.all_raised(&carried, &outs)))
    }

    /// Slices of `xs` along their first axis.
    fn slices(&mut self, xs: &[Val], at: V) -> R<Vec<Val>> {
        let mut slices = vec![];
        for x in xs {
            let x = self.lowered(x)?;
            let slice = self.cx.gather(x, at, 0)?;
            slices.push(Val::Tensor(self.cx.new_tensor(slice, Owner::Local)));
        }
        Ok(slices)
    }
    /// The number of slices.
    fn trips(&mut self, xs: &[Val]) -> R<Size> {
        let first = xs.first().ok_or_else(|| malformed("there is nothing to take slices of"))?;
        let first = self.lowered(first)?;
        self.cx.dim(first, 0)
    }
    /// A graph over slices: positions of the initial values, the tensors, and what else the graph reads.
    fn scan(&mut self, node: &'p Node, (init, xs, more): (usize, usize, usize)) -> R<Results> {
        let graph = Self::graph(node, 0)?;
        let (carried, xs, more) = (self.list(node, init)?, self.list(node, xs)?, self.list(node, more)?);
        let trips = self.trips(&xs)?;
        let trips = self.cx.size_scalar(&trips)?;
        let init = self.all_lowered(&carried)?;
        let seen: Vec<Val> = xs.iter().chain(&more).cloned().collect();
        let body = self.body(&init, &seen, &|p, own, seen| {
            let (xs, more) = seen.split_at(xs.len());
            let now = p.all_raised(&carried, &own[2..]);
            let slices = p.slices(xs, own[0])?;
            let Some(new) = p.apply(graph, &[now, slices, more.to_vec()].concat())? else { return Ok(None) };
            if new.len() < carried.len() {
                return Err(malformed("a scan gives fewer values than it carries"));
            }
            let on = p.cx.constant(Tensor::from_bools(&[], vec![true]));
            Ok(Some([vec![on], p.all_lowered(&new)?].concat()))
        })?;
        let Some(body) = body else { return Ok(None) };
        self.cx.origin = origin::of(node);
        // Engines want a condition even where the number of turns is given.
        let on = self.cx.constant(Tensor::from_bools(&[], vec![true]));
        let outs = self.cx.loop_node(Some(trips), Some(on), &init, body)?;
        let (last, stacked) = outs.split_at(carried.len());
        let mut results = self.all_raised(&carried, last);
        results.extend(stacked.iter().map(|v| Val::Tensor(self.cx.new_tensor(*v, Owner::Local))));
        Ok(Some(results))
    }
    /// Each slice combined with the result before it; the first is its own result.
    fn associative_scan(&mut self, node: &'p Node) -> R<Results> {
        let graph = Self::graph(node, 0)?;
        let (xs, more) = (self.list(node, 1)?, self.list(node, 2)?);
        let trips = self.trips(&xs)?;
        let trips = self.cx.size_op("sub", &trips, &Size::Known(1), i64::checked_sub)?;
        let trips = self.cx.size_scalar(&trips)?;
        let zero = self.cx.constant(Tensor::scalar(0i64));
        let first = self.slices(&xs, zero)?;
        let init = self.all_lowered(&first)?;
        let seen: Vec<Val> = xs.iter().chain(&more).cloned().collect();
        let body = self.body(&init, &seen, &|p, own, seen| {
            let (xs, more) = seen.split_at(xs.len());
            let at = p.cx.bn("add", own[0], 1.0)?;
            let (now, slices) = (p.all_raised(&first, &own[2..]), p.slices(xs, at)?);
            let Some(new) = p.apply(graph, &[now, slices, more.to_vec()].concat())? else { return Ok(None) };
            let on = p.cx.constant(Tensor::from_bools(&[], vec![true]));
            let new = p.all_lowered(&new)?;
            Ok(Some([vec![on], new.clone(), new].concat()))
        })?;
        let Some(body) = body else { return Ok(None) };
        self.cx.origin = origin::of(node);
        // Engines want a condition even where the number of turns is given.
        let on = self.cx.constant(Tensor::from_bools(&[], vec![true]));
        let outs = self.cx.loop_node(Some(trips), Some(on), &init, body)?;
        let stacked = outs.get(init.len()..).unwrap_or_default().to_vec();
        let mut results = vec![];
        for (first, rest) in init.into_iter().zip(stacked) {
            let first = self.cx.unsqueeze(first, &[0])?;
            let all = self.cx.concat(&[first, rest], 0)?;
            results.push(Val::Tensor(self.cx.new_tensor(all, Owner::Local)));
        }
        Ok(Some(results))
    }
}
