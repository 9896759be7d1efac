//! What the passes of this folder share: nodes that are constants where their operands are, and windows of operators.
use hoist_formats::tflite::bind::spatial::window::{Given, Windows};
use hoist_ir::attr::Attr;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::eval::{EvalCx, Limits, Value, eval_op};
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::op::OpError;
use hoist_ir::ops::Op;
use hoist_ir::ops::movement::concat::Concat;
use hoist_ir::ops::movement::transpose::Transpose;
use hoist_ir::ops::words::{AutoPad, Layout};
use hoist_ir::tensor::Tensor;

/// Most bytes of a result that is computed at once.
const MAX_CONSTANT: usize = 64 << 20;

fn diag(e: OpError) -> Diag {
    Diag::error(e.code, e.message)
}

/// The first result of a node; a constant when all operands are.
pub(super) fn call(b: &mut Builder<'_>, op: impl Into<Op>, inputs: &[ValueId]) -> Result<ValueId, Diag> {
    let op = op.into();
    let given: Option<Vec<Option<Value>>> =
        inputs.iter().map(|v| b.graph().constant(*v).map(|t| Some(t.clone().into()))).collect();
    if let Some(inputs) = given {
        let run = &|_: &Graph, _: Vec<Value>| Err(OpError::eval("no body"));
        let cx = EvalCx { inputs, outputs: 1, bodies: &[], captures: 0, run };
        let results = eval_op(&op, cx, Limits { result_bytes: MAX_CONSTANT }).map_err(diag)?;
        let first = results.into_iter().next().ok_or_else(|| Diag::error("E0303", "no result"))?;
        return Ok(b.constant(first.into_tensor().map_err(diag)?));
    }
    let inputs: Vec<Option<ValueId>> = inputs.iter().map(|v| Some(*v)).collect();
    first(b.add(op, &inputs)?)
}

/// [`call`] of the operator `name` with default attributes.
pub(super) fn named(b: &mut Builder<'_>, name: &str, inputs: &[ValueId]) -> Result<ValueId, Diag> {
    let op = Op::by_name(name);
    call(b, op.ok_or_else(|| Diag::error("E0303", format!("no operator `{name}`")))?, inputs)
}

/// The first of some values.
pub(super) fn first(values: Vec<ValueId>) -> Result<ValueId, Diag> {
    values.into_iter().next().ok_or_else(|| Diag::error("E0303", "a node without results"))
}

/// `values` one behind the other along `axis`.
pub(super) fn concat(b: &mut Builder<'_>, axis: i64, values: &[ValueId]) -> Result<ValueId, Diag> {
    if let [v] = values { Ok(*v) } else { call(b, Concat { axis }, values) }
}

/// Sizes of `x` as 64-bit integers, constant where they are known.
pub(super) fn shape(b: &mut Builder<'_>, x: ValueId) -> Result<ValueId, Diag> {
    let known = b.graph().ty(x).as_tensor().and_then(hoist_ir::types::TensorType::sizes);
    if let Some(sizes) = known {
        return Ok(b.ints(&sizes.iter().map(|d| *d as i64).collect::<Vec<_>>()));
    }
    named(b, "shape", &[x])
}

/// Positions `from..to` of `axis` of `x`.
pub(super) fn span(
    b: &mut Builder<'_>,
    x: ValueId,
    axis: usize,
    from: i64,
    to: i64,
) -> Result<ValueId, Diag> {
    strided(b, x, axis, (from, to, 1))
}

/// Every `step`-th position of `axis` of `x` from `from` on and before `to`.
pub(super) fn strided(
    b: &mut Builder<'_>,
    x: ValueId,
    axis: usize,
    (from, to, step): (i64, i64, i64),
) -> Result<ValueId, Diag> {
    let (from, to) = (b.ints(&[from]), b.ints(&[to]));
    let (axes, steps) = (b.ints(&[axis as i64]), b.ints(&[step]));
    named(b, "slice", &[x, from, to, axes, steps])
}

/// `x` with its axes in another order.
pub(super) fn transpose(b: &mut Builder<'_>, x: ValueId, perm: &[usize]) -> Result<ValueId, Diag> {
    call(b, Transpose { perm: perm.iter().map(|p| *p as i64).collect() }, &[x])
}

/// `x` under fixed sizes, of which one may be -1 and zeros copy.
pub(super) fn reshape(b: &mut Builder<'_>, x: ValueId, sizes: &[i64]) -> Result<ValueId, Diag> {
    let sizes = b.ints(sizes);
    named(b, "reshape", &[x, sizes])
}

/// `x` with borders of `value` around axes: `(axis, begin, end)`.
pub(super) fn pad(
    b: &mut Builder<'_>,
    x: ValueId,
    borders: &[(usize, i64, i64)],
    value: f64,
) -> Result<ValueId, Diag> {
    let rank = rank(b.graph(), x)?;
    let mut pads = vec![0; 2 * rank];
    for (axis, begin, end) in borders {
        (pads[*axis], pads[rank + *axis]) = (*begin, *end);
    }
    if pads.iter().all(|p| *p == 0) {
        return Ok(x);
    }
    let (pads, value) = (b.ints(&pads), b.scalar_like(value, x)?);
    named(b, "pad", &[x, pads, value])
}

