//! What operators with bodies share: how operands meet body inputs.
use super::sequence_map::taken;
use crate::dtype::DType;
use crate::eval::{EvalCx, Value};
use crate::graph::Graph;
use crate::infer::InferCx;
use crate::op::OpError;
use crate::ops::Op;
use crate::types::{TensorType, Type};

/// Checks that `body` takes `own` inputs before the captured ones, and that what it captures fits the types it declares.
///
/// # Errors
/// When counts differ or types contradict.
pub fn check_inputs(cx: &InferCx<'_>, body: &Graph, own: usize) -> Result<(), OpError> {
    let inputs = body.inputs();
    if inputs.len() != own + cx.captures() {
        return Err(OpError::operand(format!(
            "a body has {} inputs, needed are {own} and {} captured ones",
            inputs.len(),
            cx.captures()
        )));
    }
    for (k, v) in inputs[own..].iter().enumerate() {
        check_type(cx.ty(cx.len() + k)?, body.ty(*v), "captured value", k)?;
    }
    Ok(())
}

/// Checks that a value of type `given` may be what a body declares as `declared`.
///
/// # Errors
/// When they contradict.
pub fn check_type(given: &Type, declared: &Type, what: &str, k: usize) -> Result<(), OpError> {
    match given.meet(declared) {
        Some(_) => Ok(()),
        None => Err(OpError::operand(format!("{what} {k} is {given}, the body declares {declared}"))),
    }
}

/// Types of the inputs that the bodies of `op` have before captured ones, as far as the operands tell.
pub fn own_inputs(op: &Op, operands: &[Option<&Type>]) -> Vec<Type> {
    let get = |i: usize| operands.get(i).copied().flatten().cloned().unwrap_or(Type::Unknown);
    match op {
        Op::Loop(_) => {
            let counter = TensorType::fixed(DType::I64, &[]).into();
            let mut out = vec![counter, TensorType::fixed(DType::Bool, &[]).into()];
            // Shapes may change from iteration to iteration.
            out.extend((2..operands.len()).map(|i| loosened(&get(i))));
            out
        }
        Op::Scan(op) => {
            let scanned = usize::try_from(op.num_scan_inputs).unwrap_or(0).min(operands.len());
            let states = operands.len() - scanned;
            let slice = |k: usize| match get(states + k) {
                Type::Tensor(t) => op.slice(&t, k).map_or(Type::Unknown, |(t, _)| t.into()),
                _ => Type::Unknown,
            };
            (0..states).map(get).chain((0..scanned).map(slice)).collect()
        }
        Op::SequenceMap(_) => {
            (0..operands.len()).map(|i| taken(&get(i)).map_or(Type::Unknown, Clone::clone)).collect()
        }
        _ => vec![],
    }
}

/// The type without what it says of shapes.
fn loosened(ty: &Type) -> Type {
    match ty {
        Type::Tensor(t) => TensorType::unranked(t.dtype).into(),
        Type::Sequence(t) => Type::Sequence(Box::new(loosened(t))),
        Type::Optional(t) => Type::Optional(Box::new(loosened(t))),
        Type::Map(k, t) => Type::Map(*k, Box::new(loosened(t))),
        Type::Unknown => Type::Unknown,
    }
}

/// Runs `body`. Its inputs must be what it declares, on which everything inferred in it rests.
///
/// # Errors
/// When one is not, and those of the body.
pub fn run_body(cx: &EvalCx<'_>, body: &Graph, inputs: Vec<Value>) -> Result<Vec<Value>, OpError> {
    for (v, value) in body.inputs().iter().zip(&inputs) {
        if !value.fits(body.ty(*v)) {
            let (name, declared) = (body.value_label(*v), body.ty(*v));
            return Err(OpError::eval(format!(
                "`{name}` of a body is declared {declared} and given {}",
                value.ty()
            )));
        }
    }
    let wanted = body.outputs().len();
    let results = (cx.run)(body, inputs)?;
    if results.len() == wanted {
        return Ok(results);
    }
    Err(OpError::eval(format!("a body gives {} of {wanted} values", results.len())))
}

/// Captured operands out of `inputs`, all present.
///
/// # Errors
/// When one is absent.
pub fn captured(inputs: &mut Vec<Option<Value>>, captures: usize) -> Result<Vec<Value>, OpError> {
    let all: Option<Vec<Value>> =
        inputs.split_off(inputs.len().saturating_sub(captures)).into_iter().collect();
    all.ok_or_else(|| OpError::operand("a captured operand is missing"))
}

/// The truth value of a tensor of one element.
///
/// # Errors
/// When it is anything else.
pub fn truth(v: &Value) -> Result<bool, OpError> {
    let flags = v.as_tensor().map(crate::tensor::Tensor::to_bools).transpose()?;
    match flags.as_deref() {
        Some([flag]) => Ok(*flag),
        _ => Err(OpError::operand(format!("a condition must be one bool, is {}", v.ty()))),
    }
}
