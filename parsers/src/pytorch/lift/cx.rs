//! What a lifting function sees: the node's arguments, the values lifted so far, and the graph being built.
use super::alias::{Base, Tensor, TensorId};
use super::pairs::Parts;
use super::promote::{Rank, ir_dtype};
use super::symbols::Symbols;
use crate::pytorch::schema::{self, Argument, Node, OptionalTensor, SymBoolArg, SymFloatArg, SymIntArg};
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, Origin, ValueId};
use std::cell::RefCell;
use std::collections::HashMap;

/// Result of lifting.
pub type R<T> = Result<T, Diag>;
/// A value of the IR graph.
pub type V = ValueId;

/// A symbolic or known integer.
#[derive(Clone, Debug, PartialEq)]
pub enum Size {
    /// Known.
    Known(i64),
    /// An `i64` value of shape `[1]`.
    Value(V),
}
impl From<i64> for Size {
    fn from(v: i64) -> Self {
        Self::Known(v)
    }
}

/// A Python number.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// Integer.
    Int(Size),
    /// Float.
    Float(f64),
    /// Truth value.
    Bool(bool),
}

impl Scalar {
    /// Its type and rank in promotion.
    pub fn promotes(&self) -> (DType, Rank) {
        let dtype = match self {
            Self::Int(_) => DType::I64,
            Self::Float(_) => DType::F32,
            Self::Bool(_) => DType::Bool,
        };
        (dtype, Rank::Number)
    }
    /// Its value when known.
    pub fn known(&self) -> Option<f64> {
        match self {
            Self::Int(Size::Known(v)) => Some(*v as f64),
            Self::Int(Size::Value(_)) => None,
            Self::Float(v) => Some(*v),
            Self::Bool(v) => Some(f64::from(u8::from(*v))),
        }
    }
}

/// A tensor or a Python number.
#[derive(Clone, Debug)]
pub enum Operand {
    /// A tensor.
    Tensor(V),
    /// A number.
    Scalar(Scalar),
}

/// What a name of the program stands for.
#[derive(Clone, Debug)]
pub enum Val {
    /// A tensor.
    Tensor(TensorId),
    /// An integer.
    Int(Size),
    /// A 0-d boolean value.
    Bool(V),
    /// A 0-d float value.
    Float(V),
    /// Something that is no value of a graph: a token, a script object.
    Opaque,
    /// The result of a node that could not be lifted; what reads it is skipped.
    Failed,
}

/// What a lifting function gives.
#[derive(Debug)]
pub enum Out {
    /// A new tensor.
    Fresh(V),
    /// The same tensor.
    Same(TensorId),
    /// A view of a tensor.
    View(TensorId, Vec<super::alias::Step>),
    /// Several results, or a list.
    Many(Vec<Out>),
    /// An integer.
    Int(Size),
    /// A 0-d boolean value.
    Bool(V),
    /// A 0-d float value.
    Float(V),
}

/// State of lifting one program.
pub struct Cx<'p> {
    /// The graph being built.
    pub graph: Graph,
    /// Symbols with one value.
    pub symbols: Symbols,
    /// Tensors and views made so far.
    pub tensors: Vec<Tensor>,
    /// Complex values: real ones with a last axis of 2.
    pub pairs: HashMap<V, Parts>,
    /// Constants that several nodes use, by what they are.
    pub tables: HashMap<String, V>,
    /// Storages behind them.
    pub bases: Vec<Base>,
    /// Names, innermost graph last.
    pub env: Vec<HashMap<&'p str, Val>>,
    /// Types of the graph being lifted.
    pub types: &'p schema::Graph,
    /// The node being lifted.
    pub node: &'p Node,
    /// Where it comes from.
    pub origin: Origin,
    /// Which of its arguments were read.
    pub read: RefCell<Vec<bool>>,
    /// Remarks for the user.
    pub warnings: Vec<Diag>,
    /// What is wrong, collected.
    pub diags: Diags,
}

