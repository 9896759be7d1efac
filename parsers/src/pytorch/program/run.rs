//! Walking the nodes of a program: dispatch, in-place operators, inlined subgraphs, and the check against declared types.
use super::autocast::Autocast;
use super::origin;
use super::regions::{Region, region};
use super::symbols::Symbols;
use crate::pytorch::lift::alias::Owner;
use crate::pytorch::lift::blockers::not_supported;
use crate::pytorch::lift::cx::{Call, Cx, Meta, Out, R, V, Val, malformed, unsupported};
use crate::pytorch::lift::pairs;
use crate::pytorch::lift::promote::ir_dtype;
use crate::pytorch::lift::target::{self, Operator};
use crate::pytorch::schema::{self, Argument, Node, SymBoolArg, SymFloatArg, SymIntArg, TensorMeta};
use hoist_ir::diag::Diag;
use hoist_ir::types::{TensorType, Type};
use std::collections::{HashMap, HashSet};

/// What a node calls.
#[derive(Debug)]
pub enum Target<'a> {
    /// An operator.
    Operator(Operator),
    /// An operator on graphs.
    Region(Region),
    /// Not covered.
    Unknown(&'a str),
}

/// What `target` is.
pub fn resolve(target: &str) -> Target<'_> {
    let rest = match target.strip_prefix("torch.ops.") {
        Some(rest) => {
            if let Some(region) = region(rest) {
                return Target::Region(region);
            }
            let name = rest.strip_prefix("aten.").unwrap_or(rest);
            // `name.overload`; operators of other libraries keep their namespace.
            name.rsplit_once('.').map_or(name, |(n, _)| n)
        }
        // Arithmetic of Python on sizes.
        None => target,
    };
    target::find(rest).map_or(Target::Unknown(target), Target::Operator)
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
        if !*unread && !matches!(resolve(&node.target), Target::Operator(Operator::Dropped)) {
            needed.extend(node.inputs.iter().flat_map(|i| i.arg.names()));
        }
    }
    unread
}

/// Lifting of one program.
pub struct Program<'p> {
    /// The graph being built.
    pub cx: Cx,
    /// Symbols with one value.
    pub symbols: Symbols,
    /// Names, innermost graph last.
    pub env: Vec<HashMap<&'p str, Val>>,
    /// Types of the graph being lifted.
    pub types: &'p schema::Graph,
    /// Types that operators convert their operands to.
    pub autocast: Autocast,
    /// Nodes lifted in graphs within.
    pub unfolded: usize,
}

