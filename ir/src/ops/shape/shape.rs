//! `shape`
use crate::builder::Builder;
use crate::dim::Dim;
use crate::dtype::{ANY, I64_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::expand::{Expanded, operand};
use crate::graph::ValueId;
use crate::infer::{Content, InferCx};
use crate::op::{OpError, Semantics};
use crate::ops::movement::slice::Slice;
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

crate::op! {
    /// The sizes of the axes from `start` on and before `end`, as integers. Positions count from the end when negative and stop at
    /// the borders.
    shape Shape(data: One<T>) -> (shape: One<I>) {
        /// First axis.
        start: i64 = 0,
        /// Axis before which to stop; all further ones when absent.
        end: Option<i64> = None,
    } where T: ANY, I: I64_ONLY;
}

impl Shape {
    fn part<'a, D>(&self, dims: &'a [D]) -> &'a [D] {
        let n = dims.len() as i64;
        let position = |v: i64| (if v < 0 { v.saturating_add(n) } else { v }).clamp(0, n) as usize;
        let (start, end) = (position(self.start), position(self.end.unwrap_or(n)));
        dims.get(start..end).unwrap_or_default()
    }
}

/// A part of the shape is a slice of all of it.
fn part_of_all(op: &Shape, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
    if *op == Shape::default() {
        return Ok(None);
    }
    let all = b.shape(Shape::default(), operand(inputs, 0)?)?;
    let (starts, ends, axes) = (b.ints(&[op.start]), b.ints(&[op.end.unwrap_or(i64::MAX)]), b.ints(&[0]));
    Ok(Some(vec![b.slice(Slice {}, all, starts, ends, Some(axes), None)?]))
}

impl Semantics for Shape {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let n = cx.shape(0)?.map_or(Dim::Unknown, |s| Dim::from(self.part(s).len()));
        Ok(vec![TensorType::new(crate::dtype::DType::I64, vec![n]).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let sizes: Vec<i64> = self.part(cx.tensor(0)?.shape()).iter().map(|n| *n as i64).collect();
        one(Tensor::from_ints(&sizes))
    }
    fn contents(&self, cx: &InferCx<'_>) -> Vec<Option<Content>> {
        let dims = cx.shape(0).ok().flatten();
        vec![dims.map(|s| self.part(s).iter().map(Dim::to_sym).collect())]
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], outputs: usize) -> Expanded {
        part_of_all(self, b, inputs, outputs)
    }
}
