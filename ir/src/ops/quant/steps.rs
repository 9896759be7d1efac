//! Parts of the expansions of quantized operators: numbers from integers and back.
//!
//! Two forms mean the same. Between `dequantize_linear` and `quantize_linear`, with parameters that are constant, an operator can become one on
//! integers; but formats differ in how they round quotients that are exactly between two integers. Where such quotients must be expected, or where
//! there is no integer operator, the steps of the definition are computed one by one, which gives the same everywhere.
use super::dequantize_linear::DequantizeLinear;
use super::quantize_linear::QuantizeLinear;
use super::requantize::Affine;
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dtype::DType;
use crate::expand::{narrowed, operand, rank_of};
use crate::graph::ValueId;
use crate::ops::elementwise::arithmetic::{Add, Div, Mul, Sub};
use crate::ops::elementwise::unary::Round;
use crate::ops::elementwise::variadic::{Max, Min};
use crate::ops::movement::reshape::Reshape;
use crate::tensor::Tensor;

/// Parts of an integer step below which a factor counts as one that makes no ties by itself.
const PARTS: f64 = 4096.0;

/// `v`, which holds one number, without axes.
pub(super) fn single(b: &mut Builder<'_>, v: ValueId) -> Result<ValueId, Diag> {
    if rank_of(b, v) == Some(0) {
        return Ok(v);
    }
    if let Some(t) = b.graph().constant(v).and_then(|t| t.reshape(&[]).ok()) {
        return Ok(b.constant(t));
    }
    let none = b.ints(&[]);
    b.reshape(Reshape::default(), v, none)
}

/// The numbers of a constant.
pub(super) fn numbers(b: &Builder<'_>, v: ValueId) -> Option<Vec<f32>> {
    Some(b.graph().constant(v)?.to_f32s().ok()?.into_owned())
}

/// Whether a sum of integers times `factor` is exactly between two integers again and again.
pub(super) fn makes_ties(factor: f32) -> bool {
    let parts = f64::from(factor) * PARTS;
    factor.fract() != 0.0 && parts.fract() == 0.0
}

/// Scale and zero point of a whole tensor.
#[derive(Clone, Copy)]
pub(super) struct Steps {
    /// Size of a step, without axes.
    pub scale: ValueId,
    /// What stands for 0, without axes.
    pub zero: Option<ValueId>,
}

impl Steps {
    /// Operands `i` (scale) and `i + 1` (zero point).
    pub fn of(b: &mut Builder<'_>, inputs: &[Option<ValueId>], i: usize) -> Result<Self, Diag> {
        let scale = single(b, operand(inputs, i)?)?;
        let zero = inputs.get(i + 1).copied().flatten().map(|z| single(b, z)).transpose()?;
        Ok(Self { scale, zero })
    }
    /// Both, where they are constants that a format can hold.
    pub fn constant(self, b: &Builder<'_>) -> Option<Affine> {
        let scale = *numbers(b, self.scale)?.first()?;
        let zero = match self.zero {
            Some(z) => i32::try_from(b.graph().constant(z)?.as_int()?).ok()?,
            None => 0,
        };
        (scale.is_finite() && scale > 0.0).then_some(Affine { scale, zero })
    }
    /// What `q` stands for.
    pub fn real(self, b: &mut Builder<'_>, q: ValueId) -> Result<ValueId, Diag> {
        b.dequantize_linear(DequantizeLinear::default(), q, self.scale, self.zero)
    }
    /// `v` in these steps.
    pub fn stored(self, b: &mut Builder<'_>, v: ValueId, dtype: DType) -> Result<ValueId, Diag> {
        let output_dtype = if self.zero.is_none() { Some(dtype) } else { None };
        let op = QuantizeLinear { output_dtype, ..QuantizeLinear::default() };
        b.quantize_linear(op, v, self.scale, self.zero)
    }
    /// `q` less the zero point, a whole number, as `f32`.
    pub fn centred(self, b: &mut Builder<'_>, q: ValueId) -> Result<ValueId, Diag> {
        let q = narrowed(b, q, DType::F32)?;
        let Some(zero) = self.zero else { return Ok(q) };
        let zero = narrowed(b, zero, DType::F32)?;
        b.sub(Sub {}, q, zero)
    }
    /// `saturate(round(v) + zero_point)`.
    pub fn rounded(self, b: &mut Builder<'_>, v: ValueId, dtype: DType) -> Result<ValueId, Diag> {
        let v = b.round(Round {}, v)?;
        let v = self.moved(b, v)?;
        saturated(b, v, dtype)
    }
    /// `saturate(round(v + zero_point))`.
    pub fn rounded_after(self, b: &mut Builder<'_>, v: ValueId, dtype: DType) -> Result<ValueId, Diag> {
        let v = self.moved(b, v)?;
        let v = b.round(Round {}, v)?;
        saturated(b, v, dtype)
    }
    fn moved(self, b: &mut Builder<'_>, v: ValueId) -> Result<ValueId, Diag> {
        let Some(zero) = self.zero else { return Ok(v) };
        let zero = narrowed(b, zero, DType::F32)?;
        b.plus(Add {}, v, zero)
    }
}

