//! `mat_mul_n_bits`
use super::packed::{check_bits, check_block, check_size, value};
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
use crate::tensor::convert::Wide;
use crate::types::{TensorType, Type};
use rayon::prelude::*;

const REALS: DTypeSet = DTypeSet::of(&[DType::F32, DType::F16, DType::BF16]);
const PACKED: DTypeSet = DTypeSet::of(&[DType::U8]);
const POINTS: DTypeSet = REALS.or(PACKED);
const INDICES: DTypeSet = DTypeSet::of(&[DType::I32]);
/// Columns of the result that are dequantized at a time.
const PANEL: usize = 512;

crate::op! {
    /// Matrix product of `a` and the transpose of the `n x k` weights `(b - zero_points) * scales`, plus `bias`, in `f32`. Weights are `bits`
    /// wide, low bits of a byte first, in blocks of `block_size` of each row: `b` is `[n, k_blocks, block_size * bits / 8]`, scales are
    /// `[n, k_blocks]`; zero points are packed like weights, each row from a byte boundary on, or of the type of `a`, and default to half
    /// the range. `g_idx` names the block of each column instead; with packed zero points it has no agreed meaning and is refused. Where `b` is
    /// empty, so is the sum. What `accuracy_level` allows ONNX Runtime to round in between is not done: the result is that of `f32`.
    /// ONNX Runtime calls `n` and `k` `N` and `K`.
    mat_mul_n_bits MatMulNBits(
        a: One<T1>, b: One<T2>, scales: One<T1>, zero_points: Opt<T3>, g_idx: Opt<T4>, bias: Opt<T1>,
    ) -> (y: One<T1>) {
        /// Rows of the weights, columns of the result.
        n: i64 = 0,
        /// Columns of the weights.
        k: i64 = 0,
        /// Width of a weight: 2, 4 or 8.
        bits: i64 = 4,
        /// Columns that share a scale: a power of 2, 16 or larger.
        block_size: i64 = 0,
        /// Least accuracy of `a` in ONNX Runtime's computation; without effect on the meaning.
        accuracy_level: i64 = 0,
        /// Whether `b` is in a layout of one of ONNX Runtime's devices; must be 0.
        weight_prepacked: i64 = 0,
    } where T1: REALS, T2: PACKED, T3: POINTS, T4: INDICES;
}

/// Sizes from the attributes.
#[derive(Clone, Copy)]
struct Sizes {
    n: usize,
    k: usize,
    bits: usize,
    block: usize,
    blocks: usize,
}

impl Sizes {
    /// Bytes of a block.
    fn blob(&self) -> usize {
        self.block * self.bits / 8
    }
    /// Bytes of a row of packed zero points.
    fn points(&self) -> Result<usize, OpError> {
        let bits = self.blocks.checked_mul(self.bits).ok_or_else(too_large)?;
        Ok(bits.div_ceil(8))
    }
}

fn too_large() -> OpError {
    OpError::attr("the weights exceed the address space")
}

/// Where the zero points are.
enum Points<'a> {
    Default,
    Packed(&'a [u8], usize),
    Reals(&'a [f32]),
}

/// Weights to be dequantized.
struct Weights<'a> {
    sizes: Sizes,
    b: &'a [u8],
    scales: &'a [f32],
    points: Points<'a>,
    groups: Option<&'a [i32]>,
}

impl Weights<'_> {
    fn point(&self, row: usize, block: usize) -> f32 {
        match self.points {
            Points::Default => f32::from(1u8 << (self.sizes.bits - 1)),
            Points::Packed(bytes, stride) => f32::from(value(&bytes[row * stride..], self.sizes.bits, block)),
            Points::Reals(all) => all[row * self.sizes.blocks + block],
        }
    }
    /// Row `row` as `f32`.
    fn row(&self, row: usize, out: &mut [f32]) {
        let Sizes { bits, block, blocks, .. } = self.sizes;
        let bytes = &self.b[row * blocks * self.sizes.blob()..];
        if let Some(groups) = self.groups {
            for (i, o) in out.iter_mut().enumerate() {
                let g = groups[i] as usize;
                *o = (f32::from(value(bytes, bits, i)) - self.point(row, g)) * self.scales[row * blocks + g];
            }
            return;
        }
        for (g, part) in out.chunks_mut(block).enumerate() {
            let (scale, point) = (self.scales[row * blocks + g], self.point(row, g));
            let bytes = &bytes[g * self.sizes.blob()..];
            part.iter_mut()
                .enumerate()
                .for_each(|(i, o)| *o = (f32::from(value(bytes, bits, i)) - point) * scale);
        }
    }
}