impl<'p> Program<'p> {
    /// Lifts all nodes of `graph` in the innermost environment.
    pub fn run(&mut self, graph: &'p schema::Graph) {
        let outer = std::mem::replace(&mut self.types, graph);
        let unread = unread_sizes(graph);
        for (node, unread) in graph.nodes.iter().zip(unread) {
            if unread {
                continue;
            }
            if self.cx.diags.is_full() {
                break;
            }
            self.step(node);
        }
        self.types = outer;
    }
    fn step(&mut self, node: &'p Node) {
        self.cx.origin = origin::of(node);
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
            self.cx.diags.push(d);
        }
        node.outputs.iter().flat_map(Argument::names).for_each(|n| self.stand_in(n));
    }
    /// Has `name`, which could not be lifted, stand for a tensor of its declared type, so that what reads it is tried as well.
    fn stand_in(&mut self, name: &'p str) {
        let ty = self.types.tensor_values.get(name).and_then(|m| self.declared_type(m).ok());
        let val = ty.map_or(Val::Failed, |ty| {
            let complex = ty.dtype.is_complex();
            let ty = if complex { pairs::stored_type(ty) } else { ty };
            let v = self.cx.graph.add_input(name, ty.into());
            if complex {
                self.cx.mark(v, pairs::Parts::Joined);
            }
            Val::Tensor(self.cx.new_tensor(v, Owner::Local))
        });
        self.define(name, val);
    }
    fn lift_node(&mut self, node: &'p Node) -> R<()> {
        match resolve(&node.target) {
            Target::Operator(Operator::Dropped) => Ok(()),
            Target::Region(region) => self.region(node, region),
            Target::Unknown(name) => Err(not_supported(origin::op_name(name))),
            Target::Operator(Operator::Lifted(f, in_place)) => {
                let mut call = self.call(node)?;
                self.autocast.convert(&mut self.cx, &call.target, &mut call.args)?;
                let out = self.cx.lift(f, call)?;
                let out = if in_place { self.cx.write_back(&out)? } else { out };
                self.bind(node, out)
            }
        }
    }
    fn call(&self, node: &'p Node) -> R<Call> {
        let arg = |i: &'p schema::NamedArgument| Ok((i.name.clone(), self.val(&i.arg)?));
        let results = node.outputs.iter().flat_map(Argument::names);
        Ok(Call {
            target: origin::op_name(&node.target).to_owned(),
            args: node.inputs.iter().map(arg).collect::<R<_>>()?,
            results: results.map(|n| self.types.tensor_values.get(n).map(stated)).collect(),
            outputs: node.outputs.len(),
        })
    }
    /// What the program's name `name` stands for.
    pub fn lookup(&self, name: &str) -> R<&Val> {
        self.env.last().and_then(|e| e.get(name)).ok_or_else(|| malformed(format!("`{name}` is not defined")))
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
                self.define(n, Val::BoolValue(v));
                Ok(())
            }
            (Argument::SymFloat(SymFloatArg::Name(n)), Out::Float(v)) => {
                self.define(n, Val::FloatValue(v));
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
    pub(super) fn bind_tensor(&mut self, name: &'p str, out: Out) -> R<()> {
        let id = match out {
            Out::Fresh(v) => self.cx.new_tensor(v, Owner::Local),
            Out::Same(id) => id,
            Out::View(of, steps) => self.cx.new_view(of, steps)?,
            _ => return Err(malformed(format!("`{name}` is declared a tensor and is none"))),
        };
        if let Some(meta) = self.types.tensor_values.get(name).filter(|_| !misdeclared(&self.cx.call)) {
            let v = self.cx.read_tensor(id)?;
            self.check_type(name, v, meta)?;
            self.cx.tensors[id].meta = Some(stated(meta));
        }
        self.define(name, Val::Tensor(id));
        Ok(())
    }
    /// The computed type must be the one the program declares; symbolic sizes are taken over from it.
    fn check_type(&mut self, name: &str, v: V, meta: &TensorMeta) -> R<()> {
        let declared: Type = self.declared_type(meta)?.into();
        let computed: Type = self.cx.logical_type(v)?.into();
        let d = match computed.meet(&declared) {
            None => Some(Diag::error(
                "E0402",
                format!("`{name}` is declared {declared} and computed as {computed}"),
            )),
            Some(_) if self.cx.graph.constant(v).is_some() => None,
            Some(_) => {
                let stored = self.declared_type(meta)?;
                let stored: Type =
                    if self.cx.is_complex(v) { pairs::stored_type(stored) } else { stored }.into();
                self.cx.graph.declare_type(v, &stored).err()
            }
        };
        if let Some(d) = d {
            return Err(d.hint("this is a defect of Hoist or a damaged file: please report it with the file"));
        }
        if self.cx.graph.value(v).name.is_none() && self.cx.graph.producer(v).is_some() {
            self.cx.graph.set_name(v, Some(name.into()));
        }
        Ok(())
    }
    /// The IR type of a declaration.
    pub fn declared_type(&self, meta: &TensorMeta) -> R<TensorType> {
        let known = meta.dtype.dtype().and_then(ir_dtype);
        let dtype =
            known.ok_or_else(|| unsupported(format!("element type {} is not supported", meta.dtype.0)))?;
        let dims: Vec<_> = meta.sizes.iter().map(|s| self.symbols.dim(s)).collect();
        Ok(TensorType::new(dtype, dims))
    }
}

/// What a type says of a tensor.
pub fn stated(meta: &TensorMeta) -> Meta {
    let known = |s: &schema::SymInt| if let schema::SymInt::Int(v) = s { Some(*v) } else { None };
    Meta {
        dtype: meta.dtype.dtype().and_then(ir_dtype),
        sizes: meta.sizes.iter().map(known).collect(),
        strides: meta.strides.iter().map(known).collect(),
    }
}

/// Whether PyTorch declares other sizes for the results than it computes: those of runs along an axis have an axis too many.
fn misdeclared(call: &Call) -> bool {
    let along = |(name, val): &(String, Val)| name == "dim" && !matches!(val, Val::None);
    call.target.starts_with("aten.unique_consecutive.") && call.args.iter().any(along)
}
