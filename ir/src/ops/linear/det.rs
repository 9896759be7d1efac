//! `det`
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dtype::FLOATS;
use crate::eval::{EvalCx, Value, one};
use crate::expand::{Expanded, dtype_of, narrowed, operand, widened};
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::ops::elementwise::arithmetic::{Add, Mul, Sub};
use crate::ops::index::gather::Gather;
use crate::ops::linear::compute::PARALLEL;
use crate::tensor::Tensor;
use crate::tensor::convert::Wide;
use crate::types::{TensorType, Type};
use rayon::prelude::*;

crate::op! {
    /// Determinant of each square matrix of the last two axes; 1 for an empty matrix. Computed in 64 bits and rounded once.
    det Det(x: One<T>) -> (y: One<T>) {} where T: FLOATS;
}

/// Determinant by elimination with partial pivoting; `m` holds `n * n` elements and is used up.
fn determinant(m: &mut [f64], n: usize) -> f64 {
    let mut det = 1.0;
    for k in 0..n {
        let magnitude = |r: &usize| m[r * n + k].abs();
        let pivot = (k..n).max_by(|a, b| magnitude(a).total_cmp(&magnitude(b))).unwrap_or(k);
        if m[pivot * n + k] == 0.0 {
            return 0.0;
        }
        if pivot != k {
            (k..n).for_each(|c| m.swap(pivot * n + c, k * n + c));
            det = -det;
        }
        let (above, below) = m.split_at_mut((k + 1) * n);
        let row = &above[k * n + k..];
        det *= row[0];
        for line in below.chunks_exact_mut(n) {
            let factor = line[k] / row[0];
            line[k..].iter_mut().zip(row).for_each(|(v, r)| *v -= factor * r);
        }
    }
    det
}

impl Semantics for Det {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let x = cx.tensor(0)?;
        let Some(shape) = &x.shape else { return Ok(vec![TensorType::unranked(x.dtype).into()]) };
        match shape.as_slice() {
            [outer @ .., a, b] if !a.surely_differs(b) => {
                Ok(vec![TensorType::new(x.dtype, outer.to_vec()).into()])
            }
            _ => Err(OpError::shape(format!("{x} does not hold square matrices"))),
        }
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        let [outer @ .., n, m] = x.shape() else { return Err(OpError::shape("det needs matrices")) };
        if n != m {
            return Err(OpError::shape(format!("{n} by {m} is not square")));
        }
        let total = crate::ops::linear::compute::count(outer)?;
        let mut values = x.to_f64s()?;
        let found: Vec<f64> = if x.is_empty() {
            vec![1.0; total]
        } else if values.len() < PARALLEL {
            values.chunks_exact_mut(n * n).map(|m| determinant(m, *n)).collect()
        } else {
            values.par_chunks_exact_mut(n * n).map(|m| determinant(m, *n)).collect()
        };
        one(Tensor::from_wide(x.dtype(), outer, &Wide::F64(found), false)?)
    }
    /// Sums of products of elements, for matrices of few rows.
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
        let x = operand(inputs, 0)?;
        let shape = b.graph().ty(x).as_tensor().and_then(|t| t.shape.as_ref());
        let n = shape.and_then(|s| s.last()?.known()).filter(|n| (1..=MOST_EXPANDED).contains(n));
        let (Some(n), Some(dtype)) = (n, dtype_of(b, x)) else { return Ok(None) };
        let x = widened(b, x)?;
        let mut rows = vec![];
        for i in 0..n as i64 {
            let (at, mut row) = (b.scalar(i), vec![]);
            let line = b.gather(Gather { axis: -2 }, x, at)?;
            for j in 0..n as i64 {
                let at = b.scalar(j);
                row.push(b.gather(Gather { axis: -1 }, line, at)?);
            }
            rows.push(row);
        }
        let found = cofactors(b, &rows, &(0..n as usize).collect::<Vec<_>>())?;
        Ok(Some(vec![narrowed(b, found, dtype)?]))
    }
}

/// Most rows of matrices whose determinants are sums of products.
const MOST_EXPANDED: u64 = 4;

/// Determinant of `rows` with only `columns`, as many, by expansion along the first row.
fn cofactors(b: &mut Builder<'_>, rows: &[Vec<ValueId>], columns: &[usize]) -> Result<ValueId, Diag> {
    let (Some((first, below)), Some(c)) = (rows.split_first(), columns.first()) else {
        return Err(Diag::error("E0901", "a determinant of nothing"));
    };
    if below.is_empty() {
        return Ok(first[*c]);
    }
    let mut sum = None;
    for (k, c) in columns.iter().enumerate() {
        let others: Vec<usize> = columns.iter().filter(|o| *o != c).copied().collect();
        let minor = cofactors(b, below, &others)?;
        let term = b.mul(Mul {}, first[*c], minor)?;
        sum = Some(match sum {
            None => term,
            Some(s) if k % 2 == 1 => b.sub(Sub {}, s, term)?,
            Some(s) => b.plus(Add {}, s, term)?,
        });
    }
    sum.ok_or_else(|| Diag::error("E0901", "a determinant without terms"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{assert_near, eval, f32s, infer, shapes};

    #[test]
    fn determinants() {
        let x = f32s(&[2, 3, 3], &[0., 2., 1., 3., 0., 0., 1., 1., 1., 1., 2., 3., 4., 5., 6., 7., 8., 9.]);
        // numpy.linalg.det
        assert_near(&eval(&Det {}, &[Some(&x)]).expect("fits")[0], &[2], &[-3.0, 0.0]);
        assert_near(&eval(&Det {}, &[Some(&f32s(&[2, 0, 0], &[]))]).expect("fits")[0], &[2], &[1.0, 1.0]);
        let none = f32s(&[0], &[]).reshape(&[0, 1 << 40, 1 << 40]).expect("empty");
        assert!(eval(&Det {}, &[Some(&none)]).expect("fits")[0].is_empty());
        let nan = f32s(&[2, 2], &[f32::NAN, 1., 1., 1.]);
        assert!(eval(&Det {}, &[Some(&nan)]).expect("fits")[0].as_f64().is_some_and(f64::is_nan));
    }

    #[test]
    fn types() {
        assert_eq!(infer(&Det {}, &shapes(&["f16[N, 3, 3]"])).expect("fits")[0].to_string(), "f16[N]");
        assert!(infer(&Det {}, &shapes(&["f32[2, 3]"])).is_err());
        assert!(infer(&Det {}, &shapes(&["f32[3]"])).is_err());
    }
}
