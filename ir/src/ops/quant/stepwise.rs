//! Expansions of quantized operators that compute each element, or each line, by itself.
use super::q_linear_activation::{QLinearLeakyRelu, logistic};
use super::q_linear_concat::QLinearConcat;
use super::q_linear_softmax::QLinearSoftmax;
use super::requantize::{Affine, byte_tensor};
use super::steps::{Steps, makes_ties, numbers, over, times};
use super::tables::{Table, table};
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dtype::DType;
use crate::expand::{Expanded, dtype_of, narrowed, operand};
use crate::graph::ValueId;
use crate::ops::elementwise::activation::{LeakyRelu, Sigmoid};
use crate::ops::elementwise::arithmetic::{Add, Mul};
use crate::ops::elementwise::select::Where;
use crate::ops::elementwise::unary::{Floor, Reciprocal};
use crate::ops::index::gather::Gather;
use crate::ops::movement::concat::Concat;
use crate::ops::movement::flatten::Flatten;
use crate::ops::movement::reshape::Reshape;
use crate::ops::reduce::softmax::Softmax;
use crate::ops::shape::shape::Shape;

/// Operands of a sum or a product: two tensors with their steps, and the steps of the result.
struct Pair {
    x: ValueId,
    y: ValueId,
    of_x: Steps,
    of_y: Steps,
    to: Steps,
    dtype: DType,
}

impl Pair {
    fn of(b: &mut Builder<'_>, inputs: &[Option<ValueId>]) -> Result<Option<Self>, Diag> {
        let (x, y) = (operand(inputs, 0)?, operand(inputs, 3)?);
        let (of_x, of_y, to) = (Steps::of(b, inputs, 1)?, Steps::of(b, inputs, 4)?, Steps::of(b, inputs, 6)?);
        Ok(dtype_of(b, x).map(|dtype| Self { x, y, of_x, of_y, to, dtype }))
    }
    /// All parameters, where they are constant.
    fn constant(&self, b: &Builder<'_>) -> Option<[Affine; 3]> {
        Some([self.of_x.constant(b)?, self.of_y.constant(b)?, self.to.constant(b)?])
    }
}

/// Expansion of `q_linear_add`.
pub(super) fn add(b: &mut Builder<'_>, inputs: &[Option<ValueId>]) -> Expanded {
    let Some(p) = Pair::of(b, inputs)? else { return Ok(None) };
    let plain = p
        .constant(b)
        .is_some_and(|[x, y, to]| !makes_ties(x.scale / to.scale) && !makes_ties(y.scale / to.scale));
    if plain {
        let (x, y) = (p.of_x.real(b, p.x)?, p.of_y.real(b, p.y)?);
        let sum = b.plus(Add {}, x, y)?;
        return Ok(Some(vec![p.to.stored(b, sum, p.dtype)?]));
    }
    let (x, y) = (p.of_x.centred(b, p.x)?, p.of_y.centred(b, p.y)?);
    let (rx, ry) = (over(b, p.of_x.scale, p.to.scale)?, over(b, p.of_y.scale, p.to.scale)?);
    let (x, y) = (b.mul(Mul {}, x, rx)?, b.mul(Mul {}, y, ry)?);
    let sum = b.plus(Add {}, x, y)?;
    Ok(Some(vec![p.to.rounded_after(b, sum, p.dtype)?]))
}

/// Expansion of `q_linear_mul`. Integer operators of formats round its results twice, so that it is not made one.
pub(super) fn mul(b: &mut Builder<'_>, inputs: &[Option<ValueId>]) -> Expanded {
    let Some(p) = Pair::of(b, inputs)? else { return Ok(None) };
    let (x, y) = (p.of_x.centred(b, p.x)?, p.of_y.centred(b, p.y)?);
    let product = b.mul(Mul {}, x, y)?;
    let ratio = times(b, p.of_x.scale, p.of_y.scale)?;
    let ratio = over(b, ratio, p.to.scale)?;
    let product = b.mul(Mul {}, product, ratio)?;
    Ok(Some(vec![p.to.rounded_after(b, product, p.dtype)?]))
}

/// The bytes of `x` looked up.
fn looked_up(b: &mut Builder<'_>, x: ValueId, dtype: DType, mut table: Table) -> Result<ValueId, Diag> {
    let mut at = narrowed(b, x, DType::I32)?;
    if dtype == DType::I8 {
        table.rotate_right(128);
        let first = b.scalar(128i32);
        at = b.plus(Add {}, at, first)?;
    }
    let table = b.constant(byte_tensor(dtype, &[256], table.to_vec()));
    b.gather(Gather { axis: 0 }, table, at)
}

