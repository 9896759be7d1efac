//! `top_k`
use super::axes::around;
use crate::dim::Dim;
use crate::dtype::{DType, I64_ONLY, NUMERIC};
use crate::eval::{EvalCx, Value};
use crate::infer::{InferCx, resolve_axis};
use crate::op::{OpError, Semantics};
use crate::ops::elementwise::map::no_meaning;
use crate::tensor::Tensor;
use crate::tensor::convert::Wide;
use crate::types::{TensorType, Type};
use std::cmp::Ordering;

crate::op! {
    /// The `k` largest or smallest elements along `axis` and their positions. Of equal elements the one with the lower position comes
    /// first; NaN counts as larger than all numbers.
    top_k TopK(x: One<T>, k: One<K>) -> (values: One<T>, indices: One<I>) {
        /// Axis that is searched.
        axis: i64 = -1,
        /// Whether the largest elements are wanted instead of the smallest.
        largest: bool = true,
        /// Whether results must be sorted; they are so in any case.
        sorted: bool = true,
    } where T: NUMERIC, K: I64_ONLY, I: I64_ONLY;
}

/// `k` as a size, checked against the axis it is taken from.
fn checked_k(k: i64, size: Option<u64>) -> Result<usize, OpError> {
    let fits = usize::try_from(k).ok().filter(|k| size.is_none_or(|s| *k as u64 <= s));
    fits.ok_or_else(|| {
        let size = size.map_or_else(|| "its axis".to_owned(), |s| format!("{s} elements"));
        OpError::attr(format!("`top_k` cannot take {k} of {size}"))
    })
}

impl Semantics for TopK {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let x = cx.tensor(0)?;
        if cx.tensor(1)?.sizes().is_some_and(|s| s.iter().any(|n| *n != 1)) {
            return Err(OpError::shape("`k` must be a single number"));
        }
        let k = cx.constant(1).and_then(Tensor::as_int);
        let Some(mut shape) = x.shape.clone() else {
            return Ok(vec![x.clone().into(), TensorType::unranked(DType::I64).into()]);
        };
        let at = resolve_axis(self.axis, shape.len())?;
        shape[at] = match k {
            Some(k) => Dim::from(checked_k(k, shape[at].known())?),
            None => cx.sym_ints(1).and_then(|v| v.into_iter().next()).map_or(Dim::Unknown, Dim::from_sym),
        };
        let indices = TensorType::new(DType::I64, shape.clone());
        Ok(vec![TensorType::new(x.dtype, shape).into(), indices.into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        let sizes = around(x.shape(), self.axis)?;
        let k = cx.tensor(1)?.as_int().ok_or_else(|| OpError::operand("`k` must be a single integer"))?;
        let k = checked_k(k, Some(sizes.1 as u64))?;
        let mut shape = x.shape().to_vec();
        shape[resolve_axis(self.axis, x.rank())?] = k;
        let (wide, indices) = match x.widen()? {
            Wide::F32(v) => {
                let (v, i) = pick(&v, sizes, k, |a, b| self.order(float_order(a, b, f32::is_nan)));
                (Wide::F32(v), i)
            }
            Wide::F64(v) => {
                let (v, i) = pick(&v, sizes, k, |a, b| self.order(float_order(a, b, f64::is_nan)));
                (Wide::F64(v), i)
            }
            Wide::I64(v) => {
                let (v, i) = pick(&v, sizes, k, |a, b| self.order(a.cmp(b)));
                (Wide::I64(v), i)
            }
            Wide::U64(v) => {
                let (v, i) = pick(&v, sizes, k, |a, b| self.order(a.cmp(b)));
                (Wide::U64(v), i)
            }
            Wide::C128(_) | Wide::Str(_) => return Err(no_meaning(x.dtype())),
        };
        let values = Tensor::from_wide(x.dtype(), &shape, &wide, false)?;
        Ok(vec![values.into(), Tensor::from_vec(&shape, indices).into()])
    }
}

impl TopK {
    fn order(&self, ascending: Ordering) -> Ordering {
        if self.largest { ascending.reverse() } else { ascending }
    }
}

fn float_order<T: PartialOrd + Copy>(a: &T, b: &T, is_nan: fn(T) -> bool) -> Ordering {
    a.partial_cmp(b).unwrap_or_else(|| is_nan(*a).cmp(&is_nan(*b)))
}

/// The first `k` elements of each row along the middle axis in that order, with their positions.
fn pick<T: Copy>(
    x: &[T],
    (outer, len, inner): (usize, usize, usize),
    k: usize,
    order: impl Fn(&T, &T) -> Ordering,
) -> (Vec<T>, Vec<i64>) {
    let mut places: Vec<usize> = Vec::with_capacity(outer * k * inner);
    let mut positions = vec![0; outer * k * inner];
    places.resize(positions.len(), 0);
    if k == 0 || x.is_empty() {
        return (vec![], vec![]);
    }
    let mut row: Vec<usize> = Vec::with_capacity(len);
    for i in 0..outer * inner {
        let first = i / inner * len * inner + i % inner;
        let by = |a: &usize, b: &usize| order(&x[first + a * inner], &x[first + b * inner]).then(a.cmp(b));
        row.clear();
        row.extend(0..len);
        if k < len {
            row.select_nth_unstable_by(k, by);
        }
        row[..k].sort_unstable_by(by);
        for (n, at) in row[..k].iter().enumerate() {
            let to = (i / inner * k + n) * inner + i % inner;
            places[to] = first + at * inner;
            positions[to] = *at as i64;
        }
    }
    (places.into_iter().map(|p| x[p]).collect(), positions)
}
