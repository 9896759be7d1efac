//! What a lifting function sees: the node, its operands as lifted so far, and the graph being built.
use super::Lifter;
use super::val::Val;
use crate::pytorch::lift::kernels::detour;
use crate::tensorflow::attrs::Attrs;
use crate::tensorflow::program::Node;
use crate::tensorflow::tensor::bad;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::edit::NewNode;
use hoist_ir::eval::{EvalCx, Limits, Value, eval_op};
use hoist_ir::graph::{Graph, ValueId};
use hoist_ir::op::OpError;
use hoist_ir::ops::Op;
use hoist_ir::ops::elementwise::cast::Cast;
use hoist_ir::ops::index::gather::Gather;
use hoist_ir::ops::movement::concat::Concat;
use hoist_ir::ops::movement::expand::Expand;
use hoist_ir::ops::movement::reshape::Reshape;
use hoist_ir::ops::movement::slice::Slice;
use hoist_ir::ops::movement::squeeze::Squeeze;
use hoist_ir::ops::movement::transpose::Transpose;
use hoist_ir::ops::movement::unsqueeze::Unsqueeze;
use hoist_ir::ops::shape::shape::Shape as ShapeOf;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::{Shape, TensorType};

/// Result of lifting.
pub type R<T> = Result<T, Diag>;
/// A value of the IR graph.
pub type V = ValueId;

/// Bytes that a node of constants may read and give to be computed while reading.
const MOST_FOLDED: usize = 1 << 18;

/// One operator on its way into a graph.
pub struct Cx<'a, 'g, 'p> {
    /// What holds for the whole file.
    pub l: &'a mut Lifter<'p>,
    /// Adds nodes.
    pub b: &'a mut Builder<'g>,
    /// The operator.
    pub node: &'a Node,
    /// Its attributes, with those that the call of its function gives.
    pub attrs: &'a Attrs,
    /// Its operands.
    pub inputs: Vec<Val>,
}

