//! Quantization: QUANTIZE, DEQUANTIZE, `FAKE_QUANT`, DENSIFY, and the quantization that tensors carry.
//!
//! QUANTIZE rounds halves away from zero where the IR rounds them to even: results differ by one step for numbers exactly between two steps, as LiteRT's own kernels differ
//! from its delegates. What follows a float operator is never exactly the same between runtimes, so that this is no further loss.
mod found;
pub mod fuse;
pub mod prepare;
mod rules;
mod stored;
mod weights;

pub use found::quant_of;
pub use stored::keeps_stored;

use crate::tflite::lift::{Cx as LiftCx, Lift, Lifted};
use crate::tflite::lower::{Cx, Lower, R};
use crate::tflite::program::Quant;
use crate::tflite::schema::Builtin;
use found::parameters;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::ValueId;
use hoist_ir::ops::Op;
use hoist_ir::ops::elementwise::arithmetic::{Add, Mul, Sub};
use hoist_ir::ops::elementwise::cast::Cast;
use hoist_ir::ops::quant::dequantize_linear::DequantizeLinear;
use hoist_ir::ops::quant::quantize_linear::QuantizeLinear;
use hoist_ir::tensor::Tensor;

/// Operators of the IR and how they are lowered.
pub const LOWER: &[(&str, Lower)] = &[("quantize_linear", quantize), ("dequantize_linear", dequantize)];
/// Builtin operators and how they are lifted.
pub const LIFT: &[(Builtin, Lift)] = &[
    (Builtin::Quantize, lift_quantize),
    (Builtin::Dequantize, lift_dequantize),
    (Builtin::FakeQuant, lift_fake_quant),
    (Builtin::Densify, |cx| Ok(vec![cx.arg(0)?])),
];

/// Element types that QUANTIZE makes.
const TARGETS: &[DType] = &[DType::I8, DType::U8, DType::I16];
/// Most elements of a constant that is dequantized while lowering.
const MAX_EAGER: usize = 1 << 16;

fn quantize(cx: &mut Cx<'_>) -> R<()> {
    let (from, to) = (cx.dtype(0)?, cx.out_ty(0)?.dtype);
    if from != DType::F32 || !TARGETS.contains(&to) {
        return Err(format!("element types {from} and {to}"));
    }
    let q =
        own(cx, cx.g.node(cx.n).outputs().first().copied(), "a result that others read with another scale")?;
    if is_shifted(to, &q) {
        return Err("16-bit integers with a zero point".to_owned());
    }
    let x = cx.arg(0)?;
    cx.emit(Builtin::Quantize, None, &[x])
}

/// Whether integers of 16 or 4 bits have a zero point, which kernels refuse.
fn is_shifted(dtype: DType, q: &Quant) -> bool {
    matches!(dtype, DType::I16 | DType::I4) && q.zero_point.iter().any(|z| *z != 0)
}

/// The parameters of the node, which must be those of the tensor `v`.
fn own(cx: &Cx<'_>, v: Option<ValueId>, otherwise: &str) -> R<Quant> {
    let own = parameters(cx.g, cx.n).ok_or("a scale that is computed, or blocks")?;
    if v.and_then(|v| quant_of(cx.g, v)).as_ref() == Some(&own) { Ok(own) } else { Err(otherwise.to_owned()) }
}

fn dequantize(cx: &mut Cx<'_>) -> R<()> {
    let (from, to) = (cx.dtype(0)?, cx.out_ty(0)?.dtype);
    if to != DType::F32 {
        return Err(format!("results of {to}"));
    }
    let per_axis = parameters(cx.g, cx.n).is_some_and(|q| q.scale.len() > 1);
    let shifted = parameters(cx.g, cx.n).is_some_and(|q| is_shifted(from, &q));
    // Integers of 4 bits are weights.
    let nibbles = from == DType::I4 && cx.constant(0).is_some();
    let kernel = (TARGETS.contains(&from) || nibbles) && !shifted && !(per_axis && from == DType::I16);
    let owned = own(cx, cx.value(0), "a tensor that others read with another scale");
    let result = cx.g.node(cx.n).outputs().first().copied();
    // XNNPACK cannot run the DEQUANTIZE of a constant whose result is an output.
    let shown = cx.constant(0).is_some() && cx.g.outputs().iter().any(|o| Some(o.value) == result);
    if kernel && owned.is_ok() && !(shown && parameters(cx.g, cx.n).is_some()) {
        let x = cx.arg(0)?;
        return cx.emit(Builtin::Dequantize, None, &[x]);
    }
    let constants = cx.constant(0).cloned().zip(parameters(cx.g, cx.n));
    let Some((x, q)) = constants else {
        return Err(owned.err().unwrap_or_else(|| format!("element type {from}")));
    };
    let real = real(&x, &q)?;
    let t = cx.konst(real);
    cx.alias(0, t)
}

