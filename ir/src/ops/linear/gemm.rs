//! `gemm`
use super::compute::{Compute, count, zeros};
use super::ints::{int_tensor, multiply_ints};
use super::mat_mul::product_macs;
use crate::dim::Dim;
use crate::dtype::{DType, NUMERIC};
use crate::eval::{EvalCx, Value, one};
use crate::infer::{InferCx, broadcast};
use crate::kernel::gemm::{Matrix, Output, gemm};
use crate::op::{OpError, Semantics};
use crate::tensor::Tensor;
use crate::tensor::convert::Wide;
use crate::types::{TensorType, Type};

crate::op! {
    /// `y = alpha * a' * b' + beta * c`, where `a'` and `b'` are the operands or their transposes and `c` stretches to the
    /// shape of the product. ONNX calls `trans_a` and `trans_b` `transA` and `transB`.
    gemm Gemm(a: One<T>, b: One<T>, c: Opt<T>) -> (y: One<T>) {
        /// Factor of the product.
        alpha: f32 = 1.0,
        /// Factor of `c`.
        beta: f32 = 1.0,
        /// Whether `a` is transposed.
        trans_a: bool = false,
        /// Whether `b` is transposed.
        trans_b: bool = false,
    } where T: NUMERIC;
}

/// Sizes of a concrete product and where its operands' elements are.
struct Sizes {
    m: usize,
    k: usize,
    n: usize,
    a_strides: (usize, usize),
    b_strides: (usize, usize),
}

impl Gemm {
    fn sizes(&self, a: &[usize], b: &[usize]) -> Result<Sizes, OpError> {
        let (&[a0, a1], &[b0, b1]) = (a, b) else {
            return Err(OpError::shape("gemm multiplies 2-d operands"));
        };
        let (m, k) = if self.trans_a { (a1, a0) } else { (a0, a1) };
        let (k_b, n) = if self.trans_b { (b1, b0) } else { (b0, b1) };
        if k != k_b {
            return Err(OpError::shape(format!("a matrix product of inner sizes {k} and {k_b}")));
        }
        let strides = |transposed: bool, cols: usize| if transposed { (1, cols) } else { (cols, 1) };
        Ok(Sizes { m, k, n, a_strides: strides(self.trans_a, a1), b_strides: strides(self.trans_b, b1) })
    }
    fn floats<T: Compute>(
        &self,
        s: &Sizes,
        a: &Tensor,
        b: &Tensor,
        c: Option<&Tensor>,
    ) -> Result<Tensor, OpError> {
        let shape = [s.m, s.n];
        let mut out = zeros::<T>(count(&shape)?)?;
        if let Some(c) = c {
            let beta = T::from_f64(f64::from(self.beta));
            spread(&T::read(c)?, c.shape(), s.n, &mut out, |v| beta * v)?;
        }
        if !out.is_empty() && s.k > 0 {
            let (left, right) = (T::read(a)?, T::read(b)?);
            let left = Matrix::new(&left, (s.m, s.k), s.a_strides)?;
            let right = Matrix::new(&right, (s.k, s.n), s.b_strides)?.kept_in(b.packs());
            gemm(T::from_f64(f64::from(self.alpha)), left, right, Output::Accumulate, &mut out)?;
        }
        Ok(T::tensor(a.dtype(), &shape, out)?)
    }
    /// Integers: exact and wrapping without factors, else through `f64`, truncated.
    fn ints(&self, s: &Sizes, a: &Tensor, b: &Tensor, c: Option<&Tensor>) -> Result<Tensor, OpError> {
        let shape = [s.m, s.n];
        let rows = |t: &Tensor, transposed: bool| -> Result<Vec<i64>, OpError> {
            let t = if transposed { t.permute(&[1, 0])? } else { t.clone() };
            Ok(t.to_i64s()?)
        };
        let (left, right) = (rows(a, self.trans_a)?, rows(b, self.trans_b)?);
        let mut out = zeros::<i64>(count(&shape)?)?;
        multiply_ints(&left, &right, (s.m, s.k, s.n), &mut out);
        let mut addend = zeros::<i64>(out.len())?;
        if let Some(c) = c {
            spread(&c.to_i64s()?, c.shape(), s.n, &mut addend, |v| v)?;
        }
        if self.alpha == 1.0 && self.beta == 1.0 {
            out.iter_mut().zip(addend).for_each(|(o, c)| *o = o.wrapping_add(c));
            return int_tensor(a.dtype(), &shape, out);
        }
        let (alpha, beta) = (f64::from(self.alpha), f64::from(self.beta));
        let values = out.iter().zip(addend).map(|(o, c)| alpha * *o as f64 + beta * c as f64).collect();
        Ok(Tensor::from_wide(a.dtype(), &shape, &Wide::F64(values), false)?)
    }
}

