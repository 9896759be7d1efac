//! Expansions of products of quantized operands.
use super::dequantize_linear::DequantizeLinear;
use super::dynamic_quantize_linear::DynamicQuantizeLinear;
use super::q_gemm::QGemm;
use super::q_linear_conv::QLinearConv;
use super::steps::{Steps, along, makes_ties, numbers, over, single, times};
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dtype::DType;
use crate::expand::{Expanded, dtype_of, narrowed, operand, rank_of};
use crate::graph::ValueId;
use crate::ops::elementwise::arithmetic::{Add, Mul, Sub};
use crate::ops::linear::mat_mul::MatMul;
use crate::ops::linear::mat_mul_integer::MatMulInteger;
use crate::ops::movement::transpose::Transpose;
use crate::ops::spatial::conv::Conv;
use crate::ops::spatial::conv_integer::{ConvInteger, sums_fit_f32};
use crate::ops::words::Layout;

/// Integer operators of formats may round a sum times its factor to parts of a step first; there are at least half as many as the reciprocal
/// of the factor.
const MOST_FACTOR: f32 = 1.0 / 64.0;

/// Weights with one scale, or one for each position of an axis.
#[derive(Clone, Copy)]
pub(super) struct Weights {
    q: ValueId,
    scale: ValueId,
    zero: Option<ValueId>,
    axis: usize,
}

/// What a product takes and makes.
pub(super) struct Product {
    x: ValueId,
    from: Steps,
    w: Weights,
    to: Steps,
    dtype: DType,
}

impl Weights {
    /// Operands `i` to `i + 2`; scales and zero points of one number lose their axes.
    fn of(b: &mut Builder<'_>, inputs: &[Option<ValueId>], i: usize, axis: usize) -> Result<Self, Diag> {
        let q = operand(inputs, i)?;
        let scale = operand(inputs, i + 1)?;
        let scale = along(b, scale, 0)?;
        let zero = inputs.get(i + 2).copied().flatten().map(|z| along(b, z, 0)).transpose()?;
        Ok(Self { q, scale, zero, axis })
    }
    /// Whether zero points are surely zero.
    fn is_symmetric(&self, b: &Builder<'_>) -> bool {
        self.zero.is_none_or(|z| numbers(b, z).is_some_and(|z| z.iter().all(|z| *z == 0.0)))
    }
    fn real(&self, b: &mut Builder<'_>) -> Result<ValueId, Diag> {
        let op = DequantizeLinear { axis: self.axis as i64, ..DequantizeLinear::default() };
        if self.is_symmetric(b) {
            return b.dequantize_linear(op, self.q, self.scale, None);
        }
        if self.zero.is_none_or(|z| rank_of(b, z) == rank_of(b, self.scale)) {
            return b.dequantize_linear(op, self.q, self.scale, self.zero);
        }
        let after = rank_of(b, self.q).map_or(0, |r| r.saturating_sub(self.axis + 1));
        let mut v = narrowed(b, self.q, DType::F32)?;
        if let Some(z) = self.zero {
            let z = narrowed(b, z, DType::F32)?;
            let z = along(b, z, after)?;
            v = b.sub(Sub {}, v, z)?;
        }
        let scale = along(b, self.scale, after)?;
        b.mul(Mul {}, v, scale)
    }
}

impl Product {
    /// Whether formats have integer operators for it, and these round as it does but for sums that are all but ties.
    fn has_kernel(&self, b: &Builder<'_>) -> bool {
        let (Some(from), Some(to)) = (self.from.constant(b), self.to.constant(b)) else { return false };
        let scales = numbers(b, self.w.scale).unwrap_or_default();
        let usable = |s: &f32| {
            let factor = from.scale * s / to.scale;
            s.is_finite() && *s > 0.0 && factor <= MOST_FACTOR && !makes_ties(factor)
        };
        if scales.is_empty() || !scales.iter().all(usable) || b.graph().constant(self.w.q).is_none() {
            return false;
        }
        let (x, w) = (dtype_of(b, self.x), dtype_of(b, self.w.q));
        let alike = match (x, w) {
            (Some(DType::I8), Some(DType::I8)) => self.w.is_symmetric(b),
            // What is made and used inside of the model may become signed.
            (Some(DType::U8), Some(DType::I8)) => {
                self.w.is_symmetric(b) && b.graph().producer(self.x).is_some()
            }
            _ => false,
        };
        alike && x == Some(self.dtype)
    }
    /// Factor of a sum of products of integers in the result.
    fn factor(&self, b: &mut Builder<'_>) -> Result<ValueId, Diag> {
        let scale = times(b, self.from.scale, self.w.scale)?;
        over(b, scale, self.to.scale)
    }
    /// A constant or computed number of integer steps of the product as what it stands for.
    fn addend(&self, b: &mut Builder<'_>, c: ValueId) -> Result<ValueId, Diag> {
        let scale = times(b, self.from.scale, self.w.scale)?;
        let known = b.graph().constant(c).and_then(|t| t.cast(DType::F32, false).ok());
        let c = match known {
            Some(t) => b.constant(t),
            None => narrowed(b, c, DType::F32)?,
        };
        times(b, c, scale)
    }
}