/// Rank of `v`.
pub(super) fn rank(g: &Graph, v: ValueId) -> Result<usize, Diag> {
    let rank = g.ty(v).as_tensor().and_then(hoist_ir::types::TensorType::rank);
    rank.ok_or_else(|| Diag::error("E0303", "the rank is not known"))
}

/// Element type of `v`.
pub(super) fn dtype(g: &Graph, v: ValueId) -> Option<DType> {
    g.ty(v).as_tensor().map(|t| t.dtype)
}

/// `v` cast to `to`.
pub(super) fn cast(b: &mut Builder<'_>, v: ValueId, to: DType) -> Result<ValueId, Diag> {
    if dtype(b.graph(), v) == Some(to) {
        return Ok(v);
    }
    call(b, hoist_ir::ops::elementwise::cast::Cast { to, ..Default::default() }, &[v])
}

/// Known size of `axis` of `v`.
pub(super) fn size(g: &Graph, v: ValueId, axis: usize) -> Option<i64> {
    g.ty(v).as_tensor()?.shape.as_ref()?.get(axis)?.known().and_then(|n| i64::try_from(n).ok())
}

/// Constants of `f32`.
pub(super) fn floats(b: &mut Builder<'_>, shape: &[usize], values: Vec<f32>) -> ValueId {
    b.constant(Tensor::from_vec(shape, values))
}

/// Layout of the data of an operator.
pub(super) fn layout(op: &Op) -> Layout {
    match op.def().attr("layout") {
        Some(Attr::Word("channels_last")) => Layout::ChannelsLast,
        _ => Layout::ChannelsFirst,
    }
}

/// Integers of attribute `name`; empty when it has none.
pub(super) fn list(op: &Op, name: &str) -> Vec<i64> {
    if let Some(Attr::Ints(v)) = op.def().attr(name) { v } else { vec![] }
}

/// Truth value of attribute `name`.
pub(super) fn flag(op: &Op, name: &str) -> bool {
    op.def().attr(name) == Some(Attr::Bool(true))
}

/// The windows of a convolution or pooling.
pub(super) struct Sliding {
    /// The operator.
    pub op: Op,
    /// Data.
    pub x: ValueId,
    /// Windows along the spatial axes.
    pub windows: Windows,
    /// First spatial axis.
    pub first: usize,
    /// Rank of the data.
    pub rank: usize,
}

impl Sliding {
    /// The windows of node `n`, when the sizes of the window are known.
    pub fn of(g: &Graph, n: NodeId) -> Option<Self> {
        let node = g.node(n);
        let (op, x) = (node.op().clone(), node.input(0)?);
        let shape = g.ty(x).as_tensor()?.shape.as_ref()?;
        let (layout, rank) = (layout(&op), shape.len());
        let mut kernel = list(&op, "kernel_shape");
        if kernel.is_empty() {
            let weights = g.ty(node.input(1)?).as_tensor()?.shape.as_ref()?;
            let sizes = weights.iter().skip(2).map(|d| d.known().and_then(|n| i64::try_from(n).ok()));
            kernel = sizes.collect::<Option<_>>()?;
        }
        if rank < 3 || kernel.len() != rank - 2 {
            return None;
        }
        let first = layout.first_spatial_axis();
        let spatial: Vec<Option<i64>> =
            (first..first + rank - 2).map(|a| shape[a].known().and_then(|n| i64::try_from(n).ok())).collect();
        let auto_pad = match op.def().attr("auto_pad") {
            Some(Attr::Word("SAME_UPPER")) => AutoPad::SameUpper,
            Some(Attr::Word("SAME_LOWER")) => AutoPad::SameLower,
            Some(Attr::Word("VALID")) => AutoPad::Valid,
            _ => AutoPad::NotSet,
        };
        let (strides, dilations, pads) = (list(&op, "strides"), list(&op, "dilations"), list(&op, "pads"));
        let given = Given {
            strides: &strides,
            dilations: &dilations,
            pads: &pads,
            auto_pad,
            ceil_mode: flag(&op, "ceil_mode"),
        };
        let windows = Windows::new(given, &kernel, &spatial);
        Some(Self { op, x, windows, first, rank })
    }
    /// Borders as entries for [`pad`].
    pub fn entries(&self, borders: &[(i64, i64)]) -> Vec<(usize, i64, i64)> {
        borders.iter().enumerate().map(|(i, (a, z))| (self.first + i, *a, *z)).collect()
    }
    /// The operator without any border.
    ///
    /// # Errors
    /// Never for convolutions and poolings.
    pub fn bare(&self) -> Result<Op, Diag> {
        let mut op = self.op.clone();
        let mut set = |name: &str, value: Attr| {
            if op.def().attr(name).is_some() {
                op.def_mut().set_attr(name, &value).map_err(|e| Diag::error(e.code, e.message))
            } else {
                Ok(())
            }
        };
        set("pads", Attr::Ints(vec![]))?;
        set("auto_pad", Attr::Word("NOTSET"))?;
        set("ceil_mode", Attr::Bool(false))?;
        Ok(op)
    }
}
