//! `mat_mul`
use super::compute::{Compute, count, zeros};
use super::ints::{int_tensor, multiply_ints};
use crate::dim::Dim;
use crate::dtype::{DType, NUMERIC};
use crate::eval::{EvalCx, Value, one};
use crate::infer::{InferCx, broadcast};
use crate::kernel::gemm::{BatchOperand, Matrix, Output, batched_matmul, broadcast_offsets, gemm};
use crate::op::{OpError, Semantics};
use crate::tensor::Tensor;
use crate::types::{Shape, TensorType, Type};

crate::op! {
    /// Matrix product with numpy's rules: leading axes broadcast; a 1-d operand is a row (left) or a column (right) whose
    /// axis the result drops. Integers wrap. Wider than ONNX: 8- and 16-bit integers are allowed.
    mat_mul MatMul(a: One<T>, b: One<T>) -> (y: One<T>) {} where T: NUMERIC;
}

/// An operand's axes: leading ones, the one the result keeps (none for vectors), and the one that is summed.
struct Axes<'a> {
    batch: &'a [Dim],
    kept: Option<&'a Dim>,
    summed: &'a Dim,
}

fn axes(shape: &[Dim], left: bool) -> Result<Axes<'_>, OpError> {
    match shape {
        [] => Err(OpError::shape("a matrix product needs operands with at least one axis")),
        [k] => Ok(Axes { batch: &[], kept: None, summed: k }),
        [batch @ .., rows, cols] => {
            let (kept, summed) = if left { (rows, cols) } else { (cols, rows) };
            Ok(Axes { batch, kept: Some(kept), summed })
        }
    }
}

/// Shape of the product of operands of these shapes.
///
/// # Errors
/// For scalars, inner sizes that differ, and leading axes that do not broadcast.
pub(crate) fn product_shape(a: &[Dim], b: &[Dim]) -> Result<Shape, OpError> {
    let (a, b) = (axes(a, true)?, axes(b, false)?);
    if a.summed.surely_differs(b.summed) {
        return Err(OpError::shape(format!("a matrix product of inner sizes {} and {}", a.summed, b.summed)));
    }
    let mut shape = broadcast(a.batch, b.batch)?;
    shape.extend(a.kept.into_iter().chain(b.kept).cloned());
    Ok(shape)
}

/// Type of the product with elements `dtype`; of unknown rank when an operand's is.
pub(crate) fn product_type(cx: &InferCx<'_>, dtype: DType) -> Result<Type, OpError> {
    Ok(match (cx.shape(0)?, cx.shape(1)?) {
        (Some(a), Some(b)) => TensorType::new(dtype, product_shape(a, b)?).into(),
        _ => TensorType::unranked(dtype).into(),
    })
}

/// Multiply-accumulates of a product: elements of the result times the inner size.
pub(crate) fn product_macs(a: Option<&Type>, y: Option<&Type>) -> Option<u64> {
    let k = *a?.as_tensor()?.sizes()?.last()?;
    let outputs = y?.as_tensor()?.sizes()?;
    outputs.iter().try_fold(k as u64, |n, d| n.checked_mul(*d as u64))
}

/// Sizes of a concrete product.
pub(crate) struct Plan {
    /// Shape of the result.
    pub shape: Vec<usize>,
    /// Rows, inner size, columns of each product.
    pub mkn: (usize, usize, usize),
    /// Start of the left matrix of each product.
    pub a: Vec<usize>,
    /// Start of the right matrix of each product.
    pub b: Vec<usize>,
}

