//! What a lifting function sees: the node's arguments, the values lifted so far, and the graph being built.
use super::alias::{Base, Tensor, TensorId};
use super::blockers::Blockers;
use super::pairs::Parts;
use super::promote::Rank;
use super::state::State;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, Origin, ValueId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

/// Arguments that say where and how to compute, not what.
const NO_MEANING: &[&str] = &["device", "layout", "pin_memory", "memory_format", "non_blocking", "generator"];

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
    /// Complex number: real and imaginary part.
    Complex(f64, f64),
}

impl Scalar {
    /// Its type and rank in promotion.
    pub fn promotes(&self) -> (DType, Rank) {
        let dtype = match self {
            Self::Int(_) => DType::I64,
            Self::Float(_) => DType::F32,
            Self::Bool(_) => DType::Bool,
            Self::Complex(..) => DType::C64,
        };
        (dtype, Rank::Number)
    }
    /// Its value when known.
    pub fn known(&self) -> Option<f64> {
        match self {
            Self::Int(Size::Known(v)) => Some(*v as f64),
            Self::Int(Size::Value(_)) | Self::Complex(..) => None,
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
    /// A computed float or truth value: a 0-d value that promotes as a number.
    Number(V),
}

impl Operand {
    /// Whether it is the known number 1.
    pub fn is_one(&self) -> bool {
        matches!(self, Self::Scalar(s) if s.known() == Some(1.0))
    }
}

/// A value at conversion time: an argument of a call, or what a name of the program stands for.
#[derive(Clone, Debug)]
pub enum Val {
    /// Nothing.
    None,
    /// A tensor.
    Tensor(TensorId),
    /// An integer.
    Int(Size),
    /// A known float.
    Float(f64),
    /// A computed float: a 0-d value.
    FloatValue(V),
    /// A known truth value.
    Bool(bool),
    /// A computed truth value: a 0-d boolean value.
    BoolValue(V),
    /// A known complex number: real and imaginary part.
    Complex(f64, f64),
    /// A text.
    Str(Arc<str>),
    /// An element type; `None` is one the IR lacks, named for messages.
    DType(Result<DType, Arc<str>>),
    /// How elements are laid out: 1 contiguous, 2 channels last, 3 channels last (3-D), 4 as before.
    MemoryFormat(u32),
    /// A list or tuple.
    List(Vec<Val>),
    /// Something that is no value of a graph: a device, a token, a script object, a graph.
    Opaque,
    /// The result of a node that could not be lifted; what reads it is skipped.
    Failed,
}

impl Val {
    /// Adds the tensors in it to `out`.
    pub fn tensors(&self, out: &mut Vec<TensorId>) {
        match self {
            Self::Tensor(id) => out.push(*id),
            Self::List(items) => items.iter().for_each(|v| v.tensors(out)),
            _ => {}
        }
    }
}

/// Type and layout that a program states for a tensor. Sizes and strides (in elements) are `None` where symbolic.
#[derive(Clone, Debug)]
pub struct Meta {
    /// Element type; none when the IR lacks it.
    pub dtype: Option<DType>,
    /// Sizes.
    pub sizes: Vec<Option<i64>>,
    /// Distances between neighbours of each axis.
    pub strides: Vec<Option<i64>>,
}

/// A call of an operator.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// The operator with namespace and overload, as `aten.conv2d.default`.
    pub target: String,
    /// Arguments by name, in the order of the schema. Those with their defaults may be absent.
    pub args: Vec<(String, Val)>,
    /// What the program states about the results that are tensors, lists flattened. Empty when it states nothing.
    pub results: Vec<Option<Meta>>,
    /// Number of results that the program names.
    pub outputs: usize,
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
pub struct Cx {
    /// The graph being built.
    pub graph: Graph,
    /// Tensors and views made so far.
    pub tensors: Vec<Tensor>,
    /// Complex values: real ones with a last axis of 2.
    pub pairs: HashMap<V, Parts>,
    /// Constants that several nodes use, by what they are.
    pub tables: HashMap<String, V>,
    /// Storages behind them.
    pub bases: Vec<Base>,
    /// Last version given to a storage.
    pub clock: u32,
    /// The call being lifted.
    pub call: Call,
    /// Which of its arguments were read.
    pub read: RefCell<Vec<bool>>,
    /// Where it comes from.
    pub origin: Origin,
    /// Weights that the program changes.
    pub state: State,
    /// Remarks for the user.
    pub warnings: Vec<Diag>,
    /// What is wrong, collected.
    pub diags: Blockers,
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

impl Cx {
    /// Begins a program whose graph is called `name`.
    pub fn new(name: &str) -> Self {
        Self {
            graph: Graph::new(name),
            tensors: vec![],
            pairs: HashMap::new(),
            tables: HashMap::new(),
            bases: vec![],
            clock: 0,
            call: Call::default(),
            read: RefCell::default(),
            origin: Origin::default(),
            state: State::default(),
            warnings: vec![],
            diags: Blockers::default(),
        }
    }
    /// Lifts `call` by `f`. Arguments that `f` does not look at are refused, as they would be ignored silently.
    pub fn lift(&mut self, f: super::aten::Lift, call: Call) -> R<Out> {
        let f = if self.has_complex(&call) { super::aten::complex_form(&call.target, f)? } else { f };
        *self.read.borrow_mut() = vec![false; call.args.len()];
        self.call = call;
        let targets = self.take_out_arguments()?;
        let mut out = f(self)?;
        if !targets.is_empty() {
            out = self.write_out(&targets, out)?;
        }
        for ((name, val), read) in self.call.args.iter().zip(self.read.borrow().iter()) {
            if !read && !NO_MEANING.contains(&name.as_str()) && !matches!(val, Val::None) {
                return Err(unsupported(format!("argument `{name}` is not supported")));
            }
        }
        Ok(out)
    }
    fn has_complex(&mut self, call: &Call) -> bool {
        let mut tensors = vec![];
        call.args.iter().for_each(|(_, v)| v.tensors(&mut tensors));
        tensors.into_iter().any(|id| self.shows_complex(id))
            || call.args.iter().any(|(_, v)| matches!(v, Val::Complex(..)))
    }
    /// The operator with namespace and overload, as `aten.conv2d.default`.
    pub fn target(&self) -> &str {
        &self.call.target
    }
    /// Marks argument `i` as read and gives it.
    pub fn arg_at(&self, i: usize) -> Option<&Val> {
        if let Some(seen) = self.read.borrow_mut().get_mut(i) {
            *seen = true;
        }
        self.call.args.get(i).map(|(_, v)| v)
    }
    /// The argument `name`, unless it is absent or none.
    pub fn arg(&self, name: &str) -> Option<&Val> {
        let at = self.call.args.iter().position(|(n, _)| n == name)?;
        self.arg_at(at).filter(|v| !matches!(v, Val::None))
    }
    /// Whether the argument `name` is given and not none.
    pub fn has(&self, name: &str) -> bool {
        self.arg(name).is_some()
    }
    /// Whether the call names the argument `name`, even as none: tells overloads apart.
    pub fn names(&self, name: &str) -> bool {
        self.call.args.iter().any(|(n, _)| n == name)
    }
    fn need(&self, name: &str) -> R<&Val> {
        self.arg(name).ok_or_else(|| malformed(format!("argument `{name}` is missing")))
    }

    /// The tensor `name`, to look through or to alias.
    pub fn tensor_id(&self, name: &str) -> R<TensorId> {
        match self.need(name)? {
            Val::Tensor(id) => Ok(*id),
            _ => Err(wrong(name, "tensor")),
        }
    }
    /// Whether the argument `name` is a tensor.
    pub fn is_tensor(&self, name: &str) -> bool {
        matches!(self.arg(name), Some(Val::Tensor(_)))
    }
    /// The present value of tensor argument `name`. A Python number is a 0-d tensor.
    pub fn t(&mut self, name: &str) -> R<V> {
        let id = self.tensor_id(name)?;
        self.read_tensor(id)
    }
    /// The present value of tensor argument `name`, if given.
    pub fn opt_t(&mut self, name: &str) -> R<Option<V>> {
        if self.has(name) { self.t(name).map(Some) } else { Ok(None) }
    }
    fn list(&self, name: &str, what: &str) -> R<&[Val]> {
        match self.need(name)? {
            Val::List(list) => Ok(list),
            _ => Err(wrong(name, what)),
        }
    }
    /// The tensors of list argument `name`, to alias.
    pub fn tensor_ids(&self, name: &str) -> R<Vec<TensorId>> {
        let one = |v: &Val| match v {
            Val::Tensor(id) => Ok(*id),
            _ => Err(wrong(name, "list of tensors")),
        };
        self.list(name, "list of tensors")?.iter().map(one).collect()
    }
    /// The present values of list argument `name`.
    pub fn ts(&mut self, name: &str) -> R<Vec<V>> {
        let ids = self.tensor_ids(name)?;
        ids.into_iter().map(|id| self.read_tensor(id)).collect()
    }
    /// The present values of a list with gaps.
    pub fn opt_ts(&mut self, name: &str) -> R<Vec<Option<V>>> {
        let one = |v: &Val| match v {
            Val::Tensor(id) => Ok(Some(*id)),
            Val::None => Ok(None),
            _ => Err(wrong(name, "list of optional tensors")),
        };
        let ids: Vec<_> = self.list(name, "list of optional tensors")?.iter().map(one).collect::<R<_>>()?;
        ids.into_iter().map(|id| id.map(|id| self.read_tensor(id)).transpose()).collect()
    }

    /// The integer `name`, perhaps symbolic.
    pub fn size(&self, name: &str) -> R<Size> {
        as_size(self.need(name)?).ok_or_else(|| wrong(name, "integer"))
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
            Val::List(list) => {
                let one = |v| as_size(v).ok_or_else(|| wrong(name, "list of integers"));
                list.iter().map(one).collect()
            }
            Val::Int(s) => Ok(vec![s.clone()]),
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
            Val::Int(s) => Scalar::Int(s.clone()),
            Val::Float(v) => Scalar::Float(*v),
            Val::Bool(v) => Scalar::Bool(*v),
            Val::Complex(re, im) => Scalar::Complex(*re, *im),
            _ => return Err(wrong(name, "number")),
        })
    }
    /// The known number `name`.
    pub fn float(&self, name: &str) -> R<f64> {
        let fixed = || unsupported(format!("argument `{name}` must be a fixed number"));
        match self.need(name)? {
            Val::FloatValue(_) | Val::BoolValue(_) => Err(fixed()),
            _ => self.scalar(name)?.known().ok_or_else(fixed),
        }
    }
    /// The known number `name`, or `default`.
    pub fn float_or(&self, name: &str, default: f64) -> R<f64> {
        if self.has(name) { self.float(name) } else { Ok(default) }
    }
    /// The known numbers `name`, if given.
    pub fn opt_floats(&self, name: &str) -> R<Option<Vec<f64>>> {
        let one = |v: &Val| match v {
            Val::Float(v) => Ok(*v),
            Val::Int(Size::Known(v)) => Ok(*v as f64),
            _ => Err(wrong(name, "list of numbers")),
        };
        match self.arg(name) {
            None => Ok(None),
            Some(Val::List(list)) => list.iter().map(one).collect::<R<_>>().map(Some),
            Some(v) => Ok(Some(vec![one(v)?])),
        }
    }
    /// The truth value `name`, or `default`.
    pub fn bool_or(&self, name: &str, default: bool) -> R<bool> {
        match self.arg(name) {
            None => Ok(default),
            Some(Val::Bool(v)) => Ok(*v),
            Some(Val::Int(Size::Known(v))) => Ok(*v != 0),
            Some(Val::BoolValue(_)) => Err(unsupported(format!("argument `{name}` must be fixed"))),
            Some(_) => Err(wrong(name, "truth value")),
        }
    }
    /// The known truth values `name`, if given.
    pub fn opt_bools(&self, name: &str) -> R<Option<Vec<bool>>> {
        let one = |v: &Val| match v {
            Val::Bool(v) => Ok(*v),
            Val::Int(Size::Known(v)) => Ok(*v != 0),
            _ => Err(wrong(name, "list of truth values")),
        };
        match self.arg(name) {
            None => Ok(None),
            Some(Val::List(list)) => list.iter().map(one).collect::<R<_>>().map(Some),
            Some(v) => Ok(Some(vec![one(v)?])),
        }
    }
    /// The text `name`, or `default`.
    pub fn str_or<'a>(&'a self, name: &str, default: &'a str) -> R<&'a str> {
        match self.arg(name) {
            None => Ok(default),
            Some(Val::Str(v)) => Ok(v),
            Some(_) => Err(wrong(name, "text")),
        }
    }
    /// The element type `name`, if given.
    pub fn opt_dtype(&self, name: &str) -> R<Option<DType>> {
        match self.arg(name) {
            None => Ok(None),
            Some(Val::DType(Ok(d))) => Ok(Some(*d)),
            Some(Val::DType(Err(what))) => Err(no_dtype(what)),
            Some(_) => Err(wrong(name, "element type")),
        }
    }
    /// A tensor or number.
    pub fn operand(&mut self, name: &str) -> R<Operand> {
        match self.need(name)? {
            Val::Tensor(_) => Ok(Operand::Tensor(self.t(name)?)),
            Val::FloatValue(v) | Val::BoolValue(v) => Ok(Operand::Number(*v)),
            _ => Ok(Operand::Scalar(self.scalar(name)?)),
        }
    }
    /// A tensor or number, if given.
    pub fn opt_operand(&mut self, name: &str) -> R<Option<Operand>> {
        if self.has(name) { self.operand(name).map(Some) } else { Ok(None) }
    }
    /// What the program states about tensor result `i`, lists flattened; none when it states nothing.
    pub fn declared(&self, i: usize) -> Option<&Meta> {
        self.call.results.get(i)?.as_ref()
    }
    /// Declared element type of result `i`; none when the program states none.
    ///
    /// # Errors
    /// When the IR lacks the type.
    pub fn declared_dtype(&self, i: usize) -> R<Option<DType>> {
        match self.declared(i) {
            None => Ok(None),
            Some(Meta { dtype: None, .. }) => Err(no_dtype("of the result")),
            Some(m) => Ok(m.dtype),
        }
    }
    /// What the program states about the tensor argument `name`.
    pub fn declared_arg(&self, name: &str) -> Option<&Meta> {
        match self.arg(name)? {
            Val::Tensor(id) => self.tensors.get(*id)?.meta.as_ref(),
            _ => None,
        }
    }
}

fn no_dtype(what: &str) -> Diag {
    unsupported(format!("element type {what} is not supported"))
}
/// An integer or truth value as an integer.
fn as_size(v: &Val) -> Option<Size> {
    match v {
        Val::Int(s) => Some(s.clone()),
        Val::Bool(b) => Some(Size::Known(i64::from(*b))),
        _ => None,
    }
}
