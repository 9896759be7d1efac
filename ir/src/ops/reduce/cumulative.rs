//! `cum_sum`, `cum_prod`
use super::axes::around;
use super::reductions::SUMMED;
use crate::dtype::INDEX;
use crate::eval::{EvalCx, Value, one};
use crate::infer::{InferCx, resolve_axis};
use crate::op::OpError;
use crate::ops::elementwise::map::no_meaning;
use crate::tensor::Tensor;
use crate::tensor::convert::Wide;
use crate::types::Type;

crate::op! {
    /// Sum of the elements up to each position along `axis`.
    cum_sum CumSum(x: One<T>, axis: One<T2>) -> (y: One<T>) {
        /// Whether the element at the position itself is left out.
        exclusive: bool = false,
        /// Whether elements are added from the end.
        reverse: bool = false,
    } where T: SUMMED, T2: INDEX;
    infer = |_: &CumSum, cx: &InferCx<'_>| infer(cx),
    eval = |op: &CumSum, cx| run(
        cx, [op.exclusive, op.reverse],
        &(0.0, |a, b| a + b), &(0, i64::wrapping_add), &(0, u64::wrapping_add),
    );
}
crate::op! {
    /// Product of the elements up to each position along `axis`.
    cum_prod CumProd(x: One<T>, axis: One<T2>) -> (y: One<T>) {
        /// Whether the element at the position itself is left out.
        exclusive: bool = false,
        /// Whether elements are multiplied from the end.
        reverse: bool = false,
    } where T: SUMMED, T2: INDEX;
    infer = |_: &CumProd, cx: &InferCx<'_>| infer(cx),
    eval = |op: &CumProd, cx| run(
        cx, [op.exclusive, op.reverse],
        &(1.0, |a, b| a * b), &(1, i64::wrapping_mul), &(1, u64::wrapping_mul),
    ),
    expand = super::cum_prod_expansion::expand;
}

fn infer(cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    let x = cx.tensor(0)?;
    if cx.tensor(1)?.sizes().is_some_and(|s| s.iter().any(|n| *n != 1)) {
        return Err(OpError::shape("the axis of a cumulation must be a single number"));
    }
    if let (Some(rank), Some(axis)) = (x.rank(), cx.constant(1).and_then(Tensor::as_int)) {
        resolve_axis(axis, rank)?;
    }
    Ok(vec![x.clone().into()])
}

/// Start and step per class of element types; floats are cumulated in `f64`.
fn run(
    mut cx: EvalCx<'_>,
    [exclusive, reverse]: [bool; 2],
    float: &(f64, impl Fn(f64, f64) -> f64),
    signed: &(i64, impl Fn(i64, i64) -> i64),
    unsigned: &(u64, impl Fn(u64, u64) -> u64),
) -> Result<Vec<Value>, OpError> {
    let axis = cx.tensor(1)?.as_int().ok_or_else(|| OpError::operand("the axis must be a single integer"))?;
    let x = cx.take(0)?;
    let (_, len, inner) = around(x.shape(), axis)?;
    let walk = Walk { len, inner, exclusive, reverse };
    let wide = match x.widen()? {
        Wide::I64(mut v) => {
            walk.cumulate(&mut v, signed.0, &signed.1);
            Wide::I64(v)
        }
        Wide::U64(mut v) => {
            walk.cumulate(&mut v, unsigned.0, &unsigned.1);
            Wide::U64(v)
        }
        Wide::C128(_) | Wide::Str(_) => return Err(no_meaning(x.dtype())),
        Wide::F32(_) | Wide::F64(_) => {
            let mut v = x.to_f64s()?;
            walk.cumulate(&mut v, float.0, &float.1);
            Wide::F64(v)
        }
    };
    one(Tensor::from_wide(x.dtype(), x.shape(), &wide, false)?)
}

struct Walk {
    len: usize,
    inner: usize,
    exclusive: bool,
    reverse: bool,
}

impl Walk {
    fn cumulate<T: Copy>(&self, values: &mut [T], start: T, step: &dyn Fn(T, T) -> T) {
        let block_len = (self.len * self.inner).max(1);
        for block in values.chunks_mut(block_len) {
            let mut sums = vec![start; self.inner];
            for k in 0..self.len {
                let at = if self.reverse { self.len - 1 - k } else { k };
                let row = &mut block[at * self.inner..(at + 1) * self.inner];
                for (sum, v) in sums.iter_mut().zip(row) {
                    let next = step(*sum, *v);
                    *v = if self.exclusive { *sum } else { next };
                    *sum = next;
                }
            }
        }
    }
}