impl Cx<'_, '_, '_> {
    /// Number of operands.
    pub fn len(&self) -> usize {
        self.inputs.len()
    }
    /// Whether there are no operands.
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }
    /// Operand `i`.
    ///
    /// # Errors
    /// When there is none.
    pub fn val(&self, i: usize) -> R<&Val> {
        self.inputs.get(i).ok_or_else(|| self.bad(format!("operand {i} is left out")))
    }
    /// Operand `i`, which must be a tensor.
    ///
    /// # Errors
    /// When there is none, or it is something else.
    pub fn arg(&self, i: usize) -> R<V> {
        match self.val(i)? {
            Val::Tensor(v) => Ok(*v),
            other => Err(self.unsupported(format!("{} as operand {i}", other.what()))),
        }
    }
    /// All operands, which must be tensors.
    ///
    /// # Errors
    /// When one is something else.
    pub fn args(&self) -> R<Vec<V>> {
        (0..self.len()).map(|i| self.arg(i)).collect()
    }
    /// Type of a value.
    ///
    /// # Errors
    /// When it is no tensor.
    pub fn ty(&self, v: V) -> R<&TensorType> {
        self.b.graph().ty(v).as_tensor().ok_or_else(|| self.bad("an operand is no tensor"))
    }
    /// Element type of a value.
    ///
    /// # Errors
    /// When it is no tensor.
    pub fn dtype(&self, v: V) -> R<DType> {
        Ok(self.ty(v)?.dtype)
    }
    /// Shape of a value, when its rank is known.
    pub fn shape(&self, v: V) -> Option<&Shape> {
        self.ty(v).ok()?.shape.as_ref()
    }
    /// Rank of a value, when it is known.
    pub fn known_rank(&self, v: V) -> Option<usize> {
        self.shape(v).map(Vec::len)
    }
    /// Rank of a value.
    ///
    /// # Errors
    /// When it is not known.
    pub fn rank(&self, v: V) -> R<usize> {
        self.known_rank(v).ok_or_else(|| {
            self.unsupported("an operand whose rank is not known").hint("--input-shape NAME=SIZES states it")
        })
    }
    /// Sizes of a value, when all are known.
    pub fn sizes(&self, v: V) -> Option<Vec<usize>> {
        self.ty(v).ok()?.sizes()
    }
    /// Size of axis `axis` of a value, when it is known.
    pub fn size(&self, v: V, axis: usize) -> Option<u64> {
        self.shape(v)?.get(axis)?.known()
    }
    /// Constant elements of a value.
    pub fn constant(&self, v: V) -> Option<&Tensor> {
        self.b.graph().constant(v)
    }
    /// Integers of a value that are known while reading: of constants, and of sizes that are fixed.
    pub fn known_ints(&self, v: V) -> Option<Vec<i64>> {
        let g = self.b.graph();
        g.const_ints(Some(v)).or_else(|| {
            let content = g.value(v).content()?;
            content.iter().map(|e| e.as_ref()?.as_const()).collect()
        })
    }
    /// The elements of a list of `n` integers, each when it is known while reading.
    pub fn elements(&self, v: V, n: usize) -> Vec<Option<i64>> {
        let g = self.b.graph();
        let known: Vec<Option<i64>> = match (g.const_ints(Some(v)), g.value(v).content()) {
            (Some(all), _) => all.into_iter().map(Some).collect(),
            (None, Some(content)) => content.iter().map(|e| e.as_ref()?.as_const()).collect(),
            (None, None) => vec![],
        };
        if known.len() == n { known } else { vec![None; n] }
    }
    /// Integers of operand `i`, which must be known while reading; `what` names them.
    ///
    /// # Errors
    /// When they are computed.
    pub fn ints(&self, i: usize, what: &str) -> R<Vec<i64>> {
        let v = self.arg(i)?;
        self.known_ints(v).ok_or_else(|| self.unsupported(format!("{what} that depend on data")))
    }
    /// The one integer of operand `i`, which must be known while reading; `what` names it.
    ///
    /// # Errors
    /// When it is computed, or not one.
    pub fn int(&self, i: usize, what: &str) -> R<i64> {
        match self.ints(i, what)?.as_slice() {
            [n] => Ok(*n),
            all => Err(self.bad(format!("{what} is one number, not {}", all.len()))),
        }
    }
    /// `axis` of operand `v`, counted from the end when negative.
    ///
    /// # Errors
    /// When there is no such axis.
    pub fn axis(&self, v: V, axis: i64) -> R<usize> {
        let rank = self.rank(v)?;
        let at = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
        usize::try_from(at)
            .ok()
            .filter(|a| *a < rank)
            .ok_or_else(|| self.bad(format!("axis {axis} of a value of {rank} axes")))
    }
    /// The error for an operator that is not as TensorFlow defines it.
    pub fn bad(&self, what: impl std::fmt::Display) -> Diag {
        bad(format!("`{}`: {what}", self.node.op)).op(&*self.node.op)
    }
    /// The error for a form that Hoist does not read.
    pub fn unsupported(&self, what: impl std::fmt::Display) -> Diag {
        Diag::error("E0301", format!("`{}` with {what} is not read", self.node.op)).op(&*self.node.op)
    }
}

