//! Walking the nodes of a program: dispatch, in-place operators, inlined subgraphs, and the check against declared types.
use super::alias::{Owner, TensorId};
use super::aten;
use super::cx::{Cx, Out, R, Size, V, Val, malformed, unsupported};
use super::origin;
use super::pairs;
use crate::pytorch::schema::{self, Argument, Node, SymBoolArg, SymFloatArg, SymIntArg, TensorMeta};
use hoist_ir::diag::Diag;
use hoist_ir::types::{TensorType, Type};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Errors collected before lifting stops.
const MAX_DIAGS: usize = 50;
/// Deepest nesting of inlined graphs.
const MAX_DEPTH: usize = 16;

/// Operators that check something at run time and compute nothing.
const DROPPED: &[&str] = &[
    "_assert_tensor_metadata",
    "_assert_scalar",
    "_assert_async",
    "_functional_assert_async",
    "sym_constrain_range",
    "sym_constrain_range_for_size",
];

/// Arguments that say where and how to compute, not what.
const NO_MEANING: &[&str] = &["device", "layout", "pin_memory", "memory_format", "non_blocking", "generator"];

/// In-place operators that change how a tensor is seen, not its elements.
const VIEW_IN_PLACE: &[&str] = &[
    "detach_",
    "lift_",
    "squeeze_",
    "unsqueeze_",
    "t_",
    "transpose_",
    "swapaxes_",
    "swapdims_",
    "resize_as_",
];

/// A target in parts.
#[derive(Debug)]
pub enum Target<'a> {
    /// An operator of the table, and whether it writes to its first argument.
    Known(aten::Lift, bool),
    /// Computes nothing.
    Dropped,
    /// A graph that is inlined: position of the graph argument.
    Inlined(usize),
    /// Not covered.
    Unknown(&'a str),
}

/// What `target` is.
pub fn resolve(target: &str) -> Target<'_> {
    let Some(rest) = target.strip_prefix("torch.ops.") else {
        return aten::find(target).map_or(Target::Unknown(target), |f| Target::Known(f, false));
    };
    match rest {
        "higher_order.wrap_with_set_grad_enabled" => return Target::Inlined(1),
        "higher_order.wrap_with_autocast" => return Target::Inlined(4),
        _ => {}
    }
    let name = rest.strip_prefix("aten.").unwrap_or(rest);
    // `name.overload`; operators of other libraries keep their namespace.
    let name = name.rsplit_once('.').map_or(name, |(n, _)| n);
    if DROPPED.contains(&name) {
        return Target::Dropped;
    }
    if let Some(f) = aten::find(name) {
        return Target::Known(f, false);
    }
    let pure = name.strip_suffix('_').filter(|p| !p.ends_with('_'));
    match pure.and_then(aten::find) {
        Some(f) => Target::Known(f, !VIEW_IN_PLACE.contains(&name)),
        None => Target::Unknown(target),
    }
}

/// All operators of the graph that are not covered, as one diagnostic each with its count and first place.
pub fn unsupported_ops(graph: &schema::Graph) -> Vec<Diag> {
    let mut found: BTreeMap<&str, (usize, &Node)> = BTreeMap::new();
    collect(graph, 0, &mut found);
    let one = |(target, (count, node)): (&str, (usize, &Node))| {
        let name = origin::op_name(target);
        let times = if count == 1 { String::new() } else { format!(" ({count} nodes)") };
        Diag::error("E0301", format!("`{name}` is not supported{times}"))
            .op(name)
            .node(origin::node_name(node))
            .origin(origin::of(node))
            .hint("`hoist ops` lists what is; replace the operator in the model's source and export again")
    };
    found.into_iter().map(one).collect()
}