/// Writes `map` of `c`, stretched to rows of `n` elements.
pub(crate) fn spread<T: Copy, U>(
    c: &[T],
    shape: &[usize],
    n: usize,
    out: &mut [U],
    map: impl Fn(T) -> U,
) -> Result<(), OpError> {
    if out.is_empty() {
        return Ok(());
    }
    let (rows, cols) = match shape {
        [] => (1, 1),
        [cols] => (1, *cols),
        [rows, cols] => (*rows, *cols),
        _ => return Err(OpError::shape("the addend of gemm has more than 2 axes")),
    };
    let fits = (rows == 1 || rows * n == out.len()) && (cols == 1 || cols == n) && rows * cols == c.len();
    if !fits {
        return Err(OpError::shape(format!("the addend {shape:?} does not stretch to the product")));
    }
    for (r, line) in out.chunks_exact_mut(n).enumerate() {
        let source = &c[if rows == 1 { 0 } else { r * cols }..][..cols];
        match source {
            [v] => line.iter_mut().for_each(|o| *o = map(*v)),
            _ => line.iter_mut().zip(source).for_each(|(o, v)| *o = map(*v)),
        }
    }
    Ok(())
}

impl Semantics for Gemm {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let matrix = |i: usize, transposed: bool| -> Result<(Dim, Dim), OpError> {
            match cx.shape(i)?.map(Vec::as_slice) {
                None => Ok((Dim::Unknown, Dim::Unknown)),
                Some([r, c]) => Ok(if transposed { (c.clone(), r.clone()) } else { (r.clone(), c.clone()) }),
                Some(s) => {
                    Err(OpError::shape(format!("gemm multiplies 2-d operands, one has {} axes", s.len())))
                }
            }
        };
        let ((m, k), (k_b, n)) = (matrix(0, self.trans_a)?, matrix(1, self.trans_b)?);
        if k.surely_differs(&k_b) {
            return Err(OpError::shape(format!("a matrix product of inner sizes {k} and {k_b}")));
        }
        let shape = vec![m, n];
        if cx.has(2)
            && let Some(c) = cx.shape(2)?
        {
            let both = broadcast(c, &shape)?;
            if both.len() != 2 || both.iter().zip(&shape).any(|(a, b)| a.surely_differs(b)) {
                return Err(OpError::shape("the addend of gemm does not stretch to the product"));
            }
        }
        Ok(vec![TensorType::new(cx.dtype(0)?, shape).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (a, b, c) = (cx.tensor(0)?, cx.tensor(1)?, cx.opt(2)?);
        let sizes = self.sizes(a.shape(), b.shape())?;
        one(match a.dtype() {
            DType::F64 => self.floats::<f64>(&sizes, a, b, c)?,
            t if t.is_float() => self.floats::<f32>(&sizes, a, b, c)?,
            _ => self.ints(&sizes, a, b, c)?,
        })
    }
    fn macs(&self, inputs: &[Option<&Type>], outputs: &[&Type]) -> Option<u64> {
        if !self.trans_a {
            return product_macs(inputs.first().copied().flatten(), outputs.first().copied());
        }
        let a = inputs.first().copied().flatten()?.as_tensor()?.sizes()?;
        let y = outputs.first()?.as_tensor()?.sizes()?;
        y.iter().try_fold(*a.first()? as u64, |n, d| n.checked_mul(*d as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{eval, f32s, infer, shapes};

    #[test]
    fn factors_transposes_and_addends() {
        let op = Gemm { alpha: 0.5, beta: 2.0, trans_a: true, trans_b: true };
        let a = f32s(&[3, 2], &[1., 2., 3., 4., 5., 6.]);
        let b = f32s(&[2, 3], &[1., 0., 1., 0., 2., 0.]);
        for (c, extra) in
            [(f32s(&[2, 1], &[1., 2.]), [2., 2., 4., 4.]), (f32s(&[2], &[1., 2.]), [2., 4., 2., 4.])]
        {
            let y = eval(&op, &[Some(&a), Some(&b), Some(&c)]).expect("fits");
            let product = [3.0f32, 3., 4., 4.];
            let want: Vec<f32> = product.iter().zip(extra).map(|(p, e)| p + e).collect();
            assert_eq!(y[0], f32s(&[2, 2], &want));
        }
        assert!(eval(&op, &[Some(&a), Some(&b), Some(&f32s(&[3], &[0.; 3]))]).is_err());
        assert!(eval(&op, &[Some(&a), Some(&b), Some(&f32s(&[1, 1, 1], &[0.]))]).is_err());
    }

    #[test]
    fn shapes_follow_transposes() {
        let op = Gemm { trans_b: true, ..Gemm::default() };
        let t = infer(&op, &shapes(&["f32[N, 4]", "f32[7, 4]", "f32[7]"])).expect("fits");
        assert_eq!(t[0].to_string(), "f32[N, 7]");
        assert!(infer(&op, &shapes(&["f32[N, 4]", "f32[4, 7]"])).is_err());
    }
}