/// Whole numbers within the range of `dtype`, as that type.
fn saturated(b: &mut Builder<'_>, v: ValueId, dtype: DType) -> Result<ValueId, Diag> {
    let (low, high) =
        dtype.int_range().ok_or_else(|| Diag::error("E0303", format!("{dtype} has no range")))?;
    let (low, high) = (b.scalar(low as f32), b.scalar(high as f32));
    let v = b.max(Max {}, &[v, low])?;
    let v = b.min(Min {}, &[v, high])?;
    narrowed(b, v, dtype)
}

/// `x * y` in `f32`, computed now where both are constants of one shape, or one of them is a single number.
pub(super) fn times(b: &mut Builder<'_>, x: ValueId, y: ValueId) -> Result<ValueId, Diag> {
    match folded(b, x, y, |x, y| x * y) {
        Some(v) => Ok(v),
        None => b.mul(Mul {}, x, y),
    }
}

/// `x / y` in `f32`, computed now where both are constants of one shape, or one of them is a single number.
pub(super) fn over(b: &mut Builder<'_>, x: ValueId, y: ValueId) -> Result<ValueId, Diag> {
    match folded(b, x, y, |x, y| x / y) {
        Some(v) => Ok(v),
        None => b.div(Div {}, x, y),
    }
}

fn folded(b: &mut Builder<'_>, x: ValueId, y: ValueId, f: impl Fn(f32, f32) -> f32) -> Option<ValueId> {
    let shape = |v| Some(b.graph().constant(v)?.shape().to_vec());
    let (of_x, of_y) = (shape(x)?, shape(y)?);
    let (all_x, all_y) = (numbers(b, x)?, numbers(b, y)?);
    let (shape, values) = match (all_x.as_slice(), all_y.as_slice()) {
        (all, &[y]) if of_y.is_empty() => (of_x, all.iter().map(|x| f(*x, y)).collect()),
        (&[x], all) if of_x.is_empty() => (of_y, all.iter().map(|y| f(x, *y)).collect::<Vec<f32>>()),
        (x, y) if of_x == of_y => (of_x, x.iter().zip(y).map(|(x, y)| f(*x, *y)).collect()),
        _ => return None,
    };
    Some(b.constant(Tensor::from_vec(&shape, values)))
}

/// `v`, of which there is one for each position of an axis that `after` others follow, so that it broadcasts; one number loses its axes.
pub(super) fn along(b: &mut Builder<'_>, v: ValueId, after: usize) -> Result<ValueId, Diag> {
    let sizes = b.graph().ty(v).as_tensor().and_then(|t| t.sizes());
    match (rank_of(b, v), sizes.as_deref()) {
        (Some(0), _) => Ok(v),
        (_, Some([1])) => single(b, v),
        _ if after == 0 => Ok(v),
        _ => {
            let axes = b.ints(&(1..=after as i64).collect::<Vec<_>>());
            b.unsqueeze(crate::ops::movement::unsqueeze::Unsqueeze {}, v, axes)
        }
    }
}