/// Expansion of `q_linear_conv`.
pub(super) fn q_linear_conv(op: &QLinearConv, b: &mut Builder<'_>, inputs: &[Option<ValueId>]) -> Expanded {
    let (from, w, to) = (Steps::of(b, inputs, 1)?, Weights::of(b, inputs, 3, 0)?, Steps::of(b, inputs, 6)?);
    let (Some(dtype), Some(rank)) = (to.zero.and_then(|z| dtype_of(b, z)), rank_of(b, w.q)) else {
        return Ok(None);
    };
    let p = Product { x: operand(inputs, 0)?, from, w, to, dtype };
    let bias = inputs.get(8).copied().flatten();
    // Other sums are of parts, of which single precision holds each.
    let exact = op.group == 1 || sums_fit_f32(b.graph(), (p.x, from.zero), (w.q, w.zero));
    if p.has_kernel(b) || !exact {
        let (x, w) = (from.real(b, p.x)?, w.real(b)?);
        let bias = bias.map(|c| p.addend(b, c)).transpose()?;
        let y = b.conv(float_conv(op), x, w, bias)?;
        return Ok(Some(vec![to.stored(b, y, dtype)?]));
    }
    let after = if op.layout == Layout::ChannelsFirst { rank.saturating_sub(2) } else { 0 };
    let mut sums = b.conv_integer(integer_conv(op), p.x, w.q, from.zero, w.zero)?;
    if let Some(bias) = bias {
        let bias = along(b, bias, after)?;
        sums = b.plus(Add {}, sums, bias)?;
    }
    let sums = narrowed(b, sums, DType::F32)?;
    let factor = p.factor(b)?;
    let factor = along(b, factor, after)?;
    let real = b.mul(Mul {}, sums, factor)?;
    Ok(Some(vec![to.rounded(b, real, dtype)?]))
}

fn float_conv(op: &QLinearConv) -> Conv {
    Conv {
        auto_pad: op.auto_pad,
        dilations: op.dilations.clone(),
        group: op.group,
        kernel_shape: op.kernel_shape.clone(),
        pads: op.pads.clone(),
        strides: op.strides.clone(),
        layout: op.layout,
    }
}

fn integer_conv(op: &QLinearConv) -> ConvInteger {
    ConvInteger {
        auto_pad: op.auto_pad,
        dilations: op.dilations.clone(),
        group: op.group,
        kernel_shape: op.kernel_shape.clone(),
        pads: op.pads.clone(),
        strides: op.strides.clone(),
        layout: op.layout,
    }
}

/// A product with constant weights between `dequantize_linear` and `quantize_linear`, where that can become an integer operator.
pub(super) fn connected(
    b: &mut Builder<'_>,
    p: &Product,
    trans_w: bool,
    c: Option<ValueId>,
) -> Result<Option<ValueId>, Diag> {
    let flat = rank_of(b, p.w.q) == Some(2) && rank_of(b, p.x).is_some_and(|r| r >= 2);
    let line = |c: ValueId| b.graph().constant(c).is_some_and(|t| t.rank() == 1);
    if !flat || !c.is_none_or(line) || !p.has_kernel(b) {
        return Ok(None);
    }
    let (x, mut w) = (p.from.real(b, p.x)?, p.w.real(b)?);
    if trans_w {
        w = turned(b, w)?;
    }
    let mut y = b.mat_mul(MatMul {}, x, w)?;
    if let Some(c) = c {
        let c = p.addend(b, c)?;
        y = b.plus(Add {}, y, c)?;
    }
    p.to.stored(b, y, p.dtype).map(Some)
}

/// `q_linear_mat_mul` with one scale for all rows, where it can become an integer operator.
pub(super) fn mat_mul(b: &mut Builder<'_>, inputs: &[Option<ValueId>]) -> Result<Option<ValueId>, Diag> {
    for i in [1, 2, 6, 7] {
        let parameter = operand(inputs, i)?;
        if !b
            .graph()
            .constant(parameter)
            .is_some_and(|t| t.len() == 1 && t.dtype() != DType::F16 && t.dtype() != DType::BF16)
        {
            return Ok(None);
        }
    }
    let (from, to) = (Steps::of(b, inputs, 1)?, Steps::of(b, inputs, 6)?);
    let w = Weights::of(b, inputs, 3, 1)?;
    let Some(dtype) = to.zero.and_then(|z| dtype_of(b, z)) else { return Ok(None) };
    if dtype_of(b, w.scale) != Some(DType::F32) || rank_of(b, w.scale).is_none_or(|r| r > 1) {
        return Ok(None);
    }
    connected(b, &Product { x: operand(inputs, 0)?, from, w, to, dtype }, false, None)
}

