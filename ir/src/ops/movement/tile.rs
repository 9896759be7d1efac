//! `tile`
use super::lists::{sym_list, tensor_list};
use super::tables::copy_by_tables;
use crate::dim::{Dim, SymInt};
use crate::dtype::{ANY, I64_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::tensor::strides;
use crate::types::{TensorType, Type};

crate::op! {
    /// Repeats the tensor `repeats[i]` times along axis `i`.
    tile Tile(input: One<T>, repeats: One<S>) -> (output: One<T>) {} where T: ANY, S: I64_ONLY;
}

fn sizes(x: &[usize], repeats: &[i64]) -> Result<Vec<usize>, OpError> {
    let bad = || OpError::shape(format!("{x:?} cannot be repeated {repeats:?} times"));
    if x.len() != repeats.len() {
        return Err(bad());
    }
    let one = |(n, r): (&usize, &i64)| usize::try_from(*r).ok()?.checked_mul(*n);
    x.iter().zip(repeats).map(one).collect::<Option<_>>().ok_or_else(bad)
}

impl Semantics for Tile {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let x = cx.tensor(0)?;
        let list = sym_list(cx, 1)?;
        let Some(shape) = &x.shape else {
            let ty = list.map_or(TensorType::unranked(x.dtype), |l| TensorType::of_rank(x.dtype, l.len()));
            return Ok(vec![ty.into()]);
        };
        let Some(list) = list else { return Ok(vec![TensorType::of_rank(x.dtype, shape.len()).into()]) };
        if list.len() != shape.len() {
            return Err(OpError::shape(format!("{} repeats are listed for {x}", list.len())));
        }
        let times = |(d, r): (&Dim, &Option<SymInt>)| {
            if r.as_ref().and_then(SymInt::as_const).is_some_and(|c| c < 0) {
                return Err(OpError::shape("a number of repeats is negative"));
            }
            Ok(d.combine(&Dim::from_sym(r.clone()), SymInt::mul))
        };
        let dims = shape.iter().zip(&list).map(times).collect::<Result<Vec<_>, _>>()?;
        Ok(vec![TensorType::new(x.dtype, dims).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        let sizes = sizes(x.shape(), &tensor_list(cx.tensor(1)?)?)?;
        if sizes.contains(&0) {
            return one(super::mover::empty(x.dtype(), &sizes)?);
        }
        super::mover::check_size(x.dtype(), &sizes)?;
        let own = strides(x.shape());
        let table = |i: usize| (0..sizes[i]).map(|k| k % x.shape()[i] * own[i]).collect();
        let tables: Vec<Vec<usize>> = (0..sizes.len()).map(table).collect();
        one(copy_by_tables(x, &tables, None)?)
    }
}