impl Plan {
    /// The plan for operands of these sizes.
    ///
    /// # Errors
    /// When they do not multiply.
    pub fn new(a: &[usize], b: &[usize]) -> Result<Self, OpError> {
        let dims = |s: &[usize]| s.iter().map(|n| Dim::from(*n)).collect::<Vec<_>>();
        let known = |d: &Dim| d.known().and_then(|n| usize::try_from(n).ok());
        let shape: Option<Vec<usize>> = product_shape(&dims(a), &dims(b))?.iter().map(known).collect();
        let shape = shape.ok_or_else(|| OpError::shape("a matrix product of unknown sizes"))?;
        let (m, k) = if let [.., m, k] = a { (*m, *k) } else { (1, a.iter().product()) };
        let n = if let [.., _, n] = b { *n } else { 1 };
        let lead = |s: &[usize]| s[..s.len().saturating_sub(2)].to_vec();
        let (lead_a, lead_b) = (lead(a), lead(b));
        let kept = usize::from(a.len() > 1) + usize::from(b.len() > 1);
        let mut plan = Self { mkn: (m, k, n), a: vec![], b: vec![], shape };
        if count(&plan.shape)? > 0 && k > 0 {
            let batch = &plan.shape[..plan.shape.len() - kept];
            plan.a = broadcast_offsets(&lead_a, batch, m * k)?;
            plan.b = broadcast_offsets(&lead_b, batch, k * n)?;
        }
        Ok(plan)
    }
    fn floats<T: Compute>(&self, a: &Tensor, b: &Tensor) -> Result<Tensor, OpError> {
        let (_, k, n) = self.mkn;
        let mut out = zeros::<T>(count(&self.shape)?)?;
        if !self.a.is_empty() {
            let (left, right) = (T::read(a)?, T::read(b)?);
            if let Some(packs) = b.packs()
                && b.rank() == 2
            {
                let left = Matrix::row_major(&left, out.len() / n, k)?;
                let right = Matrix::row_major(&right, k, n)?.kept_in(Some(packs));
                gemm(T::ONE, left, right, Output::Replace, &mut out)?;
                return Ok(T::tensor(a.dtype(), &self.shape, out)?);
            }
            let left = BatchOperand { data: &left, offsets: &self.a, row_stride: k, col_stride: 1 };
            let right = BatchOperand { data: &right, offsets: &self.b, row_stride: n, col_stride: 1 };
            batched_matmul(left, right, self.mkn, &mut out)?;
        }
        Ok(T::tensor(a.dtype(), &self.shape, out)?)
    }
    fn ints(&self, a: &Tensor, b: &Tensor) -> Result<Tensor, OpError> {
        let (m, _, n) = self.mkn;
        let mut out = zeros::<i64>(count(&self.shape)?)?;
        let (left, right) = (a.to_i64s()?, b.to_i64s()?);
        for ((chunk, i), j) in out.chunks_mut((m * n).max(1)).zip(&self.a).zip(&self.b) {
            multiply_ints(&left[*i..], &right[*j..], self.mkn, chunk);
        }
        int_tensor(a.dtype(), &self.shape, out)
    }
}

impl Semantics for MatMul {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        Ok(vec![product_type(cx, cx.dtype(0)?)?])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (a, b) = (cx.tensor(0)?, cx.tensor(1)?);
        let plan = Plan::new(a.shape(), b.shape())?;
        one(match a.dtype() {
            DType::F64 => plan.floats::<f64>(a, b)?,
            t if t.is_float() => plan.floats::<f32>(a, b)?,
            _ => plan.ints(a, b)?,
        })
    }
    fn macs(&self, inputs: &[Option<&Type>], outputs: &[&Type]) -> Option<u64> {
        product_macs(inputs.first().copied().flatten(), outputs.first().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{eval, f32s, infer, shapes};

    #[test]
    fn vectors_and_batches() {
        let a = f32s(&[2, 1, 2], &[1., 2., 3., 4.]);
        let b = f32s(&[3, 2, 1], &[1., 1., 2., 0., 0., 1.]);
        let y = eval(&MatMul {}, &[Some(&a), Some(&b)]);
        assert!(y.is_err(), "2 and 3 do not broadcast");
        let y = eval(&MatMul {}, &[Some(&a.reshape(&[2, 1, 1, 2]).expect("4")), Some(&b)]).expect("fits");
        assert_eq!(y[0], f32s(&[2, 3, 1, 1], &[3., 2., 2., 7., 6., 4.]));
        let v = f32s(&[2], &[5., 7.]);
        assert_eq!(eval(&MatMul {}, &[Some(&v), Some(&b)]).expect("row")[0], f32s(&[3, 1], &[12., 10., 7.]));
        assert_eq!(eval(&MatMul {}, &[Some(&v), Some(&v)]).expect("dot")[0], f32s(&[], &[74.]));
    }

    #[test]
    fn integers_wrap_and_empty_sums_are_zero() {
        let a = Tensor::from_vec(&[1, 2], vec![i32::MAX, 1]);
        let b = Tensor::from_vec(&[2, 1], vec![2, 3]);
        assert_eq!(
            eval(&MatMul {}, &[Some(&a), Some(&b)]).expect("fits")[0],
            Tensor::from_vec(&[1, 1], vec![1i32])
        );
        let (a, b) = (f32s(&[2, 0], &[]), f32s(&[0, 2], &[]));
        assert_eq!(eval(&MatMul {}, &[Some(&a), Some(&b)]).expect("fits")[0], f32s(&[2, 2], &[0.; 4]));
        let huge = f32s(&[usize::MAX, 0, 3], &[]);
        let y = eval(&MatMul {}, &[Some(&huge), Some(&f32s(&[3, 2], &[0.; 6]))]).expect("fits");
        assert_eq!(y[0].shape(), [usize::MAX, 0, 2]);
    }

    #[test]
    fn symbols_pass_through() {
        let t = infer(&MatMul {}, &shapes(&["f32[N, 4, K]", "f32[K, 5]"])).expect("fits");
        assert_eq!(t[0].to_string(), "f32[N, 4, 5]");
        assert!(infer(&MatMul {}, &shapes(&["f32[2, 3]", "f32[4, 5]"])).is_err());
        assert!(infer(&MatMul {}, &shapes(&["f32[]", "f32[4, 5]"])).is_err());
    }
}
