//! Evaluation of single operators and, plainly, of whole graphs.
pub mod list;

use crate::dim::Dim;
use crate::dtype::DType;
use crate::graph::{Graph, NodeId};
use crate::infer::{Content, InferCx, Known, infer_op};
use crate::op::OpError;
use crate::ops::Op;
use crate::tensor::{Tensor, byte_count};
use crate::types::{TensorType, Type};

pub use list::List;

/// Bytes that holding one tensor costs beside its elements.
pub const TENSOR_OVERHEAD: usize = 256;

/// A run-time value. What an empty sequence or an absent optional would hold is not part of it: the graph's types tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A tensor.
    Tensor(Tensor),
    /// A list.
    Sequence(List),
    /// A value that may be absent.
    Optional(Option<Box<Value>>),
}

impl Value {
    /// The tensor, if it is one.
    pub fn as_tensor(&self) -> Option<&Tensor> {
        if let Self::Tensor(t) = self { Some(t) } else { None }
    }
    /// The tensor.
    ///
    /// # Errors
    /// When it is none.
    pub fn into_tensor(self) -> Result<Tensor, OpError> {
        if let Self::Tensor(t) = self { Ok(t) } else { Err(OpError::operand("a tensor is expected here")) }
    }
    /// Type with all sizes fixed in which the elements of a sequence agree. The element type of an empty sequence and what an absent
    /// optional would hold are unknown.
    pub fn ty(&self) -> Type {
        match self {
            Self::Tensor(t) => t.ty().into(),
            Self::Sequence(v) => Type::Sequence(Box::new(v.ty.clone())),
            Self::Optional(v) => Type::Optional(Box::new(v.as_ref().map_or(Type::Unknown, |v| v.ty()))),
        }
    }
    /// Whether it is an instance of `ty`, whatever the sizes of symbols.
    pub fn fits(&self, ty: &Type) -> bool {
        match (self, ty) {
            (_, Type::Unknown) => true,
            (Self::Tensor(t), Type::Tensor(ty)) => {
                let fits = |(d, n): (&Dim, &usize)| d.known().is_none_or(|d| d == *n as u64);
                t.dtype() == ty.dtype
                    && ty
                        .shape
                        .as_ref()
                        .is_none_or(|s| s.len() == t.rank() && s.iter().zip(t.shape()).all(fits))
            }
            (Self::Sequence(all), Type::Sequence(ty)) => all.fit(ty),
            (Self::Optional(v), Type::Optional(ty)) => v.as_ref().is_none_or(|v| v.fits(ty)),
            _ => false,
        }
    }
    /// Bytes of all tensors in it, and of keeping them: storage that several share counts for each.
    pub fn byte_len(&self) -> usize {
        match self {
            Self::Tensor(t) => t.byte_len().saturating_add(TENSOR_OVERHEAD),
            Self::Sequence(all) => all.bytes,
            Self::Optional(v) => v.as_ref().map_or(0, |v| v.byte_len()),
        }
    }
}
impl From<Tensor> for Value {
    fn from(t: Tensor) -> Self {
        Self::Tensor(t)
    }
}

/// Runs a body graph on inputs.
pub type RunBody<'a> = &'a (dyn Fn(&Graph, Vec<Value>) -> Result<Vec<Value>, OpError> + Sync);

/// Operands of a node as `eval` sees them. An operand that nothing else uses is owned alone, so that its storage can be reused.
pub struct EvalCx<'a> {
    /// Operands; captured ones last.
    pub inputs: Vec<Option<Value>>,
    /// Number of results wanted.
    pub outputs: usize,
    /// Bodies of the node.
    pub bodies: &'a [Graph],
    /// Number of captured operands.
    pub captures: usize,
    /// Runs a body.
    pub run: RunBody<'a>,
}

