//! `mat_mul_bnb4`
use super::packed::{check_block, check_size};
use crate::builder::Builder;
use crate::dim::Dim;
use crate::dtype::{DType, DTypeSet};
use crate::eval::{EvalCx, Value, one};
use crate::expand::Expanded;
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::kernel::gemm::{Matrix, Output, gemm};
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::{Compute, count, zeros};
use crate::ops::linear::mat_mul::product_macs;
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

const REALS: DTypeSet = DTypeSet::of(&[DType::F32, DType::F16, DType::BF16]);
const PACKED: DTypeSet = DTypeSet::of(&[DType::U8]);

/// Magnitudes of the 4-bit float: sign in the highest bit.
const FP4: [f32; 8] = [0.0, 0.005_208_333_5, 0.666_666_7, 1.0, 0.333_333_34, 0.5, 0.166_666_67, 0.25];
/// Quantiles of the normal distribution, scaled to -1 to 1.
const NF4: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

crate::op! {
    /// Matrix product of `a` and the transpose of `n x k` weights in `f32`. Weights are codes of 4 bits, two per byte, the first in the
    /// high half, in row-major order; each block of `block_size` codes, over row ends, has its factor in `absmax`. Codes stand for 4-bit floats
    /// (`quant_type` 0: magnitudes 0, 1/192, 2/3, 1, 1/3, 1/2, 1/6, 1/4, and their negatives) or for quantiles of the normal distribution
    /// (`quant_type` 1). ONNX Runtime calls `n`, `k` and `trans_b` `N`, `K` and `transB`.
    mat_mul_bnb4 MatMulBnb4(a: One<T1>, b: One<T2>, absmax: One<T1>) -> (y: One<T1>) {
        /// Rows of the weights, columns of the result.
        n: i64 = 0,
        /// Columns of the weights.
        k: i64 = 0,
        /// Codes that share a factor: a power of 2, 16 or larger.
        block_size: i64 = 0,
        /// Meaning of the codes: 0 or 1. There is no default: -1 is refused.
        quant_type: i64 = -1,
        /// Without effect on the result.
        training_mode: i64 = 0,
        /// Whether the weights are transposed; must be on.
        trans_b: bool = true,
    } where T1: REALS, T2: PACKED;
}

impl MatMulBnb4 {
    /// What the codes stand for.
    pub(super) fn table(&self) -> Result<[f32; 16], OpError> {
        match self.quant_type {
            0 => Ok(std::array::from_fn(|i| if i < 8 { FP4[i] } else { -FP4[i - 8] })),
            1 => Ok(NF4),
            other => Err(OpError::attr(format!("quant_type {other} must be 0 or 1"))),
        }
    }
    /// Rows, columns and block size.
    pub(super) fn sizes(&self) -> Result<(usize, usize, usize), OpError> {
        let (n, k, block) =
            (check_size("n", self.n)?, check_size("k", self.k)?, check_block(self.block_size)?);
        let fits =
            n.checked_mul(k).and_then(|v| v.checked_mul(4)).is_some_and(|v| isize::try_from(v).is_ok());
        if !fits {
            return Err(OpError::attr("the weights exceed the address space"));
        }
        if !self.trans_b {
            return Err(OpError::attr("weights that are not transposed (trans_b off) are for training only"));
        }
        Ok((n, k, block))
    }
    fn weights(&self, b: &Tensor, absmax: &Tensor) -> Result<Vec<f32>, OpError> {
        let ((n, k, block), table) = (self.sizes()?, self.table()?);
        let (bytes, factors) = (b.view::<u8>()?, absmax.to_f32s()?);
        if bytes.len() != (n * k).div_ceil(2) || factors.len() != (n * k).div_ceil(block) {
            let m = format!("{} bytes with {} factors are no {n} x {k} weights", bytes.len(), factors.len());
            return Err(OpError::shape(m));
        }
        let mut out = zeros::<f32>(n * k)?;
        for (i, o) in out.iter_mut().enumerate() {
            let byte = bytes[i / 2];
            let code = if i.is_multiple_of(2) { byte >> 4 } else { byte & 15 };
            *o = table[usize::from(code)] * factors[i / block];
        }
        Ok(out)
    }
}

impl Semantics for MatMulBnb4 {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        self.table()?;
        let (n, k, _) = self.sizes()?;
        let a = cx.tensor(0)?;
        let Some(shape) = &a.shape else { return Ok(vec![TensorType::unranked(a.dtype).into()]) };
        let Some((last, rest)) = shape.split_last() else {
            return Err(OpError::shape("a matrix product needs operands with at least one axis"));
        };
        if last.surely_differs(&Dim::from(k)) {
            return Err(OpError::shape(format!("a matrix product of inner sizes {last} and {k}")));
        }
        let out: Vec<Dim> = rest.iter().cloned().chain([Dim::from(n)]).collect();
        Ok(vec![TensorType::new(a.dtype, out).into()])
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
        super::block_expansions::mat_mul_bnb4(self, b, inputs)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (a, (n, k, _)) = (cx.tensor(0)?, self.sizes()?);
        let mut shape = a.shape()[..a.rank().saturating_sub(1)].to_vec();
        shape.push(n);
        let mut out = zeros::<f32>(count(&shape)?)?;
        let weights = self.weights(cx.tensor(1)?, cx.tensor(2)?)?;
        if !out.is_empty() {
            let data = a.to_f32s()?;
            let right = Matrix::row_major(&weights, n, k)?.transposed();
            gemm(1.0, Matrix::row_major(&data, data.len() / k, k)?, right, Output::Replace, &mut out)?;
        }
        one(<f32 as Compute>::tensor(a.dtype(), &shape, out)?)
    }
    fn macs(&self, inputs: &[Option<&Type>], outputs: &[&Type]) -> Option<u64> {
        product_macs(inputs.first().copied().flatten(), outputs.first().copied())
    }
}
