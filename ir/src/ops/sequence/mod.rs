//! Operators on sequences of tensors and on optional values.
//!
//! Positions in a sequence may be negative and then count from its end. What a sequence holds is one type, in which all elements
//! agree; the number of elements is no part of a type.
pub mod access;
pub mod concat_from_sequence;
pub mod construct;
pub mod optional;
pub mod split_to_sequence;

use crate::eval::{EvalCx, Value};
use crate::infer::InferCx;
use crate::op::OpError;
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

/// Type of the elements of sequence operand `i`; `None` when not even their element type is known.
///
/// # Errors
/// When it is absent, no sequence, or holds anything but tensors.
pub fn elements<'a>(cx: &InferCx<'a>, i: usize) -> Result<Option<&'a TensorType>, OpError> {
    match cx.ty(i)? {
        Type::Sequence(t) => match t.as_ref() {
            Type::Tensor(t) => Ok(Some(t)),
            Type::Unknown => Ok(None),
            other => {
                Err(OpError::operand(format!("operand {i} must be a sequence of tensors, holds {other}")))
            }
        },
        other => Err(OpError::operand(format!("operand {i} must be a sequence, is {other}"))),
    }
}

/// A sequence of such tensors.
fn sequence(elements: Option<TensorType>) -> Type {
    Type::Sequence(Box::new(elements.map_or(Type::Unknown, Type::Tensor)))
}

/// Checks that operand `i`, if present, may be one integer.
fn check_position(cx: &InferCx<'_>, i: usize) -> Result<(), OpError> {
    if !cx.has(i) {
        return Ok(());
    }
    let ty = cx.tensor(i)?;
    let one = |d: &crate::dim::Dim| d.known().is_none_or(|n| n == 1);
    if ty.shape.as_ref().is_none_or(|s| s.iter().all(one)) {
        return Ok(());
    }
    Err(OpError::operand(format!("a position must be one integer, is {ty}")))
}

/// The position that operand `i` names in a sequence of `len` elements, where `end` more positions follow the last; `default` when it
/// is absent.
fn position(cx: &EvalCx<'_>, i: usize, len: usize, end: usize, default: i64) -> Result<usize, OpError> {
    let at = match cx.opt(i)? {
        Some(t) => t.as_int().ok_or_else(|| OpError::operand("a position must be one integer"))?,
        None => default,
    };
    let count = i64::try_from(len).unwrap_or(i64::MAX);
    let from_start = if at < 0 { at.checked_add(count) } else { Some(at) };
    from_start
        .and_then(|p| usize::try_from(p).ok())
        .filter(|p| *p < len.saturating_add(end))
        .ok_or_else(|| OpError::eval(format!("position {at} is outside a sequence of {len} elements")))
}

/// All elements as tensors.
fn tensors(all: &[Value]) -> Result<Vec<&Tensor>, OpError> {
    let found: Option<Vec<&Tensor>> = all.iter().map(Value::as_tensor).collect();
    found.ok_or_else(|| OpError::operand("a sequence must hold tensors"))
}