fn collect<'a>(graph: &'a schema::Graph, depth: usize, found: &mut BTreeMap<&'a str, (usize, &'a Node)>) {
    if depth > MAX_DEPTH {
        return;
    }
    for node in &graph.nodes {
        if let Target::Unknown(name) = resolve(&node.target) {
            found.entry(name).or_insert((0, node)).0 += 1;
        }
        for input in &node.inputs {
            if let Argument::Graph(_, g) = &input.arg {
                collect(g, depth + 1, found);
            }
        }
    }
}

/// Whether a target computes on sizes and nothing else, so that it has no effect but its result.
fn on_sizes(target: &str) -> bool {
    !target.starts_with("torch.ops.") || target.starts_with("torch.ops.aten.sym_")
}
/// For each node, whether it computes a size that only run-time checks read.
fn unread_sizes(graph: &schema::Graph) -> Vec<bool> {
    let mut needed: HashSet<&str> = graph.outputs.iter().flat_map(Argument::names).collect();
    let mut unread = vec![false; graph.nodes.len()];
    for (node, unread) in graph.nodes.iter().zip(&mut unread).rev() {
        let result = |o: &Argument| o.names().iter().any(|n| needed.contains(n));
        *unread = on_sizes(&node.target) && !node.outputs.iter().any(result);
        if !*unread && !matches!(resolve(&node.target), Target::Dropped) {
            needed.extend(node.inputs.iter().flat_map(|i| i.arg.names()));
        }
    }
    unread
}

impl<'p> Cx<'p> {
    /// Lifts all nodes of `graph` in the innermost environment.
    pub fn run(&mut self, graph: &'p schema::Graph) {
        let outer = std::mem::replace(&mut self.types, graph);
        let unread = unread_sizes(graph);
        for (node, unread) in graph.nodes.iter().zip(unread) {
            if unread {
                continue;
            }
            if self.diags.0.len() >= MAX_DIAGS {
                break;
            }
            self.step(node);
        }
        self.types = outer;
    }
    fn step(&mut self, node: &'p Node) {
        self.node = node;
        self.origin = origin::of(node);
        *self.read.borrow_mut() = vec![false; node.inputs.len()];
        let failed = |name: &&str| matches!(self.lookup(name), Ok(Val::Failed));
        let skip = node.inputs.iter().flat_map(|i| i.arg.names()).any(|n| failed(&n));
        let result = if skip { Ok(false) } else { self.lift_node(node).map(|()| true) };
        if let Ok(true) = result {
            return;
        }
        if let Err(mut d) = result {
            d.op = Some(origin::op_name(&node.target).to_owned());
            d.node = Some(origin::node_name(node));
            d.origin = Some(origin::of(node));
            self.diags.push(d);
        }
        for name in node.outputs.iter().flat_map(Argument::names) {
            self.define(name, Val::Failed);
        }
    }
    fn lift_node(&mut self, node: &'p Node) -> R<()> {
        let out = match resolve(&node.target) {
            Target::Dropped => return Ok(()),
            Target::Inlined(at) => return self.inline(node, at),
            Target::Unknown(name) => {
                return Err(unsupported(format!("`{}` is not supported", origin::op_name(name))));
            }
            Target::Known(f, in_place) => {
                let f = if self.has_complex_operand(node) { aten::complex_form(&node.target, f)? } else { f };
                let out = f(self)?;
                self.check_read(node)?;
                if in_place { self.write_back(&out)? } else { out }
            }
        };
        self.bind(node, out)
    }
    fn has_complex_operand(&mut self, node: &Node) -> bool {
        let mut names = node.inputs.iter().flat_map(|i| i.arg.names());
        names.any(|n| match self.lookup(n) {
            Ok(Val::Tensor(id)) => self.shows_complex(*id),
            _ => false,
        })
    }
    /// An argument that no lifting function looked at would be ignored silently.
    fn check_read(&self, node: &Node) -> R<()> {
        for (input, read) in node.inputs.iter().zip(self.read.borrow().iter()) {
            if !read && !NO_MEANING.contains(&input.name.as_str()) && input.arg != Argument::None {
                return Err(unsupported(format!("argument `{}` is not supported", input.name)));
            }
        }
        Ok(())
    }
    /// The result of an in-place operator: its first argument, after the write.
    fn write_back(&mut self, out: &Out) -> R<Out> {
        let target = self.tensor_id("self").or_else(|_| self.tensor_id("input"))?;
        let new = match out {
            Out::Fresh(v) => *v,
            Out::Same(id) if *id == target => return Ok(Out::Same(target)),
            Out::Same(id) => self.read_tensor(*id)?,
            _ => return Err(malformed("an in-place operator must give one tensor")),
        };
        self.assign(target, new)?;
        Ok(Out::Same(target))
    }
    /// Writes `new` to tensor `target`, converted to its type and repeated to its sizes.
    pub fn assign(&mut self, target: TensorId, new: V) -> R<()> {
        let old = self.read_tensor(target)?;
        let dtype = self.dtype(old)?;
        let new = self.cast(new, dtype)?;
        let new = if self.dims(new)? == self.dims(old)? { new } else { self.expand_like(new, old)? };
        self.write_tensor(target, new)
    }
    /// Names a value of the program.
    pub fn define(&mut self, name: &'p str, val: Val) {
        if let Some(env) = self.env.last_mut() {
            env.insert(name, val);
        }
    }