/// A function `f`, which `build` adds, of operand 0: a table where steps are constant, else computed in reals.
fn unary(
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    f: impl Fn(f32) -> f32,
    build: impl FnOnce(&mut Builder<'_>, ValueId) -> Result<ValueId, Diag>,
) -> Expanded {
    let (x, from, to) = (operand(inputs, 0)?, Steps::of(b, inputs, 1)?, Steps::of(b, inputs, 3)?);
    let Some(dtype) = dtype_of(b, x) else { return Ok(None) };
    if let (Some(from), Some(to)) = (from.constant(b), to.constant(b)) {
        return Ok(Some(vec![looked_up(b, x, dtype, table(dtype, from, to, f))?]));
    }
    let real = from.real(b, x)?;
    let y = build(b, real)?;
    let quotient = over(b, y, to.scale)?;
    Ok(Some(vec![to.rounded(b, quotient, dtype)?]))
}

/// Expansion of `q_linear_sigmoid`.
pub(super) fn sigmoid(b: &mut Builder<'_>, inputs: &[Option<ValueId>]) -> Expanded {
    unary(b, inputs, logistic, |b, v| b.sigmoid(Sigmoid {}, v))
}

/// Expansion of `q_linear_leaky_relu`.
pub(super) fn leaky_relu(op: &QLinearLeakyRelu, b: &mut Builder<'_>, inputs: &[Option<ValueId>]) -> Expanded {
    let alpha = op.alpha;
    unary(b, inputs, |v| op.of(v), |b, v| b.leaky_relu(LeakyRelu { alpha }, v))
}

/// `x` in other steps.
fn restepped(b: &mut Builder<'_>, x: ValueId, from: Steps, to: Steps, dtype: DType) -> Result<ValueId, Diag> {
    match (from.constant(b), to.constant(b)) {
        (Some(old), Some(new)) if old == new => Ok(x),
        (Some(old), Some(new)) => looked_up(b, x, dtype, table(dtype, old, new, |v| v)),
        _ => {
            let real = from.real(b, x)?;
            let quotient = over(b, real, to.scale)?;
            to.rounded(b, quotient, dtype)
        }
    }
}

/// Expansion of `q_linear_concat`.
pub(super) fn concat(op: &QLinearConcat, b: &mut Builder<'_>, inputs: &[Option<ValueId>]) -> Expanded {
    let to = Steps::of(b, inputs, 0)?;
    let Some(dtype) = to.zero.and_then(|z| dtype_of(b, z)) else { return Ok(None) };
    let mut parts = vec![];
    for i in (2..inputs.len()).step_by(3) {
        let from = Steps::of(b, inputs, i + 1)?;
        parts.push(restepped(b, operand(inputs, i)?, from, to, dtype)?);
    }
    Ok(Some(vec![b.concat(Concat { axis: op.axis }, &parts)?]))
}

/// Expansion of `q_linear_where`.
pub(super) fn select(b: &mut Builder<'_>, inputs: &[Option<ValueId>]) -> Expanded {
    let (x, y) = (operand(inputs, 1)?, operand(inputs, 4)?);
    let (of_x, of_y, to) = (Steps::of(b, inputs, 2)?, Steps::of(b, inputs, 5)?, Steps::of(b, inputs, 7)?);
    let Some(dtype) = dtype_of(b, x) else { return Ok(None) };
    let (x, y) = (restepped(b, x, of_x, to, dtype)?, restepped(b, y, of_y, to, dtype)?);
    Ok(Some(vec![b.r#where(Where {}, operand(inputs, 0)?, x, y)?]))
}

/// Expansion of `q_linear_softmax`.
pub(super) fn softmax(op: &QLinearSoftmax, b: &mut Builder<'_>, inputs: &[Option<ValueId>]) -> Expanded {
    let (x, from, to) = (operand(inputs, 0)?, Steps::of(b, inputs, 1)?, Steps::of(b, inputs, 3)?);
    let Some(dtype) = dtype_of(b, x) else { return Ok(None) };
    let steps = if let Some(&[scale]) = numbers(b, to.scale).as_deref() {
        b.scalar((1.0 / scale).floor())
    } else {
        let inverse = b.reciprocal(Reciprocal {}, to.scale)?;
        b.floor(Floor {}, inverse)?
    };
    let real = from.real(b, x)?;
    let y = if op.opset < 13 {
        let lines = b.flatten(Flatten { axis: op.axis }, real)?;
        let y = b.softmax(Softmax { axis: 1 }, lines)?;
        let sizes = b.shape(Shape::default(), x)?;
        b.reshape(Reshape { allowzero: true }, y, sizes)?
    } else {
        b.softmax(Softmax { axis: op.axis }, real)?
    };
    let y = b.mul(Mul {}, y, steps)?;
    Ok(Some(vec![to.rounded(b, y, dtype)?]))
}
