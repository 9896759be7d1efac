//! Inverse trigonometric functions by ATAN2, which takes operands of one shape.
use super::FLOAT;
use crate::tflite::lower::{Cx, R};
use crate::tflite::program::T;
use crate::tflite::schema::Builtin;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::TensorType;

/// `atan x = atan2(x, 1)`, `asin x = atan2(x, r)`, `acos x = atan2(r, x)` with `r = sqrt((1 - x) (1 + x))`.
pub(super) fn lower(cx: &mut Cx<'_>) -> R<()> {
    cx.of_type(0, FLOAT)?;
    let x = cx.arg(0)?;
    if cx.op().name() == "atan" {
        let ones = filled_like(cx, x, 1.0)?;
        return cx.emit(Builtin::Atan2, None, &[x, ones]);
    }
    let one = cx.scalar_like(1.0, x)?;
    let below = cx.temp_like(Builtin::Sub, &[one, x], x)?;
    let above = cx.temp_like(Builtin::Add, &[one, x], x)?;
    let product = cx.temp_like(Builtin::Mul, &[below, above], x)?;
    let root = cx.temp_like(Builtin::Sqrt, &[product], x)?;
    cx.emit(Builtin::Atan2, None, &if cx.op().name() == "asin" { [x, root] } else { [root, x] })
}

/// A tensor of the shape of `x` with `value` everywhere.
fn filled_like(cx: &mut Cx<'_>, x: T, value: f32) -> R<T> {
    let ty = cx.def(x).ty.clone();
    let sizes = match ty.sizes() {
        Some(sizes) => cx.ints32(&sizes.into_iter().map(|n| n as i64).collect::<Vec<_>>())?,
        None => shape_of(cx, x)?,
    };
    let value = cx.konst(Tensor::scalar(value));
    cx.temp(Builtin::Fill, None, &[Some(sizes), Some(value)], ty)
}

/// Sizes of `x`, computed at run time.
pub(in crate::tflite::bind) fn shape_of(cx: &mut Cx<'_>, x: T) -> R<T> {
    let rank = cx.def(x).ty.rank();
    let ty = TensorType { dtype: DType::I32, shape: rank.map(|r| vec![r.into()]) };
    let options = Builtin::Shape.options().map(|o| o.with("out_type", 2));
    cx.temp(Builtin::Shape, options, &[Some(x)], ty)
}