/// Adding nodes.
impl Cx<'_, '_, '_> {
    /// Adds a node with `outputs` results, absent operands allowed. What constants give is computed at once; integers without kernels in ONNX Runtime go through
    /// another type.
    ///
    /// # Errors
    /// When the operands do not fit.
    pub fn op_n(&mut self, op: impl Into<Op>, inputs: &[Option<V>], outputs: usize) -> R<Vec<V>> {
        let op = op.into();
        if let Some(known) = self.folded(&op, inputs, outputs) {
            return Ok(known.into_iter().map(|t| self.b.constant(t)).collect());
        }
        let name = op.schema().name;
        let first = inputs.get(usize::from(name == "where")).copied().flatten();
        let dtype = first.and_then(|v| self.ty(v).ok()).map(|t| t.dtype);
        let Some((dtype, d)) = dtype.and_then(|t| Some((t, detour(name, t)?))) else {
            return self.b.add_n(op, inputs, outputs);
        };
        let mut inputs = inputs.to_vec();
        for v in inputs.iter_mut().skip(d.from).flatten() {
            if self.dtype(*v)? == dtype {
                *v = self.cast(*v, d.to)?;
            }
        }
        let mut out = self.b.add_n(op, &inputs, outputs)?;
        if let Some(v) = out.first_mut().filter(|_| d.returns) {
            *v = self.cast(*v, dtype)?;
        }
        Ok(out)
    }
    /// What a pure operator on small constants gives.
    fn folded(&self, op: &Op, inputs: &[Option<V>], outputs: usize) -> Option<Vec<Tensor>> {
        if inputs.is_empty() || !op.def().pure() {
            return None;
        }
        let g = self.b.graph();
        let mut bytes = 0usize;
        let mut operands = vec![];
        for v in inputs {
            operands.push(match v {
                None => None,
                Some(v) => {
                    let t = g.constant(*v)?;
                    bytes = bytes.saturating_add(t.byte_len());
                    Some(Value::Tensor(t.clone()))
                }
            });
        }
        if bytes > MOST_FOLDED {
            return None;
        }
        let run = |_: &Graph, _: Vec<Value>| Err(OpError::eval("no body is run here"));
        let cx = EvalCx { inputs: operands, outputs, bodies: &[], captures: 0, run: &run };
        let found = eval_op(op, cx, Limits { result_bytes: MOST_FOLDED }).ok()?;
        found.into_iter().map(|v| v.into_tensor().ok()).collect()
    }
    /// Adds a node with one result.
    ///
    /// # Errors
    /// When the operands do not fit.
    pub fn op(&mut self, op: impl Into<Op>, inputs: &[V]) -> R<V> {
        let inputs: Vec<Option<V>> = inputs.iter().map(|v| Some(*v)).collect();
        self.op_opt(op, &inputs)
    }
    /// Adds a node with one result, absent operands allowed.
    ///
    /// # Errors
    /// When the operands do not fit.
    pub fn op_opt(&mut self, op: impl Into<Op>, inputs: &[Option<V>]) -> R<V> {
        let out = self.op_n(op, inputs, 1)?;
        out.first().copied().ok_or_else(|| self.bad("a node without results"))
    }
    /// Adds a node of the operator called `name` in the IR, with its default attributes.
    ///
    /// # Errors
    /// When the operands do not fit.
    pub fn named(&mut self, name: &str, inputs: &[V]) -> R<V> {
        let op = Op::by_name(name)
            .ok_or_else(|| Diag::error("E0901", format!("the IR has no operator `{name}`")))?;
        self.op(op, inputs)
    }
    /// Adds a node with bodies; the last operands are what they capture.
    ///
    /// # Errors
    /// When the operands do not fit.
    pub fn with_bodies(
        &mut self,
        op: impl Into<Op>,
        inputs: &[Option<V>],
        (bodies, captures): (Vec<Graph>, usize),
        outputs: usize,
    ) -> R<Vec<V>> {
        self.b.add_node(NewNode { outputs, bodies, captures, ..NewNode::new(op, inputs) })
    }
    /// A constant.
    pub fn konst(&mut self, t: Tensor) -> V {
        self.b.constant(t)
    }
    /// A constant of one axis of 64-bit integers.
    pub fn int_list(&mut self, values: &[i64]) -> V {
        self.b.ints(values)
    }
    /// A 0-d constant of the element type of `like`.
    ///
    /// # Errors
    /// When `like` is no tensor of numbers.
    pub fn number(&mut self, value: f64, like: V) -> R<V> {
        self.b.scalar_like(value, like)
    }
    /// `v` cast to `dtype`.
    ///
    /// # Errors
    /// When it cannot be cast.
    pub fn cast(&mut self, v: V, dtype: DType) -> R<V> {
        if self.dtype(v)? == dtype {
            return Ok(v);
        }
        self.op(Cast { to: dtype, ..Cast::default() }, &[v])
    }
    /// Operand `i` as 64-bit integers, as sizes and axes are in the IR.
    ///
    /// # Errors
    /// When it is no tensor of numbers.
    pub fn wide(&mut self, i: usize) -> R<V> {
        let v = self.arg(i)?;
        self.cast(v, DType::I64)
    }
    /// Sizes of `v` as 64-bit integers `[rank]`.
    ///
    /// # Errors
    /// When it is no tensor.
    pub fn shape_of(&mut self, v: V) -> R<V> {
        if let Some(sizes) = self.sizes(v) {
            let sizes: Vec<i64> = sizes.into_iter().map(|n| n as i64).collect();
            return Ok(self.int_list(&sizes));
        }
        self.op(ShapeOf::default(), &[v])
    }
    /// Size of axis `axis` of `v` as 64-bit integers `[1]`.
    ///
    /// # Errors
    /// When there is no such axis.
    pub fn size_of(&mut self, v: V, axis: usize) -> R<V> {
        if let Some(n) = self.size(v, axis) {
            return Ok(self.int_list(&[n as i64]));
        }
        let shape = self.shape_of(v)?;
        let at = self.int_list(&[axis as i64]);
        self.op(Gather::default(), &[shape, at])
    }
    /// `v` with other sizes, at most one of which is -1; no size is 0 but where it is to be.
    ///
    /// # Errors
    /// When the sizes do not fit.
    pub fn reshape(&mut self, v: V, sizes: &[i64]) -> R<V> {
        let list = self.int_list(sizes);
        self.op(Reshape { allowzero: sizes.contains(&0) }, &[v, list])
    }
    /// `v` with the sizes that `list` (64-bit integers) holds, where 0 is a size.
    ///
    /// # Errors
    /// When the sizes do not fit.
    pub fn reshape_to(&mut self, v: V, list: V) -> R<V> {
        match self.known_ints(list) {
            Some(sizes) => self.reshape(v, &sizes),
            // -1 and a size of 0 exclude each other in ONNX; a size that is computed is taken as it is.
            None => self.op(Reshape { allowzero: !self.may_be_open(list) }, &[v, list]),
        }
    }
    /// Whether a list of sizes may hold -1, as far as is known.
    fn may_be_open(&self, list: V) -> bool {
        let Some(content) = self.b.graph().value(list).content() else { return true };
        content.iter().any(|e| e.as_ref().is_none_or(|e| e.as_const().is_some_and(|c| c < 0)))
    }
    /// `v` without the axes `axes`, whose size is 1.
    ///
    /// # Errors
    /// When there are no such axes.
    pub fn squeeze(&mut self, v: V, axes: &[i64]) -> R<V> {
        if axes.is_empty() {
            return Ok(v);
        }
        let axes = self.int_list(axes);
        self.op(Squeeze::default(), &[v, axes])
    }
    /// `v` with axes of size 1 at `axes` of the result.
    ///
    /// # Errors
    /// When an axis is out of range.
    pub fn unsqueeze(&mut self, v: V, axes: &[i64]) -> R<V> {
        if axes.is_empty() {
            return Ok(v);
        }
        let axes = self.int_list(axes);
        self.op(Unsqueeze::default(), &[v, axes])
    }
    /// `v` with its axes in another order: axis `i` of the result is axis `perm[i]`.
    ///
    /// # Errors
    /// When `perm` is no order of its axes.
    pub fn transpose(&mut self, v: V, perm: &[i64]) -> R<V> {
        if perm.iter().enumerate().all(|(i, p)| *p == i as i64) {
            return Ok(v);
        }
        self.op(Transpose { perm: perm.to_vec() }, &[v])
    }
    /// Elements of `v` along `axis` at `indices`, whose shape takes the place of the axis.
    ///
    /// # Errors
    /// When the operands do not fit.
    pub fn gather(&mut self, v: V, indices: V, axis: i64) -> R<V> {
        self.op(Gather { axis }, &[v, indices])
    }
    /// `v` from `from` to before `to` on `axis`.
    ///
    /// # Errors
    /// When the operands do not fit.
    pub fn slice(&mut self, v: V, axis: i64, from: i64, to: i64) -> R<V> {
        let (from, to, axis) = (self.int_list(&[from]), self.int_list(&[to]), self.int_list(&[axis]));
        self.op_opt(Slice::default(), &[Some(v), Some(from), Some(to), Some(axis), None])
    }
    /// `parts` one behind the other on `axis`.
    ///
    /// # Errors
    /// When the operands do not fit.
    pub fn concat(&mut self, parts: &[V], axis: i64) -> R<V> {
        match parts {
            [one] => Ok(*one),
            _ => self.op(Concat { axis }, parts),
        }
    }
    /// `v` repeated along axes of size 1 and new leading axes, to the sizes that `list` (64-bit integers) holds.
    ///
    /// # Errors
    /// When the sizes do not fit.
    pub fn expand(&mut self, v: V, list: V) -> R<V> {
        self.op(Expand::default(), &[v, list])
    }
    /// Declares what else is known about the sizes of `v`; contradictions are left to inference.
    pub fn declare(&mut self, v: V, shape: &[Dim]) {
        let Ok(dtype) = self.dtype(v) else { return };
        let declared = TensorType::new(dtype, shape.to_vec()).into();
        let _ = self.b.graph_mut().declare_type(v, &declared);
    }
}