fn expect(what: &str, t: &Tensor, len: usize) -> Result<(), OpError> {
    if t.len() == len {
        Ok(())
    } else {
        Err(OpError::shape(format!("{what} has {} elements, not {len}", t.len())))
    }
}

impl MatMulNBits {
    fn sizes(&self) -> Result<Sizes, OpError> {
        let (bits, block) = (check_bits(self.bits)?, check_block(self.block_size)?);
        let (n, k) = (check_size("n", self.n)?, check_size("k", self.k)?);
        if self.weight_prepacked != 0 {
            return Err(OpError::attr(
                "weights in the layout of a device (weight_prepacked) have no meaning elsewhere",
            ));
        }
        let blocks = k.div_ceil(block);
        let all = blocks.checked_mul(block).and_then(|row| row.checked_mul(n));
        all.and_then(|a| a.checked_mul(8)).ok_or_else(too_large)?;
        Ok(Sizes { n, k, bits, block, blocks })
    }
    fn product(&self, cx: &EvalCx<'_>, out: &mut [f32]) -> Result<(), OpError> {
        let s = self.sizes()?;
        let b = cx.tensor(1)?;
        expect("b", b, s.n * s.blocks * s.blob())?;
        expect("scales", cx.tensor(2)?, s.n * s.blocks)?;
        let bytes = b.view::<u8>()?;
        let scales = cx.tensor(2)?.to_f32s()?;
        let zero = cx.opt(3)?;
        let packed = zero.filter(|z| z.dtype() == DType::U8).map(Tensor::view::<u8>).transpose()?;
        let reals = zero.filter(|z| z.dtype() != DType::U8).map(Tensor::to_f32s).transpose()?;
        let points = match (&packed, &reals) {
            (Some(p), _) => Points::Packed(p, s.points()?),
            (_, Some(r)) => Points::Reals(r),
            _ => Points::Default,
        };
        match (zero, &points) {
            (Some(z), Points::Packed(_, stride)) => expect("zero_points", z, s.n * stride)?,
            (Some(z), _) => expect("zero_points", z, s.n * s.blocks)?,
            _ => {}
        }
        let groups = cx.opt(4)?.map(Tensor::view::<i32>).transpose()?;
        if let Some(g) = &groups {
            let named = |v: &i32| usize::try_from(*v).is_ok_and(|v| v < s.blocks);
            if g.len() != s.k || !g.iter().all(named) {
                return Err(OpError::eval("g_idx does not name a block for each column"));
            }
        }
        let weights = Weights { sizes: s, b: &bytes, scales: &scales, points, groups: groups.as_deref() };
        multiply(&weights, &cx.tensor(0)?.to_f32s()?, out)
    }
}

/// `out += a * weights'`, a panel of columns at a time.
fn multiply(weights: &Weights<'_>, a: &[f32], out: &mut [f32]) -> Result<(), OpError> {
    let Sizes { n, k, .. } = weights.sizes;
    let m = a.len() / k;
    let mut panel = zeros::<f32>(n.min(PANEL) * k)?;
    let mut part = zeros::<f32>(n.min(PANEL) * m)?;
    for first in (0..n).step_by(PANEL) {
        let columns = PANEL.min(n - first);
        let panel = &mut panel[..columns * k];
        panel.par_chunks_mut(k).enumerate().for_each(|(i, row)| weights.row(first + i, row));
        let part = &mut part[..columns * m];
        let right = Matrix::row_major(panel, columns, k)?.transposed();
        gemm(1.0, Matrix::row_major(a, m, k)?, right, Output::Replace, part)?;
        for (line, source) in out.chunks_mut(n).zip(part.chunks(columns)) {
            line[first..first + columns].iter_mut().zip(source).for_each(|(o, v)| *o += v);
        }
    }
    Ok(())
}