impl EvalCx<'_> {
    /// Number of operands without captured ones.
    pub fn len(&self) -> usize {
        self.inputs.len().saturating_sub(self.captures)
    }
    /// Whether there are no operands.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Tensor operand `i`.
    ///
    /// # Errors
    /// When it is absent or no tensor.
    pub fn tensor(&self, i: usize) -> Result<&Tensor, OpError> {
        self.opt(i)?.ok_or_else(|| OpError::operand(format!("operand {i} is missing")))
    }
    /// Tensor operand `i`, if present.
    ///
    /// # Errors
    /// When it is no tensor.
    pub fn opt(&self, i: usize) -> Result<Option<&Tensor>, OpError> {
        match self.inputs.get(i).and_then(Option::as_ref) {
            None => Ok(None),
            Some(Value::Tensor(t)) => Ok(Some(t)),
            Some(_) => Err(OpError::operand(format!("operand {i} must be a tensor"))),
        }
    }
    /// Takes tensor operand `i` out, for reuse of its storage.
    ///
    /// # Errors
    /// When it is absent or no tensor.
    pub fn take(&mut self, i: usize) -> Result<Tensor, OpError> {
        let value = self.inputs.get_mut(i).and_then(Option::take);
        value.ok_or_else(|| OpError::operand(format!("operand {i} is missing")))?.into_tensor()
    }
    /// Takes the elements of sequence operand `i` out.
    ///
    /// # Errors
    /// When it is absent or no sequence.
    pub fn take_sequence(&mut self, i: usize) -> Result<List, OpError> {
        match self.inputs.get_mut(i).and_then(Option::take) {
            Some(Value::Sequence(all)) => Ok(all),
            Some(_) => Err(OpError::operand(format!("operand {i} must be a sequence"))),
            None => Err(OpError::operand(format!("operand {i} is missing"))),
        }
    }
    /// Integers of operand `i`, if present.
    ///
    /// # Errors
    /// When it is no integer tensor.
    pub fn ints(&self, i: usize) -> Result<Option<Vec<i64>>, OpError> {
        Ok(self.opt(i)?.map(Tensor::to_i64s).transpose()?)
    }
}

/// A single tensor as the result list.
///
/// # Errors
/// Never; the `Result` fits `eval`.
pub fn one(t: Tensor) -> Result<Vec<Value>, OpError> {
    Ok(vec![Value::Tensor(t)])
}

/// Limits and services of an evaluation.
#[derive(Clone, Copy)]
pub struct Limits {
    /// Most bytes one result may take.
    pub result_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { result_bytes: 2 << 30 }
    }
}

fn refuse_large(ty: &Type, limit: usize) -> Result<(), OpError> {
    let Type::Tensor(TensorType { dtype, shape: Some(shape) }) = ty else { return Ok(()) };
    if *dtype == DType::String {
        return Ok(());
    }
    // Sizes that depend on the data are bounded by the operands.
    let Some(sizes) = shape
        .iter()
        .map(|d| d.known().map(|n| usize::try_from(n).unwrap_or(usize::MAX)))
        .collect::<Option<Vec<_>>>()
    else {
        return Ok(());
    };
    match byte_count(*dtype, &sizes) {
        Ok(n) if n <= limit => Ok(()),
        _ => Err(OpError::new("E0307", format!("the result {ty} would take more than {limit} bytes"))),
    }
}

/// Types of the results of `op` on these operands, all sizes fixed where they do not depend on data.
///
/// # Errors
/// Those of `infer`.
pub fn result_types(op: &Op, cx: &EvalCx<'_>) -> Result<Vec<Type>, OpError> {
    let types: Vec<Option<Type>> = cx.inputs.iter().map(|v| v.as_ref().map(Value::ty)).collect();
    let known: Vec<Option<Known<'_>>> = types
        .iter()
        .zip(&cx.inputs)
        .map(|(ty, v)| {
            let tensor = v.as_ref().and_then(Value::as_tensor);
            ty.as_ref().map(|ty| Known { ty, tensor, content: None::<&Content> })
        })
        .collect();
    infer_op(op, &InferCx::new(op.schema(), &known, cx.bodies, cx.captures, cx.outputs))
}

