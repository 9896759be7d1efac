//! `q_linear_mat_mul`
use super::requantize::{Quantized, Scales, requantize, rounded};
use crate::builder::Builder;
use crate::dim::Dim;
use crate::dtype::{DType, DTypeSet};
use crate::eval::{EvalCx, Value, one};
use crate::expand::Expanded;
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::kernel::gemm::{BatchOperand, batched_matmul};
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::{PARALLEL, count, zeros};
use crate::ops::linear::mat_mul::{Plan, product_macs, product_shape};
use crate::ops::linear::mat_mul_integer::{BYTES, sums};
use crate::tensor::Tensor;
use crate::tensor::convert::Wide;
use crate::types::{TensorType, Type};
use rayon::prelude::*;

/// 8-bit floats but the one for scales.
const FLOAT8_DATA: DTypeSet =
    DTypeSet::of(&[DType::F8E4M3FN, DType::F8E4M3FNUZ, DType::F8E5M2, DType::F8E5M2FNUZ]);
const DATA: DTypeSet = BYTES.or(FLOAT8_DATA);
const SCALE: DTypeSet = DTypeSet::of(&[DType::F32, DType::F16, DType::BF16]);

crate::op! {
    /// Matrix product of quantized operands, shapes as for `mat_mul`: `saturate(round(sum * scale) + y_zero_point)`, where `sum` is that of
    /// `mat_mul_integer` and `scale` is `a_scale * b_scale / y_scale`, each step rounded to `f32`. Scales and zero points are one for all, one
    /// per row of `a` and of the result, and one per column of `b`: 1-d, or of the operand's shape with size 1 for the other axis. 8-bit
    /// floats are multiplied in `f32` and rounded to their type once, without rounding to integers in between.
    q_linear_mat_mul QLinearMatMul(
        a: One<T1>, a_scale: One<TS>, a_zero_point: One<T1>, b: One<T2>, b_scale: One<TS>, b_zero_point: One<T2>, y_scale: One<TS>,
        y_zero_point: One<T3>,
    ) -> (y: One<T3>) {} where T1: DATA, T2: DATA, T3: DATA, TS: SCALE;
}

/// Numbers that are one for all, or `per` for each matrix.
struct Spread {
    values: Vec<f32>,
    per: usize,
}

impl Spread {
    fn new(t: &Tensor, per: usize, matrices: usize) -> Result<Self, OpError> {
        let values = t.to_f32s()?.into_owned();
        if values.len() == 1 || values.len() == per || Some(values.len()) == per.checked_mul(matrices) {
            return Ok(Self { values, per });
        }
        Err(OpError::shape(format!("scales or zero points {:?} do not fit their operand", t.shape())))
    }
    fn at(&self, matrix: usize, i: usize) -> f32 {
        match self.values.len() {
            1 => self.values[0],
            n if n == self.per => self.values[i],
            _ => self.values[matrix * self.per + i],
        }
    }
}

/// Scales and zero points of a product.
struct Parameters {
    a: Spread,
    b: Spread,
    y: Spread,
    zero: Spread,
}

fn matrices(shape: &[usize]) -> usize {
    shape[..shape.len().saturating_sub(2)].iter().product()
}

