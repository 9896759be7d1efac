//! `mat_mul_integer`
use super::compute::{count, zeros};
use super::mat_mul::{Plan, product_macs, product_type};
use crate::dtype::{DType, DTypeSet};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::kernel::gemm::Matrix;
use crate::kernel::integer::{Byte, matmul_integer};
use crate::op::{OpError, Semantics};
use crate::tensor::Tensor;
use crate::types::Type;

/// Types of quantized operands.
pub(crate) const BYTES: DTypeSet = DTypeSet::of(&[DType::I8, DType::U8]);

crate::op! {
    /// Matrix product of `a - a_zero_point` and `b - b_zero_point` in wrapping 32-bit integers, shapes as for `mat_mul`. A
    /// zero point is one for all, or one per row of `a` and per column of `b`: 1-d, or of the operand's shape with
    /// size 1 for the summed axis.
    mat_mul_integer MatMulInteger(a: One<A>, b: One<B>, a_zero_point: Opt<A>, b_zero_point: Opt<B>) -> (y: One<Y>) {}
    where A: BYTES, B: BYTES;
}

/// A byte operand as it is stored: signed or not.
pub(crate) enum Bytes<'a> {
    /// `i8`.
    Signed(std::borrow::Cow<'a, [i8]>),
    /// `u8`.
    Unsigned(std::borrow::Cow<'a, [u8]>),
}

impl<'a> Bytes<'a> {
    /// Elements of an `i8` or `u8` tensor.
    pub fn of(t: &'a Tensor) -> Result<Self, OpError> {
        Ok(if t.dtype() == DType::I8 { Self::Signed(t.view()?) } else { Self::Unsigned(t.view()?) })
    }
}

/// Zero points of one operand by product: all of them, and how many each product takes.
fn points<B: Byte>(all: &[B], per: usize, product: usize) -> &[B] {
    if all.len() <= per || per == 0 {
        return all;
    }
    let at = product * per;
    all.get(at..at + per).unwrap_or(all)
}

fn multiply<A: Byte, B: Byte>(
    plan: &Plan,
    (a, a_zero): (&[A], &[A]),
    (b, b_zero): (&[B], &[B]),
    out: &mut [i32],
) -> Result<(), OpError> {
    let (m, k, n) = plan.mkn;
    let pairs = plan.a.iter().zip(&plan.b);
    for ((i, j), chunk) in pairs.zip(out.chunks_mut((m * n).max(1))) {
        let left = Matrix::new(&a[*i..], (m, k), (k, 1))?;
        let right = Matrix::new(&b[*j..], (k, n), (n, 1))?;
        let (row, col) = (i / (m * k).max(1), j / (k * n).max(1));
        matmul_integer(left, points(a_zero, m, row), right, points(b_zero, n, col), chunk)?;
    }
    Ok(())
}

/// Refuses zero points that are neither one for all nor one per row or column (`kept` of them per matrix).
fn check_points(zero: Option<&Tensor>, operand: &Tensor, kept: usize) -> Result<(), OpError> {
    let Some(z) = zero else { return Ok(()) };
    let matrices = operand.shape()[..operand.rank().saturating_sub(2)].iter().product::<usize>();
    if z.len() == 1 || z.len() == kept || Some(z.len()) == kept.checked_mul(matrices) {
        return Ok(());
    }
    let m = format!("zero points {:?} do not fit the operand {:?}", z.shape(), operand.shape());
    Err(OpError::shape(m))
}

/// Sums of products of `a - a_zero` and `b - b_zero`, and where they lie.
pub(crate) fn sums(
    a: &Tensor,
    b: &Tensor,
    a_zero: Option<&Tensor>,
    b_zero: Option<&Tensor>,
) -> Result<(Plan, Vec<i32>), OpError> {
    use Bytes::{Signed as S, Unsigned as U};
    let plan = Plan::new(a.shape(), b.shape())?;
    check_points(a_zero, a, plan.mkn.0)?;
    check_points(b_zero, b, plan.mkn.2)?;
    let mut out = zeros::<i32>(count(&plan.shape)?)?;
    let (za, zb) = (zero_points(a_zero, a.dtype()), zero_points(b_zero, b.dtype()));
    match &(Bytes::of(a)?, Bytes::of(&za)?, Bytes::of(b)?, Bytes::of(&zb)?) {
        (S(a), S(za), S(b), S(zb)) => multiply(&plan, (a, za), (b, zb), &mut out)?,
        (S(a), S(za), U(b), U(zb)) => multiply(&plan, (a, za), (b, zb), &mut out)?,
        (U(a), U(za), S(b), S(zb)) => multiply(&plan, (a, za), (b, zb), &mut out)?,
        (U(a), U(za), U(b), U(zb)) => multiply(&plan, (a, za), (b, zb), &mut out)?,
        _ => return Err(OpError::operand("a zero point has the element type of its operand")),
    }
    Ok((plan, out))
}

/// Zero points; none of `dtype` when they are absent.
pub(crate) fn zero_points(t: Option<&Tensor>, dtype: DType) -> Tensor {
    t.cloned().unwrap_or_else(|| {
        if dtype == DType::I8 {
            Tensor::from_vec::<i8>(&[0], vec![])
        } else {
            Tensor::from_vec::<u8>(&[0], vec![])
        }
    })
}

impl Semantics for MatMulInteger {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        Ok(vec![product_type(cx, DType::I32)?])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (plan, out) = sums(cx.tensor(0)?, cx.tensor(1)?, cx.opt(2)?, cx.opt(3)?)?;
        one(Tensor::from_vec(&plan.shape, out))
    }
    fn macs(&self, inputs: &[Option<&Type>], outputs: &[&Type]) -> Option<u64> {
        product_macs(inputs.first().copied().flatten(), outputs.first().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::eval;

    #[test]
    fn zero_points_of_rows_and_columns() {
        let a = Tensor::from_vec(&[2, 2], vec![11u8, 7, 3, 10]);
        let b = Tensor::from_vec(&[2, 2], vec![1i8, -4, 2, 5]);
        let za = Tensor::from_vec(&[], vec![12u8]);
        let y = eval(&MatMulInteger {}, &[Some(&a), Some(&b), Some(&za), None]).expect("fits");
        assert_eq!(y[0], Tensor::from_vec(&[2, 2], vec![-11i32, -21, -13, 26]));
        let (za, zb) = (Tensor::from_vec(&[2], vec![12u8, 0]), Tensor::from_vec(&[2], vec![1i8, 0]));
        let y = eval(&MatMulInteger {}, &[Some(&a), Some(&b), Some(&za), Some(&zb)]).expect("fits");
        assert_eq!(y[0], Tensor::from_vec(&[2, 2], vec![-5i32, -21, 10, 38]));
        let bad = Tensor::from_vec(&[3], vec![0i8; 3]);
        assert!(eval(&MatMulInteger {}, &[Some(&a), Some(&b), None, Some(&bad)]).is_err());
    }
}