/// Evaluates one operator after checking its operands and the size of its results.
///
/// # Errors
/// When operands do not fit, a result would exceed the limit, or the op cannot be computed.
pub fn eval_op(op: &Op, cx: EvalCx<'_>, limits: Limits) -> Result<Vec<Value>, OpError> {
    for ty in &result_types(op, &cx)? {
        refuse_large(ty, limits.result_bytes)?;
    }
    let wanted = cx.outputs;
    let mut results = op.def().eval(cx)?;
    if results.len() < wanted {
        return Err(OpError::eval(format!("`{}` computed {} of {wanted} results", op.name(), results.len())));
    }
    results.truncate(wanted);
    for v in &results {
        // Types do not tell how long a sequence is.
        if !matches!(v, Value::Tensor(_)) && v.byte_len() > limits.result_bytes {
            return Err(too_many_bytes("a result", limits.result_bytes));
        }
    }
    Ok(results)
}

/// The error for `what` that would take more than `limit` bytes.
pub fn too_many_bytes(what: &str, limit: usize) -> OpError {
    OpError::new("E0307", format!("{what} would take more than {limit} bytes"))
}

/// Evaluates a whole graph, node by node, freeing each value after its last use.
///
/// # Errors
/// The first node's error, with its name in the message.
pub fn eval_graph(graph: &Graph, inputs: Vec<Value>, limits: Limits) -> Result<Vec<Value>, OpError> {
    if inputs.len() != graph.inputs().len() {
        let m = format!("{} inputs given, the graph has {}", inputs.len(), graph.inputs().len());
        return Err(OpError::new("E0603", m));
    }
    let mut env = Env::new(graph);
    for (v, value) in graph.inputs().iter().zip(inputs) {
        env.define(*v, value);
    }
    let run = |g: &Graph, xs: Vec<Value>| eval_graph(g, xs, limits);
    for n in graph.order() {
        env.step(n, &run, limits)?;
    }
    graph.outputs().iter().map(|o| env.take(o.value)).collect()
}

/// Values of a graph being evaluated, each with the number of uses still to come.
pub struct Env<'g> {
    graph: &'g Graph,
    values: Vec<Option<Value>>,
    left: Vec<u32>,
}

impl<'g> Env<'g> {
    /// Nothing defined yet.
    pub fn new(graph: &'g Graph) -> Self {
        let left = graph.values().map(|(_, v)| v.uses().len() as u32).collect::<Vec<_>>();
        Self { graph, values: vec![None; left.len()], left }
    }
    /// Gives `v` its value; dropped at once when nothing uses it.
    pub fn define(&mut self, v: crate::graph::ValueId, value: Value) {
        if self.left[v.index()] > 0 {
            self.values[v.index()] = Some(value);
        }
    }
    /// The value of `v`; the last use gets it alone.
    ///
    /// # Errors
    /// When it is not defined.
    pub fn take(&mut self, v: crate::graph::ValueId) -> Result<Value, OpError> {
        if let Some(t) = self.graph.constant(v) {
            return Ok(Value::Tensor(t.clone()));
        }
        let left = &mut self.left[v.index()];
        *left = left.saturating_sub(1);
        let slot = &mut self.values[v.index()];
        let value = if *left == 0 { slot.take() } else { slot.clone() };
        value.ok_or_else(|| OpError::new("E0401", format!("value {v:?} is used before it is computed")))
    }
    /// Evaluates node `n`.
    ///
    /// # Errors
    /// Those of [`eval_op`], with the node's name.
    pub fn step(&mut self, n: NodeId, run: RunBody<'_>, limits: Limits) -> Result<(), OpError> {
        let node = self.graph.node(n);
        let inputs = node
            .inputs()
            .iter()
            .map(|i| i.map(|v| self.take(v)).transpose())
            .collect::<Result<Vec<_>, _>>()?;
        let cx = EvalCx {
            inputs,
            outputs: node.outputs().len(),
            bodies: node.bodies(),
            captures: node.captures(),
            run,
        };
        let at_node = |e: OpError| {
            let label = self.graph.node_label(n);
            OpError { message: format!("{} (op `{}`, node `{label}`)", e.message, node.op.name()), ..e }
        };
        let results = eval_op(&node.op, cx, limits).map_err(at_node)?;
        for (v, value) in node.outputs().iter().zip(results) {
            self.define(*v, value);
        }
        Ok(())
    }
}
