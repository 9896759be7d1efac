//! What `infer` sees: types, constants and symbolic values of a node's operands.
use crate::diag::Diag;
use crate::dim::{Dim, SymInt};
use crate::dtype::DType;
use crate::graph::Graph;
use crate::op::{Arity, OpError, Schema};
use crate::ops::Op;
use crate::tensor::Tensor;
use crate::types::{Shape, TensorType, Type};
use std::sync::Arc;

/// Symbolic elements of a small integer tensor of rank 0 or 1, as far as they are known.
pub type Content = Arc<[Option<SymInt>]>;

/// Most elements a [`Content`] has: shapes are short.
pub const MAX_CONTENT: usize = 64;

/// What is known of one operand.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Its type.
    pub ty: &'a Type,
    /// Its value, when constant.
    pub tensor: Option<&'a Tensor>,
    /// Its symbolic elements, when it takes part in shape arithmetic.
    pub content: Option<&'a Content>,
}

/// Operands of a node as `infer` sees them.
#[derive(Clone, Copy)]
pub struct InferCx<'a> {
    schema: &'static Schema,
    inputs: &'a [Option<Known<'a>>],
    bodies: &'a [Graph],
    captures: usize,
    outputs: usize,
}

impl<'a> InferCx<'a> {
    /// A context. The last `captures` operands are those its bodies capture.
    pub fn new(
        schema: &'static Schema,
        inputs: &'a [Option<Known<'a>>],
        bodies: &'a [Graph],
        captures: usize,
        outputs: usize,
    ) -> Self {
        Self { schema, inputs, bodies, captures, outputs }
    }
    /// Number of operands without captured ones.
    pub fn len(&self) -> usize {
        self.inputs.len().saturating_sub(self.captures)
    }
    /// Whether there are no operands.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Number of results the node has.
    pub fn outputs(&self) -> usize {
        self.outputs
    }
    /// Bodies of the node.
    pub fn bodies(&self) -> &'a [Graph] {
        self.bodies
    }
    /// Number of captured operands.
    pub fn captures(&self) -> usize {
        self.captures
    }
    /// Whether operand `i` is present.
    pub fn has(&self, i: usize) -> bool {
        self.known(i).is_some()
    }
    fn known(&self, i: usize) -> Option<&'a Known<'a>> {
        self.inputs.get(i).and_then(Option::as_ref)
    }
    fn operand_name(&self, i: usize) -> &'static str {
        self.schema.input(i).map_or("?", |o| o.name)
    }
    /// Type of operand `i`.
    ///
    /// # Errors
    /// When it is absent.
    pub fn ty(&self, i: usize) -> Result<&'a Type, OpError> {
        let missing = || OpError::operand(format!("operand `{}` is missing", self.operand_name(i)));
        self.known(i).map(|k| k.ty).ok_or_else(missing)
    }
    /// Tensor type of operand `i`.
    ///
    /// # Errors
    /// When it is absent or no tensor.
    pub fn tensor(&self, i: usize) -> Result<&'a TensorType, OpError> {
        let ty = self.ty(i)?;
        let name = self.operand_name(i);
        ty.as_tensor().ok_or_else(|| OpError::operand(format!("operand `{name}` must be a tensor, is {ty}")))
    }
    /// Element type of operand `i`.
    ///
    /// # Errors
    /// When it is absent or no tensor.
    pub fn dtype(&self, i: usize) -> Result<DType, OpError> {
        Ok(self.tensor(i)?.dtype)
    }
    /// Shape of operand `i`; `None` when its rank is unknown.
    ///
    /// # Errors
    /// When it is absent or no tensor.
    pub fn shape(&self, i: usize) -> Result<Option<&'a Shape>, OpError> {
        Ok(self.tensor(i)?.shape.as_ref())
    }
    /// Value of operand `i` when constant.
    pub fn constant(&self, i: usize) -> Option<&'a Tensor> {
        self.known(i)?.tensor
    }
    /// Symbolic elements of operand `i`, when it takes part in shape arithmetic.
    pub fn content(&self, i: usize) -> Option<&'a Content> {
        self.known(i)?.content
    }
    /// Integers of operand `i` when constant (and not too many to be a shape or an index list).
    pub fn const_ints(&self, i: usize) -> Option<Vec<i64>> {
        self.constant(i).filter(|t| t.len() <= 1 << 16).and_then(|t| t.to_i64s().ok())
    }
    /// The single integer of operand `i` when constant.
    pub fn const_int(&self, i: usize) -> Option<i64> {
        self.constant(i)?.as_int()
    }
    /// Symbolic integers of operand `i`: from its content or its constant value. `None` when not even their number is known.
    pub fn sym_ints(&self, i: usize) -> Option<Vec<Option<SymInt>>> {
        let known = self.known(i)?;
        if let Some(c) = known.content {
            return Some(c.to_vec());
        }
        if let Some(t) = known.tensor.filter(|t| t.len() <= MAX_CONTENT) {
            return Some(t.to_i64s().ok()?.into_iter().map(|v| Some(SymInt::from(v))).collect());
        }
        let n = match known.ty.as_tensor()?.shape.as_deref()? {
            [] => 1,
            [d] => usize::try_from(d.known()?).ok()?,
            _ => return None,
        };
        (n <= MAX_CONTENT).then(|| vec![None; n])
    }
    /// Dimensions that operand `i` lists as values, as `reshape` and `expand` read them.
    pub fn sym_dims(&self, i: usize) -> Option<Vec<Dim>> {
        Some(self.sym_ints(i)?.into_iter().map(Dim::from_sym).collect())
    }
}

