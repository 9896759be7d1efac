//! What operators share that mean a graph of simpler ones.
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dtype::DType;
use crate::eval::{EvalCx, Value};
use crate::graph::ValueId;
use crate::infer::{InferCx, Known};
use crate::op::{OpDef, OpError};
use crate::types::{TensorType, Type};

/// Operand `i`, which the schema requires.
///
/// # Errors
/// When it is absent.
pub fn operand(inputs: &[Option<ValueId>], i: usize) -> Result<ValueId, Diag> {
    optional(inputs, i).ok_or_else(|| Diag::error("E0303", format!("operand {i} is missing")))
}

/// Operand `i`, if present.
pub fn optional(inputs: &[Option<ValueId>], i: usize) -> Option<ValueId> {
    inputs.get(i).copied().flatten()
}

/// Number of axes of `v`, when known.
pub fn rank(b: &Builder<'_>, v: ValueId) -> Option<usize> {
    b.graph().ty(v).as_tensor()?.rank()
}

/// Element type of `v`.
///
/// # Errors
/// When it is no tensor.
pub fn dtype(b: &Builder<'_>, v: ValueId) -> Result<DType, Diag> {
    let ty = b.graph().ty(v);
    ty.as_tensor().map(|t| t.dtype).ok_or_else(|| Diag::error("E0303", format!("{ty} is no tensor")))
}

/// Types by expansion where the ranks of these operands are known; else results of operand 0's element type and any shape.
///
/// # Errors
/// When the expansion does not fit the operands.
pub fn infer_ranked<O: OpDef>(op: &O, cx: &InferCx<'_>, needed: &[usize]) -> Result<Vec<Type>, OpError> {
    for i in needed.iter().filter(|i| cx.has(**i)) {
        if cx.shape(*i)?.is_none() {
            return Ok(vec![TensorType::unranked(cx.dtype(0)?).into(); cx.outputs()]);
        }
    }
    crate::expand::infer(op, cx)
}

/// Types by expansion, where results `like` have the type of operand 0: what stretches to it must not be larger.
///
/// # Errors
/// When the expansion does not fit the operands.
pub fn infer_like_first<O: OpDef>(op: &O, cx: &InferCx<'_>, like: &[usize]) -> Result<Vec<Type>, OpError> {
    let mut types = crate::expand::infer(op, cx)?;
    let first = cx.ty(0)?;
    for i in like {
        let Some(ty) = types.get_mut(*i) else { continue };
        let Some(both) = first.meet(ty) else {
            return Err(OpError::shape(format!(
                "an operand does not stretch to operand 0, which is {first}"
            )));
        };
        // A size that stays open in the expansion is that of operand 0.
        *ty = if first.as_tensor().is_some_and(|t| t.rank().is_some()) { first.clone() } else { both };
    }
    Ok(types)
}

fn is_half(t: DType) -> bool {
    matches!(t, DType::F16 | DType::BF16)
}

/// Results by expansion. 16-bit floats are computed in 32 bits as a whole and rounded once.
///
/// # Errors
/// When the expansion does not fit the operands, or one of its operators cannot be computed.
pub fn eval_wide<O: OpDef>(op: &O, mut cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
    let half = |v: &Option<Value>| v.as_ref().and_then(Value::as_tensor).is_some_and(|t| is_half(t.dtype()));
    if !cx.inputs.iter().any(half) {
        return crate::expand::eval(op, cx);
    }
    let types: Vec<Option<Type>> = cx.inputs.iter().map(|v| v.as_ref().map(Value::ty)).collect();
    let known: Vec<Option<Known<'_>>> = types
        .iter()
        .zip(&cx.inputs)
        .map(|(ty, v)| {
            let tensor = v.as_ref().and_then(Value::as_tensor);
            ty.as_ref().map(|ty| Known { ty, tensor, content: None })
        })
        .collect();
    let results = op.infer(&InferCx::new(op.schema(), &known, &[], 0, cx.outputs))?;
    for v in &mut cx.inputs {
        if let Some(Value::Tensor(t)) = v
            && is_half(t.dtype())
        {
            *v = Some(t.cast(DType::F32, false)?.into());
        }
    }
    let narrow = |(v, ty): (Value, Type)| match (v, ty.as_tensor().map(|t| t.dtype)) {
        (Value::Tensor(t), Some(d)) if is_half(d) && t.dtype() != d => Ok(t.cast(d, false)?.into()),
        (v, _) => Ok(v),
    };
    crate::expand::eval(op, cx)?.into_iter().zip(results).map(narrow).collect()
}
