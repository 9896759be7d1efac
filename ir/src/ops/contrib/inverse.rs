//! `inverse`
use crate::dtype::{DType, DTypeSet};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::tensor::Tensor;
use crate::tensor::convert::Wide;
use crate::types::Type;

crate::op! {
    /// Inverse of each square matrix of the last two axes, computed in 64 bits. That of a singular matrix is not finite.
    inverse Inverse(x: One<T>) -> (y: One<T>) {} where T: DTypeSet::of(&[DType::F16, DType::F32, DType::F64]);
}

/// Inverts the `n` by `n` matrix `a` by elimination with row exchanges; `out` starts as the identity.
fn invert(a: &mut [f64], out: &mut [f64], n: usize) {
    for col in 0..n {
        let size = |r: usize| a[r * n + col].abs();
        let pivot = (col..n).fold(col, |best, r| if size(r) > size(best) { r } else { best });
        if pivot != col {
            for j in 0..n {
                a.swap(col * n + j, pivot * n + j);
                out.swap(col * n + j, pivot * n + j);
            }
        }
        let factor = a[col * n + col].recip();
        for j in 0..n {
            a[col * n + j] *= factor;
            out[col * n + j] *= factor;
        }
        for r in (0..n).filter(|r| *r != col) {
            let factor = a[r * n + col];
            for j in 0..n {
                a[r * n + j] -= factor * a[col * n + j];
                out[r * n + j] -= factor * out[col * n + j];
            }
        }
    }
}

impl Semantics for Inverse {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        if let Some(shape) = cx.shape(0)? {
            let [.., rows, cols] = shape.as_slice() else {
                return Err(OpError::shape("an inverse needs at least two axes"));
            };
            if rows.surely_differs(cols) {
                return Err(OpError::shape(format!("a matrix of {rows} by {cols} has no inverse")));
            }
        }
        Ok(vec![cx.ty(0)?.clone()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        let n = x.shape().last().copied().unwrap_or(0);
        let mut values = x.to_f64s()?;
        if n > 0 {
            let mut out = vec![0.0; n * n];
            for matrix in values.chunks_exact_mut(n * n) {
                out.fill(0.0);
                out.iter_mut().step_by(n + 1).for_each(|v| *v = 1.0);
                invert(matrix, &mut out, n);
                matrix.copy_from_slice(&out);
            }
        }
        one(Tensor::from_wide(x.dtype(), x.shape(), &Wide::F64(values), false)?)
    }
}