/// `axis` counted from the front; negative counts from the end.
///
/// # Errors
/// When it lies outside `-rank..rank`.
pub fn resolve_axis(axis: i64, rank: usize) -> Result<usize, OpError> {
    let n = i64::try_from(rank).unwrap_or(i64::MAX);
    let at = if axis < 0 { axis.checked_add(n) } else { Some(axis) };
    at.filter(|a| (0..n).contains(a))
        .and_then(|a| usize::try_from(a).ok())
        .ok_or_else(|| OpError::attr(format!("axis {axis} is outside a tensor of rank {rank}")))
}

/// Shape of two operands broadcast against each other (numpy rules, as ONNX): trailing axes align, 1 stretches.
///
/// # Errors
/// When two fixed sizes differ and neither is 1.
pub fn broadcast(a: &[Dim], b: &[Dim]) -> Result<Shape, OpError> {
    let rank = a.len().max(b.len());
    let one = Dim::Known(1);
    let at = |s: &[Dim], i: usize| (i + s.len()).checked_sub(rank).map_or(one.clone(), |j| s[j].clone());
    (0..rank).map(|i| broadcast_dim(at(a, i), at(b, i))).collect()
}

fn broadcast_dim(a: Dim, b: Dim) -> Result<Dim, OpError> {
    Ok(match (&a, &b) {
        (Dim::Known(1), _) => b,
        (_, Dim::Known(1)) => a,
        (Dim::Known(x), Dim::Known(y)) if x != y => {
            return Err(OpError::shape(format!("sizes {x} and {y} do not broadcast")));
        }
        // Anything broadcast with a fixed size other than 1 has that size, or the model is invalid.
        (Dim::Known(_), _) => a,
        (_, Dim::Known(_)) => b,
        _ if a.surely_equals(&b) => a,
        // A slice of a table of positions: where it is shorter than the data, both do not broadcast.
        (Dim::Expr(x), Dim::Expr(y)) if y.caps(x) => a,
        (Dim::Expr(x), Dim::Expr(y)) if x.caps(y) => b,
        _ => Dim::Unknown,
    })
}

/// Output types of `op`, after checking operand count, result count and element types against its schema.
/// Results behind an operand of unknown type are unknown.
///
/// # Errors
/// Those of the schema check and of the op's `infer`.
pub fn infer_op(op: &Op, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    let def = op.def();
    check_schema(def.schema(), cx)?;
    let required_unknown = (0..cx.len()).any(|i| matches!(cx.ty(i), Ok(Type::Unknown)));
    if required_unknown && !matches!(op, Op::Custom(_)) {
        return Ok(vec![Type::Unknown; cx.outputs]);
    }
    let mut types = def.infer(cx)?;
    if types.len() < cx.outputs {
        return Err(OpError::operand(format!("`{}` has no {} results", def.schema().name, cx.outputs)));
    }
    types.truncate(cx.outputs);
    Ok(types)
}

/// Symbolic contents of the results, one entry per result.
pub fn infer_contents(op: &Op, cx: &InferCx<'_>) -> Vec<Option<Content>> {
    let mut contents = op.def().contents(cx);
    contents.resize(cx.outputs, None);
    contents
        .into_iter()
        .map(|c| c.filter(|c| c.len() <= MAX_CONTENT && c.iter().any(Option::is_some)))
        .collect()
}

fn check_schema(schema: &'static Schema, cx: &InferCx<'_>) -> Result<(), OpError> {
    let (least, most) = schema.input_count();
    if cx.len() < least || cx.len() > most {
        return Err(OpError::operand(format!(
            "`{}` takes {least} to {most} operands, got {}",
            schema.name,
            cx.len()
        )));
    }
    let (least, most) = schema.output_count();
    if cx.outputs < least || cx.outputs > most {
        return Err(OpError::operand(format!(
            "`{}` has {least} to {most} results, asked for {}",
            schema.name, cx.outputs
        )));
    }
    let mut bound: Vec<(&str, DType)> = vec![];
    for i in 0..cx.len() {
        let Some(operand) = schema.input(i) else { continue };
        if operand.arity == Arity::One {
            cx.ty(i)?;
        }
        let Some(dtype) = cx.known(i).and_then(|k| k.ty.as_tensor()).map(|t| t.dtype) else { continue };
        let (name, var) = (operand.name, operand.var);
        // A variable named with `Any` in front binds each operand by itself.
        if let Some((_, first)) = bound.iter().find(|(v, _)| *v == var) {
            if *first != dtype {
                let m = format!(
                    "operand `{name}` of `{}` is {dtype}, others of its kind are {first}",
                    schema.name
                );
                return Err(OpError::operand(m));
            }
        } else if let Some(allowed) = schema.allowed(var) {
            if !allowed.contains(dtype) {
                return Err(OpError::operand(format!(
                    "operand `{name}` of `{}` cannot be {dtype}",
                    schema.name
                )));
            }
            if !var.starts_with("Any") {
                bound.push((var, dtype));
            }
        }
    }
    Ok(())
}

/// The diagnostic for an error at a node.
pub fn diag_at(e: OpError, op: &Op, node: Option<&str>) -> Diag {
    let mut d = Diag::error(e.code, e.message).op(op.name());
    d.node = node.map(str::to_owned);
    d.hint = e.hint;
    d
}
