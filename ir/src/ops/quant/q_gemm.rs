//! `q_gemm`
use super::requantize::{Affine, Quantized, Scales, check_scalars, check_vectors, requantize, scale, scales};
use crate::builder::Builder;
use crate::dim::Dim;
use crate::dtype::{DType, DTypeSet, F32_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::expand::Expanded;
use crate::graph::ValueId;
use crate::infer::{InferCx, broadcast};
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::zeros;
use crate::ops::linear::gemm::spread;
use crate::ops::linear::mat_mul_integer::{BYTES, sums};
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

const ADDEND: DTypeSet = DTypeSet::of(&[DType::I32]);

crate::op! {
    /// Matrix product of quantized operands or their transposes, `c` added in wrapping 32-bit integers. With `sum` so computed and
    /// `factor = alpha * a_scale * b_scale`, the result is `sum * factor` as `f32`, or
    /// `saturate(round(sum * (factor / y_scale)) + y_zero_point)` where `y_scale` and `y_zero_point` are given; each step is rounded to `f32`.
    /// Scale and zero point of `b` are one for all or one per column. ONNX Runtime calls `trans_a` and `trans_b` `transA` and `transB`.
    q_gemm QGemm(
        a: One<TA>, a_scale: One<S>, a_zero_point: One<TA>, b: One<TB>, b_scale: One<S>, b_zero_point: One<TB>, c: Opt<TC>, y_scale: Opt<S>,
        y_zero_point: Opt<TY>,
    ) -> (y: One<TR>) {
        /// Factor of the product and of `c`.
        alpha: f32 = 1.0,
        /// Whether `a` is transposed.
        trans_a: bool = false,
        /// Whether `b` is transposed.
        trans_b: bool = false,
    } where TA: BYTES, TB: BYTES, TC: ADDEND, TY: BYTES, S: F32_ONLY;
}

fn matrix(cx: &InferCx<'_>, i: usize, transposed: bool) -> Result<(Dim, Dim), OpError> {
    match cx.shape(i)?.map(Vec::as_slice) {
        None => Ok((Dim::Unknown, Dim::Unknown)),
        Some([r, c]) => Ok(if transposed { (c.clone(), r.clone()) } else { (r.clone(), c.clone()) }),
        Some(s) => Err(OpError::shape(format!("q_gemm multiplies 2-d operands, one has {} axes", s.len()))),
    }
}

fn turned(t: &Tensor, transposed: bool) -> Result<Tensor, OpError> {
    if t.rank() != 2 {
        return Err(OpError::shape("q_gemm multiplies 2-d operands"));
    }
    Ok(if transposed { t.permute(&[1, 0])?.materialize()? } else { t.clone() })
}

/// A product before scaling: sums, columns and the factor of each column.
struct Product {
    shape: Vec<usize>,
    sums: Vec<i32>,
    factors: Vec<f32>,
}

impl Product {
    fn columns(&self) -> usize {
        self.shape[1].max(1)
    }
    fn quantized<Q: Quantized>(mut self, to: Affine) -> Result<Tensor, OpError> {
        self.factors.iter_mut().for_each(|f| *f /= to.scale);
        let n = self.columns();
        let factors = match self.factors.as_slice() {
            [one] => Scales::One(*one),
            all => Scales::Each(all),
        };
        let mut out = zeros::<Q>(self.sums.len())?;
        for (out, sums) in out.chunks_mut(n).zip(self.sums.chunks(n)) {
            requantize(sums, 0, factors, to.zero as f32, out);
        }
        Ok(Tensor::from_vec(&self.shape, out))
    }
    fn reals(self) -> Tensor {
        let n = self.columns();
        let factor = |i: usize| self.factors[if self.factors.len() == 1 { 0 } else { i % n }];
        let values = self.sums.iter().enumerate().map(|(i, s)| *s as f32 * factor(i)).collect();
        Tensor::from_vec::<f32>(&self.shape, values)
    }
}

impl Semantics for QGemm {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let ((m, k), (k_b, n)) = (matrix(cx, 0, self.trans_a)?, matrix(cx, 3, self.trans_b)?);
        if k.surely_differs(&k_b) {
            return Err(OpError::shape(format!("a matrix product of inner sizes {k} and {k_b}")));
        }
        check_scalars(cx, &[1, 2, 7, 8])?;
        check_vectors(cx, &[4, 5], &n)?;
        if cx.has(7) != cx.has(8) {
            return Err(OpError::operand("y_scale and y_zero_point come together"));
        }
        let shape = vec![m, n];
        if cx.has(6)
            && let Some(c) = cx.shape(6)?
        {
            let both = broadcast(c, &shape)?;
            if both.len() != 2 || both.iter().zip(&shape).any(|(a, b)| a.surely_differs(b)) {
                return Err(OpError::shape("the addend does not stretch to the product"));
            }
        }
        let dtype = if cx.has(8) { cx.dtype(8)? } else { DType::F32 };
        Ok(vec![TensorType::new(dtype, shape).into()])
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
        super::products::q_gemm(self, b, inputs)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (a, b) = (turned(cx.tensor(0)?, self.trans_a)?, turned(cx.tensor(3)?, self.trans_b)?);
        let n = b.shape()[1];
        let a_factor = self.alpha * scale(&cx, 1)?;
        let factors: Vec<f32> = scales(&cx, 4, n)?.iter().map(|s| a_factor * s).collect();
        let (plan, mut sums) = sums(&a, &b, cx.opt(2)?, cx.opt(5)?)?;
        if let Some(c) = cx.opt(6)? {
            let mut addend = zeros::<i32>(sums.len())?;
            spread(&c.view::<i32>()?, c.shape(), n, &mut addend, |v| v)?;
            sums.iter_mut().zip(addend).for_each(|(s, c)| *s = s.wrapping_add(c));
        }
        let product = Product { shape: plan.shape, sums, factors };
        one(match cx.opt(8)?.map(Tensor::dtype) {
            None => product.reals(),
            Some(DType::I8) => product.quantized::<i8>(Affine::of(&cx, 7)?)?,
            Some(_) => product.quantized::<u8>(Affine::of(&cx, 7)?)?,
        })
    }
    fn macs(&self, inputs: &[Option<&Type>], outputs: &[&Type]) -> Option<u64> {
        let a = inputs.first().copied().flatten()?.as_tensor()?.sizes()?;
        let y = outputs.first()?.as_tensor()?.sizes()?;
        let k = *a.get(usize::from(!self.trans_a))? as u64;
        y.iter().try_fold(k, |n, d| n.checked_mul(*d as u64))
    }
}
