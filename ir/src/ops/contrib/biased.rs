//! A bias fused with what follows: `bias_gelu`, `fast_gelu`, `bias_split_gelu`, `bias_add`, `bias_softmax`; and `scaled_silu`.
use super::meaning::{eval_wide, infer_like_first, infer_ranked, operand, optional, rank};
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dtype::FLOATS;
use crate::graph::ValueId;
use crate::infer::{InferCx, resolve_axis};
use crate::ops::elementwise::activation::{Approximate, Gelu, Sigmoid};
use crate::ops::elementwise::arithmetic::{Add, Mul};
use crate::ops::movement::flatten::Flatten;
use crate::ops::movement::reshape::Reshape;
use crate::ops::movement::split::Split;
use crate::ops::reduce::softmax::Softmax;
use crate::ops::shape::shape::Shape;

crate::op! {
    /// `gelu(a + b)` with the error function; `b` is one number per position of the last axis.
    bias_gelu BiasGelu(a: One<T>, b: One<T>) -> (c: One<T>) {} where T: FLOATS;
    infer = |op: &BiasGelu, cx: &InferCx<'_>| infer_like_first(op, cx, &[0]), eval = eval_wide, expand = expand_bias_gelu;
}

crate::op! {
    /// `gelu(x + bias)` with the approximation by the hyperbolic tangent; `bias` is one number per position of the last axis.
    fast_gelu FastGelu(x: One<T>, bias: Opt<T>) -> (y: One<T>) {} where T: FLOATS;
    infer = |op: &FastGelu, cx: &InferCx<'_>| infer_like_first(op, cx, &[0]), eval = eval_wide, expand = expand_fast_gelu;
}

crate::op! {
    /// The first half of `x + bias` along the last of its three axes, times `gelu` of the second half.
    bias_split_gelu BiasSplitGelu(x: One<T>, bias: One<T>) -> (y: One<T>) {} where T: FLOATS;
    infer = crate::expand::infer, eval = eval_wide, expand = expand_split_gelu;
}

crate::op! {
    /// `x + bias + skip`, where `bias` is one number per position of the last axis and `skip` has the shape of `x`.
    bias_add BiasAdd(x: One<T>, bias: One<T>, skip: One<T>) -> (y: One<T>) {} where T: FLOATS;
    infer = |op: &BiasAdd, cx: &InferCx<'_>| infer_like_first(op, cx, &[0]), eval = eval_wide, expand = expand_bias_add;
}

crate::op! {
    /// Softmax of `data + bias` over all axes from `axis` on together.
    bias_softmax BiasSoftmax(data: One<T>, bias: One<T>) -> (output: One<T>) {
        /// First axis that softmax is taken over.
        axis: i64 = 1,
        /// Whether `bias` is stretched along its axes of size 1 before `axis` (else along leading axes it lacks).
        is_inner_broadcast: bool = false,
    } where T: FLOATS;
    infer = |op: &BiasSoftmax, cx: &InferCx<'_>| infer_ranked(op, cx, &[0]), eval = eval_wide, expand = expand_softmax;
}

crate::op! {
    /// `z * sigmoid(s * x)` with `z = s * x`, where `s` is `scale` (one number) or else `alpha`. Each step is rounded.
    scaled_silu ScaledSiLu(x: One<T>, scale: Opt<AnyM>) -> (y: One<T>) {
        /// Factor where there is no `scale`.
        alpha: f32 = 1.0,
    } where T: FLOATS, AnyM: FLOATS;
    infer = |op: &ScaledSiLu, cx: &InferCx<'_>| infer_like_first(op, cx, &[0]), eval = crate::expand::eval, expand = expand_scaled;
}

type Expanded = Result<Option<Vec<ValueId>>, Diag>;

fn expand_bias_gelu(_: &BiasGelu, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
    let sum = b.plus(Add {}, operand(inputs, 0)?, operand(inputs, 1)?)?;
    Ok(Some(vec![b.gelu(Gelu { approximate: Approximate::None }, sum)?]))
}

fn expand_fast_gelu(_: &FastGelu, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
    let mut x = operand(inputs, 0)?;
    if let Some(bias) = optional(inputs, 1) {
        x = b.plus(Add {}, x, bias)?;
    }
    Ok(Some(vec![b.gelu(Gelu { approximate: Approximate::Tanh }, x)?]))
}

fn expand_split_gelu(
    _: &BiasSplitGelu,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    _: usize,
) -> Expanded {
    let sum = b.plus(Add {}, operand(inputs, 0)?, operand(inputs, 1)?)?;
    let halves = b.add_n(Split { axis: -1, num_outputs: Some(2) }, &[Some(sum), None], 2)?;
    let [left, right] = halves[..] else { return Ok(None) };
    let gate = b.gelu(Gelu { approximate: Approximate::None }, right)?;
    Ok(Some(vec![b.mul(Mul {}, left, gate)?]))
}

fn expand_bias_add(_: &BiasAdd, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
    let sum = b.plus(Add {}, operand(inputs, 0)?, operand(inputs, 1)?)?;
    Ok(Some(vec![b.plus(Add {}, sum, operand(inputs, 2)?)?]))
}

fn expand_softmax(op: &BiasSoftmax, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
    let data = operand(inputs, 0)?;
    let Some(rank) = rank(b, data) else { return Ok(None) };
    let axis = resolve_axis(op.axis, rank).map_err(|e| Diag::error(e.code, e.message))?;
    let sum = b.plus(Add {}, data, operand(inputs, 1)?)?;
    if axis + 1 == rank {
        return Ok(Some(vec![b.softmax(Softmax { axis: -1 }, sum)?]));
    }
    let flat = b.flatten(Flatten { axis: axis as i64 }, sum)?;
    let soft = b.softmax(Softmax { axis: 1 }, flat)?;
    let shape = b.shape(Shape::default(), data)?;
    Ok(Some(vec![b.reshape(Reshape { allowzero: true }, soft, shape)?]))
}

fn expand_scaled(op: &ScaledSiLu, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
    let x = operand(inputs, 0)?;
    let scale = match optional(inputs, 1) {
        // Scales of another type than the data would have to be multiplied in 32 bits.
        Some(s) if super::meaning::dtype(b, s)? == super::meaning::dtype(b, x)? => s,
        Some(_) => return Err(Diag::error("E0303", "a scale of another element type than the data")),
        None => b.scalar_like(f64::from(op.alpha), x)?,
    };
    let z = b.mul(Mul {}, x, scale)?;
    let s = b.sigmoid(Sigmoid {}, z)?;
    Ok(Some(vec![b.mul(Mul {}, z, s)?]))
}