impl Parameters {
    fn of(cx: &EvalCx<'_>, plan: &Plan) -> Result<Self, OpError> {
        let (m, _, n) = plan.mkn;
        let (a, b) = (matrices(cx.tensor(0)?.shape()), matrices(cx.tensor(3)?.shape()));
        let products = plan.a.len();
        Ok(Self {
            a: Spread::new(cx.tensor(1)?, m, a)?,
            b: Spread::new(cx.tensor(4)?, n, b)?,
            y: Spread::new(cx.tensor(6)?, m, products)?,
            zero: Spread::new(cx.tensor(7)?, m, products)?,
        })
    }
    /// Calls `row(out, sums, scales, zero)` for each row of the result.
    fn rows<S: Sync, O: Send>(
        &self,
        plan: &Plan,
        sums: &[S],
        out: &mut [O],
        row: impl Fn(&mut [O], &[S], Scales<'_>, f32) + Sync + Send,
    ) {
        let (m, k, n) = plan.mkn;
        if out.is_empty() {
            return;
        }
        let line = |(i, (out, sums)): (usize, (&mut [O], &[S]))| {
            let (p, r) = (i / m, i % m);
            let of = |starts: &[usize], size: usize| starts.get(p).map_or(0, |s| s / size.max(1));
            let (ma, mb) = (of(&plan.a, m * k), of(&plan.b, k * n));
            let (a, y, zero) = (self.a.at(ma, r), self.y.at(p, r), self.zero.at(p, r));
            if self.b.values.len() == 1 {
                row(out, sums, Scales::One(a * self.b.values[0] / y), zero);
            } else {
                let scales: Vec<f32> = (0..n).map(|c| a * self.b.at(mb, c) / y).collect();
                row(out, sums, Scales::Each(&scales), zero);
            }
        };
        if out.len() < PARALLEL {
            out.chunks_mut(n).zip(sums.chunks(n)).enumerate().for_each(line);
        } else {
            out.par_chunks_mut(n).zip(sums.par_chunks(n)).enumerate().for_each(line);
        }
    }
    fn integers<Q: Quantized>(&self, plan: &Plan, sums: &[i32]) -> Result<Tensor, OpError> {
        let mut out = zeros::<Q>(sums.len())?;
        self.rows(plan, sums, &mut out, |out, sums, scales, zero| requantize(sums, 0, scales, zero, out));
        Ok(Tensor::from_vec(&plan.shape, out))
    }
    /// Sums in `f32`, to integers or floats of `dtype`.
    fn floats(&self, plan: &Plan, sums: &[f32], dtype: DType) -> Result<Tensor, OpError> {
        let mut out = zeros::<f32>(sums.len())?;
        self.rows(plan, sums, &mut out, |out, sums, scales, zero| {
            let scale = |i: usize| match scales {
                Scales::One(s) => s,
                Scales::Each(s) => s[i],
            };
            for (i, (o, s)) in out.iter_mut().zip(sums).enumerate() {
                let v = s * scale(i);
                *o = match dtype {
                    DType::I8 => f32::from(rounded::<i8>(v, zero)),
                    DType::U8 => f32::from(rounded::<u8>(v, zero)),
                    _ => v + zero,
                };
            }
        });
        Ok(Tensor::from_wide(dtype, &plan.shape, &Wide::F32(out), true)?)
    }
}

/// `values - zeros` in `f32`, where zero points run along rows or columns.
fn shifted(
    t: &Tensor,
    zero: &Tensor,
    (rows, cols): (usize, usize),
    by_row: bool,
) -> Result<Vec<f32>, OpError> {
    let zeros = Spread::new(zero, if by_row { rows } else { cols }, matrices(t.shape()))?;
    let mut values = t.to_f32s()?.into_owned();
    for (i, line) in values.chunks_mut(cols.max(1)).enumerate() {
        let (matrix, r) = (i / rows.max(1), i % rows.max(1));
        for (c, v) in line.iter_mut().enumerate() {
            *v -= zeros.at(matrix, if by_row { r } else { c });
        }
    }
    Ok(values)
}

/// The product of operands of which one at least holds floats.
fn float_sums(cx: &EvalCx<'_>) -> Result<(Plan, Vec<f32>), OpError> {
    let (a, b) = (cx.tensor(0)?, cx.tensor(3)?);
    let plan = Plan::new(a.shape(), b.shape())?;
    let (m, k, n) = plan.mkn;
    let mut out = zeros::<f32>(count(&plan.shape)?)?;
    let (left, right) = (shifted(a, cx.tensor(2)?, (m, k), true)?, shifted(b, cx.tensor(5)?, (k, n), false)?);
    if !plan.a.is_empty() {
        let left = BatchOperand { data: &left, offsets: &plan.a, row_stride: k, col_stride: 1 };
        let right = BatchOperand { data: &right, offsets: &plan.b, row_stride: n, col_stride: 1 };
        batched_matmul(left, right, plan.mkn, &mut out)?;
    }
    Ok((plan, out))
}

/// Refuses scales or zero points that surely do not fit the operand they belong to: `kept` is the axis, counted from the end, that
/// they may follow.
fn check_fit(cx: &InferCx<'_>, which: &[usize], operand: Option<&[Dim]>, kept: usize) -> Result<(), OpError> {
    for &i in which {
        let (Some(s), Some(operand)) = (cx.shape(i)?, operand) else { continue };
        let bad = match s.as_slice() {
            [] => false,
            [n] => {
                let along = operand.len().checked_sub(kept).and_then(|a| operand.get(a));
                n.known().is_some_and(|v| v != 1) && along.is_some_and(|d| d.surely_differs(n))
            }
            s => s.len() != operand.len() && s.iter().any(|d| d.known().is_some_and(|n| n != 1)),
        };
        if bad {
            return Err(OpError::shape(format!(
                "operand {i} (a scale or zero point) does not fit its matrix"
            )));
        }
    }
    Ok(())
}

impl Semantics for QLinearMatMul {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let dtype = cx.dtype(7)?;
        let (a, b) = (cx.shape(0)?, cx.shape(3)?);
        check_fit(cx, &[1, 2], a.map(Vec::as_slice), 2)?;
        check_fit(cx, &[4, 5], b.map(Vec::as_slice), 1)?;
        let (Some(a), Some(b)) = (a, b) else { return Ok(vec![TensorType::unranked(dtype).into()]) };
        Ok(vec![TensorType::new(dtype, product_shape(a, b)?).into()])
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _outputs: usize) -> Expanded {
        super::product_expansions::q_linear_mat_mul(b, inputs)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (a, b, dtype) = (cx.tensor(0)?, cx.tensor(3)?, cx.tensor(7)?.dtype());
        if !(BYTES.contains(a.dtype()) && BYTES.contains(b.dtype())) {
            let (plan, sums) = float_sums(&cx)?;
            return one(Parameters::of(&cx, &plan)?.floats(&plan, &sums, dtype)?);
        }
        let (plan, sums) = sums(a, b, Some(cx.tensor(2)?), Some(cx.tensor(5)?))?;
        let parameters = Parameters::of(&cx, &plan)?;
        one(match dtype {
            DType::I8 => parameters.integers::<i8>(&plan, &sums)?,
            DType::U8 => parameters.integers::<u8>(&plan, &sums)?,
            _ => {
                let sums: Vec<f32> = sums.iter().map(|s| *s as f32).collect();
                parameters.floats(&plan, &sums, dtype)?
            }
        })
    }
    fn macs(&self, inputs: &[Option<&Type>], outputs: &[&Type]) -> Option<u64> {
        product_macs(inputs.first().copied().flatten(), outputs.first().copied())
    }
}
