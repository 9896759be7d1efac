//! `one_hot`
use crate::dim::Dim;
use crate::dtype::{ANY, NUMERIC};
use crate::eval::{EvalCx, Value, one};
use crate::infer::{InferCx, resolve_axis};
use crate::op::{OpError, Semantics};
use crate::ops::movement::lists::elements;
use crate::ops::movement::mover::{self, Move, Unit};
use crate::tensor::{Tensor, element_count};
use crate::types::{TensorType, Type};

crate::op! {
    /// Inserts an axis of size `depth` that holds `values[1]` at the position each index names and `values[0]` elsewhere. Negative
    /// indices count from the end; an index out of range sets nothing. Floating-point indices and depths are truncated.
    one_hot OneHot(indices: One<I>, depth: One<D>, values: One<T>) -> (output: One<T>) {
        /// Position of the new axis in the result; negative counts from its end.
        axis: i64 = -1,
    } where I: NUMERIC, D: NUMERIC, T: ANY;
}

/// A number as an integer, truncated.
fn ints(t: &Tensor) -> Result<Vec<i64>, OpError> {
    if t.dtype().is_float() {
        return Ok(t.to_f64s()?.into_iter().map(|v| v as i64).collect());
    }
    Ok(t.to_i64s()?)
}

fn depth_of(t: &Tensor) -> Result<u64, OpError> {
    match ints(t)?.as_slice() {
        [d] => u64::try_from(*d).map_err(|_| OpError::attr(format!("a depth of {d} is negative"))),
        _ => Err(OpError::operand(format!("`depth` must be one number, is {}", t.ty()))),
    }
}

struct Hot {
    at: Vec<i64>,
    depth: usize,
    inner: usize,
}

impl Move for Hot {
    fn run<T: Unit>(&self, xs: &[&[T]]) -> Vec<T> {
        let (off, on) = (xs[0][0], xs[0][1]);
        let mut out = vec![off; self.at.len() * self.depth];
        let depth = self.depth as i64;
        for (i, &v) in self.at.iter().enumerate() {
            let v = if v < 0 { v.saturating_add(depth) } else { v };
            if (0..depth).contains(&v) {
                out[(i / self.inner * self.depth + v as usize) * self.inner + i % self.inner] = on;
            }
        }
        out
    }
}

impl Semantics for OneHot {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let dtype = cx.dtype(2)?;
        if cx.shape(2)?.is_some_and(|s| s.len() != 1 || s[0].surely_differs(&Dim::Known(2))) {
            return Err(OpError::operand(format!("`values` must be [off, on], is {}", cx.tensor(2)?)));
        }
        let depth = match cx.constant(1) {
            Some(t) => Dim::Known(depth_of(t)?),
            None => Dim::from_sym(elements(cx, 1).and_then(|l| l.first().cloned().flatten())),
        };
        let Some(shape) = cx.shape(0)? else { return Ok(vec![TensorType::unranked(dtype).into()]) };
        let mut out = shape.clone();
        out.insert(resolve_axis(self.axis, shape.len() + 1)?, depth);
        Ok(vec![TensorType::new(dtype, out).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (indices, values) = (cx.tensor(0)?, cx.tensor(2)?);
        let depth = usize::try_from(depth_of(cx.tensor(1)?)?).unwrap_or(usize::MAX);
        let axis = resolve_axis(self.axis, indices.rank() + 1)?;
        let mut shape = indices.shape().to_vec();
        shape.insert(axis, depth);
        if values.len() != 2 {
            return Err(OpError::operand("`values` must be [off, on]"));
        }
        let inner = element_count(&indices.shape()[axis..]).unwrap_or(0);
        let hot = Hot { at: ints(indices)?, depth, inner };
        one(mover::apply(&hot, &[values], &shape)?)
    }
}