/// An error in the program's own rules.
pub fn malformed(message: impl Into<String>) -> Diag {
    Diag::error("E0202", message)
}
/// A case of an operator that has no translation.
pub fn unsupported(message: impl Into<String>) -> Diag {
    Diag::error("E0301", message)
}

fn wrong(name: &str, what: &str) -> Diag {
    malformed(format!("argument `{name}` is no {what}"))
}

impl<'p> Cx<'p> {
    /// The argument `name`, unless it is absent or none.
    pub fn arg(&self, name: &str) -> Option<&'p Argument> {
        let at = self.node.inputs.iter().position(|i| i.name == name)?;
        if let Some(seen) = self.read.borrow_mut().get_mut(at) {
            *seen = true;
        }
        match &self.node.inputs[at].arg {
            Argument::None | Argument::OptionalTensor(OptionalTensor::None(_)) => None,
            arg => Some(arg),
        }
    }
    /// Whether the argument `name` is given.
    pub fn has(&self, name: &str) -> bool {
        self.arg(name).is_some()
    }
    fn need(&self, name: &str) -> R<&'p Argument> {
        self.arg(name).ok_or_else(|| malformed(format!("argument `{name}` is missing")))
    }
    /// What the program's name `name` stands for.
    pub fn lookup(&self, name: &str) -> R<&Val> {
        self.env.last().and_then(|e| e.get(name)).ok_or_else(|| malformed(format!("`{name}` is not defined")))
    }

    /// The tensor `name`, to look through or to alias.
    pub fn tensor_id(&self, name: &str) -> R<TensorId> {
        match self.need(name)? {
            Argument::Tensor(t) | Argument::OptionalTensor(OptionalTensor::Tensor(t)) => {
                self.named_tensor(&t.name)
            }
            _ => Err(wrong(name, "tensor")),
        }
    }
    fn named_tensor(&self, name: &str) -> R<TensorId> {
        match self.lookup(name)? {
            Val::Tensor(id) => Ok(*id),
            _ => Err(malformed(format!("`{name}` is no tensor"))),
        }
    }
    /// The present value of tensor argument `name`.
    pub fn t(&mut self, name: &str) -> R<V> {
        let id = self.tensor_id(name)?;
        self.read_tensor(id)
    }
    /// The present value of tensor argument `name`, if given.
    pub fn opt_t(&mut self, name: &str) -> R<Option<V>> {
        if self.has(name) { self.t(name).map(Some) } else { Ok(None) }
    }
    /// The tensors of list argument `name`, to alias.
    pub fn tensor_ids(&self, name: &str) -> R<Vec<TensorId>> {
        match self.need(name)? {
            Argument::Tensors(list) => list.iter().map(|t| self.named_tensor(&t.name)).collect(),
            Argument::Ints(list) if list.is_empty() => Ok(vec![]),
            _ => Err(wrong(name, "list of tensors")),
        }
    }
    /// The present values of list argument `name`.
    pub fn ts(&mut self, name: &str) -> R<Vec<V>> {
        let ids = self.tensor_ids(name)?;
        ids.into_iter().map(|id| self.read_tensor(id)).collect()
    }
    /// The present values of a list with gaps.
    pub fn opt_ts(&mut self, name: &str) -> R<Vec<Option<V>>> {
        let ids: Vec<Option<TensorId>> = match self.need(name)? {
            Argument::Tensors(list) => {
                list.iter().map(|t| self.named_tensor(&t.name).map(Some)).collect::<R<_>>()?
            }
            Argument::OptionalTensors(list) => {
                let one = |t: &OptionalTensor| match t {
                    OptionalTensor::Tensor(t) => self.named_tensor(&t.name).map(Some),
                    OptionalTensor::None(_) => Ok(None),
                };
                list.iter().map(one).collect::<R<_>>()?
            }
            _ => return Err(wrong(name, "list of optional tensors")),
        };
        ids.into_iter().map(|id| id.map(|id| self.read_tensor(id)).transpose()).collect()
    }

    fn named_int(&self, name: &str) -> R<Size> {
        match self.lookup(name)? {
            Val::Int(s) => Ok(s.clone()),
            _ => Err(malformed(format!("`{name}` is no integer"))),
        }
    }
    fn sym_int(&self, arg: &SymIntArg) -> R<Size> {
        match arg {
            SymIntArg::Int(v) => Ok(Size::Known(*v)),
            SymIntArg::Name(n) => self.named_int(n),
        }
    }
    /// The integer `name`, perhaps symbolic.
    pub fn size(&self, name: &str) -> R<Size> {
        match self.need(name)? {
            Argument::Int(v) => Ok(Size::Known(*v)),
            Argument::SymInt(s) => self.sym_int(s),
            Argument::Bool(b) => Ok(Size::Known(i64::from(*b))),
            _ => Err(wrong(name, "integer")),
        }
    }
    /// The integer `name`, perhaps symbolic, if given.
    pub fn opt_size(&self, name: &str) -> R<Option<Size>> {
        if self.has(name) { self.size(name).map(Some) } else { Ok(None) }
    }
    /// The known integer `name`.
    pub fn int(&self, name: &str) -> R<i64> {
        match self.size(name)? {
            Size::Known(v) => Ok(v),
            Size::Value(_) => Err(unsupported(format!("argument `{name}` must be a fixed number"))),
        }
    }
    /// The known integer `name`, or `default`.
    pub fn int_or(&self, name: &str, default: i64) -> R<i64> {
        if self.has(name) { self.int(name) } else { Ok(default) }
    }
    /// The integers `name`, perhaps symbolic. A single integer is a list of one.
    pub fn sizes(&self, name: &str) -> R<Vec<Size>> {
        match self.need(name)? {
            Argument::Ints(v) => Ok(v.iter().map(|v| Size::Known(*v)).collect()),
            Argument::SymInts(v) => v.iter().map(|s| self.sym_int(s)).collect(),
            Argument::Tensors(v) if v.is_empty() => Ok(vec![]),
            Argument::Int(_) | Argument::SymInt(_) => Ok(vec![self.size(name)?]),
            _ => Err(wrong(name, "list of integers")),
        }
    }
    /// The known integers `name`.
    pub fn ints(&self, name: &str) -> R<Vec<i64>> {
        let known = |s: Size| match s {
            Size::Known(v) => Ok(v),
            Size::Value(_) => Err(unsupported(format!("argument `{name}` must be fixed numbers"))),
        };
        self.sizes(name)?.into_iter().map(known).collect()
    }
    /// The known integers `name`; empty when absent.
    pub fn ints_or_empty(&self, name: &str) -> R<Vec<i64>> {
        if self.has(name) { self.ints(name) } else { Ok(vec![]) }
    }
    /// The Python number `name`.
    pub fn scalar(&self, name: &str) -> R<Scalar> {
        Ok(match self.need(name)? {
            Argument::Int(v) => Scalar::Int(Size::Known(*v)),
            Argument::SymInt(s) => Scalar::Int(self.sym_int(s)?),
            Argument::Float(v) | Argument::SymFloat(SymFloatArg::Float(schema::Float(v))) => {
                Scalar::Float(*v)
            }
            Argument::Bool(v) | Argument::SymBool(SymBoolArg::Bool(v)) => Scalar::Bool(*v),
            Argument::Complex(_) => return Err(unsupported("complex numbers are not supported")),
            _ => return Err(wrong(name, "number")),
        })
    }
    /// The known number `name`.
    pub fn float(&self, name: &str) -> R<f64> {
        let fixed = || unsupported(format!("argument `{name}` must be a fixed number"));
        self.scalar(name)?.known().ok_or_else(fixed)
    }
    /// The known number `name`, or `default`.
    pub fn float_or(&self, name: &str, default: f64) -> R<f64> {
        if self.has(name) { self.float(name) } else { Ok(default) }
    }
    /// The known numbers `name`, if given.
    pub fn opt_floats(&self, name: &str) -> R<Option<Vec<f64>>> {
        match self.arg(name) {
            None => Ok(None),
            Some(Argument::Floats(v)) => Ok(Some(v.clone())),
            Some(Argument::Ints(v)) => Ok(Some(v.iter().map(|v| *v as f64).collect())),
            Some(Argument::Float(v)) => Ok(Some(vec![*v])),
            Some(_) => Err(wrong(name, "list of numbers")),
        }
    }
    /// The truth value `name`, or `default`.
    pub fn bool_or(&self, name: &str, default: bool) -> R<bool> {
        match self.arg(name) {
            None => Ok(default),
            Some(Argument::Bool(v) | Argument::SymBool(SymBoolArg::Bool(v))) => Ok(*v),
            Some(Argument::Int(v)) => Ok(*v != 0),
            Some(_) => Err(wrong(name, "truth value")),
        }
    }
    /// The text `name`, or `default`.
    pub fn str_or(&self, name: &str, default: &'static str) -> R<&'p str> {
        match self.arg(name) {
            None => Ok(default),
            Some(Argument::String(v)) => Ok(v),
            Some(_) => Err(wrong(name, "text")),
        }
    }
    /// The element type `name`, if given.
    pub fn opt_dtype(&self, name: &str) -> R<Option<DType>> {
        match self.arg(name) {
            None => Ok(None),
            Some(Argument::ScalarType(code)) => {
                let known = code.dtype().and_then(ir_dtype);
                known
                    .map(Some)
                    .ok_or_else(|| unsupported(format!("element type {} is not supported", code.0)))
            }
            Some(_) => Err(wrong(name, "element type")),
        }
    }
    /// A tensor or number.
    pub fn operand(&mut self, name: &str) -> R<Operand> {
        match self.need(name)? {
            Argument::Tensor(_) | Argument::OptionalTensor(_) => Ok(Operand::Tensor(self.t(name)?)),
            Argument::SymFloat(SymFloatArg::Name(n)) => match self.lookup(n)? {
                Val::Float(v) => Ok(Operand::Tensor(*v)),
                _ => Err(wrong(name, "number")),
            },
            _ => Ok(Operand::Scalar(self.scalar(name)?)),
        }
    }
    /// A tensor or number, if given.
    pub fn opt_operand(&mut self, name: &str) -> R<Option<Operand>> {
        if self.has(name) { self.operand(name).map(Some) } else { Ok(None) }
    }
    /// The graph argument at position `i`, with its name.
    pub fn subgraph(&self, i: usize) -> R<&'p schema::Graph> {
        match self.node.inputs.get(i).map(|n| &n.arg) {
            Some(Argument::Graph(_, g)) => Ok(g),
            _ => Err(malformed(format!("argument {i} is no graph"))),
        }
    }
    /// Names in the arguments from position `i` on, lists flattened: the operands of a higher-order operator.
    pub fn operand_names(&self, i: usize) -> Vec<&'p str> {
        self.node.inputs.iter().skip(i).flat_map(|n| n.arg.names()).collect()
    }
    /// Declared type of result `i`, through a list result.
    pub fn declared(&self, i: usize) -> R<&'p schema::TensorMeta> {
        let names: Vec<&'p str> = self.node.outputs.iter().flat_map(Argument::names).collect();
        let meta = names.get(i).and_then(|n| self.types.tensor_values.get(n));
        meta.ok_or_else(|| malformed(format!("result {i} has no declared type")))
    }
    /// Declared element type of result `i`.
    pub fn declared_dtype(&self, i: usize) -> R<DType> {
        let dtype = self.declared(i)?.dtype;
        let known = dtype.dtype().and_then(ir_dtype);
        known.ok_or_else(|| unsupported(format!("element type {} is not supported", dtype.0)))
    }
    /// Declared type of the tensor argument `name`.
    pub fn declared_arg(&self, name: &str) -> Option<&'p schema::TensorMeta> {
        match self.arg(name)? {
            Argument::Tensor(t) => self.types.tensor_values.get(&t.name),
            _ => None,
        }
    }
}