/// The numbers that constant `x` stands for, computed while they are written where the zero point is zero.
fn real(x: &Tensor, q: &Quant) -> R<Tensor> {
    let failed = |e: hoist_ir::tensor::TensorError| e.to_string();
    if let Some(size) = x.shape().get(q.axis).filter(|_| q.zero_point.iter().all(|z| *z == 0)) {
        let factors = if q.scale.len() == 1 { vec![q.scale[0]; *size] } else { q.scale.clone() };
        return x.cast(DType::F32, false).and_then(|x| x.scale_channels(factors, q.axis)).map_err(failed);
    }
    if x.len() > MAX_EAGER {
        return Err(format!("a constant of {} with a zero point", x.dtype()));
    }
    let inner: usize = x.shape().iter().skip(q.axis + 1).copied().fold(1, usize::saturating_mul);
    let slice = |i: usize| if q.scale.len() == 1 { 0 } else { i / inner.max(1) % q.scale.len() };
    let one = |(i, v): (usize, &i64)| (v - q.zero_point[slice(i)]) as f32 * q.scale[slice(i)];
    let values: Vec<f32> = x.to_i64s().map_err(failed)?.iter().enumerate().map(one).collect();
    Ok(Tensor::from_vec(x.shape(), values))
}

fn lift_quantize(cx: &mut LiftCx<'_, '_>) -> Lifted {
    let x = cx.arg(0)?;
    let real = match cx.given.first().cloned().flatten().and_then(|d| d.quant.map(|q| (q, d.ty.dtype))) {
        Some((q, dtype)) => dequantized(cx, x, dtype, &q)?,
        None => x,
    };
    let result = cx.results.first().cloned().ok_or_else(|| cx.bad("no result"))?;
    let Some(q) = result.quant else { return Err(cx.bad("a result without a scale")) };
    let (scale, zero) = constants(cx, &q, result.ty.dtype)?;
    Ok(vec![cx.op(QuantizeLinear { axis: q.axis as i64, ..Default::default() }, &[real, scale, zero])?])
}

fn lift_dequantize(cx: &mut LiftCx<'_, '_>) -> Lifted {
    let x = cx.arg(0)?;
    let given = cx.given.first().cloned().flatten().and_then(|d| d.quant.map(|q| (q, d.ty.dtype)));
    match (given, cx.dtype(x)?) {
        (Some((q, dtype)), _) => Ok(vec![dequantized(cx, x, dtype, &q)?]),
        (None, DType::F16 | DType::BF16) => {
            Ok(vec![cx.op(Cast { to: DType::F32, ..Default::default() }, &[x])?])
        }
        (None, DType::F32) => Ok(vec![x]),
        (None, dtype) => Err(cx.bad(format!("{dtype} without a scale"))),
    }
}

fn dequantized(cx: &mut LiftCx<'_, '_>, x: ValueId, dtype: DType, q: &Quant) -> Result<ValueId, Diag> {
    let (scale, zero) = constants(cx, q, dtype)?;
    let zero = Some(zero).filter(|_| q.zero_point.iter().any(|z| *z != 0));
    let op = DequantizeLinear { axis: q.axis as i64, ..Default::default() };
    Ok(cx.b.add(op, &[Some(x), Some(scale), zero])?[0])
}

/// Scale and zero point as constants: 0-d per tensor, 1-d along an axis.
fn constants(cx: &mut LiftCx<'_, '_>, q: &Quant, dtype: DType) -> Result<(ValueId, ValueId), Diag> {
    let shape: &[usize] = if q.scale.len() == 1 { &[] } else { &[q.scale.len()] };
    let zero = Tensor::from_vec(shape, q.zero_point.clone()).cast(dtype, false).map_err(|e| cx.bad(e))?;
    let scale = cx.b.constant(Tensor::from_vec(shape, q.scale.clone()));
    Ok((scale, cx.b.constant(zero)))
}

/// Steps of a range that is moved so that zero is one of them, as LiteRT's kernel computes them; halves are rounded up.
fn lift_fake_quant(cx: &mut LiftCx<'_, '_>) -> Lifted {
    let x = cx.arg(0)?;
    let (low, high, bits) = (cx.float("min") as f32, cx.float("max") as f32, cx.int("num_bits"));
    if !((2..=16).contains(&bits) && low <= 0.0 && high >= 0.0 && low < high) {
        return Err(cx.bad(format!("{bits} bits for numbers from {low} to {high}")));
    }
    let (first, last) = (f32::from(u8::from(cx.flag("narrow_range"))), ((1u32 << bits) - 1) as f32);
    let scale = (high - low) / (last - first);
    let zero = first - low / scale;
    let zero = if zero < first {
        first
    } else if zero > last {
        last
    } else {
        zero.round()
    };
    let (low, high) = ((first - zero) * scale, (last - zero) * scale);
    let x = super::activation::clipped(cx, x, low.into(), high.into())?;
    let floor = Op::by_name("floor").ok_or_else(|| cx.bad("no floor"))?;
    let [low, inverse, half, scale] = [low, 1.0 / scale, 0.5, scale].map(|v| cx.b.scalar(v));
    let x = cx.op(Sub {}, &[x, low])?;
    let x = cx.op(Mul {}, &[x, inverse])?;
    let x = cx.op(Add {}, &[x, half])?;
    let x = cx.op(floor, &[x])?;
    let x = cx.op(Mul {}, &[x, scale])?;
    Ok(vec![cx.op(Add {}, &[x, low])?])
}