impl Semantics for MatMulNBits {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let s = self.sizes()?;
        if cx.has(4) && cx.has(3) && cx.dtype(3)? == DType::U8 {
            return Err(OpError::operand("g_idx together with packed zero points has no agreed meaning"));
        }
        if cx.has(5)
            && let Some(bias) = cx.shape(5)?
            && (bias.len() != 1 || bias[0].surely_differs(&Dim::from(s.n)))
        {
            return Err(OpError::shape(format!("the bias is not one number for each of {} columns", s.n)));
        }
        let a = cx.tensor(0)?;
        let Some(shape) = &a.shape else { return Ok(vec![TensorType::unranked(a.dtype).into()]) };
        let (Some(last), rest) = (shape.last(), shape.len().saturating_sub(1)) else {
            return Err(OpError::shape("a matrix product needs operands with at least one axis"));
        };
        if last.surely_differs(&Dim::from(s.k)) {
            return Err(OpError::shape(format!("a matrix product of inner sizes {last} and {}", s.k)));
        }
        let mut out = shape[..rest].to_vec();
        out.push(Dim::from(s.n));
        Ok(vec![TensorType::new(a.dtype, out).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (a, s) = (cx.tensor(0)?, self.sizes()?);
        let mut shape = a.shape()[..a.rank().saturating_sub(1)].to_vec();
        shape.push(s.n);
        let mut out = zeros::<f32>(count(&shape)?)?;
        if !out.is_empty() && !cx.tensor(1)?.is_empty() {
            self.product(&cx, &mut out)?;
        }
        if let Some(bias) = cx.opt(5)? {
            expect("bias", bias, s.n)?;
            let bias = bias.to_f32s()?;
            out.chunks_mut(s.n).for_each(|line| line.iter_mut().zip(&*bias).for_each(|(o, b)| *o += b));
        }
        one(<f32 as Compute>::tensor(a.dtype(), &shape, out)?)
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
        super::block_expansions::mat_mul_n_bits(self, b, inputs)
    }
    fn macs(&self, inputs: &[Option<&Type>], outputs: &[&Type]) -> Option<u64> {
        product_macs(inputs.first().copied().flatten(), outputs.first().copied())
    }
}

impl MatMulNBits {
    /// Weights, zero points and scales as `dequantize_linear` takes them.
    pub(super) fn standard(
        &self,
        b: &Tensor,
        scales: &Tensor,
        zero: Option<&Tensor>,
    ) -> Option<(Tensor, Tensor, Tensor)> {
        let s = self.sizes().ok()?;
        let dtype = [DType::U2, DType::U4, DType::U8][s.bits.ilog2() as usize - 1];
        let weights =
            Tensor::from_bytes(dtype, &[s.n, s.blocks * s.block], b.to_shared_bytes().ok()?, None).ok()?;
        let shape = [s.n, s.blocks];
        let points: Vec<i64> = match zero {
            None => vec![1 << (s.bits - 1); s.n.checked_mul(s.blocks)?],
            Some(z) => {
                let (bytes, stride) = (z.view::<u8>().ok()?, s.points().ok()?);
                if bytes.len() != s.n.checked_mul(stride)? {
                    return None;
                }
                let rows = bytes.chunks(stride);
                rows.flat_map(|row| (0..s.blocks).map(|i| i64::from(value(row, s.bits, i)))).collect()
            }
        };
        let points = Tensor::from_wide(dtype, &shape, &Wide::I64(points), true).ok()?;
        Some((weights, points, scales.reshape(&shape).ok()?))
    }
}
