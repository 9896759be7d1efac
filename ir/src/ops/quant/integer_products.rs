//! `mat_mul_integer16`, `mat_mul_integer_to_float`, `dynamic_quantize_mat_mul`
use super::dynamic_quantize_linear::quantize;
use super::requantize::{check_scalars, check_vectors, scale, scales};
use crate::builder::Builder;
use crate::dim::Dim;
use crate::dtype::{DType, DTypeSet, F32_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::expand::Expanded;
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::{count, zeros};
use crate::ops::linear::ints::{int_tensor, multiply_ints};
use crate::ops::linear::mat_mul::{Plan, product_macs, product_type};
use crate::ops::linear::mat_mul_integer::{BYTES, sums};
use crate::tensor::Tensor;
use crate::types::Type;

const I16_ONLY: DTypeSet = DTypeSet::of(&[DType::I16]);

crate::op! {
    /// Matrix product of 16-bit integers in wrapping 32-bit integers, shapes as for `mat_mul`.
    mat_mul_integer16 MatMulInteger16(a: One<T>, b: One<T>) -> (y: One<Y>) {} where T: I16_ONLY;
}

crate::op! {
    /// `mat_mul_integer` times `a_scale * b_scale`, plus `bias`, each step rounded to `f32`. Scale and zero point of `b` are one for all or one
    /// per column; `bias` is one per column.
    mat_mul_integer_to_float MatMulIntegerToFloat(
        a: One<A>, b: One<B>, a_scale: One<S>, b_scale: One<S>, a_zero_point: Opt<A>, b_zero_point: Opt<B>, bias: Opt<S>,
    ) -> (y: One<S>) {} where A: BYTES, B: BYTES, S: F32_ONLY;
}

crate::op! {
    /// `mat_mul_integer_to_float` of `a`, quantized by `dynamic_quantize_linear`, and `b`.
    dynamic_quantize_mat_mul DynamicQuantizeMatMul(
        a: One<S>, b: One<B>, b_scale: One<S>, b_zero_point: Opt<B>, bias: Opt<S>,
    ) -> (y: One<S>) {} where B: BYTES, S: F32_ONLY;
}

impl Semantics for MatMulInteger16 {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        Ok(vec![product_type(cx, DType::I32)?])
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
        super::products::mat_mul_integer16(b, inputs)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (a, b) = (cx.tensor(0)?, cx.tensor(1)?);
        let plan = Plan::new(a.shape(), b.shape())?;
        let (m, _, n) = plan.mkn;
        let mut out = zeros::<i64>(count(&plan.shape)?)?;
        let (left, right) = (a.to_i64s()?, b.to_i64s()?);
        for ((chunk, i), j) in out.chunks_mut((m * n).max(1)).zip(&plan.a).zip(&plan.b) {
            multiply_ints(&left[*i..], &right[*j..], plan.mkn, chunk);
        }
        one(int_tensor(DType::I32, &plan.shape, out)?)
    }
    fn macs(&self, inputs: &[Option<&Type>], outputs: &[&Type]) -> Option<u64> {
        product_macs(inputs.first().copied().flatten(), outputs.first().copied())
    }
}

/// Number of columns of `b`, operand 1.
fn columns(cx: &InferCx<'_>) -> Result<Dim, OpError> {
    Ok(match cx.shape(1)?.map(Vec::as_slice) {
        Some([.., _, n]) => n.clone(),
        Some(_) => Dim::Known(1),
        None => Dim::Unknown,
    })
}

/// Operands after the matrices: positions of the scale of `a`, and of scale, zero point and bias of `b`.
fn infer(cx: &InferCx<'_>, b_operands: [usize; 2], bias: usize) -> Result<Vec<Type>, OpError> {
    let n = columns(cx)?;
    check_vectors(cx, &b_operands, &n)?;
    if cx.has(bias)
        && let Some(s) = cx.shape(bias)?
        && (s.len() != 1 || s[0].surely_differs(&n))
    {
        return Err(OpError::shape(format!("the bias is not one number for each of {n} columns")));
    }
    Ok(vec![product_type(cx, DType::F32)?])
}

/// `sums * (a_scale * b_scale) + bias`.
fn to_reals(
    (plan, sums): (Plan, Vec<i32>),
    (a_scale, mut factors): (f32, Vec<f32>),
    bias: Option<&Tensor>,
) -> Result<Vec<Value>, OpError> {
    let n = plan.mkn.2.max(1);
    for f in &mut factors {
        *f *= a_scale;
    }
    let bias = bias.map(Tensor::view::<f32>).transpose()?;
    if bias.as_ref().is_some_and(|b| b.len() != plan.mkn.2) {
        return Err(OpError::shape("the bias is not one number per column"));
    }
    let value = |(i, s): (usize, &i32)| {
        let v = *s as f32 * factors[if factors.len() == 1 { 0 } else { i % n }];
        bias.as_ref().map_or(v, |b| v + b[i % n])
    };
    one(Tensor::from_vec::<f32>(&plan.shape, sums.iter().enumerate().map(value).collect()))
}

impl Semantics for MatMulIntegerToFloat {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        check_scalars(cx, &[2, 4])?;
        infer(cx, [3, 5], 6)
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
        super::products::mat_mul_integer_to_float(b, inputs)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let products = sums(cx.tensor(0)?, cx.tensor(1)?, cx.opt(4)?, cx.opt(5)?)?;
        let factors = scales(&cx, 3, products.0.mkn.2)?;
        to_reals(products, (scale(&cx, 2)?, factors), cx.opt(6)?)
    }
    fn macs(&self, inputs: &[Option<&Type>], outputs: &[&Type]) -> Option<u64> {
        product_macs(inputs.first().copied().flatten(), outputs.first().copied())
    }
}

impl Semantics for DynamicQuantizeMatMul {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        infer(cx, [2, 3], 4)
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
        super::products::dynamic_quantize_mat_mul(b, inputs)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (a, a_scale, a_zero) = quantize(cx.tensor(0)?)?;
        let products = sums(&a, cx.tensor(1)?, Some(&Tensor::scalar(a_zero)), cx.opt(3)?)?;
        let factors = scales(&cx, 2, products.0.mkn.2)?;
        to_reals(products, (a_scale, factors), cx.opt(4)?)
    }
    fn macs(&self, inputs: &[Option<&Type>], outputs: &[&Type]) -> Option<u64> {
        product_macs(inputs.first().copied().flatten(), outputs.first().copied())
    }
}