    fn bind(&mut self, node: &'p Node, out: Out) -> R<()> {
        let count = node.outputs.len();
        match (node.outputs.as_slice(), out) {
            ([], _) => Ok(()),
            ([Argument::Tensors(names)], Out::Many(outs)) => {
                if names.len() != outs.len() {
                    return Err(malformed(format!(
                        "{} results are computed, {} are named",
                        outs.len(),
                        names.len()
                    )));
                }
                names.iter().zip(outs).try_for_each(|(n, o)| self.bind_tensor(&n.name, o))
            }
            (
                [one],
                out @ (Out::Fresh(_)
                | Out::Same(_)
                | Out::View(..)
                | Out::Int(_)
                | Out::Bool(_)
                | Out::Float(_)),
            ) => self.bind_one(one, out),
            (args, Out::Many(outs)) if args.len() <= outs.len() => {
                args.iter().zip(outs).try_for_each(|(a, o)| self.bind_one(a, o))
            }
            _ => Err(malformed(format!("the node names {count} results, which the operator does not give"))),
        }
    }
    fn bind_one(&mut self, arg: &'p Argument, out: Out) -> R<()> {
        match (arg, out) {
            (Argument::Tensor(n), out) => self.bind_tensor(&n.name, out),
            (Argument::SymInt(SymIntArg::Name(n)), Out::Int(s)) => {
                self.define(n, Val::Int(s));
                Ok(())
            }
            (Argument::SymBool(SymBoolArg::Name(n)), Out::Bool(v)) => {
                self.define(n, Val::Bool(v));
                Ok(())
            }
            (Argument::SymFloat(SymFloatArg::Name(n)), Out::Float(v)) => {
                self.define(n, Val::Float(v));
                Ok(())
            }
            (Argument::Tensors(names), Out::Many(outs)) if names.len() == outs.len() => {
                names.iter().zip(outs).try_for_each(|(n, o)| self.bind_tensor(&n.name, o))
            }
            (Argument::None, _) | (Argument::SymInt(SymIntArg::Int(_)) | Argument::Int(_), Out::Int(_)) => {
                Ok(())
            }
            _ => Err(malformed("a result is of another kind than declared")),
        }
    }
    fn bind_tensor(&mut self, name: &'p str, out: Out) -> R<()> {
        let id = match out {
            Out::Fresh(v) => self.new_tensor(v, Owner::Local),
            Out::Same(id) => id,
            Out::View(of, steps) => self.new_view(of, steps)?,
            _ => return Err(malformed(format!("`{name}` is declared a tensor and is none"))),
        };
        if let Some(meta) = self.types.tensor_values.get(name) {
            let v = self.read_tensor(id)?;
            self.check_type(name, v, meta)?;
        }
        self.define(name, Val::Tensor(id));
        Ok(())
    }
    /// The computed type must be the one the program declares; symbolic sizes are taken over from it.
    fn check_type(&mut self, name: &str, v: V, meta: &TensorMeta) -> R<()> {
        let declared: Type = self.declared_type(meta)?.into();
        let computed: Type = self.logical_type(v)?.into();
        let d = match computed.meet(&declared) {
            None => Some(Diag::error(
                "E0402",
                format!("`{name}` is declared {declared} and computed as {computed}"),
            )),
            Some(_) if self.graph.constant(v).is_some() => None,
            Some(_) => {
                let stored = self.declared_type(meta)?;
                let stored: Type = if self.is_complex(v) { pairs::stored_type(stored) } else { stored }.into();
                self.graph.declare_type(v, &stored).err()
            }
        };
        if let Some(d) = d {
            return Err(d.hint("this is a defect of Hoist or a damaged file: please report it with the file"));
        }
        if self.graph.value(v).name.is_none() && self.graph.producer(v).is_some() {
            self.graph.set_name(v, Some(name.into()));
        }
        Ok(())
    }
    /// The IR type of a declaration.
    pub fn declared_type(&self, meta: &TensorMeta) -> R<TensorType> {
        let known = meta.dtype.dtype().and_then(super::promote::ir_dtype);
        let dtype =
            known.ok_or_else(|| unsupported(format!("element type {} is not supported", meta.dtype.0)))?;
        let dims: Vec<_> = meta.sizes.iter().map(|s| self.symbols.dim(s)).collect();
        Ok(TensorType::new(dtype, dims))
    }

