//! Operators whose meaning is a small graph of simpler ones.
//!
//! Such an operator implements [`Semantics::expand`](crate::op::Semantics::expand) and takes [`infer`] and [`eval`] of this module, where they are precise enough, for
//! its own. Legalization replaces a node by its expansion where a format lacks the operator.
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dtype::DType;
use crate::eval::{EvalCx, Limits, Value, eval_graph};
use crate::graph::{Graph, Origin, ValueId};
use crate::infer::InferCx;
use crate::op::{OpDef, OpError};
use crate::ops::elementwise::cast::Cast;
use crate::tensor::Tensor;
use crate::types::Type;

/// Constants up to this many elements are constants of the graph in which an evaluation runs: sizes and axes, by which the expansion
/// may decide.
const MAX_DECISIVE: usize = 64;

fn op_error(d: Diag) -> OpError {
    OpError { code: d.code, message: d.message, hint: d.hint }
}

fn results<O: OpDef>(
    op: &O,
    g: &mut Graph,
    inputs: &[Option<ValueId>],
    outputs: usize,
) -> Result<Vec<ValueId>, OpError> {
    let mut b = Builder::at_end(g, Origin::default());
    let expanded = op.expand(&mut b, inputs, outputs).map_err(op_error)?;
    let expanded = expanded.ok_or_else(|| {
        OpError::eval(format!("`{}` cannot be expanded on these operands", op.schema().name))
    })?;
    if expanded.len() < outputs {
        let m = format!("`{}` expands to {} of {outputs} results", op.schema().name, expanded.len());
        return Err(OpError::operand(m));
    }
    Ok(expanded)
}

/// Types of the results: those of the expansion.
///
/// # Errors
/// When the expansion does not fit the operands.
pub fn infer<O: OpDef>(op: &O, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    let mut g = Graph::new("expansion");
    let inputs: Vec<Option<ValueId>> = (0..cx.len())
        .map(|i| {
            cx.has(i).then(|| match cx.constant(i) {
                Some(t) => Ok(g.add_const(t.clone())),
                None => Ok(g.add_known_input(cx.ty(i)?.clone(), cx.content(i).cloned())),
            })
        })
        .map(Option::transpose)
        .collect::<Result<_, OpError>>()?;
    let results = results(op, &mut g, &inputs, cx.outputs())?;
    Ok(results.into_iter().map(|v| g.ty(v).clone()).collect())
}

/// Results of the expansion on these operands.
///
/// # Errors
/// When the expansion does not fit the operands, or one of its operators cannot be computed.
pub fn eval<O: OpDef>(op: &O, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
    let mut g = Graph::new("expansion");
    let outputs = cx.outputs;
    let mut given = vec![];
    let decisive = |t: &Tensor| t.dtype().is_int() && t.len() <= MAX_DECISIVE;
    let mut operands = vec![];
    for value in cx.inputs {
        operands.push(match value {
            None => None,
            Some(Value::Tensor(t)) if decisive(&t) => Some(g.add_const(t)),
            Some(value) => {
                let v = g.add_known_input(value.ty(), None);
                given.push(value);
                Some(v)
            }
        });
    }
    for (i, v) in results(op, &mut g, &operands, outputs)?.into_iter().enumerate() {
        g.add_output(&format!("y{i}"), v);
    }
    eval_graph(&g, given, Limits::default())
}

/// What [`Semantics::expand`](crate::op::Semantics::expand) gives.
pub type Expanded = Result<Option<Vec<ValueId>>, Diag>;

/// Operand `i`.
///
/// # Errors
/// When it is absent.
pub fn operand(inputs: &[Option<ValueId>], i: usize) -> Result<ValueId, Diag> {
    let missing = || Diag::error("E0303", format!("operand {i} is missing"));
    inputs.get(i).copied().flatten().ok_or_else(missing)
}

/// Element type of `v`, when it is a tensor.
pub fn dtype_of(b: &Builder<'_>, v: ValueId) -> Option<DType> {
    b.graph().ty(v).as_tensor().map(|t| t.dtype)
}

/// Rank of `v`, when it is known.
pub fn rank_of(b: &Builder<'_>, v: ValueId) -> Option<usize> {
    b.graph().ty(v).as_tensor()?.rank()
}

/// A 16-bit float as `f32`; anything else as it is.
///
/// # Errors
/// Never for tensors.
pub fn widened(b: &mut Builder<'_>, v: ValueId) -> Result<ValueId, Diag> {
    match dtype_of(b, v) {
        Some(DType::F16 | DType::BF16) => narrowed(b, v, DType::F32),
        _ => Ok(v),
    }
}

/// `v` as `dtype`.
///
/// # Errors
/// When there is no such conversion.
pub fn narrowed(b: &mut Builder<'_>, v: ValueId, dtype: DType) -> Result<ValueId, Diag> {
    if dtype_of(b, v) == Some(dtype) {
        return Ok(v);
    }
    b.cast(Cast { to: dtype, ..Cast::default() }, v)
}