fn turned(b: &mut Builder<'_>, v: ValueId) -> Result<ValueId, Diag> {
    b.transpose(Transpose { perm: vec![1, 0] }, v)
}

/// Expansion of `q_gemm`.
pub(super) fn q_gemm(op: &QGemm, b: &mut Builder<'_>, inputs: &[Option<ValueId>]) -> Expanded {
    let (from, w) = (Steps::of(b, inputs, 1)?, Weights::of(b, inputs, 3, usize::from(!op.trans_b))?);
    let (mut x, c) = (operand(inputs, 0)?, inputs.get(6).copied().flatten());
    let quantized = inputs.get(8).copied().flatten().and_then(|z| dtype_of(b, z));
    let to = quantized.map(|_| Steps::of(b, inputs, 7)).transpose()?;
    if let (Some(to), Some(dtype), 1.0, false) = (to, quantized, op.alpha, op.trans_a)
        && let Some(y) = connected(b, &Product { x, from, w, to, dtype }, op.trans_b, c)?
    {
        return Ok(Some(vec![y]));
    }
    let mut q = w.q;
    if op.trans_a {
        x = turned(b, x)?;
    }
    if op.trans_b {
        q = turned(b, q)?;
    }
    let mut sums = b.mat_mul_integer(MatMulInteger {}, x, q, from.zero, w.zero)?;
    if let Some(c) = c {
        sums = b.plus(Add {}, sums, c)?;
    }
    let sums = narrowed(b, sums, DType::F32)?;
    let alpha = b.scalar(op.alpha);
    let factor = times(b, alpha, from.scale)?;
    let mut factor = times(b, factor, w.scale)?;
    if let Some(to) = to {
        factor = over(b, factor, to.scale)?;
    }
    let real = b.mul(Mul {}, sums, factor)?;
    Ok(Some(vec![match (to, quantized) {
        (Some(to), Some(dtype)) => to.rounded(b, real, dtype)?,
        _ => real,
    }]))
}

/// Matrices of bytes with what makes reals of their product.
struct ToFloat {
    a: ValueId,
    b: ValueId,
    a_scale: ValueId,
    b_scale: ValueId,
    a_zero: Option<ValueId>,
    b_zero: Option<ValueId>,
    bias: Option<ValueId>,
}

impl ToFloat {
    fn expand(&self, b: &mut Builder<'_>) -> Expanded {
        let a_zero = self.a_zero.map(|z| single(b, z)).transpose()?;
        let b_zero = self.b_zero.map(|z| along(b, z, 0)).transpose()?;
        let (a_scale, b_scale) = (single(b, self.a_scale)?, along(b, self.b_scale, 0)?);
        let sums = b.mat_mul_integer(MatMulInteger {}, self.a, self.b, a_zero, b_zero)?;
        let sums = narrowed(b, sums, DType::F32)?;
        let factor = times(b, b_scale, a_scale)?;
        let mut y = b.mul(Mul {}, sums, factor)?;
        if let Some(bias) = self.bias {
            let bias = along(b, bias, 0)?;
            y = b.plus(Add {}, y, bias)?;
        }
        Ok(Some(vec![y]))
    }
}

/// Expansion of `mat_mul_integer_to_float`.
pub(super) fn mat_mul_integer_to_float(b: &mut Builder<'_>, inputs: &[Option<ValueId>]) -> Expanded {
    let given = |i: usize| inputs.get(i).copied().flatten();
    let [a, w, a_scale, b_scale] = [0, 1, 2, 3].map(|i| operand(inputs, i));
    let product = ToFloat {
        a: a?,
        b: w?,
        a_scale: a_scale?,
        b_scale: b_scale?,
        a_zero: given(4),
        b_zero: given(5),
        bias: given(6),
    };
    product.expand(b)
}

/// Expansion of `dynamic_quantize_mat_mul`.
pub(super) fn dynamic_quantize_mat_mul(b: &mut Builder<'_>, inputs: &[Option<ValueId>]) -> Expanded {
    let given = |i: usize| inputs.get(i).copied().flatten();
    let (x, w, b_scale) = (operand(inputs, 0)?, operand(inputs, 1)?, operand(inputs, 2)?);
    let rounded = b.add_n(DynamicQuantizeLinear {}, &[Some(x)], 3)?;
    let &[a, a_scale, a_zero] = rounded.as_slice() else { return Ok(None) };
    let product =
        ToFloat { a, b: w, a_scale, b_scale, a_zero: Some(a_zero), b_zero: given(3), bias: given(4) };
    product.expand(b)
}

/// Expansion of `mat_mul_integer16`: products of 32-bit integers, which wrap alike.
pub(super) fn mat_mul_integer16(b: &mut Builder<'_>, inputs: &[Option<ValueId>]) -> Expanded {
    let (x, w) = (operand(inputs, 0)?, operand(inputs, 1)?);
    let (x, w) = (narrowed(b, x, DType::I32)?, narrowed(b, w, DType::I32)?);
    Ok(Some(vec![b.mat_mul(MatMul {}, x, w)?]))
}