    /// Lifts a graph argument in place of the node that calls it.
    fn inline(&mut self, node: &'p Node, at: usize) -> R<()> {
        if at == 4 && !matches!(node.inputs.get(2).map(|i| &i.arg), Some(Argument::Bool(false))) {
            return Err(unsupported("a region under autocast is not supported")
                .hint("export the model without autocast, or converted to half precision as a whole"));
        }
        if self.env.len() > MAX_DEPTH {
            return Err(malformed("graphs are nested too deeply"));
        }
        let graph = self.subgraph(at)?;
        let operands = self.operand_names(at + 1);
        let formals: Vec<&'p str> = graph.inputs.iter().flat_map(Argument::names).collect();
        if operands.len() != formals.len() {
            return Err(malformed(format!(
                "{} operands for a graph of {} inputs",
                operands.len(),
                formals.len()
            )));
        }
        let mut env = HashMap::new();
        for (formal, name) in formals.into_iter().zip(operands) {
            env.insert(formal, self.lookup(name)?.clone());
        }
        let before = self.diags.0.len();
        self.env.push(env);
        self.run(graph);
        let inner = self.env.pop().unwrap_or_default();
        self.node = node;
        self.origin = origin::of(node);
        if self.diags.0.len() > before {
            for name in node.outputs.iter().flat_map(Argument::names) {
                self.define(name, Val::Failed);
            }
            return Ok(());
        }
        let results: Vec<&'p str> = graph.outputs.iter().flat_map(Argument::names).collect();
        let names: Vec<&'p str> = node.outputs.iter().flat_map(Argument::names).collect();
        if results.len() != names.len() {
            return Err(malformed(format!(
                "a graph of {} outputs for {} results",
                results.len(),
                names.len()
            )));
        }
        for (name, result) in names.into_iter().zip(results) {
            let missing = || malformed(format!("`{result}` is not defined"));
            let val = inner.get(result).cloned().ok_or_else(missing)?;
            self.define(name, val);
        }
        Ok(())
    }
    /// An integer as a 0-d value.
    pub fn int_value(&mut self, s: &Size) -> R<V> {
        self.size_scalar(s)
    }
}
